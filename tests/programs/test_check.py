"""programs/check.py with agents that it cannot check; tests/diagnosis has the checks."""

from tests.programs.forked import run_program


def test_an_agent_without_a_replay_is_refused_in_one_line():
    result = run_program("check.py", "--config=configs/ppo_cartpole.py")
    assert result.returncode == 2
    assert result.stderr.startswith("error: only agents with a replay are checked")
    assert result.stderr.count("\n") == 1 and not result.stdout
