"""Experiments: an agent, an environment and the settings of a run, for any layout."""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from msgspec import Meta

from mukoe.acting.inference import InferenceConfig
from mukoe.agents.builder import ActorLearnerBuilder
from mukoe.configuration.bounds import (
    LONGEST_WAIT,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    Seconds,
    Seed,
)
from mukoe.configuration.fields import Validated
from mukoe.environments.spec_checks import check_spec
from mukoe.environments.sync_vector import SyncVectorEnvironment
from mukoe.environments.vector import EnvironmentFactory
from mukoe.errors import UserError
from mukoe.observability.loggers.factory import DEFAULT_LOGGERS, LOGGERS
from mukoe.observability.trackers.service import TRACKERS
from mukoe.types import EnvironmentSpec, PolicyParams


@dataclasses.dataclass(frozen=True)
class RunConfig(Validated):
    """Lengths, periods and counts of a run, the same for every layout."""

    # Seed from which all other seeds follow.
    seed: Seed = 0
    # Agent steps of all actors after which the run ends.
    max_actor_steps: PositiveInt = 1_000_000
    # Learner steps after which the run ends; None for no limit. A run on stored data needs it.
    max_learner_steps: PositiveInt | None = None
    # Environments per actor, stepped as one vector.
    envs_per_actor: PositiveInt = 4
    # Episodes of an evaluation, each in an environment of its own.
    evaluation_episodes: PositiveInt = 4
    # Agent steps after which an episode of an evaluation is cut off; its return so far counts.
    evaluation_max_steps: PositiveInt = 50_000
    # Agent steps of all actors between two evaluations; 0 for none.
    evaluation_period: NonNegativeInt = 20_000
    # Evaluations per video of an episode and picture of a search tree in TensorBoard; 0 for none.
    evaluations_per_video: NonNegativeInt = 10
    # Seconds between two checkpoints.
    checkpoint_seconds: NonNegativeFloat = 120.0
    # Agent steps between two checkpoints that are written in addition to those by time, at the
    # same steps on every machine (layouts local and sebulba); 0 for none.
    checkpoint_period: NonNegativeInt = 0
    # Latest checkpoints that are kept; a ladder needs several.
    keep_checkpoints: PositiveInt = 3
    # Seconds between two checkpoints of the replay, each written with one of the learner; with 0
    # there are none, and a resumed run fills its replay anew.
    replay_checkpoint_seconds: NonNegativeFloat = 300.0
    # Size of a full replay, in GiB, above which it is not saved.
    replay_checkpoint_gib: NonNegativeFloat = 4.0
    # Agent steps up to which a resumed run of the local layout continues bit for bit, by repeating
    # the actions in its environments; a longer one starts new episodes. Environments whose state
    # can be copied need no repetition.
    exact_resume_steps: NonNegativeInt = 1_000_000
    # Seconds for which a resumed run repeats actions, before new episodes start; None for no limit.
    resume_seconds: Annotated[float, Meta(ge=0, le=LONGEST_WAIT)] | None = None
    # Consecutive non-finite updates after which the run ends.
    max_skipped_updates: PositiveInt = 10
    # Seconds between two rows of a log.
    log_seconds: Annotated[float, Meta(ge=0, le=LONGEST_WAIT)] = 5.0
    # Agent steps between two rows of a log where logs do not depend on the speed of the machine
    # (local, and sebulba with staleness 0).
    log_period: PositiveInt = 1_000
    # Loggers of the metrics of each node: 'csv', 'tensorboard', the trackers 'wandb', 'mlflow' and
    # 'trackio', which send what 'csv' writes, or package.module:attribute for a `LoggerFactory` of
    # another module.
    loggers: tuple[str, ...] = DEFAULT_LOGGERS
    # Mean return of an evaluation that ends the run; None to run to the step limit.
    target_return: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.loggers:
            LOGGERS[name]  # Raises for an unknown name.
            if name in TRACKERS and "csv" not in self.loggers:
                raise UserError(
                    f"the logger {name!r} sends the files of the logger 'csv': set run.loggers to "
                    f"csv,{','.join(self.loggers)}"
                )


ACCELERATED_GROUPS = ("learner", "inference")
"""Groups of nodes that use accelerators if the machine has any."""

# Limit of Linux.
_MOST_CORES = 8192


@dataclasses.dataclass(frozen=True)
class DistributedConfig(Validated):
    """Nodes of the program graph and their resources."""

    # Number of actor nodes.
    num_actors: PositiveInt = 2
    # Placement of the policy: 'local' on each actor's CPU; 'server' on inference servers; 'split'
    # with the representation on servers and the search on each actor's CPU; 'auto' on servers if
    # the learner has an accelerator, else local.
    inference: Literal["auto", "local", "server", "split"] = "auto"
    # Number of inference servers; actors are spread over them and move if a server is lost.
    num_inference_servers: PositiveInt = 1
    # Number of replay nodes, each with a part of the items (runtime zeromq).
    num_replays: Annotated[int, Meta(ge=1, le=256)] = 1
    # Number of learner nodes, each with a part of every batch, one for each host with accelerators
    # (runtime zeromq).
    num_learners: Annotated[int, Meta(ge=1, le=256)] = 1
    # Number of reanalyser nodes, for agent.reanalyse.mode=nodes.
    num_reanalysers: NonNegativeInt = 0
    # Placement of their searches: 'local' on each reanalyser's CPU; 'server' on inference servers,
    # between the batches of the actors.
    reanalysis: Literal["local", "server"] = "local"
    # Step one half of an actor's environments while the other half waits for its actions; None
    # to do so if actions come from a server.
    double_buffering: bool | None = None
    # Port of the first server's Prometheus metrics, on the loopback interface (on all interfaces
    # in a container); each further server uses the next port; None for no metrics.
    prometheus_port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    # Batching of requests.
    server: InferenceConfig = InferenceConfig()
    # Seconds between two fetches of parameters by an actor or server.
    variable_seconds: Annotated[float, Meta(ge=0, le=LONGEST_WAIT)] = 1.0
    # Restarts of a node within five minutes; one more failure ends the program. Multi-process
    # launches only.
    max_restarts: NonNegativeInt = 10
    # Seconds without a heartbeat after which a process is killed and restarted.
    hang_seconds: Seconds = 60.0
    # Batches that the learner prefetches to its devices.
    prefetch_size: NonNegativeInt = 2
    # XLA's CPU threads in an actor or evaluator; 0 for one per core. Multi-process launches only.
    actor_threads: Annotated[int, Meta(ge=0, le=_MOST_CORES)] = 1
    # XLA's CPU threads in the learner and in inference servers; 0 for one per core.
    learner_threads: Annotated[int, Meta(ge=0, le=_MOST_CORES)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        port, last = self.prometheus_port, 65536 - self.num_inference_servers
        if port is not None and port > last:
            raise UserError(
                f"distributed.prometheus_port must be from 1 to {last}, since each inference "
                f"server has a port of its own, not {port}"
            )

    def threads_of(self, group: str) -> int:
        """Returns the number of XLA's CPU threads in a node of a group, such as 'actor'."""
        return self.learner_threads if group in ACCELERATED_GROUPS else self.actor_threads


@dataclasses.dataclass(frozen=True)
class SebulbaConfig(Validated):
    """Roles of the devices of one machine."""

    # Indices of the devices on which actors run their policies.
    actor_devices: tuple[NonNegativeInt, ...] = (0,)
    # Indices of the learner's devices; a device may do both.
    learner_devices: tuple[NonNegativeInt, ...] = (0,)
    # Threads per actor device. Each steps `run.envs_per_actor` environments while the device
    # computes the actions of another thread.
    threads_per_device: PositiveInt = 2
    # Rounds by which actors are ahead of the learner: with 1 they fill a batch while the learner
    # uses the previous one. With 0 they alternate, and logs and evaluations are reproducible.
    staleness: NonNegativeInt = 1
    # Steps per environment between two parameter updates, for agents with replay.
    round_steps: PositiveInt = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("actor_devices", "learner_devices"):
            devices = getattr(self, field)
            if not devices or len(set(devices)) < len(devices):
                raise UserError(
                    f"sebulba.{field} must name at least 1 device, and each once, not {devices}"
                )

    @property
    def num_actor_threads(self) -> int:
        """Number of threads that act, on all actor devices."""
        return len(self.actor_devices) * self.threads_per_device


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """A whole run as plain data, as the files in `configs/` return it."""

    # Environment: a dataclass with `make_factory()`.
    environment: Any
    # Agent: a dataclass with `make_builder()`.
    agent: Any
    # Lengths, periods and counts.
    run: RunConfig = RunConfig()
    # Program graph.
    distributed: DistributedConfig = DistributedConfig()
    # Devices of one machine.
    sebulba: SebulbaConfig = SebulbaConfig()

    def __post_init__(self) -> None:
        if getattr(self.agent, "searches_positions", False):
            # Every environment that is made for this agent carries the true state.
            with_positions = getattr(self.environment, "with_positions", lambda: self.environment)
            object.__setattr__(self, "environment", with_positions())

    def make_experiment(self) -> "ExperimentConfig":
        """Returns the experiment, as layouts take it."""
        return ExperimentConfig(
            builder=self.agent.make_builder(),
            environment_factory=self.environment.make_factory(),
            run=self.run,
            distributed=self.distributed,
            sebulba=self.sebulba,
        )


class EpisodeDrawer(Protocol):
    """Draws episodes of an evaluated agent in environments of its own."""

    def draw(
        self, params: PolicyParams, steps: int, workdir: Path, should_stop: Callable[[], bool]
    ) -> None:
        """Draws an episode to a file of the workdir.

        Args:
          params: parameters of the agent.
          steps: count of steps at the evaluation, the horizontal axis of the logs.
          workdir: directory of the run.
          should_stop: called before every step; True ends the drawing without a result.
        """

    def close(self) -> None:
        """Closes the environments."""


MakeEpisodeDrawer = Callable[["ExperimentConfig", EnvironmentSpec], EpisodeDrawer]
"""`(experiment, environment_spec) -> EpisodeDrawer`, which can be pickled."""


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """An experiment for a layout, as `acme.jax.experiments.ExperimentConfig`."""

    # Builder of the agent's parts.
    builder: ActorLearnerBuilder
    # Function `(seed, num_envs, evaluation) -> VectorEnvironment`.
    environment_factory: EnvironmentFactory
    # Lengths, periods and counts.
    run: RunConfig = RunConfig()
    # Program graph.
    distributed: DistributedConfig = DistributedConfig()
    # Devices of one machine.
    sebulba: SebulbaConfig = SebulbaConfig()
    # Constructor of the drawer of episodes, see `run.evaluations_per_video`; None for no drawings.
    make_drawer: MakeEpisodeDrawer | None = None

    def with_builder(self, builder: ActorLearnerBuilder) -> "ExperimentConfig":
        """Returns the experiment with another builder."""
        return dataclasses.replace(self, builder=builder)


def check_experiment(experiment: ExperimentConfig) -> EnvironmentSpec:
    """Builds an environment and the networks once, and returns the environment's spec.

    The environment takes one step, so that its errors are raised before the agent is compiled.

    Raises:
      UserError: the environment cannot be made, its specs are not supported or violated, or the
        agent does not fit it.
      EnvironmentFailedError: a method of the environment raised an error.
    """
    environment = experiment.environment_factory(experiment.run.seed, 1, False)
    with contextlib.closing(environment):
        spec = environment.spec
        check_spec(spec, type(environment).__name__)
        if isinstance(environment, SyncVectorEnvironment):
            environment.check_first_steps()
    builder = experiment.builder
    builder.make_policy(builder.make_networks(spec), spec)
    return spec
