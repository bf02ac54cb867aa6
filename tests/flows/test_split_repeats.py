"""No near duplicate of a held-out text is trained on: what the pass of each night does, and what
imports and nights that overlapped ask for besides.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from datagen.dedup import gram_set, similarity
from datagen.generate import doc_id_of
from flows.corpus import (
    CorpusStory,
    accepted_stories,
    held_out_stories,
    refused_across,
    refused_documents,
)
from flows.duplicates import find_duplicates
from flows.errors import FlowsError
from flows.measured_texts import stories_of_line
from flows.night import Tonight, open_night
from flows.recipes import load_recipe
from flows.split_age import split_pass_id, split_passes, units_by_age
from flows.split_repeats import find_split_repeats
from tests.flows.command import in_process
from tests.flows.trained import training_stories
from tests.warehouse.lake_rows import some_rows
from warehouse.exchange import ImportRequest, import_corpus, open_source
from warehouse.lake import Lake
from warehouse.schemas import PROMPTS, STORIES
from warehouse.split import is_held_out, text_split_digest

TRAINED, HELD_OUT = "f" * 32, "0" * 32  # digests on the two sides of the split
A = (
    "One day a small fox found a red boat by the lake. It was very happy and sat in it all day, "
    "and when the sun went down it slept there under a warm old coat that somebody had left."
)
B = "Tom lost his ball in the garden. His sister looked for it, and it was in the tall grass."
SHARE = 0.2


def near(text: str, is_held_out_too: bool) -> str:
    """The text with another last word, so that its own words put it on that side of the split."""
    for number in range(1000):
        found = f"{text[:-1]} {number}."
        if is_held_out(text_split_digest(found), SHARE) == is_held_out_too:
            return found
    raise AssertionError("no such text")


@contextmanager
def _night(data: Path, teacher: Path, night: str, *imports: str) -> Iterator[Tonight]:
    settings = [f"teacher.model={teacher}", "duplicates.min_similarity=0.8",
                f"night.imports={json.dumps(imports)}"]  # fmt: skip
    with open_night(
        load_recipe("smoke", settings), night, data, logging.getLogger(__name__).info
    ) as tonight:
        yield tonight


def _write(tonight: Tonight, stories: Sequence[tuple[str, str]]) -> list[str]:
    """Commit the night's stories, given with their split digests, as the stage generate would."""
    run_id, offset = tonight.unit.run_id, tonight.indices[0]
    ids = [f"story-{tonight.claim.night}-{place}" for place in range(len(stories))]
    prompts = [
        _row(PROMPTS.name, run_id, prompt_id=f"p{offset + place}", plan_index=offset + place,
             words=["a", "b", "c"])
        for place in range(len(stories))
    ]  # fmt: skip
    rows = [
        _row(STORIES.name, run_id, story_id=ids[place], prompt_id=f"p{offset + place}", text=text,
             doc_id=doc_id_of(text), plan_index=offset + place, attempt=0, accepted=True,
             reason=None, split_digest=split_digest)
        for place, (text, split_digest) in enumerate(stories)
    ]  # fmt: skip
    tables = {
        PROMPTS.name: pa.Table.from_pylist(prompts, schema=PROMPTS.schema),
        STORIES.name: pa.Table.from_pylist(rows, schema=STORIES.schema),
    }
    tonight.lake.commit_shard(run_id, 0, tables)
    find_duplicates.fn(tonight)
    find_split_repeats.fn(tonight)
    return ids


def _row(table: str, run_id: str, **values: Any) -> dict[str, Any]:
    [row] = some_rows(table, run_id, num_rows=1).to_pylist()
    return {**row, "run_id": run_id, **values}


def _bring_in(data: Path, name: str, texts: Sequence[str]) -> None:
    file = data.parent / f"{name}.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    source = open_source(str(file), "auto", "text")
    with Lake.open(data, create=True) as lake:
        import_corpus(lake, source, ImportRequest(name, "tests", "MIT", 100_000, len), print)


def _held_out(tonight: Tonight) -> list[CorpusStory]:
    """What tonight's suites hold."""
    stories = [story for unit in tonight.units for story in held_out_stories(tonight, unit)]
    return [story for story in stories if story.doc_id not in refused_documents(tonight)]


def _assert_apart(tonight: Tonight) -> None:
    """No text that is trained on is a near duplicate of one that is measured on."""
    config = tonight.recipe.duplicates
    trained = [gram_set(story.text, config) for story in training_stories(tonight)]
    for story in _held_out(tonight):
        mine = gram_set(story.text, config)
        assert all(similarity(mine, other) < config.min_similarity for other in trained)


def _refusals(tonight: Tonight) -> Mapping[str, tuple[str, str]]:
    run_id = split_pass_id(tonight)
    rows = [] if run_id is None else tonight.lake.read("verdicts", run_ids=[run_id]).to_pylist()
    return {row["story_id"]: (row["reason"], row["other_story_id"]) for row in rows}


@pytest.mark.parametrize("sides", [(TRAINED, HELD_OUT), (HELD_OUT, TRAINED)])
def test_inside_a_night_and_over_nights_the_younger_of_a_pair_is_out(
    tmp_path: Path, tiny_teacher_folder: Path, sides: tuple[str, str]
) -> None:
    """The nights' own passes see to it, so there is nothing else to look at."""
    older, younger = sides
    near_a, near_b = A.replace("somebody", "a man"), B.replace("Tom", "Tim")
    with _night(tmp_path, tiny_teacher_folder, "1") as first:
        _write(first, [(A, older), (near_a, younger), (B, older)])
        assert {story.text for story in accepted_stories(first, first.unit)} == {A, B}
        _assert_apart(first)
        assert split_pass_id(first) is None
    with _night(tmp_path, tiny_teacher_folder, "2") as second:
        _write(second, [(near_b, younger), (A.replace("left", "hung"), younger)])
        assert accepted_stories(second, second.unit) == []
        _assert_apart(second)
        assert split_pass_id(second) is None
        assert second.lake.verify() == []


def test_of_two_imported_texts_across_the_split_the_later_one_is_out(
    tmp_path: Path, tiny_teacher_folder: Path
) -> None:
    """Their own words decide the side of texts that no words ordered, so near texts may part."""
    data = tmp_path / "lake"
    trained, held_out, same_side = near(A, False), near(A, True), near(A + " It ran.", False)
    _bring_in(data, "mine", [trained, held_out, same_side, B])
    with _night(data, tiny_teacher_folder, "1", "mine") as tonight:
        _write(tonight, [])
        assert _refusals(tonight) == {doc_id_of(held_out): ("near_duplicate", doc_id_of(trained))}
        assert doc_id_of(held_out) not in {story.doc_id for story in _held_out(tonight)}
        assert {trained, same_side} <= {story.text for story in training_stories(tonight)}
        _assert_apart(tonight)
        before = tonight.lake.digest()
        find_split_repeats.fn(tonight)
        assert tonight.lake.digest() == before
        assert tonight.lake.verify() == []


@pytest.mark.parametrize("story_side", [TRAINED, HELD_OUT])
def test_a_story_that_is_near_an_import_is_younger(
    tmp_path: Path, tiny_teacher_folder: Path, story_side: str
) -> None:
    data = tmp_path / "lake"
    imported = near(A, story_side == TRAINED)
    _bring_in(data, "mine", [imported])
    with _night(data, tiny_teacher_folder, "1", "mine") as tonight:
        [mine, other] = _write(tonight, [(A, story_side), (B, story_side)])
        assert _refusals(tonight) == {mine: ("near_duplicate", doc_id_of(imported))}
        used = {story.story_id for story in (*training_stories(tonight), *_held_out(tonight))}
        assert used == {other, doc_id_of(imported)}
        _assert_apart(tonight)


@pytest.mark.parametrize("story_side", [TRAINED, HELD_OUT])
def test_an_import_that_a_later_night_names_is_younger_than_its_stories(
    tmp_path: Path, tiny_teacher_folder: Path, story_side: str
) -> None:
    """Else a champion that was trained on the story would be measured on its near copy."""
    data = tmp_path / "lake"
    with _night(data, tiny_teacher_folder, "1") as first:
        [story, _] = _write(first, [(A, story_side), (B, TRAINED)])
        assert refused_across(first) == set()
    imported = near(A, story_side == TRAINED)
    _bring_in(data, "mine", [imported])
    with _night(data, tiny_teacher_folder, "2", "mine") as second:
        with pytest.raises(FlowsError, match="run the stage generate first"):
            training_stories(second)
        _write(second, [])
        assert [unit.is_import for unit in units_by_age(second)] == [False, True, False]
        assert _refusals(second) == {doc_id_of(imported): ("near_duplicate", story)}
        _assert_apart(second)
    with _night(data, tiny_teacher_folder, "3", "mine") as third:
        [again] = _write(third, [(near(B, True), HELD_OUT)])
        assert again not in {story.story_id for story in accepted_stories(third, third.unit)}
        assert _refusals(third) == {doc_id_of(imported): ("near_duplicate", story)}
        _assert_apart(third)


def test_nights_that_overlapped_are_looked_at_by_the_next_one(
    tmp_path: Path, tiny_teacher_folder: Path
) -> None:
    """Night 2 began before night 1 had written its stories."""
    with _night(tmp_path, tiny_teacher_folder, "1") as first:
        assert split_pass_id(first) is None
    near_a = A.replace("somebody", "a man")
    with _night(tmp_path, tiny_teacher_folder, "2") as second:
        [younger] = _write(second, [(near_a, HELD_OUT)])
    with _night(tmp_path, tiny_teacher_folder, "1") as first:
        [older, _] = _write(first, [(A, TRAINED), (B, TRAINED)])
    with _night(tmp_path, tiny_teacher_folder, "3") as third:
        _write(third, [])
        assert _refusals(third) == {younger: ("near_duplicate", older)}
        assert _held_out(third) == []
        _assert_apart(third)
        funnel = third.lake.query("select sum(num_stories) as n from funnel").to_pylist()
        assert funnel == [{"n": 3}]


def test_what_is_out_is_neither_exported_nor_measured_on_by_hand(
    tmp_path: Path, tiny_teacher_folder: Path
) -> None:
    """The younger of two texts across the split, of nights that overlapped and beside an import."""
    data = tmp_path / "lake"
    with _night(data, tiny_teacher_folder, "1"):
        pass
    with _night(data, tiny_teacher_folder, "2") as second:
        _write(second, [(A.replace("somebody", "a man"), HELD_OUT), (B, HELD_OUT)])
    with _night(data, tiny_teacher_folder, "1") as first:
        _write(first, [(A, TRAINED)])
        before = first.lake.manifest.snapshot()
    imported = near(
        "A cat and a hen went up the hill to see the sun, and it was a good day for both of them, "
        "as the bread was warm and the milk was cold and nobody had to be at home before dark.",
        True,
    )
    _bring_in(data, "mine", [imported])
    with _night(data, tiny_teacher_folder, "3", "mine") as third:
        _write(third, [(imported.replace("A cat", "A dog"), TRAINED)])
        lake = third.lake
        assert len(_refusals(third)) == 2
        assert split_passes(lake, before) == ()
        used = {story.text for story in (*training_stories(third), *_held_out(third))}
        (tmp_path / "out").mkdir()
        told = in_process("corpus", "export", "--to", str(tmp_path / "out"), "--format", "jsonl",
                          "--rejected", "--data", str(data))  # fmt: skip
        assert told.exit_code == 0, told.output
        rows = {
            split: [json.loads(line) for line in file.read_text().splitlines()]
            for split in ("train", "held_out", "rejected")
            if (file := tmp_path / "out" / f"{split}.jsonl").exists()
        }
        assert {row["text"] for split in ("train", "held_out") for row in rows[split]} == (
            used - {imported}
        )
        refused = [row["reason"] for row in rows["rejected"]]
        assert refused == ["near_duplicate"] * 2
        assert "| near_duplicate | 2 |" in (tmp_path / "out" / "README.md").read_text()
        stories = stories_of_line(lake, "smoke")
        assert {text for _, text in stories.held_out().documents} == {
            story.text for story in _held_out(third) if story.text != imported
        }
        assert used >= set(stories.training())
