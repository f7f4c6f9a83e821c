"""Errors of programs/launch_atari.py; nothing is launched."""

import pytest

from tests.programs.forked import run_program

pytest.importorskip("launchpad")


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
    workdir = tmp_path / "run"
    workdir.mkdir()
    (workdir / "config.json").write_text(
        '{"version": 2, "config": {"environment": {"game": "Pong"}}}'
    )
    for flags, expected in (([], "already holds"), (["--resume"], "another experiment")):
        status, output = run(workdir, *flags)
        assert status == 2 and expected in output, output
