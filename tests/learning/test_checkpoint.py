"""Checkpoints: bit for bit, kept apart, never torn, and readable after damage."""

import os
import signal
import subprocess
import sys
import threading
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mukoe.errors import UserError
from mukoe.learning.checkpoint import Checkpointer
from mukoe.observability import install_handler

install_handler()


class State(NamedTuple):
    params: dict
    optimiser: tuple
    key: jax.Array
    steps: int


def make_state(scale=1.0):
    params = {
        "torso/~/linear": {"w": scale * jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(3) / 3},
        "head.0": {"w": jnp.full((3,), scale / 7, jnp.bfloat16)},
    }
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))
    state = optimiser.init(params)
    _, state = optimiser.update(params, state, params)
    return State(params, state, jax.random.PRNGKey(7), 12)


def bits(leaf):
    if jnp.issubdtype(getattr(leaf, "dtype", np.float32), jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    return str(array.dtype), array.shape, array.tobytes()


def assert_same(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for expected, got in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert bits(expected) == bits(got)


@pytest.fixture
def saved(tmp_path):
    """A directory with checkpoints 10 and 20."""
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(10, make_state(1.0), {"frames": 100})
    checkpointer.save(20, make_state(2.0), {"frames": 200})
    assert checkpointer.close()
    return tmp_path


def damage(directory):
    """Cuts the largest file of a checkpoint short."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)


def test_restores_bit_for_bit(saved, capfd):
    state, metadata = Checkpointer(saved).restore(make_state(0.0))
    assert_same(state, make_state(2.0))
    assert metadata == {"frames": 200}
    assert isinstance(state, State)
    assert isinstance(state.params["head.0"]["w"], jax.Array)
    assert type(state.steps) is int
    older, metadata = Checkpointer(saved).restore(make_state(0.0), step=10)
    assert_same(older, make_state(1.0))
    assert metadata == {"frames": 100}
    assert capfd.readouterr() == ("", "")


def test_every_kind_of_leaf(tmp_path):
    nan = np.array([0x7FC00001, 0x80000000], np.uint32).view(np.float32)  # a payload, and -0
    state = {
        "typed key": jax.random.split(jax.random.key(3), 2),
        "rbg key": jax.random.key(3, impl="rbg"),
        "raw key": jax.random.PRNGKey(3),
        "uint8": jnp.arange(5, dtype=jnp.uint8),
        "bool": jnp.array([True, False]),
        "nan": jnp.asarray(nan),
        "float64": np.arange(3) / 3,
        "uint64": np.uint64(2**63 + 5),
        "numpy scalar array": np.array(4, np.int16),
        "empty": jnp.zeros((0, 3)),
        "int": 2**40,
        "float": 0.1,
        "flag": True,
        "none": None,
        "nothing": (),
    }
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(1, state)
    restored, _ = checkpointer.restore(state)
    assert_same(restored, state)
    for name in state:
        assert type(restored[name]) is type(state[name]), name
    assert jax.random.key_impl(restored["rbg key"]) == jax.random.key_impl(state["rbg key"])
    drawn = jax.random.uniform(restored["typed key"][1])
    assert drawn == jax.random.uniform(state["typed key"][1])


def test_abstract_trees_and_parts(saved):
    like = jax.eval_shape(lambda: make_state()._replace(steps=0))._replace(
        optimiser=None, key=None, steps=None
    )
    state, _ = Checkpointer(saved).restore(like, partial=True)
    assert_same(state.params, make_state(2.0).params)
    with pytest.raises(UserError, match=r"has \.optimiser"):
        Checkpointer(saved).restore(like)


def test_sharding_of_like_is_followed(saved):
    device = jax.devices()[-1]
    like = jax.device_put(make_state()._replace(steps=0), device)
    like = like._replace(steps=0)
    state, _ = Checkpointer(saved).restore(like)
    assert state.params["head.0"]["w"].devices() == {device}


def test_state_may_be_donated_after_save(tmp_path):
    update = jax.jit(lambda x: x * 0.0 - 1.0, donate_argnums=0)
    array = jnp.arange(100_000.0)
    numbers = np.arange(5)
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(1, {"array": array, "numbers": numbers})
    numbers[:] = -1
    jax.block_until_ready(update(array))
    like = {"array": jnp.zeros(100_000), "numbers": numbers}
    state, _ = checkpointer.restore(like)
    np.testing.assert_array_equal(state["array"], np.arange(100_000.0))
    np.testing.assert_array_equal(state["numbers"], np.arange(5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.params.update({"head.0": {"w": jnp.zeros((4,), jnp.bfloat16)}}),
            r"head\.0.*is bfloat16\[3\], expected bfloat16\[4\]",
        ),
        (
            lambda s: s.params.update({"head.0": {"w": jnp.zeros((3,))}}),
            r"is bfloat16\[3\], expected float32\[3\]",
        ),
        (lambda s: s.params.update({"head.1": jnp.zeros(1)}), r"has no .*head\.1"),
        (lambda s: s.params.pop("head.0"), r"has .*head\.0.*, which this agent does not have"),
    ],
)
def test_mismatch_names_the_leaf(saved, change, message):
    like = make_state()
    change(like)
    with pytest.raises(UserError, match=message) as caught:
        Checkpointer(saved).restore(like)
    assert "\n" not in str(caught.value)


def test_nothing_to_restore(tmp_path):
    checkpointer = Checkpointer(tmp_path / "none")
    assert checkpointer.latest_step() is None
    assert checkpointer.best_score() is None
    with pytest.raises(UserError, match="there is no checkpoint in"):
        checkpointer.restore(make_state())
    assert not (tmp_path / "none").exists()
    assert checkpointer.close()


def test_unknown_step(saved):
    with pytest.raises(UserError, match="has no checkpoint 15; it has 10, 20"):
        Checkpointer(saved).restore(make_state(), step=15)


def test_keeps_the_newest(tmp_path):
    checkpointer = Checkpointer(tmp_path, keep=2)
    for step in (1, 2, 3, 4):
        checkpointer.save(step, {"x": step})
    checkpointer.wait()
    assert checkpointer.steps() == [3, 4]
    assert sorted(os.listdir(tmp_path / "latest")) == ["3", "4"]


def test_going_back_behind_later_checkpoints(saved):
    checkpointer = Checkpointer(saved)
    checkpointer.save(15, make_state(15.0))
    checkpointer.wait()
    assert checkpointer.steps() == [10, 15]
    checkpointer.save(15, make_state(16.0))
    assert_same(checkpointer.restore(make_state())[0], make_state(16.0))


def test_best_is_kept_apart(saved):
    checkpointer = Checkpointer(saved)
    assert checkpointer.save_best(5, make_state(5.0), -3.0)
    assert not checkpointer.save_best(6, make_state(6.0), -3.0)
    assert not checkpointer.save_best(6, make_state(6.0), float("nan"))
    assert checkpointer.best_score() == -3.0
    assert checkpointer.save_best(7, make_state(7.0), 1.5, {"episodes": 10})
    assert checkpointer.close()
    again = Checkpointer(saved)
    assert os.listdir(saved / "best") == ["7"]
    assert (again.best_score(), again.latest_step()) == (1.5, 20)
    assert not again.save_best(8, make_state(8.0), 1.0)
    state, metadata = again.restore(make_state(), best=True)
    assert_same(state, make_state(7.0))
    assert metadata == {"episodes": 10, "score": 1.5}
    assert os.listdir(saved / "best") == ["7"]


@pytest.mark.faults
def test_damaged_newest_falls_back(saved, capsys):
    damage(saved / "latest" / "20")
    state, metadata = Checkpointer(saved).restore(make_state())
    assert_same(state, make_state(1.0))
    assert metadata == {"frames": 100}
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "latest/20 is damaged" in error
    with pytest.raises(UserError, match=r"can be read \(tried 20\)"):
        Checkpointer(saved).restore(make_state(), step=20)


@pytest.mark.faults
def test_a_flipped_bit_is_noticed(tmp_path, capsys):
    checkpointer = Checkpointer(tmp_path)
    for step in (1, 2):
        checkpointer.save(step, {"x": _noise(step)})
    checkpointer.wait()
    files = [path for path in (tmp_path / "latest" / "2" / "arrays").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    state, _ = checkpointer.restore({"x": _noise(0)})
    np.testing.assert_array_equal(state["x"], _noise(1))
    assert "damaged" in capsys.readouterr().err


def _noise(seed):
    return np.random.default_rng(seed).integers(0, 2**32, 20_000, dtype=np.uint32)


@pytest.mark.faults
def test_all_damaged(saved, capsys):
    damage(saved / "latest" / "10")
    damage(saved / "latest" / "20")
    with pytest.raises(UserError, match=r"can be read \(tried 10, 20\)"):
        Checkpointer(saved).restore(make_state())
    assert capsys.readouterr().err.count("is damaged") == 2


@pytest.mark.faults
def test_a_save_that_fails_warns_and_the_next_one_succeeds(tmp_path, capsys):
    (tmp_path / "latest").write_text("in the way")
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(1, {"x": 1})
    assert "latest/1 could not be written" in capsys.readouterr().err
    (tmp_path / "latest").unlink()
    checkpointer.save(2, {"x": 2})
    assert checkpointer.restore({"x": 0})[0] == {"x": 2}


def test_works_from_several_threads(tmp_path):
    checkpointer = Checkpointer(tmp_path, keep=10)
    failures = []

    def work(step):
        try:
            checkpointer.save(step, make_state(float(step)))
            checkpointer.restore(make_state(), step=step)
        except UserError as error:  # removed by a save of a lower step
            if "has no checkpoint" not in str(error):
                failures.append(error)

    threads = [threading.Thread(target=work, args=(step,)) for step in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not failures
    assert checkpointer.close()
    assert checkpointer.latest_step() is not None


@pytest.mark.faults
def test_close_does_not_wait_for_ever(tmp_path, capsys, monkeypatch):
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(1, {"x": 1})
    checkpointer.wait()
    release = threading.Event()
    monkeypatch.setattr(checkpointer._latest, "settle", lambda: release.wait(30))
    start = time.monotonic()
    assert not checkpointer.close(timeout=0.2)
    assert time.monotonic() - start < 5
    assert "not written within" in capsys.readouterr().err
    release.set()


_SAVER = """
import sys
import numpy as np
from mukoe.learning.checkpoint import Checkpointer
checkpointer = Checkpointer(sys.argv[1], keep=2)
noise = np.random.default_rng(0).integers(0, 2**32, 4_000_000, dtype=np.uint32)
for step in range(1, 10_000):
    print(step, flush=True)
    checkpointer.save(step, {"step": step, "noise": noise})
"""


@pytest.mark.faults
def test_saves_of_two_threads_do_not_mix(tmp_path, caplog):
    """Learner and evaluator save at the same time."""
    checkpointer, saves = Checkpointer(tmp_path), 25
    state = {"a": np.arange(100.0), "b": np.ones(3)}
    threads = [
        threading.Thread(
            target=lambda: [checkpointer.save(i, state) for i in range(saves)], daemon=True
        ),
        threading.Thread(
            target=lambda: [checkpointer.save_best(i, state, float(i)) for i in range(saves)],
            daemon=True,
        ),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    checkpointer.wait()
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    for best in (False, True):
        restored, _ = checkpointer.restore(state, best=best)
        assert_same(restored, state)
    assert checkpointer.latest_step() == checkpointer.best_score() == saves - 1


def test_killed_in_the_middle_of_a_save(tmp_path):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    like = {"step": 0, "noise": np.zeros(4_000_000, np.uint32)}
    for delay in (0.01, 0.1):
        with subprocess.Popen(
            [sys.executable, "-c", _SAVER, tmp_path], stdout=subprocess.PIPE, env=environment
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) == 4:
                    time.sleep(delay)
                    process.send_signal(signal.SIGKILL)
                    break
            process.wait(timeout=30)
        checkpointer = Checkpointer(tmp_path, keep=2)
        state, _ = checkpointer.restore(like)
        assert state["step"] >= 2
        assert state["step"] == checkpointer.latest_step(), "what is there is whole"
        noise = np.random.default_rng(0).integers(0, 2**32, 4_000_000, dtype=np.uint32)
        np.testing.assert_array_equal(state["noise"], noise)
        checkpointer.save(state["step"] + 1, state)
        assert checkpointer.close()
        left = sorted(os.listdir(tmp_path / "latest"))
        assert all(name.isdecimal() for name in left), left


_FULL_DISK = """
import resource, sys
import numpy as np
from mukoe.learning.checkpoint import Checkpointer
from mukoe.observability import install_handler

def noise(step):
    return np.random.default_rng(step).integers(0, 2**32, 100_000, dtype=np.uint32)

install_handler()
checkpointer = Checkpointer(sys.argv[1])
checkpointer.save(1, {"x": noise(1)})
checkpointer.wait()
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
checkpointer.save(2, {"x": noise(2)})
assert not checkpointer.close()
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
state, _ = checkpointer.restore({"x": noise(0)})
np.testing.assert_array_equal(state["x"], noise(1))
checkpointer.save(3, {"x": noise(3)})
assert checkpointer.close()
assert checkpointer.steps() == [1, 3], checkpointer.steps()
"""


@pytest.mark.faults
def test_a_disk_that_is_full_leaves_the_checkpoint_before(tmp_path):
    """Files that may not grow stand for the disk: a write fails in the middle in both cases."""
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, tmp_path],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1 and warnings[0].endswith("could not be written: File too large")
    assert "latest/2 could" in warnings[0] and "Traceback" not in done.stderr
    assert sorted(os.listdir(tmp_path / "latest")) == ["1", "3"]


def test_a_run_is_kept_beside_the_learner(tmp_path):
    checkpointer = Checkpointer(tmp_path)
    assert checkpointer.restore_run(make_state()) is None
    parts = {"replay/rows": np.arange(5), "empty": np.zeros((0, 2)), "scalar": np.array(1.5)}
    checkpointer.save_run(7, make_state(2.0), parts, {"frames": 3})
    state, restored, metadata = checkpointer.restore_run(make_state())
    assert_same(state, make_state(2.0))
    assert restored.keys() == parts.keys() and metadata == {"frames": 3}
    for name, part in parts.items():
        np.testing.assert_array_equal(restored[name], part)
    assert checkpointer.latest_step() is None
    checkpointer.remove_runs()
    assert checkpointer.restore_run(make_state()) is None


@pytest.mark.faults
def test_runs_that_are_all_damaged_count_as_none(tmp_path, capsys):
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save_run(7, make_state(), {"rows": np.arange(1000)}, {})
    checkpointer.wait()
    damage(tmp_path / "run" / "7")
    assert checkpointer.restore_run(make_state()) is None
    assert "resuming from the learner's checkpoint" in capsys.readouterr().err
