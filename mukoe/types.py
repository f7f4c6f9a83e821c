"""Data types that the components of mukoe exchange.

Shapes are written with letters: `B` environments or batch entries, `T` time steps,
`A` actions. `t` is the index of a step within its episode.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import chex
import jax
import numpy as np
from dm_env import specs

from mukoe.errors import UserError

Nest = Any
"""A tree of arrays (tuples, dicts, named tuples)."""

Array = Any
"""A NumPy or a JAX array."""

PerEntry = Annotated[Array, "B"]
"""Array `[B]`: a number for each entry of a batch."""

PerStep = Annotated[Array, "... S"]
"""Array `[..., S]`: a number for each step of a sequence, such as rewards and masks."""

PerAction = Annotated[Array, "... A"]
"""Array `[..., A]`: a number for each action, such as logits, probabilities and legal actions."""

PerBin = Annotated[Array, "... bins"]
"""Array `[..., bins]`: a number for each bin of a categorical value or reward."""

Params = Any
"""A tree of network parameters."""


def num_bytes(specs: Nest) -> int:
    """Returns the bytes of arrays, of which these may be only the shapes and types."""
    return sum(
        math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in jax.tree.leaves(specs)
    )


class EnvironmentSpec(NamedTuple):
    """Specs of one environment, field for field those of `acme.specs.EnvironmentSpec`.

    `actions` is a `DiscreteArray`, a `BoundedArray` `[D]` of floats: continuous actions, or a
    `ProductArray` `[P]` of both.
    """

    observations: Nest
    actions: specs.BoundedArray
    rewards: specs.Array
    discounts: specs.BoundedArray


class ProductArray(specs.BoundedArray):
    """Spec of actions of several parts: vectors `[P]` float32 of choices and real numbers.

    Entry `i` is one of the choices `0 .. choices[i] - 1`, or, where `choices[i]` is 0, a real
    number in [-1, 1].
    """

    def __init__(self, choices: Sequence[int], name: str = "action"):
        """Initialises the spec.

        Args:
          choices: number of choices of each entry, at least 2; 0 for a real number.
          name: name of the spec.
        """
        self.choices = tuple(int(count) for count in choices)
        low = [0.0 if count else -1.0 for count in self.choices]
        high = [count - 1.0 if count else 1.0 for count in self.choices]
        super().__init__((len(low),), np.float32, low, high, name)

    def __reduce__(self):
        return ProductArray, (self.choices, self.name)


class ChoiceImage(specs.BoundedArray):
    """Spec of images `[H, W, C]` int8 whose numbers are choices, such as kinds of objects.

    Channel `c` is one of `0 .. choices[c] - 1`; networks take its one-hot vectors.
    """

    def __init__(self, shape: Sequence[int], choices: Sequence[int], name: str = "observation"):
        """Initialises the spec.

        Args:
          shape: `(H, W, C)`.
          choices: number of choices of each channel, 1 to 128.
          name: name of the spec.
        """
        self.choices = tuple(int(count) for count in choices)
        super().__init__(shape, np.int8, 0, np.array(self.choices, np.int8) - 1, name)

    def __reduce__(self):
        return ChoiceImage, (self.shape, self.choices, self.name)


class TokenArray(specs.BoundedArray):
    """Spec of texts `[L]` int32: tokens `1 .. num_values - 1`, padded with 0 behind the end."""

    def __init__(self, length: int, num_values: int, name: str = "observation"):
        """Initialises the spec.

        Args:
          length: greatest number of tokens `L`.
          num_values: number of different tokens, the padding included.
          name: name of the spec.
        """
        self.num_values = num_values
        super().__init__((length,), np.int32, 0, num_values - 1, name)

    def __reduce__(self):
        return TokenArray, (*self.shape, self.num_values, self.name)


class SequenceArray(specs.Array):
    """Spec of sequences `[L, 1 + D]` float32 of at most `L` vectors.

    The first number of a row is 1, and 0 in the rows of padding, all of whose numbers are 0.
    """

    def __init__(self, length: int, width: int, name: str = "observation"):
        """Initialises the spec.

        Args:
          length: greatest number of vectors `L`.
          width: length of a vector `D`.
          name: name of the spec.
        """
        super().__init__((length, 1 + width), np.float32, name)

    def __reduce__(self):
        length, width = self.shape
        return SequenceArray, (length, width - 1, self.name)


class BoardArray(specs.Array):
    """Spec of boards `[H, W, C]` with symmetries that keep the rules of the game.

    Action `W y + x` is a cell, or, with fewer actions than cells, `x` a column. Further actions,
    such as a pass, are the same on every image of the board. With 'directions' the actions are
    moves to the left, up, to the right and down.
    """

    def __init__(
        self, shape: Sequence[int], dtype: Any, symmetries: str, name: str = "observation"
    ):
        """Initialises the spec.

        Args:
          shape: `(H, W, C)`.
          dtype: type of the numbers.
          symmetries: 'mirror' (left to right), 'half_turn', 'square', the eight of a square, or
            'directions', the same with directions as actions.
          name: name of the spec.

        Raises:
          UserError: there are no such symmetries, or the board has another shape.
        """
        if symmetries not in ("mirror", "half_turn", "square", "directions"):
            raise UserError(
                f"unknown symmetries '{symmetries}' of a board: give mirror, half_turn, square or "
                "directions"
            )
        needs_square = symmetries in ("square", "directions")
        if len(shape) != 3 or (needs_square and shape[0] != shape[1]):
            raise UserError(f"boards of shape {tuple(shape)} do not have symmetries '{symmetries}'")
        self.symmetries = symmetries
        super().__init__(shape, dtype, name)

    def __reduce__(self):
        return BoardArray, (self.shape, self.dtype, self.symmetries, self.name)


def plays_in_turns(spec: EnvironmentSpec) -> bool:
    """Returns whether two players take turns, so that a discount of -1 passes the turn."""
    return bool(spec.discounts.minimum.min() < 0)


def num_reward_players(spec: EnvironmentSpec) -> int | None:
    """Returns the number of players `P` of a game whose rewards are vectors `[P]`; else None.

    Games of one player, and of two players with opposite rewards, have scalar rewards.
    """
    return spec.rewards.shape[0] if spec.rewards.shape else None


def is_continuous(spec: EnvironmentSpec) -> bool:
    """Returns whether actions are vectors of floats, or of several parts, instead of one choice."""
    return not isinstance(spec.actions, specs.DiscreteArray)


class MaskedObservation(NamedTuple):
    """An observation of an environment in which not every action is always legal.

    features: `[...]` observation without the mask, the input of the network.
    legal_actions: `[A]` bool, True where the action may be taken.
    position: `[S]` uint8, true state for a search of the rules; it is neither an input of a
        network nor stored with the observation. `()` without one.
    player: `[]` int32, seat of the player to move in a game of three and more players, else `()`.
    active: `[P]` bool, False for players who are out of such a game, whose further rewards are 0;
        else `()`.
    """

    features: Nest
    legal_actions: Array
    position: Array = ()
    player: Array = ()
    active: Array = ()


def without_position(observation: Nest) -> Nest:
    """Returns an observation, or its spec, as rows store it: without the true state."""
    if isinstance(observation, MaskedObservation):
        return observation._replace(position=())
    return observation


def split_legal_actions(observation: Nest) -> tuple[Nest, Array | None]:
    """Returns the features and the legal actions (None where all are always legal)."""
    if isinstance(observation, MaskedObservation):
        return observation.features, observation.legal_actions
    return observation, None


class PolicyParams(NamedTuple):
    """Parameters that the learner publishes and policies act with.

    network: the parameters of the networks.
    learner_steps: `[]` int32, the updates that made them; schedules follow it.
    """

    network: Params
    learner_steps: Array


PolicyFunction = Callable[
    [PolicyParams, chex.PRNGKey, Nest, Nest], tuple[Array, Mapping[str, Array], Nest]
]


@chex.dataclass(frozen=True, mappable_dataclass=False)
class SplitPolicy:
    """The parts of a policy, for an inference server that runs the first and an actor the second.

    One after the other they are the whole:

        root, state = represent(params, observation, state)
        action, extras = search(search_params(params), key, root, legal_actions)
        state = update_state(observation, action, state)

    represent: `(params, observation [B, ...], state [B, ...]) -> (root [B, ...], state)`: the
        root, a tree of dicts and arrays, and the state with the observation in a memory.
    search: `(params, key, root, legal_actions [B, A] or None) -> (action [B, ...], extras)`.
    update_state: `(observation, action, state) -> state`, the memory of the next step.
    search_params: the part of the parameters that `search` needs.
    action_spec: spec of one action.
    """

    represent: Callable[[PolicyParams, Nest, Nest], tuple[Nest, Nest]]
    search: Callable[
        [PolicyParams, chex.PRNGKey, Nest, Array | None], tuple[Array, Mapping[str, Array]]
    ]
    update_state: Callable[[Nest, Array, Nest], Nest]
    search_params: Callable[[PolicyParams], PolicyParams]
    # Python 3.11 and later refuse the spec itself as a default: it has no hash.
    action_spec: specs.Array = dataclasses.field(
        default_factory=lambda: specs.Array((), np.int32, "action")
    )


@chex.dataclass(frozen=True, mappable_dataclass=False)
class Policy:
    """A pure policy, batched over `B` environments.

    apply: `(params, key, observation [B, ...], state [B, ...])` to
        `(action, extras, state)`, actions `[B]` int32 or continuous `[B, D]` float32. Extras
        that `extras_spec` names are stored with the data; every other one is a `[B]` statistic,
        logged and not stored.
    initial_state: the memory `[B, ...]` at the start of an episode, given `B`; `()` for a
        policy without memory.
    extras_spec: the stored extras of one environment, such as `search_policy` `[A]`.
    split: the parts of `apply`, for a policy that can run in two places.
    """

    apply: PolicyFunction
    initial_state: Callable[[int], Nest]
    extras_spec: Mapping[str, specs.Array]
    split: SplitPolicy | None = None


class Row(NamedTuple):
    """One stored step: observation, action, and the outcome of the action.

    A finished episode of `L` actions is stored as `L + 1` rows: the last one holds the
    final observation, and the extras of the policy there, with `mask` 0.

    observation: `o_t`, one frame without its history.
    action: `a_t` int32, or continuous `[D]` float32; 0 where `mask` is 0.
    reward: `r_{t+1}` float32, the reward that `a_t` led to; `[P]` with three and more players.
    discount: `γ_{t+1}` float32 of the environment (the agent's own is not multiplied in):
        0 at termination; 1 otherwise, truncation included; -1 where the turn passes to
        the opponent. 0 where `mask` is 0.
    mask: float32, 1 where `a_t` was taken; 0 on the final observation and on padding.
    extras: stored outputs of the policy, such as `search_policy` `[A]` and `search_value` `[]`.
    """

    observation: Nest
    action: Array
    reward: Array
    discount: Array
    mask: Array
    extras: Mapping[str, Array]


class SearchStatistics(NamedTuple):
    """Search statistics of rows, stored as extras with the names of the fields.

    A field that is not stored, or not renewed, is None.

    search_policy: `[..., A]` policy over all actions, or `[..., M]` over candidates.
    search_value: `[...]` root value; `[..., P]` with three and more players.
    search_candidates: `[..., M, ...]` actions of the candidates; None for a policy over all
        actions.
    """

    search_policy: Array
    search_value: Array
    search_candidates: Array | None = None

    @classmethod
    def from_extras(cls, extras: Mapping[str, Array]) -> "SearchStatistics":
        """Returns the statistics among the extras of rows."""
        return cls(*(extras.get(name) for name in cls._fields))

    def to_extras(self) -> dict[str, Array]:
        """Returns the fields as extras of a row, without those that are None."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Sample(NamedTuple):
    """A batch from replay.

    keys: `[B]` uint64, the names of the items, for `update_priorities`. Stay on the host.
    probabilities: `[B]` float32, with which each item was drawn; with demonstrations, over that of
        a uniform draw from its table.
    rows: `Row` of arrays `[B, T, ...]`.
    learner_steps: `[]` int32, updates before this one; set by the learner.
    demonstrated: `[B]` float32, 1 for sequences of demonstrations and 0 for others; `()` where a
        run has none.
    memory: `[B, ...]` state of the memory before the first step of each rollout; `()` without one.
    """

    keys: Array
    probabilities: Array
    rows: Row
    learner_steps: Array = ()
    demonstrated: Array = ()
    memory: Nest = ()


class LossExtra(NamedTuple):
    """Outputs of a loss function beside the loss.

    metrics: scalars to log.
    priorities: `[B]` new priorities of the sampled items, or None for uniform replay.
    loss_state: memory of the loss, an argument of its next call.
    """

    metrics: Mapping[str, Array]
    priorities: Array | None
    loss_state: Nest = ()


LossFunction = Callable[..., tuple[Array, LossExtra]]
"""`loss(params, target_params, batch, key) -> (loss, LossExtra)`.

A loss with a memory that no gradient reaches (moving averages) takes it as a fifth argument
and returns the new one as `LossExtra.loss_state`.
"""


class EpisodeResult(NamedTuple):
    """Result of a finished episode.

    episode_return: the undiscounted sum of the environment's own rewards (never clipped).
    length: agent steps.
    frames: emulator frames (agent steps times the action repeat).
    environment: index of the environment in its vector.
    seat: seat of the agent in a match of two players: 0 moves first, 1 second; else 0.
    milestone: progress that the environment counts beside the return: the highest
        tile in 2048; 0 in an environment that counts nothing.
    """

    episode_return: float
    length: int
    frames: int
    environment: int = 0
    seat: int = 0
    milestone: int = 0
