"""Lengths of the bars and heights of the curves in the pictures."""

import time

import numpy as np
import pytest
from PIL import Image

from mukoe.errors import UserError
from mukoe.viewing import action_table, panel, style
from mukoe.viewing.episodes import EpisodeStep
from mukoe.viewing.inspected_agent import Decision
from mukoe.viewing.search_tree import from_mctx
from mukoe.viewing.video import check_video_path, write_video
from tests.viewing.test_search_tree import search_mdp

FRAME = np.full((30, 40, 3), (200, 10, 120), np.uint8)


def decision(policy=(0.5, 0.3, 0.2), action=0, value=1.0):
    _, _, tree = search_mdp(num_simulations=6)
    return Decision(action, value, np.array(policy, np.float32), from_mctx(tree))


def make_step(step=0, value=1.0, **arguments):
    return EpisodeStep(0, step, decision(value=value, **arguments), 0.0, 0.0, 1)


def longest_run(picture, colour, top=style.TABLE_TOP + 24):
    """The widest run of a colour in a row of the table."""
    bars = np.all(
        picture[top : style.LINE_TOP, action_table.BARS[0] : action_table.BARS[1] + 1] == colour, -1
    )
    return bars.sum(axis=1).max()


def test_bars_are_proportional():
    picture = panel.Panel(["a", "b", "c"], "test").draw(make_step(), FRAME)
    assert picture.shape == (style.HEIGHT, style.WIDTH, 3) and picture.dtype == np.uint8
    chosen, other = longest_run(picture, style.CHOSEN), longest_run(picture, style.POLICY)
    prior = longest_run(picture, style.PRIOR)
    assert chosen == action_table.BARS[1] - action_table.BARS[0] + 1
    assert other / chosen == pytest.approx(0.6, abs=0.02)
    assert prior / chosen == pytest.approx((1 / 3) / 0.5, abs=0.02)


def test_the_frame_is_shown_whole_and_sharp():
    picture = panel.Panel(["a", "b", "c"], "test").draw(make_step(), FRAME)
    inside = np.argwhere(np.all(picture == FRAME[0, 0], axis=-1))
    height, width = inside.max(axis=0) - inside.min(axis=0) + 1
    assert width == panel._FRAME[2] - panel._FRAME[0]
    assert width / height == pytest.approx(40 / 30, rel=0.01)


def test_the_curve_follows_the_values_and_starts_anew():
    drawer = panel.Panel(["a", "b", "c"], "test")
    left, top, right, bottom = panel._CURVE

    def dot(picture):
        return np.argwhere(np.all(picture[top:bottom, left:right] == style.CHOSEN, -1)).mean(axis=0)

    for step, value in enumerate([0.0, 4.0, 2.0]):
        picture = drawer.draw(make_step(step, value), FRAME)
    y, x = dot(picture)
    assert y == pytest.approx((bottom - top) / 2, abs=2)
    assert x > 60
    again = dot(drawer.draw(make_step(0, 2.0), FRAME))
    assert again[1] < x


def test_many_actions_are_cut_to_the_most_searched():
    policy = np.zeros(60, np.float32)
    policy[:40] = 1 / 40
    many = Decision(39, 0.0, policy, None)
    assert len(action_table._rows(many)) == 40
    kept = action_table._most_searched(action_table._rows(many), 39)
    assert len(kept) == action_table.MAX_ROWS and kept[0].action == 39
    shown = panel.Panel([f"action number {i}" for i in range(60)], "t").draw(
        EpisodeStep(0, 0, many, 0.0, 0.0, 1), FRAME
    )
    assert longest_run(shown, style.CHOSEN) > 0


def test_the_last_picture_has_no_decision():
    picture = panel.Panel(["a"], "t").draw(EpisodeStep(0, 3, None, 1.0, 3.0, 1), FRAME)
    assert longest_run(picture, style.CHOSEN) == 0


@pytest.mark.parametrize("suffix, size", [(".gif", (40, 30)), (".mp4", (80, 60))])
def test_videos_have_all_pictures(tmp_path, suffix, size):
    imageio = pytest.importorskip("imageio")
    path = tmp_path / f"v{suffix}"
    big = [np.full((60, 80, 3), 20 * i, np.uint8) for i in range(10)]
    # Multiples of 16, which the codec wants, where the size is to stay.
    big = big if suffix == ".gif" else [np.full((64, 80, 3), 20 * i, np.uint8) for i in range(10)]
    assert write_video(path, iter(big), fps=10) == 10
    frames = [np.asarray(frame)[..., :3] for frame in imageio.get_reader(path)]
    assert len(frames) == 10
    assert abs(frames[0].shape[1] - size[0]) == 0
    means = [frame.mean() for frame in frames]
    np.testing.assert_allclose(means, 20 * np.arange(10), atol=6)


def test_gif_plays_at_the_asked_speed(tmp_path):
    path = tmp_path / "v.gif"
    write_video(path, [np.full((20, 20, 3), 50 * i, np.uint8) for i in range(4)], fps=5)
    with Image.open(path) as image:
        assert image.info["duration"] == 200 and image.info["loop"] == 0


def test_impossible_paths(tmp_path):
    with pytest.raises(UserError, match=r"ends with .mp4 or .gif"):
        check_video_path(tmp_path / "v.avi")
    with pytest.raises(UserError, match="there is no folder"):
        check_video_path(tmp_path / "missing" / "v.gif")


def test_a_picture_is_drawn_fast():
    drawer = panel.Panel(["a", "b", "c"], "t")
    one = make_step()
    drawer.draw(one, FRAME)
    start = time.perf_counter()
    for _ in range(5):
        drawer.draw(one, FRAME)
    assert (time.perf_counter() - start) / 5 < 0.25
