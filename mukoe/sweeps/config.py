"""Settings of a sweep: the fields that vary, and how trials are chosen and compared."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from mukoe.configuration.bounds import LARGEST_COUNT, LARGEST_SEED
from mukoe.configuration.fields import convert, field_types
from mukoe.errors import UserError

Value = int | float | str | bool
"""Value of a varied field."""


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Numbers of an interval, both ends included.

    low, high: ends of the interval.
    log: draw the logarithm uniformly.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        """Raises a `UserError` if the interval is empty or has no logarithm."""
        text = f"[{self.low:g}, {self.high:g}]"
        if not self.low < self.high:
            raise UserError(f"an interval must ascend, unlike {text}")
        if self.log and self.low <= 0:
            raise UserError(f"a logarithmic interval must be positive, unlike {text}")


@dataclasses.dataclass(frozen=True)
class Integer(Uniform):
    """Whole numbers of an interval, both ends included; fields as of `Uniform`."""

    low: int
    high: int


@dataclasses.dataclass(frozen=True)
class Choice:
    """Some values without an order."""

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        """Raises a `UserError` if there is nothing to choose."""
        if not self.values:
            raise UserError("a Choice needs at least one value")


Domain = Uniform | Choice
"""Values of a varied field."""


def extremes(domain: Domain) -> tuple[Value, ...]:
    """Returns the ends of an interval, or all values of a choice."""
    return domain.values if isinstance(domain, Choice) else (domain.low, domain.high)


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """Sweep over fields of a configuration.

    The objective of a trial is its mean evaluation return over the whole budget, which rewards fast
    learning and a high final return alike. A trial that reached its target return keeps it to the
    end of the budget.
    """

    # Config file of the trials, as for --config.
    config: str
    # Varied fields by dotted name, such as {"agent.optimizer.learning_rate": Uniform(1e-4, 1e-2)}.
    space: Mapping[str, Domain]
    # Other changes of the config: text by dotted field name, as on the command line.
    overrides: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # Number of trials.
    num_trials: Annotated[int, Meta(ge=1, le=LARGEST_COUNT)] = 20
    # Seed of the sampler; trial N trains with the seed of the config.
    seed: Annotated[int, Meta(ge=0, le=LARGEST_SEED)] = 0
    # Sampler of Optuna: 'tpe' (tree-structured Parzen estimators), 'gp' (Gaussian process) or
    # 'random'.
    sampler: Literal["tpe", "gp", "random"] = "tpe"
    # Pruner of Optuna: 'median' ends a trial whose evaluation return is below the median of the
    # earlier trials at the same evaluation, 'none' none.
    pruner: Literal["median", "none"] = "median"

    def __post_init__(self) -> None:
        """Raises a `UserError` if there is nothing to vary, or a value is out of bounds."""
        if not self.space:
            raise UserError("space is empty: name at least one field")
        for name, hint in field_types(SweepConfig).items():
            if name != "space":
                convert(hint, getattr(self, name), f"SweepConfig.{name}")

    def overrides_of(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Returns the changes of a trial with these values of the varied fields."""
        return {**self.overrides, **{name: str(value) for name, value in values.items()}}

    def corners(self) -> Iterator[Mapping[str, Value]]:
        """Yields values whose validity implies that of the space: each extreme of each field."""
        for name, domain in self.space.items():
            for value in extremes(domain):
                yield {name: value}
