"""Invalid values for every field of a configuration, as text from the command line."""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from mukoe.configuration import apply_overrides
from mukoe.errors import UserError

HUGE = 10**18
"""An integer of 64 bits that no machine can allocate or count to."""


# Refused by the memory estimate of a run, which depends on the environment: see
# tests/layouts/common/test_required_memory.py.
MAY_BE_HUGE = {
    "AlphaZeroNetworkConfig.head_channels",
    "AlphaZeroNetworkConfig.head_sizes",
    "AlphaZeroNetworkConfig.hidden_sizes",
    "AlphaZeroNetworkConfig.width",
    "ChanceConfig.codebook_size",
    "DistributedConfig.num_actors",
    "DistributedConfig.num_inference_servers",
    "DistributedConfig.num_replays",
    "DistributedConfig.num_learners",
    "DistributedConfig.num_reanalysers",
    "DistributedConfig.prefetch_size",
    "PlanningReplayConfig.batch_size",
    "PlanningReplayConfig.capacity",
    "PlanningReplayConfig.demonstration_capacity",
    "PlanningReplayConfig.min_size",
    "MuesliLossConfig.num_samples",
    "MuesliLossConfig.sequence_length",
    "MuesliReplayConfig.batch_size",
    "MuesliReplayConfig.capacity",
    "MuesliReplayConfig.min_size",
    "NetworkConfig.head_channels",
    "NetworkConfig.head_sizes",
    "NetworkConfig.hidden_sizes",
    "NetworkConfig.width",
    "PPOConfig.rollout_steps",
    "PPONetworkConfig.hidden_sizes",
    "PPONetworkConfig.width",
    "RunConfig.envs_per_actor",
    "RunConfig.evaluation_episodes",
    "SearchConfig.evaluation_trees",
    "SebulbaConfig.actor_devices",
    "SebulbaConfig.learner_devices",
    "SebulbaConfig.round_steps",
    "SebulbaConfig.staleness",
    "SebulbaConfig.threads_per_device",
    "SupportConfig.num_bins",
}

# Counts and periods without an upper bound.
MAY_BE_ENDLESS = {
    "DistributedConfig.max_restarts",
    "DmControlConfig.action_repeat",
    "DmControlConfig.camera",
    "DmEnvRpcConfig.max_losses",
    "GymnasiumPixelsConfig.action_repeat",
    "InferenceConfig.devices",
    "InferenceConfig.max_batch_size",
    "PPOConfig.persistent_updates",
    "PlanningReplayConfig.demonstration_capacity",
    "RepeatFirstConfig.length",
    "RunConfig.checkpoint_period",
    "RunConfig.evaluation_max_steps",
    "RunConfig.evaluation_period",
    "RunConfig.evaluations_per_video",
    "RunConfig.exact_resume_steps",
    "RunConfig.keep_checkpoints",
    "RunConfig.log_period",
    "RunConfig.max_actor_steps",
    "RunConfig.max_learner_steps",
    "RunConfig.max_skipped_updates",
    "SearchConfig.max_num_considered_actions",
}


@dataclasses.dataclass(frozen=True)
class Leaf:
    """Field that is not a group.

    name: dotted name.
    owner: `Class.field`.
    kinds: types of its value; of its items for a tuple or a mapping.
    """

    name: str
    owner: str
    kinds: frozenset[Any]


def leaves(config: Any, prefix: str = "") -> Iterator[Leaf]:
    """Yields every field of a configuration that is not a group."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), prefix + field.name
        if dataclasses.is_dataclass(value):
            yield from leaves(value, name + ".")
            continue
        owner = f"{type(config).__name__}.{field.name}"
        kinds = frozenset(_kinds(hints[field.name]))
        names = [f"{name}.{key}" for key in (*value, "other")] if _is_mapping(value) else [name]
        for each in names:
            yield Leaf(each, owner, kinds)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _kinds(hint: Any) -> Iterator[Any]:
    """Yields the types of a value, or of its items."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType, tuple):
        for argument in arguments:
            yield from _kinds(argument)
    elif origin is typing.Literal:
        yield origin
    elif origin is not None and issubclass(origin, Mapping):
        yield from _kinds(arguments[1])
    else:
        yield hint


def refusal(config: Any, name: str, text: str) -> str | None:
    """Returns the error message of an override, or None if it is accepted.

    Every other exception than UserError fails the test.
    """
    try:
        apply_overrides(config, {name: text})
    except UserError as error:
        message = str(error)
        assert name in message, f"{name}={text} is refused without its name: {message}"
        assert "\n" not in message and len(message) < 2000, message
        return message
    return None
