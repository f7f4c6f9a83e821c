"""Description of the run that all nodes share."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import jax

from mukoe.acting.inference.reanalysis import Reanalysis
from mukoe.agents.extensions import Reanalyses
from mukoe.layouts.common.demonstrations import select_demonstrations
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.common.offline_data import OfflineData, read_sources
from mukoe.layouts.common.offline_sources import parse_sources
from mukoe.layouts.common.seeds import SeededPart, random_seed
from mukoe.layouts.distributed.nodes.runtime import ReplayService, Runtime
from mukoe.replay.declaration import row_spec, zero_sample
from mukoe.replay.handle import SharedReplay
from mukoe.replay.served import divide_batches
from mukoe.types import EnvironmentSpec, Policy, Sample

# Sequences of one search of a reanalyser.
REANALYSER_BATCH_SIZE = 16


@dataclasses.dataclass(frozen=True)
class NodeContext:
    """Description of the run, and the services of its runtime.

    runtime: services of the runtime.
    experiment: agent, environment and settings.
    environment_spec: spec of one environment.
    workdir: directory of the logs and checkpoints.
    counts: counts at the start of the program; empty unless the run is resumed.
    saves_replay: True if checkpoints hold the replay.
    demonstrations: sources of the demonstrations, see `parse_sources`; None for none.
    """

    runtime: Runtime
    experiment: ExperimentConfig
    environment_spec: EnvironmentSpec
    workdir: Path
    counts: Mapping[str, int]
    saves_replay: bool = False
    demonstrations: str | None = None

    @property
    def resumes(self) -> bool:
        """True if the workdir may hold a checkpoint to resume from."""
        return bool(self.counts) or self.runtime.restarts > 0

    def make_policy(self) -> Policy:
        """Makes the agent's policy for acting."""
        builder = self.experiment.builder
        networks = builder.make_networks(self.environment_spec)
        return builder.make_policy(networks, self.environment_spec)

    def connect_replay(self, service: ReplayService, policy: Policy) -> SharedReplay:
        """Returns the handle of the replay, with the rows of a policy."""
        return service.connect(row_spec(self.environment_spec, policy.extras_spec))

    def read_demonstrations(self) -> OfflineData | None:
        """Reads the demonstrations; None without any."""
        if self.demonstrations is None:
            return None
        data = read_sources(parse_sources(self.demonstrations), self.environment_spec)
        return select_demonstrations(data, self.experiment, self.environment_spec)

    def zero_sample(self) -> Sample:
        """Returns a sample of zeros with the shapes of those that a learner reads."""
        spec = row_spec(self.environment_spec, self.make_policy().extras_spec)
        num_learners = self.experiment.distributed.num_learners
        return zero_sample(divide_batches(self.experiment.builder.replay, num_learners), spec)

    def zero_reanalyser_sample(self) -> Sample:
        """Returns a sample of zeros with the shapes of those that reanalysers read."""
        spec = row_spec(self.environment_spec, self.make_policy().extras_spec)
        return zero_sample(self.experiment.builder.replay.filled(REANALYSER_BATCH_SIZE, 1), spec)

    def make_reanalysis(self, *indices: int) -> Reanalysis:
        """Makes the searches of sampled sequences.

        Args:
          indices: numbers that distinguish the nodes that search.
        """
        builder = self.experiment.builder
        assert isinstance(builder, Reanalyses)
        networks = builder.make_networks(self.environment_spec)
        return Reanalysis(
            builder.make_renew(networks, self.environment_spec),
            self.random_key(SeededPart.REANALYSIS, *indices),
        )

    def random_seed(self, part: SeededPart, *indices: int) -> int:
        """Returns the seed of a part of the run; it changes with each resume and restart."""
        restarts = self.runtime.restarts
        return random_seed(self.experiment.run, self.counts, part, *indices, restarts=restarts)

    def random_key(self, part: SeededPart, *indices: int) -> jax.Array:
        """Returns the key of `random_seed`."""
        return jax.random.PRNGKey(self.random_seed(part, *indices))
