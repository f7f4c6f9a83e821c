"""The directory of an experiment, and the config.json that says which one it holds."""

import dataclasses
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mukoe.configuration.cli import load_config_file
from mukoe.configuration.fields import from_dict, to_dict, to_json, with_values
from mukoe.errors import UserError
from mukoe.system import write_atomically

_CONFIG_FILE = "config.json"
_CONFIG_COPY = "config.py"
_COMMAND_FILE = "command.json"
_VERSIONS_OF = ("mukoe", "jax", "dm-haiku", "mctx", "numpy")


def load_config(
    workdir: str | os.PathLike[str], kinds: Mapping[str, Sequence[type]] | None = None
) -> Any:
    """Returns the configuration that a workdir's experiment was started with.

    Its config file, of which the workdir has a copy, says which kinds of agent and
    environment there are; config.json has the values.

    Args:
      workdir: of the experiment.
      kinds: what a flag may have made of a field instead; one whose fields are those of
        config.json is taken.

    Raises:
      UserError: the workdir holds no experiment, or its config file does not load.
    """
    workdir = Path(workdir)
    values = stored_config(workdir)
    config = load_config_file(str(workdir / _CONFIG_COPY))
    for field, alternatives in (kinds or {}).items():
        for kind in (type(getattr(config, field, None)), *alternatives):
            if _has_fields(kind, values.get(field)):
                config = dataclasses.replace(config, **{field: from_dict(kind, values[field])})
                break
    return with_values(config, values)


def _has_fields(kind: type, values: Any) -> bool:
    """Whether these values are those of a dataclass, all of them and nothing else."""
    if not dataclasses.is_dataclass(kind) or not isinstance(values, Mapping):
        return False
    return {field.name for field in dataclasses.fields(kind)} == set(values)


def stored_config(workdir: Path) -> dict[str, Any]:
    """Returns a workdir's configuration as plain nested dicts, whatever its type was.

    Raises:
      UserError: the workdir holds no experiment, or its config.json cannot be read.
    """
    path = workdir / _CONFIG_FILE
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{workdir} holds no experiment (there is no {path})") from error
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"cannot read {path}: it holds no JSON object")
    return values


def prepare_workdir(
    workdir: str | os.PathLike[str],
    config: Any,
    config_file: str | os.PathLike[str],
    resume: bool,
    may_differ: Sequence[str] = (),
) -> Path:
    """Makes the workdir of a new or a resumed experiment, and writes what it is.

    These are config.json, a copy of the config file as config.py, and command.json with
    the command line, the versions and the number of CPU cores.

    Args:
      workdir: the directory; made if missing.
      config: the experiment's configuration.
      config_file: that it comes from.
      resume: go on with the experiment that the workdir holds.
      may_differ: dotted fields, or groups of them, that may change when resuming.

    Raises:
      UserError: the workdir cannot be written; it holds an experiment and `resume` is
        False; there is nothing to resume; it holds an experiment with another config
        (names the first differing fields).
    """
    workdir = Path(workdir).expanduser().resolve()
    try:
        exists = (workdir / _CONFIG_FILE).exists()
    except OSError as error:
        raise UserError(f"cannot use workdir {workdir}: {error.strerror}") from error
    if exists and not resume:
        raise UserError(
            f"workdir {workdir} already holds an experiment: go on with it by --resume, "
            "or give another --workdir"
        )
    if resume and not exists:
        raise UserError(f"nothing to resume in {workdir}: start it without --resume")
    if resume:
        _check_same_experiment(workdir, config, may_differ)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write_atomically(workdir / _CONFIG_COPY, Path(config_file).read_text())
        write_atomically(workdir / _COMMAND_FILE, json.dumps(_command(), indent=2) + "\n")
        write_atomically(workdir / _CONFIG_FILE, to_json(config))
    except OSError as error:
        raise UserError(f"cannot write to workdir {workdir}: {error.strerror}") from error
    return workdir


def _command() -> dict[str, Any]:
    return {
        "argv": sys.argv,
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _VERSIONS_OF},
        "cpus": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
    }


def _check_same_experiment(workdir: Path, config: Any, may_differ: Sequence[str]) -> None:
    stored = dict(flatten(stored_config(workdir)))
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
