"""Invalid values for every flag of every program: a one-line error, and no file is written."""

import re
from pathlib import Path

import pytest

from tests.programs.forked import COMMANDS, PROGRAMS, command_of, run_program

HUGE = str(10**30)
WRONG = {
    "bool": ["banana"],
    "enum": ["", "banana"],
    "enum_class": ["", "banana"],
    "float": ["banana", "-1", "nan"],
    "integer": ["banana", "-1", HUGE],
    "list": ["banana"],
    "multi_string": [""],
    "string": [""],
}

# Flags with which a program fails before it writes, even without an invalid flag.
ENDING = {
    "advise.py": ["--workdir={missing}"],
    "check.py": ["--workdir={run}"],
    "datasets.py": ["--describe={missing}"],
    "doctor.py": ["--unknown"],
    "environments.py": ["--filter=no such environment"],
    "evaluate.py": ["--workdir={run}"],
    "gtp.py": ["--workdir={run}"],
    "judge.py": ["--workdir={run}"],
    "ladder.py": ["--workdir={run}"],
    "launch.py": ["--workdir={run}"],
    "launch_atari.py": ["--workdir={run}", "--layout=sebulba", "--agent=ppo", "--game=Pong"],
    "record.py": ["--workdir={run}", "--dataset=cartpole/run-v0"],
    "report.py": ["--workdir={missing}"],
    "resign.py": ["--workdir={run}"],
    "results.py": ["--collect={missing}"],
    "run_node.py": ["--workdir={missing}", "--node=actor/0", "--inference=local"],
    "serve_environment.py": ["--env=CartPole-v1", "--host=nowhere.invalid"],
    "sweep.py": ["--workdir={missing}", "--resume"],
    "sync.py": ["--workdir={missing}"],
    "tiles_2048.py": ["--player=unknown"],
    "uci.py": ["--workdir={run}"],
    "watch.py": ["--workdir={run}"],
    "xray.py": ["--workdir={run}"],
    "zoo.py": ["--add={missing}", "--name=cart_pole"],
}

# Errors that name the flag or field.
NAMED = [
    ("environments.py", "--filter=quidditch", "no environment has 'quidditch' in its name"),
    ("evaluate.py", "--episodes=0", "episodes must be at least 1, not 0"),
    ("evaluate.py", f"--seed={HUGE}", "seed must be from 0 to 4294967295"),
    ("evaluate.py", "--opening_moves=1001", "opening_moves must be from 0 to 1000, not 1001"),
    ("ladder.py", "--games=0", "games must be at least 2, not 0"),
    ("ladder.py", "--simulations=-1", "simulations must be at least 0, not -1"),
    ("ladder.py", "--opponents=banana", "unknown opponent 'banana'"),
    ("ladder.py", "--anchor_elo=nan", "anchor_elo"),
    ("judge.py", "--checkpoints=0", "checkpoints must be at least 1, not 0"),
    ("resign.py", "--resign_moves=0", "resign_moves must be at least 1, not 0"),
    ("judge.py", "--games=3", "games must be even, not 3"),
    ("launch.py", "--env=tictactoe", "did you mean tic_tac_toe (pgx) or TicTacToe3D (Atari)?"),
    ("launch.py", "--seeds=4..0", "write the smaller seed first, as 0..4"),
    ("launch.py", "--seed=-1", "run.seed must be from 0 to 4294967295, not -1"),
    ("launch.py", f"--seed={2**32}", "run.seed must be from 0 to 4294967295, not 4294967296"),
    (
        "launch.py",
        f"--max_actor_steps={HUGE}",
        "run.max_actor_steps must be an integer of at most 64 bits",
    ),
    ("launch.py", "--log=wandbb", "unknown logger 'wandbb': did you mean wandb?"),
    ("launch.py", "--num_actors=0", "distributed.num_actors must be at least 1, not 0"),
    (
        "launch.py",
        "--config.run.seed=nan",
        "run.seed must be an integer (from 0 to 4294967295), not 'nan'",
    ),
    ("launch.py", "--config.agent.discount=2", "agent.discount must be from 0 to 1"),
    ("launch.py", f"--config.run.envs_per_actor={10**9}", "are available; lower the capacity, or"),
    ("launch.py", f"--config.agent.network.width={10**9}", "make the layers of agent.network"),
    ("record.py", "--dataset=cartpole", "'cartpole' is no name of a Minari data set"),
    ("record.py", "--env=CartPole-v1", "--workdir gives the environment: leave out --env"),
    ("record.py", "--fps=10", "--fps is for --policy=human: leave it out"),
    ("record.py", "--play=browser", "--play is for --policy=human: leave it out"),
    ("record.py", "--port=80", "--port is for --play=browser: leave it out"),
    ("report.py", "--smooth=0", "--smooth=0"),
    ("results.py", "--threshold=x=nan", "is not ENVIRONMENT=RETURN"),
    ("tiles_2048.py", "--games=0", "--games=0"),
    ("tiles_2048.py", f"--seed={HUGE}", f"--seed={HUGE}"),
    ("zoo.py", "--episodes=0", "--episodes=0"),
    ("watch.py", "--fps=nan", "--fps must be above 0"),
    ("watch.py", f"--tree_step={HUGE}", f"--tree_step={HUGE}"),
]


def flags_of(command):
    """Returns the kinds of the flags that a module of the commands defines, by name."""
    text = (COMMANDS / f"{command}.py").read_text()
    flags = {}
    for kind, name in re.findall(r'flags\.DEFINE_(\w+)\(\s*"(\w+)"', text):
        flags[name] = kind
    if "CONFIG = DEFINE_config" in text:
        flags["config"] = "string"
    return flags


@pytest.fixture
def run(tmp_path):
    """Workdir of a run without any file but config.json."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(
        '{"version": 2, "config": {"environment": {"game": "Pong"}}}'
    )
    return folder


def contents(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def refused(program, folder, *flags):
    """Returns the one-line error of a program that leaves the folder unchanged."""
    if program == "serve_environment.py":
        pytest.importorskip("dm_env_rpc")
    ending = [f.format(run=folder / "run", missing=folder / "none") for f in ENDING[program]]
    before = contents(folder)
    result = run_program(program, *ending, *flags)
    shown = f"{program} {' '.join(flags)}: {result.stdout}{result.stderr}"
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert result.returncode == 2, shown
    assert len(lines) == 1 and lines[0].startswith("error: "), shown
    assert contents(folder) == before, shown
    return lines[0]


def test_every_program_and_every_kind_of_flag_is_here():
    programs = {
        p.name for p in PROGRAMS.glob("*.py") if 'if __name__ == "__main__":' in p.read_text()
    }
    assert programs == set(ENDING)
    assert {kind for name in programs for kind in flags_of(command_of(name)).values()} <= set(WRONG)
    assert {"config", "layout", "env", "offline", "demonstrations", "seeds"} == set(
        flags_of("train")
    )


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(name, marks=[pytest.mark.distributed] if name == "run_node.py" else [])
        for name in ENDING
    ],
)
def test_a_wrong_flag_gets_one_line(program, run, tmp_path):
    flags = flags_of(command_of(program))
    if program == "launch.py":  # launch_atari.py and run_node.py have them, too.
        flags |= flags_of("training")
    for name, kind in flags.items():
        for text in WRONG[kind]:
            refused(program, tmp_path, f"--{name}={text}")


@pytest.mark.parametrize("program, flag, expected", NAMED)
def test_what_is_wrong_is_named(program, flag, expected, run, tmp_path):
    assert expected in refused(program, tmp_path, flag)
