"""All measurements of an X-ray, within its budget."""

from collections.abc import Callable
from typing import NamedTuple

from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.xray.algorithms import measure_algorithms
from mukoe.diagnosis.xray.budget import Budget
from mukoe.diagnosis.xray.calibration import measure_calibration
from mukoe.diagnosis.xray.config import XrayConfig
from mukoe.diagnosis.xray.decisions import measure_decisions
from mukoe.diagnosis.xray.model_error import (
    Unrolled,
    Unroller,
    measure_model,
    unroll_depth,
)
from mukoe.diagnosis.xray.optimal import SOLVED_GAME, measure_optimal_moves
from mukoe.diagnosis.xray.results import Section
from mukoe.diagnosis.xray.returns import PairedEpisodes
from mukoe.diagnosis.xray.search_budget import (
    measure_depth,
    measure_simulations,
    simulations_of_run,
)
from mukoe.diagnosis.xray.training import measure_training
from mukoe.diagnosis.xray.trajectories import Recorder, Trajectories
from mukoe.diagnosis.xray.true_model import measure_true_model
from mukoe.diagnosis.xray.variants import with_search
from mukoe.diagnosis.xray.verdicts import judge_gain, judge_xray
from mukoe.evaluation.players import two_player_game
from mukoe.layouts.common.stored_run import StoredRun

_STEPS = 600
_SIMULATIONS = "return by simulations"


class Xray(NamedTuple):
    """Result of an X-ray.

    sections: measurements, in the order of the page.
    findings: verdicts on model and values.
    """

    sections: list[Section]
    findings: list[Finding]


def xray(
    run: StoredRun,
    config: XrayConfig,
    on_phase: Callable[[str], None] = lambda _: None,
    on_result: Callable[[Xray], None] = lambda _: None,
) -> Xray:
    """Measures the search, the model and the values of an agent that searches.

    Args:
      run: run with its parameters.
      config: settings.
      on_phase: called with the description of each measurement before it starts.
      on_result: called with the result so far after each measurement.
    """
    budget = Budget(config.seconds)
    stop = budget.spent
    searching = run if simulations_of_run(run) else with_search(run, num_simulations=1)
    on_phase("recording trajectories")
    budget.start(0.2)
    recorder = Recorder(searching)
    own, random = record(recorder, config, stop)
    unroller = Unroller(searching, unroll_depth([own, random]))
    unrolls = [unroller(run.params.network, each) for each in (own, random)]
    rare = [unroller.rare_rewards(run.params.network, each) for each in (own, random)]
    is_game = two_player_game(run) is not None
    found = [u for u in unrolls if isinstance(u, Unrolled)]
    findings = judge_xray(own, random, found, rare, run.config.agent, is_game)
    sections = [
        measure_model(unrolls[0], unrolls[1], rare),
        measure_calibration(own, run.config.agent.discount),
    ]
    if two_player_game(run) == SOLVED_GAME:
        sections.append(measure_optimal_moves(random))
    on_result(Xray(sections, findings))
    episodes = PairedEpisodes(searching, config, stop)
    # Share of the budget of each measurement.
    parts: list[tuple[float, str, Callable[[], Section]]] = [
        (0.25, _SIMULATIONS, lambda: measure_simulations(episodes)),
        (0.1, "return by depth", lambda: measure_depth(episodes)),
        (0.12, "PUCT, Gumbel and no search", lambda: measure_algorithms(episodes)),
        (0.15, "search of the true model", lambda: measure_true_model(episodes)),
        (0.1, "changed decisions", lambda: measure_decisions(recorder, own, config, stop)),
        (0.08, "checkpoints", lambda: measure_training(recorder, unroller, config, stop)),
    ]
    for share, phase, measure in parts:
        on_phase(phase)
        budget.start(share)
        sections.append(measure())
        if phase == _SIMULATIONS:
            findings += _gain(episodes)
        on_result(Xray(sections, findings))
    return Xray(sections, findings)


def _gain(episodes: PairedEpisodes) -> list[Finding]:
    """Returns the verdict on the measured returns; none where the budget did not reach them."""
    own = simulations_of_run(episodes.run)
    returns = [episodes.found(num_simulations=number) for number in (0, own)]
    if returns[0] is None or returns[1] is None:
        return []
    return [judge_gain(returns[0].values, returns[1].values)]


def record(
    recorder: Recorder, config: XrayConfig, stop: Callable[[], bool]
) -> tuple[Trajectories, Trajectories]:
    """Records own and random actions."""
    steps = min(_STEPS, config.max_steps or _STEPS)
    own = recorder.record(config, steps, False, stop)
    return own, recorder.record(config, max(len(own.last) // 2, 64), True, stop)
