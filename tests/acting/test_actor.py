import threading
import time

import dm_env
import numpy as np
import pytest
from dm_env import specs

from mukoe.acting.actor import Actor
from mukoe.acting.loop import EnvironmentLoop
from mukoe.acting.variables import VariableClient
from mukoe.environments.sync_vector import SyncVectorEnvironment


class Episodes(dm_env.Environment):
    """Episodes of a fixed length; the observation is the step, the reward ten times that."""

    def __init__(self, length):
        self._length = length
        self._t = 0

    def reset(self):
        self._t = 0
        return dm_env.restart(np.float32([0]))

    def step(self, action):
        self._t += 1
        seen, reward = np.float32([self._t]), np.float32(10 * self._t)
        if self._t == self._length:
            return dm_env.termination(reward, seen)
        return dm_env.transition(reward, seen)

    def observation_spec(self):
        return specs.Array((1,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(1000)


class Runner:
    """Counts: the n-th call gives action n, its value is n + 0.5."""

    learner_steps = 3

    def __init__(self):
        self.calls = []
        self.updates = 0
        self.waiting = False

    def submit(self, observation, is_first):
        assert not self.waiting
        self.waiting = True
        self.calls.append((observation.copy(), is_first.copy()))
        n = len(self.calls)
        shape = len(is_first)
        extras = {"value": np.full(shape, n + 0.5), "depth": np.full(shape, 7.0)}

        def wait():
            assert self.waiting
            self.waiting = False
            return np.full(shape, n, np.int32), extras

        return wait

    def update(self, wait=False):
        self.updates += 1


class RecordingAdder:
    def __init__(self):
        self.calls = []

    def add_first(self, timestep):
        assert timestep.first()
        self.calls.append(("first", float(timestep.observation[0])))

    def add(self, action, next_timestep, extras, final_extras=None):
        seen = float(next_timestep.observation[0])
        numbers = (int(action), float(next_timestep.reward), float(next_timestep.discount), seen)
        self.calls.append((*numbers, dict(extras), final_extras and dict(final_extras)))


def make_loop(lengths, record=True):
    runner, adders = Runner(), [RecordingAdder() for _ in lengths] if record else []
    environment = SyncVectorEnvironment([Episodes(length) for length in lengths])
    return EnvironmentLoop(environment, Actor(runner, adders, ["value"])), runner, adders


def test_actor_records_rows_in_order_with_final_extras():
    loop, runner, adders = make_loop([2, 3])
    for _ in range(5):
        loop.step()
    # Environment 0 steps with actions 1 2, restarts with (the ignored) 3, continues with 4. The
    # row of action 5 waits until the policy has seen what it led to.
    assert adders[0].calls == [
        ("first", 0),
        (1, 10, 1, 1, {"value": 1.5}, None),
        (2, 20, 0, 2, {"value": 2.5}, {"value": 3.5}),
        ("first", 0),
        (4, 10, 1, 1, {"value": 4.5}, None),
    ]
    assert adders[1].calls == [
        ("first", 0),
        (1, 10, 1, 1, {"value": 1.5}, None),
        (2, 20, 1, 2, {"value": 2.5}, None),
        (3, 30, 0, 3, {"value": 3.5}, {"value": 4.5}),
        ("first", 0),
    ]
    assert [first.tolist() for _, first in runner.calls] == [
        [True, True],
        [False, False],
        [False, False],
        [True, False],
        [False, True],
    ]
    assert runner.updates == 5 and loop.learner_steps == 3


def test_extras_that_are_not_stored_are_statistics():
    loop, _, _ = make_loop([2])
    loop.step()
    assert loop.statistics == {"depth": 7.0}


def test_loop_counts_steps_and_not_resets():
    loop, _, _ = make_loop([2, 3], record=False)
    results = [result for _ in range(12) for result in loop.step()]
    # Of 12 steps every third and every fourth is a restart.
    assert loop.progress.steps == (12 - 4) + (12 - 3)
    assert loop.progress.frames == loop.progress.steps
    assert [r.length for r in results if r.environment == 0] == [2] * 4
    assert [r.episode_return for r in results if r.environment == 1] == [60.0] * 3


@pytest.mark.parametrize("episodes, shares", [(6, [2, 2, 2]), (4, [2, 1, 1])])
def test_run_episodes_gives_every_environment_its_share(episodes, shares):
    loop, _, _ = make_loop([1, 2, 9], record=False)
    results, cut_off = loop.run_episodes(episodes)
    assert [sum(r.environment == i for r in results) for i in range(3)] == shares
    assert cut_off == 0
    assert len(loop.run_episodes(3, should_stop=lambda: True).results) == 0


def test_run_episodes_cuts_off_episodes_at_the_step_limit():
    loop, _, _ = make_loop([2, 3, 10**9], record=False)
    reported = []
    results, cut_off = loop.run_episodes(6, on_result=reported.append, max_steps=3)
    assert cut_off == 1 and reported == results
    assert [(r.environment, r.length, r.episode_return) for r in results] == [
        (0, 2, 30.0),
        (1, 3, 60.0),
        (2, 3, 60.0),
        (0, 2, 30.0),
        (1, 3, 60.0),
    ]


class Source:
    def __init__(self):
        self.fetches = 0
        self.broken = False

    def get_variables(self, names):
        assert list(names) == ["policy"]
        self.fetches += 1
        if self.broken:
            raise ConnectionError
        return [self.fetches]


def test_synchronous_client_fetches_every_period():
    client = VariableClient(Source(), period_updates=3)
    seen = [client.params]
    for _ in range(7):
        client.update()
        seen.append(client.params)
    assert seen == [1, 1, 1, 2, 2, 2, 3, 3]
    never = VariableClient(Source(), period_updates=0)
    assert never.params == 1
    never.update()
    assert never.params == 1
    never.update(wait=True)
    assert never.params == 2


def wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def test_asynchronous_client_counts_failures_and_retries():
    source = Source()
    client = VariableClient(source, asynchronous=True, period_seconds=0.0)
    assert client.params == 1
    source.broken = True
    client.update()
    wait_until(lambda: client.failures == 1)
    assert client.params == 1
    source.broken = False
    wait_until(lambda: client.update() or client.params >= 3)


def test_asynchronous_client_never_waits_for_the_learner():
    gate = threading.Event()

    class Slow(Source):
        def get_variables(self, names):
            if self.fetches:
                gate.wait(10)
            return super().get_variables(names)

    client = VariableClient(Slow(), asynchronous=True, period_seconds=0.0)
    assert client.params == 1
    started = time.monotonic()
    for _ in range(20):
        client.update()
    assert time.monotonic() - started < 2 and client.params == 1
    gate.set()
    wait_until(lambda: client.params == 2)


def test_batches_of_wrong_shapes_are_refused():
    """Each is one line that names the shapes."""
    actor = Actor(Runner())
    first = dm_env.TimeStep(np.zeros(2, int), np.zeros(2), np.ones(2), np.zeros((2, 1)))
    with pytest.raises(AssertionError, match="observe_first"):
        actor.request(first.observation)
    actor.observe_first(first)
    with pytest.raises(AssertionError, match=r"shape prefix.*\(3,\)"):
        actor.request(np.zeros((3, 1)))
    actor.request(first.observation)
    action = actor.receive()
    actor.record()
    with pytest.raises(AssertionError, match=r"assert_shape failed.*\(2, 1\)"):
        actor.observe(action, first._replace(reward=np.zeros((2, 1))))
    with pytest.raises(AssertionError, match="3 adders for 2 environments"):
        Actor(Runner(), [None] * 3).observe_first(first)
