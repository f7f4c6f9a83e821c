"""Environments of all families by name: lookup and list.

A family is a kind of environment with its own configuration class. A name belongs to the first
family that has it.
"""

import dataclasses
import importlib.util
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mukoe.environments.dm_control.config import DmControlConfig
from mukoe.environments.dm_control.names import PREFIX, TASKS, is_installed
from mukoe.environments.dm_env_rpc.config import SCHEME, DmEnvRpcConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.games import PGX_GAMES, is_own_game
from mukoe.environments.similar_names import similar_names
from mukoe.errors import UserError

_log = logging.getLogger("mukoe")


class ListedEnvironment(NamedTuple):
    """An environment in the list of all families.

    name: name of the environment, as in `--env=NAME`.
    family: title of its family.
    note: number of players or a missing package; empty without either.
    """

    name: str
    family: str
    note: str


class Family(NamedTuple):
    """A kind of environments.

    title: name for lists and messages.
    field: field of the configuration that holds the name.
    make_config: function from a name to the configuration with default values.
    find: function from a typed name to the name of the family's environment, or None.
    listed: function that yields the names and notes of the list.
    """

    title: str
    field: str
    make_config: Callable[[str], Any]
    find: Callable[[str], str | None]
    listed: Callable[[], Iterator[tuple[str, str]]]


def named_environment(env: str, config: Any = None) -> Any:
    """Returns the configuration of the environment with a name.

    Args:
        env: name of an environment of any family; see `FAMILIES`.
        config: current configuration. Its other fields are kept if it belongs to the family and
            they are valid for the new name.

    Raises:
        UserError: no family has the name; the message suggests names of all families.
    """
    for family in FAMILIES:
        name = family.find(env)
        if name is not None:
            return _configure(family, name, config)
    raise UserError(_describe_unknown(env))


def list_environments(word: str = "") -> list[ListedEnvironment]:
    """Returns the environments of all families.

    Args:
        word: part of the name, the family or the note, in any case; empty for all environments.
    """
    rows = [
        ListedEnvironment(name, family.title, note)
        for family in FAMILIES
        for name, note in family.listed()
    ]
    return [row for row in rows if word.lower() in " ".join(row).lower()]


def _configure(family: Family, name: str, config: Any) -> Any:
    new = family.make_config(name)
    is_users = family.title == "Gymnasium" and hasattr(config, family.field)
    if not isinstance(config, type(new)) and not is_users:
        return new
    try:
        return dataclasses.replace(config, **{family.field: name})
    except UserError as error:
        _log.warning("%s has the default settings: %s", name, error)
        return new


def _describe_unknown(env: str) -> str:
    from mukoe.environments.gymnasium.names import uninstalled_package

    families = {row.name: row.family for row in list_environments()}
    near = [f"{name} ({families[name]})" for name in similar_names(env, families)]
    if missing := uninstalled_package(env):
        hint = f"{missing}."
    elif near:
        hint = f"did you mean {' or '.join(near)}?"
    elif re.search(r"-v\d+$", env):
        hint = f"if a package registers it, name its module: --env=MODULE:{env}."
    else:
        hint = "no name is similar."
    return f"there is no environment '{env}'; {hint} mukoe environments lists all names"


def _find_server(env: str) -> str | None:
    return env if env.startswith("dm_env_rpc:") else None


def _list_servers() -> Iterator[tuple[str, str]]:
    yield f"{SCHEME}HOST:PORT", "environment of a server"


def _find_dm_control(env: str) -> str | None:
    return env.removeprefix(PREFIX) if env.startswith(PREFIX) else None


def _list_dm_control() -> Iterator[tuple[str, str]]:
    missing = "" if is_installed() else "needs pip install 'mukoe[control]'"
    for task in TASKS:
        yield f"{PREFIX}{task}", missing


def _find_pgx(env: str) -> str | None:
    return env if env in PGX_GAMES and not is_own_game(env) else None


def _list_pgx() -> Iterator[tuple[str, str]]:
    missing = "" if importlib.util.find_spec("pgx") else ", needs pip install 'mukoe[games]'"
    for name, traits in PGX_GAMES.items():
        yield name, f"{traits.players} player{'s' * (traits.players > 1)}" + missing


def _make_atari(name: str) -> Any:
    from mukoe.environments.atari.config import AtariConfig

    return AtariConfig(name)


def _find_atari(env: str) -> str | None:
    from mukoe.environments.atari.roms import game_names

    return env if env in game_names() else None


def _list_atari() -> Iterator[tuple[str, str]]:
    from mukoe.environments.atari.roms import game_names

    for name in game_names():
        yield name, ""


def _find_gymnasium(env: str) -> str | None:
    from mukoe.environments.gymnasium.names import registered_name

    return registered_name(env)


def _list_gymnasium() -> Iterator[tuple[str, str]]:
    from mukoe.environments.gymnasium.names import gymnasium_names, missing_package

    yield "MODULE:NAME-v0", "environment that a module registers"
    for name in gymnasium_names():
        missing = missing_package(name)
        yield name, f"needs pip install '{missing}'" if missing else ""


FAMILIES = (
    Family("dm_env_rpc", "address", DmEnvRpcConfig, _find_server, _list_servers),
    Family("dm_control", "task", DmControlConfig, _find_dm_control, _list_dm_control),
    Family("pgx", "game", PgxConfig, _find_pgx, _list_pgx),
    Family("Atari", "game", _make_atari, _find_atari, _list_atari),
    Family("Gymnasium", "env", GymnasiumConfig, _find_gymnasium, _list_gymnasium),
)
"""Families in the order in which a name is looked up."""
