"""Progress of loops with a known number of steps."""

from mukoe.terminal.counted_progress import CountedProgress


def test_progress_is_silent_at_first(capsys, monkeypatch):
    with CountedProgress("evaluating", 3) as progress:
        progress.add()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("mukoe.terminal.counted_progress._QUIET_SECONDS", -1.0)
    with CountedProgress("evaluating", 3) as progress:
        progress.add(2)
    assert "evaluating 2/3" in capsys.readouterr().err
