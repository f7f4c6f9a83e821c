"""Fields of a configuration: their annotations, validation by msgspec, and their types in words.

A field is annotated with `int`, `float`, `bool`, `str`, `None`, `Any`, `Literal`, a tuple, a
mapping or a union of these, with bounds (`Annotated[int, Meta(ge=1)]`), or with the dataclass of a
group.
"""

import dataclasses
import difflib
import functools
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any

import msgspec

from mukoe.errors import UserError

_MAX_FLOAT32 = (2.0 - 2.0**-23) * 2.0**127


class Validated:
    """Base of configuration dataclasses that checks types and bounds on construction.

    A subclass with a `__post_init__` of its own calls this one first.
    """

    def __post_init__(self) -> None:
        """Checks every field that is not a group.

        Raises:
          UserError: a value has the wrong type or is out of bounds.
        """
        for name, hint in field_types(type(self)).items():
            value = getattr(self, name)
            if not dataclasses.is_dataclass(value):
                convert(hint, value, f"{type(self).__name__}.{name}")


def field_types(config_type: Any) -> dict[str, Any]:
    """Returns the annotation of each field, with its bounds."""
    hints = _type_hints(config_type)
    return {field.name: hints[field.name] for field in dataclasses.fields(config_type)}


_type_hints: Callable[[Any], dict[str, Any]] = functools.cache(
    functools.partial(typing.get_type_hints, include_extras=True)
)


class UnknownFieldError(UserError):
    """Error for a name that is similar to no field of its group."""


def check_names(names: Iterable[str], known: Mapping[str, Any], prefix: str) -> None:
    """Raises a UserError, with the nearest names, for a name that is not a field.

    Args:
      names: names to check.
      known: fields of the group.
      prefix: dotted name of the group with a final dot.
    """
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            kind = UserError if near else UnknownFieldError
            raise kind(
                f"unknown config field {prefix + name!r}: {hint}"
                f"{prefix.rstrip('.') or 'the config'} has the fields {', '.join(known)}"
            )


def convert(hint: Any, value: Any, where: str, strict: bool = True) -> Any:
    """Returns a value as the annotated type.

    Args:
      hint: annotation of the field.
      value: plain value.
      where: dotted name of the field, for error messages.
      strict: False to accept numbers and booleans as text.

    Raises:
      UserError: the value has another type or is out of bounds.
    """
    try:
        converted = msgspec.convert(value, hint, strict=strict)
    except msgspec.ValidationError as error:
        raise wrong_value(hint, value, where) from error
    for number in _numbers(converted):
        if isinstance(number, int) and not -(2**63) <= number < 2**63:
            raise UserError(f"{where} must be an integer of at most 64 bits, not {number}")
        if not abs(number) <= _MAX_FLOAT32:
            raise UserError(f"{where} must be a finite number (float32), not {number}")
    return converted


def _numbers(value: Any) -> Iterator[int | float]:
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, tuple | list | Mapping):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _numbers(item)


def wrong_value(hint: Any, value: Any, where: str) -> UserError:
    """Returns the error of a value; for one of the right type it names the bounds only."""
    for member in _union(hint):
        base, *bounds = typing.get_args(member) or [member]
        if typing.get_origin(member) is Annotated and _is_a(value, base):
            return UserError(f"{where} must be {_describe_bounds(bounds[0])}, not {value!r}")
    return UserError(f"{where} must be {describe(hint)}, not {value!r}")


def _is_a(value: Any, kind: Any) -> bool:
    return type(value) is kind or (kind is float and type(value) is int)


def _union(hint: Any) -> tuple[Any, ...]:
    """Returns the members of a union, or the type itself."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)


def union_members(hint: Any) -> tuple[Any, ...]:
    """Returns the members of a union, or the type itself, without bounds."""
    return tuple(
        typing.get_args(member)[0] if typing.get_origin(member) is Annotated else member
        for member in _union(hint)
    )


def item_type(hint: Any) -> Any:
    """Returns the type of the values of a mapping."""
    arguments = typing.get_args(hint)
    return arguments[1] if len(arguments) == 2 else Any


_WORDS = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a string",
    type(None): "none",
    Any: "any value",
}


def describe(hint: Any) -> str:
    """Returns an annotation in words, with its bounds: `an integer (from 0 to 8) or none`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _WORDS:
        return _WORDS[hint]
    if origin is Annotated:
        return f"{describe(arguments[0])} ({_describe_bounds(arguments[1])})"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(describe, arguments))
    if origin is typing.Literal:
        return "one of " + ", ".join(str(argument) for argument in arguments)
    if origin is tuple:
        if Ellipsis in arguments:
            return f"a tuple (each: {describe(arguments[0])})"
        return f"a tuple of {len(arguments)} ({', '.join(map(describe, arguments))})"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping (each: {describe(item_type(hint))})"
    return f"a {getattr(hint, '__name__', hint)}"


def _describe_bounds(bounds: msgspec.Meta) -> str:
    if bounds.ge is not None and bounds.le is not None:
        return f"from {_digits(bounds.ge)} to {_digits(bounds.le)}"
    words = {"at least": bounds.ge, "above": bounds.gt, "at most": bounds.le, "below": bounds.lt}
    return " and ".join(f"{word} {_digits(b)}" for word, b in words.items() if b is not None)


def _digits(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"
