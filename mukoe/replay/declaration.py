"""What an agent says about its replay, whoever keeps the data.

The time line of one episode of `L` actions in one stream, here with `L = 4`, history
`H = 2` and items of `S = 3` rows (digits are `t`, the steps of the episode):

    stored rows      _ _ 0 1 2 3 F _        _  padding: zeros, mask 0
    mask             0 0 1 1 1 1 0 0        F  final row: the last observation and the
                                               policy's extras there, mask 0
    item of t = 0    _ _ 0 1 2
    item of t = 1      _ 0 1 2 3            added as soon as row t + S - 1 is complete
    item of t = 2        0 1 2 3 F          added at the end of the episode
    item of t = 3          1 2 3 F _        added at the end of the episode

Each `t` in `0 .. L-1` starts exactly one item of `H + S` rows, `t - H .. t + S - 1`,
however short the episode; with a period `P`, each `t` that is a multiple of `P`. The first
`H` rows are only for stacking frames; row `H` of an item is its step `t`. There are `H`
padding rows before the episode and `S - 2` after its final row (the item of the last action
holds that action and the final row already). Every row is stored once, whatever the number
of items that it is part of.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import jax
import numpy as np
from dm_env import specs

from mukoe.errors import UserError
from mukoe.types import EnvironmentSpec, Row, is_continuous


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReplayDeclaration:
    """What is stored, how it is sampled, and how fast.

    Raises:
      UserError: if a field cannot be, or two of them cannot be together.
    """

    # Rows of an item from its own step on: unroll_steps + td_steps + 1.
    sequence_length: int
    # Items that are kept; the oldest leave first.
    capacity: int
    # Items that must be there before the first sample.
    min_size: int
    # Items in a sample.
    batch_size: int
    # Rows before the item's own step, for stacking frames (frames - 1).
    history: int = 0
    # Rows of an item, from its first on, whose observations are sampled; None for all. The
    # observations of a sample are `[B, observed_rows, ...]`, everything else is `[B, T, ...]`.
    observed_rows: int | None = None
    # Steps from one item of an episode to the next; 1 is an item for each step.
    period: int = 1
    # Share of a sample that is fresh: the newest of the items that were not fresh before. A
    # sample waits until there are enough of them.
    online_fraction: float = 0.0
    # How often an item is sampled on average; None lets both sides run freely.
    samples_per_insert: float | None = None
    # How far samples may run ahead of or behind `samples_per_insert`, as a fraction of the
    # first `min_size` items.
    samples_per_insert_tolerance: float = 0.1
    # 'uniform', or 'prioritized': with probability priority**exponent / sum.
    sampler: Literal["uniform", "prioritized"] = "uniform"
    # The exponent α of the prioritized sampler.
    priority_exponent: float = 1.0
    # The priority of a new item, from its NumPy rows `[S, ...]` (no history); None is 1.
    initial_priority: Callable[[Row], float] | None = None
    # Name of the table.
    table: str = "replay"

    def __post_init__(self) -> None:
        _check(self.sequence_length >= 2, "sequence_length", self.sequence_length, "at least 2")
        _check(self.history >= 0, "history", self.history, "0 or more")
        _check(
            1 <= self.period < self.sequence_length,
            "period",
            self.period,
            f"from 1 to sequence_length - 1 ({self.sequence_length - 1}), or steps are left out",
        )
        _check(
            self.observed_rows is None or 1 <= self.observed_rows <= self.item_length,
            "observed_rows",
            self.observed_rows,
            f"from 1 to the rows of an item ({self.item_length}), or None for all",
        )
        _check(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        _check(self.min_size >= 1, "min_size", self.min_size, "at least 1")
        _check(
            self.capacity >= self.min_size,
            "capacity",
            self.capacity,
            f"at least min_size ({self.min_size}), or sampling never begins",
        )
        _check(
            self.samples_per_insert is None or self.samples_per_insert > 0,
            "samples_per_insert",
            self.samples_per_insert,
            "above 0, or None for no limit",
        )
        _check(
            self.samples_per_insert_tolerance > 0,
            "samples_per_insert_tolerance",
            self.samples_per_insert_tolerance,
            "above 0",
        )
        _check(
            self.sampler in ("uniform", "prioritized"),
            "sampler",
            self.sampler,
            "'uniform' or 'prioritized'",
        )
        _check(self.priority_exponent >= 0, "priority_exponent", self.priority_exponent, ">= 0")
        _check(
            self.initial_priority is None or self.sampler == "prioritized",
            "initial_priority",
            "a function",
            "None when the sampler is 'uniform'",
        )
        _check(
            self.online_fraction >= 0 and self.fresh_items < self.batch_size,
            "online_fraction",
            self.online_fraction,
            "0 or more, and leave room for replayed items",
        )
        most = self.batch_size / max(self.fresh_items, 1)
        _check(
            not self.fresh_items or (self.samples_per_insert or 0) <= most,
            "samples_per_insert",
            self.samples_per_insert,
            f"at most {most:g} with {self.fresh_items} fresh items in a batch of "
            f"{self.batch_size}, as each item is fresh once",
        )
        _check(
            self.fresh_items <= self.min_size,
            "min_size",
            self.min_size,
            f"at least the fresh items of a batch ({self.fresh_items})",
        )
        _check(bool(self.table), "table", self.table, "a name")

    @property
    def item_length(self) -> int:
        """Rows of an item, its history included (`T` of a sample)."""
        return self.history + self.sequence_length

    @property
    def fresh_items(self) -> int:
        """Items of a sample that are fresh."""
        return round(self.online_fraction * self.batch_size)

    @property
    def fresh_capacity(self) -> int:
        """Items that wait to be fresh; with more, the oldest no longer count."""
        return self.min_size if self.fresh_items else 0

    @property
    def error_buffer(self) -> float:
        """By how many samples the two sides may differ from `samples_per_insert`.

        Wide enough for two batches, or the side that waits could wait for ever.
        """
        ratio = self.samples_per_insert or 1.0
        tolerance = self.samples_per_insert_tolerance * self.min_size * ratio
        return max(tolerance, 2.0 * self.batch_size, 2.0 * ratio)


def _check(good: bool, name: str, value: object, right: str) -> None:
    if not good:
        raise UserError(f"replay: {name} is {value!r}; it must be {right}")


def row_spec(environment_spec: EnvironmentSpec, extras_spec: Mapping[str, specs.Array]) -> Row:
    """Returns a `Row` of `dm_env.specs.Array`, one step without batch or time axes."""

    def plain(spec: specs.Array) -> specs.Array:
        return specs.Array(spec.shape, spec.dtype, spec.name)

    choice = specs.Array((), np.int32, "action")
    return Row(
        observation=jax.tree.map(plain, environment_spec.observations),
        action=plain(environment_spec.actions) if is_continuous(environment_spec) else choice,
        reward=specs.Array((), np.float32, "reward"),
        discount=specs.Array((), np.float32, "discount"),
        mask=specs.Array((), np.float32, "mask"),
        extras={name: plain(spec) for name, spec in extras_spec.items()},
    )


def zero_row(row_spec: Row) -> Row:
    """Returns the padding row: zeros everywhere, `mask` 0."""
    return jax.tree.map(lambda spec: np.zeros(spec.shape, spec.dtype), row_spec)


def check_final_extras(extras: Mapping | None, discount: float, names: Iterable[str]) -> None:
    """Checks what is given for the final row of an episode.

    Args:
      extras: of the policy at the last observation, or None to store zeros.
      discount: the environment's at the last step, 0 if the episode terminated.
      names: of the extras that are stored.

    Raises:
      ValueError: if a truncated episode comes without the extras to bootstrap from.
    """
    if extras is None and discount != 0 and any(names):
        raise ValueError(
            "the episode was truncated (its last discount is not 0), so its value goes on "
            "after the last observation: pass the policy's final_extras"
        )
