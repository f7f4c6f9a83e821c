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


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("from math import no_such", "ImportError: cannot import name 'no_such' from 'math'"),
        ("import math\nmath.no_such()", "AttributeError: module 'math' has no attribute"),
        ("x = (", "SyntaxError: '(' was never closed"),
        ("raise KeyError('cart\\nhorse')", "KeyError: 'cart"),
    ],
)
def test_an_error_of_the_imported_module_is_shown_with_its_line(text, cause, tmp_path, monkeypatch):
    (tmp_path / "module_with_an_error.py").write_text(f"\n{text}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError) as error:
        Registry("torso", {})["module_with_an_error:part"]
    message = str(error.value)
    assert message.startswith("cannot import torso 'module_with_an_error:part': ")
    assert cause in message and "\n" not in message
    assert f"(module_with_an_error.py line {2 + text.count(chr(10))})" in message
