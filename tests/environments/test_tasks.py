"""Several environments as tasks of one agent."""

import numpy as np
import pytest

from mukoe.environments.coin_flip import CoinFlipConfig
from mukoe.environments.repeat_first import RepeatFirstConfig
from mukoe.environments.tasks import TasksConfig, TasksFactory, task_returns
from mukoe.errors import UserError

COINS = {
    "safe": CoinFlipConfig(sure_payoff=1.0).make_factory(),
    "rich": CoinFlipConfig(sure_payoff=5.0).make_factory(),
}


def test_streams_play_the_tasks_in_turn_and_show_them():
    factory = TasksFactory(COINS)
    vector = factory(0, 5, False)
    assert vector.num_envs == 5 and vector.copies_state is False
    assert {name: spec.shape for name, spec in vector.spec.observations.items()} == {
        "observation": (4,),
        "task": (2,),
    }
    first = vector.reset()
    assert first.first().all()
    assert first.observation["task"].argmax(-1).tolist() == [0, 1, 0, 1, 0]
    # Streams 0 and 3 flip the coin, the others take the sure payoff.
    step = vector.step(np.array([1, 0, 0, 1, 0]))
    assert step.reward.tolist() == [0, 5, 1, 0, 1]
    assert step.last().tolist() == [False, True, True, False, True]
    assert (step.observation["observation"][[0, 3]].argmax(-1) > 0).all()
    finished = vector.finished_episodes()
    assert sorted((r.environment, r.episode_return) for r in finished) == [(1, 5), (2, 1), (4, 1)]
    expected = {"episode_return/rich": 5.0, "episode_return/safe": 1.0}
    assert task_returns(factory, finished) == expected
    assert task_returns(COINS["safe"], finished) == {}
    vector.close()


def test_one_environment_has_the_specs_of_all():
    factory = TasksFactory(COINS)
    assert repr(factory(0, 1, False).spec) == repr(factory(0, 2, False).spec)


def test_tasks_that_differ_are_refused():
    other = RepeatFirstConfig(2, 3).make_factory()
    with pytest.raises(UserError, match="same observations and actions: those of 'other'"):
        TasksFactory({**COINS, "other": other})(0, 3, False)
    with pytest.raises(UserError, match="3 tasks need at least 3 environments, not 2"):
        TasksFactory({**COINS, "third": COINS["safe"]})(0, 2, False)
    with pytest.raises(UserError, match="names"):
        TasksConfig(("CartPole-v1",))


def test_tasks_are_named_as_env_takes_them():
    vector = TasksConfig(("CartPole-v0", "CartPole-v1")).make_factory()(0, 2, True)
    assert vector.spec.observations["observation"].shape == (4,)
    vector.close()
