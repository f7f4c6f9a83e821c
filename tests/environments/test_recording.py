"""Environments that are brought back to where they were by doing it all again."""

import dataclasses

import numpy as np
import pytest
import tree

from mukoe.environments.atari.config import AtariConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.recording import RecordedVector

B = 3


def make(seed=0, limit=10_000):
    return RecordedVector(GymnasiumConfig("CartPole-v1").make_factory()(seed, B, False), limit)


def play(vector, steps, seed=0):
    actions = np.random.default_rng(seed).integers(0, 2, (steps, B)).astype(np.int32)
    return [vector.step(row) for row in actions]


def assert_same(left, right):
    for expected, got in zip(tree.flatten(left), tree.flatten(right), strict=True):
        np.testing.assert_array_equal(expected, got)


@pytest.mark.parametrize("steps", [1, 40, 173])
def test_repeating_leads_to_the_same_place_and_on_from_there(steps):
    first, second = make(), make()
    first.reset()
    last = play(first, steps)[-1]
    assert_same(second.restore(first.state()), last)
    assert second.finished_episodes() == []
    for left, right in zip(play(first, 50, seed=1), play(second, 50, seed=1), strict=True):
        assert_same(left, right)
    # Replayed steps are recorded, too.
    assert_same(first.state(), second.state())


def test_resets_in_between_are_repeated():
    first, second = make(), make()
    for _ in range(3):
        first.reset()
        play(first, 7)
    last = first.reset()
    assert first.state()["resets"].tolist() == [0, 8, 16, 24]
    assert_same(second.restore(first.state()), last)


def test_another_seed_is_noticed():
    first = make()
    first.reset()
    play(first, 5)
    assert make(seed=1).restore(first.state()) is None


def test_a_repetition_reports_its_progress_and_can_be_ended():
    first, calls = make(), []
    first.reset()
    play(first, 5)

    def end_at_3(done, total):
        calls.append((done, total))
        if done == 3:
            raise KeyError

    with pytest.raises(KeyError):
        make().restore(first.state(), end_at_3)
    assert calls == [(0, 6), (1, 6), (2, 6), (3, 6)]


ATARI = AtariConfig(
    "Breakout", backend="python", height=20, width=20, sticky_actions=0.25, noop_max=0
)
COPIED = {
    "self-play": PgxConfig("tic_tac_toe"),
    "one player": PgxConfig("2048"),
    "match": PgxConfig("connect_four"),
    "Atari": ATARI,
    "Atari, lives and no-ops": dataclasses.replace(ATARI, life_loss=True, noop_max=30),
}


def play_legal(vector, timestep, steps, seed):
    random, timesteps = np.random.default_rng(seed), []
    for _ in range(steps):
        legal = getattr(timestep.observation, "legal_actions", None)
        if legal is None:
            actions = random.integers(0, vector.spec.actions.num_values, B)
        else:
            actions = [random.choice(np.flatnonzero(row | ~row.any())) for row in legal]
        timestep = vector.step(np.array(actions, np.int32))
        vector.finished_episodes()
        timesteps.append(timestep)
    return timesteps


@pytest.mark.parametrize(
    "steps", [pytest.param(0, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.slow), 117]
)
@pytest.mark.parametrize("name", COPIED)
def test_copied_environments_continue_without_repetition(name, steps):
    def fail(done, total):
        raise AssertionError("nothing is repeated")

    factory, evaluation = COPIED[name].make_factory(), name == "match"
    first = RecordedVector(factory(0, B, evaluation), limit=0)
    timestep = [first.reset(), *play_legal(first, first._last, steps, 0)][-1]
    second = RecordedVector(factory(0, B, evaluation), limit=0)
    state = {name: array.copy() for name, array in first.state().items()}
    restored = second.restore(state, fail)
    assert_same(timestep, restored)
    assert_same(first.state(), second.state())
    pairs = zip(
        play_legal(first, timestep, 40, 1), play_legal(second, restored, 40, 1), strict=True
    )
    for left, right in pairs:
        assert_same(left, right)
    assert_same(first.state(), second.state())


def test_beyond_the_limit_nothing_is_remembered():
    vector = make(limit=B * 5)
    assert vector.state() == {}
    vector.reset()
    play(vector, 5)
    assert vector.state()["calls"].shape == (6, B)
    assert vector.state()["calls"].dtype == np.int8
    play(vector, 1)
    assert vector.state() == {}


def test_limit_counts_agent_steps_and_no_restarts():
    limit, vector = B * 40, make(limit=B * 40)
    vector.reset()
    steps = restarts = 0
    while steps <= limit:
        assert vector.state()
        first = vector.step(np.zeros(B, np.int32)).first()
        steps += np.sum(~first)
        restarts += np.sum(first)
    assert restarts > B and vector.state() == {}


def test_everything_else_is_passed_on():
    vector = make()
    assert vector.num_envs == B and vector.action_repeat == 1
    assert vector.spec.actions.num_values == 2
    vector.reset()
    episodes = []
    for _ in range(100):
        vector.step(np.zeros(B, np.int32))
        episodes += vector.finished_episodes()
    assert len(episodes) > B
    vector.close()
