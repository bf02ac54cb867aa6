"""The section on where the texts come from: the prompt family of the night, and beside it what
earlier nights and imports gave.
"""

from flows.report import charts, formats
from flows.report.corpus_rows import Origin
from flows.report.figures import Figures
from flows.report.model import Block, Column, Section, Table, cells, columns, source
from flows.report.svg import CHARACTER, chart

_LABEL_SHARE = 0.35


def origin_section(figures: Figures) -> Section | None:
    """Every source of texts, and the slots of tonight's prompts."""
    if not any(row.num_texts for row in figures.origins.rows):
        return None
    blocks = [_origin_block(figures)]
    if figures.slots.rows:
        blocks.append(_slot_block(figures))
    return Section(
        "origins",
        "Where the texts come from",
        f"{_family_sentence(figures)}{_reading_sentence(figures)}; what is held out, too long or "
        "there twice they are not trained on.",
        tuple(blocks),
    )


def _family_sentence(figures: Figures) -> str:
    plan = figures.plan.first
    if plan is None:
        return ""
    if plan.family is None:
        return f"Tonight's prompts ask for words of the vocabulary {plan.vocabulary}. "
    return (
        f"Tonight's prompts are of the prompt family {plan.family}, with words of the vocabulary "
        f"{plan.vocabulary}. "
    )


def _reading_sentence(figures: Figures) -> str:
    kinds = [row.kind for row in figures.origins.rows]
    others = ["those of earlier nights"] * (kinds.count("night") > 1)
    others += ["the recipe's imports"] * ("import" in kinds)
    beside = f" and {' and '.join(others)}" if others else " alone"
    return f"The students may read tonight's stories{beside}"


def _origin_block(figures: Figures) -> Block:
    found = figures.origins.rows
    table = Table(
        "Sources of texts, oldest first",
        (
            Column("night or import", is_number=False),
            Column("how it came", is_number=False),
            *columns("", "accepted", "words", "trained on", "tokens trained on")[1:],
        ),
        cells(
            [
                (
                    row.source,
                    _how_it_came(row),
                    formats.count(row.num_texts),
                    formats.count(row.num_words),
                    formats.count(row.num_trained),
                    formats.count(row.num_trained_tokens),
                )
                for row in found
            ]
        ),
        frozenset({len(found) - 1}),
    )
    picture = chart(
        "origins",
        "Texts by where they come from",
        "For each source a bar of the texts that the challenger was trained on and one of those "
        "accepted. The table holds the same numbers.",
        lambda width: charts.draw_bars([_bars(row, width) for row in found], width),
    )
    return Block(
        "origins-sources",
        chart=picture if len(found) > 1 else None,
        tables=(table,),
        sources=source(figures.origins, figures.plan),
    )


def _bars(row: Origin, width: float) -> charts.Bars:
    """The source's texts; where there is little room its label is its name alone."""
    label = f"{row.kind} {row.source}"
    return charts.Bars(
        label if len(label) * CHARACTER < width * _LABEL_SHARE else row.source,
        (
            charts.Bar(
                row.num_trained, f"{formats.count(row.num_trained)} trained on", "bar challenger"
            ),
            charts.Bar(row.num_texts, f"{formats.count(row.num_texts)} accepted", "bar"),
        ),
    )


def _slot_block(figures: Figures) -> Block:
    plan = figures.plan.first
    prompts = plan.num_prompts if plan else 0
    table = Table(
        "Slots of tonight's prompts",
        columns("slot", "different values", "prompts with it", "share"),
        cells(
            [
                (
                    formats.words_of_name(row.slot),
                    formats.count(row.num_values),
                    formats.count(prompts - row.num_prompts_without),
                    formats.percent(1 - row.num_prompts_without / prompts if prompts else None),
                )
                for row in figures.slots.rows
            ]
        ),
    )
    return Block(
        "origins-slots",
        tables=(table,),
        sources=source(figures.slots, figures.plan),
        folded="What the prompts asked for",
    )


def _how_it_came(row: Origin) -> str:
    if row.kind == "import":
        return f"import, {row.licence or formats.NONE}, from {row.origin or formats.NONE}"
    return f"prompt family {row.family}" if row.family else "written to order"
