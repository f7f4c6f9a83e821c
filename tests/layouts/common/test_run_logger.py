"""The logs of a run of one process."""

import types

from mukoe.layouts.common.counting import Counter
from mukoe.layouts.common.run_logger import RunLogger
from mukoe.observability.timings import Timings


def make_logger(workdir):
    loop = types.SimpleNamespace(
        progress=types.SimpleNamespace(steps=0, frames=0),
        learner_steps=0,
        statistics={},
        timings=Timings(),
    )
    learner = types.SimpleNamespace(time_columns=dict)
    return RunLogger(workdir, Counter(), loop, learner, None, ("csv",))


def test_targets_outside_of_their_bins_are_reported_once(tmp_path, caplog):
    logger = make_logger(tmp_path)
    for steps in (10, 20):
        metrics = {"loss": 0.0, "values_outside_bins": 1.0, "rewards_outside_bins": 0.0}
        logger.add({"actor_steps": steps, "learner_steps": steps}, [], metrics)
        logger.write()
    logger.close()
    (message,) = caplog.messages
    assert "100% of the value targets" in message
    assert "agent.network.value_support" in message
