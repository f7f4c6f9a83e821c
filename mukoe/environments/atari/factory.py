"""Environment factory of the Atari games: ALE's vector environment or Python's."""

import dataclasses

from mukoe.environments.atari import vector as atari_vector
from mukoe.environments.atari.config import AtariConfig
from mukoe.environments.atari.environment import AtariEnvironment
from mukoe.environments.sync_vector import SyncFactory, vectorize
from mukoe.environments.vector import EnvironmentFactory, VectorEnvironment, environment_seeds
from mukoe.errors import UserError


def make_atari(config: AtariConfig) -> EnvironmentFactory:
    """Returns the environment factory of a game; `life_loss` is off in evaluation.

    Training environments use ALE's vector environment where `config.backend` and
    `mukoe.environments.atari.vector.is_supported` permit it. Evaluation environments are always
    `AtariEnvironment`s, which can be rendered.

    Raises:
        UserError: the backend is 'ale', and ALE does not support the other settings.
    """
    name = f"Atari {config.game}"
    supported = atari_vector.is_supported(config)
    if config.backend == "ale" and not supported:
        raise UserError(
            "Atari backend 'ale' needs resize 'area', no life_loss, no press_fire, noop_max 0 and "
            "max_frames that frame_skip divides; use 'auto', or change those"
        )

    def make_environment(seed: int, evaluation: bool) -> AtariEnvironment:
        life_loss = config.life_loss and not evaluation
        return AtariEnvironment(dataclasses.replace(config, life_loss=life_loss), seed)

    if not supported or config.backend == "python":
        return vectorize(make_environment, name)
    return _AleFactory(make_environment, name, config)


@dataclasses.dataclass(frozen=True)
class _AleFactory(SyncFactory):
    """Factory of `AtariVector`s for training and of `SyncVectorEnvironment`s for evaluation."""

    config: AtariConfig

    def __call__(self, seed: int, num_envs: int, evaluation: bool) -> VectorEnvironment:
        """Builds a vector of `num_envs` games."""
        if evaluation:
            return super().__call__(seed, num_envs, evaluation)
        seeds = environment_seeds(self.name, seed, num_envs, False)
        return atari_vector.AtariVector(self.config, seeds)
