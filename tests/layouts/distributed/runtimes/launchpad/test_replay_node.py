"""Statistics of a Reverb server."""

import types

import pytest

pytest.importorskip("launchpad")

import reverb  # noqa: E402

from mukoe.errors import UserError  # noqa: E402
from mukoe.layouts.common.experiment import check_experiment  # noqa: E402
from mukoe.layouts.distributed import graph  # noqa: E402
from mukoe.layouts.distributed.nodes import context as context_module  # noqa: E402
from mukoe.layouts.distributed.nodes.context import NodeContext  # noqa: E402
from mukoe.layouts.distributed.runtimes.launchpad import replay_node  # noqa: E402
from mukoe.layouts.distributed.runtimes.launchpad.replay_node import ReverbService  # noqa: E402
from tests.layouts.distributed.nodes.fakes import FakeRuntime  # noqa: E402
from tests.layouts.local.test_demonstrations import demonstrating, recorded  # noqa: E402


def test_reanalysed_items_count_as_one_sample_and_demonstrations_as_none(tmp_path):
    def table(sampled):
        statistics = {"insert_stats": 4, "sample_stats": sampled}
        counts = {n: types.SimpleNamespace(completed=c) for n, c in statistics.items()}
        info = types.SimpleNamespace(**counts)
        return types.SimpleNamespace(current_size=3, rate_limiter_info=info)

    tables = {
        "replay": table(10),
        "replay_reanalysed": table(5),
        "replay_demonstrations": table(7),
    }
    client = types.SimpleNamespace(server_info=lambda timeout: dict(tables))
    declaration = types.SimpleNamespace(table="replay")
    service = ReverbService(client, declaration, tmp_path)
    assert service.statistics() == (3, 4, 10)


def test_the_node_fills_the_table_of_demonstrations_from_their_sources(tmp_path, monkeypatch):
    config = demonstrating(cloning="alone", bootstrap="target", demonstration_capacity=29)
    experiment = config.make_experiment()
    spec, asked = check_experiment(experiment), []

    def read(sources, environment_spec):
        asked.extend(source.name for source in sources)
        return recorded(environment_spec)

    monkeypatch.setattr(graph, "read_sources", read)
    monkeypatch.setattr(context_module, "read_sources", read)
    made = graph.make_graph(experiment, demonstrations="/runs/a")
    assert made.demonstrations == "/runs/a"
    with pytest.raises(UserError, match="weights of sources are for --layout=local"):
        graph.make_graph(experiment, demonstrations="/runs/a:1.0,/runs/b:2.0")
    with pytest.raises(UserError, match="demonstration_fraction is above 0: name a run as"):
        graph.make_graph(experiment)
    context = NodeContext(
        FakeRuntime(), experiment, spec, tmp_path, {}, demonstrations=made.demonstrations
    )
    server = reverb.Server(replay_node._make_tables(context), port=None)
    client = reverb.Client(f"localhost:{server.port}")
    replay_node._fill(context, client)
    assert set(asked) == {"/runs/a"}
    tables = client.server_info(5)
    # The oldest of three episodes, of 5 steps, does not fit.
    assert tables["replay_demonstrations"].current_size == 29
    assert tables["replay"].current_size == 0
    assert ReverbService(client, experiment.builder.replay, tmp_path).statistics() == (0, 0, 0)
    server.stop()
