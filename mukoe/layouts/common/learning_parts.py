"""The learning half of a run of one process, which its acting half, logs and evaluator follow."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import jax

from mukoe.layouts.common.checkpointing import (
    RestoredRun,
    RunCheckpointer,
    open_checkpointer,
    restore_run,
    run_state_writer,
    saves_replay,
)
from mukoe.layouts.common.counting import Counter
from mukoe.layouts.common.demonstrations import Demonstrations, make_demonstrations
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.common.forking import is_at_fork_point
from mukoe.layouts.common.learner import make_learner
from mukoe.layouts.common.offline_data import OfflineData
from mukoe.layouts.common.reanalysis import ReplayReanalyser, make_replay_reanalyser
from mukoe.layouts.common.replay import make_replay
from mukoe.layouts.common.run_state import NamedArrays, pack, unpack
from mukoe.learning.checkpoint import Checkpointer
from mukoe.learning.learner import Learner
from mukoe.replay.demonstrations import labelled
from mukoe.replay.handle import Replay
from mukoe.replay.in_process import InProcessReplay, bytes_required
from mukoe.replay.in_process.mixture import MixedReplay
from mukoe.types import EnvironmentSpec, Policy, Sample


@dataclasses.dataclass(frozen=True)
class LearningParts:
    """Parts that learn, restored from the newest checkpoint.

    policy: behaviour policy.
    replay: replay of the actors; None for an agent that learns from rollouts.
    demonstrations: demonstrations beside it; None for none.
    counter: counts of the run.
    learner: learner.
    reanalyser: reanalyser of the replay; None for none.
    checkpointer: stored checkpoints.
    restored: checkpoint of the run; empty for a new run.
    """

    policy: Policy
    replay: InProcessReplay | None
    demonstrations: Demonstrations | None
    counter: Counter
    learner: Learner
    reanalyser: ReplayReanalyser | None
    checkpointer: Checkpointer
    restored: RestoredRun


def make_learning_parts(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    workdir: Path,
    resume: bool,
    num_envs: int,
    *,
    rollouts: Iterator[Sample] | None = None,
    make_filled_replay: Callable[[Policy], InProcessReplay] | None = None,
    demonstrations: OfflineData | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> LearningParts:
    """Builds the parts that learn, and restores them from the newest checkpoint.

    Args:
      experiment: agent, environment and settings.
      environment_spec: spec of one environment.
      workdir: existing directory of the run.
      resume: True to continue from the newest checkpoint, if there is one.
      num_envs: number of environments, each with an adder.
      rollouts: samples of an agent that learns from rollouts; None to make a replay.
      make_filled_replay: function that returns a replay of stored data, given the policy; None for
        an empty replay.
      demonstrations: selected episodes that are sampled beside the replay; None for none.
      devices: devices of the learner; all local ones by default.
    """
    builder = experiment.builder
    networks = builder.make_networks(environment_spec)
    policy = builder.make_policy(networks, environment_spec)
    sampled: Replay | None = None
    replay, table, dataset = None, None, rollouts
    if make_filled_replay is not None:
        sampled = replay = make_filled_replay(policy)
        dataset = (labelled(sample, True) for sample in replay.make_dataset())
    elif dataset is None:
        sampled = replay = make_replay(experiment, environment_spec, policy, num_envs)
        if demonstrations is not None:
            table = make_demonstrations(experiment, environment_spec, policy, demonstrations)
            sampled = MixedReplay(replay, table.replay)
        dataset = sampled.make_dataset()
    counter = Counter()
    learner = make_learner(
        experiment, environment_spec, networks, dataset, replay=sampled, counter=counter
    )
    if devices is not None:
        learner.use_devices(devices)
    checkpointer = open_checkpointer(workdir, experiment.run.keep_checkpoints)
    restored = RestoredRun()
    if resume:
        restored = restore_run(checkpointer, learner, replay, is_at_fork_point(workdir))
    counter.set_counts(**restored.counts)
    counter.report(start_counts=restored.counts)
    reanalyser = None
    if replay is not None:
        reanalyser = make_replay_reanalyser(experiment, environment_spec, networks, replay, learner)
    if reanalyser is not None:
        reanalyser.restore(unpack(restored.state, "reanalyser"))
    if table is not None:
        table.reanalyse_with(experiment, environment_spec, networks, learner)
        table.restore(unpack(restored.state, "demonstrations"))
    return LearningParts(
        policy, replay, table, counter, learner, reanalyser, checkpointer, restored
    )


def make_run_checkpointer(
    experiment: ExperimentConfig,
    parts: LearningParts,
    num_envs: int,
    start_counts: Mapping[str, int],
    acting_state: Callable[[], NamedArrays] = dict,
) -> RunCheckpointer:
    """Builds the writer of the checkpoints, whose run state holds the replay.

    Args:
      experiment: agent, environment and settings.
      parts: parts that learn.
      num_envs: number of environments, each with an adder.
      start_counts: counts from which the seeds of environments and actors followed.
      acting_state: function that returns the arrays of the run state beside those of `parts`.
    """
    replay, learner, restored = parts.replay, parts.learner, parts.restored
    demonstrations = parts.demonstrations

    def run_state() -> NamedArrays:
        assert replay is not None
        learning_state = pack(
            replay=replay.state_dict(),
            learner=learner.save_unsent(),
            reanalyser=parts.reanalyser.state() if parts.reanalyser else {},
            demonstrations=demonstrations.state() if demonstrations else {},
        )
        return {**learning_state, **acting_state()}

    save_run_state = None
    if replay is not None:
        size = bytes_required(replay.declaration, replay.row_spec, num_envs)
        size += demonstrations.num_bytes if demonstrations else 0
        if saves_replay(experiment, size):
            save_run_state = run_state_writer(parts.checkpointer, start_counts, run_state)
    return RunCheckpointer(
        parts.checkpointer,
        experiment.run,
        learner,
        parts.counter.get_counts,
        save_run_state,
        restored=bool(restored.counts),
    )
