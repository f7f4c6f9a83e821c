"""Error messages of environments that violate their specs."""

import dm_env
import numpy as np
import pytest
from dm_env import specs

from mukoe.environments.checks import EnvironmentFailedError, find_not_finite
from mukoe.environments.sync_vector import SyncVectorEnvironment
from mukoe.errors import UserError
from mukoe.types import MaskedObservation


class Broken(dm_env.Environment):
    """Does `fault` at its third step."""

    def __init__(self, fault=None):
        self.fault = fault
        self.steps = 0

    def observation_spec(self):
        return {
            "speed": specs.Array((2,), np.float32),
            "lives": specs.Array((), np.int32),
            "place": specs.Array((2,), np.float64),
            "count": specs.Array((), np.int64),
        }

    def action_spec(self):
        return specs.DiscreteArray(2)

    def observe(self):
        return {
            "speed": np.zeros(2, np.float32),
            "lives": np.array(3, np.int32),
            "place": np.zeros(2),
            "count": np.array(2**31 - 1),
        }

    def reset(self):
        return dm_env.restart(self.observe())

    def step(self, action):
        self.steps += 1
        if self.fault and self.steps == 3:
            return self.fault(self)
        return dm_env.transition(0.0, self.observe())


def raises(environment):
    raise KeyError("the cart\nhas no wheels")


def observing(**fields):
    return lambda self: dm_env.transition(0.0, {**self.observe(), **fields})


def discounting(discount):
    return lambda self: dm_env.transition(0.0, self.observe(), discount)


def rewarding(reward):
    return lambda self: dm_env.transition(reward, self.observe())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (raises, r"step\(\) raised KeyError: .*wheels"),
        (lambda self: None, r"step\(\) must return a dm_env.TimeStep; got NoneType"),
        (
            observing(speed=np.float32([0, np.nan])),
            r"observation field 'speed' must be finite; got nan",
        ),
        (
            observing(speed=np.float32([-np.inf, 0])),
            r"observation field 'speed' must be finite; got -inf",
        ),
        (
            observing(speed=np.zeros(3, np.float32)),
            r"'speed' must have shape \(2,\), dtype float32; got shape \(3,\), dtype float32",
        ),
        (
            observing(speed=np.zeros(2)),
            r"'speed' must have shape \(2,\), dtype float32; got shape \(2,\), dtype float64",
        ),
        (observing(lives=3), r"'lives' must have shape \(\), dtype int32; got shape None, dtype"),
        (rewarding(np.nan), r"reward must be one finite number; got nan"),
        (rewarding(np.ones(2)), r"reward must be one finite number; got array\(\[1., 1.\]\)"),
        (rewarding(1e19), r"reward must be from -1e\+18 to 1e\+18; got 1e\+19; scale it"),
        (rewarding(np.float64(-1e39)), r"reward must be from .*; got .*-1e\+39"),
        (discounting(1.5), "discount must be from 0 to 1; got 1.5"),
        (discounting(-1.0), "discount must be from 0 to 1; got -1"),
        (observing(place=np.float64([0.0, 1e39])), r"'place' must be from .*; got 1e\+39; scale"),
        (observing(speed=np.float32([0, -3e38])), r"'speed' must be from .*; got -3.0"),
        (observing(place=np.float64([0.0, np.nan])), "'place' must be finite; got nan"),
        (
            observing(count=np.array(2**31)),
            r"'count' must be from -2.14.*; got 2147483648",
        ),
        (lambda self: dm_env.TimeStep(7, 0.0, 1.0, self.observe()), "step_type must be MID or"),
        (rewarding(None), r"reward must be one finite number; got None"),
    ],
)
def test_one_line_names_environment_field_expected_and_got(fault, message):
    vector = SyncVectorEnvironment([Broken(), Broken(fault)], "wagon")
    vector.reset()
    actions = np.zeros(2, np.int32)
    vector.step(actions), vector.step(actions)
    with pytest.raises((UserError, EnvironmentFailedError), match=message) as caught:
        vector.step(actions)
    assert str(caught.value).startswith("wagon, environment 1 of the vector: ")
    assert "\n" not in str(caught.value)


def test_a_reset_is_checked_too():
    environment = Broken()
    valid = environment.observe()
    environment.observe = lambda: {**valid, "speed": np.float32([np.nan, 0])}
    with pytest.raises(UserError, match="environment 0 .*'speed' must be finite; got nan"):
        SyncVectorEnvironment([environment], "wagon").reset()


def test_the_first_that_is_not_finite_is_found():
    batch = np.zeros((3, 2, 2), np.float32)
    assert find_not_finite(batch) is None
    batch[2, 0, 1] = np.inf
    batch[1, 1, 0] = -np.inf
    assert find_not_finite(batch) == (1, -np.inf)


def test_numbers_of_64_bits_become_numbers_of_32_bits():
    vector = SyncVectorEnvironment([Broken()], "wagon")
    observation = vector.reset().observation
    dtypes = {"speed": "float32", "lives": "int32", "place": "float32", "count": "int32"}
    assert {key: str(spec.dtype) for key, spec in vector.spec.observations.items()} == dtypes
    assert {key: str(leaf.dtype) for key, leaf in observation.items()} == dtypes
    assert observation["count"].tolist() == [2**31 - 1]


class Masked(dm_env.Environment):
    """Shows one position, with a mask for each step."""

    def __init__(self, masks, ends=False):
        self.masks, self.ends = [np.array(mask, bool) for mask in masks], ends

    def observation_spec(self):
        return MaskedObservation(specs.Array((1,), np.float32), specs.Array((2,), bool))

    def action_spec(self):
        return specs.DiscreteArray(2)

    def reset(self):
        return dm_env.restart(MaskedObservation(np.zeros(1, np.float32), self.masks.pop(0)))

    def step(self, action):
        observation = MaskedObservation(np.zeros(1, np.float32), self.masks.pop(0))
        return (dm_env.termination if self.ends else dm_env.transition)(0.0, observation)


def test_an_action_is_legal_until_the_episode_ends():
    with pytest.raises(UserError, match="environment 0 .*no action is legal"):
        SyncVectorEnvironment([Masked([[0, 0]])], "wagon").reset()
    vector = SyncVectorEnvironment([Masked([[0, 1], [0, 0]])], "wagon")
    vector.reset()
    with pytest.raises(UserError, match="environment 0 .*no action is legal"):
        vector.step(np.array([1]))
    vector = SyncVectorEnvironment([Masked([[0, 1], [0, 0]], ends=True)], "wagon")
    vector.reset()
    assert vector.step(np.array([1])).step_type.tolist() == [dm_env.StepType.LAST]
