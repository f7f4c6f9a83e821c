import pytest

from mukoe.configuration.registry import Registry
from mukoe.errors import UserError


def test_registered_and_imported_parts():
    registry = Registry("torso", {"mlp": 1})
    registry.register("impala")(2)
    assert (registry["mlp"], registry["impala"]) == (1, 2)
    assert registry.names == ("mlp", "impala")
    import math

    assert registry["math:pi"] is math.pi


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mpl", "unknown torso 'mpl': did you mean mlp"),
        ("xyz", "known are mlp"),
        ("no_such_module:part", "cannot import torso 'no_such_module:part': No module named"),
        ("math:no_such_part", "module math has no attribute 'no_such_part'"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(UserError, match=message):
        Registry("torso", {"mlp": 1})[name]


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="registered twice"):
        Registry("torso", {"mlp": 1}).register("mlp")(2)
