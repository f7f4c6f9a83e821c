"""Training on an environment behind dm_env_rpc."""

import dataclasses

import jax
import numpy as np
import pytest

pytest.importorskip("dm_env_rpc")

from mukoe.acting.rollouts import RolloutCollector, RolloutDeclaration  # noqa: E402
from mukoe.agents.planning.config import UnrollLossConfig  # noqa: E402
from mukoe.configuration import load_config, prepare_workdir  # noqa: E402
from mukoe.environments.gymnasium.config import GymnasiumConfig  # noqa: E402
from mukoe.environments.sync_vector import vectorize  # noqa: E402
from mukoe.replay.declaration import row_spec  # noqa: E402
from mukoe.replay.in_process import InProcessReplay  # noqa: E402
from mukoe.types import Policy, PolicyParams  # noqa: E402
from tests.environments.remote import Counting, remote, serving  # noqa: E402
from tests.layouts.finished import assert_same_state, logged  # noqa: E402
from tests.layouts.tiny import tiny, train  # noqa: E402


def test_training_through_the_wire_equals_training_directly_bit_for_bit(tmp_path):
    """The remote run stores its environment, although its config file names Gymnasium."""
    gymnasium = GymnasiumConfig("CartPole-v1")
    config_file = tmp_path / "config_file.py"
    config_file.write_text(
        "from tests.layouts.tiny import GymnasiumConfig, tiny\n"
        "def get_config():\n    return tiny(GymnasiumConfig('CartPole-v1'))\n"
    )
    direct, wire = tmp_path / "direct", tmp_path / "wire"
    assert train(tiny(gymnasium), direct) == 0
    with serving(gymnasium.make_factory()) as port:
        config = tiny(remote(port))
        prepare_workdir(wire, config, config_file, False)
        assert train(config, wire) == 0
        assert load_config(wire) == config
    assert logged(wire) == logged(direct) and logged(wire)["evaluator"]
    assert_same_state(direct, wire)


def counted(replay):
    """The rows of all items as (place in the episode, reward, mask) of each."""
    items = replay._item_rows[: replay.size]
    rows = replay._pool.gather(items)
    return np.stack([rows.observation[..., 0], rows.reward, rows.mask], -1)


def test_a_lost_server_leaves_no_wrong_transition_in_replay():
    """Steps are numbered from 0 in each episode: one follows the other, or the episode ends."""
    factory = vectorize(lambda seed, evaluation: Counting(length=6))
    config = tiny()
    builder = dataclasses.replace(config.agent, loss=UnrollLossConfig(unroll_steps=1, td_steps=1))
    builder = builder.make_builder()
    with serving(factory) as port:
        environment = remote(port).make_factory()(0, 2, False)
        policy = builder.make_policy(builder.make_networks(environment.spec), environment.spec)
        rows = row_spec(environment.spec, policy.extras_spec)
        replay = InProcessReplay(builder.replay, rows, num_streams=2, seed=0)
        loop = make_loop(builder, environment, policy, replay)
        for _ in range(10):
            loop.step()
        before = loop.progress.steps
    with serving(factory, port):
        for _ in range(10):
            loop.step()
    assert loop.progress.steps > before
    places, rewards, masks = np.moveaxis(counted(replay), -1, 0)
    acted = masks[:, :-1] == 1
    assert (
        acted.any() and (np.diff(places)[acted] == 1).all() and (rewards[:, :-1][acted] == 1).all()
    )


def make_loop(builder, environment, policy, replay):
    from mukoe.acting.loop import EnvironmentLoop
    from mukoe.acting.runners import LocalRunner
    from mukoe.acting.variables import VariableClient

    networks = builder.make_networks(environment.spec)

    class Parameters:
        def get_variables(self, names):
            return [PolicyParams(networks.init(jax.random.PRNGKey(0)), np.int32(0)) for _ in names]

    variables = VariableClient(Parameters(), period_updates=0)
    variables.update(wait=True)
    key = jax.random.PRNGKey(0)
    runner = LocalRunner(policy, variables, key, environment.num_envs)
    adders = [replay.make_adder() for _ in range(2)]
    actor = builder.make_actor(policy, runner, adders)
    return EnvironmentLoop(environment, actor)


def test_a_lost_server_masks_its_step_in_a_rollout():
    factory = vectorize(lambda seed, evaluation: Counting(length=9))
    policy = Policy(
        apply=lambda params, key, observation, state: (
            jax.numpy.zeros(observation.shape[0], jax.numpy.int32),
            {},
            state,
        ),
        initial_state=lambda num_envs: (),
        extras_spec={},
    )
    params = PolicyParams({}, np.int32(0))
    with serving(factory) as port:
        environment = remote(port).make_factory()(0, 1, False)
        key = jax.random.PRNGKey(0)
        collector = RolloutCollector(environment, policy, key, RolloutDeclaration(length=3))
        whole = collector.collect(params).rows
    with serving(factory, port):
        cut = collector.collect(params)
    assert whole.mask[0].tolist() == [1, 1, 1, 0]
    # The observation before the loss ends its episode: 3 is the last that was seen.
    assert cut.rows.observation[0, :, 0].tolist() == [3, 0, 1, 2]
    assert cut.rows.mask[0].tolist() == [0, 1, 1, 0] and cut.steps == 2
    assert cut.rows.reward[0].tolist() == [0, 1, 1, 0]
