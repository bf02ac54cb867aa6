"""What a night made, as a person wants to read it: a few tables and sentences from the lake's own
rows.
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from flows.capture_targets import capture_run_id
from flows.night import Tonight
from flows.promote_student import read_decision

_ROLES = ("challenger", "control", "champion", "unigram", "teacher", "prompted_teacher")
_FEW_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Corpus:
    prompts: int
    attempts: int
    accepted: int
    words: int
    unknown_words: int
    reasons: tuple[tuple[str, int], ...]


def night_summary(tonight: Tonight) -> list[RenderableType]:
    """The night's funnel, targets, figures, decision, where things lie, and what to try next.

    Stages that have not run yet are left out.
    """
    return [
        *_stories(tonight),
        *_targets(tonight),
        *_figures(tonight),
        *_decision(tonight),
        *_places(tonight),
    ]


def _stories(tonight: Tonight) -> Iterator[RenderableType]:
    corpus = _corpus(tonight)
    if not corpus.attempts:
        return
    yield Text(
        f"Stories     {corpus.accepted} accepted of {corpus.attempts} attempts at {corpus.prompts} "
        "prompts; "
        f"{corpus.unknown_words / max(corpus.words, 1):.1%} of the accepted words are outside the "
        "vocabulary "
        f"{tonight.vocabulary.name}"
    )
    rejected = ", ".join(f"{reason} {count}" for reason, count in corpus.reasons)
    yield Text(f"  rejected  {rejected or 'none'}")


def _corpus(tonight: Tonight) -> _Corpus:
    funnel = _rows(
        tonight, "select reason, num_stories from funnel where run_id = ?", tonight.unit.run_id
    )
    counts = {row["reason"]: row["num_stories"] for row in funnel}
    accepted = _rows(
        tonight,
        "select coalesce(sum(num_words), 0) as words, "
        "coalesce(sum(num_unknown_words), 0) as unknown_words "
        "from accepted_stories where run_id = ?",
        tonight.unit.run_id,
    )[0]
    prompts = _rows(
        tonight, "select count(*) as n from prompts where run_id = ?", tonight.unit.run_id
    )
    return _Corpus(
        prompts=prompts[0]["n"],
        attempts=sum(counts.values()),
        accepted=counts.pop("accepted", 0),
        words=int(accepted["words"]),
        unknown_words=int(accepted["unknown_words"]),
        reasons=tuple(counts.items()),
    )


def _targets(tonight: Tonight) -> Iterator[RenderableType]:
    run_id = capture_run_id(tonight, tonight.unit)
    rows = _rows(
        tonight,
        "select count(*) as documents, coalesce(sum(len(input_ids)), 0) as tokens, "
        "coalesce(sum(len(target_ids)), 0) as ids from targets where run_id = ?",
        run_id,
    )[0]
    tokens = int(rows["tokens"])
    if not tokens:
        return
    size_bytes = tonight.lake.size_bytes("targets", run_id)
    yield Text(
        f"Targets     {rows['documents']} documents, {tokens:,} tokens, "
        f"{int(rows['ids']) / tokens:.1f} unique ids and "
        f"{size_bytes / tokens:.1f} bytes per token on disk"
    )


def _figures(tonight: Tonight) -> Iterator[RenderableType]:
    rows = _rows(
        tonight,
        "select role, suite, metric, value, low, high, n from evaluations where line = ? and night "
        "= ?",
        tonight.claim.line,
        tonight.claim.night,
    )
    if not rows:
        return
    for suite, meaning in (
        ("selection", "earlier nights' held-out stories"),
        ("confirmation", "tonight's held-out stories"),
    ):
        table = _suite_table(rows, suite, meaning)
        if table is not None:
            yield table
    yield from _distances(rows)
    shares = {(row["role"], row["metric"]): row for row in rows if row["suite"] == "samples"}
    for role in ("challenger", "control"):
        if (role, "required_words") in shares:
            hits, known = shares[role, "required_words"], shares[role, "adherence"]
            yield Text(
                f"Samples     {role}: {hits['value']:.0%} of the words asked for, "
                f"{known['value']:.0%} of its words in the "
                f"vocabulary ({hits['n']} stories)"
            )
    yield from _honesty(tonight)


def _distances(rows: list[dict[str, Any]]) -> Iterator[RenderableType]:
    found = {(r["role"], r["metric"]): r["value"] for r in rows if r["suite"] == "confirmation"}
    for role in ("challenger", "control"):
        if (role, "forward_kl") in found:
            yield Text(
                f"Distance    {role}: {found[role, 'forward_kl']:.3f} nats (KL) from its teacher, "
                f"{found[role, 'accepted_share']:.0%} of its symbols accepted as a draft"
            )


def _suite_table(rows: list[dict[str, Any]], suite: str, meaning: str) -> Table | None:
    figures = {(row["role"], row["metric"]): row for row in rows if row["suite"] == suite}
    if not figures:
        return None
    n = next(row["n"] for (_, metric), row in figures.items() if metric == "bits_per_byte")
    title = f"{suite.capitalize()}: {n} documents ({meaning})"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("who", "bits/byte", "95 % interval", "without end", "top-1 match"):
        table.add_column(name, justify="left" if name == "who" else "right", no_wrap=True)
    for role in _ROLES:
        whole = figures.get((role, "bits_per_byte"))
        if whole is None:
            continue
        agreement = figures.get((role, "top1_agreement"))
        table.add_row(
            role.replace("_", " "),
            f"{whole['value']:.3f}",
            f"{whole['low']:.3f} to {whole['high']:.3f}",
            f"{figures[role, 'bits_per_byte_without_end']['value']:.3f}",
            f"{agreement['value']:.1%}" if agreement else "",
        )
    return table


def _honesty(tonight: Tonight) -> Iterator[RenderableType]:
    tokens = _rows(
        tonight,
        "select coalesce(sum(t.num_tokens), 0) as n from training_documents t "
        "join evaluations e on e.subject_id = t.student_id where e.line = ? and e.night = ? "
        "and e.role = 'challenger' and e.metric = 'bits_per_byte' and e.suite = 'confirmation'",
        tonight.claim.line,
        tonight.claim.night,
    )[0]["n"]
    if 0 < tokens < _FEW_TOKENS:
        yield Text(
            f"Be warned   {int(tokens):,} tokens of stories teach a student of this size little: "
            "it babbles. The unigram line "
            "shows what mere word counts reach; real corpora hold millions of tokens."
        )


def _decision(tonight: Tonight) -> Iterator[RenderableType]:
    row = read_decision(tonight)
    if row is None:
        return
    yield Text(f"Decision    {row['explanation']}")
    smallest = row["smallest_difference"]
    if smallest is not None:
        against = "the champion" if row["champion_id"] else "its control"
        yield Text(
            f"            the smallest gain that this night could have shown (against {against}): "
            f"{smallest:.3f} bits per byte"
        )


def _places(tonight: Tonight) -> Iterator[RenderableType]:
    root = tonight.lake.root
    line = tonight.claim.line
    yield Text(f"Where       lake {root}")
    if (root / "champion" / line).exists():
        yield Text(f"            champion {root / 'champion' / line}")
    yield Text(f"            catalog for any DuckDB client {root / 'catalog.duckdb'}")
    lake = f" --data {shlex.quote(str(root))}"
    yield Text("Try next")
    for command in (
        'sql "select text, num_words from accepted_stories limit 3"',
        'sql "select distinct night, student_role, suite, metric, value from lineage '
        "where word = 'happy'\"",
        f'tell --line {line} --words "jump, boat, happy"',
    ):
        yield Text(f"  stillhouse {command}{lake}")


def _rows(tonight: Tonight, sql: str, *parameters: object) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = tonight.lake.query(sql, parameters).to_pylist()
    return rows
