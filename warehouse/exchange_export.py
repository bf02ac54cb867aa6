"""Corpora out: accepted stories, with the prompt that ordered them, as files with a data card.

One shard of the lake is in memory at a time. The rows are in the order of their nights, and inside
a night in plan order, from one snapshot of the lake: the same export has the same bytes.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warehouse.errors import ExchangeError
from warehouse.exchange_folder import place_folder
from warehouse.exchange_writers import FORMATS, ROWS, Row, Writer, writers
from warehouse.lake import Lake
from warehouse.schemas import PROMPTS, STORIES, VERDICTS
from warehouse.split import is_held_out

TRAIN, HELD_OUT, REJECTED = "train", "held_out", "rejected"
SPLITS = (TRAIN, HELD_OUT, "all")
CARD = "README.md"
_FIRST_WORDS = ("verb", "noun", "adjective")


@dataclass(frozen=True, slots=True)
class ExportUnit:
    """The stories of one night: the run that wrote them, the passes that spoke of them, and the
    share that its line holds out.
    """

    line: str
    night: str
    run_id: str
    pass_ids: tuple[str, ...]
    held_out_share: float


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to write: a format, one of SPLITS, whether rejected attempts get files of their own,
    and the snapshot of the lake to read.
    """

    form: str
    split: str
    with_rejected: bool
    snapshot: int

    def __post_init__(self) -> None:
        for option, value, known in (
            ("--format", self.form, FORMATS),
            ("--split", self.split, SPLITS),
        ):
            if value not in known:
                raise ExchangeError(f"{option} {value}: expected one of {', '.join(known)}")

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that are written."""
        stories = (TRAIN, HELD_OUT) if self.split == "all" else (self.split,)
        return (*stories, REJECTED) if self.with_rejected else stories


@dataclass(slots=True)
class ExportCounts:
    """What the stories that were read come to: of each split (written or not) rows, words, bytes;
    attempts by the first verdict that failed; vocabularies (digest to name) and teachers.
    """

    num_attempts: int = 0
    stories: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    size_bytes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    vocabularies: dict[str, str] = field(default_factory=dict)
    teacher_digests: set[str] = field(default_factory=set)

    def count(self, row: Row) -> None:
        """One attempt more."""
        split = row["split"]
        self.num_attempts += 1
        self.stories[split] += 1
        self.words[split] += row["num_words"]
        self.size_bytes[split] += row["num_bytes"]
        self.teacher_digests.add(row["teacher_digest"])
        if row["reason"] is not None:
            self.reasons[row["reason"]] += 1


def export_corpus(
    lake: Lake,
    units: Sequence[ExportUnit],
    request: ExportRequest,
    folder: Path,
    card: Callable[[ExportCounts], str],
    on_progress: Callable[[int], None],
) -> tuple[bool, ExportCounts]:
    """Whether the folder is new (False: it held the same export before), and the counts. `card` is
    the text of README.md; `on_progress` is told how many attempts more were read.

    Raises ExchangeError if there is no story to write or something else is in the folder,
    StorageError, FileDamagedError; then nothing changed.
    """
    counts = ExportCounts()

    def write(place: Path) -> None:
        with writers(request.form, place, request.splits) as opened:
            for unit in units:
                for rows in _shards(lake, unit, request.snapshot, counts):
                    _write_rows(rows, opened, counts)
                    on_progress(len(rows))
        if not sum(counts.stories[split] for split in request.splits):
            raise ExchangeError(
                f"expected at least one story to export, found none in {len(units)} nights "
                f"(splits: {', '.join(request.splits)}); see `stillhouse corpus list`"
            )
        (place / CARD).write_text(card(counts), encoding="utf-8")

    return place_folder(folder, write), counts


def num_attempts(lake: Lake, units: Sequence[ExportUnit], snapshot: int) -> int:
    """The attempts of these units, for a progress bar."""
    runs = {unit.run_id for unit in units}
    files = lake.manifest.ledger().live_files(STORIES.name, snapshot)
    return sum(file.num_rows for file in files if json.loads(file.shard_keys)[0][:-6] in runs)


def _write_rows(rows: Sequence[Row], opened: dict[str, Writer], counts: ExportCounts) -> None:
    for row in rows:
        counts.count(row)
        if row["split"] in opened:
            opened[row["split"]].add(row)


def _shards(
    lake: Lake, unit: ExportUnit, snapshot: int, counts: ExportCounts
) -> Iterator[list[Row]]:
    """The unit's attempts as rows of the export, a shard at a time; its prompts are in the shard of
    the same number.
    """
    later = {
        row["story_id"]: row["reason"]
        for rows in lake.shards(VERDICTS.name, run_ids=unit.pass_ids, snapshot=snapshot)
        for row in rows.to_pylist()
    }
    both = zip(
        lake.shards(PROMPTS.name, run_ids=[unit.run_id], snapshot=snapshot),
        lake.shards(STORIES.name, run_ids=[unit.run_id], snapshot=snapshot),
        strict=True,
    )
    for prompt_rows, story_rows in both:
        prompts = {row["prompt_id"]: row for row in prompt_rows.to_pylist()}
        for prompt in prompts.values():
            counts.vocabularies[prompt["vocabulary_digest"]] = prompt["vocabulary"]
        order = [("plan_index", "ascending"), ("attempt", "ascending")]
        yield [
            _row(story, prompts[story["prompt_id"]], unit, later.get(story["story_id"]))
            for story in story_rows.sort_by(order).to_pylist()
        ]


def _row(
    story: dict[str, Any], prompt: dict[str, Any], unit: ExportUnit, later: str | None
) -> dict[str, Any]:
    reason = story["reason"] or later
    held_out = is_held_out(story["split_digest"], unit.held_out_share)
    values = {
        **{name: story[name] for name in ("story_id", "text", "plan_index", "attempt", "doc_id")},
        **{name: story[name] for name in ("num_words", "num_bytes", "teacher_digest")},
        "prompt": prompt["text"],
        "words": _words(prompt),
        "family": prompt["family"],
        "slots": prompt["slots"],
        "sentence": prompt["sentence"],
        "split": REJECTED if reason else HELD_OUT if held_out else TRAIN,
        "line": unit.line,
        "night": unit.night,
        "reason": reason,
        "vocabulary": prompt["vocabulary"],
    }
    return {name: values[name] for name in ROWS.names}


def _words(prompt: dict[str, Any]) -> list[str]:
    """The required lemmas; a prompt that is older than the column `words` has one of each class."""
    if prompt["words"] is not None:
        return list(prompt["words"])
    return [prompt[name] for name in _FIRST_WORDS if prompt[name]]
