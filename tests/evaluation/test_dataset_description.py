"""Descriptions and pictures of stored episodes."""

import types
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from dm_env import specs

from mukoe.errors import UserError
from mukoe.evaluation.dataset_description import (
    dataset_source,
    describe,
    largest_array,
    replay_source,
)
from mukoe.layouts.common.offline_data import OfflineData
from mukoe.replay.datasets.reader import open_raw
from mukoe.replay.datasets.writer import DatasetWriter
from mukoe.types import EnvironmentSpec, Row
from mukoe.viewing.episode_chart import draw_stored_episode

SPEC = EnvironmentSpec(
    specs.Array((2,), np.float32),
    specs.DiscreteArray(3),
    specs.Array((), np.float32),
    specs.BoundedArray((), np.float32, -1.0, 1.0),
)


def episode(rewards, discounts):
    length = len(rewards)
    return Row(
        observation=np.arange(2 * length + 2, dtype=np.float32).reshape(-1, 2),
        action=np.zeros(length + 1, np.int32),
        reward=np.array([*rewards, 0], np.float32),
        discount=np.array([*discounts, 0], np.float32),
        mask=np.array([1] * length + [0], np.float32),
        extras={"search_policy": np.zeros((length + 1, 3), np.float32)},
    )


EPISODES = [
    episode([1, 1], [1, 0]),
    episode([1, 2, 3], [1, 1, 1]),
    episode([0, 0, 0, 1], [-1, -1, -1, 0]),  # The second player wins.
    episode([0], [0]),
]


def test_a_data_set_and_a_replay_are_described_alike(tmp_path, monkeypatch):
    pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    metadata = {"mukoe": {"environment": {"game": "hex"}}, "algorithm_name": "MuZero"}
    with DatasetWriter("a/b-v0", SPEC, metadata) as writer:
        for rows in EPISODES:
            writer.write(rows)
    head, *body = describe(dataset_source(open_raw("a/b-v0"))).splitlines()
    assert head == "data set 'a/b-v0': 4 episodes, 10 steps (hex, MuZero)"
    assert body == [
        "observations  Box(-inf, inf, (2,), float32)",
        "actions       Discrete(3)",
        "extras        search_policy float32[3]",
        "returns       mean 1.75, from -1 to 6, quartiles -0.25 1 3, best quarter 6",
        "lengths       mean 2.5, from 1 to 4, quartiles 1.75 2.5 3.25",
        "ends          3 terminated, 1 truncated",
    ]
    data = OfflineData("runs/a", {"game": "hex"}, SPEC, {}, EPISODES)
    first, *rest = describe(replay_source(data)).splitlines()
    assert first == "replay of runs/a: 4 episodes, 10 steps (hex)" and rest == body


def test_an_episode_that_does_not_exist_is_named():
    source = replay_source(OfflineData("runs/a", {}, SPEC, {}, EPISODES))
    assert source.episode(3).episode_return == 0
    with pytest.raises(UserError, match="replay of runs/a has the episodes 0 to 3"):
        source.episode(4)


PICTURES = {
    "vector": (np.random.rand(9, 40).astype(np.float32), "polyline", 18),
    "gray": (np.zeros((30, 36, 40), np.uint8), "image", 24),
    "gray with channel": (np.zeros((30, 36, 40, 1), np.uint8), "image", 24),
    "colour": (np.zeros((3, 36, 40, 3), np.uint8), "image", 3),
    "planes": (np.ones((5, 4, 4, 6), bool), "image", 5),
    "board of numbers": (np.ones((5, 4, 4), np.int32), "image", 5),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_an_episode_has_a_picture(kind):
    observations, tag, count = PICTURES[kind]
    length = len(observations) - 1
    text = draw_stored_episode(observations, np.zeros(length, int), np.ones(length), "a < b & c")
    tree = ElementTree.fromstring(text)
    assert len([node for node in tree.iter() if node.tag.endswith(tag)]) == count
    assert "a < b & c" in [node.text for node in tree.iter()]


def test_the_features_are_drawn_and_not_the_mask():
    parts = {"action_mask": np.zeros((3, 9)), "observation": np.zeros((3, 5, 5))}
    assert largest_array(parts).shape == (3, 5, 5)


def test_actions_of_several_parts_are_the_entries_of_one_vector():
    parts = {"a": np.array([1, 2]), "b": (np.ones((2, 2)), np.zeros((2, 1, 1)))}
    stored = {
        "observations": np.zeros((3, 4)),
        "actions": parts,
        "rewards": np.zeros(2),
        "terminations": np.array([False, True]),
    }
    raw = types.SimpleNamespace(
        name="a-v0", metadata={}, observation_space="", action_space="", num_episodes=1
    )
    raw.episode = lambda index: stored
    actions = dataset_source(raw).episode(0).actions
    np.testing.assert_array_equal(actions, [[1, 1, 1, 0], [2, 1, 1, 0]])
