"""Rows written as a Minari data set and read again, here and by `minari` itself."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from dm_env import specs

from mukoe.errors import UserError
from mukoe.networks.action_space import make_action_space
from mukoe.networks.distributions import GaussianConfig
from mukoe.replay.datasets.reader import open_dataset
from mukoe.replay.datasets.writer import DatasetWriter
from mukoe.types import EnvironmentSpec, MaskedObservation, ProductArray, Row

minari = pytest.importorskip("minari")
h5py = pytest.importorskip("h5py")

FLOATS = specs.Array((4,), np.float32)
CHOICES = specs.DiscreteArray(3)
BOX = specs.BoundedArray((2,), np.float32, -1.0, 1.0)
ACTIONS = {
    "choices": CHOICES,
    "box": BOX,
    "product": ProductArray((3, 0, 2)),
    "product of choices": ProductArray((101, 100, 3)),
}
OBSERVATIONS = {
    "floats": FLOATS,
    "scalar part": {"a": specs.Array((1,), np.float32), "b": specs.Array((2, 2), np.int32)},
    "gray frame": specs.BoundedArray((36, 40, 1), np.uint8, 0, 255),
    "colour frame": specs.BoundedArray((40, 36, 3), np.uint8, 0, 255),
    "small frame": specs.BoundedArray((10, 10, 4), np.uint8, 0, 255),
    "bytes": specs.BoundedArray((5,), np.uint8, 0, 255),
    "planes": specs.Array((3, 3, 2), bool),
    "masked": MaskedObservation(specs.Array((3, 3, 2), bool), specs.Array((3,), bool)),
    "masked parts": MaskedObservation(
        {"x": FLOATS, "y": specs.Array((2,), np.int32)}, specs.Array((3,), bool)
    ),
}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    return tmp_path / "datasets"


def environment_spec(observations=FLOATS, actions=CHOICES, smallest_discount=0.0):
    discounts = specs.BoundedArray((), np.float32, smallest_discount, 1.0)
    return EnvironmentSpec(observations, actions, specs.Array((), np.float32), discounts)


def episode(spec, length, seed=0, last_discount=0.0, extras=True):
    """Random rows `[length + 1, ...]`."""
    random = np.random.default_rng(seed)

    def draw(array):
        shape = (length + 1, *array.shape)
        if np.dtype(array.dtype).kind == "f":
            return random.standard_normal(shape).astype(array.dtype)
        return random.integers(0, 2 if array.dtype == bool else 200, shape).astype(array.dtype)

    acted = np.arange(length + 1) < length
    discount = random.choice([1.0, float(spec.discounts.minimum) or 1.0], length + 1)
    discount[length - 1] = last_discount
    if isinstance(spec.actions, specs.DiscreteArray):
        action = (random.integers(0, spec.actions.num_values, length + 1) * acted).astype(np.int32)
    else:
        space = make_action_space(spec, GaussianConfig())
        drawn = space.uniform(jax.random.PRNGKey(seed), (length + 1,))
        action = np.asarray(drawn) * acted[:, None].astype(np.float32)
    stored = {
        "search_policy": random.random((length + 1, 3)).astype(np.float32),
        "search_value": random.random(length + 1).astype(np.float32),
    }
    return Row(
        observation=jax.tree.map(draw, spec.observations),
        action=action.astype(action.dtype),
        reward=(random.standard_normal(length + 1) * acted).astype(np.float32),
        discount=(discount * acted).astype(np.float32),
        mask=acted.astype(np.float32),
        extras=stored if extras else {},
    )


def write(spec, episodes, name="test/rows-v0"):
    with DatasetWriter(name, spec, {}) as writer:
        for rows in episodes:
            writer.write(rows)


def assert_equal(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("kind", OBSERVATIONS)
def test_rows_come_back_exactly(kind, actions):
    spec = environment_spec(OBSERVATIONS[kind], ACTIONS[actions])
    rows = [episode(spec, 5), episode(spec, 1, seed=1, last_discount=1.0)]
    write(spec, rows)
    dataset = open_dataset("test/rows-v0", spec)
    assert dataset.environment_spec.actions == spec.actions
    assert dataset.raw.num_episodes == 2
    for found, expected in zip(dataset.episodes(), rows, strict=True):
        assert_equal(found, expected)
    plain = minari.load_dataset("test/rows-v0")
    assert plain.total_steps == 6
    for found, expected in zip(plain.iterate_episodes(), rows, strict=True):
        np.testing.assert_array_equal(found.actions, expected.action[:-1])
        np.testing.assert_array_equal(found.rewards, expected.reward[:-1])
        assert found.terminations[-1] == (expected.discount[-2] == 0)
        assert found.truncations[-1] == (expected.discount[-2] != 0)
        assert plain.observation_space.contains(_at(found.observations, 0))


def _at(observations, t):
    if isinstance(observations, dict):
        return {key: _at(part, t) for key, part in observations.items()}
    return observations[t]


def test_turns_of_two_players_come_back():
    spec = environment_spec(OBSERVATIONS["masked"], smallest_discount=-1.0)
    rows = [episode(spec, 9)]
    assert (rows[0].discount == -1).any()
    write(spec, rows)
    dataset = open_dataset("test/rows-v0", spec)
    assert dataset.environment_spec.discounts.minimum == -1
    assert_equal(next(dataset.episodes()), rows[0])


def test_frames_are_plain_pictures_for_minari():
    spec = environment_spec(OBSERVATIONS["gray frame"])
    rows = episode(spec, 3)
    write(spec, [rows])
    (found,) = minari.load_dataset("test/rows-v0").iterate_episodes()
    np.testing.assert_array_equal(found.observations, rows.observation[..., 0])


def test_nothing_is_left_of_a_recording_that_fails(root):
    spec = environment_spec()
    writer = DatasetWriter("test/rows-v0", spec, {})
    with pytest.raises(RuntimeError, match="interrupted"), writer:
        writer.write(episode(spec, 3))
        raise RuntimeError("interrupted")
    assert not [path for path in root.rglob("*") if path.is_file()]
    assert not list(root.glob("test/.*"))


def test_neither_a_name_is_used_twice_nor_a_data_set_without_episodes_written(root):
    spec = environment_spec()
    with pytest.raises(UserError, match="no complete episode for data set 'test/rows-v0'"):
        write(spec, [])
    write(spec, [episode(spec, 2)])
    with pytest.raises(UserError, match="there is a data set 'test/rows-v0' already, in "):
        write(spec, [episode(spec, 2)])
    with pytest.raises(UserError, match="have 6 channels, and Minari stores pictures of at most 4"):
        write(environment_spec(specs.Array((64, 64, 6), np.uint8)), [], "test/other-v0")
    assert [path.name for path in root.glob("test/*")] == ["rows-v0"]


@pytest.mark.parametrize("failing", ["File", "Group"])
def test_a_full_disk_is_one_line_and_nothing_is_left(root, monkeypatch, failing):
    def fail(*args, **kwargs):
        raise OSError("no space left on device")

    if failing == "File":
        monkeypatch.setattr(h5py, "File", fail)
    else:
        monkeypatch.setattr(h5py.Group, "create_dataset", fail)
    with pytest.raises(UserError, match="cannot be written: no space left on device"):
        write(environment_spec(), [episode(environment_spec(), 3)])
    assert not [path for path in root.rglob("*") if path.is_file()]
    assert not list(root.glob("test/.*"))


INTERRUPTED = """
import os, signal, time
from mukoe.terminal import interruption
interruption.exit_on_interrupt()
import numpy as np
from dm_env import specs
from mukoe.replay.datasets.writer import DatasetWriter
from mukoe.types import EnvironmentSpec, Row

spec = EnvironmentSpec(
    specs.Array((4,), np.float32), specs.DiscreteArray(3), specs.Array((), np.float32),
    specs.BoundedArray((), np.float32, 0.0, 1.0),
)
zeros = np.zeros(3, np.float32)
rows = Row(np.zeros((3, 4), np.float32), np.zeros(3, np.int32), zeros, zeros, zeros, {})

def receive(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)
        time.sleep(0.2)
    time.sleep(30)
"""


@pytest.mark.parametrize(
    "source, status, line",
    [
        (
            "with interruption.collected_signals(), DatasetWriter('a-v0', spec, {}) as writer:\n"
            "    writer.write(rows)\n"
            "    receive(signal.SIGINT, signal.SIGINT)\n",
            130,
            "interrupted again: exits without a last checkpoint\n",
        ),
        (
            "with DatasetWriter('a-v0', spec, {}) as writer:\n    receive(signal.SIGINT)\n",
            130,
            "interrupted\n",
        ),
        (
            "with DatasetWriter('a-v0', spec, {}) as writer:\n    receive(signal.SIGTERM)\n",
            143,
            "terminated\n",
        ),
    ],
    ids=["second Ctrl-C of a recording", "Ctrl-C of a conversion", "SIGTERM of a conversion"],
)
def test_an_exit_at_once_leaves_nothing(root, source, status, line):
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", INTERRUPTED + source],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (process.returncode, process.stderr) == (status, line)
    assert not list(root.iterdir())
