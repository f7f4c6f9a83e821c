"""Progress line: text, width, output on terminals and in files."""

import io
import logging
import os
import pty
import re

import pytest

from mukoe.observability import progress
from mukoe.observability.progress import ProgressLine
from mukoe.observability.progress_text import Progress

FULL = Progress(
    learner_steps=12_345,
    environment_frames=1_234_567,
    replay_fill=0.456,
    samples_per_insert=7.98,
    last_return=210.0,
    best_return=1_450.0,
    loss=3.2109,
    run_fraction=0.5,
)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class FakeTerminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def width(monkeypatch):
    def set_width(columns):
        monkeypatch.setattr(progress, "_width", lambda stream: columns)

    monkeypatch.setenv("TERM", "xterm")
    set_width(120)
    return set_width


def screen(output):
    """Returns the lines that a terminal of unlimited width shows after the output."""
    lines = [""]
    for token in re.findall(r"\r|\n|\x1b\[K|[^\r\n\x1b]+", output):
        if token == "\n":
            lines.append("")
        elif token == "\r":
            column = 0
            continue
        elif token == "\x1b[K":
            lines[-1] = lines[-1][:column]
        else:
            column = 0 if lines[-1] == "" else column
            lines[-1] = lines[-1][:column] + token + lines[-1][column + len(token) :]
            column += len(token)
            continue
        column = 0
    return lines


def test_full_line_with_rates_from_the_moving_window(width):
    width(200)
    clock, stream = Clock(), FakeTerminal()
    with ProgressLine(stream, clock=clock) as line:
        for clock.now in range(101):
            # 10 steps/s at first, 40 steps/s in the last 40 s.
            steps = 10 * min(clock.now, 60) + 40 * max(clock.now - 60, 0)
            line.update(
                Progress(
                    learner_steps=steps,
                    environment_frames=100 * clock.now,
                    replay_fill=0.456,
                    samples_per_insert=8.0,
                    last_return=210.0,
                    best_return=1450.0,
                    loss=3.2109,
                    run_fraction=clock.now / 400,
                )
            )
    assert screen(stream.getvalue())[-2] == (
        "1:40  2.2k steps 40/s  10.0k frames 100/s  return 210 best 1450  loss 3.21"
        "  replay 46%  sampled 8.0x  5:00 left"
    )


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 120])
def test_line_fits_and_keeps_what_matters(width, columns):
    width(columns)
    stream = FakeTerminal()
    with ProgressLine(stream) as line:
        line.update(FULL)
    shown = screen(stream.getvalue())[-2]
    assert len(shown) < columns
    assert "12.3k steps" in shown
    assert ("return 210" in shown) == (columns >= 40)
    assert ("loss 3.21" in shown) == (columns >= 60)
    assert ("sampled 8.0x" in shown) == (columns >= 120)


def test_rewritten_in_place_and_left_on_a_fresh_line(width):
    clock, stream = Clock(), FakeTerminal()
    line = ProgressLine(stream, clock=clock)
    for clock.now in (0.0, 1.0, 2.0):
        line.update(Progress(learner_steps=clock.now))
    assert "\n" not in stream.getvalue()
    line.message("saved a checkpoint")
    line.close()
    line.close()
    shown = screen(stream.getvalue())
    assert shown[0] == "saved a checkpoint"
    assert shown[1].startswith("0:02  2 steps")
    assert shown[2:] == [""]


def test_redrawn_at_most_ten_times_a_second(width):
    clock, stream = Clock(), FakeTerminal()
    with ProgressLine(stream, clock=clock) as line:
        for step in range(1000):
            clock.now = step / 1000
            line.update(Progress(learner_steps=step))
    assert stream.getvalue().count("\r") <= 13
    assert "  999 steps" in stream.getvalue(), "close draws the last numbers"


def test_phases_before_learning(width):
    clock, stream = Clock(), FakeTerminal()
    with ProgressLine(stream, clock=clock) as line:
        line.update(Progress(phase="compiling"))
        assert screen(stream.getvalue())[-1] == "0:00  compiling"
        line.update(Progress(phase="filling replay", phase_done=120, phase_total=1000))
        assert screen(stream.getvalue())[-1] == "0:00  filling replay 120/1000"


def test_file_gets_a_plain_line_every_30_seconds():
    clock, stream = Clock(), io.StringIO()
    with ProgressLine(stream, clock=clock) as line:
        for clock.now in range(100):
            line.update(Progress(learner_steps=clock.now))
    text = stream.getvalue()
    assert "\r" not in text
    assert "\x1b" not in text
    starts = [entry.split("  ")[0] for entry in text.splitlines()]
    assert starts == ["0:00", "0:30", "1:00", "1:30", "1:39"]


def test_stream_that_breaks_is_left_alone():
    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    line = ProgressLine(Broken())
    line.update(Progress(learner_steps=1))
    line.message("text")
    line.close()


def test_warnings_go_above_the_line(width, capsys):
    stream = FakeTerminal()
    with ProgressLine(stream) as line:
        line.update(Progress(learner_steps=1))
        logging.getLogger("mukoe.replay").warning("disk full")
    assert screen(stream.getvalue())[0] == "warning: disk full"
    logging.getLogger("mukoe.replay").warning("afterwards")
    assert capsys.readouterr().err == "warning: afterwards\n"


def test_width_is_that_of_the_real_terminal(monkeypatch):
    import fcntl
    import struct
    import termios

    monkeypatch.setenv("TERM", "xterm")
    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 44, 0, 0))
    with os.fdopen(secondary, "w") as stream, ProgressLine(stream) as line:
        line.update(FULL)
        output = os.read(primary, 10_000).decode()
    os.close(primary)
    longest = max(len(text) for text in re.split(r"\r|\n", output.replace("\x1b[K", "")))
    assert 20 < longest <= 43
