"""Muesli on Atari with the paper's settings and the IMPALA-style network.

Sources: [1] Muesli, arXiv:2104.06159; [2] its tables 4, 5, 6 and 10 as cited by CleanRL's
implementation (vwxyzjn/cleanrl, pull request 354), which names the tables and not their rows;
[3] MuZero, arXiv:1911.08265, for the settings that [1] adopts. `second hand` marks numbers without
a known table, `silent` numbers that no source gives. Needs an accelerator.
"""

from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig, MuesliReplayConfig
from mukoe.environments.atari.config import AtariConfig
from mukoe.layouts.common.experiment import DistributedConfig, RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.update import TargetUpdateConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig


def get_config() -> TrainingConfig:
    """Returns the config of a run of 200M emulator frames, which are 50M agent steps."""
    return TrainingConfig(
        environment=AtariConfig(
            game="MsPacman",
            frame_skip=4,  # [2] table 4
            grayscale=True,  # silent in [2]; CleanRL: grayscale
            height=96,  # CleanRL cites 86 from table 4; [3] E has 96
            width=96,
            sticky_actions=0.25,  # [2] table 4
            full_action_set=True,  # [2] table 4
            reward_clip=False,  # [3] F: values are scaled by h instead
            noop_max=0,  # [2] table 4, where the code has 1
            max_frames=108_000,  # [2] table 4
        ),
        agent=MuesliConfig(
            network=NetworkConfig(
                torso="impala",  # [1] figure 1
                hidden_sizes=(16, 32, 32),  # IMPALA's; those of [1] are unknown
                width=512,  # unknown
                dynamics="lstm",  # [1] section 4.5
            ),
            history=HistoryConfig(frames=4),  # [2] table 10
            discount=0.995,  # [2] table 5
            loss=MuesliLossConfig(
                sequence_length=30,  # [2] table 5
                unroll_steps=5,  # [2] table 5
                retrace_lambda=0.95,  # [2] table 6
                advantage_clip=1.0,  # [1] section 4.1
                regularizer_weight=1.0,  # [1] figure 3b
                num_samples=16,  # [2] table 5; table 6, large network: exact
                prior_behavior=0.03,  # second hand
                prior_uniform=0.003,  # second hand
                moment_decay=0.99,  # [2] table 5
                moment_epsilon=1e-12,  # [2] table 5
                policy_weight=3.0,  # second hand; the code of [2] takes 1
                model_policy_weight=1.0,  # silent; the code of [2] takes 1
                value_weight=0.25,  # [2] table 5
                reward_weight=1.0,  # [2] table 5
            ),
            replay=MuesliReplayConfig(
                capacity=50_000,  # [2] table 5: 6M frames, that is sequences of 30 steps
                min_size=500,  # silent
                batch_size=96,  # [2] table 5
                samples_per_insert=4.0,  # follows from online_fraction 0.25
                online_fraction=0.25,  # [1] figure 1: 75% replay with the IMPALA network
            ),
            optimizer=OptimizerConfig(
                learning_rate=3e-4,  # second hand; the code of [2] takes 2.5e-4
                schedule="linear",  # the code of [2]; silent
                decay_steps=70_000,  # updates in 50M steps: 50M / 30 / 24
                weight_decay=0.0,  # [2] tables 5 and 6
                max_gradient_norm=0.0,  # silent; CleanRL clips Adam's update to 1 instead
            ),
            target_update=TargetUpdateConfig(period=1, rate=0.1),  # [2] table 5
            evaluation="sample",  # [1]'s scores are those of training episodes
        ),
        run=RunConfig(
            max_actor_steps=50_000_000,  # [1]: 200M frames
            envs_per_actor=8,  # silent
            evaluation_episodes=8,
            evaluation_period=1_000_000,
        ),
        distributed=DistributedConfig(num_actors=16, inference="server"),
    )
