"""Names and places of Minari data sets, and the optional package `minari`."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mukoe.errors import UserError

METADATA = "metadata.json"
"""File of a data set's metadata, in its folder `data`."""

OWN_METADATA = "mukoe"
"""Key of the metadata and name of the group of infos that only this package reads."""

_NAME = re.compile(r"([-_\w]+/)*[-_\w]+-v\d+")


def root_folder() -> Path:
    """Returns the folder of all data sets: `MINARI_DATASETS_PATH` or `~/.minari/datasets`."""
    return Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")


def data_folder(name: str) -> Path:
    """Returns the folder of the data of a data set, which may not exist.

    Raises:
      UserError: the name is not `NAMESPACE/NAME-vN` or `NAME-vN`.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f"'{name}' is no name of a Minari data set; names are like cartpole/random-v0"
        )
    return root_folder() / name / "data"


def require_minari() -> None:
    """Raises a `UserError` if the package `minari`, or its HDF5 support, is missing."""
    try:
        import h5py  # noqa: F401
        import minari  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"data sets need the extra 'datasets': pip install 'mukoe[datasets]' ({error})"
        ) from error


def read_metadata(name: str) -> dict[str, Any]:
    """Returns the metadata of a data set.

    Raises:
      UserError: there is no such data set, or its metadata are damaged.
    """
    path = data_folder(name) / METADATA
    try:
        metadata = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(
            f"there is no Minari data set '{name}' in {root_folder()}; mukoe datasets lists those "
            f"that are there, and 'minari download {name}' fetches a public one"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"the metadata of data set '{name}' cannot be read: {error}") from error
    if not isinstance(metadata, dict):
        raise UserError(f"the metadata of data set '{name}' are no JSON object: {path}")
    return metadata


def own_metadata(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the part of the metadata that `DatasetWriter` added; empty for other data sets."""
    own = metadata.get(OWN_METADATA)
    return own if isinstance(own, dict) else {}


def registered_environment(metadata: Mapping[str, Any]) -> str | None:
    """Returns the Gymnasium name of the environment of a data set, None where it is unknown."""
    try:
        spec = json.loads(metadata.get("env_spec") or "{}")
    except (TypeError, ValueError):
        return None
    name = spec.get("id") if isinstance(spec, dict) else None
    return name if isinstance(name, str) else None


def dataset_names() -> Iterator[str]:
    """Yields the names of all data sets, in alphabetical order."""
    root = root_folder()
    for path in sorted(root.glob(f"**/data/{METADATA}")):
        name = path.parent.parent.relative_to(root).as_posix()
        if _NAME.fullmatch(name):
            yield name
