"""The configuration of PPO.

Sources: [1] Proximal Policy Optimization Algorithms, arXiv:1707.06347; [2] The 37
Implementation Details of Proximal Policy Optimization (Huang et al., ICLR blog track 2022),
whose details are numbered per part: 13 core, 9 Atari, 9 continuous; [3] Cleanba,
arXiv:2310.00036, whose settings for Atari are those of [2] where nothing else is said.
"""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from mukoe.configuration.bounds import (
    WIDEST_LAYER,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    UnitInterval,
    UnrolledCount,
)
from mukoe.configuration.fields import Validated
from mukoe.errors import UserError
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.distributions import GaussianConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.memory import MemoryConfig
from mukoe.networks.parts import PartsConfig
from mukoe.networks.precision import Precision
from mukoe.networks.torsos import TORSOS

if TYPE_CHECKING:
    from mukoe.agents.ppo.builder import PPOBuilder


@dataclasses.dataclass(frozen=True)
class PPONetworkConfig(Validated):
    """The network: a policy and a value."""

    # Name of a torso in `mukoe.networks.torsos`, or package.module:attribute of another one. A
    # torso for images is shared by policy and value ([2] Atari 8); otherwise each has its own
    # ([2] core 13). [2]: 'tanh_mlp', on Atari 'nature'; [3]: 'impala'.
    torso: str = "tanh_mlp"
    # Torsos and combination of the parts of a Dict or Tuple observation.
    parts: PartsConfig = PartsConfig()
    # Normalise observations, which must be vectors, by running statistics of the rollouts ([2]
    # continuous 7).
    normalize_observations: bool = False
    # Widths of the torso's hidden layers; channels of the stages of 'impala'; hidden layers of the
    # blocks of attention, one block each. [2], its code for classic control: two of 64; [3]: 16,
    # 32, 32.
    hidden_sizes: tuple[PositiveInt, ...] = (64, 64)
    # The layer behind the convolutions. [2]: 512 with 'nature'; [3]: 256 with 'impala'.
    width: PositiveInt = 256
    # Type in which layers compute: 'float32', or 'bfloat16' on accelerators, while parameters,
    # optimiser, targets and losses are float32.
    precision: Precision = "float32"
    # The policy head of continuous actions; its standard deviation does not depend on the
    # state ([2] continuous 2).
    gaussian: GaussianConfig = GaussianConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        TORSOS[self.torso]  # Raises for an unknown name.


@dataclasses.dataclass(frozen=True)
class PPOLossConfig(Validated):
    """Advantages and losses."""

    # λ of the generalised advantage estimates. [1] table 3; [2] core 5; [3]: 0.95.
    gae_lambda: UnitInterval = 0.95
    # ε of the clipped surrogate. [1] table 5, [2] core 8, [3]: 0.1 on Atari, 0.2 elsewhere.
    clip_epsilon: PositiveFloat = 0.2
    # Whether values are clipped by the same ε. [2] core 9: yes, though it may hurt; [3]: no.
    clip_values: bool = True
    # Weight of the entropy. [1] table 5, [2] core 10, [3]: 0.01 with discrete actions; [2]
    # continuous: 0.
    entropy_weight: NonNegativeFloat = 0.01
    # Weight of the values' squared error, of which half is taken. [2] core 10; [3]: 0.5.
    value_weight: NonNegativeFloat = 0.5
    # Whether the advantages of a minibatch get mean 0 and deviation 1. [2] core 7: yes.
    normalize_advantages: bool = True
    # Rewards are multiplied by it. Silent; [2] continuous 8 divides by a running deviation.
    reward_scale: PositiveFloat = 1.0


@dataclasses.dataclass(frozen=True)
class NoveltyConfig(Validated):
    """Novelty as a second reward, for sparse rewards.

    Sources: random network distillation (arXiv:1810.12894), [4] here, whose settings are the
    defaults; NovelD (https://openreview.net/forum?id=CYUzpnOkFJp), [5] here.
    """

    # Weight of the advantages of novelty, beside 1 of the environment's; 0 is without novelty.
    # [4]: 1 beside 2.
    weight: NonNegativeFloat = 0.0
    # Novelty of an observation: the error of the 'prediction' of a random network, or `1 / sqrt(N)`
    # with 'counts' of equal observations, which costs a third of it and is for few observations.
    measure: Literal["prediction", "counts"] = "prediction"
    # Part of the novelty of the previous observation that is taken off, down to 0. [5]: 0.5.
    previous_weight: UnitInterval = 0.0
    # Novelty of the first visit of an observation only, within an episode and a rollout. [5]: yes.
    first_visits: bool = False
    # Discount of novelty per step. [4]: 0.99.
    discount: UnitInterval = 0.99
    # 'prediction': outputs of the random network, width of the predictor's hidden layers. [4]: 512.
    size: Annotated[int, Meta(ge=1, le=WIDEST_LAYER)] = 128
    # 'prediction': fraction of the observations from which the predictor learns. [4]: 32 of the
    # environments.
    learned_fraction: Annotated[float, Meta(gt=0, le=1)] = 0.25


@dataclasses.dataclass(frozen=True)
class PPOConfig(Validated):
    """PPO. The defaults are those of [2] for classic control; `configs/ppo_atari.py` has Atari."""

    network: PPONetworkConfig = PPONetworkConfig()
    # [2] Atari 6: 4 frames.
    history: HistoryConfig = HistoryConfig()
    # Memory in front of policy and value. With one, a minibatch has the whole rollouts of some
    # environments, over which the memory is unrolled from its state at their first step.
    memory: MemoryConfig = MemoryConfig()
    # Discount per step, γ. [2], [3]: 0.99.
    discount: UnitInterval = 0.99
    loss: PPOLossConfig = PPOLossConfig()
    # Exploration of tasks with sparse rewards.
    novelty: NoveltyConfig = NoveltyConfig()
    # Probability to keep the noise of the last action, in the first environment of an actor; it
    # falls evenly to 0 in the last one. Paper: 0. Correlated noise reaches rewards that are many
    # equal actions away (Hollenstein et al. 2023, arXiv:2312.11091).
    noise_persistence: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    # Updates over which `noise_persistence` falls linearly to 0: silent.
    persistent_updates: PositiveInt = 100
    # Steps of a rollout, in each environment. [1] table 5, [2], [3]: 128.
    rollout_steps: PositiveInt = 128
    # Passes over a batch. [2], [3]: 4; [1] table 5: 3.
    epochs: UnrolledCount = 4
    # Parts of a batch, each of them a gradient step: steps of every environment, or with a memory
    # the environments of a part. [2], [3]: 4.
    minibatches: UnrolledCount = 4
    # [2] core 3 and 11: Adam with ε 1e-5, the norm of its gradients at most 0.5; [2] and [3] on
    # Atari: 2.5e-4.
    optimizer: OptimizerConfig = OptimizerConfig(
        learning_rate=2.5e-4, epsilon=1e-5, weight_decay=0.0, max_gradient_norm=0.5
    )
    # Whether the learning rate falls linearly with the agent steps, to 0 at the end of the run.
    # [2] core 4; [3]: yes.
    anneal_lr: bool = True
    # How evaluation chooses: a 'sample' of the policy, or its 'mode'. [2], [3]: sample.
    evaluation: Literal["sample", "mode"] = "sample"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.memory.core == "none" and self.rollout_steps % self.minibatches:
            raise UserError(
                f"agent.rollout_steps ({self.rollout_steps}) must be a multiple of "
                f"agent.minibatches ({self.minibatches}), each of which gets as many steps"
            )
        if self.anneal_lr and self.optimizer.schedule != "constant":
            raise UserError(
                "agent.anneal_lr sets the schedule of the learning rate; with "
                f"optimizer.schedule={self.optimizer.schedule!r} set agent.anneal_lr=false"
            )

    def make_builder(self) -> "PPOBuilder":
        """Returns the agent's builder."""
        from mukoe.agents.ppo.builder import PPOBuilder

        return PPOBuilder(self)
