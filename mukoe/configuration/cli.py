"""Command line of every program: flags, `--config.FIELD=VALUE`, one-line errors.

`--config=FILE.py` names a file whose `get_config()` returns a frozen dataclass, and
`--config.FIELD=VALUE` replaces its fields. The syntax is that of ml_collections' `config_flags`.
"""

import contextlib
import difflib
import importlib.util
import os
import select
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from absl import app, flags, logging

import mukoe
from mukoe.configuration.help import config_help
from mukoe.configuration.import_folders import add_import_folder
from mukoe.configuration.overrides import apply_overrides
from mukoe.errors import UserError
from mukoe.terminal.interruption import exit_past_threads
from mukoe.terminal.progress_line import erase_line

_FAILURE = 2
# A flag of `DEFINE_config` is a key flag of the module that calls it, so `--help` lists it.
flags.disclaim_key_flags()

HELP = frozenset({"--help", "-help", "--h", "-h"})
COMMAND = "mukoe"
"""Program whose first argument names the command."""


class ConfigFlag:
    """Values of `--config` and `--config.FIELD`.

    filename: config file.
    overrides: text by dotted field name, in the order of the command line.
    """

    def __init__(self, holder: flags.FlagHolder[str | None]):
        self._holder = holder
        self.overrides: dict[str, str] = {}

    @property
    def filename(self) -> str:
        """Config file; raises UserError if none was given."""
        name = self._holder.value
        if not name:
            raise UserError(
                f"--{self._holder.name} is empty; give a file, such as --config=configs/atari.py"
            )
        return find_config_file(name)

    @property
    def given(self) -> str | None:
        """Config file that the command names, None if it names none."""
        return None if flags.FLAGS[self._holder.name].using_default_value else self.filename

    def load(self, *arguments: Any) -> Any:
        """Returns the configuration: `get_config(*arguments)` with the overrides applied.

        Raises:
          UserError: the file is missing or invalid, or an override is invalid.
        """
        config = load_config_file(self.filename, *arguments)
        return apply_overrides(config, self.overrides)


_config_flags: dict[str, ConfigFlag] = {}


def DEFINE_config(default: str | None, name: str = "config") -> ConfigFlag:  # noqa: N802
    """Defines `--NAME=FILE.py` and `--NAME.FIELD=VALUE`.

    Works in programs that are started with `run_main`.
    """
    holder = flags.DEFINE_string(
        name,
        default,
        f"Config file; --{name}.FIELD=VALUE replaces a field.",
    )
    _config_flags[name] = ConfigFlag(holder)
    return _config_flags[name]


def find_config_file(name: str) -> str:
    """Returns the path of a config file.

    Args:
      name: path, or name of a shipped config: `cartpole`, `cartpole.py` or `configs/cartpole.py`.

    Raises:
      UserError: there is neither such a file nor such a shipped config.
    """
    if Path(name).is_file():
        return name
    package = Path(mukoe.__file__).parent
    # The wheel contains the configs; in the repository they are beside the package.
    folder = next(
        (f for f in (package / "configs", package.parent / "configs") if f.is_dir()), None
    )
    shipped = (
        {}
        if folder is None
        else {
            path.relative_to(folder).with_suffix("").as_posix(): path
            for path in folder.rglob("*.py")
        }
    )
    key = name.removeprefix("configs/").removesuffix(".py")
    if key in shipped:
        return str(shipped[key])
    near = difflib.get_close_matches(key, shipped, n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise UserError(f"config file {name!r} does not exist{hint}")


def load_config_file(path: str, *arguments: Any, importable: bool = True) -> Any:
    """Runs a config file and returns the result of its `get_config`.

    Args:
      path: Python file, or name of a shipped config.
      arguments: arguments of `get_config`.
      importable: make the modules beside the file importable, such as those of a registry name
        `module:attribute`.

    Raises:
      UserError: the file is missing, is not Python, raises, or returns no dataclass.
    """
    path = find_config_file(path)
    if importable:
        add_import_folder(Path(path).parent)
    # The full path is part of the module name: a config may load another one of the same name.
    name = "config_" + "_".join(Path(path).resolve().with_suffix("").parts[1:])
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"config file {path!r} is not a Python file (its name ends with .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
        config = module.get_config(*arguments) if hasattr(module, "get_config") else None
    except Exception as error:
        raise UserError(_describe_failure(path, error)) from error
    finally:
        # Classes of a module that is not in sys.modules are pickled by value, so processes that
        # cannot import the file can load them.
        del sys.modules[module.__name__]
    if not hasattr(module, "get_config"):
        raise UserError(f"config file {path!r} has no function get_config()")
    if not hasattr(config, "__dataclass_fields__") or isinstance(config, type):
        raise UserError(
            f"get_config() in {path!r} returned a {type(config).__name__}, not a dataclass"
        )
    return config


def _describe_failure(path: str, error: Exception) -> str:
    """Returns the error of a config file with its line."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == Path(path).resolve()
    ]
    line = error.lineno if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    place = f"{path} line {line}" if line else path
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return f"config file {place}: {kind}{text}"


def split_overrides(
    argv: Sequence[str], names: Sequence[str]
) -> tuple[list[str], dict[str, dict[str, str]]]:
    """Splits `--NAME.FIELD=VALUE` from the other arguments.

    `--NAME.FIELD VALUE` has the same meaning; `--NAME.FIELD` alone sets true, `--noNAME.FIELD`
    false.

    Args:
      argv: command line.
      names: names of the config flags.

    Returns:
      The other arguments, and by name the text of each field.
    """
    others: list[str] = []
    overrides: dict[str, dict[str, str]] = {name: {} for name in names}
    waiting = list(argv)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            return [*others, argument, *waiting], overrides
        option, equals, value = argument.partition("=")
        name, _, field = option.lstrip("-").partition(".")
        negated = name.startswith("no") and name not in names and name[2:] in names
        name = name[2:] if negated else name
        if not argument.startswith("-") or not field or name not in names:
            others.append(argument)
            continue
        if not equals:
            follows = bool(waiting) and not waiting[0].startswith("-") and not negated
            value = waiting.pop(0) if follows else str(not negated).lower()
        overrides[name][field] = value
    return others, overrides


def run_main(
    main: Callable[[], int | None], configs: Mapping[str, Callable[[], Any]] | None = None
) -> NoReturn:
    """Parses the flags, runs `main()` and exits with the status that it returns.

    A UserError and a wrong flag print one line, `error: ...`, and exit with status 2. `--help`
    prints the docstring and the flags of the module of `main`, and the fields of the configuration
    that the other flags choose.

    Args:
      main: the program.
      configs: function that loads the configuration, or returns None if there is none, by name
        of the flag of `DEFINE_config`.
    """
    module = sys.modules[main.__module__]
    skipped = 2 if sys.argv[0] == COMMAND else 1
    try:
        app.run(
            lambda _: _guarded(main),
            argv=[sys.argv[0], *sys.argv[skipped:]],
            flags_parser=lambda argv: _parse_flags(argv, module, configs or {}),
        )
    except BrokenPipeError:
        if not _reader_has_left():
            raise
        # As with `--help | head`. Python flushes the output once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(0)


def _reader_has_left() -> bool:
    """Returns whether the standard output is a pipe without a reader."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _guarded(main: Callable[[], int | None]) -> int | None:
    try:
        status = main()
        sys.stdout.flush()
    except UserError as error:
        status = fail(error)
    except Exception as error:
        erase_line()
        exit_past_threads(1, error)
        raise
    finally:
        erase_line()
    exit_past_threads(status or 0)
    return status


def _parse_flags(
    argv: Sequence[str], module: ModuleType, configs: Mapping[str, Callable[[], Any]]
) -> list[str]:
    rest, overrides = split_overrides(argv, list(_config_flags))
    for name, fields in overrides.items():
        _config_flags[name].overrides = fields
    wants_help = not HELP.isdisjoint(rest)
    _accept_scientific_integers()
    try:
        positional = flags.FLAGS([argument for argument in rest if argument not in HELP])
    except flags.UnrecognizedFlagError as error:
        sys.exit(fail(UserError(_describe_unknown_flag(error.flagname, module))))
    except (flags.Error, UserError) as error:
        sys.exit(fail(error))
    if wants_help:
        _print_help(module, configs)
        sys.stdout.flush()
        sys.exit(0)
    if len(positional) > 1:
        sys.exit(fail(UserError(f"unexpected argument {positional[1]!r}; flags start with --")))
    if flags.FLAGS["verbosity"].using_default_value:
        flags.FLAGS["verbosity"].value = logging.WARNING
        flags.FLAGS["verbosity"].using_default_value = False
    return positional


def add_earlier_flags(arguments: Sequence[str]) -> None:
    """Parses the flags of an earlier command; those of this command keep their values.

    Args:
      arguments: flags, with `--NAME.FIELD=VALUE` of the config flags.

    Raises:
      UserError: a flag is none of this program, or its value is invalid.
    """
    earlier, overrides = split_overrides(arguments, list(_config_flags))
    for name, fields in overrides.items():
        _config_flags[name].overrides = {**fields, **_config_flags[name].overrides}
    given = [flags.FLAGS[name].serialize() for name in flags.FLAGS if flags.FLAGS[name].present]
    try:
        flags.FLAGS([sys.argv[0], *earlier, *given])
    except flags.Error as error:
        raise UserError(str(error)) from error


def _describe_unknown_flag(name: str, module: ModuleType) -> str:
    """Returns the error of a flag that is none; the hint is a flag of the program's `--help`."""
    group, dot, field = name.partition(".")
    known = [flag.name for flag in flags.FLAGS.get_key_flags_for_module(module)]
    near = difflib.get_close_matches(group, known, n=1)
    hint = f"did you mean --{near[0]}{dot}{field}?" if near else "--help lists the flags"
    return f"there is no flag --{name}; {hint}"


class _IntegerParser(flags.IntegerParser):
    """Parser of integers that accepts `1e6`."""

    def convert(self, argument: Any) -> int:
        if isinstance(argument, str) and "e" in argument.lower():
            with contextlib.suppress(ValueError):
                number = float(argument)
                argument = int(number) if number.is_integer() else argument
        return super().convert(argument)


def _accept_scientific_integers() -> None:
    """Makes every flag of an integer accept `1e6`."""
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        if type(flag.parser) is flags.IntegerParser:
            flag.parser = _IntegerParser(flag.parser.lower_bound, flag.parser.upper_bound)


def _print_help(module: ModuleType, configs: Mapping[str, Callable[[], Any]]) -> None:
    erase_line()
    print(module.__doc__, "\nflags:", flags.FLAGS.module_help(module), sep="\n")
    for name, load in configs.items():
        try:
            config = load()
        except UserError as error:
            print(f"\nNo fields of --{name}: {error}")
        else:
            if config is not None:
                print(config_help(config, name))


def fail(error: Exception) -> int:
    """Prints an error as one line, and returns the exit status."""
    erase_line()
    print("error:", " ".join(str(error).split()), file=sys.stderr, flush=True)
    return _FAILURE
