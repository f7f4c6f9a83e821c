"""Configurations as plain values: nested dicts, lists and scalars, as in config.json."""

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from mukoe.configuration.fields import (
    check_names,
    convert,
    field_types,
    union_members,
    wrong_value,
)
from mukoe.configuration.registry import import_part
from mukoe.errors import UserError

T = TypeVar("T")

_CLASS = "class"  # A keyword, so no field has this name.


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

    Classes of a config file, a script or a notebook cannot.
    """
    if kind.__module__ == "__main__":
        return None
    found = getattr(sys.modules.get(kind.__module__), kind.__qualname__, None)
    return f"{kind.__module__}:{kind.__qualname__}" if found is kind else None


def _split_class(values: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Returns the class of a group, None if it has none, and its other items."""
    fields = dict(values)
    name = fields.pop(_CLASS, None)
    return (None if name is None else import_part("configuration class", name)), fields


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
    check_names(values, hints, prefix)
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
    check_names(values, hints, prefix)
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


def _build(hint: Any, value: Any, where: str) -> Any:
    """Builds a group or a value from plain data."""
    if isinstance(value, Mapping) and _CLASS in value:
        kind, fields = _split_class(value)
        return from_dict(kind, fields, where + ".")
    kinds = [member for member in union_members(hint) if dataclasses.is_dataclass(member)]
    if not kinds or value is None:
        return convert(hint, value, where)
    if not isinstance(value, Mapping):
        raise wrong_value(hint, value, where)
    exact = [kind for kind in kinds if set(field_types(kind)) == set(value)]
    return from_dict((exact or kinds)[0], value, where + ".")  # type: ignore[arg-type]
