"""Invalid values for every field of every config in `configs/`."""

import dataclasses
import typing
from pathlib import Path

import pytest

from mukoe.configuration import load_config_file
from mukoe.environments.coin_flip import CoinFlipConfig
from mukoe.environments.dm_control.config import DmControlConfig
from mukoe.environments.dm_env_rpc.config import DmEnvRpcConfig
from tests.configuration.fuzzed import HUGE, MAY_BE_ENDLESS, MAY_BE_HUGE, leaves, refusal

CONFIGS = Path(__file__).parents[2] / "configs"

MAY_BE_NEGATIVE = {
    "CoinFlipConfig.heads_payoff",
    "CoinFlipConfig.sure_payoff",
    "CoinFlipConfig.tails_payoff",
    "RunConfig.target_return",
    "SupportConfig.maximum",
    "SupportConfig.minimum",
}

MAY_BE_ZERO = MAY_BE_NEGATIVE | {
    "AlphaZeroConfig.discount",
    "EfficientZeroConfig.discount",
    "MuZeroConfig.discount",
    "MuesliConfig.discount",
    "PPOConfig.discount",
    "StochasticMuZeroConfig.discount",
    "AlphaZeroLossConfig.afterstate_value_weight",
    "AlphaZeroLossConfig.value_weight",
    "AlphaZeroNetworkConfig.blocks",
    "AtariConfig.noop_max",
    "AtariConfig.sticky_actions",
    "AugmentationConfig.intensity",
    "AugmentationConfig.shift",
    "ChanceConfig.afterstate_value_weight",
    "ChanceConfig.chance_weight",
    "ChanceConfig.commitment_weight",
    "CloningConfig.weight",
    "CoinFlipConfig.heads_probability",
    "ConsistencyConfig.weight",
    "DistributedConfig.actor_threads",
    "DistributedConfig.learner_threads",
    "DistributedConfig.max_restarts",
    "DistributedConfig.num_reanalysers",
    "DistributedConfig.prefetch_size",
    "DistributedConfig.variable_seconds",
    "DmControlConfig.camera",
    "ImageAugmentationConfig.intensity",
    "ImageAugmentationConfig.shift",
    "InferenceConfig.deadline_ms",
    "InferenceConfig.devices",
    "UnrollLossConfig.entropy_weight",
    "UnrollLossConfig.policy_weight",
    "UnrollLossConfig.reward_weight",
    "UnrollLossConfig.td_lambda",
    "UnrollLossConfig.value_weight",
    "PlanningReplayConfig.demonstration_fraction",
    "PlanningReplayConfig.importance_exponent",
    "PlanningReplayConfig.priority_exponent",
    "MuesliLossConfig.model_policy_weight",
    "MuesliLossConfig.moment_decay",
    "MuesliLossConfig.num_samples",
    "MuesliLossConfig.policy_weight",
    "MuesliLossConfig.prior_behavior",
    "MuesliLossConfig.prior_uniform",
    "MuesliLossConfig.regularizer_weight",
    "MuesliLossConfig.reward_weight",
    "MuesliLossConfig.retrace_lambda",
    "MuesliLossConfig.value_weight",
    "MuesliReplayConfig.online_fraction",
    "NetworkConfig.dynamics_blocks",
    "NetworkConfig.dynamics_gradient_scale",
    "NetworkConfig.representation_blocks",
    "NoveltyConfig.discount",
    "NoveltyConfig.previous_weight",
    "NoveltyConfig.weight",
    "OptimizerConfig.learning_rate",
    "OptimizerConfig.max_gradient_norm",
    "OptimizerConfig.momentum",
    "OptimizerConfig.warmup_steps",
    "OptimizerConfig.weight_decay",
    "PPOConfig.noise_persistence",
    "PPOLossConfig.entropy_weight",
    "PPOLossConfig.gae_lambda",
    "PPOLossConfig.value_weight",
    "ReplayedMemoryConfig.burn_in",
    "PgxConfig.random_opening_moves",
    "QNormalizationConfig.maxvisit_init",
    "QNormalizationConfig.value_scale",
    "ReanalyseConfig.fraction",
    "RunConfig.checkpoint_period",
    "RunConfig.checkpoint_seconds",
    "RunConfig.evaluation_period",
    "RunConfig.evaluations_per_video",
    "RunConfig.exact_resume_steps",
    "RunConfig.resume_seconds",
    "RunConfig.log_seconds",
    "RunConfig.replay_checkpoint_gib",
    "RunConfig.replay_checkpoint_seconds",
    "RunConfig.seed",
    "SearchConfig.action_persistence",
    "SearchConfig.dirichlet_fraction",
    "SearchConfig.evaluation_temperature",
    "SearchConfig.gumbel_scale",
    "SearchConfig.num_candidates",
    "SearchConfig.num_simulations",
    "SearchConfig.pb_c_init",
    "SearchConfig.wide_fraction",
    "SebulbaConfig.actor_devices",
    "SebulbaConfig.learner_devices",
    "SebulbaConfig.staleness",
    "ValuePrefixConfig.lstm_size",
}


def _configs():
    """Yields every config of a run in `configs/`, and configs of the other environments."""
    for path in sorted(CONFIGS.rglob("*.py")):
        if not path.name.startswith(("cluster_", "sweep_")):
            yield str(path.relative_to(CONFIGS)), load_config_file(str(path))
    config = load_config_file(str(CONFIGS / "cartpole.py"))
    remote = DmEnvRpcConfig("dm_env_rpc://localhost:5555")
    for environment in (CoinFlipConfig(), DmControlConfig("cheetah-run"), remote):
        name = type(environment).__name__
        yield name, dataclasses.replace(config, environment=environment)


ALL = dict(_configs())


def _numbers(config):
    return [leaf for leaf in leaves(config) if leaf.kinds & {int, float}]


@pytest.mark.parametrize("config", ALL.values(), ids=ALL)
def test_what_is_no_number_is_refused_by_name(config):
    for leaf in leaves(config):
        wrong = ["banana", "nan", "inf", "-inf"]
        # The text of an empty tuple.
        wrong += [] if leaf.owner.endswith(("sizes", "channels")) else [""]
        if leaf.kinds & {int, float, bool, typing.Literal}:
            for text in wrong:
                assert refusal(config, leaf.name, text), f"{leaf.name}={text}"


@pytest.mark.parametrize("config", ALL.values(), ids=ALL)
def test_numbers_have_a_lowest(config):
    for leaf in _numbers(config):
        for text, legal in (("-1", MAY_BE_NEGATIVE), ("0", MAY_BE_ZERO)):
            refused = refusal(config, leaf.name, text)
            assert refused or leaf.owner in legal, f"{leaf.name}={text} is taken"


@pytest.mark.parametrize("config", ALL.values(), ids=ALL)
def test_numbers_have_a_highest(config):
    for leaf in _numbers(config):
        if int in leaf.kinds:
            assert refusal(config, leaf.name, str(10**30)), leaf.name
            refused = refusal(config, leaf.name, str(HUGE))
            assert refused or leaf.owner in MAY_BE_HUGE | MAY_BE_ENDLESS, f"{leaf.name} is taken"
        assert refusal(config, leaf.name, "1e39"), f"{leaf.name} is no float32"


@pytest.mark.parametrize("config", ALL.values(), ids=ALL)
def test_names_are_looked_up(config):
    for leaf in leaves(config):
        if leaf.kinds == {str} and leaf.owner not in FREE_TEXTS:
            for text in ("", "banana", "../etc"):
                assert refusal(config, leaf.name, text), f"{leaf.name}={text!r} is taken"


# Names of environments are resolved when one is created, see tests/environments.
FREE_TEXTS = {
    "DmEnvRpcConfig.evaluation_setting",
    "DmEnvRpcConfig.observations",
    "DmEnvRpcConfig.seed_setting",
    "GymnasiumConfig.env",
    "GymnasiumPixelsConfig.env",
}


@pytest.mark.parametrize(
    "legal",
    [MAY_BE_ZERO, MAY_BE_HUGE, MAY_BE_ENDLESS, FREE_TEXTS],
    ids=["0", "huge", "any", "text"],
)
def test_the_lists_name_fields_that_there_are(legal):
    assert legal <= {leaf.owner for config in ALL.values() for leaf in leaves(config)}


def test_zeros_that_are_legal_are_taken():
    taken = {
        leaf.owner
        for config in ALL.values()
        for leaf in _numbers(config)
        if leaf.owner in MAY_BE_ZERO and refusal(config, leaf.name, "0") is None
    }
    assert taken == MAY_BE_ZERO
