"""Names of dm_control tasks as users type them."""

import pytest

from mukoe.environments.dm_control import names
from mukoe.environments.dm_control.config import DmControlConfig
from mukoe.environments.registry import list_environments, named_environment
from mukoe.errors import UserError


def test_a_typed_name_selects_the_task_and_keeps_the_other_fields():
    assert named_environment("dm_control:cheetah-run") == DmControlConfig("cheetah-run")
    config = DmControlConfig("cartpole-swingup", action_repeat=4)
    assert named_environment("dm_control:cheetah-run", config) == DmControlConfig("cheetah-run", 4)


def test_every_listed_name_is_found():
    rows = list_environments("dm_control")
    assert {"dm_control:cartpole-swingup", "dm_control:humanoid_CMU-run"} <= {r.name for r in rows}
    for row in rows:
        assert f"dm_control:{named_environment(row.name).task}" == row.name


@pytest.mark.parametrize(
    "typed, expected",
    [
        ("dm_control:cartpole_swingup", "dm_control:cartpole-swingup"),
        ("dm_control:cartpole-swing", "dm_control:cartpole-swingup"),
        ("dm_control:chetah-run", "dm_control:cheetah-run"),
        ("dm_control:cheetah", "dm_control:cheetah-run"),
        ("cartpole-swingup", "dm_control:cartpole-swingup (dm_control)"),
        ("cheetah-run", "dm_control:cheetah-run (dm_control)"),
        ("dm_control:lqr-lqr_2_1", "no name is similar"),
    ],
)
def test_misspelt_names_are_answered_with_similar_ones(typed, expected):
    with pytest.raises(UserError) as error:
        named_environment(typed)
    assert expected in str(error.value) and "\n" not in str(error.value)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(names, "is_installed", lambda: False)
    with pytest.raises(UserError, match=r"pip install 'mukoe\[control\]'"):
        DmControlConfig("cheetah-run").make_factory()
