"""Return against the number of simulations and the depth of the tree."""

from mukoe.diagnosis.xray.config import XrayConfig
from mukoe.diagnosis.xray.results import Figure, Row, Section, Series, Table, estimate
from mukoe.diagnosis.xray.returns import PairedEpisodes, Returns
from mukoe.diagnosis.xray.variants import doubling
from mukoe.layouts.common.stored_run import StoredRun


def simulations_of_run(run: StoredRun) -> int:
    """Returns the simulations per decision of the run."""
    return run.config.agent.search.num_simulations


def measure_simulations(episodes: PairedEpisodes) -> Section:
    """Measures the return at 0, 1, 2, 4, ... simulations, and at those of the run."""
    config, own = episodes.config, simulations_of_run(episodes.run)
    largest = config.max_simulations or max(2 * own, 8)
    numbers = sorted({0, *doubling(largest), *([own] if own <= largest else [])})
    # The ends of the curve, then the run's own number and the rest, as the budget allows.
    order = sorted(numbers, key=lambda n: (n != 0, n != own, n != largest, n))
    found: dict[int, Returns] = {}
    for number in order:
        returns = episodes.play(num_simulations=number)
        if returns is None:
            break
        found[number] = returns
    return _section(found, own, numbers, config)


def _section(found: dict[int, Returns], own: int, wanted: list[int], config: XrayConfig) -> Section:
    heading = "Return and simulations"
    if 0 not in found:
        return Section("simulations", heading, "The budget ended before the first return.")
    prior = found[0]
    rows: list[Row] = [
        [n, estimate(r.values), estimate(r.values - prior.values), round(r.milliseconds, 3)]
        for n, r in sorted(found.items())
    ]
    searched = [n for n in sorted(found) if n > 0]
    figure = Figure(
        "return_by_simulations",
        "Return by simulations per decision",
        "simulations",
        [Series("search", searched, [estimate(found[n].values) for n in searched])],
        threshold=float(prior.values.mean()),
        threshold_name="policy without search",
        logarithmic=True,
    )
    text = (
        f"{config.episodes} episodes with equal seeds for every number, without exploration; 0 is "
        f"the mode of the prior. The run acts with {own} simulations."
    )
    missing = [str(n) for n in wanted if n not in found]
    if missing:
        text += f" The budget ended before {', '.join(missing)} simulations."
    columns = ["simulations", "return", "less return without search", "ms per batch of decisions"]
    table = Table("returns", columns, rows)
    return Section("simulations", heading, text, [figure] if searched else [], [table])


def measure_depth(episodes: PairedEpisodes) -> Section:
    """Measures the return with the simulations of the run and trees of limited depth."""
    heading, own = "Return and depth of the tree", simulations_of_run(episodes.run)
    if own == 0:
        return Section("depth", heading, "Not applicable: the run acts without simulations.")
    found: dict[int, Returns] = {}
    for depth in doubling(min(own, 16)):
        returns = episodes.play(max_depth=depth)
        if returns is None:
            break
        found[depth] = returns
    if not found:
        return Section("depth", heading, "The budget ended before the first return.")
    depths = sorted(found)
    estimates = [estimate(found[depth].values) for depth in depths]
    figure = Figure(
        "return_by_depth",
        "Return by longest path of the tree",
        "actions from the root",
        [Series("search", depths, estimates)],
        logarithmic=True,
    )
    text = f"{own} simulations per decision; paths of the tree end at the given depth."
    rows: list[Row] = [[depth, value] for depth, value in zip(depths, estimates, strict=True)]
    return Section("depth", heading, text, [figure], [Table("returns", ["depth", "return"], rows)])
