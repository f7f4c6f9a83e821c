"""Kills a random process of a real program every minute, for hours, and measures their memory.

python -m tests.faults.soak --workdir=runs/soak --minutes=120
python -m tests.faults.soak --workdir=runs/soak --figure=docs/figures/soak-memory.svg

The first writes `memory.csv` and `kills.csv` into the workdir, and fails if a guarantee
of docs/reliability.md is broken. The second draws these measurements and prints a table.
"""

import collections
import csv
import random
import signal
import time
from pathlib import Path

import numpy as np
import psutil
from absl import app, flags

from mukoe.observability.report import svg
from mukoe.observability.report.curves import Curve, thin
from tests.faults.running import Program

WORKDIR = flags.DEFINE_string("workdir", None, "New directory of the program.", required=True)
MINUTES = flags.DEFINE_float("minutes", 120.0, "Duration.")
KILL_SECONDS = flags.DEFINE_float("kill_seconds", 60.0, "Seconds between two kills.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the kills.")
CONFIG = flags.DEFINE_string("config", "configs/cartpole.py", "Config file of the program.")
DECAY_STEPS = flags.DEFINE_integer("decay_steps", 40_000, "Updates until the rate is 0.")
FIGURE = flags.DEFINE_string("figure", None, "SVG of the memory, drawn from a finished soak.")

SAMPLE_SECONDS = 10.0
# Time from the start of a process until its memory is constant.
WARM_SECONDS = 300.0
MIB = 2**20


def main(_) -> None:
    workdir = Path(WORKDIR.value)
    if FIGURE.value is None:
        workdir.parent.mkdir(parents=True, exist_ok=True)
        run(workdir)
    else:
        lives = read_lives(workdir)
        draw(lives, FIGURE.value)
        print(table(lives))


def run(workdir: Path) -> None:
    """Kills processes, measures memory and checks the guarantees."""
    random_ = random.Random(SEED.value)
    flags_ = ("--inference=server", "--config.run.target_return=none")
    steps = "--config.run.max_actor_steps=1000000000"
    # The learning rate falls to 0, so that the last evaluations are of the final parameters.
    schedule = "--config.agent.optimizer.schedule=cosine"
    decay = f"--config.agent.optimizer.decay_steps={DECAY_STEPS.value}"
    with Program(workdir, *flags_, steps, schedule, decay, config=CONFIG.value) as program:
        program.wait_until_learning()
        begun = time.monotonic()
        next_kill = begun + KILL_SECONDS.value
        actor_steps, checkpoint = 0, -1
        while (now := time.monotonic()) < begun + 60 * MINUTES.value:
            append(workdir / "memory.csv", [[now - begun, *row] for row in weigh(program)])
            counts = program.counts()
            assert program.process.poll() is None, program.output
            assert counts["actor_steps"] >= actor_steps, (counts, actor_steps)
            # A dead counter receives no counts of checkpoints saved meanwhile.
            program.wait_for(
                lambda checkpoint=checkpoint: (
                    program.counts().get("learner_steps", 0) >= checkpoint
                ),
                60,
            )
            actor_steps, checkpoint = counts["actor_steps"], program.checkpoint()
            if now >= next_kill:
                next_kill += KILL_SECONDS.value
                label, process = random_.choice(sorted(program.processes.items()))
                append(workdir / "kills.csv", [[now - begun, label, process.pid]])
                process.kill()
            time.sleep(SAMPLE_SECONDS)
        program.wait_until_learning()
        print(counts, "checkpoint", checkpoint)
        assert program.stop(signal.SIGINT) == 130, program.output


def weigh(program):
    """Returns rows of label, process, and its resident and private MiB."""
    for label, process in {"launcher": program.launcher, **program.processes}.items():
        try:
            memory = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        yield label, process.pid, memory.rss / MIB, memory.uss / MIB


def append(path: Path, rows) -> None:
    with open(path, "a", newline="") as file:
        csv.writer(file).writerows(rows)


def read_lives(workdir: Path) -> dict[str, list[np.ndarray]]:
    """Returns minutes and private MiB of each process, by group."""
    lives = collections.defaultdict(lambda: collections.defaultdict(list))
    with open(workdir / "memory.csv") as file:
        for seconds, label, pid, _, uss in csv.reader(file):
            lives[label.rstrip("_0123456789")][pid].append((float(seconds) / 60, float(uss)))
    return {kind: [np.array(life) for life in of.values()] for kind, of in lives.items()}


def draw(lives: dict[str, list[np.ndarray]], path: str) -> None:
    """Draws a line for each process, in the colour of its group."""
    lines = []
    for colour, kind in enumerate(sorted(lives)):
        for life in lives[kind]:
            curve = thin(Curve(*life.T), 50)
            lines.append(svg.Line(curve.x, curve.y, colour, kind))
    title = "private memory, MiB"
    legend = dict(enumerate(sorted(lives)))
    text = svg.line_plot(lines, "minutes", f"{title} over minutes", None, title, legend, include=0)
    Path(path).write_text(text + "\n")


def table(lives: dict[str, list[np.ndarray]]) -> str:
    """Returns a table of number, memory and growth of the processes of each group."""
    lines = [
        "| processes | number | longest, min | MiB, first half | second half | growth, MiB/h |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    end = max(life[-1, 0] for of in lives.values() for life in of)
    for kind in sorted(lives):
        warm = [part for life in lives[kind] if len(part := without_start(life)) >= 12]
        weights = np.concatenate([*warm, np.zeros((0, 2))])
        halves = [weights[weights[:, 0] < end / 2, 1], weights[weights[:, 0] >= end / 2, 1]]
        first, second = (f"{np.median(half):.0f}" if len(half) else "-" for half in halves)
        longest = max(life[-1, 0] - life[0, 0] for life in lives[kind])
        lines.append(
            f"| {kind} | {len(lives[kind])} | {longest:.0f} | {first} | {second} | {growth(warm)} |"
        )
    return "\n".join(lines)


def without_start(life: np.ndarray) -> np.ndarray:
    return life[life[:, 0] > life[0, 0] + WARM_SECONDS / 60]


def growth(lives: list[np.ndarray]) -> str:
    """Returns MiB/h from the median of the first half to that of the second, over all processes.

    Pages that were shared become private when the other process dies, so medians are used.
    """
    if not lives:
        return "-"
    halves = [np.array_split(life, 2) for life in lives]
    minutes, grown = np.sum(
        [np.median(b, axis=0) - np.median(a, axis=0) for a, b in halves], axis=0
    )
    return f"{60 * grown / minutes:+.1f}"


if __name__ == "__main__":
    app.run(main)
