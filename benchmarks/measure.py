"""Shared parts of the benchmarks: medians and spreads, rows, tables, cores, the machine."""

import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from absl import flags

from mukoe.system import process_environment, set_process_environment

TINY = flags.DEFINE_bool("tiny", False, "Minimal sizes: run everything once, not a measurement.")
OUTPUT = flags.DEFINE_string("output", None, "File to which the rows are appended, as JSON lines.")

MEASURED_CORE, OTHER_CORE = 0, 1
_CORES = sorted(os.sched_getaffinity(0))


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured number and its limit.

    benchmark: name of the benchmark's file.
    case: name of the measured case.
    unit: unit of `values`, such as 'simulations/s'.
    values: measured value of each run.
    against: name of the limit; empty without a limit.
    limits: limits in the same unit, each measured next to the run of the same index.
    target: least desired ratio of values to limits; None without a target.
    note: conditions and further numbers.
    """

    benchmark: str
    case: str
    unit: str
    values: Sequence[float]
    against: str = ""
    limits: Sequence[float] = ()
    target: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Median of the ratios of each run, which other programs on the machine disturb less."""
        if not self.limits:
            return None
        pairs = zip(self.values, self.limits, strict=True)
        return statistics.median(value / limit for value, limit in pairs)

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of the JSON line."""
        row: dict[str, Any] = {
            "benchmark": self.benchmark,
            "case": self.case,
            "unit": self.unit,
            "median": _rounded(statistics.median(self.values)),
            "lowest": _rounded(min(self.values)),
            "highest": _rounded(max(self.values)),
            "runs": len(self.values),
        }
        if self.limits:
            assert self.ratio is not None
            row["against"] = self.against
            row["limit"] = _rounded(statistics.median(self.limits))
            row["ratio"] = _rounded(self.ratio)
        if self.target is not None:
            row["target"] = self.target
        return row | {"note": self.note}


class Report:
    """Prints each row as a JSON line, and all rows as a table at the end."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []

    def add(self, row: Row) -> None:
        """Prints a row, and appends it to `--output` with a description of the machine."""
        self._rows.append(row.to_dict())
        line = json.dumps(self._rows[-1])
        print(line, flush=True)
        if OUTPUT.value:
            path = Path(OUTPUT.value)
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "a") as file:
                file.write(json.dumps(self._rows[-1] | {"machine": machine()}) + "\n")

    def close(self) -> None:
        """Prints the table."""
        print(f"\n{machine()}\n{table(self._rows)}")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns a Markdown table of rows from `Row.to_dict`."""
    header = ("case", "median", "lowest to highest", "unit", "against", "limit", "ratio", "note")
    cells = [header]
    for row in rows:
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else ""
        if "target" in row:
            ratio += f" (target {row['target']:g})"
        cells.append(
            (
                row["case"],
                _number(row["median"]),
                f"{_number(row['lowest'])} to {_number(row['highest'])}",
                row["unit"],
                row.get("against", ""),
                _number(row["limit"]) if "limit" in row else "",
                ratio,
                row["note"],
            )
        )
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    cells.insert(1, tuple("-" * width for width in widths))
    lines = (" | ".join(cell.ljust(w) for cell, w in zip(c, widths, strict=True)) for c in cells)
    return "\n".join(f"| {line} |" for line in lines)


def _rounded(number: float) -> float:
    """Rounds to four significant digits."""
    return float(f"{number:.4g}")


def _number(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def seconds_per_call(
    function: Callable[[], Any],
    at_least: float = 0.1,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Returns the mean seconds of a call, over calls that take `at_least` seconds together.

    Work that never waits can be timed with `time.process_time`, which leaves out other processes
    on the core.
    """
    calls, start = 0, clock()
    while True:
        function()
        calls += 1
        elapsed = clock() - start
        if elapsed >= at_least or TINY.value:
            return elapsed / calls


def interleaved(
    functions: Mapping[str, Callable[[], float]], repeats: int = 5
) -> dict[str, list[float]]:
    """Calls all functions alternately, `repeats` times, and returns their results by name."""
    results: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(2 if TINY.value else repeats):
        for name, function in functions.items():
            results[name].append(function())
    return results


def pin(core: int) -> str:
    """Pins this thread and its future threads to one core; returns a description."""
    if len(_CORES) < 2:
        return "one core for everything"
    os.sched_setaffinity(0, {_CORES[core]})
    return f"on core {core}"


def prepare(core: int | None = None, threads: int = 1) -> str:
    """Prepares this process before JAX starts its threads; returns a description.

    Args:
      core: core to which the process is pinned; None for all cores.
      threads: number of XLA's CPU threads; 0 for one per core.
    """
    set_process_environment(process_environment(threads=threads))
    return "all cores" if core is None else pin(core)


def start_child(arguments: Sequence[str], environment: Mapping[str, str] | None = None, **options):
    """Starts a Python process that is not pinned, with `options` of `subprocess.Popen`."""
    environment = dict(os.environ) | dict(environment or {})
    pinned = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _CORES)
    try:
        return subprocess.Popen([sys.executable, *arguments], env=environment, **options)
    finally:
        os.sched_setaffinity(0, pinned)


@contextmanager
def busy(core: int, gives_way: bool = True) -> Iterator[None]:
    """Keeps a core busy, by default with a process of idle priority.

    Cores that share execution units are slower if both are busy, so a limit measured beside an idle
    core would be out of reach for a program on both cores.
    """
    scheduler = "SCHED_IDLE" if gives_way else "SCHED_OTHER"
    spin = (
        "import os\n"
        f"os.sched_setaffinity(0, {{{_CORES[min(core, len(_CORES) - 1)]}}})\n"
        f"os.sched_setscheduler(0, os.{scheduler}, os.sched_param(0))\n"
        "parent = os.getppid()\n"
        "while os.getppid() == parent:\n"
        "    sum(range(100000))\n"
    )
    process = start_child(["-c", spin])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def machine() -> str:
    """Returns processor, cores, versions and load of the machine."""
    import jax

    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":")[1].strip()
            break
    devices = {device.device_kind for device in jax.local_devices()}
    return (
        f"{model}, {os.cpu_count()} cores, devices {', '.join(sorted(devices))}, "
        f"Python {platform.python_version()}, jax {jax.__version__}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
