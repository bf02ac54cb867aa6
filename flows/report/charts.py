"""The pictures of a report: bars, dots with whiskers, curves. Each draws itself for a width."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from flows.report.svg import (
    CHARACTER,
    NARROW,
    TEXT_HEIGHT,
    Drawing,
    Scale,
    cut,
    element,
    line,
    mark,
    polyline,
    text,
    tick_text,
    ticks,
)

_ROW, _TALL_ROW, _BAR, _GAP = 30.0, 42.0, 12.0, 8.0
_TOP, _AXIS, _LEGEND = 10.0, 40.0, 26.0
_MARGIN = 12.0
_MOST_LABEL_SHARE = 0.4
# One shape for each part that a subject can have, so that colour is never needed.
SHAPES = {
    "challenger": "circle",
    "control": "square",
    "champion": "diamond",
    "unigram": "down",
    "teacher": "up",
    "prompted_teacher": "up",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its length, what is written at its end, its class in the style sheet."""

    value: float
    words: str
    class_: str


@dataclass(frozen=True, slots=True)
class Bars:
    """The bars of one label, one below the other."""

    label: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Whisker:
    """A point with its 95 % interval, if it has one; `role` gives its shape and class."""

    label: str
    role: str
    value: float
    low: float | None
    high: float | None
    words: str


def whisker_ends(low: float | None, high: float | None) -> tuple[float | None, float | None]:
    """The ends as they are drawn; none where one document alone gives no interval."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return None, None
    return low, high


@dataclass(frozen=True, slots=True)
class Limit:
    """A value that points are compared with."""

    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through points (x, y)."""

    label: str
    role: str
    points: tuple[tuple[float, float], ...]


def draw_bars(rows: Sequence[Bars], width: float) -> Drawing:
    """Horizontal bars from zero, each with its own number, so that they need no axis."""
    gutter = _gutter([row.label for row in rows], width)
    longest = max(len(bar.words) for row in rows for bar in row.bars) * CHARACTER + _GAP
    most = max((bar.value for row in rows for bar in row.bars), default=0.0) or 1.0
    scale = Scale(0.0, most, gutter, max(width - longest, gutter + 20))
    parts: list[Markup] = []
    y = _TOP
    for row in rows:
        height = len(row.bars) * (_BAR + 4) + 10
        parts.append(
            text(gutter - _GAP, y + height / 2 - 5, cut(row.label, gutter - _GAP), "label", "end")
        )
        for place, bar in enumerate(row.bars):
            top = y + place * (_BAR + 4)
            long = max(scale(bar.value) - gutter, 1.0)
            parts.append(
                element("rect", x=gutter, y=top, width=long, height=_BAR, class_=bar.class_)
            )
            parts.append(text(gutter + long + 6, top + _BAR / 2, bar.words, "value"))
        y += height
    parts.append(line((gutter, _TOP - 6), (gutter, y - 4), "base"))
    return Drawing(y + 2, tuple(parts))


def draw_whiskers(
    rows: Sequence[Whisker],
    unit: str,
    width: float,
    limits: Sequence[Limit] = (),
    beside: Sequence[Whisker] = (),
) -> Drawing:
    """Points with whiskers on a common axis; each row is labelled and carries its number.

    `beside`: the rows of another picture that shall have the same axis.
    """
    is_narrow = width <= NARROW
    gutter = 0.0 if is_narrow else _gutter([row.label for row in rows], width)
    right = width - max(len(row.words) for row in rows) * CHARACTER - 2 * _GAP
    ends = [limit.value for limit in limits]
    for row in (*rows, *beside):
        ends += [end for end in (row.value, row.low, row.high) if end is not None]
    scale = _scale(ends, gutter + 6, right)
    step = _TALL_ROW if is_narrow else _ROW
    top = _TOP + (18 if limits else 0)
    bottom = top + len(rows) * step
    parts = [*_across(scale, top, bottom, unit)]
    for limit in limits:
        x = scale(limit.value)
        half = len(limit.label) * CHARACTER / 2
        parts.append(line((x, top - 6), (x, bottom), "limit"))
        middle = min(max(x, half), width - half)
        parts.append(text(middle, top - 14, limit.label, "small", "middle"))
    for place, row in enumerate(rows):
        y = top + (place + 0.5) * step
        if is_narrow:
            parts.append(text(0, y - 8, row.label, "label"))
            y += 10
        else:
            parts.append(text(gutter - _GAP, y, row.label, "label", "end"))
        parts += _whisker(row, scale, y)
        parts.append(text(width, y, row.words, "value", "end"))
    return Drawing(bottom + _AXIS, tuple(parts))


def _whisker(row: Whisker, scale: Scale, y: float) -> list[Markup]:
    parts = []
    if row.low is not None and row.high is not None:
        low, high = scale(row.low), scale(row.high)
        parts.append(line((low, y), (high, y), f"whisker {row.role}"))
        parts += [line((x, y - 5), (x, y + 5), f"whisker {row.role}") for x in (low, high)]
    return [*parts, mark(SHAPES[row.role], scale(row.value), y, f"mark {row.role}")]


def draw_curves(curves: Sequence[Curve], x_unit: str, y_unit: str, width: float) -> Drawing:
    """Curves over common axes with a legend above; colour and dash tell them apart."""
    height = 280.0 if width > NARROW else 220.0
    top = _LEGEND + 2 * TEXT_HEIGHT
    left, bottom = 44.0, top + height
    ys = [y for curve in curves for _, y in curve.points]
    xs = [x for curve in curves for x, _ in curve.points]
    x_scale = Scale(0.0, max(xs, default=0.0) or 1.0, left, width - _MARGIN)
    y_scale = _scale(ys, bottom, top)
    parts = [*_legend(curves), text(0, top - TEXT_HEIGHT - 2, y_unit, "small")]
    parts += _up(y_scale, left, width - _MARGIN)
    parts += _across(x_scale, bottom, bottom, x_unit)
    parts.append(line((left, bottom), (width - _MARGIN, bottom), "base"))
    for curve in curves:
        points = [(x_scale(x), y_scale(y)) for x, y in curve.points]
        parts.append(polyline(points, f"curve {curve.role}"))
    return Drawing(bottom + _AXIS, tuple(parts))


def _legend(curves: Sequence[Curve]) -> list[Markup]:
    parts, x = [], 0.0
    for curve in curves:
        parts.append(line((x, 10), (x + 26, 10), f"curve {curve.role}"))
        parts.append(text(x + 32, 10, curve.label, "label"))
        x += 32 + len(curve.label) * CHARACTER + 22
    return parts


def _across(scale: Scale, top: float, bottom: float, unit: str) -> list[Markup]:
    """The ticks of an axis at the bottom, thin lines up to the top, and the unit below."""
    values = ticks(scale.low, scale.high, max(3, int((scale.stop - scale.start) / 58)))
    parts = []
    for value in values:
        x = scale(value)
        parts.append(line((x, top), (x, bottom + 4), "grid"))
        label = tick_text(value, values)
        anchor = "end" if x + len(label) * CHARACTER / 2 > scale.stop + _MARGIN else "middle"
        parts.append(text(x, bottom + 13, label, "tick", anchor))
    parts.append(text((scale.start + scale.stop) / 2, bottom + 31, unit, "small", "middle"))
    return parts


def _up(scale: Scale, left: float, right: float) -> list[Markup]:
    """The ticks of an axis at the left and thin lines to the right."""
    values = ticks(scale.low, scale.high, 6)
    parts = []
    for value in values:
        y = scale(value)
        parts.append(line((left, y), (right, y), "grid"))
        parts.append(text(left - 8, y, tick_text(value, values), "tick", "end"))
    return parts


def _scale(values: Sequence[float], start: float, stop: float) -> Scale:
    """A scale over the values with a little air at both ends."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    air = (high - low) * 0.06 or max(abs(high) * 0.1, 0.1)
    return Scale(low - air, high + air, start, stop)


def _gutter(labels: Sequence[str], width: float) -> float:
    """Room for the labels at the left."""
    longest = max(map(len, labels), default=0) * CHARACTER + _GAP + 4
    return min(longest, width * _MOST_LABEL_SHARE)
