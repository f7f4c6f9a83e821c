"""Encoders of texts, sequences and images of choices among Gymnasium's observations."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from mukoe.errors import UserError
from mukoe.types import ChoiceImage, SequenceArray, TokenArray

_MAX_CHOICES = 127  # int8
_UNKNOWN = 1


class SequenceLimits(NamedTuple):
    """Bounds of texts and sequences.

    length: greatest number of entries of a sequence, and of words of a text with a vocabulary.
    vocabulary: words of texts; empty for their characters.
    """

    length: int = 32
    vocabulary: tuple[str, ...] = ()


DEFAULT_LIMITS = SequenceLimits()
"""Sequences of 32 entries, texts of characters."""


class WordText(spaces.Text):
    """Space of texts whose tokens are words, if no other vocabulary is given."""

    def __init__(self, max_length: int, words: tuple[str, ...]):
        """Makes the space of texts of at most `max_length` characters."""
        super().__init__(max_length)
        self.words = words


def text_encoder(
    space: spaces.Text, part: str, limits: SequenceLimits
) -> tuple[TokenArray, Callable[[Any], np.ndarray]]:
    """Returns spec and encoder of texts.

    Tokens are characters of the space, or words of the vocabulary in lower case, of which token 1
    stands for all others.
    """
    vocabulary = limits.vocabulary or (space.words if isinstance(space, WordText) else ())
    words = {word.lower(): token for token, word in enumerate(vocabulary, _UNKNOWN + 1)}
    characters = {character: token for token, character in enumerate(space.character_list, 1)}
    length = limits.length if words else int(space.max_length)
    spec = TokenArray(length, len(words) + 2 if words else len(characters) + 1)

    def tokenize(text: str) -> list[int]:
        if words:
            return [words.get(word, _UNKNOWN) for word in re.findall(r"\w+", text.lower())]
        outside = sorted(set(text) - set(characters))
        if outside:
            raise UserError(f"{part} has characters outside its space: {' '.join(outside)[:40]!r}")
        return [characters[character] for character in text]

    def encode(observation: Any) -> np.ndarray:
        if not isinstance(observation, str):
            raise UserError(f"{part} must be a text; got {type(observation).__name__}")
        tokens = tokenize(observation)
        if len(tokens) > length:
            remedy = "; raise --config.environment.sequence_length" if words else ""
            raise UserError(f"{part} has {len(tokens)} tokens, and at most {length} fit{remedy}")
        return np.array(tokens + [0] * (length - len(tokens)), np.int32)

    return spec, encode


def sequence_encoder(
    width: int, encode_entry: Callable[[Any], np.ndarray], part: str, limits: SequenceLimits
) -> tuple[SequenceArray, Callable[[Any], np.ndarray]]:
    """Returns spec and encoder of sequences.

    Args:
        width: length of an encoded entry.
        encode_entry: encoder of an entry.
        part: name of the part for error messages.
        limits: bounds of sequences.
    """

    def encode(observation: Any) -> np.ndarray:
        try:
            entries = [np.ravel(encode_entry(entry)) for entry in observation]
        except TypeError as error:
            raise UserError(
                f"{part} must be a sequence; got {type(observation).__name__}"
            ) from error
        if len(entries) > limits.length:
            raise UserError(
                f"{part} has {len(entries)} entries, and at most {limits.length} fit; raise "
                "--config.environment.sequence_length"
            )
        array = np.zeros((limits.length, 1 + width), np.float32)
        for row, entry in zip(array, entries, strict=False):
            row[0], row[1:] = 1.0, entry
        return array

    return SequenceArray(limits.length, width), encode


def is_choice_image(space: spaces.MultiDiscrete) -> bool:
    """Returns whether choices are `[H, W, C]`, with the same number of choices in all places."""
    counts = space.nvec
    return (
        counts.ndim == 3
        and bool((counts == counts[0, 0]).all())
        and int(counts.max()) <= _MAX_CHOICES
    )


def choice_image_encoder(
    space: spaces.MultiDiscrete, part: str
) -> tuple[ChoiceImage, Callable[[Any], np.ndarray]]:
    """Returns spec and encoder of images of choices; see `is_choice_image`."""
    spec = ChoiceImage(space.shape, space.nvec[0, 0].tolist())

    def encode(observation: Any) -> np.ndarray:
        choices = np.asarray(observation)
        if choices.shape != space.shape or choices.dtype.kind not in "iub":
            raise UserError(
                f"{part} must be integers of shape {space.shape}; got shape {choices.shape}, dtype "
                f"{choices.dtype}"
            )
        choices = choices.astype(np.int64) - space.start
        outside = (choices < 0) | (choices >= space.nvec)
        if outside.any():
            place = tuple(int(i) for i in np.argwhere(outside)[0])
            raise UserError(
                f"{part} must be in 0..{int(space.nvec[place]) - 1} at {place}; got "
                f"{int(choices[place])}"
            )
        return choices.astype(np.int8)

    return spec, encode
