"""Similarity of environment names, for suggestions."""

import difflib
import re
from collections.abc import Iterable

_CUTOFF = 0.65
_CUTOFF_BELOW_BEST = 0.2
_MAX_NAMES = 3


def similar_names(typed: str, names: Iterable[str]) -> list[str]:
    """Returns the names that are most similar to a typed one, the best one first, at most 3.

    Case, punctuation, order of the words and version do not count: `Breakout-MinAtar-v1` is similar
    to `minatar-breakout`.
    """
    scores = {name: _similarity(typed, name) for name in names}
    least = max(_CUTOFF, max(scores.values(), default=0.0) - _CUTOFF_BELOW_BEST)
    near = [name for name, score in scores.items() if score >= least]
    return sorted(near, key=lambda name: -scores[name])[:_MAX_NAMES]


def _similarity(typed: str, name: str) -> float:
    """Returns the similarity of a typed name and a name, in [0, 1]."""
    words, other_words = _words(typed), _words(name)
    letters, others = "".join(words), "".join(other_words)
    if not letters:
        return 0.0
    if sorted(letters) == sorted(others):
        return 1.0
    if letters in other_words:
        return 0.95
    if min(len(letters), len(others)) >= 4 and (letters in others or others in letters):
        return 0.9
    return difflib.SequenceMatcher(None, letters, others).ratio()


def _words(name: str) -> list[str]:
    """Returns the words and numbers of a name in lower case, without module and version."""
    base = re.sub(r"-v\d+$", "", name.split(":")[-1])
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", base)]
