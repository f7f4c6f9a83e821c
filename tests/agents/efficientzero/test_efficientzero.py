"""EfficientZero is MuZero with its parts on."""

import dataclasses

import jax
import numpy as np

from mukoe.agents.efficientzero.config import EfficientZeroConfig
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.configuration import load_config_file
from mukoe.networks.projection import PROJECTION
from mukoe.networks.value_prefix import VALUE_PREFIX
from tests.agents.planning.test_losses import CONFIG, SPEC, make_sample

KEY = jax.random.PRNGKey(0)
CONFIG_FILE = "configs/atari_100k.py"


def test_every_part_is_on_and_off_in_muzero():
    def parts(config):
        return {
            "consistency": config.consistency.weight > 0,
            "value prefix": config.value_prefix.lstm_size > 0,
            "shift": config.augmentation.shift > 0,
            "intensity": config.augmentation.intensity > 0,
            "off-policy correction": config.loss.max_age is not None,
            "target network": config.loss.bootstrap == "target",
            "reanalysis": config.reanalyse.mode == "learner",
            "range of the tree": config.search.q_normalization.scope == "tree",
            "priority of new data": config.replay.initial_priority == "maximal",
        }

    assert set(parts(EfficientZeroConfig()).values()) == {True}
    assert set(parts(MuZeroConfig()).values()) == {False}


def test_the_return_is_shorter_by_one_step_for_each_30_000_decisions():
    targets = load_config_file(CONFIG_FILE).agent.targets
    ages = np.array([0, 29_999, 30_000, 59_999, 60_000, 90_000, 119_999, 120_000, 200_000])
    np.testing.assert_array_equal(targets.steps_at(ages), [5, 5, 4, 4, 3, 2, 2, 1, 1])


def test_a_decision_is_followed_by_one_update():
    config = load_config_file(CONFIG_FILE)
    replay = config.agent.replay
    assert replay.samples_per_insert == replay.batch_size
    assert replay.capacity == config.run.max_actor_steps == 100_000


def test_the_loss_trains_every_part():
    paper = EfficientZeroConfig()
    config = dataclasses.replace(
        paper,
        network=CONFIG.network,
        history=CONFIG.history,
        loss=dataclasses.replace(CONFIG.loss, bootstrap="target"),
        consistency=dataclasses.replace(paper.consistency, projection_size=6, predictor_size=3),
        value_prefix=dataclasses.replace(paper.value_prefix, lstm_size=4),
        search=dataclasses.replace(paper.search, num_simulations=2),
    )
    builder = config.make_builder()
    networks = builder.make_networks(SPEC)
    params = jax.jit(networks.init)(KEY)
    loss = jax.jit(jax.value_and_grad(builder.make_loss(networks, SPEC), has_aux=True))
    (total, extra), gradients = loss(params, params, make_sample(), KEY)
    assert np.isfinite(total) and extra.metrics["reanalysed_states"] > 0
    assert extra.metrics["consistency_loss"] > 0
    for part in (*PROJECTION, VALUE_PREFIX):
        leaves = [
            x for name in gradients if name.split("/")[0] == part for x in gradients[name].values()
        ]
        assert any(np.any(leaf) for leaf in leaves), part
