"""Lines on the terminal: progress, shares of time, next commands."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mukoe.agents.extensions import replay_of, rollout_of
from mukoe.configuration.cli import COMMAND
from mukoe.layouts.common.checkpointing import open_checkpointer
from mukoe.layouts.common.experiment import ExperimentConfig, RunConfig
from mukoe.terminal.progress_text import LEARNING, Progress

EVALUATING = "evaluating"

_PARTS = (
    *("network", "tree", "policy", "environment", "recording", "transport", "waiting"),
    *("data", "transfer", "update", "reanalysis", "other"),
)


def time_line(
    acting: Sequence[Mapping[str, float]], learning: Mapping[str, float] | None
) -> str | None:
    """Returns a line of the shares of time by part of the work; None if none was measured.

    Args:
      acting: shares of each actor, of which the mean is shown.
      learning: shares of the learner.
    """
    names = {name for shares in acting for name in shares}
    parts = {n: float(np.mean([shares.get(n, 0.0) for shares in acting])) for n in names}
    groups = {"acting": parts, "learning": learning or {}}
    texts = [f"{name}: {text}" for name, group in groups.items() if (text := _percentages(group))]
    return "   ".join(["time", *texts]) if texts else None


def acting_report(index: int) -> str:
    """Returns the name under which the counter holds the time shares of an actor."""
    return f"time_acting_{index}"


def reported_time_line(reports: Mapping[str, Any]) -> str | None:
    """Returns the `time_line` of a program from the reports of its counter."""
    acting = [reports[name] for name in reports if name.startswith("time_acting_")]
    return time_line(acting, reports.get("time_learning"))


def _percentages(parts: Mapping[str, float]) -> str:
    shown = [part for part in _PARTS if parts.get(part, 0.0) >= 0.005]
    return " ".join(f"{part} {100 * parts[part]:.0f}%" for part in shown)


def expectation(
    experiment: ExperimentConfig, workdir: Path, demonstrations: str | None = None
) -> str:
    """Returns a line about the periods of a run, for its start.

    Args:
      experiment: agent, environment and settings.
      workdir: directory of the run.
      demonstrations: number and source of the demonstrations; None for a run without.
    """
    run, builder = experiment.run, experiment.builder
    learns = ""
    if not rollout_of(builder):
        learns = f", updates after the first {builder.replay.min_size:,} items of replay"
        if demonstrations is not None:
            share = builder.replay.demonstrated_items / builder.replay.batch_size
            learns += f", {share:.1%} of each batch from {demonstrations}"
    evaluates = ", no evaluation"
    if run.evaluation_period:
        evaluates = f", {run.evaluation_episodes} evaluation episodes every"
        evaluates += f" {run.evaluation_period:,} steps"
    return (
        f"{run.max_actor_steps:,} agent steps in {workdir}{learns}{evaluates}, a checkpoint every "
        f"{run.checkpoint_seconds:g} s; Ctrl-C saves and ends"
    )


def make_progress(
    experiment: ExperimentConfig,
    counts: Mapping[str, int],
    reports: Mapping[str, Any],
    first_phase: str = "compiling the policy",
) -> Progress:
    """Returns the content of the progress line.

    Args:
      experiment: agent, environment and settings.
      counts: counts of the run.
      reports: newest reports of the counter. `stage`, `(phase, done, total)`, overrides the phase;
        `start_counts` are the counts from which the run resumes; `has_acted` is True once the
        policy is compiled; `evaluation` is `(done, total)` during an evaluation for which the
        run waits.
      first_phase: phase before the first agent step.
    """
    declaration = replay_of(experiment.builder)
    size = reports.get("replay_size")
    phase, done, total = _phase(experiment, counts, reports) or (first_phase, None, None)
    return Progress(
        phase=phase,
        phase_done=done,
        phase_total=total,
        steps=counts.get("actor_steps", 0),
        max_steps=experiment.run.max_actor_steps,
        updates=counts.get("learner_steps", 0),
        replay_fill=size / declaration.capacity if declaration and size is not None else None,
        samples_per_insert=reports.get("samples_per_insert"),
        last_return=reports.get("last_return"),
        best_return=reports.get("best_return"),
        loss=reports.get("loss"),
        advances=phase in (LEARNING, EVALUATING),
    )


Stage = tuple[str, float | None, float | None]
"""`(phase, done, total)`; None for a phase without counts."""


def _phase(
    experiment: ExperimentConfig, counts: Mapping[str, int], reports: Mapping[str, Any]
) -> Stage | None:
    """Returns the phase of a run; None before the first agent step."""
    start = reports.get("start_counts", {})
    size = reports.get("replay_size")
    declaration = replay_of(experiment.builder)
    if stage := reports.get("stage"):
        return stage
    if evaluation := reports.get("evaluation"):
        return (EVALUATING, *evaluation)
    has_stepped = counts.get("actor_steps", 0) > start.get("actor_steps", 0)
    if not has_stepped and not reports.get("has_acted"):
        return None
    if declaration and (size or 0) < declaration.min_size:
        return ("filling replay", size or 0, declaration.min_size)
    if counts.get("learner_steps", 0) <= start.get("learner_steps", 0):
        return ("compiling the update", None, None)
    return (LEARNING, None, None)


def next_commands(workdir: Path, run: RunConfig, counts: Mapping[str, int]) -> str:
    """Returns lines that name the newest checkpoint and the commands to resume and inspect it.

    A run that has reached its step limit is resumed for twice its steps.

    Args:
      workdir: directory of the run.
      run: settings of the run.
      counts: counts of the run so far.
    """
    checkpointer = open_checkpointer(workdir)
    step = checkpointer.latest_step()
    if step is None:
        return f"ended before the first checkpoint; logs are in {workdir}"
    resume = f"{typed_program()} --resume --workdir={workdir}"
    updates, steps = counts.get("learner_steps", 0), counts.get("actor_steps", 0)
    if run.max_learner_steps is not None and updates >= run.max_learner_steps:
        resume += f" --config.run.max_learner_steps={2 * updates}"
    if steps >= run.max_actor_steps:
        resume += f" --max_actor_steps={2 * steps}"
    return (
        f"checkpoint of learner step {step}: {workdir / 'checkpoints' / 'latest' / str(step)}\n"
        f"resume with:   {resume}\n"
        f"inspect with:  tensorboard --logdir {workdir / 'tensorboard'}"
    )


def command_of(name: str, workdir: Path) -> str:
    """Returns the line that runs another command on a workdir, as this program was started."""
    typed = sys.argv[0]
    if Path(typed).parent.name == "programs":
        program = f"{Path(sys.executable).name} {Path(typed).with_name(f'{name}.py')}"
    else:
        program = f"{COMMAND} {name}"
    return f"{program} --workdir={workdir}"


def typed_program() -> str:
    """Returns the words that start this program; those of the command for other scripts."""
    name = sys.argv[0]
    if name == COMMAND:
        return f"{name} {sys.argv[1]}"
    if Path(name).parent.name == "programs":
        return f"{Path(sys.executable).name} {name}"
    return f"{COMMAND} train"
