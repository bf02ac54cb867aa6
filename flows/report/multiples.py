"""Small multiples: one little picture for each measure, tonight's point beside those of earlier
nights and the limit that it must keep.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

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
)

_WIDE_COLUMNS, _NARROW_COLUMNS = 3, 2
_SPACE, _PLOT, _OVER, _UNDER = 20.0, 56.0, 40.0, 26.0
_LEGEND, _SIDE, _LARGEST_STEP = 30.0, 8.0, 40.0
_AIR = 1.15


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit: its value in words, and on which side of it lies what is beyond."""

    value: float
    words: str
    is_least: bool


@dataclass(frozen=True, slots=True)
class Multiple:
    """One measure: its values night by night, oldest first (None: not measured), of which the last
    is tonight's, written as `words`; and its limit, if it has one.
    """

    label: str
    words: str
    values: tuple[float | None, ...]
    bound: Bound | None = None
    is_within: bool = True


def draw_multiples(panels: Sequence[Multiple], width: float) -> Drawing:
    """The panels in rows; each begins at zero, so that heights mean what they seem to."""
    columns = _WIDE_COLUMNS if width > NARROW else _NARROW_COLUMNS
    side = (width - (columns - 1) * _SPACE) / columns
    parts = _legend(panels)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        left = column * (side + _SPACE)
        parts += _panel(panel, left, _LEGEND + row * (_OVER + _PLOT + _UNDER), side)
    rows = -(-len(panels) // columns)
    return Drawing(_LEGEND + rows * (_OVER + _PLOT + _UNDER) - _UNDER + 4, tuple(parts))


def _panel(panel: Multiple, left: float, top: float, side: float) -> list[Markup]:
    right, roof, floor = left + side, top + _OVER, top + _OVER + _PLOT
    known = [value for value in panel.values if value is not None]
    highest = max([*known, panel.bound.value if panel.bound else 0.0]) * _AIR or 1.0
    up = Scale(0.0, highest, floor, roof)
    parts = [
        text(left, top + 8, cut(panel.label, side), "label"),
        text(left, top + 26, panel.words, "value strong"),
    ]
    if panel.bound:
        parts += _limit(panel, up, left, right)
        parts.append(text(right, top + 26, panel.bound.words, "small", "end"))
    parts.append(line((left, floor), (right, floor), "base"))
    return [*parts, *_points(panel, up, left, right)]


def _limit(panel: Multiple, up: Scale, left: float, right: float) -> list[Markup]:
    """The limit's line, and shade on its wrong side."""
    assert panel.bound is not None
    at = up(panel.bound.value)
    top, bottom = (at, up.start) if panel.bound.is_least else (up.stop, at)
    shade = element("rect", x=left, y=top, width=right - left, height=bottom - top, class_="beyond")
    return [shade, line((left, at), (right, at), "limit")]


def _points(panel: Multiple, up: Scale, left: float, right: float) -> list[Markup]:
    """Tonight at the right end, earlier nights to its left."""
    step = min(_LARGEST_STEP, (right - left - 2 * _SIDE) / max(len(panel.values) - 1, 1))
    last = len(panel.values) - 1
    points = [
        (right - _SIDE - (last - place) * step, up(value), place == last)
        for place, value in enumerate(panel.values)
        if value is not None
    ]
    parts = [polyline([(x, y) for x, y, _ in points], "curve thin")] if len(points) > 1 else []
    for x, y, is_tonight in points:
        if is_tonight:
            parts.append(_tonight(x, y, is_within=panel.is_within))
        else:
            parts.append(mark("circle", x, y, "mark", 2.5))
    return parts


def _legend(panels: Sequence[Multiple]) -> list[Markup]:
    """What the marks mean, as far as they occur."""
    occurs = {
        "tonight": any(panel.is_within for panel in panels),
        "beyond": not all(panel.is_within for panel in panels),
        "earlier nights": any(len(panel.values) > 1 for panel in panels),
        "limit": any(panel.bound for panel in panels),
    }
    parts, x = [], 0.0
    for label in (label for label, is_shown in occurs.items() if is_shown):
        parts.append(_sign(label, x + 6))
        parts.append(text(x + 17, 8, label, "label"))
        x += 17 + len(label) * CHARACTER + 10
    return parts


def _sign(label: str, x: float) -> Markup:
    if label == "limit":
        return line((x - 6, 8), (x + 6, 8), "limit")
    if label == "earlier nights":
        return mark("circle", x, 8, "mark", 2.5)
    return _tonight(x, 8, is_within=label == "tonight")


def _tonight(x: float, y: float, *, is_within: bool) -> Markup:
    if is_within:
        return mark("circle", x, y, "mark challenger", 4.5)
    return mark("diamond", x, y, "mark control", 5.0)
