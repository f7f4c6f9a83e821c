"""Typed settings: nested frozen dataclasses, their JSON, and values written as text.

Configurations are nested frozen dataclasses whose fields are annotated with `int`, `float`,
`bool`, `str`, `None`, `Any`, `Literal`, an enum, `tuple`, `Mapping[str, ...]`, another
dataclass, or a union of these. Every mistake of a person becomes a `UserError` that names
the field.
"""

import ast
import collections.abc
import dataclasses
import difflib
import enum
import functools
import json
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from mukoe.configuration.bounds import is_representable
from mukoe.errors import UserError

T = TypeVar("T")

_TRUE, _FALSE = ("true", "1"), ("false", "0")


def to_dict(config: Any) -> dict[str, Any]:
    """Returns a configuration as plain dicts, lists and scalars.

    Raises:
      TypeError: a value has no plain form (a function, an array).
    """
    return {
        field.name: _to_plain(getattr(config, field.name), field.name)
        for field in dataclasses.fields(config)
    }


def _to_plain(value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_to_plain(item, where) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _to_plain(item, where) for key, item in value.items()}
    raise TypeError(f"config field {where!r}: a {type(value).__name__} cannot be written as JSON")


def from_dict(config_type: type[T], values: Mapping[str, Any]) -> T:
    """Builds a configuration from what `to_dict` gave; fields left out keep their defaults.

    Raises:
      UserError: a field is unknown, missing without a default, or of the wrong type.
    """
    return _build(config_type, values, "")


def with_values(config: T, values: Mapping[str, Any]) -> T:
    """Returns the configuration with the values that `to_dict` gave for one of its kind.

    Groups keep the type that they have in `config`, so fields may be annotated with `Any`.

    Raises:
      UserError: a field is unknown, or of the wrong type.
    """
    return _with_values(config, values, "")


def _with_values(config: Any, values: Mapping[str, Any], prefix: str) -> Any:
    hints = _field_types(type(config))
    replaced = {}
    for name, value in values.items():
        if name not in hints:
            raise UserError(_unknown_field(prefix + name, name, prefix, hints))
        current = getattr(config, name)
        if dataclasses.is_dataclass(current) and isinstance(value, Mapping):
            replaced[name] = _with_values(current, value, f"{prefix}{name}.")
        else:
            replaced[name] = _build(hints[name], value, prefix + name)
    return dataclasses.replace(config, **replaced)


def to_json(config: Any) -> str:
    """Returns the configuration as indented JSON with a final newline."""
    return json.dumps(to_dict(config), indent=2) + "\n"


def from_json(config_type: type[T], text: str) -> T:
    """Builds a configuration from what `to_json` gave.

    Raises:
      UserError: the text is not JSON, or see `from_dict`.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"the configuration is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise UserError("the configuration is not a JSON object")
    return from_dict(config_type, values)


def apply_overrides(config: T, overrides: Mapping[str, str]) -> T:
    """Returns the configuration with fields replaced by values written as text.

    Args:
      config: a frozen dataclass.
      overrides: dotted field names, such as `agent.search.num_simulations`, and what was
        typed for them. Tuples are written `1,2,3`; None is written `none`.

    Raises:
      UserError: a field is unknown (says which are near and which there are), its text is not
        of the field's type (says what is expected), or the config refuses the value.
    """
    for name, text in overrides.items():
        try:
            config = _override(config, name.split("."), text, "")
        except UserError as error:
            raise UserError(_name_in_full(name, str(error))) from error
    return config


def _name_in_full(name: str, message: str) -> str:
    """What a group says about one of its fields, with the name as it was typed."""
    subject, _, rest = message.partition(" ")
    if f".{name}".endswith(f".{subject}"):
        return f"{name} {rest}"
    return message if name in message else f"config field {name!r}: {message}"


def _override(
    config: Any, path: Sequence[str], text: str, prefix: str, item_type: Any = Any
) -> Any:
    name, rest = path[0], path[1:]
    where = prefix + name
    if isinstance(config, Mapping):
        if rest:
            raise UserError(f"config field {where!r} is a value and has no fields of its own")
        return {**config, name: _from_text(item_type, text, where)}
    hints = _field_types(type(config))
    if name not in hints:
        raise UserError(_unknown_field(where, name, prefix, hints))
    value = getattr(config, name)
    is_group = _is_group(value)
    if rest and not is_group:
        raise UserError(f"config field {where!r} is a value and has no field {'.'.join(rest)!r}")
    if not rest and is_group:
        inner = value if isinstance(value, Mapping) else _field_types(type(value))
        raise UserError(
            f"config field {where!r} is a group; set one of its fields: {', '.join(inner)}"
        )
    if rest:
        new = _override(value, rest, text, where + ".", _item_type(hints[name]))
    else:
        new = _from_text(hints[name], text, where)
    return dataclasses.replace(config, **{name: new})


def _item_type(expected: Any) -> Any:
    """Returns the type of the values of a mapping; Any for every other type."""
    arguments = typing.get_args(expected)
    return arguments[1] if _is_mapping(expected) and arguments else Any


def _is_group(value: Any) -> bool:
    return isinstance(value, Mapping) or dataclasses.is_dataclass(value)


def _field_types(config_type: type) -> dict[str, Any]:
    hints = _type_hints(config_type)
    return {field.name: hints[field.name] for field in dataclasses.fields(config_type)}


_type_hints: Callable[[type], dict[str, Any]] = functools.cache(typing.get_type_hints)


def _unknown_field(where: str, name: str, prefix: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    group = prefix.rstrip(".") or "the config"
    return f"unknown config field {where!r}: {hint}{group} has the fields {', '.join(known)}"


def _wrong_type(where: str, expected: Any, value: Any) -> UserError:
    return UserError(f"config field {where!r} takes {_describe(expected)}, got {value!r}")


def _describe(expected: Any) -> str:
    """Returns a type in words."""
    words = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected in words:
        return words[expected]
    if expected is type(None):
        return "none"
    if _is_union(expected):
        return " or ".join(_describe(argument) for argument in arguments)
    if origin is typing.Literal:
        return "one of " + ", ".join(str(argument) for argument in arguments)
    if isinstance(expected, type) and issubclass(expected, enum.Enum):
        return "one of " + ", ".join(expected.__members__)
    if origin is tuple:
        inner = {_describe(argument) for argument in arguments if argument is not Ellipsis}
        count = "" if Ellipsis in arguments else f" of {len(arguments)}"
        return f"a tuple{count} (each: {', '.join(sorted(inner))})"
    return f"a {getattr(expected, '__name__', expected)}"


def _is_union(expected: Any) -> bool:
    return typing.get_origin(expected) in (typing.Union, types.UnionType)


def _is_mapping(expected: Any) -> bool:
    origin = typing.get_origin(expected) or expected
    return isinstance(origin, type) and issubclass(origin, collections.abc.Mapping)


def _build(expected: Any, value: Any, where: str) -> Any:
    """Builds a value of the expected type from plain data; raises UserError."""
    if dataclasses.is_dataclass(expected):
        return _build_dataclass(expected, value, where)
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected is Any:
        return value
    if _is_union(expected):
        return _build_union(expected, value, where)
    if origin is typing.Literal:
        matches = [option for option in arguments if _same(option, value)]
        if not matches:
            raise _wrong_type(where, expected, value)
        return matches[0]
    if isinstance(expected, type) and issubclass(expected, enum.Enum):
        if isinstance(value, expected):
            return value
        if value not in expected.__members__:
            raise _wrong_type(where, expected, value)
        return expected[value]
    if origin is tuple or expected is tuple:
        return _build_tuple(expected, value, where)
    if _is_mapping(expected):
        if not isinstance(value, Mapping):
            raise _wrong_type(where, expected, value)
        inner = _item_type(expected)
        return {key: _build(inner, item, f"{where}.{key}") for key, item in value.items()}
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if expected in (int, float, bool, str, type(None)):
        if type(value) is not expected:
            raise _wrong_type(where, expected, value)
        return value
    raise TypeError(f"config field {where!r} is annotated with {expected}, which is not supported")


def _same(option: Any, value: Any) -> bool:
    return type(option) is type(value) and option == value


def _build_dataclass(expected: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise _wrong_type(where, expected, value)
    prefix = f"{where}." if where else ""
    hints = _field_types(expected)
    for name in value:
        if name not in hints:
            raise UserError(_unknown_field(prefix + name, name, prefix, hints))
    for field in dataclasses.fields(expected):
        absent = field.default is field.default_factory is dataclasses.MISSING
        if absent and field.name not in value:
            raise UserError(f"config field {prefix + field.name!r} is missing")
    return expected(
        **{name: _build(hints[name], item, prefix + name) for name, item in value.items()}
    )


def _build_union(expected: Any, value: Any, where: str) -> Any:
    """Takes the first member of the union that fits; exact fits come before conversions."""

    def converts(member: Any) -> bool:
        if dataclasses.is_dataclass(member) and isinstance(value, Mapping):
            return {field.name for field in dataclasses.fields(member)} != set(value)
        return member is not type(value)

    for member in sorted(typing.get_args(expected), key=converts):
        try:
            return _build(member, value, where)
        except UserError:
            continue
    raise _wrong_type(where, expected, value)


def _tuple_members(expected: Any, values: Sequence[Any], where: str) -> list[Any]:
    """Returns the type of each item."""
    arguments = typing.get_args(expected)
    if not arguments:
        return [Any] * len(values)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return [arguments[0]] * len(values)
    if len(arguments) != len(values):
        raise _wrong_type(where, expected, tuple(values))
    return list(arguments)


def _build_tuple(expected: Any, value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong_type(where, expected, value)
    members = _tuple_members(expected, value, where)
    return tuple(_build(member, item, where) for member, item in zip(members, value, strict=True))


def _from_text(expected: Any, text: str, where: str) -> Any:
    """Builds a value of the expected type from what was typed; raises UserError."""
    origin = typing.get_origin(expected)
    plain = text.strip()
    if expected is Any:
        return _literal(plain)
    if _is_union(expected):
        return _union_from_text(expected, text, where)
    if expected is type(None) and plain.lower() == "none":
        return None
    if expected is bool and plain.lower() in _TRUE + _FALSE:
        return plain.lower() in _TRUE
    if expected is int:
        return _int_from_text(plain, where)
    if expected is float:
        return _float_from_text(plain, where)
    if origin is typing.Literal:
        for option in typing.get_args(expected):
            if str(option).lower() == plain.lower():
                return option
    if origin is tuple or expected is tuple:
        items = [item for item in plain.strip("()[]").split(",") if item.strip()]
        members = _tuple_members(expected, items, where)
        pairs = zip(members, items, strict=True)
        return tuple(_from_text(member, item.strip(), where) for member, item in pairs)
    if expected is str or (isinstance(expected, type) and issubclass(expected, enum.Enum)):
        return _build(expected, text, where)
    raise _wrong_type(where, expected, text)


def _literal(text: str) -> Any:
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _int_from_text(text: str, where: str) -> int:
    """Reads `12`, `12_000` and whole numbers such as `2e8`."""
    try:
        whole = int(text)
    except ValueError:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not number.is_integer():
            raise _wrong_type(where, int, text) from None
        whole = int(number)
    if not is_representable(whole):
        raise UserError(f"config field {where!r} takes an integer of at most 64 bits, got {text!r}")
    return whole


def _float_from_text(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise _wrong_type(where, float, text) from error
    if not is_representable(number):
        raise UserError(f"config field {where!r} takes a finite number, got {text!r}")
    return number


def _union_from_text(expected: Any, text: str, where: str) -> Any:
    """Tries None first and text last, since any text is a text."""
    order = [type(None), bool, int, float]
    rank = {member: index for index, member in enumerate(order)}
    members = typing.get_args(expected)
    for member in sorted(members, key=lambda m: 9 if m is str else rank.get(m, 5)):
        try:
            return _from_text(member, text, where)
        except UserError:
            continue
    raise _wrong_type(where, expected, text)
