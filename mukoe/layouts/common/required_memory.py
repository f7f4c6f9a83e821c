"""Lower bounds of an experiment's memory, computed before anything is allocated.

The counted bytes are needed whatever the compiler does, so an experiment that passes may still be
too large.
"""

import functools

import jax
import numpy as np

from mukoe.agents.extensions import EstimatesMemory, MemoryUse, rollout_of
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.replay.declaration import row_spec
from mukoe.replay.in_process import bytes_required
from mukoe.system import check_fits
from mukoe.types import EnvironmentSpec, Nest, Params, num_bytes

# Bytes of an environment's state and its objects.
_ENVIRONMENT_BYTES = 1 << 10
# Online and target parameters, gradient, and one moment of the optimiser.
_COPIES_OF_PARAMETERS = 4


class RequiredMemory:
    """Memory that the parts of an experiment need.

    Every check raises a UserError that names the setting to lower. `available` is the number of
    available bytes; None for those of this machine.
    """

    def __init__(self, experiment: ExperimentConfig, environment_spec: EnvironmentSpec):
        """Builds networks and policy, without initialising any parameters."""
        self._experiment = experiment
        self._spec = environment_spec
        self._networks = experiment.builder.make_networks(environment_spec)
        self._policy = experiment.builder.make_policy(self._networks, environment_spec)
        self._rows = row_spec(environment_spec, self._policy.extras_spec)

    @functools.cached_property
    def _params(self) -> Params:
        """Shapes and dtypes of the parameters."""
        return jax.eval_shape(self._networks.init, jax.ShapeDtypeStruct((2,), np.uint32))

    @functools.cached_property
    def _use(self) -> MemoryUse:
        builder = self._experiment.builder
        if not isinstance(builder, EstimatesMemory):
            return MemoryUse()
        return builder.memory_use(self._networks, self._params, self._spec)

    def replay_bytes(self, num_streams: int) -> int:
        """Returns the bytes of a full replay with `num_streams` environments."""
        return bytes_required(self._experiment.builder.replay, self._rows, num_streams)

    def check_replay(self, required: int, available: int | None = None) -> None:
        """Checks a replay of `required` bytes."""
        what = f"replay of {self._experiment.builder.replay.capacity} items"
        check_fits(required, what, "lower the capacity, or the number of environments", available)

    def check_acting(
        self,
        num_envs: int,
        remedy: str,
        available: int | None = None,
        *,
        evaluation: bool = False,
    ) -> None:
        """Checks acting in `num_envs` environments at the same time."""
        memory = jax.eval_shape(lambda: self._policy.initial_state(1))
        search = self._use.evaluation if evaluation else self._use.acting
        each = num_bytes((self._spec.observations, memory)) + search
        required = num_envs * (each + _ENVIRONMENT_BYTES)
        check_fits(required, f"acting in {num_envs} environments", remedy, available)

    def check_evaluation(self, available: int | None = None) -> None:
        """Checks the episodes of an evaluation."""
        run = self._experiment.run
        if run.evaluation_period:
            remedy = "lower run.evaluation_episodes, the simulations or search.evaluation_trees"
            self.check_acting(run.evaluation_episodes, remedy, available, evaluation=True)

    def check_parameters(self, available: int | None = None) -> None:
        """Checks the learner's copies of the parameters."""
        parameters = num_bytes(self._params)
        what = f"learning {parameters / 1e6:.1f} MB of parameters"
        required = _COPIES_OF_PARAMETERS * parameters
        check_fits(required, what, "make the layers of agent.network smaller", available)

    def check_batches(self, num_envs: int, batches: int = 1, available: int | None = None) -> None:
        """Checks the batches of a learner.

        Args:
          num_envs: environments of a batch, for agents without replay.
          batches: number of batches at the same time.
          available: available bytes; None for those of this machine.
        """
        builder = self._experiment.builder
        size = num_envs if rollout_of(builder) else builder.replay.batch_size
        required = size * (batches * self._sequence_bytes() + self._use.learning)
        what = f"learning from {batches} x {size} sequences"
        check_fits(required, what, "make them fewer or shorter", available)

    def check_rounds(self, rounds: int, steps: int) -> None:
        """Checks `rounds` rounds of `steps` steps that wait for replay."""
        remedy = "lower sebulba.round_steps or sebulba.staleness"
        check_fits(rounds * steps * num_bytes(self._rows), f"{rounds} x {steps} steps", remedy)

    def _sequence_bytes(self) -> int:
        """Returns the bytes of one sequence of a batch."""
        builder = self._experiment.builder
        if rollout := rollout_of(builder):
            return (rollout.history + rollout.length + 1) * num_bytes(self._rows)
        replay = builder.replay
        observed = replay.observed_rows or replay.item_length
        others: Nest = self._rows._replace(observation=())
        return replay.item_length * num_bytes(others) + observed * num_bytes(self._rows.observation)
