"""A network that has learned a few rows by heart, and errors by hand."""

import dataclasses

import numpy as np
import pytest

from mukoe.configuration import load_config_file
from mukoe.diagnosis.memorisation import check_memorisation, judge_errors, value_errors
from mukoe.diagnosis.overfit import overfit
from mukoe.diagnosis.subject import collect
from mukoe.layouts import local


def test_rows_learned_by_heart_are_told_from_new_ones():
    config = load_config_file("configs/tictactoe.py")
    replay = dataclasses.replace(config.agent.replay, min_size=64, batch_size=32)
    search = dataclasses.replace(config.agent.search, num_simulations=2)
    agent = dataclasses.replace(config.agent, replay=replay, search=search)
    experiment = dataclasses.replace(config, agent=agent).make_experiment()
    spec = local.check(experiment)
    new = collect(experiment, spec, num_batches=4)
    assert len(new.more_samples) == 3
    seen = dataclasses.replace(new, more_samples=[new.sample])
    assert check_memorisation(new, new).verdict == "ok"

    learned = overfit(seen, 200).params
    seen, new = (dataclasses.replace(x, params=learned) for x in (seen, new))
    new = dataclasses.replace(new, sample=new.more_samples[0], more_samples=new.more_samples[1:])
    finding = check_memorisation(seen, new)
    assert finding.verdict == "fault" and "samples_per_insert" in finding.text
    assert value_errors(seen).mean() < 0.5 * value_errors(new).mean()


@pytest.mark.parametrize(
    "stored, new, verdict",
    [
        ([1.0, 1.1, 0.9, 1.0], [1.4, 1.5, 1.3, 1.4], "fault"),
        ([1.0, 1.1, 0.9, 1.0], [1.1, 1.2, 1.0, 1.1], "ok"),  # Above, by less than a fifth.
        ([1.0, 1.1, 0.9, 1.0], [0.2, 0.4, 0.2, 4.8], "ok"),  # 1.4 ± 1.1.
        ([1.0, 1.1, 0.9, 1.0], [0.4, 0.5, 0.3, 0.4], "ok"),
        ([], [], "unknown"),
        ([0.0, 0.0], [0.0, 0.0], "unknown"),
    ],
)
def test_errors_are_judged_by_their_ratio_and_certainty(stored, new, verdict):
    assert judge_errors(np.array(stored), np.array(new)).verdict == verdict
