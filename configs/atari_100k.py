"""EfficientZero on an Atari game at 100,000 decisions, for an accelerator.

Ye et al. 2021 (arXiv:2111.00210). The settings are those of `EfficientZeroConfig`. Other than in
the authors' repository:

- normalisation is over layers instead of batches;
- an action enters the dynamics as one-hot planes, not as one plane a / |A|;
- the exponent of the importance weights is constant, where it rises from 0.4 to 1;
- the first 2,000 decisions are those of the untrained network's search, not random ones;
- learning ends with the last decision, without 20,000 updates more on the same data.
"""

from mukoe.agents.efficientzero.config import EfficientZeroConfig
from mukoe.environments.atari.config import AtariConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig


def get_config() -> TrainingConfig:
    """Returns the config of a run of 400,000 emulator frames with one update per decision."""
    return TrainingConfig(
        environment=AtariConfig(
            game="Breakout",
            frame_skip=4,
            grayscale=False,
            height=96,
            width=96,
            sticky_actions=0.0,
            noop_max=30,
            reward_clip=True,
            life_loss=True,
            max_frames=12_000,
        ),
        agent=EfficientZeroConfig(),
        run=RunConfig(
            max_actor_steps=100_000,
            envs_per_actor=4,
            evaluation_episodes=8,
            evaluation_period=20_000,
        ),
    )
