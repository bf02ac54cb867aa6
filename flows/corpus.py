"""The stories that a night may use, read from the lake: what was accepted, who ordered it, on which
side of the split it is.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from distill.students.presets import preset_named
from flows.errors import FlowsError
from flows.night import Tonight, Unit, shard_key
from flows.split_age import REFUSED_DOCUMENTS, split_pass_id
from flows.teachers import Teacher, load_tokenizer
from warehouse.lake import Lake
from warehouse.schemas import IMPORTS, VERDICTS
from warehouse.split import is_held_out

# Ids beside a text's own: start, end, and what a tokenizer puts before a first word.
_SYMBOLS = 8
_MOST_COUNTED = 8
_STORY_COLUMNS = (
    "story_id",
    "prompt_id",
    "doc_id",
    "text",
    "plan_index",
    "num_bytes",
    "split_digest",
    "accepted",
)
_PROMPT_COLUMNS = (
    "prompt_id",
    "text",
    "words",
    "verb",
    "noun",
    "adjective",
    "features",
    "sentence",
    "family_digest",
    "slots",
)
_counted: OrderedDict[tuple[Path, str, str], Mapping[str, int | None]] = OrderedDict()
_counting = threading.Lock()


@dataclass(frozen=True, slots=True)
class StoredAsk:
    """What a prompt's row says of what was asked for, beside its words.

    family_digest and slots (JSON: by slot name, the list of texts that it holds) are None for
    prompts of version 1. features are the values of its subsets alone.
    """

    family_digest: str | None
    slots: str | None
    features: tuple[str, ...]
    sentence: str | None


@dataclass(frozen=True, slots=True)
class CorpusStory:
    """One accepted story, or a text of an import. `words` are the required lemmas, of which there
    may be none; `prompt` is what the teacher was told, empty for a text that it did not write;
    `ask` is what that was made from, None for such a text; `plan_index` is its place in the plan of
    its own night, or in its import.
    """

    story_id: str
    doc_id: str
    text: str
    prompt: str
    words: tuple[str, ...]
    plan_index: int
    num_bytes: int
    is_held_out: bool
    ask: StoredAsk | None


def text_as_story(doc_id: str, text: str) -> CorpusStory:
    """A text that no night holds, as subjects read those that nobody ordered."""
    return CorpusStory(
        story_id=doc_id,
        doc_id=doc_id,
        text=text,
        prompt="",
        words=(),
        plan_index=0,
        num_bytes=len(text.encode()),
        is_held_out=True,
        ask=None,
    )


def accepted_stories(tonight: Tonight, unit: Unit) -> list[CorpusStory]:
    """The unit's accepted stories in plan order, less those that its pass spoke against."""
    return sorted(each_accepted_story(tonight, unit), key=lambda story: story.plan_index)


def each_accepted_story(tonight: Tonight, unit: Unit) -> Iterator[CorpusStory]:
    """The same stories, one shard of the plan after the other: memory holds one shard."""
    if unit.is_import:
        yield from _imported_texts(tonight, unit)
        return
    snapshot, share = tonight.snapshot_of(unit), tonight.recipe.night.held_out_share

    def shards(table: str, run_id: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        return tonight.lake.shards(table, run_ids=[run_id], columns=columns, snapshot=snapshot)

    verdicts = shards("verdicts", unit.pass_id, ["story_id"])
    refused = {story_id for rows in verdicts for story_id in rows.column("story_id").to_pylist()}
    # A shard's prompts and stories were committed together.
    for asked, told in zip(
        shards("prompts", unit.run_id, _PROMPT_COLUMNS),
        shards("stories", unit.run_id, _STORY_COLUMNS),
        strict=True,
    ):
        prompts = {row["prompt_id"]: row for row in asked.to_pylist()}
        for row in told.filter(told.column("accepted")).to_pylist():
            if row["story_id"] not in refused:
                yield _story(row, prompts[row["prompt_id"]], share)


def _imported_texts(tonight: Tonight, unit: Unit) -> Iterator[CorpusStory]:
    """The import's accepted texts in its order, less those that do not fit the recipe's students.

    A text to be trained on has at most recipe.most_story_tokens teacher tokens. One that is held
    out must fit every student that is ever measured on it, also one whose every id is a byte, and
    is used for nothing if it does not. None holds one of the teacher's special symbols.
    """
    share = tonight.recipe.night.held_out_share
    preset = preset_named(tonight.recipe.train.preset)
    most_bytes = preset.max_position_embeddings - _SYMBOLS
    lengths = token_counts(tonight.lake, unit.run_id, tonight.teacher)
    for place, row in enumerate(_accepted_rows(tonight.lake, unit.run_id)):
        text = _imported(row, place, share)
        fits = text.num_bytes <= most_bytes or not text.is_held_out
        num_tokens = lengths[text.doc_id]
        if fits and num_tokens is not None and num_tokens <= tonight.recipe.most_story_tokens:
            yield text


def token_counts(lake: Lake, run_id: str, teacher: Teacher) -> Mapping[str, int | None]:
    """By doc_id, the teacher tokens of each text of an import; None for one that spells a special
    symbol, which would be read as that.

    Every stage of a night opens the lake anew, so the last 8 are kept by what they follow from.
    """
    key = (lake.root, run_id, teacher.digest)
    with _counting:
        counts = _counted.get(key)
        if counts is None:
            counts = _counted[key] = _token_counts(lake, run_id, teacher)
        _counted.move_to_end(key)
        if len(_counted) > _MOST_COUNTED:
            _counted.popitem(last=False)
    return counts


def _token_counts(lake: Lake, run_id: str, teacher: Teacher) -> Mapping[str, int | None]:
    reads = load_tokenizer(teacher)
    special = set(reads.tokenizer.get_added_vocab().values())
    counts: dict[str, int | None] = {}
    for rows in lake.shards(IMPORTS.name, run_ids=[run_id], columns=["doc_id", "text"]):
        for row in rows.to_pylist():
            # Longer texts than the teacher reads are among them, and it need not warn of each.
            ids = reads.tokenizer.encode(row["text"], add_special_tokens=False, verbose=False)
            counts[row["doc_id"]] = None if special & set(ids) else len(ids)
    return counts


def held_out_stories(tonight: Tonight, unit: Unit) -> list[CorpusStory]:
    """The unit's stories that no student is trained on."""
    return [story for story in accepted_stories(tonight, unit) if story.is_held_out]


def refused_across(tonight: Tonight) -> set[str]:
    """The ids of stories and imported texts that nearly repeat an older one of the other side of
    the split (split_repeats.py): they are neither trained on nor measured on. FlowsError if nobody
    has looked yet.
    """
    run_id = _split_pass(tonight)
    if run_id is None:
        return set()
    rows = tonight.lake.read(VERDICTS.name, run_ids=[run_id], columns=["story_id"])
    return set(rows.column("story_id").to_pylist())


def refused_documents(tonight: Tonight) -> set[str]:
    """The doc_ids of the held-out ones among them: no suite of the night has them."""
    run_id = _split_pass(tonight)
    if run_id is None:
        return set()
    facts = tonight.lake.facts(VERDICTS.name, run_id)
    return set(cast("list[str]", facts[REFUSED_DOCUMENTS]))


def _split_pass(tonight: Tonight) -> str | None:
    """The night's pass over the split, which must have been made if it needs one."""
    run_id = split_pass_id(tonight)
    if run_id is None or tonight.lake.is_committed(VERDICTS.name, shard_key(run_id, 0)):
        return run_id
    raise FlowsError(
        f"{tonight.label}: expected a look for texts that stand on both sides of the split, "
        "found none; run the stage generate first"
    )


def _story(row: dict[str, Any], prompt: dict[str, Any], held_out_share: float) -> CorpusStory:
    return CorpusStory(
        story_id=row["story_id"],
        doc_id=row["doc_id"],
        text=row["text"],
        prompt=prompt["text"],
        words=_words(prompt),
        plan_index=row["plan_index"],
        num_bytes=row["num_bytes"],
        is_held_out=is_held_out(row["split_digest"], held_out_share),
        ask=StoredAsk(
            family_digest=prompt["family_digest"],
            slots=prompt["slots"],
            features=tuple(prompt["features"]),
            sentence=prompt["sentence"],
        ),
    )


def _words(prompt: dict[str, Any]) -> tuple[str, ...]:
    """Prompts of version 1 have a column for each of their three words."""
    if prompt["words"] is None:
        return (prompt["verb"], prompt["noun"], prompt["adjective"])
    return tuple(prompt["words"])


def _accepted_rows(lake: Lake, run_id: str) -> Iterator[dict[str, Any]]:
    columns = ["doc_id", "text", "num_bytes", "split_digest", "accepted"]
    for rows in lake.shards(IMPORTS.name, run_ids=[run_id], columns=columns):
        yield from rows.filter(rows.column("accepted")).to_pylist()


def _imported(row: dict[str, Any], place: int, held_out_share: float) -> CorpusStory:
    return CorpusStory(
        story_id=row["doc_id"],
        doc_id=row["doc_id"],
        text=row["text"],
        prompt="",
        words=(),
        plan_index=place,
        num_bytes=row["num_bytes"],
        is_held_out=is_held_out(row["split_digest"], held_out_share),
        ask=None,
    )
