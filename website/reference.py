"""Pages of the reference: config fields, commands, modules. The source is that of `--help`."""

import dataclasses
import importlib
import sys
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from absl import flags

from mukoe.agents.alphazero.config import AlphaZeroConfig
from mukoe.agents.efficientzero.config import EfficientZeroConfig
from mukoe.agents.muesli.config import MuesliConfig
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.ppo.config import PPOConfig
from mukoe.agents.stochastic_muzero.config import StochasticMuZeroConfig
from mukoe.commands.main import summaries
from mukoe.configuration.fields import describe
from mukoe.configuration.help import config_fields, value_text
from mukoe.environments.atari.config import AtariConfig
from mukoe.environments.coin_flip import CoinFlipConfig
from mukoe.environments.dm_control.config import DmControlConfig
from mukoe.environments.dm_env_rpc.config import DmEnvRpcConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig, GymnasiumPixelsConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.repeat_first import RepeatFirstConfig
from mukoe.environments.tasks import TasksConfig
from mukoe.layouts.common.experiment import DistributedConfig, RunConfig, SebulbaConfig

AGENTS: Mapping[str, Any] = {
    "muzero": MuZeroConfig(),
    "efficientzero": EfficientZeroConfig(),
    "stochastic_muzero": StochasticMuZeroConfig(),
    "alphazero": AlphaZeroConfig(game="connect_four"),
    "muesli": MuesliConfig(),
    "ppo": PPOConfig(),
}
"""Configs of the agents, by the name of their page; fields without a default have an example."""

ENVIRONMENTS: Mapping[str, Any] = {
    "gymnasium": GymnasiumConfig(env="CartPole-v1"),
    "gymnasium_pixels": GymnasiumPixelsConfig(env="LunarLander-v3"),
    "atari": AtariConfig(game="MsPacman"),
    "pgx": PgxConfig(game="connect_four"),
    "dm_control": DmControlConfig(task="cartpole-swingup"),
    "dm_env_rpc": DmEnvRpcConfig(address="dm_env_rpc://localhost:5555"),
    "coin_flip": CoinFlipConfig(),
    "repeat_first": RepeatFirstConfig(),
    "tasks": TasksConfig(names=("MiniGrid-Empty-6x6-v0", "MiniGrid-DoorKey-6x6-v0")),
}
"""Configs of the environments, by name."""

GROUPS: Mapping[str, Any] = {
    "run": RunConfig(),
    "distributed": DistributedConfig(),
    "sebulba": SebulbaConfig(),
}
"""Groups of a `TrainingConfig` that are independent of the agent and the environment."""

MODULES: Mapping[str, tuple[str, ...]] = {
    "Python API": ("mukoe.api",),
    "Agents": ("mukoe.agents.builder", "mukoe.agents.planning.builder"),
    "Types": ("mukoe.types",),
    "Search": ("mukoe.search.plan", "mukoe.search.puct", "mukoe.search.gumbel"),
    "Networks": ("mukoe.networks.models", "mukoe.networks.torsos", "mukoe.networks.heads"),
    "Learning": ("mukoe.learning.returns", "mukoe.learning.learner", "mukoe.learning.optimizers"),
    "Replay": ("mukoe.replay.declaration", "mukoe.replay.handle"),
    "Environments": ("mukoe.environments.registry", "mukoe.environments.vector"),
    "Configuration": ("mukoe.configuration",),
}
"""Modules of the API pages, by heading."""


def pages() -> Iterator[tuple[str, str]]:
    """Yields path and Markdown of each page of the reference."""
    yield "reference/training.md", _training_page()
    yield "reference/environments.md", _environments_page()
    for name, config in AGENTS.items():
        title = type(config).__name__.removesuffix("Config")
        text = _text_of(config)
        body = "\n".join(_fields(config, "agent."))
        yield f"reference/agents/{name}.md", f"# Fields of {title}\n\n{text}\n\n{body}\n"
    yield "reference/commands.md", _commands_page()
    for heading, modules in MODULES.items():
        path = heading.lower().replace(" ", "_")
        body = "\n\n".join(f"::: {module}" for module in modules)
        yield f"reference/api/{path}.md", f"# {heading}\n\n{body}\n"


def field_anchor(path: str) -> str:
    """Returns the anchor of a field or flag on its page."""
    return path.replace(".", "-")


def _training_page() -> str:
    parts = [
        "# Fields of every run",
        "`--config.run.FIELD=VALUE` sets a field; `--help` prints the loaded configuration.",
    ]
    for name, config in GROUPS.items():
        parts += [f"## {name}", _text_of(config), "\n".join(_fields(config, f"{name}."))]
    return "\n\n".join(parts) + "\n"


def _environments_page() -> str:
    parts = ["# Fields of the environments", "`environment` is one of these configurations."]
    for name, config in ENVIRONMENTS.items():
        body = "\n".join(_fields(config, "environment.", f"{name}-"))
        parts += [f"## {type(config).__name__}", _text_of(config), body]
    return "\n\n".join(parts) + "\n"


def _text_of(config: Any) -> str:
    return (type(config).__doc__ or "").partition("\n\n")[0].strip()


def _fields(config: Any, prefix: str, anchor: str = "") -> Iterator[str]:
    """Yields the fields as a definition list, a heading before each group.

    Args:
      config: dataclass of the fields.
      prefix: dotted name of the dataclass with a final dot.
      anchor: prefix of the anchors, for several configurations on a page.
    """
    required = {
        field.name
        for field in dataclasses.fields(config)
        if field.default is field.default_factory is dataclasses.MISSING
    }
    for path, hint, value, comment in config_fields(config, ""):
        name = prefix + path
        if dataclasses.is_dataclass(value):
            yield f"\n### `{name}`\n\n{_markdown(comment)}\n"
            continue
        default = "required" if path in required else f"<code>{escape(value_text(value))}</code>"
        yield from _definition(name, anchor, default, describe(hint), comment)


def _definition(name: str, anchor: str, default: str, kind: str, text: str) -> Iterator[str]:
    identity = f'id="{anchor}{field_anchor(name)}"'
    yield f'\n<code class="field" {identity}>{name}</code> = {default}'
    yield f':   <span class="kind">{escape(kind)}</span>\n\n    {_markdown(text)}\n'


def _markdown(text: str) -> str:
    """Escapes what Markdown reads as HTML; code spans stay."""
    return text.replace("<", "&lt;")


def _commands_page() -> str:
    parts = [
        "# Commands",
        "`mukoe COMMAND --help` prints the flags of a command, and the fields of the configuration "
        "that it loads. `mukoe play` is `mukoe watch --play=browser`.",
    ]
    for name, text in summaries().items():
        parts += [f"## mukoe {name}", _markdown(text)]
        parts += ["\n".join(_definition_of_flag(name, flag)) for flag in _flags(name)]
    return "\n\n".join(parts) + "\n"


def _definition_of_flag(command: str, flag: flags.Flag) -> Iterator[str]:
    default = "none" if flag.default is None else flag.default_as_str.strip("'") or "empty"
    kind = "|".join(getattr(flag.parser, "enum_values", ())) or flag.flag_type()
    identity = f'id="{command}--{flag.name}"'
    yield f'<code class="field" {identity}>--{flag.name}</code> = <code>{escape(default)}</code>'
    yield f':   <span class="kind">{escape(kind)}</span>\n\n    {_markdown(flag.help or "")}\n'


def _flags(command: str) -> list[flags.Flag]:
    """Returns the flags of a command, imported as if no other command had been.

    Commands are programs of their own: several define a flag of the same name.
    """
    prefix = "mukoe.commands."
    for name, found in list(flags.FLAGS.flags_by_module_dict().items()):
        for flag in list(found) if name.startswith(prefix) else ():
            if flag.name in flags.FLAGS:
                delattr(flags.FLAGS, flag.name)
    for name in [name for name in sys.modules if name.startswith(prefix)]:
        del sys.modules[name]
    module = importlib.import_module(prefix + command)
    key_flags = flags.FLAGS.get_key_flags_for_module(module.__name__)
    return sorted(key_flags, key=lambda flag: flag.name)
