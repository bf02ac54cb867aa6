"""The picture of minimal pairs: for each phenomenon everyone's accuracy with its interval, beside
what taking the shorter sentence reaches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from flows.report.charts import SHAPES
from flows.report.svg import CHARACTER, NARROW, Drawing, Scale, cut, line, mark, text

_LINE, _BETWEEN, _OVER_LABEL, _AXIS = 11.0, 12.0, 16.0, 40.0
_GAP, _SIDE, _MOST_LABEL_SHARE = 8.0, 12.0, 0.4
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_RADIUS = 4.0


@dataclass(frozen=True, slots=True)
class PairPoint:
    """One subject's accuracy with its bounds, and that of taking the sentence that is the shorter
    one in its symbols.
    """

    role: str
    value: float
    low: float
    high: float
    length_only: float


@dataclass(frozen=True, slots=True)
class PairRow:
    """The subjects on one phenomenon; `words` is what stands at the right end."""

    label: str
    points: tuple[PairPoint, ...]
    words: str


def draw_pairs(rows: Sequence[PairRow], width: float) -> Drawing:
    """A band for each row, in it a line for each subject; the short bar is length alone."""
    is_narrow = width <= NARROW
    labels = max(len(row.label) for row in rows) * CHARACTER + _GAP
    gutter = 0.0 if is_narrow else min(labels, width * _MOST_LABEL_SHARE)
    right = width - max(len(row.words) for row in rows) * CHARACTER - 2 * _GAP
    scale = Scale(0.0, 1.0, gutter + _SIDE, right)
    legend, top = _legend(rows, width)
    parts: list[Markup] = []
    y = top
    for row in rows:
        if is_narrow:
            parts.append(text(0, y + 6, row.label, "label"))
            y += _OVER_LABEL
        middle = y + len(row.points) * _LINE / 2
        if not is_narrow:
            label = cut(row.label, gutter - _GAP)
            parts.append(text(gutter - _GAP, middle, label, "label", "end"))
        parts.append(text(width, middle, row.words, "value", "end"))
        for place, point in enumerate(row.points):
            parts += _point(point, scale, y + (place + 0.5) * _LINE)
        y += len(row.points) * _LINE + _BETWEEN
    bottom = y - _BETWEEN / 2
    return Drawing(bottom + _AXIS, (*legend, *_grid(scale, top - 6, bottom), *parts))


def _point(point: PairPoint, scale: Scale, y: float) -> list[Markup]:
    alone, half = scale(point.length_only), _LINE / 2
    return [
        line((alone, y - half), (alone, y + half), "alone"),
        line((scale(point.low), y), (scale(point.high), y), f"whisker {point.role}"),
        mark(SHAPES[point.role], scale(point.value), y, f"mark {point.role}", _RADIUS),
    ]


def _grid(scale: Scale, top: float, bottom: float) -> list[Markup]:
    parts = []
    for share in _SHARES:
        x = scale(share)
        parts.append(line((x, top), (x, bottom + 4), "grid"))
        parts.append(text(x, bottom + 13, f"{share:.0%}", "tick", "middle"))
    middle = (scale.start + scale.stop) / 2
    return [*parts, text(middle, bottom + 31, "pairs that are right", "small", "middle")]


def _legend(rows: Sequence[PairRow], width: float) -> tuple[list[Markup], float]:
    """What the marks mean, in as many lines as that takes, and where the rows begin."""
    roles = dict.fromkeys(point.role for row in rows for point in row.points)
    parts: list[Markup] = []
    x, y = 2.0, 10.0
    for role in (*roles, None):
        label = "length alone" if role is None else role.replace("_", " ")
        long = 15 + len(label) * CHARACTER + 12
        if x + long > width:
            x, y = 2.0, y + 20
        if role is None:
            parts.append(line((x + 5, y - 6), (x + 5, y + 6), "alone"))
        else:
            parts.append(mark(SHAPES[role], x + 5, y, f"mark {role}", _RADIUS))
        parts.append(text(x + 15, y, label, "label"))
        x += long
    return parts, y + 24
