"""Plots of any numbers: never a crash, never a wrong place."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

pytest.importorskip("leather")

from hypothesis import example, given
from hypothesis import strategies as st

from normfix.reports import plots
from normfix.reports.plots import Outputs


def heights(picture: str, style: str) -> list[float]:
    path = re.search(rf'class="line {style}" d="([^"]*)"', picture)
    assert path
    return [float(y) for _, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path[1])]


def test_nothing_to_show_is_no_picture() -> None:
    assert plots.channels("x", [], "mean") == ""
    assert plots.channels("x", [math.nan, math.inf, -math.inf], "mean") == ""
    assert plots.profile("x", {"median": [None, None]}) == ""
    assert plots.densities(Outputs("x", [], [1.0])) == ""


@given(st.lists(st.floats(), min_size=1, max_size=80))
@example([0.0, 0.0])
@example([1e30, 1.0000001e30])
@example([-1e-320, 1e-320])
@example([1.7e308, -1.7e308])
@example([1e-300, 1.0])
def test_any_numbers_give_a_picture_within_its_frame(values: list[float]) -> None:
    picture = plots.channels("any", values, "scale")
    if not picture:
        assert not any(abs(value) < 1e300 for value in values)
        return
    root = ElementTree.fromstring(picture)
    _, top, _, height = map(float, root.attrib["viewBox"].split())
    assert all(top <= y <= top + height for y in heights(picture, "scale"))


def test_channels_rise_from_the_smallest_to_the_largest() -> None:
    drawn = heights(plots.channels("x", [3.0, 1.0, 2.0, 5.0], "mean"), "mean")
    assert drawn == sorted(drawn, reverse=True)
    assert len(drawn) == 4


def test_many_channels_are_thinned_and_keep_their_ends() -> None:
    few, many = (plots.channels("x", [float(one) for one in range(count)], "mean") for count in (33, 33 * 100))
    assert len(heights(many, "mean")) == 33
    assert heights(many, "mean")[0] > heights(many, "mean")[-1]
    assert len(many) < len(few) + 100


def test_numbers_over_many_decades_get_a_logarithmic_axis() -> None:
    labels = ElementTree.fromstring(plots.channels("x", [1e-3, 1.0, 1e3], "variance")).iter("text")
    assert {"0.001", "1", "1e3"} & {label.text for label in labels} >= {"1"}
    drawn = heights(plots.channels("x", [1e-3, 1.0, 1e3], "variance"), "variance")
    assert drawn[0] - drawn[1] == pytest.approx(drawn[1] - drawn[2], abs=0.2)


def test_one_output_beside_itself_is_one_line() -> None:
    values = [float(one % 7) for one in range(100)]
    picture = plots.densities(Outputs("y", values, values))
    assert heights(picture, "before") == heights(picture, "after")


def test_labels_are_escaped() -> None:
    assert "<b>" not in plots.densities(Outputs("<b>\"'", [0.0, 1.0], [0.0, 1.0]))


def test_a_picture_is_small_and_has_no_style_of_its_own() -> None:
    picture = plots.channels("running variance", [float(one) for one in range(512)], "variance")
    assert len(picture) < 1000
    assert "style" not in picture
    assert "font" not in picture


def test_labels_stand_inside_the_picture_where_the_last_norms_hold_no_numbers():
    picture = plots.profile("variance", {"median": [1.0, 2.0, None, None, None]})
    width = float(picture.split('viewBox="0 ')[1].split()[1])
    places = [float(place) for place in re.findall(r'<text x="([\d.]+)"', picture)]
    assert max(places) <= width
