"""Line plots: positions of points, round ticks, legends."""

import re
import xml.etree.ElementTree

import numpy as np
import pytest

from mukoe.observability.report.svg import NUM_COLOURS, Line, line_plot


def plot(*lines, **arguments):
    return xml.etree.ElementTree.fromstring(line_plot(lines, "steps", "a plot", **arguments))


def points(svg, name):
    (path,) = [path for path in svg.iter("path") if path.get("class") == name]
    return np.array([float(x) for x in re.findall(r"[\d.]+", path.get("d"))]).reshape(-1, 2)


def ticks(svg, anchor):
    texts = [text for text in svg.iter("text") if text.get("text-anchor") == anchor]
    return {text.text: (float(text.get("x")), float(text.get("y"))) for text in texts}


def test_points_are_to_scale_and_upwards():
    svg = plot(Line(np.array([0.0, 1.0, 4.0]), np.array([0.0, 1.0, 2.0])))
    x, y = points(svg, "c0").T
    assert (x[1] - x[0]) * 3 == pytest.approx(x[2] - x[1], abs=0.3)
    assert y[0] - y[1] == pytest.approx(y[1] - y[2], abs=0.2)
    assert y[0] > y[1] > y[2], "SVG counts downwards"


def test_ticks_are_round_and_where_their_numbers_are():
    svg = plot(Line(np.array([100.0, 40_000.0]), np.array([0.03, 0.97])))
    heights = ticks(svg, "end")
    assert list(heights) == ["0", "0.2", "0.4", "0.6", "0.8", "1", "40k"]
    for low, high in (("0.2", "0.4"), ("0.6", "0.8")):
        assert heights[low][1] > heights[high][1]
    (start, end) = points(svg, "c0")
    scale = (start[1] - end[1]) / 0.94
    assert heights["0.2"][1] - 4 == pytest.approx(start[1] - 0.17 * scale, abs=0.2)
    assert heights["40k"][0] == pytest.approx(end[0], abs=0.1)
    assert "0" in ticks(svg, "middle"), "steps are counted from 0"


@pytest.mark.parametrize("value", [0.0, 7.0, -3e-9, 1e12])
def test_constant_lines_have_an_axis(value):
    svg = plot(Line(np.array([1.0, 2.0]), np.array([value, value])))
    (_, first), (_, second) = points(svg, "c0")
    assert 10 < first == second < 202
    assert len(ticks(svg, "end")) >= 2


@pytest.mark.parametrize("value", [16.4032, -1_234.5, 0.00012345, 7e9, -987_654.0])
@pytest.mark.parametrize("spread", [1e-7, 1e-5, 1e-3, 1.0])
def test_labels_of_the_vertical_axis_differ_and_are_within_the_picture(value, spread):
    heights = np.array([value, value * (1 + spread)])
    svg = plot(Line(np.array([1.0, 2.0]), heights))
    texts = [text for text in svg.iter("text") if text.get("text-anchor") == "end"]
    labels = [text for text in texts if float(text.get("x")) < 48]
    assert len({text.text for text in labels}) == len(labels) >= 2
    for text in labels:
        width = float(text.get("textLength", 6.4 * len(text.text)))
        assert width <= float(text.get("x"))


def test_one_point_is_a_dot_and_none_is_nothing():
    svg = plot(Line(np.array([5.0]), np.array([1.0])), Line(np.zeros(0), np.zeros(0), colour=1))
    assert [circle.get("class") for circle in svg.iter("circle")] == ["c0"]
    assert list(svg.iter("path")) == []


def test_bands_lie_around_their_line():
    x, y = np.array([0.0, 1.0]), np.array([1.0, 2.0])
    svg = plot(Line(x, y, low=y - 0.5, high=y + 0.5))
    line, band = points(svg, "c0"), points(svg, "band c0")
    assert (band[:2, 1] < line[:, 1]).all()
    assert (band[:1:-1, 1] > line[:, 1]).all()
    np.testing.assert_allclose(band[:2, 0], line[:, 0])


def test_seeds_are_behind_the_mean_and_late_colours_dashed():
    x = np.array([0.0, 1.0])
    svg = plot(Line(x, x), Line(x, x, faint=True), Line(x, x, colour=NUM_COLOURS))
    names = [path.get("class") for path in svg.iter("path")]
    assert names == ["c0 faint", "c0", "c0 dashed"]


def test_threshold_is_in_the_picture():
    svg = plot(Line(np.array([0.0, 1.0]), np.array([0.0, 1.0])), threshold=5.0)
    (mark,) = [line for line in svg.iter("line") if line.get("class") == "threshold"]
    assert 10 <= float(mark.get("y1")) < points(svg, "c0")[:, 1].min()


def test_equal_ratios_are_equal_distances_on_a_logarithmic_axis():
    svg = plot(Line(np.array([0.0, 10.0, 100.0, 1000.0]), np.arange(4.0)), logarithmic=True)
    x, _ = points(svg, "c0").T
    assert x[0] == x[1], "0 is drawn at the first positive position"
    assert x[2] - x[1] == pytest.approx(x[3] - x[2], abs=0.2)
    assert [name for name in ticks(svg, "middle") if name[0].isdigit()] == [
        "10",
        "30",
        "100",
        "300",
    ]
    assert "steps (logarithmic)" in ticks(svg, "middle") and "1k" in ticks(svg, "end")


@pytest.mark.parametrize("low, high", [(1.0, 1.4), (9.0, 11.0), (1.0, 1e9), (3e3, 4.7e6)])
def test_a_logarithmic_axis_has_few_ticks(low, high):
    svg = plot(Line(np.array([low, high]), np.arange(2.0)), logarithmic=True)
    axis = [y for texts in ("middle", "end") for _, y in ticks(svg, texts).values() if y > 215]
    assert 2 <= len(axis) <= 12
