"""What a layout takes: an agent, an environment, and how to run them."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np

from mukoe.acting.inference import InferenceConfig
from mukoe.agents.builder import ActorLearnerBuilder
from mukoe.configuration.bounds import LARGEST_SEED, LONGEST_WAIT, check_numbers
from mukoe.environments.vector import EnvironmentFactory
from mukoe.errors import UserError
from mukoe.types import EnvironmentSpec

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """How long, how often, how many; the same for every layout."""

    # Everything that can be seeded follows from it.
    seed: int = 0
    # Agent steps, over all actors, after which the run ends.
    max_actor_steps: int = 1_000_000
    # Environments that an actor steps together.
    envs_per_actor: int = 4
    # Episodes of an evaluation, run side by side in as many environments.
    evaluation_episodes: int = 4
    # Agent steps of all actors between two evaluations.
    evaluation_period: int = 20_000
    # Seconds between two checkpoints.
    checkpoint_seconds: float = 120.0
    # Agent steps between two checkpoints in the local layout, beside those by time, so that
    # they are the same on every machine; 0 for none.
    checkpoint_period: int = 0
    # Latest checkpoints that stay; a ladder needs several.
    keep_checkpoints: int = 3
    # Seconds between two checkpoints of the replay, which are made with one of the learner's;
    # 0 for none: a resumed run then fills its replay anew.
    replay_checkpoint_seconds: float = 300.0
    # GiB of a full replay above which it is not saved.
    replay_checkpoint_gib: float = 4.0
    # Agent steps up to which a run of the local layout goes on bit for bit when it is resumed,
    # by repeating its environments' actions; a longer one begins new episodes.
    exact_resume_steps: int = 1_000_000
    # Updates in a row that are not finite, after which the run ends.
    max_skipped_updates: int = 10
    # Seconds between two rows of a log.
    log_seconds: float = 5.0
    # Agent steps between two rows of a log in the local layout, whose logs do not depend on
    # the speed of the machine.
    log_period: int = 1_000
    # An evaluation with this mean return ends the run; None goes on to the step limit.
    target_return: float | None = None

    def __post_init__(self) -> None:
        counts = (
            "max_actor_steps",
            "envs_per_actor",
            "evaluation_episodes",
            "log_period",
            "keep_checkpoints",
            "max_skipped_updates",
        )
        check_numbers(self, *counts, at_least=1, group="run.")
        periods = (
            "evaluation_period",
            "checkpoint_seconds",
            "checkpoint_period",
            "replay_checkpoint_seconds",
            "replay_checkpoint_gib",
            "exact_resume_steps",
        )
        check_numbers(self, *periods, at_least=0, group="run.")
        check_numbers(self, "log_seconds", at_least=0, at_most=LONGEST_WAIT, group="run.")
        check_numbers(self, "seed", at_least=0, at_most=LARGEST_SEED, group="run.")
        check_numbers(self, "target_return", group="run.")


ACCELERATED_GROUPS = ("learner", "inference")
"""The groups of nodes that use accelerators, where there are some."""

# Of a machine, that Linux knows.
_MOST_CORES = 8192


@dataclasses.dataclass(frozen=True)
class DistributedConfig:
    """The nodes of the program graph and what they may use."""

    # Actor nodes.
    num_actors: int = 2
    # Where the policy runs: 'local' on each actor's CPU, 'server' on inference servers, 'split'
    # its representation on servers and its search on each actor's CPU, 'auto' on servers where
    # the learner has an accelerator and locally where not.
    inference: Literal["auto", "local", "server", "split"] = "auto"
    # Inference server nodes; actors are spread over them, and move where one is lost.
    num_inference_servers: int = 1
    # An actor steps one half of its environments while the other half waits for its actions;
    # None for where these come from a server.
    double_buffering: bool | None = None
    # The first server's metrics for Prometheus are at this port of its machine's loopback
    # interface (of all interfaces in a container), the next server's at the next port; None for
    # none.
    prometheus_port: int | None = None
    # How requests become batches.
    server: InferenceConfig = InferenceConfig()
    # Seconds between two fetches of parameters by an actor or server.
    variable_seconds: float = 1.0
    # Restarts of a node within five minutes; with one more death the program ends. Multi-process
    # launches only.
    max_restarts: int = 10
    # A process that has given no sign of life for so many seconds is killed and started again.
    hang_seconds: float = 60.0
    # Batches that the learner puts on its devices ahead of time.
    prefetch_size: int = 2
    # Threads that XLA may use on the CPU in an actor or evaluator; 0 for as many as there are
    # cores. Multi-process launches only.
    actor_threads: int = 1
    # The same for the learner and inference servers.
    learner_threads: int = 0

    def __post_init__(self) -> None:
        group = "distributed."
        check_numbers(self, "num_actors", "num_inference_servers", at_least=1, group=group)
        check_numbers(self, "max_restarts", "prefetch_size", at_least=0, group=group)
        threads = ("actor_threads", "learner_threads")
        check_numbers(self, *threads, at_least=0, at_most=_MOST_CORES, group=group)
        check_numbers(self, "variable_seconds", at_least=0, at_most=LONGEST_WAIT, group=group)
        check_numbers(self, "hang_seconds", above=0, at_most=LONGEST_WAIT, group=group)
        port, last = self.prometheus_port, 65536 - self.num_inference_servers
        if port is not None and not 1 <= port <= last:
            raise UserError(
                f"distributed.prometheus_port must be from 1 to {last}, since each inference "
                f"server has a port of its own, not {port}"
            )

    def threads_of(self, group: str) -> int:
        """The threads that XLA may use on the CPU in a node of a group, such as 'actor'."""
        return self.learner_threads if group in ACCELERATED_GROUPS else self.actor_threads


@dataclasses.dataclass(frozen=True)
class SebulbaConfig:
    """The devices of one machine and what they do."""

    # Devices on which actors run their policies, counted from 0.
    actor_devices: tuple[int, ...] = (0,)
    # Devices of the learner; one may act, too.
    learner_devices: tuple[int, ...] = (0,)
    # Threads for each of the actor devices, each of which steps `run.envs_per_actor`
    # environments: one steps them while the device chooses another one's actions.
    threads_per_device: int = 2
    # Rounds that actors are ahead of the learner: with 1 they fill a batch while it learns from
    # the one before. With 0 they take turns, and logs and evaluations are part of the turns.
    staleness: int = 1
    # Steps in each environment from one parameters to the next, for agents with a replay.
    round_steps: int = 16

    def __post_init__(self) -> None:
        for field in ("actor_devices", "learner_devices"):
            devices = getattr(self, field)
            if not devices or len(set(devices)) < len(devices):
                raise UserError(
                    f"sebulba.{field} must name at least 1 device, and each once, not {devices}"
                )
            check_numbers(self, field, at_least=0, group="sebulba.")
        check_numbers(self, "threads_per_device", "round_steps", at_least=1, group="sebulba.")
        check_numbers(self, "staleness", at_least=0, group="sebulba.")


class EnvironmentConfig(Protocol):
    """The serialisable description of an environment, such as `AtariConfig`."""

    def make_factory(self) -> EnvironmentFactory:
        """Returns `factory(seed, num_envs, evaluation)`."""


class AgentConfig(Protocol):
    """The serialisable description of an agent, such as `MuZeroConfig`."""

    def make_builder(self) -> ActorLearnerBuilder:
        """Returns the agent's builder."""


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """What a file in `configs/` gives: a whole run as plain data."""

    # The environment: a dataclass with `make_factory()`.
    environment: Any
    # The agent: a dataclass with `make_builder()`.
    agent: Any
    # How long, how often, how many.
    run: RunConfig = RunConfig()
    # The Launchpad program.
    distributed: DistributedConfig = DistributedConfig()
    # The devices of one machine.
    sebulba: SebulbaConfig = SebulbaConfig()

    def make_experiment(self) -> "ExperimentConfig":
        """Returns what layouts take."""
        return ExperimentConfig(
            builder=self.agent.make_builder(),
            environment_factory=self.environment.make_factory(),
            run=self.run,
            distributed=self.distributed,
            sebulba=self.sebulba,
        )


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """A run for a layout, as `acme.jax.experiments.ExperimentConfig`."""

    # Makes the agent's parts.
    builder: ActorLearnerBuilder
    # `factory(seed, num_envs, evaluation)`.
    environment_factory: EnvironmentFactory
    # How long, how often, how many.
    run: RunConfig = RunConfig()
    # The Launchpad program.
    distributed: DistributedConfig = DistributedConfig()
    # The devices of one machine.
    sebulba: SebulbaConfig = SebulbaConfig()

    def with_builder(self, builder: ActorLearnerBuilder) -> "ExperimentConfig":
        """Returns the same run of another builder."""
        return dataclasses.replace(self, builder=builder)


def check_experiment(experiment: ExperimentConfig) -> EnvironmentSpec:
    """Makes an environment and the networks once, and returns the environment's spec.

    Raises:
      UserError: the environment cannot be made, or the agent does not fit it.
    """
    environment = experiment.environment_factory(experiment.run.seed, 1, False)
    spec = environment.spec
    environment.close()
    builder = experiment.builder
    builder.make_policy(builder.make_networks(spec), spec)
    return spec


def random_seed(run: RunConfig, counts: Mapping[str, int], *part: int) -> int:
    """A seed for a part of the run, another one after each resume.

    Args:
      run: of the experiment.
      counts: at the start of this process; not zero for a resumed run.
      part: numbers that name the part.
    """
    path = (run.seed, counts.get("actor_steps", 0), *part)
    return int(np.random.SeedSequence(path).generate_state(1)[0])


def saves_replay(experiment: ExperimentConfig, num_bytes: int) -> bool:
    """Whether checkpoints have the replay; a line on the terminal where it is too large.

    Args:
      experiment: agent, environment and settings.
      num_bytes: of a full replay.
    """
    run, gib = experiment.run, num_bytes / 2**30
    if run.replay_checkpoint_seconds == 0:
        return False
    if gib > run.replay_checkpoint_gib:
        _LOGGER.warning(
            f"a full replay of {gib:.1f} GiB is above run.replay_checkpoint_gib "
            f"({run.replay_checkpoint_gib:g}): a resumed run will fill it anew"
        )
        return False
    return True
