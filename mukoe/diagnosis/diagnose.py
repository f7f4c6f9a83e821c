"""All checks of one agent, in the order in which an engineer makes them."""

from collections.abc import Callable
from typing import Any

from mukoe.agents.extensions import Unrolls, rollout_of
from mukoe.diagnosis.alignment import check_rewards, check_values, predict
from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.freshness import check_freshness
from mukoe.diagnosis.noise import check_noise
from mukoe.diagnosis.overfit import check_changes, check_gradients, check_overfit, overfit
from mukoe.diagnosis.rows import check_rows
from mukoe.diagnosis.search_policy import check_search_policy, search_twice
from mukoe.diagnosis.subject import Subject
from mukoe.diagnosis.targets import check_supports

NUM_UPDATES = 400
"""Updates on one batch."""


def diagnose(
    subject: Subject,
    agent: Any,
    trained: bool,
    num_updates: int = NUM_UPDATES,
    on_update: Callable[[int], None] = lambda _: None,
) -> list[Finding]:
    """Returns the findings of an agent.

    Args:
      subject: agent and data.
      agent: configuration of the agent.
      trained: True if the parameters are those of a run.
      num_updates: updates on one batch.
      on_update: called with the number of updates so far.
    """
    builder = subject.experiment.builder
    findings = [check_rows(subject), check_supports(subject, agent)]
    overfitted = overfit(subject, num_updates, on_update)
    clips = getattr(getattr(agent, "loss", None), "clip_values", False)
    findings.append(check_overfit(overfitted, clips))
    if rollout_of(builder):
        findings.append(check_changes(subject.params, overfitted.params))
        return findings
    findings.append(check_gradients(subject, overfitted.params))
    if isinstance(builder, Unrolls):
        predictions = predict(subject, overfitted.params)
        targets = agent.targets
        findings.append(check_rewards(subject, predictions))
        if targets.bootstrap == "search" and targets.td_lambda == 1.0:
            findings.append(check_values(subject, predictions, targets.td_steps, targets.discount))
        searches = search_twice(subject, subject.params)
        newest = None if searches is None else searches[0]
        findings += [
            check_search_policy(subject, subject.params, trained, searches),
            check_noise(subject, subject.params, trained, targets.discount),
            check_freshness(subject, newest, trained, targets.bootstrap == "search"),
        ]
    return findings
