"""Configuration of a resumed run: that of its workdir, with the changes that the command names."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mukoe.configuration.cli import load_config_file
from mukoe.configuration.plain import to_dict, with_values
from mukoe.configuration.workdir import CONFIG_COPY, CONFIG_FILE, load_config
from mukoe.errors import UserError

_ABSENT = object()


def resumed_config(workdir: Path, config_file: str | None) -> Any:
    """Returns the configuration of a run to resume.

    It is the stored one. If a config file is given again, the fields in which it differs from the
    copy in the workdir get its values, so that the overrides of earlier commands are kept.

    Args:
      workdir: workdir of the run.
      config_file: config file of the command; None if it names none.

    Raises:
      UserError: there is nothing to resume, or a configuration cannot be loaded.
    """
    if not os.path.exists(workdir / CONFIG_FILE):
        raise UserError(f"nothing to resume in {workdir}: start it without --resume")
    stored, copy = load_config(workdir), workdir / CONFIG_COPY
    if config_file is None or _same_text(Path(config_file), copy):
        return stored
    new = load_config_file(config_file)
    try:
        old = load_config_file(str(copy), importable=False)
    except UserError as error:  # such as a configuration that was chosen without a file
        raise UserError(
            f"the config of the run cannot be compared with {config_file}: {error}; leave out "
            "--config, and change fields by --config.FIELD=VALUE"
        ) from error
    return with_values(new, _merge(to_dict(stored), to_dict(old), to_dict(new)))


def _same_text(path: Path, copy: Path) -> bool:
    try:
        return path.read_bytes() == copy.read_bytes()
    except OSError:
        return False


def _merge(stored: Any, old: Any, new: Any) -> Any:
    """Returns `stored` with the changes from `old` to `new`, by field."""
    groups = (stored, old, new)
    are_groups = all(isinstance(group, Mapping) for group in groups)
    if not are_groups or len({group.get("class") for group in groups}) > 1:
        return stored if old == new else new
    merged = {
        name: _merge(*(group.get(name, _ABSENT) for group in groups)) for name in {**stored, **new}
    }
    return {name: value for name, value in merged.items() if value is not _ABSENT}
