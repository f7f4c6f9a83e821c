"""Errors of programs/launch_atari.py; nothing is launched."""

from pathlib import Path

import pytest

from mukoe.configuration import apply_overrides, load_config_file, prepare_workdir
from tests.programs.forked import run_program

pytest.importorskip("launchpad")

ROOT = Path(__file__).parents[2]


def run(workdir, *flags):
    result = run_program("launch_atari.py", f"--workdir={workdir}", *flags)
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize(
    "flags, expected",
    [
        (["--game=MsPackman"], "did you mean MsPacman"),
        (["--config.agent.search.num_simulatoins=3"], "num_simulations"),
        (["--config.agent.search.num_simulations=many"], "an integer"),
        (["--config=configs/nothing.py"], "does not exist"),
        (["--config.agent.network.torso=mlp"], "mlp"),
        (["--num_actors=0"], "num_actors"),
        (["--lp_launch_type=local_xx"], "local_xx"),
        (["--workdir=/proc/nothing/here"], "/proc/nothing/here"),
        (["--resume"], "nothing to resume"),
        (["--workdir="], "--workdir"),
    ],
)
def test_bad_input_gets_one_line(tmp_path, flags, expected):
    status, output = run(tmp_path / "run", *flags)
    assert status == 2, output
    lines = [line for line in output.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: "), output
    assert expected in lines[0]
    assert not (tmp_path / "run" / "config.json").exists()


def test_another_experiment_in_the_workdir_is_refused(tmp_path):
    config_file = ROOT / "configs" / "atari.py"
    config = apply_overrides(load_config_file(str(config_file)), {"environment.game": "Pong"})
    workdir = prepare_workdir(
        tmp_path / "run", config, config_file, resume=False, launch={"layout": "distributed"}
    )
    another = "another experiment: environment.game was Pong, is Breakout"
    for flags, expected in (
        ([], "already holds"),
        (["--resume", "--game=Breakout"], another),
        (["--resume", "--agent=muesli"], "another experiment"),
    ):
        status, output = run(workdir, *flags)
        assert status == 2 and expected in output, output


def test_a_run_of_another_layout_is_refused(tmp_path):
    config_file = ROOT / "configs" / "cartpole.py"
    config = load_config_file(str(config_file))
    workdir = prepare_workdir(tmp_path, config, config_file, False, launch={"layout": "local"})
    status, output = run(workdir, "--resume")
    assert status == 2 and "with this program: flag --layout=local" in output, output
