"""Declaration of a replay: the stored sequences, their sampling and its rate."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import jax
import numpy as np
from dm_env import specs

from mukoe.errors import UserError
from mukoe.types import EnvironmentSpec, Nest, Row, Sample, is_continuous, without_position


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReplayDeclaration:
    """Declaration of a replay; `mukoe.replay.sequences` draws its items.

    Raises:
      UserError: if a field is out of bounds or contradicts another one.
    """

    # Rows of an item from its own step onwards: unroll_steps + td_steps + 1.
    sequence_length: int
    # Largest number of items; the oldest are removed first.
    capacity: int
    # Items that must be added before the first sample.
    min_size: int
    # Number of items in a sample.
    batch_size: int
    # Rows before the item's own step, to stack frames (frames - 1).
    history: int = 0
    # Leading rows of an item whose observations are sampled; None for all. The
    # observations of a sample are `[B, observed_rows, ...]`, everything else is `[B, T, ...]`.
    observed_rows: int | None = None
    # Steps from one item of an episode to the next; 1 is an item for each step.
    period: int = 1
    # Fraction of online items in a sample: the newest items, each in one sample. A sample waits
    # until there are enough of them.
    online_fraction: float = 0.0
    # Fraction of reanalysed items in a sample, which nodes of a program read from the table, search
    # again and write to a table of their own.
    reanalysed_fraction: float = 0.0
    # Fraction of demonstrations in a sample, which have a table of their own.
    demonstrated_fraction: float = 0.0
    # Average number of samples of an item; None disables the rate limit.
    samples_per_insert: float | None = None
    # Tolerance of `samples_per_insert` in both directions, as a fraction of the first `min_size`
    # items.
    samples_per_insert_tolerance: float = 0.1
    # Sampler: 'uniform', or 'prioritized' with probability priority**exponent / sum.
    sampler: Literal["uniform", "prioritized"] = "uniform"
    # Exponent α of the prioritized sampler.
    priority_exponent: float = 1.0
    # Priority of a new item: a function of its NumPy rows `[S, ...]` (no history), or 'maximal',
    # the greatest priority in replay, 1 in an empty one; None is 1.
    initial_priority: Callable[[Row], float] | Literal["maximal"] | None = None
    # Name of the table.
    table: str = "replay"

    def __post_init__(self) -> None:
        self._check_items()
        self._check_sampling()
        self._check_online_items()
        self._check_demonstrations()
        _check(bool(self.table), "table", self.table, "a name")

    def _check_items(self) -> None:
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

    def _check_sampling(self) -> None:
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
            "not None",
            "None when the sampler is 'uniform'",
        )

    def _check_online_items(self) -> None:
        _check(
            self.online_fraction >= 0 and self.online_items < self.batch_size,
            "online_fraction",
            self.online_fraction,
            "0 or more, and leave room for replayed items",
        )
        most = self.batch_size / max(self.online_items, 1)
        _check(
            not self.online_items or (self.samples_per_insert or 0) <= most,
            "samples_per_insert",
            self.samples_per_insert,
            f"at most {most:g} with {self.online_items} online items in a batch of "
            f"{self.batch_size}, since each item is online once",
        )
        _check(
            0 <= self.reanalysed_fraction <= 1
            and not (self.online_items and self.reanalysed_items),
            "reanalysed_fraction",
            self.reanalysed_fraction,
            "from 0 to 1, and 0 with online items",
        )
        _check(
            self.online_items <= self.min_size,
            "min_size",
            self.min_size,
            f"at least the online items of a batch ({self.online_items})",
        )

    def _check_demonstrations(self) -> None:
        fraction = self.demonstrated_fraction
        _check(
            not fraction or 1 <= self.demonstrated_items < self.batch_size,
            "demonstrated_fraction",
            fraction,
            f"0, or leave at least one demonstration and one other sequence in a batch of "
            f"{self.batch_size}",
        )
        _check(
            not (fraction and self.online_items),
            "demonstrated_fraction",
            fraction,
            "0 with online items",
        )

    @property
    def item_length(self) -> int:
        """Number of rows of an item, its history included (`T` of a sample)."""
        return self.history + self.sequence_length

    @property
    def online_items(self) -> int:
        """Number of online items in a sample."""
        return round(self.online_fraction * self.batch_size)

    @property
    def reanalysed_items(self) -> int:
        """Number of reanalysed items in a sample."""
        return round(self.reanalysed_fraction * self.batch_size)

    @property
    def demonstrated_items(self) -> int:
        """Number of demonstrations in a sample."""
        return round(self.demonstrated_fraction * self.batch_size)

    @property
    def acted(self) -> "ReplayDeclaration":
        """Declaration of the replay of the actors, without the demonstrations of a sample."""
        return dataclasses.replace(
            self, batch_size=self.batch_size - self.demonstrated_items, demonstrated_fraction=0.0
        )

    def filled(self, batch_size: int, capacity: int, min_size: int = 1) -> "ReplayDeclaration":
        """Returns the declaration of a table of stored episodes, to which nothing is added later.

        Args:
          batch_size: number of items in a sample.
          capacity: room for items.
          min_size: number of items before the first sample.
        """
        return dataclasses.replace(
            self,
            batch_size=batch_size,
            capacity=capacity,
            min_size=min_size,
            samples_per_insert=None,
            online_fraction=0.0,
            reanalysed_fraction=0.0,
            demonstrated_fraction=0.0,
        )

    @property
    def online_capacity(self) -> int:
        """Largest number of online items that wait for a sample; the oldest are dropped."""
        return self.min_size if self.online_items else 0

    @property
    def error_buffer(self) -> float:
        """Largest difference from `samples_per_insert`, in samples.

        At least two batches: with less, both sides could wait for each other.
        """
        ratio = self.samples_per_insert or 1.0
        tolerance = self.samples_per_insert_tolerance * self.min_size * ratio
        return max(tolerance, 2.0 * self.batch_size, 2.0 * ratio)


def _check(good: bool, name: str, value: object, right: str) -> None:
    if not good:
        raise UserError(f"replay: {name} is {value!r}; it must be {right}")


def row_spec(environment_spec: EnvironmentSpec, extras_spec: Mapping[str, Nest]) -> Row:
    """Returns a `Row` of `dm_env.specs.Array`, one step without batch or time axes.

    Args:
      environment_spec: spec of one environment.
      extras_spec: specs of the stored extras, each an array or a nest of arrays, such as a policy
        `[A]`, or the probabilities `[K]` of candidates with their actions `[K, D]`.
    """

    def plain(spec: specs.Array) -> specs.Array:
        return specs.Array(spec.shape, spec.dtype, spec.name)

    choice = specs.Array((), np.int32, "action")
    return Row(
        observation=jax.tree.map(plain, without_position(environment_spec.observations)),
        action=plain(environment_spec.actions) if is_continuous(environment_spec) else choice,
        reward=specs.Array(environment_spec.rewards.shape, np.float32, "reward"),
        discount=specs.Array((), np.float32, "discount"),
        mask=specs.Array((), np.float32, "mask"),
        extras={name: jax.tree.map(plain, spec) for name, spec in extras_spec.items()},
    )


def zero_row(row_spec: Row) -> Row:
    """Returns the padding row: zeros everywhere, `mask` 0."""
    return jax.tree.map(lambda spec: np.zeros(spec.shape, spec.dtype), row_spec)


def conform(spec: specs.Array, value: object) -> np.ndarray:
    """Returns a part of a row as an array of its type.

    Raises:
      ValueError: its shape is another one.
    """
    array = np.asarray(value, spec.dtype)
    if array.shape != spec.shape:
        raise ValueError(f"{spec.name} has shape {array.shape}, expected {spec.shape}")
    return array


def zero_sample(declaration: ReplayDeclaration, row_spec: Row) -> Sample:
    """Returns a sample of zeros with the shapes and types of every sample.

    Args:
      declaration: declaration of the replay.
      row_spec: specs of a row.
    """
    batch_size, length = declaration.batch_size, declaration.item_length

    def zeros(rows: int, spec: specs.Array) -> np.ndarray:
        return np.zeros((batch_size, rows, *spec.shape), spec.dtype)

    observed = functools.partial(zeros, declaration.observed_rows or length)
    rows = jax.tree.map(functools.partial(zeros, length), row_spec)
    rows = rows._replace(observation=jax.tree.map(observed, row_spec.observation))
    keys = np.zeros(batch_size, np.uint64)
    sample = Sample(keys, np.full(batch_size, 1.0 / batch_size, np.float32), rows)
    if declaration.demonstrated_items:
        return sample._replace(demonstrated=np.zeros(batch_size, np.float32))
    return sample


def check_final_extras(extras: Mapping | None, discount: float, names: Iterable[str]) -> None:
    """Checks the extras of the final row of an episode.

    Args:
      extras: extras of the policy at the last observation, or None to store zeros.
      discount: discount of the environment at the last step, 0 if the episode terminated.
      names: names of the stored extras.

    Raises:
      ValueError: if a truncated episode comes without the extras to bootstrap from.
    """
    if extras is None and discount != 0 and any(names):
        raise ValueError(
            "the episode was truncated (its last discount is not 0), so its return is "
            "bootstrapped at the last observation: pass the policy's final_extras"
        )
