"""The README.md of an exported corpus: recipe, vocabulary, teacher, counts, verdicts, digest.

It holds no clock, host or path, so the same export has the same card; and of the engine only its
kind and model, since addresses are nobody else's business.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata, resources
from typing import Any

import jinja2

from flows.corpora import Chosen, KnownTeacher
from warehouse.exchange_export import HELD_OUT, REJECTED, TRAIN, ExportCounts, ExportRequest
from warehouse.exchange_writers import ROWS

_TEMPLATE = "data_card.md.j2"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
_LARGE = ((1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"))
_SHOWN_OF_ENGINE = ("kind", "model")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_READING = {
    "hf": "`datasets.load_dataset(FOLDER)` reads this folder; rows are in the order of the plan.",
    "parquet": "Parquet files, one or several a split; rows are in the order of the plan.",
    "jsonl": "One JSON object a line; rows are in the order of the plan.",
    "txt": "Plain text; a line `<|endoftext|>` ends each text. Texts are in the order of the plan.",
}
_MEANINGS = {
    "story_id": "digest of prompt, teacher, sampling and attempt",
    "text": "the text",
    "prompt": "what the teacher was told, before its chat template",
    "words": "words (lemmas) that had to occur, in any form",
    "family": "prompt family; null in nights older than families",
    "slots": "JSON: what each slot of the family held",
    "sentence": "sentence that had to stand in the text, if any",
    "split": "train, held_out or rejected",
    "line": "recipe that asked for it",
    "night": "night of that line",
    "plan_index": "place in the line's plan",
    "attempt": "0 for the first try of its prompt",
    "reason": "verdict that failed; null in train and held_out",
    "doc_id": "digest of the text",
    "num_words": "words in the text",
    "num_bytes": "UTF-8 bytes of the text",
    "vocabulary": "name of the controlled vocabulary",
    "teacher_digest": "digest of the teacher's files",
}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card says beside the counts. `licence`: the teacher's, as the exporter says."""

    chosen: Chosen
    request: ExportRequest
    lake_digest: str
    teachers: Mapping[str, KnownTeacher]
    licence: str | None


def data_card(facts: CardFacts, counts: ExportCounts) -> str:
    """The card as Markdown, with the head that Hugging Face reads."""
    environment = jinja2.Environment(
        autoescape=False,  # Markdown; every foreign value goes through one of the filters
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"quoted": _quoted, "code": _code, "cell": _cell, "indented": _indented}
    folder = resources.files("flows") / "report" / "templates"
    template = environment.from_string((folder / _TEMPLATE).read_text(encoding="utf-8"))
    return template.render(_values(facts, counts))


def _values(facts: CardFacts, counts: ExportCounts) -> dict[str, Any]:
    request, chosen = facts.request, facts.chosen
    lines = list(dict.fromkeys(night.line for night in chosen.nights))
    written = sum(counts.stories[split] for split in request.splits)
    return {
        "title": f"Texts of {', '.join(lines)}",
        "size_category": _size_category(written),
        "data_files": _data_files(request, counts),
        "splits": [_split(name, request, counts) for name in (TRAIN, HELD_OUT, REJECTED)],
        "reading": _READING[request.form],
        "columns": [(n, _MEANINGS[n]) for n in ROWS.names] if request.form != "txt" else [],
        "vocabularies": [
            {"name": name, "digest": digest} for digest, name in sorted(counts.vocabularies.items())
        ],
        "teachers": [_teacher(facts, digest) for digest in sorted(counts.teacher_digests)],
        "nights": [
            {
                "line": night.line,
                "night": night.night,
                "first": night.first_index,
                "last": night.first_index + night.num_indices - 1,
                "numerics": night.numerics,
            }
            for night in chosen.nights
        ],
        "left_out": chosen.left_out,
        "verdicts": _verdicts(counts),
        "recipes": _recipes(chosen),
        "lake_digest": facts.lake_digest,
        "version": metadata.version("stillhouse"),
    }


def _data_files(request: ExportRequest, counts: ExportCounts) -> list[tuple[str, str]]:
    if request.form != "hf":
        return []
    full = [split for split in request.splits if counts.stories[split]]
    return [(split, f"data/{split}-*.parquet") for split in full]


def _split(name: str, request: ExportRequest, counts: ExportCounts) -> dict[str, object]:
    return {
        "name": name,
        "num_texts": counts.stories[name],
        "num_words": counts.words[name],
        "size_bytes": counts.size_bytes[name],
        "is_written": name in request.splits,
    }


def _teacher(facts: CardFacts, digest: str) -> dict[str, str]:
    known = facts.teachers.get(digest)
    return {
        "name": known.name if known else "(its name is not known here)",
        "licence": facts.licence or (known.licence if known else "not known: ask its publisher"),
        "digest": digest,
    }


def _verdicts(counts: ExportCounts) -> list[dict[str, object]]:
    accepted = counts.num_attempts - counts.reasons.total()
    rows = [("accepted", accepted), *sorted(counts.reasons.items(), key=lambda r: (-r[1], r[0]))]
    return [
        {"name": name, "num": num, "share": f"{num / max(counts.num_attempts, 1):.1%}"}
        for name, num in rows
    ]


def _recipes(chosen: Chosen) -> list[dict[str, str]]:
    """Each recipe once, with the nights that it was asked for."""
    nights: dict[str, list[str]] = {}
    for night in chosen.nights:
        recipe = json.loads(night.asked)["recipe"]
        if "engine" in recipe:
            recipe["engine"] = {
                key: value for key, value in recipe["engine"].items() if key in _SHOWN_OF_ENGINE
            }
        text = json.dumps(recipe, indent=2, sort_keys=True, ensure_ascii=False)
        nights.setdefault(text, []).append(f"{night.line} {night.night}")
    return [{"nights": ", ".join(names), "json": text} for text, names in nights.items()]


def _size_category(num_texts: int) -> str:
    return next((name for below, name in (*_SIZES, *_LARGE) if num_texts < below), "n>100M")


def _quoted(text: str) -> str:
    """As a YAML scalar: JSON's form is one of YAML's."""
    return json.dumps(text, ensure_ascii=True)


def _code(text: str) -> str:
    """In code marks, which nothing in the text can end."""
    return f"`{_cell(text).replace('`', chr(39))}`"


def _cell(text: str) -> str:
    """One line that stays inside its cell of a table."""
    line = _CONTROL.sub(" ", text).replace("|", "/")
    return line.replace("<", "&lt;").replace("[", "(").replace("]", ")")


def _indented(text: str) -> str:
    """A block of code: JSON has no control characters that could end it."""
    return "\n".join(f"    {line}" for line in text.split("\n"))
