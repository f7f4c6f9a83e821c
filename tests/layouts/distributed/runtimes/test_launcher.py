"""End of a program: its summary."""

import json

import pytest

from mukoe.layouts.distributed.runtimes.launcher import run_to_end
from tests.layouts.tiny import tiny


def unavailable():
    """Connects to a counter that has ended."""
    raise ConnectionError


class Ended:
    """A program that has ended."""

    ended, stopping = True, False

    def status(self, line):
        return 0


@pytest.mark.parametrize(
    "steps, reason", [(200, "the step limit is reached"), (199, "SIGTERM"), (None, "SIGTERM")]
)
def test_the_end_has_the_counts_that_the_counter_stored_last(steps, reason, tmp_path, capsys):
    """The launcher may not have seen the last ones: the counter ends first."""
    if steps is not None:
        (tmp_path / "counts.json").write_text(json.dumps({"actor_steps": steps}))
    experiment = tiny().make_experiment()
    assert run_to_end(lambda line: Ended(), unavailable, experiment, tmp_path) == 0
    assert f"ended: {reason}" in capsys.readouterr().out
