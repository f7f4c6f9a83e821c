"""Named parts that a configuration chooses, open to parts from a user's own module."""

import difflib
import importlib
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from mukoe.configuration.import_folders import add_current_folder_with
from mukoe.errors import UserError

T = TypeVar("T")


class Registry(Generic[T]):
    """Parts of one kind by name.

    A name without a colon is one of the registered names. A name with a colon is the import path
    of a part from any module, `package.module:attribute`.
    """

    def __init__(self, kind: str, parts: Mapping[str, T]):
        """Creates a registry.

        Args:
          kind: noun for error messages, such as `torso`.
          parts: registered parts by name.
        """
        self._kind = kind
        self._parts = dict(parts)

    def __getitem__(self, name: str) -> T:
        """Returns the part of a name.

        Raises:
          UserError: the name is not registered, or its module or attribute cannot be imported.
        """
        if ":" in name:
            return import_part(self._kind, name)
        if name not in self._parts:
            near = difflib.get_close_matches(name, self._parts, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(
                f"unknown {self._kind} {name!r}: {hint}known are {', '.join(self.names)}, and "
                f"{self._kind}s of other modules as package.module:attribute"
            )
        return self._parts[name]

    @property
    def names(self) -> tuple[str, ...]:
        """Registered names."""
        return tuple(self._parts)

    def register(self, name: str) -> Callable[[T], T]:
        """Returns a decorator that registers a part under `name`."""

        def decorate(part: T) -> T:
            if name in self._parts:
                raise ValueError(f"the {self._kind} {name!r} is registered twice")
            self._parts[name] = part
            return part

        return decorate


def import_part(kind: str, name: str) -> Any:
    """Returns the attribute of an import path `package.module:attribute`.

    Args:
      kind: noun for error messages, such as `torso`.
      name: import path.

    Raises:
      UserError: the module or the attribute cannot be imported.
    """
    module_name, _, attribute = name.partition(":")
    module = import_module(module_name, f"{kind} {name!r}")
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise UserError(
            f"cannot import {kind} {name!r}: module {module_name} has no attribute {attribute!r}"
        ) from error


def import_module(module: str, part: str) -> ModuleType:
    """Returns a module of the user.

    It may lie beside the config file, in the current directory or on PYTHONPATH.

    Args:
      module: name of the module.
      part: quoted name of the imported part for error messages.

    Raises:
      UserError: there is no such module, or its import fails; the message has the cause.
    """
    add_current_folder_with(module)
    try:
        return importlib.import_module(module)
    except Exception as error:  # any error of the user's module
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module}.".startswith(f"{missing}."):
            cause = (
                f"{error}; install it, or put it beside the config file, into the current "
                "directory or on PYTHONPATH"
            )
        else:
            cause = describe_error(error)
        raise UserError(f"cannot import {part}: {cause}") from error


def describe_error(error: Exception) -> str:
    """Returns type, text and origin of an error in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [(f.filename, f.lineno) for f in frames if "importlib" not in f.filename]
    if isinstance(error, SyntaxError):
        places, text = [(error.filename or "", error.lineno)], error.msg
    else:
        text = str(error)
    place = f" ({Path(places[-1][0]).name} line {places[-1][1]})" if places else ""
    return f"{type(error).__name__}: {' '.join(text.split())}{place}"
