"""End of a program: its summary."""

import json

import pytest

pytest.importorskip("launchpad")

from mukoe.layouts.distributed.runtimes.launchpad.launcher import run_to_end  # noqa: E402
from tests.layouts.tiny import tiny  # noqa: E402


class Unavailable:
    """The handle of a counter that has ended."""

    def set_client_kwargs(self, **kwargs):
        pass

    def dereference(self):
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
    assert run_to_end(lambda line: Ended(), Unavailable(), experiment, tmp_path) == 0
    assert f"ended: {reason}" in capsys.readouterr().out
