"""The picture of docs/targets.md: what each form's minimiser is, and how students come near it."""

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

COLOURS = {
    "teacher": "#222222",
    "dense": "#8a8a8a",
    "sampled": "#0072b2",
    "tail bucket": "#e69f00",
    "renormalised top-k": "#d55e00",
    "cross entropy": "#009e73",
}
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 380, 300, 60, 34, 44
Points = Sequence[tuple[float, float]]


def draw_picture(teacher: Tensor, found: Mapping[str, Tensor], curves: Mapping[str, Points]) -> str:
    """Two panels side by side, as a whole SVG file."""
    laws = {"teacher": teacher, **{form: q for form, q in found.items() if form != "dense"}}
    ranks = {form: [(i + 1.0, q) for i, q in enumerate(law.tolist())] for form, law in laws.items()}
    panels = (
        _panel("Minimiser: probability by rank", "rank", ranks, (1, 200), (1e-4, 1), 0),
        _panel(
            "Student: KL to a bigram teacher, nats",
            "tokens seen",
            curves,
            (2_000, 64_000),
            (1e-4, 10),
            WIDTH + 80,
        ),
    )
    names = "".join(
        f'<text x="{20 + 160 * i}" y="{HEIGHT + 26}" fill="{colour}">{name}</text>'
        for i, (name, colour) in enumerate(COLOURS.items())
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH + 220} {HEIGHT + 40}" '
        'font-family="sans-serif" font-size="13">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f"{''.join(panels)}{names}\n</svg>\n"
    )


def _panel(
    title: str,
    axis: str,
    lines: Mapping[str, Points],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    offset: int,
) -> str:
    """Both axes logarithmic; what lies below the lower edge is drawn on it."""

    def place(value: float, bounds: tuple[float, float]) -> float:
        low, high = map(math.log, bounds)
        return (math.log(min(max(value, bounds[0]), bounds[1])) - low) / (high - low)

    def at(x: float, y: float) -> str:
        across = offset + LEFT + place(x, x_range) * WIDTH
        return f"{across:.1f},{HEIGHT - BOTTOM - place(y, y_range) * (HEIGHT - TOP - BOTTOM):.1f}"

    drawn = [f'<text x="{offset + LEFT}" y="20" font-weight="bold">{title}</text>\n']
    for y in _powers(y_range):
        start, end = at(x_range[0], y), at(x_range[1], y)
        x0, y0 = start.split(",")
        drawn.append(f'<path d="M{start} L{end}" stroke="#ddd"/>\n')
        drawn.append(f'<text x="{float(x0) - 6}" y="{y0}" text-anchor="end">{y:g}</text>\n')
    for x in _powers(x_range):
        x0, y0 = at(x, y_range[0]).split(",")
        drawn.append(f'<text x="{x0}" y="{float(y0) + 16}" text-anchor="middle">{x:,g}</text>\n')
    drawn.append(f'<text x="{offset + LEFT + WIDTH // 2}" y="{HEIGHT - 12}" '
                 f'text-anchor="middle">{axis}</text>\n')  # fmt: skip
    for name, points in lines.items():
        path = " ".join(at(x, y) for x, y in points)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[name]}" '
                     'stroke-width="2"/>\n')  # fmt: skip
    return "".join(drawn)


def _powers(bounds: tuple[float, float]) -> list[float]:
    low, high = (math.log10(bound) for bound in bounds)
    return [10.0**n for n in range(math.ceil(low), math.floor(high) + 1)]
