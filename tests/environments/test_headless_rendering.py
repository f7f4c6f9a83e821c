"""Choice of the OpenGL backend of MuJoCo."""

import pytest

from mukoe.environments import headless_rendering as rendering
from mukoe.environments.gymnasium.config import GymnasiumConfig


@pytest.mark.parametrize(
    ("working", "display", "expected"),
    [
        ({"egl", "osmesa", "glfw"}, None, "egl"),
        ({"osmesa", "glfw"}, ":0", "osmesa"),
        ({"glfw"}, ":0", "glfw"),
        ({"glfw"}, None, "disabled"),
        (set(), ":0", "disabled"),
    ],
)
def test_the_first_backend_that_works_is_chosen(monkeypatch, working, display, expected):
    # A variable that is set first is restored, or removed, at the end of the test.
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    monkeypatch.delenv("MUJOCO_GL")
    monkeypatch.delenv("DISPLAY", raising=False)
    if display:
        monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setattr(rendering, "_works", working.__contains__)
    assert rendering.choose_backend() == expected
    monkeypatch.setattr(rendering, "_works", lambda _: pytest.fail("chosen once"))
    assert rendering.choose_backend() == expected


def test_a_backend_that_does_not_exist_does_not_work():
    assert not rendering._works("banana")


def test_gymnasium_draws_mujoco_without_a_display(monkeypatch):
    pytest.importorskip("mujoco")
    if rendering.choose_backend() == "disabled":
        pytest.skip("no OpenGL")
    monkeypatch.delenv("DISPLAY", raising=False)
    environment = GymnasiumConfig("HalfCheetah-v5").with_rendering().make_factory()(0, 1, False)
    environment.reset()
    assert environment.render(0).std() > 5
    environment.close()
