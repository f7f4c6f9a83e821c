"""Errors of the factory of Gymnasium environments."""

import pytest

from mukoe.environments.gymnasium.factory import make_gymnasium
from mukoe.errors import UserError


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("CartPoel-v1", {}, "no Gymnasium environment 'CartPoel-v1'; did you mean CartPole-v1"),
        ("no_such_module:Some-v0", {}, "no Gymnasium environment 'no_such_module:Some-v0'"),
        ("", {}, "no Gymnasium environment ''|'' cannot be built"),
        (":CartPole-v1", {}, "':CartPole-v1' cannot be built: ValueError: Empty module name"),
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
