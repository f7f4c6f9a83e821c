"""programs/check.py on an agent without a replay; tests/diagnosis has the checks."""

from tests.programs.forked import run_program


def test_an_agent_without_a_replay_is_checked_on_a_rollout():
    result = run_program("check.py", "--config=configs/ppo_cartpole.py")
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == "4 checks, faults: none"
    assert any(line.startswith("ok       rows are the environment's") for line in lines)


def test_a_game_of_three_players_is_refused_in_one_line():
    result = run_program("check.py", "--config=configs/alphazero_nim.py")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: not applicable: this game has 3 play")
