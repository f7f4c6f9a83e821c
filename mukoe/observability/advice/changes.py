"""Changes of a run's settings, with the seconds that a model predicts for each.

A change multiplies the costs of parts by factors, and Amdahl's law gives the rest
(`Costs.predict`). Factors follow from counts (half of the simulations is half of the search), or
are measured where no log holds them: the cost of a policy call and of an update at another size.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mukoe.observability.advice.costs import EVALUATION, Costs

THREADS = 4
"""Factor by which threads, environments and batches grow."""

# Speed of processes that share a machine's cores, over that of the cores.
_EFFICIENCY = 0.7
# Share of a side in the time, below which its sizes are not measured.
_LEAST_SHARE = 0.1
_SEARCH = (("acting", "network"), ("acting", "tree"), ("acting", "policy"))
_UPDATE = (("learning", "update"), ("learning", "transfer"), ("learning", "data"))
_WIDTHS = ("agent.network.width", "agent.network.hidden_sizes", "agent.network.head_sizes")


class Ratios(NamedTuple):
    """Cost per agent step after a change, over that before it.

    policy: ratio of the policy's cost.
    update: ratio of the learner's cost.
    """

    policy: float
    update: float


Measure = Callable[[Mapping[str, str]], Ratios]
"""`overrides -> ratios`, by running policy and update with these fields."""


@dataclasses.dataclass(frozen=True)
class Change:
    """A change, as flags that can be typed.

    flags: flags of the training command.
    seconds: predicted seconds per agent step.
    model: the model in words.
    effect: change of the algorithm beside its speed; empty for none.
    ratios: measured ratios of policy and update; None where nothing was measured.
    """

    flags: str
    seconds: float
    model: str
    effect: str = ""
    ratios: Ratios | None = None

    def gain(self, costs: Costs) -> float:
        """Returns the relative gain in agent steps per second."""
        return costs.seconds / self.seconds - 1.0


def find_changes(
    costs: Costs, config: Mapping[str, Any], cores: int, measure: Measure | None = None
) -> list[Change]:
    """Returns all changes that apply, the one with the greatest gain first.

    Args:
      costs: costs of the run.
      config: dotted field to value.
      cores: CPU cores of the machine.
      measure: measurement of sizes; None to leave out changes that need one.
    """
    changes = [
        *_fewer_simulations(costs, config),
        *_fewer_updates(costs, config),
        *_fewer_evaluations(costs, config),
        *_more_actors(costs, config, cores),
    ]
    if measure is not None:
        changes += _other_sizes(costs, config, measure)
    sound = [change for change in changes if change.seconds > 0]
    return sorted(sound, key=lambda change: change.seconds)


def _fewer_simulations(costs: Costs, config: Mapping[str, Any]) -> list[Change]:
    count = config.get("agent.search.num_simulations")
    if not isinstance(count, int) or count < 2:
        return []
    factor = (count // 2 + 1) / (count + 1)
    keys = [*_SEARCH, ("learning", "reanalysis")]
    return [
        Change(
            f"--config.agent.search.num_simulations={count // 2}",
            costs.predict(dict.fromkeys(keys, factor)),
            f"the search falls to {factor:.0%}",
            "weaker search",
        )
    ]


def _fewer_updates(costs: Costs, config: Mapping[str, Any]) -> list[Change]:
    ratio = config.get("agent.replay.samples_per_insert")
    if not isinstance(ratio, int | float) or not costs.acting:
        return []
    keys = [key for key in costs.parts if key[0] == "learning"]
    return [
        Change(
            f"--config.agent.replay.samples_per_insert={ratio / 2:g}",
            costs.predict(dict.fromkeys(keys, 0.5)),
            "half of the updates",
            "learns less from each step",
        )
    ]


def _fewer_evaluations(costs: Costs, config: Mapping[str, Any]) -> list[Change]:
    period = config.get("run.evaluation_period")
    if not costs.evaluation or not isinstance(period, int) or costs.parallel:
        return []
    return [
        Change(
            f"--config.run.evaluation_period={2 * period}",
            costs.predict({("run", EVALUATION): 0.5}),
            "half of the evaluations",
        )
    ]


def _more_actors(costs: Costs, config: Mapping[str, Any], cores: int) -> list[Change]:
    if not costs.acting:
        return []
    if costs.layout == "distributed":
        return [_more_nodes(costs, cores)]
    changes = [_more_threads(costs, config)]
    if costs.layout == "local" and cores > 1:
        changes.append(_a_program(costs, cores))
    return changes


def _more_threads(costs: Costs, config: Mapping[str, Any]) -> Change:
    """Lets threads of `sebulba` wait for environments at the same time.

    Computation shares the cores, so that only waits are saved.
    """
    waits, acting = costs.environment_wait, sum(costs.acting.values())
    model = f"{THREADS} threads wait at the same time, and computation takes as long"
    # Threads of all devices are the actors of `sebulba`.
    is_sebulba = costs.layout == "sebulba"
    before = config.get("sebulba.threads_per_device", 1) if is_sebulba else costs.actors
    count = THREADS * before
    threads = f"--config.sebulba.threads_per_device={count}"
    if is_sebulba:
        share = waits / max(costs.acting.get("environment", 0.0), 1e-12)
        factor = 1.0 - share + share / THREADS
        return Change(threads, costs.predict({("acting", "environment"): factor}), model)
    seconds = max(costs.seconds - waits, acting / count)
    return Change(f"--layout=sebulba {threads}", seconds, model, "parameters of one round before")


def _a_program(costs: Costs, cores: int) -> Change:
    """Spreads acting over processes, beside the learner."""
    acting, learning = sum(costs.acting.values()), sum(costs.learning.values())
    computed = acting - costs.environment_wait + learning
    seconds = max(acting / cores, learning, computed / cores) / _EFFICIENCY
    return Change(
        f"--layout=distributed --lp_launch_type=local_mp --num_actors={cores}",
        seconds,
        f"{cores} actors beside the learner, at {_EFFICIENCY:.0%} of {cores} cores",
        "parameters of up to distributed.variable_seconds before",
    )


def _more_nodes(costs: Costs, cores: int) -> Change:
    """Doubles the actors; a server's answers take as long as before."""
    acting = sum(v for name, v in costs.acting.items() if name != "waiting")
    waits, learning = costs.acting.get("waiting", 0.0), sum(costs.learning.values())
    # Seconds of all actors in which a core computes.
    computed = (acting - costs.environment_wait) * costs.actors + learning
    seconds = max(acting / 2 + waits, learning, min(computed / cores, costs.seconds))
    return Change(
        f"--num_actors={2 * costs.actors}",
        seconds,
        f"twice the actors, on the {cores} cores of the machine",
    )


def _other_sizes(costs: Costs, config: Mapping[str, Any], measure: Measure) -> list[Change]:
    """Returns the changes whose factors are measured."""
    changes = []
    for overrides, effect in _size_overrides(costs, config):
        ratios = measure(overrides)
        factors = dict.fromkeys(_SEARCH, ratios.policy)
        factors |= dict.fromkeys(_UPDATE, ratios.update)
        model = f"measured: policy {ratios.policy:.0%}, update {ratios.update:.0%} per agent step"
        flags = " ".join(f"--config.{name}={text}" for name, text in overrides.items())
        changes.append(Change(flags, costs.predict(factors), model, effect, ratios))
    return changes


def _size_overrides(costs: Costs, config: Mapping[str, Any]) -> list[tuple[dict[str, str], str]]:
    """Returns overrides of sizes, and their effects on the algorithm."""
    found = []
    envs, batch = config.get("run.envs_per_actor"), config.get("agent.replay.batch_size")
    if costs.share("acting") > _LEAST_SHARE and isinstance(envs, int):
        overrides = {"run.envs_per_actor": str(THREADS * envs)}
        found.append((overrides, "" if batch else "larger batches of rollouts"))
    if costs.share("learning") > _LEAST_SHARE and isinstance(batch, int):
        effect = f"one update in {THREADS}, each of {THREADS} times the batch"
        found.append(({"agent.replay.batch_size": str(THREADS * batch)}, effect))
    widths = {name: text for name in _WIDTHS if (text := _halved(config.get(name)))}
    if widths:
        found.append((widths, "smaller network"))
    return found


def _halved(size: Any) -> str | None:
    """Returns half of a width, or of all widths, as text; None for other values."""
    if isinstance(size, int):
        return str(max(1, size // 2))
    if isinstance(size, list | tuple) and size:
        return ",".join(str(max(1, int(each) // 2)) for each in size)
    return None
