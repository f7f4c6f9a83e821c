"""Names of the data that a run without actors learns from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from mukoe.errors import UserError
from mukoe.replay.datasets.storage import data_folder

_MINARI = "minari:"


class Source(NamedTuple):
    """Name of a source of episodes, with its weight.

    kind: 'workdir' of a run with a stored replay, or 'minari' for a data set.
    name: absolute path of the workdir, or name of the data set.
    weight: share of the samples, in proportion to the other weights; None without one.
    """

    kind: Literal["workdir", "minari"]
    name: str
    weight: float | None = None

    def __str__(self) -> str:
        name = f"{_MINARI}{self.name}" if self.kind == "minari" else self.name
        return name if self.weight is None else f"{name}:{self.weight!r}"


def parse_sources(text: str) -> list[Source]:
    """Parses `SOURCE` or `SOURCE:WEIGHT,SOURCE:WEIGHT,...`.

    A source is `minari:NAME` or the path of a workdir.

    Raises:
      UserError: a part is empty, a name is none of a data set, a weight is not positive, or some
        sources have a weight and others have none.
    """
    if text and Path(text).expanduser().is_dir():
        return [_named(text, None)]
    sources = [_parse(part.strip()) for part in text.split(",")]
    if len({source.weight is None for source in sources}) > 1:
        raise UserError(f"'{text}': give every source a weight, or none of them")
    return sources


def parse_source(text: str) -> Source:
    """Parses one source without a weight.

    Raises:
      UserError: the text is empty, or the name is none of a data set.
    """
    if not text:
        raise UserError("the source is empty: give the workdir of a run, or minari:NAME")
    return _named(text, None)


def canonical_text(text: str) -> str:
    """Returns the text of the same sources with absolute paths."""
    return join_sources(parse_sources(text))


def join_sources(sources: Sequence[Source]) -> str:
    """Returns the text that `parse_sources` parses."""
    return ",".join(map(str, sources))


def _parse(part: str) -> Source:
    if not part:
        raise UserError("a source is empty: give the workdir of a run, or minari:NAME")
    name, colon, weight = part.rpartition(":")
    if not colon or part == _MINARI + weight or Path(part).expanduser().is_dir():
        return _named(part, None)
    try:
        value = float(weight)
    except ValueError as error:
        raise UserError(
            f"'{part}': the weight after the colon must be a number, not '{weight}'"
        ) from error
    if not 0 < value < float("inf"):
        raise UserError(f"'{part}': the weight must be a positive number, not {weight}")
    return _named(name, value)


def _named(name: str, weight: float | None) -> Source:
    if name.startswith(_MINARI):
        dataset = name.removeprefix(_MINARI)
        data_folder(dataset)
        return Source("minari", dataset, weight)
    return Source("workdir", str(Path(name).expanduser().resolve()), weight)
