"""Lengths of the bars and heights of the curves in the pictures."""

import time

import numpy as np
import pytest
from PIL import Image

from mukoe.environments.pgx.board_drawing import draw
from mukoe.environments.pgx.boards import BoardView
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

    values = [0.0, 4.0, 2.0]
    pictures = []
    for step, value in enumerate(values):
        picture = drawer.draw(make_step(step, value), FRAME)
        pictures.append(panel.draw_curve(picture, step, values))
    y, x = dot(pictures[-1])
    assert y == pytest.approx((bottom - top) / 2, abs=2)
    assert x > 60
    again = dot(panel.draw_curve(pictures[0], 0, [2.0]))
    assert again[1] < x
    # The axes are those of the whole episode: the last value is at the right end.
    assert x == pytest.approx(right - left - 16, abs=2)
    assert dot(pictures[1]) == pytest.approx([14, (60 + right - left - 16) / 2], abs=2)


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


def test_completed_values_are_marked():
    policy = np.array([0.02, 0.95, 0.03], np.float32)
    _, _, tree = search_mdp("gumbel", num_simulations=1)
    one = Decision(0, 1.0, policy, from_mctx(tree))
    texts = {row.completed: row.texts[2] for row in action_table._rows(one)}
    assert texts[True].startswith("(") and not texts[False].startswith("(")
    one = Decision(0, 1.0, np.array([1.0, 0.0, 0.0]), from_mctx(tree))
    assert {row.texts[2] for row in action_table._rows(one) if not row.visits} == {"-"}


@pytest.mark.parametrize("visits, qvalue", [(0, -99.1234), (123_456, -9_999.94), (99, 1e7)])
def test_columns_do_not_touch(visits, qvalue):
    font = style.load_font(17)
    texts = action_table._Row(0, 1.0, 1.0, visits, qvalue).texts
    ends = action_table._COLUMNS
    lefts = [end - font.getlength(text) for end, text in zip(ends, texts, strict=True)]
    assert lefts[0] > action_table.BARS[1] + 6
    assert lefts[1] > ends[0] + 6 and lefts[2] > ends[1] + 6


def test_cells_of_an_enlarged_board_are_equal():
    board = BoardView("tic_tac_toe", np.zeros((3, 3, 2), bool), 0, 0.0, False)
    picture = panel.Panel(["a", "b", "c"], "t").draw(make_step(), draw(board))
    left, top, right, bottom = panel._FRAME
    paper = (picture[(top + bottom) // 2 + 80, left:right] > 200).all(-1)
    edges = np.flatnonzero(np.diff(np.pad(paper, 1).astype(int)))
    widths = np.diff(edges)[::2]
    assert len(widths) == 3 and widths.max() - widths.min() <= 1 and widths.min() > 150


def test_the_last_picture_has_no_decision():
    last = EpisodeStep(0, 3, None, 1.0, 3.0, 1)
    picture = panel.Panel(["a"], "t").draw(last, FRAME)
    assert longest_run(picture, style.CHOSEN) == 0


def test_the_last_picture_states_the_result():
    last = EpisodeStep(0, 3, None, 1.0, 3.0, 1)
    pictures = [
        panel.Panel(["a"], "t").draw(last._replace(result=result), FRAME)
        for result in ("X won", "O won", "draw")
    ]
    assert len({picture.tobytes() for picture in pictures}) == 3
    assert np.all(pictures[0][style.TABLE_TOP :] == style.CHOSEN, axis=-1).sum() > 100


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
