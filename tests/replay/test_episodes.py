"""Episodes of a stored replay, and their way into another replay."""

import dm_env
import jax
import numpy as np
import pytest
from dm_env import specs

from mukoe.errors import UserError
from mukoe.replay.declaration import ReplayDeclaration, row_spec
from mukoe.replay.episodes import add_episode, stored_episodes
from mukoe.replay.in_process import InProcessReplay
from mukoe.types import EnvironmentSpec

SPEC = row_spec(
    EnvironmentSpec(
        {"a": specs.Array((2,), np.float32), "b": specs.Array((), np.int32)},
        specs.DiscreteArray(5),
        specs.Array((), np.float32),
        specs.BoundedArray((), np.float32, 0.0, 1.0),
    ),
    {"search_value": specs.Array((), np.float32, "search_value")},
)


def replay(streams=2, capacity=100, **declaration):
    declared = ReplayDeclaration(
        **{"sequence_length": 3, **declaration}, capacity=capacity, min_size=1, batch_size=4
    )
    return InProcessReplay(declared, SPEC, seed=0, num_streams=streams)


def observation(number, t):
    return {"a": np.full(2, number + t / 100, np.float32), "b": np.int32(100 * number + t)}


def steps(adder, number, length, last_discount=0.0, ends=True):
    """Adds an episode; yields after each step, so that episodes can be interleaved."""
    adder.add_first(dm_env.restart(observation(number, 0)))
    for t in range(length):
        ended = ends and t == length - 1
        kind = dm_env.StepType.LAST if ended else dm_env.StepType.MID
        discount = np.float32(last_discount if ended else 1.0)
        timestep = dm_env.TimeStep(
            kind, np.float32(number + t), discount, observation(number, t + 1)
        )
        extras = {"search_value": np.float32(1000 * number + t)}
        final = {"search_value": np.float32(1000 * number + t + 1)} if ended else None
        adder.add(np.int32(t % 5), timestep, extras, final)
        yield


def play(adder, *args, **kwargs):
    for _ in steps(adder, *args, **kwargs):
        pass


def expected(number, length, last_discount=0.0, first=0):
    t = np.arange(first, length + 1)
    acted = t < length
    discounts = np.where(t == length - 1, last_discount, 1.0)
    return {
        "observation": {
            "a": np.repeat((number + t / 100).astype(np.float32)[:, None], 2, 1),
            "b": 100 * number + t,
        },
        "action": np.where(acted, t % 5, 0),
        "reward": np.where(acted, number + t, 0),
        "discount": np.where(acted, discounts, 0),
        "mask": acted,
        "extras": {"search_value": 1000 * number + t},
    }


def assert_episodes(found, *wanted):
    found = list(found)
    assert len(found) == len(wanted)
    for episode, values in zip(found, wanted, strict=True):
        jax.tree.map(np.testing.assert_array_equal, episode._asdict(), values)


@pytest.mark.parametrize("declaration", [{}, {"history": 2}, {"sequence_length": 5, "period": 3}])
def test_interleaved_episodes_come_back_whole(declaration):
    source = replay(**declaration)
    one, other = source.make_adder(), source.make_adder()
    streams = [steps(one, 1, 7, last_discount=1.0), steps(other, 2, 4)]
    while streams:
        streams = [stream for stream in streams if next(stream, "end") is None]
    play(one, 3, 1)
    found = stored_episodes(source.state_dict(), SPEC)
    # An episode comes with its first item, which a long sequence delays.
    assert_episodes(
        sorted(found, key=lambda episode: episode.observation["b"][0]),
        expected(1, 7, last_discount=1.0),
        expected(2, 4),
        expected(3, 1),
    )


def test_a_running_episode_is_truncated_at_its_last_complete_row():
    source = replay()
    play(source.make_adder(), 1, 6, ends=False)
    # Rows 0 to 5 are complete; the last of them becomes the final observation.
    assert_episodes(stored_episodes(source.state_dict(), SPEC), expected(1, 5, last_discount=1.0))


def test_an_episode_whose_beginning_was_removed_starts_with_what_is_left():
    source = replay(streams=1, capacity=4)
    adder = source.make_adder()
    play(adder, 1, 3)
    play(adder, 2, 3)
    # Items of the steps 2 of the first episode and 0, 1, 2 of the second one.
    assert_episodes(
        stored_episodes(source.state_dict(), SPEC), expected(1, 3, first=2), expected(2, 3)
    )


@pytest.mark.parametrize("declaration", [{}, {"history": 1}, {"sequence_length": 4}])
def test_another_replay_gets_the_same_episodes_in_its_own_sequences(declaration):
    source = replay()
    play(source.make_adder(), 1, 5)
    play(source.make_adder(), 2, 3, last_discount=1.0)
    copy = replay(streams=1, **declaration)
    adder = copy.make_adder()
    for episode in stored_episodes(source.state_dict(), SPEC):
        add_episode(adder, episode)
    assert copy.size == 8
    assert_episodes(stored_episodes(copy.state_dict(), SPEC), expected(1, 5), expected(2, 3, 1.0))


def test_a_number_that_is_not_finite_is_named():
    source = replay()
    play(source.make_adder(), 1, 5)
    state = source.state_dict()
    state["pool/rows_3"][4] = np.nan
    with pytest.raises(UserError, match="the reward of episode 0, step 3, is not finite"):
        list(stored_episodes(state, SPEC))


@pytest.mark.parametrize("damage", ["shape", "type", "missing", "extra"])
def test_rows_of_another_configuration_are_refused(damage):
    source = replay()
    play(source.make_adder(), 1, 5)
    state = source.state_dict()
    if damage == "shape":
        state["pool/rows_0"] = state["pool/rows_0"][:, :1]
    elif damage == "type":
        state["pool/rows_0"] = state["pool/rows_0"].astype(np.float64)
    elif damage == "missing":
        del state["pool/rows_6"]
    else:
        state["pool/rows_7"] = state["pool/rows_6"]
    with pytest.raises(UserError, match="do not fit the configuration beside them"):
        list(stored_episodes(state, SPEC))
