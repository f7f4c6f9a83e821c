"""Past frames and past actions as part of the network input.

Environments give single frames; the agent puts the last `F` of them together, from the
memory of its policy while acting and from the stored rows while learning. Both ways give
the same array. Before the start of an episode everything is zero.

The input for step `t` is concatenated along the last axis, oldest first, frames first:

    [ o_{t-F+1} | ... | o_{t-1} | o_t | plane(a_{t-F+1}) | ... | plane(a_{t-1}) ]
      C channels                  C      1 channel               1 channel

`plane(a)` is filled with `(a + 1) / A`; 0 stands for no action yet (MuZero,
arXiv:1911.08265, appendix E, encodes actions as planes in this way; it adds the action that
led to the oldest frame, which here lies outside of the history). Pixels stay uint8 without
action planes, and are scaled to float32 in [0, 1] with them; the representation function
takes either. Vectors `[D]` are stacked in the same way, each plane being one number.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from dm_env import specs

from mukoe.configuration.bounds import UnrolledCount
from mukoe.configuration.fields import Validated
from mukoe.errors import UserError
from mukoe.nests import take, zeros
from mukoe.types import (
    Array,
    ChoiceImage,
    EnvironmentSpec,
    Nest,
    Row,
    SequenceArray,
    TokenArray,
    split_legal_actions,
)


@dataclasses.dataclass(frozen=True)
class HistoryConfig(Validated):
    """Past frames and actions in the network input."""

    # Frames in the input, the current one included. Paper: 32 for Atari (arXiv:1911.08265,
    # appendix E); 4 is usual for agents of a smaller budget.
    frames: UnrolledCount = 1
    # Add one plane for each of the `frames - 1` past actions. Paper: yes for Atari.
    action_planes: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.action_planes and self.frames == 1:
            raise UserError("action planes need a history of at least 2 frames, not 1")


_DISCRETE = specs.Array((), jnp.int32)


class History(NamedTuple):
    """The past of `B` environments, oldest first.

    frames: `[B, F-1, ...]` past frames, zero before the episode's start; a nest of these for
        observations of several parts.
    actions: `[B, F-1]` int32 (continuous: `[B, F-1, D]`) actions taken at those frames.
    valid: `[B, F-1]` float32, 0 before the episode's start.
    """

    frames: Nest
    actions: jax.Array
    valid: jax.Array


def scale_pixels(frames: jax.Array) -> jax.Array:
    """Returns float32 frames: uint8 as [0, 1], everything else by value."""
    scale = 255.0 if frames.dtype == jnp.uint8 else 1.0
    return frames.astype(jnp.float32) / scale


def initial_history(
    observation_spec: Nest,
    config: HistoryConfig,
    batch_size: int,
    action_spec: specs.Array = _DISCRETE,
) -> Nest:
    """Returns the empty `History` of `B` environments; `()` where only one frame is seen.

    Args:
      observation_spec: spec of one frame (the features alone if actions are masked).
      config: history configuration.
      batch_size: `B`.
      action_spec: spec of one action, discrete by default.

    Raises:
      UserError: if the observation cannot be stacked.
    """
    if config.frames == 1:
        return ()
    _check_frames(observation_spec, config)
    past = (batch_size, config.frames - 1)
    return History(
        frames=zeros(observation_spec, *past),
        actions=jnp.zeros(past + action_spec.shape, action_spec.dtype),
        valid=jnp.zeros(past, jnp.float32),
    )


def push(history: Nest, frame: Nest, action: Array) -> Nest:
    """Returns the history after `action` `[B]` was taken at `frame` `[B, ...]`."""
    if not isinstance(history, History):
        return history
    taken = jnp.ones_like(history.valid[:, 0])
    newest = History(jax.tree.map(jnp.asarray, frame), jnp.asarray(action), taken)
    return jax.tree.map(
        lambda past, new: jnp.concatenate([past[:, 1:], new[:, None].astype(past.dtype)], axis=1),
        history,
        newest,
    )


def stack(history: Nest, frame: Nest, config: HistoryConfig, num_actions: int) -> Nest:
    """Returns the network input `[B, ...]` from the past and the current `frame` `[B, ...]`."""
    frame = jax.tree.map(jnp.asarray, frame)
    if not isinstance(history, History):
        return frame
    with_time = jax.tree.map(
        lambda past, new: jnp.concatenate([past, new[:, None].astype(past.dtype)], axis=1),
        history,
        History(frame, history.actions[:, -1], history.valid[:, -1]),
    )
    inputs = stack_rows(with_time.frames, with_time.actions, with_time.valid, config, num_actions)
    return take(inputs, slice(None), 0)


def network_input(
    observation: Nest, history: Nest, config: HistoryConfig, num_actions: int
) -> Nest:
    """Returns `stack` of an observation, with or without a legal-action mask."""
    features, _ = split_legal_actions(observation)
    return stack(history, features, config, num_actions)


def update_state(observation: Nest, action: Array, history: Nest) -> Nest:
    """Returns `push` of an observation, with or without a legal-action mask."""
    features, _ = split_legal_actions(observation)
    return push(history, features, action)


def stack_rows(
    frames: Nest,
    actions: Array,
    mask: Array,
    config: HistoryConfig,
    num_actions: int,
) -> Nest:
    """Returns the network inputs `[B, T, ...]` of the parts of stored rows.

    Args:
      frames: `[B, F-1+T, ...]` single frames, an array or a nest of them.
      actions: `[B, F-1+T]` actions taken at these frames.
      mask: `[B, F-1+T]` 0 on padding and on final observations: such a row, and the rows
        before it, are in no history.
      config: the history, `F = config.frames`.
      num_actions: `A`.
    """
    frames, actions, mask = jax.tree.map(jnp.asarray, (frames, actions, mask))
    if config.frames == 1:
        return frames
    return jax.tree.map(lambda part: _stack(part, actions, mask, config, num_actions), frames)


def row_inputs(
    rows: Row, config: HistoryConfig, num_actions: int, steps: int | None = None
) -> Nest:
    """Returns the network inputs `[B, T, ...]` of rows `[B, F-1+T, ...]`.

    Args:
      rows: consecutive rows, with or without legal-action masks.
      config: the history, `F = config.frames`.
      num_actions: `A`.
      steps: number `T` of the first inputs; None for all.
    """
    end = None if steps is None else config.frames - 1 + steps
    features, _ = split_legal_actions(rows.observation)
    return stack_rows(
        take(features, slice(None), slice(end)),
        rows.action[:, :end],
        rows.mask[:, :end],
        config,
        num_actions,
    )


def _stack(
    frames: jax.Array, actions: jax.Array, mask: jax.Array, config: HistoryConfig, num_actions: int
) -> jax.Array:
    steps = mask.shape[1] - (config.frames - 1)
    seen = [mask[:, config.frames - 2 : config.frames - 2 + steps] > 0]
    for i in reversed(range(config.frames - 2)):
        seen.insert(0, seen[0] & (mask[:, i : i + steps] > 0))

    def past(rows: jax.Array, i: int) -> jax.Array:
        visible = jnp.reshape(seen[i], seen[i].shape + (1,) * (rows.ndim - 2))
        return jnp.where(visible, rows[:, i : i + steps], jnp.zeros((), rows.dtype))

    windows = [past(frames, i) for i in range(config.frames - 1)]
    windows.append(frames[:, config.frames - 1 :])
    if not config.action_planes:
        return jnp.concatenate(windows, axis=-1)
    levels = ((actions + 1) / num_actions).astype(jnp.float32)
    plane_shape = frames.shape[2:-1] + (1,)
    planes = [
        jnp.broadcast_to(
            jnp.reshape(level, level.shape + (1,) * len(plane_shape)), level.shape + plane_shape
        )
        for level in (past(levels, i) for i in range(config.frames - 1))
    ]
    return jnp.concatenate([scale_pixels(window) for window in windows] + planes, axis=-1)


def input_spec(observation_spec: Nest, config: HistoryConfig) -> Nest:
    """Returns the specs of the network input for one environment: an array, or a nest of them.

    Args:
      observation_spec: spec of one frame (the features alone if actions are masked).
      config: history configuration.

    Raises:
      UserError: if the observation cannot be stacked.
    """
    if config.frames == 1:
        return observation_spec
    _check_frames(observation_spec, config)
    return jax.tree.map(lambda spec: _stacked_spec(spec, config), observation_spec)


def network_input_spec(environment_spec: EnvironmentSpec, config: HistoryConfig) -> Nest:
    """Returns `input_spec` of an environment, with or without a legal-action mask."""
    features, _ = split_legal_actions(environment_spec.observations)
    return input_spec(features, config)


def _stacked_spec(spec: specs.Array, config: HistoryConfig) -> specs.Array:
    if isinstance(spec, ChoiceImage):
        channels = spec.shape[-1] * config.frames
        return ChoiceImage((*spec.shape[:2], channels), spec.choices * config.frames)
    channels = spec.shape[-1] * config.frames + config.action_planes * (config.frames - 1)
    dtype = jnp.float32 if config.action_planes else spec.dtype
    return specs.Array(spec.shape[:-1] + (channels,), dtype, name="network_input")


def _check_frames(observation_spec: Nest, config: HistoryConfig) -> None:
    for spec in jax.tree.leaves(observation_spec):
        if not spec.shape:
            raise UserError(
                "a history of several frames needs observations with an axis to stack along, "
                "not single numbers; use 1 frame"
            )
        if isinstance(spec, SequenceArray | TokenArray):
            raise UserError(
                "a history of several frames needs observations that are images or vectors, not "
                "texts or sequences; use 1 frame"
            )
        if config.action_planes and (
            isinstance(spec, ChoiceImage) or not isinstance(observation_spec, specs.Array)
        ):
            raise UserError(
                "planes of past actions need an observation of one array of numbers; set "
                "history.action_planes=false"
            )
