"""Progress line: text, width, output on terminals and in files."""

import dataclasses
import io
import logging
import os
import pty
import re
import subprocess
import sys
import time

import pytest

from mukoe.observability.log_handler import install_handler
from mukoe.terminal import progress_line
from mukoe.terminal.progress_line import ProgressLine
from mukoe.terminal.progress_text import Progress

FULL = Progress(
    phase="learning",
    steps=12_345,
    max_steps=100_000,
    updates=1_234_567,
    replay_fill=0.456,
    samples_per_insert=7.98,
    last_return=210.0,
    best_return=1_450.0,
    loss=3.2109,
    advances=True,
)


def learning(steps=None, **content):
    return Progress("learning", steps=steps, **content)


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
        monkeypatch.setattr(progress_line, "_width", lambda stream: columns)

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
            # 10 updates/s at first, 40 updates/s in the last 40 s.
            updates = 10 * min(clock.now, 60) + 40 * max(clock.now - 60, 0)
            line.update(
                Progress(
                    phase="learning",
                    updates=updates,
                    steps=100 * clock.now,
                    max_steps=40_000,
                    replay_fill=0.456,
                    samples_per_insert=8.0,
                    last_return=210.0,
                    best_return=1450.0,
                    loss=3.2109,
                    advances=True,
                )
            )
    assert screen(stream.getvalue())[-2] == (
        "1:40  learning 25%  10.0k/40.0k steps 100/s  5:00 left  return 210 best 1450  loss 3.21"
        "  2.2k updates 40/s  replay 46%  sampled 8.0x"
    )


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 120])
def test_line_fits_and_keeps_what_matters(width, columns):
    width(columns)
    clock, stream = Clock(), FakeTerminal()
    with ProgressLine(stream, clock=clock) as line:
        for clock.now in range(0, 81, 2):
            line.update(dataclasses.replace(FULL, steps=12_345 * clock.now / 80))
    shown = screen(stream.getvalue())[-2]
    assert len(shown) < columns
    assert "learning 12%" in shown
    assert ("left" in shown) == (columns >= 40)
    assert ("12.3k/100k steps" in shown) == (columns >= 60)
    assert ("return 210" in shown) == (columns >= 60)
    assert ("best 1450" in shown) == (columns >= 80)
    assert ("loss 3.21" in shown) == (columns >= 120)


@pytest.mark.parametrize("columns", [20, 40, 80])
@pytest.mark.parametrize("phase", ["filling replay", "evaluating"])
def test_phases_with_a_count_show_of_how_many_and_percent(width, columns, phase):
    width(columns)
    stream = FakeTerminal()
    with ProgressLine(stream) as line:
        line.update(dataclasses.replace(FULL, phase=phase, phase_done=3, phase_total=9))
    shown = screen(stream.getvalue())[-2]
    assert len(shown) < columns
    assert f"{phase} 3/9 33%"[: columns - 1] in shown


def test_rewritten_in_place_and_left_on_a_fresh_line(width):
    clock, stream = Clock(), FakeTerminal()
    line = ProgressLine(stream, clock=clock)
    for clock.now in (0.0, 1.0, 2.0):
        line.update(learning(clock.now))
    assert "\n" not in stream.getvalue()
    line.message("saved a checkpoint")
    line.close()
    line.close()
    shown = screen(stream.getvalue())
    assert shown[0] == "saved a checkpoint"
    assert shown[1].startswith("0:02  learning  2 steps")
    assert shown[2:] == [""]


def test_redrawn_at_most_ten_times_a_second(width):
    clock, stream = Clock(), FakeTerminal()
    with ProgressLine(stream, clock=clock) as line:
        for step in range(1000):
            clock.now = step / 1000
            line.update(learning(step))
    assert stream.getvalue().count("\r") <= 14
    assert "  999 steps" in stream.getvalue(), "close draws the last numbers"


def test_phases_before_learning(width):
    clock, stream = Clock(), FakeTerminal()
    with ProgressLine(stream, clock=clock) as line:
        line.update(Progress(phase="compiling"))
        assert screen(stream.getvalue())[-1] == "0:00  compiling"
        line.update(Progress(phase="filling replay", phase_done=120, phase_total=1000))
        assert screen(stream.getvalue())[-1] == "0:00  filling replay 120/1000 12%"


def test_file_gets_a_plain_line_every_30_seconds():
    clock, stream = Clock(), io.StringIO()
    with ProgressLine(stream, clock=clock) as line:
        for clock.now in range(100):
            line.update(learning(clock.now))
    text = stream.getvalue()
    assert "\r" not in text
    assert "\x1b" not in text
    starts = [entry.split("  ")[0] for entry in text.splitlines()]
    assert starts == ["0:00", "0:30", "1:00", "1:30", "1:39"]


def test_file_gets_each_phase_of_a_run_once_at_once():
    """Phases before the run, in which bad input is rejected, print nothing."""
    stream = io.StringIO()
    with ProgressLine(stream, phase="loading") as line:
        line.update(Progress("building agent and environments"))
        assert stream.getvalue() == ""
        for _ in range(2):
            line.update(learning(1))
            line.update(Progress("evaluating", 0, 3, steps=1))
        shown = [text.split("  ")[1] for text in stream.getvalue().splitlines()]
    assert shown == ["learning", "evaluating 0/3 0%"]


def test_the_line_follows_a_source_while_the_program_is_busy(width):
    done = iter(range(1, 100))
    stream = FakeTerminal()
    with ProgressLine(stream) as line:
        line.follow(lambda: Progress("evaluating", next(done), 100))
        end = time.monotonic() + 10
        while "evaluating 3/100" not in stream.getvalue():
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_program_erases_its_line_before_it_prints(width, monkeypatch):
    stream = FakeTerminal()
    monkeypatch.setattr(progress_line.sys, "stderr", stream)
    line = progress_line.process_line()
    assert progress_line.process_line() is line
    progress_line.show_phase("loading")
    assert screen(stream.getvalue())[-1] == "0:00  loading"
    progress_line.erase_line()
    progress_line.erase_line()
    progress_line.show_phase("closed")
    assert screen(stream.getvalue()) == [""]


def test_the_line_needs_no_library():
    code = (
        "import sys; before = set(sys.modules); import mukoe.terminal.progress_line;"
        "print({n.partition('.')[0] for n in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "{'mukoe'}", result.stderr


def test_stream_that_breaks_is_left_alone():
    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    line = ProgressLine(Broken())
    line.update(learning(1))
    line.message("text")
    line.close()


def test_warnings_go_above_the_line(width, capsys):
    install_handler()
    stream = FakeTerminal()
    with ProgressLine(stream) as line:
        line.update(learning(1))
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
        output = ""
        while "learning" not in output:
            output += os.read(primary, 10_000).decode()
    os.close(primary)
    longest = max(len(text) for text in re.split(r"\r|\n", output.replace("\x1b[K", "")))
    assert 20 < longest <= 43
