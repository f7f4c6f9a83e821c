"""Checks of a machine: verdict, commands for gaps, and probes that crash or block."""

import time

import pytest

from mukoe.diagnosis import probes
from mukoe.diagnosis.machine import check_machine, to_text
from mukoe.diagnosis.probes import Probe, ProbeResult, run_probe


def checked(*broken):
    """Checks the machine as if the named parts could not be imported."""
    return check_machine(
        run_probe=lambda probe: ProbeResult(
            probe.name not in broken,
            "not installed (x)" if probe.name in broken else "1.0 1 x cuda H100",
        )
    )


@pytest.mark.parametrize(
    ("broken", "trains"),
    [
        ((), True),
        (("Reverb",), True),
        (("ZeroMQ",), True),
        (("pgx", "MuJoCo", "wandb"), True),
        (("Launchpad", "ZeroMQ"), False),
        (("JAX",), False),
        (("core packages",), False),
        (("Atari (ALE)",), False),
    ],
)
def test_make_train_needs_the_core_the_games_and_one_runtime(broken, trains):
    report = checked(*broken)
    assert report.trains == trains
    assert f"make train runs here: {'yes' if trains else 'no'}" in to_text(report, 100)


def test_every_part_that_is_missing_has_a_command():
    report = checked(*(probe.name for probe in probes.PROBES))
    gaps = [check for check in report.checks if check.works is False]
    assert len(gaps) == len(probes.PROBES)
    assert all(check.fix for check in gaps)
    assert "[games]" in next(check.fix for check in gaps if check.part == "pgx")


@pytest.mark.parametrize("width", [60, 100, 200])
def test_the_table_has_aligned_columns(width):
    table = to_text(checked("pgx"), width).partition("\n\n")[0].splitlines()
    column = table[0].index("works")
    assert all(line[column:].split()[0] in ("works", "yes", "no", "little") for line in table)
    column = table[0].index("for")
    assert all(line[column - 1] == " " and line[column] != " " for line in table)


@pytest.mark.parametrize(
    ("code", "works", "text"),
    [
        ("print('noise')\nprint('1.0')", True, "1.0"),
        ("import no_such_package", False, "not installed (no_such_package)"),
        ("raise ValueError('bad')", False, "ValueError: bad"),
        ("import os; os.abort()", False, "crashed (SIGABRT)"),
    ],
)
def test_a_probe_tells_what_happened(code, works, text):
    assert run_probe(Probe("x", "y", code)) == (works, text)


def test_a_probe_that_blocks_ends():
    start = time.monotonic()
    result = run_probe(Probe("x", "y", "import time; time.sleep(60)"), timeout=1.0)
    assert result == (False, "no answer within 1 s") and time.monotonic() - start < 30.0
