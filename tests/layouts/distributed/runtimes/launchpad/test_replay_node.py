"""Statistics of a Reverb server."""

import types

import pytest

pytest.importorskip("launchpad")

from mukoe.layouts.distributed.runtimes.launchpad.replay_node import ReverbService  # noqa: E402


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
