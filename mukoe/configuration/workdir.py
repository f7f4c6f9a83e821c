"""The directory of an experiment, and the config.json that says which one it holds."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mukoe.configuration.fields import from_json, to_dict, to_json
from mukoe.errors import UserError

T = TypeVar("T")

_CONFIG_FILE = "config.json"


def load_config(config_type: type[T], workdir: str | os.PathLike[str]) -> T:
    """Returns the configuration that an experiment's workdir was started with.

    Raises:
      UserError: the workdir holds no experiment, or one with another kind of config.
    """
    return from_json(config_type, json.dumps(_stored_config(Path(workdir))))


def _stored_config(workdir: Path) -> dict[str, Any]:
    path = workdir / _CONFIG_FILE
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{workdir} holds no experiment (there is no {path})") from error
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def prepare_workdir(
    workdir: str | os.PathLike[str],
    config: Any,
    resume: bool,
    may_differ: Sequence[str] = (),
) -> Path:
    """Makes the workdir of a new or a resumed experiment and writes its config.json.

    Args:
      workdir: the directory; made if missing.
      config: the experiment's configuration.
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
        write_atomically(workdir / _CONFIG_FILE, to_json(config))
    except OSError as error:
        raise UserError(f"cannot write to workdir {workdir}: {error.strerror}") from error
    return workdir


def _check_same_experiment(workdir: Path, config: Any, may_differ: Sequence[str]) -> None:
    stored = dict(_flatten(_stored_config(workdir)))
    current = dict(_flatten(to_dict(config)))
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


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def write_atomically(path: Path, text: str) -> None:
    """Writes a file beside its place and renames it, so that it is never half there."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
