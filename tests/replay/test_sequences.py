"""Items of hand-computed episodes: of the slicer, and of both replays."""

import dm_env
import jax
import numpy as np
import pytest
from dm_env import specs

from mukoe.replay.declaration import row_spec
from mukoe.replay.in_process import InProcessReplay
from mukoe.replay.sequences import ItemSlicer
from tests.replay.episodes import ROW_SPEC, SPEC, declare, record, stack


def slice_episode(slicer, rows):
    """Items of an episode whose rows are characters."""
    slicer.begin("_")
    items = []
    for row in [*rows, *"_" * slicer.padding_after]:
        slicer.append(row)
        if slicer.ends_item:
            items.append("".join(slicer.rows))
    return items


@pytest.mark.parametrize(
    ("history", "size", "period", "rows", "items"),
    [
        (2, 3, 1, "0123F", ["__012", "_0123", "0123F", "123F_"]),
        (0, 2, 1, "0F", ["0F"]),
        (1, 4, 1, "0F", ["_0F__"]),
        (0, 3, 2, "01234F", ["012", "234", "4F_"]),
        (1, 4, 3, "0123F", ["_0123", "23F__"]),
    ],
)
def test_items_of_an_episode(history, size, period, rows, items):
    slicer = ItemSlicer(declare(history=history, sequence_length=size, period=period))
    assert slice_episode(slicer, rows) == items
    assert slice_episode(slicer, rows) == items  # The next episode does not see this one.


def test_rows_leave_the_slicer_in_order():
    slicer = ItemSlicer(declare(history=1, sequence_length=2))
    slicer.begin("_")
    assert [slicer.append(row) for row in "0123"] == [None, None, "_", "0"]
    assert slicer.rows == ["1", "2", "3"]


def in_process_items(declaration, spec, write):
    replay = InProcessReplay(declaration, spec, seed=0, num_streams=1)
    write(replay.make_adder())
    items = {}
    while len(items) < replay.inserted:
        keys, _, rows = replay.sample()[:3]
        items |= {int(key): rows_of(rows, b) for b, key in enumerate(keys)}
    return [items[key] for key in sorted(items)]


def reverb_items(declaration, spec, write):
    import reverb

    from mukoe.replay.reverb import ReverbReplay, make_tables

    server = reverb.Server(make_tables(declaration, spec), port=None)
    handle = ReverbReplay(reverb.Client(f"localhost:{server.port}"), declaration, spec)
    adder, dataset = handle.make_adder(), handle.make_dataset()
    write(adder)
    adder._writer.flush(0, timeout_ms=5000)
    count = handle._client.server_info(5)[declaration.table].current_size
    items = {}
    while len(items) < count:
        keys, _, rows = next(dataset)[:3]
        items |= {int(key): rows_of(rows, b) for b, key in enumerate(keys)}
    dataset.close()
    adder._writer.close()
    server.stop()
    return sorted(items.values(), key=lambda item: item.observation[declaration.history][-1])


def rows_of(rows, b):
    return jax.tree.map(lambda leaf: leaf[b], rows)


REPLAYS = pytest.mark.parametrize(
    "read", [in_process_items, pytest.param(reverb_items, marks=pytest.mark.distributed)]
)


@REPLAYS
@pytest.mark.parametrize(
    ("history", "size", "period", "length", "actions"),
    [
        # Action t is t + 1; the final row and padding have action 0.
        (2, 3, 1, 4, [[0, 0, 1, 2, 3], [0, 1, 2, 3, 4], [1, 2, 3, 4, 0], [2, 3, 4, 0, 0]]),
        (1, 4, 1, 1, [[0, 1, 0, 0, 0]]),
        (0, 3, 2, 5, [[1, 2, 3], [3, 4, 5], [5, 0, 0]]),
    ],
)
def test_both_replays_hold_the_items(read, history, size, period, length, actions):
    declaration = declare(history=history, sequence_length=size, period=period)
    items = read(declaration, ROW_SPEC, lambda adder: record(adder, 0, 0, length))
    np.testing.assert_array_equal(np.stack([item.action for item in items]), actions)
    np.testing.assert_array_equal(
        np.stack([item.mask for item in items]), (np.array(actions) > 0).astype(np.float32)
    )


@REPLAYS
def test_search_statistics_of_candidates_round_trip(read):
    """Probabilities `[K]` of candidates and their actions `[K, D]`, flat or as one nest."""
    candidates = {
        "actions": specs.Array((3, 2), np.float32, "actions"),
        "probabilities": specs.Array((3,), np.float32, "probabilities"),
    }
    search_value = specs.Array((), np.float32, "search_value")
    spec = row_spec(SPEC, {"search_value": search_value, "candidates": candidates, **candidates})

    def extras(t):
        actions = t + np.arange(6, dtype=np.float32).reshape(3, 2)
        found = {"actions": actions, "probabilities": np.full(3, t + 0.5, np.float32)}
        return {"search_value": np.float32(t), "candidates": found, **found}

    def write(adder):
        adder.add_first(dm_env.restart(np.zeros(3, np.float32)))
        for t in range(3):
            step = dm_env.truncation if t == 2 else dm_env.transition
            timestep = step(1.0, np.full(3, t + 1, np.float32))._replace(discount=np.float32(1))
            adder.add(t, timestep, extras(t), extras(3) if t == 2 else None)

    items = read(declare(history=0, sequence_length=4), spec, write)
    expected = stack([extras(t) for t in range(4)])
    assert_same_nest(items[0].extras, expected)
    np.testing.assert_array_equal(items[1].extras["candidates"]["actions"][3], 0)


def assert_same_nest(actual, expected):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, dict):
            assert_same_nest(actual[name], value)
        else:
            np.testing.assert_array_equal(actual[name], value)
