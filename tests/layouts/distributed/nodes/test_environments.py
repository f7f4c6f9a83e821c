"""Nodes close their environments."""

import dataclasses

import dm_env
import jax
import numpy as np
import pytest
from dm_env import specs

from mukoe.environments.sync_vector import vectorize
from mukoe.layouts.common.counting import Counter
from mukoe.layouts.common.experiment import check_experiment
from mukoe.layouts.distributed.nodes.actor import ActorNode
from mukoe.layouts.distributed.nodes.context import NodeContext
from mukoe.layouts.distributed.nodes.evaluator import EvaluatorNode
from tests.layouts.distributed.nodes.fakes import FakeRuntime
from tests.layouts.tiny import tiny


class Room(dm_env.Environment):
    """Every step ends an episode."""

    made, closed = [], []

    def __init__(self):
        Room.made.append(self)

    def reset(self):
        return dm_env.restart(np.float32([0]))

    def step(self, action):
        return dm_env.termination(1.0, np.float32([0]))

    def close(self):
        Room.closed.append(self)

    def observation_spec(self):
        return specs.Array((1,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(2)


@dataclasses.dataclass(frozen=True)
class RoomConfig:
    def make_factory(self):
        return vectorize(lambda seed, evaluation: Room())


class NoReplay:
    """Replay service, handle and adder that store nothing."""

    def connect(self, row_spec):
        return self

    def make_adder(self, should_stop):
        return self

    def add_first(self, *arguments):
        pass

    add = reset = add_first


class StoppingCounter(Counter):
    """Counter that stops the program once its environments have stepped."""

    def __init__(self, runtime):
        super().__init__({"actor_steps": 1_000})
        self._runtime = runtime

    def increment(self, **counts):
        if counts.get("actor_steps"):
            self._runtime.stop_event.set()
        return super().increment(**counts)

    def report(self, **values):
        if "best_return" in values:
            self._runtime.stop_event.set()


class Source:
    def __init__(self, experiment, spec):
        networks = experiment.builder.make_networks(spec)
        self._learner = experiment.builder.make_learner(
            jax.random.PRNGKey(0), networks, iter(()), spec
        )

    def get_variables(self, names):
        return self._learner.get_variables(names)


@pytest.mark.parametrize("node, environments", [("actor", 4), ("evaluator", 2)])
def test_nodes_close_their_environments(tmp_path, node, environments):
    Room.made.clear()
    Room.closed.clear()
    experiment = tiny(RoomConfig()).make_experiment()
    spec = check_experiment(experiment)
    assert len(Room.closed) == len(Room.made) == 1
    runtime = FakeRuntime()
    runtime.restarts = 1  # An evaluation is due at once.
    context = NodeContext(runtime, experiment, spec, tmp_path, {})
    source, counter = Source(experiment, spec), StoppingCounter(runtime)
    if node == "actor":
        ActorNode(context, NoReplay(), counter, source, (), False, 0).run()
    else:
        EvaluatorNode(context, counter, source).run()
    assert len(Room.made) == 1 + environments
    assert Room.closed == Room.made
