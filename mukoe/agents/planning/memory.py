"""Memory of the agents that plan: settings of replay, and the inputs of the search's root.

A sample holds `H` rows of history, `U` rows of burn-in and the rows of the sequence. The memory is
unrolled over the burn-in from its stored state, with a gradient, and its output at the root is the
root's input:

    rows       H rows | U rows of burn-in | t, t+1, ...
    memory              state -> -> -> ->   m_t
    root                                    s_0 = h(m_t)

A recurrent cell's state is stored with each row, as in R2D2 (Kapturowski et al., ICLR 2019). Keys
and values of a transformer are not: it starts blank, and sees the burn-in alone.
"""

import dataclasses
from typing import Annotated, NamedTuple

import jax
from msgspec import Meta

from mukoe.configuration.bounds import WIDEST_LAYER
from mukoe.nests import take
from mukoe.networks.action_space import ActionSpace
from mukoe.networks.history import (
    HistoryConfig,
    initial_history,
    network_input,
    network_input_spec,
    update_state,
)
from mukoe.networks.memory import MEMORY, InputMemory, MemoryConfig, episode_starts
from mukoe.types import Array, EnvironmentSpec, Nest, Params, Row, split_legal_actions


@dataclasses.dataclass(frozen=True)
class ReplayedMemoryConfig(MemoryConfig):
    """Memory of an agent that learns from replay."""

    # Rows before a sequence over which the memory is unrolled, with a gradient. Cost and memory of
    # an update grow with it. R2D2: 40, without a gradient.
    burn_in: Annotated[int, Meta(ge=0, le=WIDEST_LAYER)] = 16

    @property
    def burn_in_rows(self) -> int:
        """Number of rows of burn-in; 0 without a memory."""
        return 0 if self.core == "none" else self.burn_in


class RecurrentState(NamedTuple):
    """State of a policy with a memory, for `B` environments.

    history: past frames and actions.
    memory: state of the memory.
    """

    history: Nest
    memory: Nest


@dataclasses.dataclass(frozen=True)
class RootObserver:
    """Inputs of the search's root from the observations of an episode.

    environment_spec: spec of one environment.
    action_space: actions of the environment.
    history: past frames and actions in the network input.
    memory: memory in front of the root; None without one, when the state is the history alone.
    """

    environment_spec: EnvironmentSpec
    action_space: ActionSpace
    history: HistoryConfig
    memory: InputMemory | None

    def initial_state(self, batch_size: int) -> Nest:
        """Returns the state at the start of an episode."""
        features, _ = split_legal_actions(self.environment_spec.observations)
        history = initial_history(features, self.history, batch_size, self.action_space.spec)
        if self.memory is None:
            return history
        return RecurrentState(history, self.memory.initial_state(batch_size))

    def observe(self, params: Params, observation: Nest, state: Nest) -> tuple[Nest, Nest]:
        """Returns the input of the root, and the state with the observation in its memory."""
        history = state if self.memory is None else state.history
        inputs = network_input(observation, history, self.history, self.action_space.size)
        if self.memory is None:
            return inputs, state
        encoded, memory = self.memory.step(params, inputs, state.memory)
        return encoded, state._replace(memory=memory)

    def update_state(self, observation: Nest, action: Array, state: Nest) -> Nest:
        """Returns the state after an action at an observation of `observe`."""
        if self.memory is None:
            return update_state(observation, action, state)
        return state._replace(history=update_state(observation, action, state.history))

    def stored(self, state: Nest) -> dict[str, Array]:
        """Returns the state of the memory before an observation, where rows store it, by name."""
        if self.memory is None or self.memory.state_spec is None:
            return {}
        return {MEMORY: state.memory}


def root_spec(
    memory: InputMemory | None, environment_spec: EnvironmentSpec, history: HistoryConfig
) -> Nest:
    """Returns the spec of one input of the root: a network input, or the memory's output."""
    return memory.spec if memory else network_input_spec(environment_spec, history)


def encode_rows(
    memory: InputMemory | None,
    params: Params,
    inputs: Nest,
    rows: Row,
    history: HistoryConfig,
    burn_in: int,
) -> Nest:
    """Returns the inputs `[B, S, ...]` of roots: the output of the memory behind its burn-in.

    Args:
      memory: memory in front of the root; None to return the inputs.
      params: parameters of the memory.
      inputs: `[B, U + S, ...]` network inputs.
      rows: `[B, H + U + S + ..., ...]` rows of the inputs, behind their history.
      history: settings of the history.
      burn_in: number of rows of burn-in, `U`.
    """
    if memory is None:
        return inputs
    first, (batch_size, steps) = history.frames - 1, jax.tree.leaves(inputs)[0].shape[:2]
    starts = episode_starts(rows.mask[:, first : first + steps])
    stored = memory.state_spec is not None
    state = rows.extras[MEMORY][:, first] if stored else memory.initial_state(batch_size)
    encoded, _ = memory.encode(params, inputs, starts, state)
    return take(encoded, slice(None), slice(burn_in, None))
