"""The sections on the stories: what the teacher wrote, what its students tell, which words."""

from collections.abc import Sequence
from itertools import groupby

from datagen.verdict import LATER_REASONS
from flows.report import charts, formats, rows
from flows.report.figures import Figures
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
from flows.report.svg import chart

_SHOWN = 3
_FEW_TOKENS = 1_000_000
MEANINGS = {
    "accepted": "passed every check",
    "empty": "no word at all",
    "odd_characters": "signs or lists that no story holds",
    "refusal": "says that it cannot do the task",
    "assistant_talk": "speaks about the task, not in the story",
    "blocked": "holds a word of the recipe's block list",
    "too_short": "fewer words than asked for",
    "too_long": "more words than asked for",
    "unfinished": "cut off, or no end like a sentence's",
    "repetition": "goes round in a loop",
    "missing_words": "lacks a word that it was asked to use",
    "missing_sentence": "lacks the sentence that it was asked to use",
    "unknown_words": "too many words outside the vocabulary",
    "hard_to_read": "sentences or words too long for the grade asked for",
    "grammar": "too many faults of grammar",
    "duplicate": "repeats an older story",
    "near_duplicate": "is nearly the same as an older story",
}


def told_section(figures: Figures) -> Section | None:
    """The teacher's held-out stories beside what both students tell for the same words."""
    found = [
        _told_row(list(group))
        for _, group in groupby(figures.told.rows, key=lambda row: row.sample)
    ]
    if not found:
        return None
    blocks = [
        Block(
            "told-first",
            notes=_few_tokens_notes(figures),
            story_rows=tuple(found[:_SHOWN]),
            sources=source(figures.told, figures.students),
        )
    ]
    if found[_SHOWN:]:
        more = formats.plural(len(found) - _SHOWN, "more set of words", "more sets of words")
        blocks.append(Block("told-more", story_rows=tuple(found[_SHOWN:]), folded=more))
    return Section(
        "told",
        "Stories side by side",
        "The teacher's held-out story, which no student has seen, and what the challenger and its "
        "control tell when asked for the same words. These are the first held-out stories of the "
        "plan: nobody chose them.",
        tuple(blocks),
    )


def _few_tokens_notes(figures: Figures) -> tuple[str, ...]:
    student = figures.student("challenger")
    if student is None or not 0 < student.num_story_tokens < _FEW_TOKENS:
        return ()
    times = student.num_tokens / student.num_story_tokens
    return (
        f"{formats.count(student.num_story_tokens)} tokens of stories, each seen about "
        f"{formats.number(times, 0)} times, teach a student of "
        f"{formats.count(student.num_parameters)} parameters little: it babbles. Real corpora hold "
        "millions of tokens.",
    )


def _told_row(group: Sequence[rows.Told]) -> StoryRow:
    first = group[0]
    teacher = Story("teacher", "teacher", first.teacher_text or "", "")
    students = [Story(row.role, row.role, row.text, _facts(row)) for row in group]
    shown = [teacher, *students] if first.teacher_text else students
    return StoryRow(", ".join(first.words), tuple(shown))


def _facts(row: rows.Told) -> str:
    return (
        f"{row.num_required_hit} of {len(row.words)} words asked for; "
        f"{formats.count(row.num_unknown_words)} of {formats.plural(row.num_words, 'word')} "
        "outside the vocabulary"
    )


def stories_section(figures: Figures) -> Section | None:
    """The funnel from attempts to accepted stories, and two of these."""
    if not figures.funnel.rows:
        return None
    blocks = [_funnel_block(figures)]
    if figures.examples.rows:
        stories = tuple(
            Story(", ".join(row.words), "teacher", row.text, formats.plural(row.num_words, "word"))
            for row in figures.examples.rows
        )
        blocks.append(
            Block(
                "stories-examples",
                "The first accepted stories of the plan",
                story_rows=(StoryRow("", stories),),
                sources=source(figures.examples),
            )
        )
    claim, plan = figures.claim.first, figures.plan.first
    asked = formats.count(claim.num_indices) if claim else formats.NONE
    tried = formats.count(plan.num_prompts) if plan else "0"
    return Section(
        "stories",
        "Stories",
        f"{tried} of the {asked} prompts that the night asked for have been tried. A prompt "
        "without an accepted story is tried again, up to the recipe's number of attempts; every "
        "attempt is kept with its verdict.",
        tuple(blocks),
    )


def _funnel_block(figures: Figures) -> Block:
    found = figures.funnel.rows
    total = sum(row.num_stories for row in found)
    bars = [
        charts.Bars(
            formats.words_of_name(row.reason),
            (
                charts.Bar(
                    row.num_stories,
                    f"{formats.count(row.num_stories)}  ({formats.percent(row.share)})",
                    "bar challenger" if row.reason == "accepted" else "bar",
                ),
            ),
        )
        for row in found
    ]
    table = Table(
        f"{formats.count(total)} attempts by outcome",
        (*columns("outcome", "attempts", "share"), Column("meaning", is_number=False)),
        cells(
            [
                (
                    formats.words_of_name(row.reason),
                    formats.count(row.num_stories),
                    formats.percent(row.share),
                    MEANINGS.get(row.reason, ""),
                )
                for row in found
            ]
        ),
        frozenset(place for place, row in enumerate(found) if row.reason == "accepted"),
    )
    return Block(
        "stories-funnel",
        chart=chart(
            "funnel",
            "Attempts by outcome",
            "A bar for the accepted stories and one for each reason of rejection, as long as their "
            "number. The table holds the same numbers.",
            lambda width: charts.draw_bars(bars, width),
        ),
        tables=(table,),
        sources=source(figures.funnel, figures.plan, figures.claim),
    )


def words_section(figures: Figures) -> Section | None:
    """The share of words outside the vocabulary, and which they are."""
    corpus, coverage, plan = figures.corpus.first, figures.coverage.first, figures.plan.first
    if corpus is None or plan is None or not corpus.num_words:
        return None
    share = corpus.num_unknown_words / corpus.num_words
    used = (
        f" {formats.count(coverage.num_forms_used)} forms of the vocabulary were used, and "
        f"{formats.plural(coverage.num_distinct_unknown_words, 'distinct word')} beside it."
        if coverage
        else ""
    )
    return Section(
        "words",
        "Words outside the vocabulary",
        f"{formats.count(corpus.num_unknown_words)} of the {formats.count(corpus.num_words)} words "
        f"of the accepted stories ({formats.percent(share)}) are outside the vocabulary "
        f"{plan.vocabulary}.{used}",
        (_words_block(figures),),
    )


def _words_block(figures: Figures) -> Block:
    found = figures.unknown_words.rows
    sources = source(figures.corpus, figures.unknown_words, figures.coverage)
    if not found:
        return Block("words-top", sources=sources)
    bars = [
        charts.Bars(
            row.word,
            (charts.Bar(row.num_occurrences, formats.count(row.num_occurrences), "bar"),),
        )
        for row in found
    ]
    table = Table(
        "The words outside the vocabulary that occur most often",
        columns("word", "occurrences", "stories"),
        cells(
            [
                (row.word, formats.count(row.num_occurrences), formats.count(row.num_stories))
                for row in found
            ]
        ),
    )
    picture = chart(
        "unknown-words",
        table.caption,
        "A bar for each word, as long as its number of occurrences. The table holds the same "
        "numbers.",
        lambda width: charts.draw_bars(bars, width),
    )
    notes = (
        ("The counts of single words include stories that a later pass found to be duplicates.",)
        if any(row.reason in LATER_REASONS for row in figures.funnel.rows)
        else ()
    )
    return Block("words-top", notes=notes, chart=picture, tables=(table,), sources=sources)
