"""What the charts are drawn with: escaped SVG elements, linear scales, round ticks.

Colours, weights and dashes are classes that style.css knows in light, dark and print. Every picture
comes in two widths, of which the style sheet shows one: text in a picture that is merely scaled
down could not be read on a phone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDE, NARROW = 584.0, 340.0
# Width of a character of the pictures' 12 pixel text, in the widest of the usual fonts.
CHARACTER = 7.2
TEXT_HEIGHT = 12.0


@dataclass(frozen=True, slots=True)
class Drawing:
    """The elements of a picture and how high it became."""

    height: float
    elements: tuple[Markup, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture in both widths."""

    wide: Markup
    narrow: Markup


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map of [low, high] onto the pixels from start to stop."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)


def chart(key: str, title: str, description: str, draw: Callable[[float], Drawing]) -> Chart:
    """The picture that `draw` makes for a width; `key` is unique on the page."""
    return Chart(*(_picture(key, title, description, draw, width) for width in (WIDE, NARROW)))


def _picture(
    key: str, title: str, description: str, draw: Callable[[float], Drawing], width: float
) -> Markup:
    drawing = draw(width)
    name = f"{key}-{width:.0f}"
    return element(
        "svg",
        element("title", escape(title), id=f"{name}-title"),
        element("desc", escape(description), id=f"{name}-desc"),
        *drawing.elements,
        viewBox=f"0 0 {width:.0f} {math.ceil(drawing.height)}",
        width=width,
        height=math.ceil(drawing.height),
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        class_="wide" if width == WIDE else "narrow",
    )


def element(name: str, *children: Markup, **attributes: str | float) -> Markup:
    """An element; an attribute's underscore is a hyphen, one at the end is dropped, and every value
    is escaped.
    """
    inside = Markup("").join(children)
    text = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _value(value))
        for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), text, inside)


def text(x: float, y: float, words: str, class_: str = "", anchor: str = "start") -> Markup:
    """A line of text whose middle is at y."""
    return element("text", escape(words), x=x, y=y, class_=class_, text_anchor=anchor, dy="0.35em")


def cut(words: str, room: float) -> str:
    """The words if there is room for them, else their beginning; a table has them whole."""
    most = max(int(room / CHARACTER), 1)
    return words if len(words) <= most else words[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def line(start: tuple[float, float], stop: tuple[float, float], class_: str) -> Markup:
    """A straight line."""
    (x1, y1), (x2, y2) = start, stop
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def polyline(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """A line through the points."""
    path = " ".join(f"{_value(x)},{_value(y)}" for x, y in points)
    return element("polyline", points=path, class_=class_)


_SHAPES = {
    "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
    "diamond": ((0, -1.35), (1.35, 0), (0, 1.35), (-1.35, 0)),
    "up": ((0, -1.3), (1.25, 0.95), (-1.25, 0.95)),
    "down": ((0, 1.3), (1.25, -0.95), (-1.25, -0.95)),
}


def mark(shape: str, x: float, y: float, class_: str, radius: float = 4.5) -> Markup:
    """A point in one of the shapes that tell subjects apart without colour."""
    if shape == "circle":
        return element("circle", cx=x, cy=y, r=radius, class_=class_)
    corners = " ".join(
        f"{_value(x + radius * dx)},{_value(y + radius * dy)}" for dx, dy in _SHAPES[shape]
    )
    return element("polygon", points=corners, class_=class_)


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most so many round numbers in [low, high], a step of 1, 2, 2.5 or 5 times a power of
    ten apart.
    """
    if not low < high:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10, 20) if power * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def tick_text(value: float, values: Sequence[float]) -> str:
    """A tick with the digits that its neighbours need."""
    digits = next(n for n in range(13) if all(abs(v - round(v, n)) < 1e-12 for v in values))
    return f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
