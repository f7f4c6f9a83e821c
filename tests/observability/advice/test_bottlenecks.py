"""Advice on runs with a constructed bottleneck, and the runs with the advised change."""

import re

import pytest

import mukoe
from mukoe.configuration.overrides import apply_overrides
from mukoe.diagnosis.call_costs import CallCosts
from mukoe.observability.advice.advice import advise
from mukoe.observability.advice.costs import measure_costs
from mukoe.observability.report.runs import load_run
from tests.observability.advice import bottlenecks


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("make_config", "bound", "flag"),
    [
        (bottlenecks.slow_environment, "the environment", "sebulba.threads_per_device"),
        (bottlenecks.wide_network, "the network while acting", ""),
        (bottlenecks.small_batches, "small batches of 2 sequences", "agent.replay.batch_size"),
    ],
)
def test_the_bottleneck_is_named_and_the_change_brings_half_of_its_gain(
    make_config, bound, flag, tmp_path
):
    config = make_config()
    mukoe.train(config, tmp_path / "before")
    advice = advise(load_run(tmp_path / "before"), CallCosts(config).ratios)
    assert bound in advice.bound
    # A program takes longer to start than these runs.
    change = next(c for c in advice.changes if "--layout=distributed" not in c.flags)
    promised = change.gain(advice.costs)
    print(advice.bound, advice.changes, sep="\n")
    assert flag in change.flags and promised > 0.25
    layout = "sebulba" if "--layout=sebulba" in change.flags else "local"
    overrides = dict(re.findall(r"--config\.(\S+)=(\S+)", change.flags))
    mukoe.train(apply_overrides(config, overrides), tmp_path / "after", layout=layout)
    after = measure_costs(load_run(tmp_path / "after"))
    gained = advice.costs.seconds / after.seconds - 1.0
    print(f"promised {promised:+.0%}, gained {gained:+.0%}")
    assert gained > promised / 2
