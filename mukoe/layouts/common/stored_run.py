"""Stored runs, opened to evaluate or inspect their agent."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from mukoe.configuration import apply_overrides, load_config
from mukoe.errors import UserError
from mukoe.layouts.common.experiment import ExperimentConfig, TrainingConfig, check_experiment
from mukoe.layouts.common.required_memory import RequiredMemory
from mukoe.learning.checkpoint import Checkpointer
from mukoe.learning.stored_leaves import describe, rebuild
from mukoe.terminal.progress_line import show_phase
from mukoe.types import EnvironmentSpec, Policy, PolicyParams
from mukoe.zoo.entries import is_entry, read_certificate, read_parameters


@dataclasses.dataclass(frozen=True)
class StoredRun:
    """Checkpoint of a run with its experiment.

    workdir: directory of the run.
    config: configuration of the run, with the overrides of `open_run`.
    experiment: experiment of `config`.
    environment_spec: spec of one environment.
    params: parameters of the checkpoint.
    counts: counts of the run at the checkpoint.
    """

    workdir: Path
    config: TrainingConfig
    experiment: ExperimentConfig
    environment_spec: EnvironmentSpec
    params: PolicyParams
    counts: Mapping[str, int]

    def with_overrides(self, overrides: Mapping[str, Any]) -> "StoredRun":
        """Returns the run with other values of config fields and the same parameters.

        Args:
          overrides: values by field, such as `{"agent.search.num_simulations": 8}`.
        """
        texts = {name: str(value) for name, value in overrides.items()}
        config = apply_overrides(self.config, texts)
        return dataclasses.replace(self, config=config, experiment=config.make_experiment())

    def make_networks(self) -> Any:
        """Returns the agent's networks."""
        return self.experiment.builder.make_networks(self.environment_spec)

    def make_policy(self, evaluation: bool = True) -> Policy:
        """Returns the agent's policy, without exploration for `evaluation`."""
        return self.experiment.builder.make_policy(
            self.make_networks(), self.environment_spec, evaluation
        )


def open_run(
    workdir: Path,
    *,
    best: bool = False,
    step: int | None = None,
    overrides: Mapping[str, str] | None = None,
) -> StoredRun:
    """Opens a checkpoint of a run.

    Args:
      workdir: directory of the run, or folder of an entry of the zoo.
      best: True for the checkpoint with the best evaluation instead of the latest one.
      step: learner step of the checkpoint; the newest by default.
      overrides: values of config fields as on the command line, such as
        `{"agent.search.num_simulations": "50"}`.

    Raises:
      UserError: the run or the checkpoint does not exist, or an override does not fit.
    """
    config = load_config(workdir)
    if not isinstance(config, TrainingConfig):
        raise UserError(f"the config file of {workdir} gives no TrainingConfig")
    config = apply_overrides(config, overrides or {})
    show_phase("building agent and environment")
    experiment = config.make_experiment()
    spec = check_experiment(experiment)
    if overrides:
        remedy = "lower the simulations or the number of trees"
        RequiredMemory(experiment, spec).check_acting(1, remedy, evaluation=True)
    show_phase("restoring the checkpoint")
    params, counts = _read_params(workdir, experiment, spec, best, step)
    return StoredRun(Path(workdir), config, experiment, spec, params, counts)


def _read_params(
    workdir: Path, experiment: ExperimentConfig, spec: EnvironmentSpec, best: bool, step: int | None
) -> tuple[PolicyParams, Mapping[str, int]]:
    """Reads the learner's state of a `latest` checkpoint, or the parameters of a `best` one."""
    builder = experiment.builder
    networks = builder.make_networks(spec)
    learner = builder.make_learner(jax.random.PRNGKey(0), networks, iter(()), spec)
    like: Any = learner.get_variables(("policy",))[0]
    if is_entry(workdir):
        return _read_entry(workdir, like, best, step)
    if not best:
        # The state of the optimiser depends on the length of the run and is not needed.
        like = learner.save()._replace(target_params=(), optimizer_state=(), loss_state=())
    checkpointer = Checkpointer(Path(workdir) / "checkpoints")
    state, metadata = checkpointer.restore(like, best=best, step=step, partial=not best)
    params = state if best else PolicyParams(state.params, state.steps)
    return params, metadata.get("counts", {})


def _read_entry(
    folder: Path, like: PolicyParams, best: bool, step: int | None
) -> tuple[PolicyParams, Mapping[str, int]]:
    """Reads the parameters of an entry of the zoo, which holds one checkpoint."""
    if best or step is not None:
        flag = "--best" if best else "--step"
        raise UserError(f"zoo:{folder.name} holds one checkpoint: leave out {flag}")
    arrays = read_parameters(folder)
    leaves = [describe(path, array, array) for path, array in arrays.items()]
    params = rebuild(leaves, list(arrays.values()), like, partial=False)
    actor_steps = read_certificate(folder).actor_steps
    return params, {} if actor_steps is None else {"actor_steps": actor_steps}
