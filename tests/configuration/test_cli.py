"""Command line: config files, overrides, one-line errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mukoe
from mukoe.configuration import load_config_file
from mukoe.configuration.cli import split_overrides
from mukoe.errors import UserError

_CONFIG = """
import dataclasses

@dataclasses.dataclass(frozen=True)
class Search:
    num_simulations: int = 50
    limit: float | None = None

@dataclasses.dataclass(frozen=True)
class Config:
    search: Search = Search()
    dueling: bool = False

def get_config():
    return Config()
"""

_PROGRAM = """
import sys
from absl import flags, logging
from mukoe.configuration import DEFINE_config, run_main
from mukoe.errors import UserError

CONFIG = DEFINE_config(default="a.py")
GAME = flags.DEFINE_enum("game", "Pong", ["Pong", "MsPacman"], "A game.")
STATUS = flags.DEFINE_integer("status", 3, "The exit status.", upper_bound=100)

def main():
    logging.info("not to be seen")
    config = CONFIG.load()
    if GAME.value == "MsPacman":
        raise UserError("first line\\nsecond line")
    print(config.search.num_simulations, config.search.limit, config.dueling)
    return STATUS.value

if __name__ == "__main__":
    run_main(main)
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cli")
    (directory / "a.py").write_text(_CONFIG)
    (directory / "b.py").write_text(_CONFIG.replace("50", "7"))
    (directory / "broken.py").write_text("import os\n\ndef get_config(:\n    pass\n")
    (directory / "raises.py").write_text("import os\nx = 1\nassert x == 2, 'no'\n")
    (directory / "invalid.py").write_text(
        "from mukoe.search.config import SearchConfig\n\ndef get_config():\n"
        "    return SearchConfig(\n        num_simulations=-1,\n    )\n"
    )
    (directory / "empty.py").write_text("")
    (directory / "number.py").write_text("def get_config():\n    return 3\n")
    (directory / "text.txt").write_text("hello")
    (directory / "program.py").write_text(_PROGRAM)
    return directory


def run(directory, *arguments):
    return subprocess.run(
        [sys.executable, "program.py", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(mukoe.__file__).parents[1])},
    )


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        ((), "50 None False\n"),
        (
            (
                "--config.search.num_simulations=16",
                "--config=b.py",
                "--config.dueling",
                "--config.search.limit",
                "0.5",
            ),
            "16 0.5 True\n",
        ),
    ],
)
def test_main_runs_and_its_status_is_kept(directory, arguments, output):
    result = run(directory, *arguments)
    assert (result.stdout, result.stderr, result.returncode) == (output, "", 3)


@pytest.mark.parametrize("text", ["4", "0.4e1", "40E-1"])
def test_integers_may_be_scientific(directory, text):
    assert run(directory, f"--status={text}").returncode == 4


def test_output_may_be_cut_off(directory):
    """`--help | head` closes the pipe early."""
    command = f"{sys.executable} program.py --help; echo $? >&2"
    environment = {**os.environ, "PYTHONPATH": str(Path(mukoe.__file__).parents[1])}
    result = subprocess.run(
        ["sh", "-c", f"({command}) | true"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    assert result.stderr == "0\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--status=1.5",), "flag --status=1.5"),
        (("--status=1.5e0",), "flag --status=1.5e0"),
        (("--status=1e3",), "flag --status=1e3"),
        (("--status=1e400",), "flag --status=1e400"),
        (("--status=one",), "flag --status=one"),
        (("--config.serch.x=1",), "unknown config field 'serch': did you mean search?"),
        (("--config.dueling=maybe",), "dueling must be true or false, not 'maybe'"),
        (("--config=none.py",), "config file 'none.py' does not exist"),
        (("--game=Pac",), "flag --game=Pac"),
        (("--gam=Pong",), "there is no flag --gam; did you mean --game?"),
        (("--confg.game=Pong",), "there is no flag --confg.game; did you mean --config.game?"),
        (("--zzz",), "there is no flag --zzz; --help lists the flags"),
        (("train",), "unexpected argument 'train'"),
        (("--game=MsPacman",), "first line second line"),
    ],
)
def test_mistakes_print_one_line(directory, arguments, message):
    result = run(directory, *arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken.py", r"broken.py line 3: SyntaxError: "),
        ("raises.py", r"raises.py line 3: AssertionError: no"),
        (
            "invalid.py",
            r"invalid.py line 4: SearchConfig.num_simulations must be from 0 to .*, not -1",
        ),
        ("empty.py", r"has no function get_config"),
        ("number.py", r"returned a int, not a dataclass"),
        ("text.txt", r"is not a Python file"),
        (".", r"does not exist"),
    ],
)
def test_broken_config_files(directory, name, message):
    with pytest.raises(UserError, match=message):
        load_config_file(str(directory / name))


def test_splitting():
    rest, overrides = split_overrides(
        [
            "program",
            "--config=a.py",
            "--config.a.b=x=y",
            "-config.c",
            "3",
            "--noconfig.d",
            "--config.e",
            "--other.f=1",
            "--config.g",
            "--",
            "--config.h=1",
        ],
        ["config"],
    )
    assert rest == ["program", "--config=a.py", "--other.f=1", "--", "--config.h=1"]
    assert overrides == {"config": {"a.b": "x=y", "c": "3", "d": "false", "e": "true", "g": "true"}}
