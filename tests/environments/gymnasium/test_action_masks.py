"""Legal-action masks of Gymnasium environments."""

import logging

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from mukoe.environments.gymnasium import action_masks
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.gymnasium.environment import GymnasiumEnvironment
from mukoe.environments.sync_vector import SyncVectorEnvironment
from mukoe.errors import UserError
from mukoe.types import MaskedObservation

MASK = spaces.Box(0, 1, (3,), np.int8)
IMAGE = spaces.Box(0, 255, (2, 2, 1), np.uint8)


GRAPH = spaces.Graph(spaces.Discrete(2), None)


class Masked(gymnasium.Env):
    """One position, with a mask in info and in a Dict observation, for as many steps as masks."""

    def __init__(self, masks, parts=None, action_space=None):
        self.masks = list(masks)
        self.action_space = action_space or spaces.Discrete(3, start=-1)
        self.observation_space = spaces.Dict(parts or {"observation": IMAGE, "action_mask": MASK})

    def reset(self, *, seed=None, options=None):
        return self.show()

    def step(self, action):
        observation, info = self.show()
        return observation, 0.0, not self.masks, False, info

    def show(self):
        mask = self.masks.pop(0)
        parts = {key: np.ones_like(part.sample()) for key, part in self.observation_space.items()}
        if mask is None:
            parts.pop("action_mask", None)
            return parts, {}
        if "action_mask" in parts:
            parts["action_mask"] = mask
        return parts, {"action_mask": mask}


@pytest.fixture(autouse=True)
def nothing_warned(monkeypatch):
    monkeypatch.setattr(action_masks, "_warned", set())


def test_a_mask_in_the_observation():
    masks = [np.int8([1, 0, 1]), np.int8([0, 1, 0]), np.int8([0, 0, 0])]
    environment = GymnasiumEnvironment(Masked(masks), action_mask="observation")
    spec = environment.observation_spec()
    assert isinstance(spec, MaskedObservation)
    assert (spec.features.shape, spec.features.dtype) == ((2, 2, 1), np.uint8)
    steps = [environment.reset(), environment.step(0), environment.step(1)]
    assert [step.observation.legal_actions.tolist() for step in steps] == [
        [True, False, True],
        [False, True, False],
        [False, False, False],
    ]
    assert all(step.observation.features.tolist() == [[[1], [1]]] * 2 for step in steps)
    assert steps[-1].last()


def test_the_other_parts_of_a_dict_are_the_features():
    parts = {"a": spaces.Box(0, 9, (2,)), "action_mask": MASK, "b": spaces.Discrete(2)}
    environment = GymnasiumEnvironment(Masked([[1, 0, 0]], parts), action_mask="observation")
    observation = environment.reset().observation
    assert observation.features.tolist() == [1, 1, 0, 1]
    assert observation.legal_actions.tolist() == [True, False, False]


def test_a_mask_in_info_may_be_missing_at_the_end():
    environment = GymnasiumEnvironment(
        Masked([[0, 1, 1], None], {"x": spaces.Discrete(2)}), action_mask="info"
    )
    assert environment.reset().observation.legal_actions.tolist() == [False, True, True]
    assert environment.step(1).observation.legal_actions.tolist() == [True, True, True]


def test_only_legal_actions_are_offered_by_taxi():
    name = max(name for name in gymnasium.registry if name.startswith("Taxi-v"))
    vector = GymnasiumConfig(name, action_mask="info").make_factory()(0, 2, False)
    reference = gymnasium.make(name)
    _, info = reference.reset(seed=vector.environments[0]._seed)
    observation = vector.reset().observation
    assert observation.features.shape == (2, 500)
    np.testing.assert_array_equal(observation.legal_actions[0], info["action_mask"])
    action = int(np.flatnonzero(info["action_mask"])[0])
    _, _, _, _, info = reference.step(action)
    legal = vector.step(np.array([action, 4])).observation.legal_actions
    np.testing.assert_array_equal(legal[0], info["action_mask"])


@pytest.mark.parametrize("where", ["info", "observation"])
@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([1, 0], r"\['action_mask'\] must be 3 numbers 0 or 1; got shape \(2,\)"),
        ([1, 2, 0], r"\['action_mask'\] must be 3 numbers 0 or 1; .* values \[1 2 0\]"),
        ([np.nan, 1, 0], "must be 3 numbers 0 or 1"),
        ("all", "must be 3 numbers 0 or 1"),
        (None, "has no part 'action_mask', which the configuration requires"),
        ([0, 0, 0], "no action is legal"),
    ],
)
def test_wrong_masks_get_one_line(where, mask, message):
    parts = {"x": spaces.Discrete(2)} if where == "info" else None
    environment = GymnasiumEnvironment(Masked([mask], parts), action_mask=where)
    with pytest.raises(UserError, match="^Cart, environment 0 of the vector: .*" + message):
        SyncVectorEnvironment([environment], "Cart").reset()


@pytest.mark.parametrize(
    ("kwargs", "where", "message"),
    [
        ({"parts": {"x": spaces.Discrete(2)}}, "observation", "no action mask in its observations"),
        ({"parts": {"action_mask": MASK}}, "observation", "'action_mask' and another one"),
        ({"action_space": spaces.MultiDiscrete([3])}, "info", "an action mask needs Discrete"),
        ({"action_space": spaces.Box(-1, 1, (3,))}, "observation", "mask needs Discrete"),
    ],
)
def test_spaces_without_a_place_for_the_mask(kwargs, where, message):
    with pytest.raises(UserError, match=message):
        GymnasiumEnvironment(Masked([], **kwargs), action_mask=where)


def test_an_unused_mask_gets_one_message(caplog):
    parts = {"x": spaces.Discrete(2), "action_mask": MASK}
    with caplog.at_level(logging.WARNING, "mukoe"):
        for _ in range(2):
            environment = GymnasiumEnvironment(Masked([[1, 0, 1]] * 3, parts))
            for _ in range(3):
                environment.step(0)
    assert [record.getMessage().split(";")[1] for record in caplog.records] == [
        " to use it, give --config.environment.action_mask=observation",
        " to use it, give --config.environment.action_mask=info",
    ]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "mukoe"):
        GymnasiumEnvironment(Masked([[1, 0, 1]], parts), action_mask="info").reset()
    assert not caplog.records


def test_an_unused_mask_is_reported_before_unsupported_parts(caplog):
    with caplog.at_level(logging.WARNING, "mukoe"), pytest.raises(UserError, match="Graph"):
        GymnasiumEnvironment(Masked([], {"observation": GRAPH, "action_mask": MASK}))
    assert "--config.environment.action_mask=observation" in caplog.text
