"""MiniGrid: names as typed, grids of choices, missions of words."""

import importlib.util
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from mukoe.configuration.cli import load_config_file
from mukoe.environments.gymnasium import names
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.gymnasium.factory import make_gymnasium
from mukoe.environments.gymnasium.minigrid import WORDS, is_minigrid
from mukoe.environments.registry import list_environments, named_environment
from mukoe.errors import UserError
from mukoe.types import ChoiceImage, TokenArray

CONFIGS = Path(__file__).parents[3] / "configs"
needs_minigrid = pytest.mark.skipif(
    importlib.util.find_spec("minigrid") is None, reason="needs the extra minigrid"
)


def test_a_name_of_an_installed_package_works_as_typed(tmp_path, monkeypatch):
    (tmp_path / "registers_a_corridor.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Corridors-v0', 'gymnasium.envs.classic_control:CartPoleEnv')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(names._MODULES, "Corridors-", "registers_a_corridor")
    config = named_environment("Corridors-v0")
    assert config == GymnasiumConfig("registers_a_corridor:Corridors-v0")
    make_gymnasium("Corridors-v0")(0, 1, False).close()
    with pytest.raises(UserError, match="no environment 'Corridors-v7'"):
        named_environment("Corridors-v7")


def test_the_names_of_installed_packages_are_listed(tmp_path, monkeypatch):
    (tmp_path / "registers_a_tunnel.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Tunnels-v0', 'gymnasium.envs.classic_control:CartPoleEnv')\n"
    )
    (tmp_path / "cannot_be_imported.py").write_text("raise RuntimeError\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(names._MODULES, "Tunnels-", "registers_a_tunnel")
    monkeypatch.setitem(names._MODULES, "Broken-", "cannot_be_imported")
    names._import_packages.cache_clear()
    try:
        assert [row.name for row in list_environments("tunnels")] == ["Tunnels-v0"]
        with pytest.raises(UserError, match="did you mean Tunnels-v0"):
            named_environment("tunnel-v0")
    finally:
        del gymnasium.registry["Tunnels-v0"]


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(names._MODULES, "Corridors-", "no_such_package_of_corridors")
    message = "no_such_package_of_corridors, which registers it, is not installed: pip install"
    with pytest.raises(UserError, match=message):
        named_environment("Corridors-v1")
    with pytest.raises(UserError, match=message):
        make_gymnasium("Corridors-v1")


def test_words():
    assert len(set(WORDS)) == len(WORDS)
    assert not is_minigrid(gymnasium.make("CartPole-v1"))


@needs_minigrid
def test_an_own_environment_on_minigrid_needs_no_name_of_it(tmp_path, monkeypatch):
    (tmp_path / "registers_a_maze.py").write_text(
        "import gymnasium\n"
        "from minigrid.envs import EmptyEnv\n"
        "class Maze(EmptyEnv):\n"
        "    pass\n"
        "gymnasium.register('Maze-v0', Maze)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    vector = named_environment("registers_a_maze:Maze-v0").make_factory()(0, 1, False)
    assert isinstance(vector.spec.observations["image"], ChoiceImage)
    assert vector.spec.observations["mission"].num_values == len(WORDS) + 2
    vector.close()


@needs_minigrid
@pytest.mark.parametrize("name", ["MiniGrid-Empty-8x8-v0", "BabyAI-GoToRedBall-v0"])
def test_grids_are_choices_and_missions_are_words(name):
    vector = named_environment(name).make_factory()(3, 2, False)
    spec = vector.spec.observations
    assert isinstance(spec["image"], ChoiceImage) and spec["image"].choices == (11, 6, 4)
    assert isinstance(spec["mission"], TokenArray)
    observation = vector.reset().observation
    native = vector.environments[0].native.unwrapped
    words = [WORDS[token - 2] for token in observation["mission"][0] if token > 0]
    assert " ".join(words) == native.mission
    for _ in range(20):
        observation = vector.step(np.full(2, 2, np.int32)).observation
    view = native.gen_obs()["image"]
    np.testing.assert_array_equal(observation["image"][0], view)
    vector.close()


@needs_minigrid
@pytest.mark.parametrize("path", sorted(CONFIGS.glob("minigrid_*.py")), ids=lambda path: path.stem)
def test_configs_make_networks(path):
    config = load_config_file(str(path))
    vector = config.environment.make_factory()(0, 1, False)
    config.agent.make_builder().make_networks(vector.spec)
    vector.close()
