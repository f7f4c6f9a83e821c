"""Workdirs: the directory of a run, with config.json, a copy of the config file and command.json.

config.json is `{"version": 2, "class": "module:name", "config": {...}, "launch": {...}}`; without
`class` if the config file defines a class of the configuration, so that its copy is needed to load
it. `launch` holds the flags that choose layout and runtime. Files without a version were written by
mukoe 0.1, whose configuration had other fields.

command.json describes the newest command that worked in the workdir, with the earlier ones as
`previous`, oldest first.
"""

import datetime
import importlib.metadata
import json
import os
import platform
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mukoe
from mukoe.configuration.cli import load_config_file
from mukoe.configuration.exclusive_workdir import exclusive_workdir
from mukoe.configuration.import_folders import add_import_folder
from mukoe.configuration.plain import class_name, from_dict, is_importable, to_dict, with_values
from mukoe.configuration.registry import import_part
from mukoe.errors import UserError
from mukoe.system import available_cores, write_atomically

VERSION = 2
"""Version of config.json, raised when a stored configuration can no longer be read."""

_LAST_UNVERSIONED = "0.1.0"
CONFIG_FILE = "config.json"
"""Stored configuration."""

CONFIG_COPY = "config.py"
"""Copy of the config file in the workdir."""

FORK_FILE = "fork.json"
"""Origin of a fork: `{"origin": workdir, "actor_steps": steps at the checkpoint}`."""

_COMMAND_FILE = "command.json"
_PREVIOUS = "previous"
_DEPENDENCIES = ("jax", "dm-haiku", "mctx", "numpy")


def load_config(workdir: str | os.PathLike[str]) -> Any:
    """Returns the configuration of a workdir's run.

    Modules beside the original config file can be imported.

    Args:
      workdir: workdir of the run.

    Raises:
      UserError: the workdir holds no run, config.json has another version, a class cannot be
        imported, or the copy of the config file cannot be loaded.
    """
    workdir = Path(workdir)
    stored = _read(workdir)
    if folder := _config_folder(workdir):
        add_import_folder(folder)
    if "class" in stored:
        return from_dict(import_part("configuration class", stored["class"]), stored["config"])
    config = load_config_file(str(workdir / CONFIG_COPY), importable=False)
    return with_values(config, stored["config"])


def _config_folder(workdir: Path) -> Path | None:
    """Returns the folder of the config file that the run was started with, if it still exists."""
    name = stored_command(workdir).get("config_file")
    folder = Path(name).parent if isinstance(name, str) else None
    return folder if folder and folder.is_dir() else None


def stored_command(workdir: Path) -> dict[str, Any]:
    """Returns the content of command.json; empty if it is missing or damaged."""
    try:
        command = json.loads((workdir / _COMMAND_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return command if isinstance(command, dict) else {}


def stored_config(workdir: Path) -> dict[str, Any]:
    """Returns the configuration of a workdir as plain nested dicts.

    Raises:
      UserError: the workdir holds no run, or its config.json cannot be read or has another version.
    """
    return _read(workdir)["config"]


def stored_launch(workdir: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the flags of layout and runtime that a run was started with.

    Raises:
      UserError: the workdir holds no run, or its config.json cannot be read.
    """
    launch = _read(Path(workdir)).get("launch", {})
    return launch if isinstance(launch, dict) else {}


def _read(workdir: Path) -> dict[str, Any]:
    path = workdir / CONFIG_FILE
    try:
        stored = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{workdir} holds no experiment (there is no {path})") from error
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if not isinstance(stored, dict):
        raise UserError(f"cannot read {path}: it holds no JSON object")
    version = stored.get("version")
    if version is None:
        raise UserError(
            f"{path} has no version: it was written by mukoe {_LAST_UNVERSIONED} and is "
            f"read by that release, not by mukoe {mukoe.__version__}"
        )
    if version != VERSION:
        raise UserError(
            f"{path} has version {version!r}, and mukoe {mukoe.__version__} reads version "
            f"{VERSION}: use the release named in {workdir / _COMMAND_FILE}"
        )
    if not isinstance(stored.get("config"), dict):
        raise UserError(f"cannot read {path}: it has no object 'config'")
    return stored


def prepare_workdir(
    workdir: str | os.PathLike[str],
    config: Any,
    config_file: str | os.PathLike[str] | None,
    resume: bool,
    may_differ: Sequence[str] | None = (),
    launch: Mapping[str, Any] = types.MappingProxyType({}),
) -> Path:
    """Makes the workdir of a new or a resumed run, and describes the run in it.

    Writes config.json, a copy of the config file as config.py, and command.json with the command
    line, the time, the path of the config file, the versions and the number of CPU cores, and the
    earlier commands.

    Args:
      workdir: directory, created if missing.
      config: configuration of the run.
      config_file: file that the configuration comes from; None for the copy in the workdir.
      resume: resume the run in the workdir.
      may_differ: dotted fields, or groups of fields, that may change when resuming; None for all.
      launch: flags of layout and runtime, for `stored_launch`.

    Raises:
      UserError: the workdir cannot be written; it holds a run and `resume` is False; there is
        nothing to resume; another process trains in it; or it holds a run with another
        configuration (the message names the first differing fields).
    """
    workdir = Path(workdir).expanduser().resolve()
    try:
        exists = (workdir / CONFIG_FILE).exists()
    except OSError as error:
        raise UserError(f"cannot use workdir {workdir}: {error.strerror}") from error
    if exists and not resume:
        raise UserError(
            f"workdir {workdir} already holds an experiment: resume it with --resume, or give "
            "another --workdir"
        )
    if resume and not exists:
        raise UserError(f"nothing to resume in {workdir}: start it without --resume")
    if resume:
        if may_differ is not None:
            _check_same_experiment(workdir, config, may_differ)
        with exclusive_workdir(workdir):
            pass
    kind = {"class": class_name(type(config))} if is_importable(config) else {}
    stored = {"version": VERSION, **kind, "config": to_dict(config), "launch": dict(launch)}
    command = _command(stored_command(workdir) if resume else {}, config_file)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if config_file is not None:
            write_atomically(workdir / CONFIG_COPY, Path(config_file).read_text())
        write_atomically(workdir / _COMMAND_FILE, _json(command))
        write_atomically(workdir / CONFIG_FILE, _json(stored))
    except OSError as error:
        raise UserError(f"cannot write to workdir {workdir}: {error.strerror}") from error
    return workdir


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2) + "\n"


def _command(
    newest: Mapping[str, Any], config_file: str | os.PathLike[str] | None
) -> dict[str, Any]:
    """Returns the content of command.json, given its content before."""
    earlier = {name: value for name, value in newest.items() if name != _PREVIOUS}
    path = earlier.get("config_file") if config_file is None else str(Path(config_file).resolve())
    return {
        "argv": sys.argv,
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "config_file": path,
        "python": platform.python_version(),
        "versions": {
            "mukoe": mukoe.__version__,
            **{name: importlib.metadata.version(name) for name in _DEPENDENCIES},
        },
        "cpus": available_cores(),
        _PREVIOUS: [*newest.get(_PREVIOUS, ()), *([earlier] if earlier else [])],
    }


def _check_same_experiment(workdir: Path, config: Any, may_differ: Sequence[str]) -> None:
    # Fields that are newer than the run have their defaults, which is what runs did before them.
    stored = dict(flatten(to_dict(load_config(workdir))))
    current = dict(flatten(to_dict(config)))
    absent = "absent"
    differing = [
        f"{name} was {stored.get(name, absent)}, is {current.get(name, absent)}"
        for name in {**stored, **current}
        if stored.get(name, absent) != current.get(name, absent)
        and not any(name == allowed or name.startswith(allowed + ".") for allowed in may_differ)
    ]
    if differing:
        more = f" (and {len(differing) - 3} more)" if len(differing) > 3 else ""
        raise UserError(
            f"workdir {workdir} holds another experiment: {'; '.join(differing[:3])}{more}. "
            "Resume with the same config, or give another --workdir"
        )


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the dotted name and the value of every leaf of nested mappings."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns nested mappings of dotted names, the inverse of `flatten`."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *groups, leaf = name.split(".")
        inner = nested
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[leaf] = value
    return nested
