"""The sections on what the students' stories are like beside the corpus, and what of the training
text they know by heart.
"""

import math

from flows.report import formats
from flows.report.figures import Figures
from flows.report.memory_rows import Copy, Exposure, TextMeasure
from flows.report.model import (
    Block,
    Column,
    Section,
    Story,
    StoryRow,
    Table,
    cells,
    columns,
    source,
)

_WHO = {
    "challenger": "challenger",
    "control": "control",
    "teacher": "held-out stories",
    "corpus": "tonight's corpus",
}
_NAMES = {
    "adherence": ("words in the vocabulary", "in a listed form; mean over texts"),
    "adherence_strict": ("words as listed", "the listed word itself; mean over texts"),
    "inside_vocabulary": ("texts inside the vocabulary", "no word outside it"),
    "required_words": ("words asked for", "in a listed form; mean over texts"),
    "opening_3": ("same first three words", "the most common ones"),
    "opening_5": ("same first five words", "the most common ones"),
    "name_share": ("most common name", "share of the texts that hold it"),
    "distinct_1": ("different words", "for each word"),
    "distinct_2": ("different word pairs", "for each pair"),
    "distinct_3": ("different word triples", "for each triple"),
    "self_bleu": ("self-BLEU", "mean BLEU-4 of a text against the others"),
    "compression": ("compression", "bytes of text for each byte of LZMA"),
    "reading_grade": ("reading grade", "Flesch-Kincaid, US school years"),
}
_NUMBERS = ("self_bleu", "compression", "reading_grade")
_COPIED = ("copied_8", "copied_16", "copied_32", "copied_run", "longest_copied_run")
_CHANCE_BITS = math.log2(math.e)


def texts_section(figures: Figures) -> Section | None:
    """What students tell, measured as the corpus is; None for a night without such figures."""
    found = {(row.metric, row.role): row for row in figures.text_measures.rows}
    if not any(metric in _NAMES and role == "corpus" for metric, role in found):
        return None
    table = Table(
        "Told stories beside the teacher's, with 95 % intervals",
        (*columns("measure", *_WHO.values()), Column("what it counts", is_number=False)),
        cells(
            [
                (name, *(_cell(found.get((metric, role))) for role in _WHO), meaning)
                for metric, (name, meaning) in _NAMES.items()
                if any((metric, role) in found for role in _WHO)
            ]
        ),
    )
    counted = ", ".join(
        f"{who} {formats.count(row.n)}"
        for role, who in _WHO.items()
        if (row := found.get(("adherence", role)))
    )
    notes = (
        f"Texts: {counted}. Different words and compression are measured on equally many words, "
        "self-BLEU on equally many texts; they have no interval, since a text that is drawn twice "
        "repeats itself.",
    )
    block = Block(
        "texts-measures", notes=notes, tables=(table,), sources=source(figures.text_measures)
    )
    return Section(
        "texts",
        "What students tell, measured",
        "The same measures of what both students tell, of the teacher's stories that no student "
        "has read, and of tonight's corpus.",
        (block,),
    )


def memory_section(figures: Figures) -> Section | None:
    """What the students' stories copy of the training text, and how far canaries are given away."""
    blocks = [*_copied_blocks(figures), *_exposure_blocks(figures)]
    if not blocks:
        return None
    return Section(
        "memorisation",
        "Learnt by heart",
        "How much of what students tell stands word for word in their training text. Stories that "
        "no student has read share some of it too: that is the mark to compare with.",
        tuple(blocks),
    )


def _copied_blocks(figures: Figures) -> list[Block]:
    found = {(row.metric, row.role): row for row in figures.text_measures.rows}
    roles = [role for role in _WHO if ("copied_run", role) in found]
    if not roles:
        return []
    table = Table(
        "Share of n-grams that stand in the training text, and longest copied run in words",
        columns("texts", "8 words", "16 words", "32 words", "mean run", "longest", "n"),
        cells(
            [
                (
                    _WHO[role],
                    *(_cell(found.get((metric, role))) for metric in _COPIED),
                    formats.count(found["copied_run", role].n),
                )
                for role in roles
            ]
        ),
        frozenset({roles.index("challenger")} if "challenger" in roles else ()),
    )
    measured = Block("memorisation-shares", tables=(table,), sources=source(figures.text_measures))
    if not figures.copies.rows:
        return [measured]
    return [
        measured,
        Block(
            "memorisation-copies",
            "The longest copied runs beside their source",
            story_rows=tuple(map(_copy_row, figures.copies.rows)),
            sources=source(figures.copies),
        ),
    ]


def _copy_row(row: Copy) -> StoryRow:
    told = Story(row.role, row.role, row.text, f"copied: {row.copied_words}")
    held = Story(
        "training document",
        "teacher",
        row.source_text or "",
        f"document {row.copied_doc_id}",
    )
    return StoryRow(f"{formats.plural(row.num_copied_words, 'word')} in a row", (told, held))


def _exposure_blocks(figures: Figures) -> list[Block]:
    found = figures.exposures.rows
    if not found:
        return []
    most = math.log2(max(row.num_ranked for row in found))
    table = Table(
        "Mean exposure of canaries in bits, by the documents that they were planted into",
        columns("planted", "who", "canaries", "trained on", "exposure", "95 % interval", "highest"),
        cells([_exposure_cells(row) for row in found]),
        frozenset(place for place, row in enumerate(found) if not row.num_planted),
    )
    notes = (
        "A canary is a random secret, planted into documents to see what a student gives away. "
        f"{formats.number(_CHANCE_BITS, 2)} bits are expected of a secret that was never planted; "
        f"{formats.number(most, 0)} bits mean that it is likelier than all "
        f"{formats.count(max(row.num_ranked for row in found) - 1)} others.",
    )
    return [
        Block(
            "memorisation-exposure",
            "Canaries",
            notes,
            tables=(table,),
            sources=source(figures.exposures),
        )
    ]


def _exposure_cells(row: Exposure) -> tuple[str, ...]:
    return (
        formats.plural(row.num_planted, "time") if row.num_planted else "never",
        row.role,
        formats.count(row.num_canaries),
        formats.number(row.num_trained, 1),
        formats.number(row.exposure, 2),
        formats.interval(row.low, row.high, 2) if _is_finite(row.low, row.high) else formats.NONE,
        formats.number(row.highest, 2),
    )


def _cell(row: TextMeasure | None) -> str:
    """The value with its interval, if it has one."""
    if row is None:
        return formats.NONE

    def shown(value: float) -> str:
        if row.metric in ("copied_run", "longest_copied_run"):
            return formats.number(value, 0 if row.metric.startswith("longest") else 1)
        return formats.number(value, 2) if row.metric in _NUMBERS else formats.percent(value)

    if not _is_finite(row.low, row.high):
        return shown(row.value)
    return f"{shown(row.value)} ({shown(row.low)} to {shown(row.high)})"


def _is_finite(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and math.isfinite(low) and math.isfinite(high)
