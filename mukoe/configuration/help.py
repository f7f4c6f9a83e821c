"""Help text of a configuration: every field with its comment, type, bounds and value."""

import ast
import dataclasses
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from mukoe.configuration.fields import describe, field_types

_WIDTH = 100
_INDENT = 8 * " "


def config_help(config: Any, name: str = "config") -> str:
    """Returns the help text of a configuration.

    Args:
      config: dataclass, as loaded.
      name: name of the flag that sets its fields.
    """
    lines = [f"\nFields of --{name}, set by --{name}.FIELD=VALUE:"]
    for path, hint, value, comment in config_fields(config, ""):
        if dataclasses.is_dataclass(value):
            title = f"{path} ({type(value).__name__}): {comment}"
            lines += ["", *textwrap.wrap(title, _WIDTH)]
        else:
            lines += [f"    --{name}.{path}={value_text(value)}"]
            lines += _wrapped(describe(hint)) + _wrapped(comment)
    return "\n".join(lines)


def config_fields(config: Any, prefix: str) -> Iterator[tuple[str, Any, Any, str]]:
    """Yields dotted name, annotation, value and comment of each field; values before groups."""
    comments = field_comments(type(config))
    hints = field_types(type(config))
    for name in sorted(hints, key=lambda name: dataclasses.is_dataclass(getattr(config, name))):
        value = getattr(config, name)
        is_group = dataclasses.is_dataclass(value)
        comment = comments.get(name, "")
        if is_group and not comment:
            comment = " ".join((inspect.getdoc(type(value)) or "").split("\n\n")[0].split())
        yield prefix + name, hints[name], value, comment
        if is_group:
            yield from config_fields(value, f"{prefix}{name}.")


def field_comments(config_type: type) -> Mapping[str, str]:
    """Returns the comment lines above each field of a dataclass and of its bases."""
    comments: dict[str, str] = {}
    for base in reversed(config_type.__mro__):
        try:
            lines = textwrap.dedent(inspect.getsource(base)).splitlines()
        except (OSError, TypeError):
            continue  # A class without source, such as one from a config file.
        (tree,) = ast.parse("\n".join(lines)).body
        assert isinstance(tree, ast.ClassDef)
        for node in tree.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                above = (line.strip() for line in reversed(lines[: node.lineno - 1]))
                block = itertools.takewhile(lambda line: line.startswith("#"), above)
                text = [line.lstrip("# ") for line in block]
                comments[node.target.id] = " ".join(reversed(text))
    return comments


def value_text(value: Any) -> str:
    """Returns a value as it is written on the command line."""
    if isinstance(value, tuple) and not any(isinstance(item, tuple) for item in value):
        return ",".join(map(str, value))
    if isinstance(value, bool | None):
        return str(value).lower()
    return str(value).replace(" ", "") if isinstance(value, tuple) else str(value)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
