"""programs/check.py on a run and without a replay; tests/diagnosis has the checks."""

import re

from tests.evaluation.tiny_runs import train
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


def test_the_values_of_a_run_are_compared_with_those_of_new_rows(tmp_path):
    workdir = train("cartpole", tmp_path)
    result = run_program("check.py", f"--workdir={workdir}", "--updates=2", "--notables")
    assert result.returncode in (0, 1), result.stdout + result.stderr
    line = next(line for line in result.stdout.splitlines() if "values hold for new rows" in line)
    assert re.search(r"error \S+ on stored rows, \S+ on new ones", line), line
