"""A reanalyser between the tables of a real Reverb server."""

import dataclasses
import threading
import types

import jax
import numpy as np
import pytest

reverb = pytest.importorskip("reverb")
pytest.importorskip("acme")

from mukoe.agents.muzero.builder import MuZeroBuilder  # noqa: E402
from mukoe.agents.planning.config import PlanningReplayConfig  # noqa: E402
from mukoe.layouts.common.experiment import ExperimentConfig, RunConfig  # noqa: E402
from mukoe.layouts.distributed.nodes.context import NodeContext  # noqa: E402
from mukoe.layouts.distributed.nodes.reanalyser import ReanalyserNode  # noqa: E402
from mukoe.learning.reanalysis import ReanalyseConfig  # noqa: E402
from mukoe.networks.action_space import DiscreteSpace  # noqa: E402
from mukoe.replay.declaration import row_spec  # noqa: E402
from mukoe.replay.reverb import ReverbReplay, make_tables  # noqa: E402
from tests.agents.planning.true_mdp import corridors, true_model  # noqa: E402
from tests.layouts.common.test_reanalysis import (  # noqa: E402
    Parameters,
    act,
    config,
    make_policy,
    random_params,
)
from tests.layouts.distributed.nodes.fakes import FakeRuntime  # noqa: E402

SPEC = corridors(0, 1).spec


class TrueModelBuilder(MuZeroBuilder):
    def make_networks(self, environment_spec):
        return types.SimpleNamespace(action_space=DiscreteSpace(2))

    def make_model(self, networks, environment_spec):
        return true_model()


class Learner(Parameters):
    def get_variables(self, names):
        return [self.params]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Handle of a filled replay, source of the parameters, and log of a running reanalyser."""
    workdir = tmp_path_factory.mktemp("reanalyser")
    settings = dataclasses.replace(
        config(frames=3, num_simulations=6),
        replay=PlanningReplayConfig(min_size=20, batch_size=8, samples_per_insert=None),
        reanalyse=ReanalyseConfig(mode="nodes", fraction=0.5),
    )
    builder, policy = TrueModelBuilder(settings), make_policy(settings)
    rows = row_spec(SPEC, policy.extras_spec)
    server = reverb.Server(make_tables(builder.replay, rows), port=None)
    replay = ReverbReplay(reverb.Client(f"localhost:{server.port}"), builder.replay, rows)
    act(replay, policy, random_params())
    experiment = ExperimentConfig(builder, None, run=RunConfig(loggers=("csv",), log_seconds=0.0))
    runtime = FakeRuntime()
    context = NodeContext(runtime, experiment, SPEC, workdir, {})
    service = types.SimpleNamespace(connect=lambda row_spec: replay)
    learner = Learner(random_params())
    node = ReanalyserNode(context, service, learner, index=1)
    thread = threading.Thread(target=node.run, daemon=True)
    thread.start()
    yield replay, learner, workdir / "logs" / "reanalyser_1.csv"
    runtime.stop_program()
    thread.join(20)
    assert not thread.is_alive()
    server.stop()


def test_half_of_a_batch_is_reanalysed_and_equals_what_is_stored(made):
    replay, _, log = made
    dataset, originals = replay.make_dataset(), {}
    reader = replay.make_reanalyser_dataset(64)
    for _ in range(8):
        stored = next(reader)
        for index, key in enumerate(stored.keys.tolist()):
            originals[key] = jax.tree.map(lambda array, i=index: array[i], stored.rows)
    compared = 0
    for _ in range(3):
        sample = next(dataset)
        assert len(sample.keys) == 8 and np.all(sample.probabilities > 0)
        assert set(sample.rows.extras) == {"search_policy", "search_value", "learner_steps"}
        for index, key in enumerate(sample.keys.tolist()):
            if key not in originals:
                continue
            rows = jax.tree.map(lambda array, i=index: array[i], sample.rows)
            known = rows.mask > 0
            known[:2] = False  # History.
            for name, values in rows.extras.items():
                expected = originals[key].extras[name]
                np.testing.assert_allclose(values[known], expected[known], atol=1e-5)
            for name in ("observation", "action", "reward", "discount", "mask"):
                np.testing.assert_array_equal(getattr(rows, name), getattr(originals[key], name))
            compared += index >= 4
        replay.update_priorities(sample.keys, np.ones(8))
    assert compared > 4
    dataset.close()
    reader.close()
    assert "sequences" in log.read_text()


def test_newer_parameters_are_used(made):
    replay, learner, _ = made
    learner.params = Parameters(random_params(1)).params._replace(learner_steps=np.int32(9))
    dataset, changed = replay.make_dataset(), False
    for _ in range(200):
        sample = next(dataset)
        values, mask = sample.rows.extras["search_value"][:, 2:], sample.rows.mask[:, 2:]
        cells = sample.rows.observation[:, 2:, 0]
        changed = changed or np.ptp(values[(mask > 0) & (cells == 2)]) > 0.05
        if changed:
            break
    assert changed
    dataset.close()
