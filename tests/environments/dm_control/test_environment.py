"""Tasks of the DeepMind Control Suite, beside the suite itself."""

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("dm_control")

from mukoe.environments.dm_control.config import DmControlConfig
from mukoe.environments.dm_control.environment import DmControlEnvironment
from mukoe.environments.dm_control.names import TASKS
from mukoe.environments.headless_rendering import choose_backend
from mukoe.environments.spec_checks import check_spec
from mukoe.environments.vector import environment_seed
from mukoe.errors import UserError
from mukoe.layouts.common.default_config import default_config

CAN_RENDER = choose_backend() != "disabled"

from dm_control import suite  # noqa: E402  reads the chosen backend


def native(task, seed):
    domain, _, name = task.partition("-")
    return suite.load(domain, name, task_kwargs={"random": seed})


def flat(timestep):
    return np.concatenate([np.ravel(x) for x in timestep.observation.values()]).astype(np.float32)


def test_the_names_are_those_of_the_suite():
    names = {f"{domain}-{task}" for domain, task in suite.ALL_TASKS}
    assert set(TASKS) == {name for name in names if not name.startswith("lqr")}


@pytest.mark.parametrize("task", ["cartpole-swingup", "finger-turn_easy", "stacker-stack_2"])
@pytest.mark.parametrize("action_repeat", [1, 3])
def test_time_steps_are_those_of_the_suite(task, action_repeat):
    vector = DmControlConfig(task, action_repeat).make_factory()(7, 2, False)
    check_spec(vector.spec, task)
    tasks = [native(task, environment_seed(7, index, False)) for index in range(2)]
    timestep = vector.reset()
    np.testing.assert_array_equal(timestep.observation, [flat(each.reset()) for each in tasks])
    random = np.random.default_rng(0)
    for _ in range(4):
        actions = random.uniform(-1, 1, (2, *vector.spec.actions.shape)).astype(np.float32)
        timestep = vector.step(actions)
        for index, each in enumerate(tasks):
            expected = [each.step(actions[index]) for _ in range(action_repeat)]
            np.testing.assert_array_equal(timestep.observation[index], flat(expected[-1]))
            rewards = np.float32(sum(step.reward for step in expected))
            np.testing.assert_array_equal(timestep.reward[index], rewards)
    vector.close()


def test_the_default_config_knows_the_largest_reward():
    """Random actions leave the pole hanging, with rewards near 0; upright it is 1."""
    config = default_config(DmControlConfig("cartpole-swingup", action_repeat=2))
    assert config.agent.loss.reward_scale == 0.5
    assert config.agent.network.torso == "tanh_mlp"


def test_the_time_limit_is_a_truncation_after_1000_control_steps():
    vector = DmControlConfig("pendulum-swingup", action_repeat=7).make_factory()(0, 1, True)
    vector.reset()
    timesteps = [vector.step(np.zeros((1, 1), np.float32)) for _ in range(143)]
    assert not any(timestep.last() for timestep in timesteps[:-1])
    assert timesteps[-1].last() and timesteps[-1].discount == 1.0
    (result,) = vector.finished_episodes()
    assert (result.length, result.frames) == (143, 1001)
    assert vector.step(np.zeros((1, 1), np.float32)).first()
    vector.close()


def test_the_models_of_the_suite_warn_of_nothing(caplog):
    """Cheetah has an attribute that MuJoCo has deprecated."""
    DmControlConfig("cheetah-run").make_factory()(0, 1, False).close()
    assert not caplog.records


def test_a_simulation_that_diverges_ends_the_episode_and_not_the_run(caplog):
    vector = DmControlConfig("cartpole-swingup").make_factory()(0, 1, False)
    vector.reset()
    action = np.zeros((1, 1), np.float32)
    before = vector.step(action).observation
    vector.environments[0]._environment.physics.data.qvel[:] = np.nan
    timestep = vector.step(action)
    assert timestep.last() and timestep.discount == 0.0 and timestep.reward == 0.0
    np.testing.assert_array_equal(timestep.observation, before)
    assert caplog.text.count("'cartpole-swingup' has diverged") == 1
    assert vector.step(action).first() and not vector.step(action).last()
    vector.close()


def test_actions_reach_exactly_the_bounds_of_a_task():
    """Quadruped has bounds of its own per actuator, some from -1 to 1.1."""
    task = native("quadruped-walk", 0)
    environment = DmControlEnvironment(task, DmControlConfig("quadruped-walk"))
    bounds, ones = task.action_spec(), np.ones(12, np.float32)
    assert len(set(bounds.maximum)) > 1
    for action, expected in ((ones, bounds.maximum), (-ones, bounds.minimum)):
        np.testing.assert_array_equal(environment.decode_action(action), expected)
        np.testing.assert_array_equal(environment.decode_action(2 * action), expected)
    middle = (bounds.minimum + bounds.maximum) / 2
    np.testing.assert_allclose(environment.decode_action(0 * ones), middle, atol=1e-12)
    third = np.float32(1 / 3)
    exact = environment.decode_action(third * ones)[(bounds.maximum == 1) & (bounds.minimum == -1)]
    np.testing.assert_array_equal(exact, np.float64(third))
    environment.close()


@pytest.mark.skipif(not CAN_RENDER, reason="no OpenGL")
def test_pixels_are_pictures_of_the_camera():
    config = DmControlConfig("cartpole-swingup", pixels=True, height=32, width=48, camera=1)
    vector = config.make_factory()(3, 1, False)
    assert vector.spec.observations.shape == (32, 48, 3)
    picture = vector.reset().observation[0]
    task = native("cartpole-swingup", environment_seed(3, 0, False))
    task.reset()
    np.testing.assert_array_equal(picture, task.physics.render(32, 48, camera_id=1))
    assert picture.std() > 5
    moved = vector.step(np.ones((1, 1), np.float32)).observation[0]
    assert (moved != picture).any()
    vector.close()


@pytest.mark.skipif(not CAN_RENDER, reason="no OpenGL")
def test_a_task_with_features_is_drawn_for_videos():
    vector = DmControlConfig("walker-walk").make_factory()(3, 1, False)
    vector.reset()
    assert vector.render().shape == (480, 480, 3) and vector.render().dtype == np.uint8
    vector.close()


def test_a_suite_that_cannot_be_imported_is_reported_in_one_line():
    """dm_control refuses the backend when it is imported."""
    code = (
        "from mukoe.environments.dm_control.config import DmControlConfig\n"
        "from mukoe.errors import UserError\n"
        "try: DmControlConfig('cheetah-run').make_factory()(0, 1, False)\n"
        "except UserError as error: print(error)\n"
    )
    environment = {**os.environ, "MUJOCO_GL": "banana"}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert result.stdout.startswith("dm_control cannot be imported, with MUJOCO_GL=banana: ")
    assert len(result.stdout.splitlines()) == 1 and "Traceback" not in result.stderr


@pytest.mark.skipif(not CAN_RENDER, reason="no OpenGL")
def test_environments_are_drawn_and_closed_by_any_thread():
    """An OpenGL context of one thread cannot be used by another, not even at the exit."""
    code = (
        "import threading\n"
        "from mukoe.environments.dm_control.config import DmControlConfig\n"
        "factory = DmControlConfig('cartpole-swingup').make_factory()\n"
        "vectors = [factory(seed, 1, False) for seed in range(2)]\n"
        "def draw(): [vector.reset() and vector.render() for vector in vectors]\n"
        "threads = [threading.Thread(target=draw) for _ in range(2)]\n"
        "for thread in threads: thread.start(); thread.join()\n"
        "draw()\n"
        "vectors[0].close()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.skipif(not CAN_RENDER, reason="no OpenGL")
def test_a_camera_that_does_not_exist_is_named():
    config = DmControlConfig("cartpole-swingup", pixels=True, camera=2)
    with pytest.raises(UserError, match="has 2 cameras: environment.camera must be at most 1"):
        config.make_factory()


def test_without_opengl_features_work_and_pixels_are_refused_in_one_line(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    vector = DmControlConfig("cartpole-swingup").make_factory()(0, 1, False)
    assert vector.reset().observation.shape == (1, 5)
    with pytest.raises(UserError, match="neither EGL nor OSMesa works here") as error:
        vector.render()
    vector.close()
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="--config.environment.pixels=false"):
        DmControlConfig("cartpole-swingup", pixels=True).make_factory()
