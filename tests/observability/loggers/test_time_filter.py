"""Rate limit of entries."""

from mukoe.observability.loggers.time_filter import TimeFilter
from tests.observability.loggers.recorder import Recorder


def test_time_filter_passes_one_entry_per_interval():
    now = [0.0]
    recorder = Recorder()
    logger = TimeFilter(recorder, 10.0, clock=lambda: now[0])
    for now[0] in (0.0, 5.0, 9.9, 10.0, 15.0, 21.0):
        logger.write({"at": now[0]})
    logger.close()
    assert [entry["at"] for entry in recorder.entries] == [0.0, 10.0, 21.0]
    assert recorder.closed
