"""Errors of the factory of Gymnasium environments."""

import gymnasium
import pytest

from mukoe.environments.gymnasium.factory import make_gymnasium
from mukoe.errors import UserError


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("CartPoel-v1", {}, "no Gymnasium environment 'CartPoel-v1'; did you mean CartPole-v1"),
        (
            "no_such_module:Some-v0",
            {},
            "cannot import Gymnasium environment 'no_such_module:Some-v0': No module named "
            "'no_such_module'; install it, or put it beside the config file",
        ),
        ("json:Some-v0", {}, "no Gymnasium environment 'json:Some-v0'; Gymnasium reports: .*Some"),
        ("json:CartPoel-v1", {}, "environment 'json:CartPoel-v1'; did you mean CartPole-v1"),
        ("", {}, "no Gymnasium environment ''|'' cannot be built"),
        (
            ":CartPole-v1",
            {},
            "cannot import Gymnasium environment ':CartPole-v1': ValueError: Empty module name",
        ),
        ("a:CartPole:v1", {}, "cannot import .*'a:CartPole:v1': No module named 'a:CartPole'"),
        ("CartPole-v1", {"gravitas": 3}, "'CartPole-v1' cannot be built: .*gravitas"),
        ("CartPole-v1", {"name": "x"}, "'CartPole-v1' cannot be built: TypeError: .*name"),
        ("CartPole-v1", {"wrapper": 3}, "'CartPole-v1' cannot be built: TypeError: .*wrapper"),
        ("CartPole-v1", {"max_episode_steps": 0}, "cannot be built: ValueError: .*to be positive"),
        ("FrozenLake-v1", {"map_name": "x"}, "'FrozenLake-v1' cannot be built: KeyError: 'x'"),
    ],
)
def test_errors_are_raised_by_the_factory(name, kwargs, message):
    with pytest.raises(UserError, match=message):
        make_gymnasium(name, **kwargs)


class NeedsPackages(gymnasium.Env):
    """Fails as an environment does whose packages are missing or broken."""

    def __init__(self, failing):
        exec(failing)


@pytest.mark.parametrize(
    ("failing", "message"),
    [
        (
            "import no_such_package.part",
            "'NeedsPackages-v0' needs the package no_such_package, which is not installed: pip "
            "install no_such_package",
        ),
        ("from math import no_such", "cannot be built: ImportError: cannot import name 'no_such'"),
        ("raise OSError('libGL.so.1 not found')", "cannot be built: OSError: libGL.so.1 not"),
        (
            "raise gymnasium.error.DependencyNotInstalled('pip install x')",
            "cannot be built: DependencyNotInstalled: pip install x",
        ),
    ],
)
def test_the_cause_is_shown_if_a_registered_environment_cannot_be_imported(failing, message):
    name = "NeedsPackages-v0"
    gymnasium.register(name, lambda: NeedsPackages(failing))
    try:
        with pytest.raises(UserError, match=message):
            make_gymnasium(name)
    finally:
        del gymnasium.registry[name]


def test_an_error_of_the_registering_module_is_shown(tmp_path, monkeypatch):
    (tmp_path / "registers_with_an_error.py").write_text("import gymnasium\nimport no_such_one\n")
    monkeypatch.syspath_prepend(tmp_path)
    message = (
        r"ModuleNotFoundError: No module named 'no_such_one' \(registers_with_an_error.py line 2"
    )
    with pytest.raises(UserError, match=message):
        make_gymnasium("registers_with_an_error:Some-v0")
