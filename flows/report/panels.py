"""The two pictures with more than one thing to see in a point: nights in a row, and reliability."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from flows.report.charts import SHAPES
from flows.report.svg import (
    CHARACTER,
    NARROW,
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

_AXIS, _SPACE, _UNDER, _OVER = 40.0, 44.0, 50.0, 28.0
_LARGEST, _MAX_SIDE, _TWO_BY_TWO = 9.0, 160.0, 4
# Few nights leave room to draw their points side by side instead of over each other.
_ASIDE = {"champion": -12.0, "challenger": 0.0, "control": 12.0}
_FEW_NIGHTS = 15
_LONGEST_LABEL = 16 * CHARACTER


@dataclass(frozen=True, slots=True)
class NightPoint:
    """One night: its challenger with interval, its control, the champion that it met."""

    label: str
    challenger: float | None
    low: float | None
    high: float | None
    control: float | None
    champion: float | None
    promoted: bool


@dataclass(frozen=True, slots=True)
class Sureness:
    """A group of positions: how sure the subject was, how often right, and how many they are."""

    confidence: float
    share_right: float
    weight: float


@dataclass(frozen=True, slots=True)
class Panel:
    """The reliability of one subject."""

    label: str
    role: str
    points: tuple[Sureness, ...]


def draw_nights(nights: Sequence[NightPoint], width: float) -> Drawing:
    """Challenger, control and champion over the nights, oldest left; a filled point was promoted.

    A point on a later night stands on other documents than its neighbour.
    """
    legend, legend_height = _night_legend(width)
    top, left, right = legend_height + 36.0, 44.0, width - 14
    bottom = top + (230.0 if width > NARROW else 190.0)
    values = [
        value
        for night in nights
        for value in (night.challenger, night.low, night.high, night.control, night.champion)
        if value is not None
    ]
    low, high = min(values, default=0.0), max(values, default=1.0)
    air = (high - low) * 0.08 or 0.1
    y = Scale(low - air, high + air, bottom, top)
    step = (right - left) / len(nights)
    places = [left + (index + 0.5) * step for index in range(len(nights))]
    parts = [*legend, text(0, legend_height + 18, "bits per byte", "small")]
    levels = ticks(y.low, y.high, 6)
    for level in levels:
        parts.append(line((left, y(level)), (right, y(level)), "grid"))
        parts.append(text(left - 8, y(level), tick_text(level, levels), "tick", "end"))
    parts.append(line((left, bottom), (right, bottom), "base"))
    parts += _night_labels(nights, places, right, bottom)
    for role in ("champion", "control", "challenger"):
        parts += _night_series(nights, role, places, y)
    parts.append(text((left + right) / 2, bottom + 31, "night", "small", "middle"))
    return Drawing(bottom + 40, tuple(parts))


def _night_series(
    nights: Sequence[NightPoint], role: str, places: Sequence[float], y: Scale
) -> list[Markup]:
    aside = _ASIDE[role] if len(nights) <= _FEW_NIGHTS else 0.0
    points = [
        (x + aside, y(value), night)
        for x, night in zip(places, nights, strict=True)
        if (value := getattr(night, role)) is not None
    ]
    parts = [polyline([(x, at) for x, at, _ in points], f"curve {role}")] if points else []
    radius = 4.5 if role == "challenger" and len(nights) <= _FEW_NIGHTS else 3.0
    for x, at, night in points:
        if role == "challenger" and night.low is not None and night.high is not None:
            parts.append(line((x, y(night.low)), (x, y(night.high)), f"whisker {role}"))
        hollow = " hollow" if role == "challenger" and not night.promoted else ""
        parts.append(mark(SHAPES[role], x, at, f"mark {role}{hollow}", radius))
    return parts


def _night_legend(width: float) -> tuple[list[Markup], float]:
    """What the marks mean, in as many lines as that takes, and how high it became."""
    parts, x, y = [], 2.0, 10.0
    for role, class_, label in (
        ("challenger", "mark challenger", "promoted"),
        ("challenger", "mark challenger hollow", "not promoted"),
        ("control", "mark control", "control"),
        ("champion", "mark champion", "champion met"),
    ):
        long = 15 + len(label) * CHARACTER + 12
        if x + long > width:
            x, y = 2.0, y + 20
        parts.append(mark(SHAPES[role], x + 5, y, class_, 4.0))
        parts.append(text(x + 15, y, label, "label"))
        x += long
    return parts, y + 10


def _night_labels(
    nights: Sequence[NightPoint], places: Sequence[float], right: float, bottom: float
) -> list[Markup]:
    """As many labels as fit, the newest always."""
    labels = [cut(night.label, _LONGEST_LABEL) for night in nights]
    widest = max(map(len, labels)) * CHARACTER
    step = places[1] - places[0] if len(places) > 1 else right
    every = max(1, math.ceil((widest + 10) / step))
    last = len(nights) - 1
    return [
        text(_between(widest / 2, x, right - widest / 2 + 14), bottom + 13, label, "tick", "middle")
        for index, (x, label) in enumerate(zip(places, labels, strict=True))
        if (last - index) % every == 0
    ]


def _between(low: float, value: float, high: float) -> float:
    return max(low, min(value, high))


def draw_spark(values: Sequence[float | None], width: float) -> Drawing:
    """The challengers of a line's nights, oldest left, without axes: for a glance."""
    known = [value for value in values if value is not None]
    if not known:
        return Drawing(40.0, (text(0, 20, "no figures yet", "small"),))
    left, right = 44.0, width - 54
    air = (max(known) - min(known)) * 0.1 or 0.1
    y = Scale(min(known) - air, max(known) + air, 60.0, 10.0)
    step = (right - left) / max(len(values) - 1, 1)
    points = [
        (left + index * step, y(value)) for index, value in enumerate(values) if value is not None
    ]
    (x_first, y_first), (x_last, y_last) = points[0], points[-1]
    parts = [polyline(points, "curve challenger")]
    parts += [mark("circle", x, at, "mark challenger", 3.0) for x, at in points]
    parts.append(text(x_last + 10, y_last, f"{known[-1]:.3f}", "value strong"))
    if len(points) > 1:
        parts.append(text(x_first - 8, y_first, f"{known[0]:.3f}", "tick", "end"))
    return Drawing(70.0, tuple(parts))


def draw_reliability(panels: Sequence[Panel], width: float) -> Drawing:
    """One square for each subject: how sure it was across, how often right upwards; on the dotted
    line it is right exactly as often as it thinks.
    """
    columns = 3 if width > NARROW and len(panels) != _TWO_BY_TWO else 2
    side = min((width - _AXIS - (columns - 1) * _SPACE - 18) / columns, _MAX_SIDE)
    parts: list[Markup] = []
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        left, top = _AXIS + column * (side + _SPACE), _OVER + row * (side + _OVER + _UNDER)
        parts += _panel(panel, left, top, side)
    rows = -(-len(panels) // columns)
    return Drawing(rows * (side + _OVER + _UNDER), tuple(parts))


def _panel(panel: Panel, left: float, top: float, side: float) -> list[Markup]:
    across, up = Scale(0, 1, left, left + side), Scale(0, 1, top + side, top)
    parts = [text(left, top - 14, panel.label, "label strong")]
    for share in (0.0, 0.5, 1.0):
        label = f"{share:.0%}"
        parts.append(line((left, up(share)), (left + side, up(share)), "grid"))
        parts.append(line((across(share), top), (across(share), top + side), "grid"))
        parts.append(text(left - 6, up(share), label, "tick", "end"))
        parts.append(text(across(share), top + side + 12, label, "tick", "middle"))
    parts.append(line((across(0), up(0)), (across(1), up(1)), "limit"))
    parts.append(text(left + side / 2, top + side + 27, "how sure", "small", "middle"))
    parts.append(text(left - 6, up(0.75), "right", "small", "end"))
    points = [(across(p.confidence), up(p.share_right), p.weight) for p in panel.points]
    parts += [
        line((x1, y1), (x2, y2), f"curve thin {panel.role}")
        for (x1, y1, _), (x2, y2, _) in pairwise(points)
    ]
    heaviest = max((weight for _, _, weight in points), default=1.0) or 1.0
    for x, y, weight in points:
        radius = max(2.0, _LARGEST * (weight / heaviest) ** 0.5)
        parts.append(element("circle", cx=x, cy=y, r=radius, class_=f"bubble {panel.role}"))
    return parts
