"""Images of samples by the symmetries of a board."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from mukoe.agents.planning.augmentation import AugmentationConfig
from mukoe.agents.planning.symmetries import (
    image_of_sample,
    training_symmetries,
    with_random_symmetries,
)
from mukoe.environments.board_symmetries import board_symmetries
from mukoe.errors import UserError
from mukoe.search.config import SearchConfig
from mukoe.types import (
    BoardArray,
    EnvironmentSpec,
    LossExtra,
    MaskedObservation,
    Row,
    Sample,
)

STEPS = 3


def spec_of(symmetries, num_actions):
    board = BoardArray((3, 3, 2), np.float32, symmetries, "features")
    return EnvironmentSpec(
        observations=MaskedObservation(board, specs.Array((num_actions,), np.bool_), ()),
        actions=specs.DiscreteArray(num_actions),
        rewards=specs.Array((), np.float32),
        discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
    )


def sample_of(batch, num_actions):
    random = np.random.default_rng(0)
    policies = random.random((batch, STEPS, num_actions))
    return Sample(
        keys=np.zeros((batch,), np.uint64),
        probabilities=np.ones((batch,)),
        rows=Row(
            observation=MaskedObservation(
                random.random((batch, STEPS, 3, 3, 2)).astype(np.float32), policies > 0.3, ()
            ),
            action=random.integers(num_actions, size=(batch, STEPS)),
            reward=random.random((batch, STEPS)),
            discount=np.ones((batch, STEPS)),
            mask=np.ones((batch, STEPS)),
            extras={"search_policy": policies, "search_value": random.random((batch, STEPS))},
        ),
    )


@pytest.mark.parametrize(("symmetries", "num_actions"), [("square", 10), ("directions", 4)])
def test_boards_actions_policies_and_legal_actions_are_changed_alike(symmetries, num_actions):
    group = board_symmetries(spec_of(symmetries, num_actions))
    sample = sample_of(len(group), num_actions)
    image = image_of_sample(sample, group, jnp.arange(len(group)))
    before, after = sample.rows, image.rows
    for i, symmetry in enumerate(group):
        for t in range(STEPS):
            np.testing.assert_array_equal(
                after.observation.features[i, t], symmetry.image(before.observation.features[i, t])
            )
            assert after.action[i, t] == symmetry.actions[before.action[i, t]]
            for action, moved in enumerate(symmetry.actions):
                np.testing.assert_allclose(
                    after.extras["search_policy"][i, t, moved],
                    before.extras["search_policy"][i, t, action],
                )
                assert (
                    after.observation.legal_actions[i, t, moved]
                    == before.observation.legal_actions[i, t, action]
                )
    for name in ("reward", "discount", "mask"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    np.testing.assert_array_equal(after.extras["search_value"], before.extras["search_value"])


def test_the_loss_sees_all_images_alike_often():
    group = board_symmetries(spec_of("square", 9))
    sample = sample_of(1, 9)
    boards = sample.rows.observation.features
    images = [np.asarray(symmetry.image(boards[0, 0])) for symmetry in group]

    def loss(params, target_params, seen, key):
        return seen.rows.observation.features[0, 0], LossExtra({}, jnp.ones(1))

    augmented = jax.jit(with_random_symmetries(loss, group))
    counts = np.zeros(len(group))
    for i in range(400):
        board, _ = augmented({}, {}, sample, jax.random.PRNGKey(i))
        counts += [np.array_equal(board, image) for image in images]
    assert counts.sum() == 400
    assert counts.min() > 25  # 50 expected, with a standard deviation of 6.6


def test_environments_without_symmetries_are_refused():
    spec = spec_of("square", 9)
    plain = spec._replace(observations=specs.Array((3, 3, 2), np.float32))
    config = AugmentationConfig(symmetries=True)
    assert len(training_symmetries(spec, config, SearchConfig())) == 8
    assert training_symmetries(spec, AugmentationConfig(), SearchConfig()) == ()
    with pytest.raises(UserError, match="augmentation.symmetries needs a game with symmetries"):
        training_symmetries(plain, config, SearchConfig())
    with pytest.raises(UserError, match="num_candidates=0"):
        training_symmetries(spec, config, SearchConfig(num_candidates=4))
    with pytest.raises(UserError, match="memory.core=none"):
        training_symmetries(spec, config, SearchConfig(), has_memory=True)
