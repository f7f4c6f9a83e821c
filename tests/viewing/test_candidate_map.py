"""Candidates of a decision as a picture and as text."""

import functools

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest
from PIL import Image, ImageDraw

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.networks.action_space import BoxSpace
from mukoe.networks.config import NetworkConfig
from mukoe.search.candidates import CandidateSampler, with_candidates
from mukoe.search.config import SearchConfig
from mukoe.search.plan import plan
from mukoe.types import PolicyParams
from mukoe.viewing.candidate_map import MAP_HEIGHT, draw_candidate_map, has_map
from mukoe.viewing.episodes import EpisodeStep
from mukoe.viewing.inspected_agent import Decision, InspectedAgent
from mukoe.viewing.search_tree import from_mctx
from mukoe.viewing.style import BACKGROUND, CHOSEN, HEIGHT, LEFT, RAISED, RIGHT, WIDTH
from mukoe.viewing.terminal import describe
from tests.search.test_candidates import GAUSSIAN, KEY, bandit, config, hill


@functools.cache
def decide(dimensions):
    space, settings = BoxSpace(dimensions, GAUSSIAN), config("gumbel", 6, 12)
    model = bandit(hill, 2 * dimensions)
    model = with_candidates(model, CandidateSampler(space, settings))
    root = mctx.RootFnOutput(
        prior_logits=jnp.zeros((1, 2 * dimensions)), value=jnp.zeros(1), embedding=jnp.zeros(1)
    )
    output, tree = jax.jit(functools.partial(plan, settings, model, ()))(KEY, root, None, 0)
    policy, action = np.asarray(output.search_policy[0]), np.asarray(output.action[0])
    return Decision(action, 0.0, policy, from_mctx(tree))


def drawn(decision):
    image = Image.new("RGB", (WIDTH, HEIGHT), BACKGROUND)
    draw_candidate_map(ImageDraw.Draw(image), decision, 100)
    return np.asarray(image)


def discs(picture, right):
    """Pixels `[N, 2]` of the chosen candidate, and of all of the picture's box."""
    box = picture[100 : 100 + MAP_HEIGHT, LEFT:right]
    chosen = np.argwhere((box == CHOSEN).all(-1))[:, ::-1]
    return chosen, box


def test_one_dimension_is_the_action_with_its_value():
    decision = decide(1)
    chosen, box = discs(drawn(decision), RIGHT)
    # The axis has the bounds at the padding of 28 pixels.
    x = 28 + (decision.action[0] + 1) / 2 * (RIGHT - LEFT - 56)
    best = np.argmax(decision.qvalues) == decision.chosen_index
    np.testing.assert_allclose(
        chosen.mean(axis=0), [x, 28 if best else chosen[:, 1].mean()], atol=2
    )
    assert (box == RAISED).all(-1).any()


def test_two_dimensions_are_a_plane_and_larger_discs_have_more_policy():
    decision = decide(2)
    chosen, _ = discs(drawn(decision), LEFT + 2 * MAP_HEIGHT)
    x = 28 + (decision.action[0] + 1) / 2 * (2 * MAP_HEIGHT - 56)
    y = MAP_HEIGHT - 28 - (decision.action[1] + 1) / 2 * (MAP_HEIGHT - 56)
    np.testing.assert_allclose(chosen.mean(axis=0), [x, y], atol=2)
    less = decision.policy.copy()
    less[decision.chosen_index] = less.max() / 16
    smaller, _ = discs(drawn(decision._replace(policy=less)), LEFT + 2 * MAP_HEIGHT)
    assert 0 < len(smaller) < len(chosen) / 2


@pytest.mark.parametrize("dimensions, is_drawn", [(1, True), (2, True), (3, False)])
def test_more_dimensions_are_text_alone(dimensions, is_drawn):
    decision = decide(dimensions)
    assert has_map(decision) == is_drawn
    assert not has_map(decision._replace(tree=None))
    line = describe(EpisodeStep(0, 0, decision, 0.0, 0.0, 1), [])
    best = int(np.argmax(decision.policy))
    numbers = " ".join(f"{x:.2f}" for x in decision.tree.candidates[0, best])
    assert f"policy [[{numbers}] {decision.policy[best]:.2f} Q {decision.qvalues[best]:.3f}" in line


def test_equal_values_are_drawn():
    decision = decide(1)
    tree = decision.tree
    flat = np.where(np.isnan(tree.qvalues), np.nan, 0.5)
    values = np.full_like(tree.raw_values, 0.5)
    assert drawn(
        decision._replace(
            tree=tree.__class__(**{**vars(tree), "qvalues": flat, "raw_values": values})
        )
    ).any()


@pytest.mark.parametrize("simulations", [0, 4])
def test_an_agent_with_candidates_is_watched_with_and_without_a_search(simulations):
    agent_config = MuZeroConfig(
        network=NetworkConfig(hidden_sizes=(4,), width=4, head_sizes=()),
        search=SearchConfig(algorithm="gumbel", num_candidates=4, num_simulations=simulations),
    )
    environment = GymnasiumConfig("Pendulum-v1").make_factory()(0, 1, True)
    builder, spec = agent_config.make_builder(), environment.spec
    params = PolicyParams(builder.make_networks(spec).init(KEY), np.int32(0))
    decision = InspectedAgent(builder, spec, params).decide(environment.reset().observation)
    environment.close()
    line = describe(EpisodeStep(0, 0, decision, 0.0, 0.0, 1), [])
    assert "action [" in line and ("policy [[" in line) == (simulations > 0)
