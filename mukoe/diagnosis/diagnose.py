"""All checks of one agent, in the order in which an engineer makes them."""

from collections.abc import Callable
from typing import Any

from mukoe.agents.extensions import Unrolls
from mukoe.diagnosis.alignment import check_rewards, check_values, predict
from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.overfit import check_gradients, check_overfit, overfit
from mukoe.diagnosis.rows import check_rows
from mukoe.diagnosis.search_policy import check_search_policy
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
    findings = [check_rows(subject), check_supports(subject, agent)]
    overfitted = overfit(subject, num_updates, on_update)
    findings += [check_overfit(overfitted), check_gradients(subject, overfitted.params)]
    builder = subject.experiment.builder
    if isinstance(builder, Unrolls):
        predictions = predict(subject, overfitted.params)
        targets = agent.targets
        findings.append(check_rewards(subject, predictions))
        if targets.bootstrap == "search" and targets.td_lambda == 1.0:
            findings.append(check_values(subject, predictions, targets.td_steps, targets.discount))
        findings.append(check_search_policy(subject, subject.params, trained))
    return findings
