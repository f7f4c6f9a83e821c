"""Agents of stored runs, used from Python."""

import dataclasses

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces

import mukoe
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.errors import UserError
from mukoe.layouts.common.experiment import TrainingConfig, check_experiment
from mukoe.layouts.common.stored_run import StoredRun
from mukoe.viewing.episodes import play_episode
from tests.viewing.runs import opened_run, trained_run
from tests.viewing.tiny_cartpole import get_config

# Its fixtures take long, so one worker runs it whole.
pytestmark = pytest.mark.xdist_group("api_agent")


class Odd(gymnasium.Env):
    """Environment with a dictionary as observation and actions that start at 5."""

    observation_space = spaces.Dict({"place": spaces.Discrete(3), "speed": spaces.Box(-1, 1, (2,))})
    action_space = spaces.Discrete(2, start=5)

    def reset(self, *, seed=None, options=None):
        return {"place": 1, "speed": np.zeros(2, np.float32)}, {}

    def step(self, action):
        assert action in (5, 6)
        return self.reset()[0], 1.0, False, True, {}


@pytest.fixture(scope="module")
def agent():
    return mukoe.load(trained_run("cartpole"))


def untrained(config, folder):
    """Agent with initial parameters."""
    experiment = config.make_experiment()
    spec = check_experiment(experiment)
    networks = experiment.builder.make_networks(spec)
    learner = experiment.builder.make_learner(jax.random.PRNGKey(0), networks, iter(()), spec)
    (params,) = learner.get_variables(("policy",))
    return mukoe.TrainedAgent(StoredRun(folder, config, experiment, spec, params, {}))


def test_actions_are_those_of_the_policy_in_an_episode(agent):
    """The agent has a history of two frames, so `act` must remember them."""
    run, inspected = opened_run("cartpole")
    environment = run.config.environment.make_factory()(0, 1, True)
    steps = list(play_episode(inspected, environment, 0, max_steps=None, seed=4))
    expected = [step.decision.action for step in steps if step.decision]
    assert len(expected) > 5

    native = agent.make_environment()
    assert isinstance(native, gymnasium.Env)
    twin = run.config.environment.make_factory()(0, 1, True).environments[0]
    observation = twin.reset().observation
    agent.reset(seed=4)
    actions, ended = [], False
    while not ended:
        actions.append(agent.act(observation))
        timestep = twin.step(actions[-1])
        observation, ended = timestep.observation, timestep.last()
    assert actions == expected


def test_a_search_leaves_the_history_as_it_is(agent):
    observation, _ = agent.make_environment().reset(seed=1)
    agent.reset(seed=0)
    action = agent.act(observation)
    agent.reset(seed=0)
    result = agent.search(observation)
    assert result.visits.sum() == 8
    assert result.policy.shape == (2,) and result.policy.sum() == pytest.approx(1, abs=1e-5)
    assert np.isfinite(result.value) and result.line
    assert result._repr_svg_().startswith("<svg ")
    assert "tree=" not in repr(result)
    agent.reset(seed=0)
    assert agent.act(observation) == action


@pytest.mark.slow
def test_a_board_game_is_played_in_its_own_interface():
    agent = mukoe.load(trained_run("tic_tac_toe"), simulations=4)
    environment = agent.make_environment()
    timestep = environment.reset()
    result = agent.search(timestep.observation)
    assert result.visits.sum() == 4
    assert all(name[0] in "abc" and name[1] in "123" for name in result.line)
    while not timestep.last():
        action = agent.act(timestep.observation)
        assert timestep.observation.legal_actions[action]
        timestep = environment.step(action)


def test_observations_and_actions_are_native(tmp_path):
    gymnasium.register("Odd-v0", Odd)
    agent = untrained(get_config_of(GymnasiumConfig("Odd-v0")), tmp_path)
    observation, _ = agent.make_environment().reset()
    assert agent.act(observation) in (5, 6)
    assert agent.search(observation).action in (5, 6)
    with pytest.raises(UserError, match="no observation of Odd-v0: "):
        agent.act({"place": 1})


def get_config_of(environment) -> TrainingConfig:
    return dataclasses.replace(get_config(), environment=environment)


@pytest.mark.parametrize(
    "observation",
    [
        *(np.zeros(3), "text", None, {"a": 1}, np.zeros((1, 4))),
        *(np.full(4, np.nan), [0.0, 0.0, 0.0, -np.inf]),
    ],
)
def test_an_unsuitable_observation_gets_one_line(agent, observation):
    with pytest.raises(UserError, match="^this is no observation of CartPole-v1: .+"):
        agent.act(observation)


def test_an_agent_without_search_says_so():
    agent = mukoe.load(trained_run("cartpole"), simulations=0)
    observation, _ = agent.make_environment().reset(seed=1)
    assert agent.act(observation) in (0, 1)
    with pytest.raises(UserError, match="acts without a search; use act"):
        agent.search(observation)


def test_evaluations_are_written_as_by_the_program(agent):
    found = agent.evaluate(episodes=3, seed=2)
    assert found["episodes"] == 3 and found["seed"] == 2
    assert found["ci95"][0] <= found["mean"] <= found["ci95"][1]
    workdir = agent.run.workdir
    assert '"episodes": 3' in (workdir / "evaluation.json").read_text()
    (csv,) = (workdir / "evaluation").glob("*seed2.csv")
    assert len(csv.read_text().splitlines()) == 4


def test_metrics_are_rows_of_numbers(agent):
    rows = agent.metrics("evaluator")
    assert rows and all(isinstance(row["episode_return"], float) for row in rows)
    assert agent.metrics()[-1]["learner_steps"] > 0
    with pytest.raises(UserError, match="no log 'actor' in .*; logs are actor_0, evaluator, learn"):
        agent.metrics("actor")
