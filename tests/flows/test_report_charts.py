"""What the report's pictures are drawn with: round ticks, scales, escaped words."""

import math
from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from flows.report.charts import Bar, Bars, Curve, Whisker, draw_bars, draw_curves, draw_whiskers
from flows.report.multiples import Bound, Multiple, draw_multiples
from flows.report.panels import NightPoint, draw_nights, draw_spark
from flows.report.rows import Trend
from flows.report.svg import NARROW, WIDE, Drawing, Scale, chart, cut, tick_text, ticks
from flows.report.training_sections import night_point

ends = st.floats(-1e6, 1e6, allow_nan=False)
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=60)


@given(ends, ends, st.integers(2, 12))
def test_ticks_are_round_evenly_spaced_and_inside(low: float, high: float, most: int) -> None:
    if not low + 1e-3 < high:
        return
    found = ticks(low, high, most)
    slack = (high - low) * 1e-6
    assert len(found) <= most + 1
    assert all(low - slack <= tick <= high + slack for tick in found)
    steps = {round(b - a, 9) for a, b in pairwise(found)}
    assert max(steps, default=1) - min(steps, default=1) < slack + 1e-8
    for step in steps:
        digits = step / 10 ** math.floor(math.log10(step) + 1e-9)
        assert min(abs(digits - round_step) for round_step in (1, 2, 2.5, 5, 10)) < 1e-3


def test_ticks_have_the_digits_that_they_need() -> None:
    values = ticks(1.0, 2.1, 5)
    assert [tick_text(value, values) for value in values] == [
        "1.00",
        "1.25",
        "1.50",
        "1.75",
        "2.00",
    ]
    assert tick_text(-200_000.0, [-200_000.0, 0.0]) == "\N{MINUS SIGN}200,000"


@given(ends, ends, ends)
def test_a_scale_maps_its_ends_onto_its_ends(low: float, high: float, value: float) -> None:
    if high - low < 1e-3:
        return
    scale = Scale(low, high, 10.0, 110.0)
    assert math.isclose(scale(low), 10.0)
    assert math.isclose(scale(high), 110.0)
    assert (scale(value) < 10.0 - 1e-6) is (value < low - (high - low) * 1e-8)


@given(words)
def test_any_label_stays_text(label: str) -> None:
    pictures = (
        lambda width: draw_bars([Bars(label, (Bar(1.0, label, "bar"),))], width),
        lambda width: draw_whiskers([Whisker(label, "control", 1.0, 0.5, 2.0, "1")], label, width),
        lambda width: draw_curves([Curve(label, "control", ((0.0, 1.0),))], label, label, width),
        lambda width: draw_nights([NightPoint(label, 1.0, 0.9, 1.1, 1.2, None, True)], width),
        lambda width: draw_multiples(
            [Multiple(label, label, (None, 1.0), Bound(0.5, label, False), False)], width
        ),
    )
    for draw in pictures:
        picture = chart("key", label, label, draw)
        for svg in (picture.wide, picture.narrow):
            root = ElementTree.fromstring(str(svg))
            assert root[0].text in (label, None)
            assert {part.tag for part in root.iter()} <= {
                "svg", "title", "desc", "text", "line", "polyline", "polygon", "circle", "rect",
            }  # fmt: skip


def test_nights_without_figures_are_drawn() -> None:
    empty = NightPoint("1", None, None, None, None, None, False)
    for width in (WIDE, NARROW):
        assert isinstance(draw_nights([empty], width), Drawing)
        assert isinstance(draw_spark([None, None], width), Drawing)


def test_a_night_of_one_held_out_story_is_drawn_without_an_interval() -> None:
    """Its bounds are infinite, as one document shows no spread."""
    row = Trend("1", 1, 2.0, -math.inf, math.inf, 2.5, None, True, None, None, None)
    point = night_point(row)
    assert (point.challenger, point.low, point.high) == (2.0, None, None)
    for width in (WIDE, NARROW):
        assert isinstance(draw_nights([point], width), Drawing)


@given(
    st.lists(st.floats(0, 1e6) | st.none(), max_size=70),
    st.floats(0, 1e6),
    st.floats(1e-3, 1e6),
    st.booleans(),
)
def test_a_point_lies_beyond_its_limit_only_if_it_is(
    earlier: list[float | None], tonight: float, bound: float, is_least: bool
) -> None:
    is_within = tonight >= bound if is_least else tonight <= bound
    panel = Multiple("", "", (*earlier, tonight), Bound(bound, "", is_least), is_within)
    for width in (WIDE, NARROW):
        drawing = draw_multiples([panel], width)
        root = ElementTree.fromstring(f"<svg>{''.join(drawing.elements)}</svg>")
        limit = [part for part in root.findall("line") if part.get("class") == "limit"][-1]
        [shade] = root.findall("rect")
        top = float(shade.get("y", ""))
        floor = top + float(shade.get("height", ""))
        at = float(limit.get("y1", ""))
        assert math.isclose(at, top if is_least else floor, abs_tol=0.02)
        *_, mark = root.findall("circle" if is_within else "polygon")
        if is_within:
            y = float(mark.get("cy", ""))
            assert not top + 0.02 < y < floor - 0.02
            assert 0 <= float(mark.get("cx", "")) <= width
        else:
            ys = [float(corner.split(",")[1]) for corner in mark.get("points", "").split()]
            assert top - 0.02 <= sum(ys) / len(ys) <= floor + 0.02


def test_an_empty_small_multiple_is_drawn() -> None:
    for width in (WIDE, NARROW):
        assert draw_multiples([Multiple("a", "0", (None, 0.0))], width).height > 0


def test_a_long_word_is_cut_to_its_room() -> None:
    assert cut("short", 100.0) == "short"
    assert cut("x" * 100, 72.0) == "x" * 9 + "\N{HORIZONTAL ELLIPSIS}"
