"""Entries of the zoo: names, certificates and parameters."""

import difflib
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mukoe.errors import UserError
from mukoe.system import write_atomically

PREFIX = "zoo:"
"""Prefix of the name of an entry that stands for a workdir."""

FOLDER = Path(__file__).parent / "entries"
"""Folder of the entries."""

CERTIFICATE_FILE = "certificate.json"
PARAMETERS_FILE = "parameters.npz"
MAX_BYTES = 3_000_000
"""Largest size of the parameters of an entry."""

_REMEDY = "install mukoe again"


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """Description of an entry.

    name: name of the entry, of its folder and after `zoo:`.
    agent: name of the agent.
    environment: name of the environment.
    seed: seed of the training.
    argv: command line of the training.
    trained_with: versions of Python and of the packages of the training.
    learner_steps: learner updates of the parameters.
    actor_steps: agent steps until then; None if unknown.
    evaluated_with: version of mukoe that evaluated the agent.
    max_steps: agent steps after which an episode of the evaluation was cut off; None for no limit.
    evaluation: result of the evaluation, as in evaluation.json.
    size: bytes of the file of the parameters.
    sha256: SHA-256 of the file of the parameters.
    """

    name: str
    agent: str
    environment: str
    seed: int
    argv: Sequence[str]
    trained_with: Mapping[str, str]
    learner_steps: int
    actor_steps: int | None
    evaluated_with: str
    max_steps: int | None
    evaluation: Mapping[str, Any]
    size: int
    sha256: str


def names() -> list[str]:
    """Returns the names of the entries, in alphabetical order."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{CERTIFICATE_FILE}"))


def certificates() -> list[Certificate]:
    """Returns the certificates of the entries, in alphabetical order of their names.

    Raises:
      UserError: a certificate cannot be read.
    """
    return [read_certificate(FOLDER / name) for name in names()]


def resolve(workdir: Path) -> Path:
    """Returns the folder of the entry that a workdir `zoo:NAME` names; other paths unchanged.

    Raises:
      UserError: there is no such entry.
    """
    text = str(workdir)
    if not text.startswith(PREFIX):
        return workdir
    name, known = text.removeprefix(PREFIX), names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {PREFIX}{near[0]}?" if near else f"it holds {', '.join(known)}"
        raise UserError(f"there is no agent {name!r} in the zoo; {hint}")
    return FOLDER / name


def is_entry(workdir: Path) -> bool:
    """Returns whether a folder is an entry instead of the workdir of a run."""
    return (workdir / CERTIFICATE_FILE).is_file()


def read_certificate(folder: Path) -> Certificate:
    """Reads the certificate of an entry.

    Raises:
      UserError: it cannot be read.
    """
    path = folder / CERTIFICATE_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Certificate)
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}): {_REMEDY}") from error


def write_certificate(folder: Path, certificate: Certificate) -> None:
    """Writes the certificate of an entry."""
    text = json.dumps(msgspec.to_builtins(certificate), indent=2)
    write_atomically(folder / CERTIFICATE_FILE, text + "\n")


def read_parameters(folder: Path) -> dict[str, np.ndarray]:
    """Reads the arrays of an entry by their names.

    Raises:
      UserError: the file is missing, or differs from its checksum in the certificate.
    """
    certificate = read_certificate(folder)
    path = folder / PARAMETERS_FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): {_REMEDY}") from error
    if checksum(content) != certificate.sha256:
        raise UserError(
            f"{path} is damaged, its checksum is not that of the certificate: {_REMEDY}"
        )
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}): {_REMEDY}") from error


def pack_parameters(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Returns the content of the file of an entry's parameters.

    Args:
      arrays: arrays of types that NumPy stores without pickling.

    Raises:
      UserError: the file is larger than an entry may be.
    """
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    content = file.getvalue()
    if len(content) > MAX_BYTES:
        raise UserError(
            f"the parameters take {len(content) / 1e6:.1f} MB, and an entry of the zoo takes at "
            f"most {MAX_BYTES / 1e6:g} MB"
        )
    return content


def checksum(content: bytes) -> str:
    """Returns the SHA-256 of bytes in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
