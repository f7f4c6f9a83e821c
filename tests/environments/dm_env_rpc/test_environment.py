"""Environments behind dm_env_rpc, against the same ones without it."""

import threading
import time

import numpy as np
import pytest
import tree
from dm_env import specs

pytest.importorskip("dm_env_rpc")

from mukoe.environments.atari.config import AtariConfig  # noqa: E402
from mukoe.environments.checks import EnvironmentFailedError  # noqa: E402
from mukoe.environments.dm_env_rpc.config import DmEnvRpcConfig  # noqa: E402
from mukoe.environments.gymnasium.config import GymnasiumConfig  # noqa: E402
from mukoe.environments.pgx.config import PgxConfig  # noqa: E402
from mukoe.environments.sync_vector import vectorize  # noqa: E402
from mukoe.errors import UserError  # noqa: E402
from mukoe.types import MaskedObservation  # noqa: E402
from tests.environments.remote import Counting, remote, serving  # noqa: E402


def assert_same(expected, got):
    for left, right in zip(tree.flatten(expected), tree.flatten(got), strict=True):
        np.testing.assert_array_equal(left, right)
        assert left.dtype == right.dtype


def assert_same_spec(expected, got):
    tree.map_structure(
        lambda left, right: np.testing.assert_equal(
            (left.shape, left.dtype, getattr(left, "num_values", None)),
            (right.shape, right.dtype, getattr(right, "num_values", None)),
        ),
        (expected.observations, expected.actions, expected.rewards),
        (got.observations, got.actions, got.rewards),
    )
    assert expected.discounts.minimum == got.discounts.minimum


def play_both(direct, wire, steps, choose):
    """Plays the same actions in both and compares everything; returns the ended episodes."""
    assert_same_spec(direct.spec, wire.spec)
    assert direct.action_repeat == wire.action_repeat
    expected, got, ended = direct.reset(), wire.reset(), []
    assert_same(expected, got)
    for step in range(steps):
        actions = choose(expected)
        if step == steps // 2:
            expected, got = direct.reset(), wire.reset()
        else:
            expected, got = direct.step(actions), wire.step(actions)
        assert_same(expected, got)
        results = direct.finished_episodes()
        assert wire.finished_episodes() == results
        ended += results
    return ended


@pytest.mark.parametrize("evaluation", [False, True])
def test_cartpole_through_the_wire_is_cartpole(evaluation):
    config, random = GymnasiumConfig("CartPole-v1"), np.random.default_rng(0)
    with serving(config.make_factory()) as port:
        wire = remote(port).make_factory()(7, 3, evaluation)
        direct = config.make_factory()(7, 3, evaluation)
        ended = play_both(direct, wire, 150, lambda _: random.integers(0, 2, 3))
        assert len(ended) > 6
        wire.close()


def test_continuous_actions_and_truncation():
    config, random = GymnasiumConfig("Pendulum-v1"), np.random.default_rng(0)
    with serving(config.make_factory()) as port:
        wire, direct = remote(port).make_factory()(1, 1, False), config.make_factory()(1, 1, False)
        wire.reset(), direct.reset()
        for _ in range(200):
            action = random.normal(size=(1, 1)).astype(np.float32) / 2
            expected, got = direct.step(action), wire.step(action)
            assert_same(expected, got)
        assert got.last().all() and got.discount.tolist() == [1.0]
        assert wire.finished_episodes() == direct.finished_episodes() != []


def test_masks_turns_and_results_of_a_board_game():
    pytest.importorskip("pgx")
    config, random = PgxConfig("tic_tac_toe"), np.random.default_rng(0)

    def choose(timestep):
        return np.array([random.choice(np.flatnonzero(timestep.observation.legal_actions[0]))])

    with serving(config.make_factory()) as port:
        wire = remote(port).make_factory()(1, 1, False)
        # The server has a vector of one, of the seed that the environment has got.
        direct = config.make_factory()(wire.environments[0]._seed, 1, False)
        ended = play_both(direct, wire, 40, choose)
        assert len(ended) >= 2 and wire.spec.discounts.minimum == -1
        assert isinstance(wire.spec.observations, MaskedObservation)
        played = wire.reset()
        first = choose(played)
        wire.step(first)
        with pytest.raises(
            EnvironmentFailedError, match="server reports: tic_tac_toe.* is illegal"
        ):
            wire.step(first)


@pytest.mark.parametrize("evaluation", [False, True])
def test_atari_frames_repeats_and_unclipped_returns(evaluation):
    config = AtariConfig(
        "Pong", height=21, width=16, max_frames=64, frame_skip=4, reward_clip=True, life_loss=True
    )
    with serving(config.make_factory()) as port:
        wire = remote(port).make_factory()(3, 2, evaluation)
        direct = config.make_factory()(3, 2, evaluation)
        random = np.random.default_rng(0)
        ended = play_both(direct, wire, 50, lambda _: random.integers(0, 6, 2))
        assert ended and {result.frames for result in ended} == {64}


class Nested(Counting):
    """An observation of parts within parts."""

    def observation_spec(self):
        place = {"x": specs.Array((2,), np.float32), "y": specs.Array((), np.int64)}
        return {"place": place, "lamps": (specs.Array((), bool), specs.Array((3,), np.uint8))}

    def observe(self):
        place = {"x": np.float32([self.steps, 1]), "y": np.int64(7)}
        return {"place": place, "lamps": (np.True_, np.uint8([1, 2, 3]))}


@pytest.mark.parametrize(
    ("fields", "expected", "dtype"),
    [
        ({}, [1, 1, 2, 3, 0, 1, 7], np.float32),
        ({"observations": ("place.y", "place.x")}, [7, 0, 1], np.float32),
        ({"observations": ("lamps.1",)}, [1, 2, 3], np.uint8),
    ],
)
def test_nested_observations_become_one_vector(fields, expected, dtype):
    with serving(vectorize(lambda seed, evaluation: Nested())) as port:
        wire = remote(port, **fields).make_factory()(0, 1, False)
        observation = wire.reset().observation[0]
        assert observation.tolist() == expected
        assert observation.dtype == dtype


def test_nested_observations_survive_as_flat_names():
    with serving(vectorize(lambda seed, evaluation: Nested())) as port:
        wire = remote(port, concatenate=False).make_factory()(0, 1, False)
        observation = wire.reset().observation
        expected = {"lamps.0": bool, "lamps.1": np.uint8, "place.x": np.float32}
        dtypes = {name: leaf.dtype for name, leaf in observation.items()}
        # 64 bits are more than JAX takes.
        assert dtypes == expected | {"place.y": np.float32}


def test_each_client_has_its_own_environment_and_closes_it():
    log = []
    with serving(vectorize(lambda seed, evaluation: Counting(log=log)), max_clients=5) as port:
        factory = remote(port).make_factory()
        left, right = factory(0, 2, False), factory(0, 3, False)
        left.reset(), right.reset()
        for step in range(1, 4):
            assert left.step(np.zeros(2, np.int32)).observation.tolist() == [[step], [step]]
        assert right.step(np.zeros(3, np.int32)).observation.tolist() == [[1]] * 3
        with pytest.raises(UserError, match="no dm_env_rpc server .*RESOURCE_EXHAUSTED"):
            remote(port, reconnect_seconds=0.5).make_factory()(0, 1, False)
        log.clear()
        left.close()
        deadline = time.monotonic() + 5
        while len(log) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert log == ["closed"] * 2
        right.step(np.zeros(3, np.int32))


def test_slow_environments_step_at_the_same_time():
    factory = vectorize(lambda seed, evaluation: Counting(on_step=lambda _: time.sleep(0.2)))
    with serving(factory) as port:
        wire = remote(port).make_factory()(0, 5, False)
        wire.reset()
        started = time.monotonic()
        wire.step(np.zeros(5, np.int32))
        assert time.monotonic() - started < 0.8


def test_an_environment_that_raises_is_named():
    def harm(steps):
        raise KeyError("the cart\nhas no wheels")

    with serving(vectorize(lambda seed, evaluation: Counting(on_step=harm))) as port:
        wire = remote(port).make_factory()(0, 2, False)
        wire.reset()
        line = (
            r"localhost.*environment 0 of the vector: .*server reports: KeyError: 'the cart.*wheels"
        )
        with pytest.raises(EnvironmentFailedError, match=line) as caught:
            wire.step(np.zeros(2, np.int32))
        assert "\n" not in str(caught.value)


def test_a_lost_episode_is_followed_by_the_first_step_of_another():
    make = vectorize(lambda seed, evaluation: Counting())
    with serving(make) as port:
        wire = remote(port).make_factory()(0, 2, False)
        wire.reset()
        before = wire.step(np.zeros(2, np.int32))
    assert before.mid().all()
    again = serving(make, port)
    timer = threading.Timer(1.0, again.__enter__)
    timer.start()
    after = wire.step(np.zeros(2, np.int32))
    timer.join()
    assert after.first().all() and (after.observation == 0).all()
    assert after.reward.tolist() == [0.0, 0.0]
    for step in range(1, 6):
        after = wire.step(np.zeros(2, np.int32))
        assert (after.observation == step).all()
    assert after.last().all() and (after.discount == 1).all()
    assert [result.length for result in wire.finished_episodes()] == [5, 5]
    wire.close()
    again.__exit__(None, None, None)


def test_a_world_after_a_loss_has_another_seed():
    seeds = []

    def make(seed, evaluation):
        seeds.append(seed)
        return Counting()

    with serving(vectorize(make)) as port:
        wire = remote(port).make_factory()(0, 1, False)
        wire.reset()
    with serving(vectorize(make), port):
        assert wire.step(np.zeros(1, np.int32)).first().all()
    assert len({seed for seed in seeds if seed}) == 2


def test_a_failed_reconnection_is_an_error():
    with serving(vectorize(lambda seed, evaluation: Counting())) as port:
        wire = remote(port, reconnect_seconds=1.0).make_factory()(0, 1, False)
        wire.reset()
    started = time.monotonic()
    with pytest.raises(UserError, match=f"no dm_env_rpc server at .*:{port}: .*start one"):
        wire.step(np.zeros(1, np.int32))
    assert 0.5 < time.monotonic() - started < 5


def test_a_server_that_does_not_respond_is_lost():
    def sleep(steps):
        time.sleep(1.0 if steps == 2 else 0.0)

    with serving(vectorize(lambda seed, evaluation: Counting(on_step=sleep))) as port:
        wire = remote(port, response_seconds=0.3, max_losses=2).make_factory()(0, 1, False)
        wire.reset()
        action = np.zeros(1, np.int32)
        for _ in range(2):
            assert wire.step(action).mid().all()
            assert wire.step(action).first().all()
        wire.step(action)
        with pytest.raises(UserError, match=r"lost 3 times .*no response within 0.3 s.*max_losses"):
            wire.step(action)


def test_specs_that_changed_are_named():
    with serving(vectorize(lambda seed, evaluation: Counting())) as port:
        wire = remote(port).make_factory()(0, 1, False)
        wire.reset()
    changed = r"changed: observation 'observation' was .* FLOAT \[1\], is .* FLOAT \[2\]"
    with (
        serving(vectorize(lambda seed, evaluation: Counting(width=2)), port),
        pytest.raises(UserError, match=changed),
    ):
        wire.step(np.zeros(1, np.int32))


def test_an_unreachable_server_is_an_error():
    config = DmEnvRpcConfig("dm_env_rpc://localhost:1", connect_seconds=0.3)
    with pytest.raises(
        UserError, match="no dm_env_rpc server at dm_env_rpc://localhost:1: no response"
    ):
        config.make_factory()
