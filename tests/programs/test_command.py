"""Command `mukoe`: choice of the program, list of the commands, configs by name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mukoe.commands.main import summaries
from mukoe.configuration.cli import find_config_file
from mukoe.errors import UserError
from tests.programs.forked import COMMANDS, PROGRAMS, command_of

ROOT = PROGRAMS.parent


def mukoe(*arguments, cwd=ROOT):
    """Runs the command as its entry point does."""
    code = "import sys; from mukoe.commands.main import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(cwd)},
    )


def test_every_program_is_a_command_and_every_command_a_program():
    programs = {path.name for path in PROGRAMS.glob("*.py")}
    assert {command_of(name) for name in programs} == set(summaries())
    for name in programs:
        lines = (PROGRAMS / name).read_text().splitlines()
        assert len(lines) < 10, f"programs/{name} does more than start its command"


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_the_commands_are_listed(arguments):
    result = mukoe(*arguments)
    assert (result.returncode, result.stderr) == (0, "")
    for name, summary in summaries().items():
        assert summary and f"  {name} " in result.stdout and summary in result.stdout
    assert "  play " in result.stdout


def test_an_unknown_command_gets_one_line():
    result = mukoe("trian", "--workdir=x")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: there is no command 'trian'; did you mean train?\n"


def test_flags_of_a_command_are_its_programs(tmp_path):
    result = mukoe("report", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: --workdir is missing")
    result = mukoe("play", "--help", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "mukoe watch --workdir" in result.stdout and "--play: <" in result.stdout


def test_examples_in_help_are_commands():
    for path in COMMANDS.glob("*.py"):
        for word in re.findall(r"^ *mukoe (\w+)(?: --|$)", path.read_text(), re.MULTILINE):
            assert word in summaries(), (path, word)


def test_texts_name_commands_which_the_wheel_has():
    """The results page belongs to the repository."""
    modules = [path for path in (ROOT / "mukoe").rglob("*.py") if path.name != "results_page.py"]
    assert [path for path in modules if "programs/" in path.read_text()] == []


@pytest.mark.parametrize("name", ["cartpole", "cartpole.py", "configs/cartpole.py"])
def test_shipped_configs_are_found_by_name_in_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config_file(name) == str(ROOT / "configs" / "cartpole.py")
    (tmp_path / "configs").mkdir()
    own = tmp_path / "configs" / "cartpole.py"
    own.touch()
    expected = (
        "configs/cartpole.py"
        if name == "configs/cartpole.py"
        else str(ROOT / "configs/cartpole.py")
    )
    assert find_config_file(name) == expected


def test_shipped_configs_in_folders_have_their_path_as_name():
    found = find_config_file("comparison/muesli_cartpole")
    assert found == str(ROOT / "configs" / "comparison" / "muesli_cartpole.py")


def test_a_missing_config_gets_near_names(tmp_path):
    with pytest.raises(UserError, match="'cartpol' does not exist; did you mean .*cartpole"):
        find_config_file("cartpol")
    with pytest.raises(UserError, match="'none.py' does not exist$"):
        find_config_file("none.py")
    with pytest.raises(UserError, match="does not exist"):
        find_config_file(str(Path(tmp_path)))


def test_a_program_shows_its_line_before_its_imports():
    """Libraries take seconds to import; a program would show nothing meanwhile."""
    for path in PROGRAMS.glob("*.py"):
        imports = re.findall(r"^ *(?:from|import) (\S+)", path.read_text(), re.MULTILINE)
        assert imports == ["mukoe.commands.main"], path
    code = (
        "import sys; import mukoe.commands.main; from mukoe.terminal import progress_line;"
        "heavy = {'jax', 'numpy', 'gymnasium', 'haiku', 'launchpad'} & set(sys.modules);"
        "assert not heavy, heavy;"
        "mukoe.commands.main.importlib.import_module = lambda name:"
        " print(name, progress_line.active_line()._progress.phase) or sys.exit(0);"
        "mukoe.commands.main.run_command('evaluate')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.stdout == "mukoe.commands.evaluate loading\n", result.stderr


def test_commands_on_the_pages_exist():
    found = []
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        found += re.findall(r"^mukoe (\w+) --", page.read_text(), re.MULTILINE)
    assert found and set(found) <= {*summaries(), "play"}
