"""Configurations as nested frozen dataclasses: validation, JSON, values written as text.

msgspec converts and validates the value of a field by its annotation: `int`, `float`, `bool`,
`str`, `None`, `Any`, `Literal`, tuples, mappings, unions of these, and bounds
(`Annotated[int, Meta(ge=1)]`). This module adds the groups: dotted field names, groups whose class
is chosen by the config file (annotated with `Any` or a union), and errors that name the field.
"""

import ast
import dataclasses
import difflib
import functools
import importlib
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from mukoe.errors import UserError

T = TypeVar("T")

_CLASS = "class"  # A keyword, so no field has this name.
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
                _convert(hint, value, f"{type(self).__name__}.{name}")


def field_types(config_type: Any) -> dict[str, Any]:
    """Returns the annotation of each field, with its bounds."""
    hints = _type_hints(config_type)
    return {field.name: hints[field.name] for field in dataclasses.fields(config_type)}


_type_hints: Callable[[Any], dict[str, Any]] = functools.cache(
    functools.partial(typing.get_type_hints, include_extras=True)
)


def to_dict(config: Any, prefix: str = "") -> dict[str, Any]:
    """Returns a configuration as plain dicts, lists and scalars.

    A group whose class the annotation leaves open gets the item `class`, `module:name`, if that
    class can be imported.

    Args:
      config: dataclass.
      prefix: dotted name of the enclosing group with a final dot, for error messages.

    Raises:
      TypeError: a value has no plain form (a function, an array).
    """
    plain: dict[str, Any] = {}
    for name, hint in field_types(type(config)).items():
        value = getattr(config, name)
        if dataclasses.is_dataclass(value):
            kind = None if hint is type(value) else class_name(type(value))
            plain[name] = ({_CLASS: kind} if kind else {}) | to_dict(value, f"{prefix}{name}.")
        else:
            plain[name] = _plain(value, prefix + name)
    return plain


def is_importable(config: Any) -> bool:
    """Returns whether the classes of a configuration and of all its groups can be imported."""
    groups = filter(
        dataclasses.is_dataclass, (getattr(config, f) for f in field_types(type(config)))
    )
    return class_name(type(config)) is not None and all(map(is_importable, groups))


def class_name(kind: type) -> str | None:
    """Returns the import path `module:name` of a class, or None if it cannot be imported.

    Classes that a config file defines cannot.
    """
    found = getattr(sys.modules.get(kind.__module__), kind.__qualname__, None)
    return f"{kind.__module__}:{kind.__qualname__}" if found is kind else None


def import_class(name: str) -> type:
    """Returns the class of an import path.

    Raises:
      UserError: it cannot be imported.
    """
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"cannot import the configuration class {name!r}: {error}") from error


def _split_class(values: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Returns the class of a group, None if it has none, and its other items."""
    fields = dict(values)
    name = fields.pop(_CLASS, None)
    return (None if name is None else import_class(name)), fields


def _plain(value: Any, where: str) -> Any:
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except TypeError as error:
        raise TypeError(f"config field {where!r} cannot be written as JSON: {error}") from error


def from_dict(config_type: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    """Builds a configuration from the result of `to_dict`; absent fields keep their defaults.

    Args:
      config_type: dataclass to build.
      values: plain values by field.
      prefix: dotted name of the enclosing group with a final dot, for error messages.

    Raises:
      UserError: a field is unknown, missing without a default, of the wrong type or out of bounds.
    """
    hints = field_types(config_type)
    _check_names(values, hints, prefix)
    for field in dataclasses.fields(config_type):  # type: ignore[arg-type]
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and field.name not in values:
            raise UserError(f"config field {prefix + field.name!r} is missing")
    return config_type(
        **{name: _build(hints[name], value, prefix + name) for name, value in values.items()}
    )


def with_values(config: T, values: Mapping[str, Any], prefix: str = "") -> T:
    """Returns the configuration with nested plain values, such as those of `to_dict`.

    Groups without an item `class` keep the class that they have in `config`.

    Args:
      config: frozen dataclass.
      values: plain values by field.
      prefix: dotted name of the enclosing group with a final dot, for error messages.

    Raises:
      UserError: a field is unknown, of the wrong type or out of bounds.
    """
    hints = field_types(type(config))
    _check_names(values, hints, prefix)
    replaced = {}
    for name, value in values.items():
        current = getattr(config, name)
        if dataclasses.is_dataclass(current) and isinstance(value, Mapping):
            kind, fields = _split_class(value)
            same = kind in (None, type(current))
            build: Any = with_values if same else from_dict
            replaced[name] = build(current if same else kind, fields, f"{prefix}{name}.")
        else:
            replaced[name] = _build(hints[name], value, prefix + name)
    return dataclasses.replace(config, **replaced)  # type: ignore[type-var]


def apply_overrides(config: T, overrides: Mapping[str, str]) -> T:
    """Returns the configuration with fields replaced by values written as text.

    Args:
      config: frozen dataclass.
      overrides: text by dotted field name, such as `agent.search.num_simulations`. Tuples are
        written `1,2,3`, None is written `none`.

    Raises:
      UserError: a field is unknown (the message lists the nearest names and all fields), its text
        does not have the field's type, or its value is out of bounds.
    """
    for name, text in overrides.items():
        config = _override(config, name.split("."), text, "")
    return config


def _override(config: Any, path: Sequence[str], text: str, prefix: str) -> Any:
    name, rest = path[0], path[1:]
    where = prefix + name
    hints = field_types(type(config))
    _check_names([name], hints, prefix)
    value, hint = getattr(config, name), hints[name]
    if isinstance(value, Mapping) and len(rest) == 1:
        item = _from_text(_item_type(hint), text, ".".join([where, *rest]))
        new: Any = {**value, rest[0]: item}
    elif dataclasses.is_dataclass(value) and rest:
        new = _override(value, rest, text, where + ".")
    elif rest:
        raise UserError(f"config field {where!r} is a value and has no field {'.'.join(rest)!r}")
    elif dataclasses.is_dataclass(value) or isinstance(value, Mapping):
        fields = value if isinstance(value, Mapping) else field_types(type(value))
        raise UserError(
            f"config field {where!r} is a group; set one of its fields: {', '.join(fields)}"
        )
    else:
        new = _from_text(hint, text, where)
    try:
        return dataclasses.replace(config, **{name: new})
    except UserError as error:
        raise UserError(_name_in_full(".".join([where, *rest]), str(error))) from error


def _name_in_full(name: str, message: str) -> str:
    """Returns a message of a group about one of its fields with the field's full name."""
    subject, _, rest = message.partition(" ")
    if f".{name}".endswith(f".{subject}"):
        return f"{name} {rest}"
    return message if name in message else f"config field {name!r}: {message}"


def _check_names(names: Iterable[str], known: Mapping[str, Any], prefix: str) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise UserError(
                f"unknown config field {prefix + name!r}: {hint}"
                f"{prefix.rstrip('.') or 'the config'} has the fields {', '.join(known)}"
            )


def _build(hint: Any, value: Any, where: str) -> Any:
    """Builds a group or a value from plain data."""
    if isinstance(value, Mapping) and _CLASS in value:
        kind, fields = _split_class(value)
        return from_dict(kind, fields, where + ".")
    kinds = [member for member in _members(hint) if dataclasses.is_dataclass(member)]
    if not kinds or value is None:
        return _convert(hint, value, where)
    if not isinstance(value, Mapping):
        raise _wrong(hint, value, where)
    exact = [kind for kind in kinds if set(field_types(kind)) == set(value)]
    return from_dict((exact or kinds)[0], value, where + ".")  # type: ignore[arg-type]


def _convert(hint: Any, value: Any, where: str, strict: bool = True) -> Any:
    """Returns a value of the annotated type, within its bounds; raises UserError."""
    try:
        converted = msgspec.convert(value, hint, strict=strict)
    except msgspec.ValidationError as error:
        raise _wrong(hint, value, where) from error
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


def _from_text(hint: Any, text: str, where: str) -> Any:
    """Returns the value of a text: a Python literal, else a bare word, else items with commas."""
    literal = _literal(text.strip())
    if hint is Any:
        return literal
    candidates: list[tuple[Any, bool]] = [(text, False)]
    if not isinstance(literal, str):
        candidates.insert(0, (literal, True))
    if any(typing.get_origin(member) is tuple for member in _members(hint)):
        items = [item.strip() for item in text.strip("()[] ").split(",")]
        candidates.append(([item for item in items if item], False))
    for value, strict in candidates:
        try:
            return _convert(hint, value, where, strict)
        except UserError as error:
            last = error
    if isinstance(last.__cause__, msgspec.ValidationError):
        raise _wrong(hint, text if isinstance(literal, bool | None) else literal, where)
    raise last


def _literal(text: str) -> Any:
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _wrong(hint: Any, value: Any, where: str) -> UserError:
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


def _members(hint: Any) -> tuple[Any, ...]:
    """Returns the members of a union, or the type itself, without bounds."""
    return tuple(
        typing.get_args(member)[0] if typing.get_origin(member) is Annotated else member
        for member in _union(hint)
    )


def _item_type(hint: Any) -> Any:
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
    """Returns an annotation in words, with its bounds: `an integer from 0 to 8 or none`."""
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
        return f"a mapping (each: {describe(_item_type(hint))})"
    return f"a {getattr(hint, '__name__', hint)}"


def _describe_bounds(bounds: msgspec.Meta) -> str:
    if bounds.ge is not None and bounds.le is not None:
        return f"from {_digits(bounds.ge)} to {_digits(bounds.le)}"
    words = {"at least": bounds.ge, "above": bounds.gt, "at most": bounds.le, "below": bounds.lt}
    return " and ".join(f"{word} {_digits(b)}" for word, b in words.items() if b is not None)


def _digits(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"
