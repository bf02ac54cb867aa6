"""The README.md inside a student's folder: what it is, what it was made from, what it reached.

It is written when the student is saved, and anew when a night has measured it. So what is known at
training stands beside it in card.json, and the figures come from the lake. Neither file is a part
of the student's identity; neither holds a clock, so the same lake writes the same card.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from distill.students.presets import preset_named

_SHOWN_DIGITS = 4
_SPACES = {
    "trimmed": "the teacher's tokenizer",
    "teacher": "the teacher's whole tokenizer",
    "own": "a tokenizer trained on its texts",
}
_FEW_TOKENS = 1_000_000
_BODY = """\
# {preset} of line {line}, night {night}

A super tiny language model ({role}), trained by Stillhouse on {num_documents} short texts.
{wrote}

{reads}

    from transformers import AutoModelForCausalLM, AutoTokenizer
    model, tokenizer = AutoModelForCausalLM.from_pretrained("."), AutoTokenizer.from_pretrained(".")

## What it is

{what}

## What it was made from

{source}

## Figures

{figures}

## Limits

{limits}
"""
_DECISIONS = "\n\nDecisions:\n"
_WORDS_LINE = """\
It reads the start symbol, then perhaps a line `Words: a, b, c`, then writes a story. It knows
nothing but such stories."""

_INSTRUCT = """\
It reads the start symbol, then perhaps some of these lines, in any order, before the last one,
then writes a story. It knows nothing but such stories.

{lines}
    Text:"""
_UNMEASURED = """\
None yet: no night has measured it. This file is written anew when one has."""


@dataclass(frozen=True, slots=True)
class Source:
    """Texts or a model that the student comes from; a licence of None is not known here."""

    kind: str
    name: str
    digest: str
    licence: str | None
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What is known of a student when it is saved.

    `num_tokens` counts target tokens seen, repeats included, `num_story_tokens` those of the
    documents once; instruct_lines are those that it was trained on, None: it reads the line of its
    words.
    """

    line: str
    night: str
    role: str
    student_id: str
    preset: str
    num_parameters: int
    vocab_size: int
    token_space_digest: str
    alpha: float
    num_documents: int
    num_left_out: int
    num_tokens: int
    num_story_tokens: int
    training_set_digest: str
    parent_snapshot: int
    vocabulary: str
    vocabulary_digest: str
    instruct_lines: tuple[str, ...] | None
    sources: tuple[Source, ...]
    token_space: str = "trimmed"
    on_policy: str = ""

    def to_json(self) -> str:
        """As card.json holds it."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "CardFacts":
        """What to_json wrote; ValueError or TypeError for anything else."""
        values: dict[str, Any] = json.loads(text)
        sources = tuple(Source(**source) for source in values.pop("sources"))
        lines = values.pop("instruct_lines")
        return cls(
            **values, sources=sources, instruct_lines=None if lines is None else tuple(lines)
        )


@dataclass(frozen=True, slots=True)
class CardFigures:
    """What the lake says of a student: rows of `evaluations`, and its decisions in a sentence
    each, oldest first.
    """

    rows: Sequence[Mapping[str, Any]] = ()
    decisions: Sequence[str] = field(default_factory=tuple)


def model_card(facts: CardFacts, figures: CardFigures | None = None) -> str:
    """The card's text: the head that Hugging Face reads, with the figures as its `model-index`, and
    the same for people.
    """
    found = figures or CardFigures()
    teachers = [source for source in facts.sources if source.kind == "teacher"]
    by = ", ".join(f"`{source.name}`" for source in teachers)
    wrote = f"The teacher {by} wrote them from the controlled vocabulary `{facts.vocabulary}`."
    if len(teachers) < len(facts.sources):
        wrote = wrote.replace("them", "them, but for imported ones,")
    body = _BODY.format(
        preset=facts.preset,
        line=facts.line,
        night=facts.night,
        role=facts.role,
        num_documents=facts.num_documents,
        wrote=wrote,
        reads=_reads(facts.instruct_lines),
        what=_table(("what", "value"), _what(facts)),
        source=_table(("what", "name", "licence", "digest", "from"), _sources(facts)),
        figures=_figures(found),
        limits="\n".join(_limits(facts)),
    )
    return f"---\n{_head(facts, found)}\n---\n\n{body}"


def _head(facts: CardFacts, figures: CardFigures) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=f"{row['line']}-{row['suite']}",
            dataset_name=f"{row['line']}, night {row['night']}: {row['suite']}",
            dataset_config=f"night {row['night']}",
            dataset_split=row["suite"],
            dataset_revision=row["suite_digest"],
            metric_type=row["metric"],
            metric_name=row["metric"].replace("_", " "),
            metric_value=round(row["value"], 6),
            metric_args={
                "n": row["n"],
                "low_95": round(row["low"], 6),
                "high_95": round(row["high"], 6),
            },
        )
        for row in figures.rows
    ]
    card = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["stillhouse", "distillation"],
        model_name=f"{facts.preset} of {facts.line}, night {facts.night}" if results else None,
        eval_results=results or None,
    )
    return str(card.to_yaml())


def _what(facts: CardFacts) -> Iterator[Sequence[str]]:
    preset = preset_named(facts.preset)
    teacher_weight = (
        f"sampled teacher targets, weight {facts.alpha}, beside the text's own next token"
    )
    yield "student id", f"`{facts.student_id}`"
    yield "parameters", f"{facts.num_parameters:,}"
    yield (
        "shape",
        f"Llama, {preset.num_layers} layers of width {preset.hidden_size}, {preset.num_heads} "
        f"heads, {preset.max_position_embeddings:,} positions",
    )
    space = _SPACES.get(facts.token_space, _SPACES["trimmed"])
    yield "token space", f"{facts.vocab_size:,} ids of {space}, `{facts.token_space_digest}`"
    yield "objective", teacher_weight if facts.alpha else "plain cross entropy"
    if facts.on_policy:
        yield "on-policy phase", facts.on_policy
    yield "target tokens seen", f"{facts.num_tokens:,} (repeats counted)"


def _sources(facts: CardFacts) -> Iterator[Sequence[str]]:
    for source in facts.sources:
        licence = source.licence or "not known here: ask whoever made it"
        yield source.kind, f"`{source.name}`", licence, f"`{source.digest}`", source.origin or ""
    yield "vocabulary", f"`{facts.vocabulary}`", "", f"`{facts.vocabulary_digest}`", ""
    snapshot = f"snapshot {facts.parent_snapshot} of the lake, and the night's own texts"
    yield "corpus", snapshot, "", f"`{facts.training_set_digest}`", ""


def _figures(figures: CardFigures) -> str:
    if not figures.rows:
        return _UNMEASURED
    rows = (
        (
            row["metric"].replace("_", " "),
            row["suite"],
            f"{row['line']}, {row['night']}",
            f"{row['value']:.{_SHOWN_DIGITS}f}",
            f"{row['low']:.{_SHOWN_DIGITS}f} to {row['high']:.{_SHOWN_DIGITS}f}",
            f"{row['n']:,}",
            f"`{row['suite_digest']}`",
        )
        for row in figures.rows
    )
    head = ("figure", "suite", "line, night", "value", "95 % interval", "n", "suite digest")
    told = "".join(f"\n- {decision}" for decision in figures.decisions)
    return (
        "As the night that trained it measured it, and the last night that did if that is another. "
        "Figures compare\nwhere the suite digests are equal. n counts documents, positions or told "
        f"stories.\n\n{_table(head, rows)}{_DECISIONS + told if told else ''}"
    )


def _limits(facts: CardFacts) -> Iterator[str]:
    if facts.num_story_tokens < _FEW_TOKENS:
        yield (
            f"- {facts.num_story_tokens:,} tokens of stories teach a student of this size little: "
            "it babbles."
        )
    yield "- It is no assistant, knows no facts, and follows no instruction but the form above."
    yield "- It may repeat what it was trained on, word for word."
    yield (
        f"- {facts.num_left_out:,} documents were left out of its training, as they hold an id "
        "that it lacks or are too long for it."
    )
    yield (
        "- This folder states no licence of its own: what it was made from has the licences above."
    )
    yield (
        "- Stillhouse writes this file from card.json and the lake whenever a night has measured "
        "the student;\n  notes of your own are lost here."
    )


def _reads(instruct_lines: Sequence[str] | None) -> str:
    if instruct_lines is None:
        return _WORDS_LINE
    return _INSTRUCT.format(lines="\n".join(f"    {name}: ..." for name in instruct_lines))


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """One line that ends no cell: names and origins are what somebody typed."""
    flat = "".join(sign if sign.isprintable() else " " for sign in text)
    return flat.replace("|", "\\|").replace("<", "&lt;")
