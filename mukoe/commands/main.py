"""Command `mukoe`: `mukoe COMMAND --FLAG=VALUE` runs a module of this package."""

import ast
import difflib
import importlib
import sys
from pathlib import Path
from typing import NoReturn

import mukoe
from mukoe.errors import UserError
from mukoe.terminal.interruption import exit_on_interrupt
from mukoe.terminal.progress_line import ProgressLine

_FIRST = ("train", "evaluate", "watch", "play", "report", "ladder", "environments")
"""Commands of most users, listed before the others."""

_FLAGS_OF = {"play": ("watch", "--play=browser")}
"""Command and flag that a shorter name stands for."""


def main() -> None:
    """Runs the command that the first argument names, or lists the commands."""
    exit_on_interrupt()
    from mukoe.configuration.cli import COMMAND, HELP, fail

    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in HELP:
        print(_usage())
        return
    if name == "--version":
        print(f"mukoe {mukoe.__version__}")
        return
    name = name.replace("-", "_")
    module, *flags = _FLAGS_OF.get(name, (name,))
    commands = summaries()
    if module not in commands:
        near = difflib.get_close_matches(name, [*commands, *_FLAGS_OF], n=1)
        hint = f"did you mean {near[0]}?" if near else f"commands are {', '.join(commands)}"
        sys.exit(fail(UserError(f"there is no command {sys.argv[1]!r}; {hint}")))
    sys.argv = [COMMAND, module, *flags, *sys.argv[2:]]
    run_command(module)


def run_command(module: str) -> NoReturn:
    """Runs a command as the program; its progress line appears before its imports.

    Ctrl-C exits at once, also within the imports.
    """
    exit_on_interrupt()
    ProgressLine(phase="loading")
    importlib.import_module(f"mukoe.commands.{module}").run()
    raise SystemExit(0)


def summaries() -> dict[str, str]:
    """Returns the first line of the docstring of each command, without importing the commands."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text())
        runs = any(
            isinstance(node, ast.FunctionDef) and node.name == "run" and not node.args.args
            for node in tree.body
        )
        if runs:
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def _usage() -> str:
    texts = summaries()
    texts |= {name: f"Runs {' '.join(flags)}." for name, flags in _FLAGS_OF.items()}
    names = [*_FIRST, *sorted(texts.keys() - set(_FIRST))]
    lines = [f"  {name:<18} {texts[name]}" for name in names]
    end = "mukoe COMMAND --help lists the flags of a command."
    return "\n".join(["mukoe COMMAND --FLAG=VALUE ...", "", *lines, "", end])
