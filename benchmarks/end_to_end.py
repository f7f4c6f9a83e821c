"""Frames and updates per second of the distributed program, by number of actors.

python benchmarks/end_to_end.py

benchmarks/gumbel_atari.py under local_mp; all processes may use all cores. The program is stopped
after enough rows of the learner's log; each pair of rows gives one value.
"""

import contextlib
import csv
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
from measure import TINY, Report, Row, start_child

from mukoe.configuration import run_main

NUM_ACTORS = (1, 4)
NUM_ROWS = 7
LOG_SECONDS = 2
TIMEOUT_SECONDS = 300


def rows_of(path: Path) -> list[dict[str, str]]:
    """Returns the rows of a log; none if it does not exist yet."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def stop(process: subprocess.Popen) -> None:
    """Ends a program and its remaining child processes."""
    nodes = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
    for node in nodes:
        with contextlib.suppress(psutil.NoSuchProcess):
            node.kill()


def run(workdir: Path, num_actors: int, num_rows: int) -> None:
    """Runs the program until the learner has written `num_rows` rows.

    Raises:
      RuntimeError: the program ends by itself or times out.
    """
    overrides = {"run.log_seconds": LOG_SECONDS, "agent.replay.min_size": 100}
    process = start_child(
        [
            "programs/launch_atari.py",
            "--lp_launch_type=local_mp",
            f"--workdir={workdir}",
            f"--num_actors={num_actors}",
            *(f"--config.{name}={value}" for name, value in overrides.items()),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[1],
    )
    end = time.monotonic() + TIMEOUT_SECONDS
    log = workdir / "logs" / "learner.csv"
    while time.monotonic() < end and process.poll() is None and len(rows_of(log)) < num_rows:
        time.sleep(0.5)
    status = process.poll()
    stop(process)
    if status is not None or len(rows_of(log)) < 3:
        raise RuntimeError(f"the program has ended or is too slow (status {status}): {workdir}")


def rates(rows: list[dict[str, str]], count: str) -> list[float]:
    """Returns counts per second between rows of a log; the first row may include compilation."""
    points = [(float(row["wall_time"]), float(row[count])) for row in rows[1:]]
    return [(b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(points, points[1:], strict=False)]


def shares(row: dict[str, str]) -> str:
    """Returns the shares of time as text, the largest first."""
    parts = {name[5:]: float(v) for name, v in row.items() if name.startswith("time_") and v}
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    return ", ".join(f"{name} {share:.0%}" for name, share in ordered if share >= 0.01)


def measure(report: Report, num_actors: int) -> None:
    """Adds the rows of a program with `num_actors` actors."""
    with tempfile.TemporaryDirectory(prefix="mukoe-benchmark-") as folder:
        workdir = Path(folder) / "run"
        run(workdir, num_actors, 4 if TINY.value else NUM_ROWS)
        learner = rows_of(workdir / "logs" / "learner.csv")
        actor = rows_of(workdir / "logs" / "actor_0.csv")
    case = f"{num_actors} actor{'s' * (num_actors > 1)}"
    frames = rates(learner, "environment_frames")
    updates = rates(learner, "learner_steps")
    ratio = statistics.median(updates) / max(statistics.median(frames), 1e-9)
    note = f"learner: {shares(learner[-1])}; {1000 * ratio:.3g} updates in 1000 frames"
    report.add(Row("end_to_end", case, "frames/s", frames, note=f"an actor: {shares(actor[-1])}"))
    report.add(Row("end_to_end", case, "updates/s", updates, note=note))


def main() -> None:
    report = Report()
    for num_actors in (1,) if TINY.value else NUM_ACTORS:
        measure(report, num_actors)
    report.close()


if __name__ == "__main__":
    run_main(main)
