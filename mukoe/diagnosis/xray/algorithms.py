"""PUCT, Gumbel and no search at equal network calls, and the time of each."""

from mukoe.diagnosis.xray.results import Estimate, Figure, Row, Section, Series, Table, estimate
from mukoe.diagnosis.xray.returns import PairedEpisodes
from mukoe.diagnosis.xray.search_budget import simulations_of_run

_HEADING = "PUCT, Gumbel and no search"
_NAMES = {"muzero": "PUCT", "gumbel": "Gumbel"}


def measure_algorithms(episodes: PairedEpisodes) -> Section:
    """Measures return and time of both searches at equal numbers of simulations."""
    largest = max(simulations_of_run(episodes.run), 2)
    rows: list[Row] = []
    points: dict[str, list[tuple[float, Estimate]]] = {}
    prior = episodes.play(num_simulations=0)
    if prior is None:
        return Section("algorithms", _HEADING, "The budget ended before the first return.")
    rows.append(["no search", 1, estimate(prior.values), "–", prior.milliseconds])
    for number in sorted({largest, max(largest // 4, 1)}, reverse=True):
        for algorithm, name in _NAMES.items():
            returns = episodes.play(num_simulations=number, algorithm=algorithm)
            if returns is None:
                continue
            value = estimate(returns.values)
            gain = estimate(returns.values - prior.values)
            rows.append([name, number + 1, value, gain, returns.milliseconds])
            points.setdefault(name, []).append((returns.milliseconds, value))
    series = [
        Series(name, *map(list, zip(*sorted(found), strict=True))) for name, found in points.items()
    ]
    figure = Figure(
        "return_by_time",
        "Return by time per decision",
        f"ms per batch of {episodes.config.episodes} decisions",
        series,
        threshold=float(prior.values.mean()),
        threshold_name="no search",
    )
    text = (
        "Rows of equal network calls (one of the root and one per simulation) compare the searches "
        "at equal calls, the figure at equal time, compilation left out. Both use the other "
        "settings of the run, which has been trained with one of them."
    )
    columns = ["search", "network calls", "return", "gain over no search", "ms per batch"]
    table = Table("algorithms", columns, rows)
    return Section("algorithms", _HEADING, text, [figure] if series else [], [table])
