"""The section on how much alike a night's stories are, and which limit would stop the night."""

from collections.abc import Sequence

from flows.report import formats
from flows.report.corpus_rows import Measure
from flows.report.figures import Figures
from flows.report.model import Block, Column, Section, Table, cells, columns, source
from flows.report.multiples import Bound, Multiple, draw_multiples
from flows.report.svg import chart

_LIMITS = "recipe.diversity."
_NAMES = {
    "opening_3": "same first three words",
    "opening_5": "same first five words",
    "name_share": "most common name",
    "distinct_1": "different words",
    "distinct_2": "different word pairs",
    "distinct_3": "different word triples",
    "self_bleu": "self-BLEU",
    "compression": "compression",
    "overlap": "also on earlier nights",
}
_MEANINGS = {
    "opening_3": "share of the stories that begin with the most common three words",
    "opening_5": "share of the stories that begin with the most common five words",
    "name_share": "share of the stories that hold the most common name",
    "distinct_1": "different words for each word",
    "distinct_2": "different word pairs for each pair",
    "distinct_3": "different word triples for each triple",
    "self_bleu": "mean BLEU-4 (0 to 1) of a story against the others of a sample",
    "compression": "bytes of text for each byte of LZMA: templates compress well",
    "overlap": "share of the different word 5-grams that earlier nights' texts hold",
}
_NUMBERS = {"self_bleu", "compression"}
_EACH_STORY = "opening_3"


def diversity_section(figures: Figures) -> Section | None:
    """Each measure beside those of earlier nights and its limit; None for a night that was not
    measured.
    """
    tonight = _of_night(figures, figures.night)
    if not tonight:
        return None
    panels = [_panel(figures, row) for row in tonight]
    picture = chart(
        "diversity",
        "How much alike the stories are",
        "For each measure a small picture: tonight's value, those of earlier nights, and the "
        "limit with its wrong side shaded. A table holds the numbers of the last two nights.",
        lambda width: draw_multiples(panels, width),
    )
    measured = Block(
        "diversity-measures",
        notes=(_standing(figures, tonight),),
        chart=picture,
        tables=(_measure_table(figures, tonight),),
        sources=source(figures.measures, figures.asked),
    )
    worst = Block(
        "diversity-worst",
        tables=(_worst_table(tonight),),
        sources=source(figures.measures),
        folded="What each measure counts, and the worst cases",
    )
    return Section(
        "diversity",
        "How much alike the stories are",
        "A teacher that tells the same story again is seen here before a student learns it by "
        "heart. Stories beyond a limit of the recipe are kept, but nothing is trained on them.",
        (measured, worst),
    )


def _name(measure: str) -> str:
    """The measure in a few words."""
    return _NAMES.get(measure, formats.words_of_name(measure))


def stopped_by(figures: Figures) -> tuple[str, ...]:
    """The measures beyond their limit, if the night was stopped by them."""
    return tuple(_name(row.measure) for row in _broken(figures))


def _broken(figures: Figures) -> list[Measure]:
    return [row for row in _of_night(figures, figures.night) if not row.is_within]


def _of_night(figures: Figures, night: str | None) -> list[Measure]:
    """The night's measures in the order of their names above, unknown ones last."""
    places = {measure: place for place, measure in enumerate(_NAMES)}
    found = [row for row in figures.measures.rows if row.night == night]
    return sorted(found, key=lambda row: (places.get(row.measure, len(places)), row.measure))


def _panel(figures: Figures, row: Measure) -> Multiple:
    by_night: dict[str, float | None] = {}
    for other in figures.measures.rows:
        by_night.setdefault(other.night, None)
        if other.measure == row.measure:
            by_night[other.night] = other.value
    bound = (
        None
        if row.bound is None
        else Bound(row.bound, _limit_words(figures, row), _is_least(figures, row.measure))
    )
    return Multiple(
        _name(row.measure),
        _value_words(row.measure, row.value),
        tuple(by_night.values()),
        bound,
        row.is_within,
    )


def _measure_table(figures: Figures, tonight: Sequence[Measure]) -> Table:
    nights = list(dict.fromkeys(row.night for row in figures.measures.rows))
    last = nights[-2] if len(nights) > 1 else None
    before = {row.measure: row.value for row in _of_night(figures, last)}
    return Table(
        "Tonight's stories, measured",
        columns("measure", "tonight", "limit", *(["night before"] if last else [])),
        cells(
            [
                (
                    _name(row.measure),
                    _value_words(row.measure, row.value),
                    _limit_words(figures, row),
                    *([_value_words(row.measure, before.get(row.measure))] if last else []),
                )
                for row in tonight
            ]
        ),
        frozenset(place for place, row in enumerate(tonight) if not row.is_within),
    )


def _worst_table(tonight: Sequence[Measure]) -> Table:
    words = (Column("what it counts", is_number=False), Column("worst cases", is_number=False))
    return Table(
        "What the measures stand on (n: texts, words or n-grams), and the worst cases with their "
        "numbers",
        (*columns("measure", "n"), *words),
        cells(
            [
                (
                    _name(row.measure),
                    formats.count(row.n),
                    _MEANINGS.get(row.measure, ""),
                    row.evidence or formats.NONE,
                )
                for row in tonight
            ]
        ),
    )


def _standing(figures: Figures, tonight: Sequence[Measure]) -> str:
    """Whether the limits are kept, and if none binds, why."""
    broken = _broken(figures)
    if broken:
        told = "; ".join(
            f"{_name(row.measure)} {_value_words(row.measure, row.value)}, "
            f"{_limit_words(figures, row)}"
            for row in broken
        )
        return f"The night was stopped before training: {told}."
    limits = [row for row in tonight if row.bound is not None]
    if limits:
        return (
            f"{formats.plural(len(limits), 'limit')} of the recipe could have stopped the night: "
            f"{'it is kept' if len(limits) == 1 else 'all are kept'}."
        )
    asked = [key for key in _limit_keys(figures) if key.startswith(("max_", "min_"))]
    least = figures.setting(f"{_LIMITS}min_stories")
    stories = next((row.n for row in tonight if row.measure == _EACH_STORY), None)
    if "min_stories" in asked and len(asked) > 1 and least and stories is not None:
        if stories >= int(least):
            return "What the recipe limits was not measured tonight."
        return (
            f"The recipe's limits bind from {formats.plural(int(least), 'story', 'stories')} on; "
            f"this night has {formats.count(stories)}, so none does."
        )
    return "The recipe sets no limit."


def _limit_keys(figures: Figures) -> list[str]:
    return [
        row.key.removeprefix(_LIMITS) for row in figures.asked.rows if row.key.startswith(_LIMITS)
    ]


def _is_least(figures: Figures, measure: str) -> bool:
    return figures.setting(f"{_LIMITS}min_{measure}") is not None


def _limit_words(figures: Figures, row: Measure) -> str:
    """The limit with no more digits than it has."""
    side = "at least" if _is_least(figures, row.measure) else "at most"
    if row.bound is None:
        return formats.NONE
    if row.measure in _NUMBERS:
        return f"{side} {row.bound:g}"
    return f"{side} {100 * row.bound:g}\N{NO-BREAK SPACE}%"


def _value_words(measure: str, value: float | None) -> str:
    return formats.number(value, 2) if measure in _NUMBERS else formats.percent(value)
