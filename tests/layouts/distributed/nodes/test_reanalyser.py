"""A reanalyser between the tables of a real Reverb server."""

import dataclasses
import queue
import threading
import time
import types

import jax
import numpy as np
import pytest

reverb = pytest.importorskip("reverb")
pytest.importorskip("acme")

from mukoe.acting.inference.config import InferenceConfig  # noqa: E402
from mukoe.acting.inference.reanalysis import (  # noqa: E402
    RemoteReanalysis,
    ServedReanalysis,
)
from mukoe.agents.planning.config import PlanningReplayConfig  # noqa: E402
from mukoe.agents.planning.deterministic_model.builder import DeterministicModelBuilder  # noqa: E402
from mukoe.errors import UserError  # noqa: E402
from mukoe.layouts.common.counting import Counter  # noqa: E402
from mukoe.layouts.common.experiment import (  # noqa: E402
    DistributedConfig,
    ExperimentConfig,
    RunConfig,
)
from mukoe.layouts.distributed.nodes.context import NodeContext  # noqa: E402
from mukoe.layouts.distributed.nodes.inference import InferenceNode  # noqa: E402
from mukoe.layouts.distributed.nodes.reanalyser import ReanalyserNode  # noqa: E402
from mukoe.learning.reanalysis import ReanalyseConfig  # noqa: E402
from mukoe.networks.action_space import DiscreteSpace  # noqa: E402
from mukoe.replay.declaration import row_spec, zero_sample  # noqa: E402
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
from tests.replay.episodes import ROW_SPEC, declare  # noqa: E402

SPEC = corridors(0, 1).spec


class TrueModelBuilder(DeterministicModelBuilder):
    def make_networks(self, environment_spec):
        return types.SimpleNamespace(action_space=DiscreteSpace(2))

    def make_model(self, networks, environment_spec):
        return true_model()


class Learner(Parameters):
    def get_variables(self, names):
        return [self.params]


class DeadServer:
    def reanalyse(self, leaves, probabilities):
        raise ConnectionError("unavailable")


class Server:
    """An inference server, which compiles its search when it is made."""

    def __init__(self, context, learner):
        self.served = ServedReanalysis(
            context.make_reanalysis(), context.zero_reanalyser_sample(), lambda: learner.params
        )
        stop = context.runtime.stop_event
        threading.Thread(target=self.served.compile, args=(stop,), daemon=True).start()

    def reanalyse(self, leaves, probabilities):
        return self.served.search(leaves, probabilities)


class BoundRuntime(FakeRuntime):
    """A runtime that serves the thread of its node alone, as Launchpad's does."""

    def __init__(self):
        super().__init__()
        self._thread = threading.current_thread()

    def reporting_failures(self, label):
        assert threading.current_thread() is self._thread
        return super().reporting_failures(label)


def settings_of(**replay):
    return dataclasses.replace(
        config(frames=3, num_simulations=6),
        replay=PlanningReplayConfig(min_size=20, batch_size=8, **replay),
        reanalyse=ReanalyseConfig(mode="nodes", fraction=0.5),
    )


def test_an_inference_server_compiles_its_search_beside_the_thread_of_the_node(tmp_path):
    distributed = DistributedConfig(num_actors=1, num_reanalysers=1, reanalysis="server")
    learner, made = Learner(random_params()), queue.Queue()

    def serve():
        runtime = BoundRuntime()
        experiment = ExperimentConfig(
            TrueModelBuilder(settings_of()),
            None,
            run=RunConfig(loggers=("csv",)),
            distributed=distributed,
        )
        context = NodeContext(runtime, experiment, SPEC, tmp_path, {})
        node = InferenceNode(context, Counter(), learner, 0, split=False)
        made.put((context, node))
        node.run()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    context, node = made.get(timeout=60)
    sample = context.zero_reanalyser_sample()
    leaves, end = jax.tree.leaves(sample.rows), time.monotonic() + 60
    while (renewed := node.reanalyse(leaves, sample.probabilities)) is None:
        assert time.monotonic() < end and thread.is_alive()
        time.sleep(0.1)
    assert renewed.learner_steps == int(learner.params.learner_steps)
    context.runtime.stop_program()
    thread.join(20)
    assert not thread.is_alive()


def test_a_search_that_cannot_be_compiled_is_an_error_of_the_server():
    def fail(params, sample):
        raise ValueError("no such shape")

    served = ServedReanalysis(
        types.SimpleNamespace(search=fail), types.SimpleNamespace(), lambda: object()
    )
    with pytest.raises(ValueError, match="no such shape"):
        served.compile(threading.Event())
    with pytest.raises(UserError, match="reanalysis cannot be compiled: no such shape"):
        served.search([], np.zeros(1))


@pytest.fixture(scope="module", params=["local", "server"])
def made(request, tmp_path_factory):
    """Handle of a filled replay, source of the parameters, and log of a running reanalyser."""
    workdir = tmp_path_factory.mktemp("reanalyser")
    settings = settings_of(samples_per_insert=None)
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
    servers = []
    if request.param == "server":
        servers = [DeadServer(), Server(context, learner)]
    node = ReanalyserNode(context, service, learner, 1, servers)
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


def zero_requests():
    sample = zero_sample(declare(batch_size=2), ROW_SPEC)
    return sample, ServedReanalysis(None, sample, lambda: None)


def test_a_malformed_request_is_refused_with_the_expected_arrays():
    sample, served = zero_requests()
    leaves = jax.tree.leaves(sample.rows)
    assert served.search(leaves, sample.probabilities) is None  # It is still compiling.
    with pytest.raises(UserError, match=r"a reanalyser sent arrays of .*expected"):
        served.search(leaves[1:], sample.probabilities)
    server = types.SimpleNamespace(reanalyse=served.search)
    remote = RemoteReanalysis([server], InferenceConfig())
    with pytest.raises(UserError, match="a reanalyser sent"):
        remote.search(sample._replace(probabilities=sample.probabilities[:1]))


def test_without_a_server_a_reanalyser_gives_up_in_time_and_at_the_stop():
    sample, _ = zero_requests()
    config = InferenceConfig(give_up_seconds=0.5)
    with pytest.raises(TimeoutError, match="none of 2 inference servers .* 0.5 s.*: unavailable"):
        RemoteReanalysis([DeadServer(), DeadServer()], config).search(sample)
    with pytest.raises(TimeoutError, match="the program stops"):
        RemoteReanalysis([DeadServer()], InferenceConfig(), lambda: True).search(sample)
