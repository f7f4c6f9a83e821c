"""All checks of one agent, in the order in which an engineer makes them."""

from collections.abc import Callable

from mukoe.agents.extensions import Unrolls, rollout_of
from mukoe.diagnosis.active_units import check_active_units
from mukoe.diagnosis.alignment import (
    check_ends,
    check_policies,
    check_rewards,
    check_values,
    predict,
    target_values,
)
from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.freshness import check_freshness
from mukoe.diagnosis.noise import check_noise
from mukoe.diagnosis.overfit import (
    batch_gradient,
    check_changes,
    check_gradients,
    check_overfit,
    overfit,
)
from mukoe.diagnosis.rows import check_rows
from mukoe.diagnosis.search_policy import check_search_policy, newest_statistics, search_by_keys
from mukoe.diagnosis.searches import check_searches
from mukoe.diagnosis.subject import Subject
from mukoe.diagnosis.targets import check_supports
from mukoe.layouts.common.experiment import TrainingConfig

NUM_UPDATES = 400
"""Updates on one batch."""


def diagnose(
    subject: Subject,
    config: TrainingConfig,
    trained: bool,
    num_updates: int = NUM_UPDATES,
    on_update: Callable[[int], None] = lambda _: None,
) -> list[Finding]:
    """Returns the findings of an agent.

    Args:
      subject: agent and data.
      config: configuration of agent and environment.
      trained: True if the parameters are those of a run.
      num_updates: updates on one batch.
      on_update: called with the number of updates so far.
    """
    builder, agent = subject.experiment.builder, config.agent
    findings = [check_rows(subject), check_supports(subject, agent)]
    overfitted = overfit(subject, num_updates, on_update)
    clips = getattr(getattr(agent, "loss", None), "clip_values", False)
    findings.append(check_overfit(overfitted, clips))
    if rollout_of(builder):
        findings.append(check_changes(subject.params, overfitted.params))
        return findings
    gradient = batch_gradient(subject, subject.params if trained else overfitted.params)
    findings += [check_gradients(gradient), check_active_units(gradient)]
    if isinstance(builder, Unrolls):
        predictions = predict(subject, overfitted.params)
        targets = agent.targets
        findings.append(check_rewards(subject, predictions))
        if targets.td_lambda == 1.0:
            stored = targets.bootstrap == "search"
            values = None if stored else target_values(subject, subject.params)
            steps, discount = targets.td_steps, targets.discount
            findings.append(check_values(subject, predictions, steps, discount, values))
        best = getattr(getattr(agent, "loss", None), "policy_target", "search") == "best"
        findings += [
            check_ends(subject, predictions),
            check_policies(subject, predictions, best),
        ]
        findings += check_searches(subject, config, overfitted.params)
        searches = search_by_keys(subject, agent, subject.params)
        newest = newest_statistics(subject, agent, subject.params, searches)
        findings += [
            check_search_policy(subject, subject.params, trained, searches),
            check_noise(subject, subject.params, trained, targets.discount),
            check_freshness(subject, newest, trained, targets.bootstrap == "search"),
        ]
    return findings
