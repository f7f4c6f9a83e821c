"""Names of the registered Gymnasium environments."""

import contextlib
import functools
import importlib
import importlib.util

import gymnasium
from gymnasium.envs.registration import EnvSpec, find_highest_version, get_env_id, parse_env_id

# ale-py registers its games when it is imported; `AtariConfig` makes them.
_OTHER_FAMILY = "ale_py"
# These names wrap an environment of the predecessor OpenAI Gym, given as an argument.
_WRAPPERS = frozenset({"GymV21Environment", "GymV26Environment"})
_NEEDS = {
    "gymnasium.envs.box2d": ("Box2D", "gymnasium[box2d]"),
    "gymnasium.envs.mujoco": ("mujoco", "gymnasium[mujoco]"),
    "gymnasium.envs.phys2d": ("flax", "flax"),
    "gymnasium.envs.tabular": ("flax", "flax"),
}
_MUJOCO = ("gymnasium.envs.mujoco", "gymnasium_robotics")
# Modules that register environments, by the start of their names.
_MODULES = {
    "Adroit": "gymnasium_robotics",
    "BabyAI-": "minigrid",
    "Fetch": "gymnasium_robotics",
    "FrankaKitchen": "gymnasium_robotics",
    "Meta-World/": "metaworld",
    "MiniGrid-": "minigrid",
    "highway-": "highway_env",
    "miniwob/": "miniwob",
}


def gymnasium_names() -> list[str]:
    """Returns the registered names, each in its newest version, without the games of ALE.

    Those of installed well-known packages are among them.
    """
    _import_packages()
    return [env_id for env_id, spec in gymnasium.registry.items() if _is_listed(spec)]


def registered_name(env: str) -> str | None:
    """Returns the registered name of an environment, or None if it is not registered.

    Args:
        env: name, such as CartPole-v1, CartPole for its newest version, or module:Name-v0. The last
            is returned unchanged: its module is imported when the environment is made. A name of a
            well-known package that is installed gets its module.
    """
    env = with_module(env)
    if ":" in env:
        module, _, name = env.partition(":")
        if registering_module(name) != module:
            return env
        importlib.import_module(module)
        return env if name in gymnasium.registry else None
    try:
        namespace, name, version = parse_env_id(env)
    except gymnasium.error.Error:
        return None
    if version is None:
        version = find_highest_version(namespace, name)
    env_id = get_env_id(namespace, name, version)
    spec = gymnasium.registry.get(env_id)
    return None if spec is None or _is_of_ale(spec) else env_id


def missing_package(env: str) -> str | None:
    """Returns the pip requirement that a registered environment lacks, or None."""
    entry_point = gymnasium.registry[env].entry_point
    for start, (module, requirement) in _NEEDS.items():
        if isinstance(entry_point, str) and entry_point.startswith(start):
            return None if importlib.util.find_spec(module) else requirement
    return None


def uses_mujoco(env: str) -> bool:
    """Returns whether an environment is one of the MuJoCo environments of well-known packages."""
    spec = gymnasium.registry.get(env.rpartition(":")[2])
    entry_point = spec.entry_point if spec else None
    return isinstance(entry_point, str) and entry_point.startswith(_MUJOCO)


def with_module(env: str) -> str:
    """Returns a name with the module of its well-known package, if that is installed."""
    module = registering_module(env)
    if module is None or env in gymnasium.registry or importlib.util.find_spec(module) is None:
        return env
    return f"{module}:{env}"


def uninstalled_package(env: str) -> str | None:
    """Returns a hint at the well-known package of an environment, if that is not installed."""
    module = registering_module(env)
    if module is None or importlib.util.find_spec(module) is not None:
        return None
    return f"the package {module}, which registers it, is not installed: pip install {module}"


def registering_module(env: str) -> str | None:
    """Returns the module that registers an environment of a well-known package, or None."""
    for start, module in _MODULES.items():
        if env.startswith(start):
            return module
    return None


@functools.cache
def _import_packages() -> None:
    """Imports the installed well-known packages, which register their environments."""
    for module in sorted(set(_MODULES.values())):
        if importlib.util.find_spec(module) is not None:
            with contextlib.suppress(Exception):  # any error of a package that cannot be imported
                importlib.import_module(module)


def _is_listed(spec: EnvSpec) -> bool:
    newest = find_highest_version(spec.namespace, spec.name)
    return spec.version == newest and spec.name not in _WRAPPERS and not _is_of_ale(spec)


def _is_of_ale(spec: EnvSpec) -> bool:
    return isinstance(spec.entry_point, str) and spec.entry_point.startswith(_OTHER_FAMILY)
