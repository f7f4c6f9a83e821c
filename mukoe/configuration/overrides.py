"""Overrides of configuration fields, written as text: `--config.FIELD=VALUE`."""

import ast
import dataclasses
import difflib
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from mukoe.configuration.fields import (
    UnknownFieldError,
    check_names,
    convert,
    field_types,
    item_type,
    union_members,
    wrong_value,
)
from mukoe.errors import UserError

T = TypeVar("T")

_MOST_NAMES = 3


def apply_overrides(config: T, overrides: Mapping[str, str]) -> T:
    """Returns the configuration with fields replaced by values written as text.

    Args:
      config: frozen dataclass.
      overrides: text by dotted field name, such as `agent.search.num_simulations`. Tuples are
        written `1,2,3`, None is written `none`, mappings `{'name': 1}`.

    Raises:
      UserError: a field is unknown (the message lists the nearest names and all fields), its text
        does not have the field's type, or its value is out of bounds.
    """
    for name, text in overrides.items():
        try:
            config = _override(config, name.split("."), text, "")
        except UnknownFieldError as error:
            raise UserError(_with_other_groups(str(error), name, config)) from error
    return config


def _with_other_groups(message: str, name: str, config: Any) -> str:
    """Returns the message about an unknown field with similar fields of other groups."""
    fields: dict[str, list[str]] = {}
    for path in _paths(config):
        fields.setdefault(path.rpartition(".")[2], []).append(path)
    near = difflib.get_close_matches(name.rpartition(".")[2], fields, n=1, cutoff=0.8)
    if not near:
        return message
    subject, _, rest = message.partition(": ")
    return f"{subject}: did you mean {' or '.join(fields[near[0]][:_MOST_NAMES])}? {rest}"


def _paths(config: Any, prefix: str = "") -> Iterator[str]:
    """Yields the dotted names of the fields of a configuration, groups included."""
    for name in field_types(type(config)):
        yield prefix + name
        if dataclasses.is_dataclass(value := getattr(config, name)):
            yield from _paths(value, f"{prefix}{name}.")


def _override(config: Any, path: Sequence[str], text: str, prefix: str) -> Any:
    name, rest = path[0], path[1:]
    where = prefix + name
    hints = field_types(type(config))
    check_names([name], hints, prefix)
    value, hint = getattr(config, name), hints[name]
    if isinstance(value, Mapping) and len(rest) == 1:
        item = _from_text(item_type(hint), text, ".".join([where, *rest]))
        new: Any = {**value, rest[0]: item}
    elif dataclasses.is_dataclass(value) and rest:
        new = _override(value, rest, text, where + ".")
    elif rest:
        raise UserError(f"config field {where!r} is a value and has no field {'.'.join(rest)!r}")
    elif isinstance(value, Mapping):
        new = _mapping_from_text(hint, text, where)
    elif dataclasses.is_dataclass(value):
        fields = ", ".join(field_types(type(value)))
        raise UserError(f"config field {where!r} is a group; set one of its fields: {fields}")
    else:
        new = _from_text(hint, text, where)
    try:
        return dataclasses.replace(config, **{name: new})
    except UserError as error:
        raise UserError(_name_in_full(".".join([where, *rest]), str(error))) from error


def _mapping_from_text(hint: Any, text: str, where: str) -> Any:
    literal = _literal(text.strip())
    if not isinstance(literal, dict):
        raise UserError(
            f"config field {where!r} is a mapping: give a dict, such as {{'name': 1}}, or one "
            f"entry as {where}.NAME=VALUE, not {text!r}"
        )
    return convert(hint, literal, where, True)


def _name_in_full(name: str, message: str) -> str:
    """Returns a message of a group about one of its fields with the field's full name."""
    subject, _, rest = message.partition(" ")
    if f".{name}".endswith(f".{subject}"):
        return f"{name} {rest}"
    return message if name in message else f"config field {name!r}: {message}"


def _from_text(hint: Any, text: str, where: str) -> Any:
    """Returns the value of a text: a Python literal, else a bare word, else items with commas."""
    literal = _literal(text.strip())
    if hint is Any:
        return literal
    candidates: list[tuple[Any, bool]] = [(text, False)]
    if not isinstance(literal, str):
        candidates.insert(0, (literal, True))
    if any(typing.get_origin(member) is tuple for member in union_members(hint)):
        items = [item.strip() for item in text.strip("()[] ").split(",")]
        candidates.append(([item for item in items if item], False))
    for value, strict in candidates:
        try:
            return convert(hint, value, where, strict)
        except UserError as error:
            last = error
    if isinstance(last.__cause__, msgspec.ValidationError):
        raise wrong_value(hint, text if isinstance(literal, bool | None) else literal, where)
    raise last


def _literal(text: str) -> Any:
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
