"""The table of demonstrations of a real Reverb server."""

import dataclasses

import numpy as np
import pytest

reverb = pytest.importorskip("reverb")
pytest.importorskip("acme")

from mukoe.agents.planning.losses import importance_weights  # noqa: E402
from mukoe.replay.declaration import zero_sample  # noqa: E402
from mukoe.replay.reverb import ReverbReplay, make_tables  # noqa: E402
from mukoe.replay.reverb.demonstrations import fill_demonstrations, num_items  # noqa: E402
from mukoe.types import Row  # noqa: E402
from tests.replay.episodes import ROW_SPEC, declare, record  # noqa: E402

# Rewards of demonstrations are above those of the recorded episodes.
REWARD = 500.0
LENGTHS = (3, 5)


def episode(index, length):
    acted = np.float32(np.arange(length + 1) < length)
    return Row(
        observation=np.full((length + 1, 3), 7.0, np.float32),
        action=np.zeros(length + 1, np.int32),
        reward=acted * (REWARD + 10 * index + np.arange(length + 1, dtype=np.float32)),
        discount=acted * 0,
        mask=acted,
        extras={
            "search_policy": np.full((length + 1, 2), 0.5, np.float32),
            "search_value": np.zeros(length + 1, np.float32),
        },
    )


EPISODES = [episode(index, length) for index, length in enumerate(LENGTHS)]


@pytest.fixture(params=["prioritized", "uniform"])
def made(request):
    """A server with five steps of an actor, its client, handle and declaration."""
    declaration = declare(
        batch_size=8, demonstrated_fraction=0.25, sampler=request.param, min_size=5
    )
    count = num_items(declaration, EPISODES)
    assert count == 8
    server = reverb.Server(make_tables(declaration, ROW_SPEC, count), port=None)
    client = reverb.Client(f"localhost:{server.port}")
    replay = ReverbReplay(client, declaration, ROW_SPEC)
    adder = replay.make_adder()
    record(adder, 0, 0, 5)
    adder.flush()
    yield client, replay, declaration
    server.stop()


def table(client):
    return client.server_info(5)["replay_demonstrations"]


def test_each_sample_has_the_fraction_of_demonstrations(made):
    client, replay, declaration = made
    fill_demonstrations(client, declaration, ROW_SPEC, EPISODES, 8)
    dataset, drawn = replay.make_dataset(), []
    for _ in range(20):
        sample = next(dataset)
        is_demonstrated = sample.rows.reward[:, 2] >= REWARD
        np.testing.assert_array_equal(sample.demonstrated, is_demonstrated)
        np.testing.assert_array_equal(is_demonstrated, np.arange(8) < 2)
        np.testing.assert_allclose(importance_weights(sample.probabilities, 1.0), np.ones(8))
        drawn += sample.rows.reward[:2, 2].tolist()
    dataset.close()
    assert len(set(drawn)) > 4
    shapes = zero_sample(declaration, ROW_SPEC)
    assert shapes.demonstrated.dtype == sample.demonstrated.dtype
    assert shapes.demonstrated.shape == sample.demonstrated.shape


def test_priorities_go_to_the_table_of_each_item(made):
    client, replay, declaration = made
    if declaration.sampler == "uniform":
        return
    fill_demonstrations(client, declaration, ROW_SPEC, EPISODES, 8)
    dataset = replay.make_dataset()
    keys = {True: {}, False: {}}
    while len(keys[True]) < 8 or len(keys[False]) < 5:
        sample = next(dataset)
        for index, key in enumerate(sample.keys.tolist()):
            keys[index < 2][key] = sample.rows.reward[index, 2]
    dataset.close()
    chosen = {kind: list(found)[0] for kind, found in keys.items()}
    # Two demonstrations come first in each update.
    for first in list(keys[True]):
        acted = list(keys[False])
        asked = [first, first, *acted, acted[0]]
        replay.update_priorities(
            np.array(asked, np.uint64), np.array([float(key in chosen.values()) for key in asked])
        )
    dataset = replay.make_dataset()
    sample = next(dataset)
    dataset.close()
    np.testing.assert_array_equal(sample.keys, [chosen[True]] * 2 + [chosen[False]] * 6)
    np.testing.assert_allclose(sample.probabilities, [8.0] * 2 + [5.0] * 6)


def test_nothing_is_sampled_before_all_demonstrations_are_there_and_a_part_is_replaced(made):
    client, replay, declaration = made
    fill_demonstrations(client, declaration, ROW_SPEC, EPISODES[:1], 8)
    assert table(client).current_size == 3
    assert table(client).rate_limiter_info.min_size_to_sample == 8
    fill_demonstrations(client, declaration, ROW_SPEC, EPISODES, 8)
    assert table(client).current_size == 8
    inserted = table(client).rate_limiter_info.insert_stats.completed
    # A table that a checkpoint has filled stays as it is.
    fill_demonstrations(client, declaration, ROW_SPEC, EPISODES, 8)
    assert table(client).rate_limiter_info.insert_stats.completed == inserted


def test_with_a_period_fewer_steps_start_items():
    declaration = dataclasses.replace(declare(), period=2)
    assert num_items(declaration, EPISODES) == 2 + 3
