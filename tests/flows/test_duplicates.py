"""The pass over a night's stories and the gate behind it, on stories that the tests commit
themselves.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from datagen.generate import doc_id_of
from flows.corpus import accepted_stories
from flows.diversity import expect_diversity
from flows.duplicates import find_duplicates
from flows.errors import CorpusRefused
from flows.night import Tonight, open_night
from flows.recipes import load_recipe
from tests.flows.command import several
from tests.flows.smoke import night_arguments
from tests.flows.trained import training_stories
from tests.warehouse.lake_rows import some_rows
from warehouse.lake import Lake
from warehouse.schemas import PROMPTS, STORIES

A = (
    "One day a small fox found a red boat by the lake. It was very happy and sat in it all day, "
    "and when the sun went down it slept there under a warm old coat that somebody had left."
)
NEAR_A = A.replace("somebody", "a man")
B = "Tom lost his ball in the garden. His sister looked for it, and it was in the tall grass."
C = "The moon was big. A bird sang to it until the morning came, and nobody knew why it did so."


@contextmanager
def _night(data: Path, teacher: Path, night: str, *settings: str) -> Iterator[Tonight]:
    recipe = load_recipe("smoke", [f"teacher.model={teacher}", "duplicates.min_similarity=0.8",
                                   "diversity.min_stories=2", *settings])  # fmt: skip
    with open_night(recipe, night, data, logging.getLogger(__name__).info) as tonight:
        yield tonight


def _write(tonight: Tonight, texts: Sequence[str], *, rejected: Sequence[int] = ()) -> list[str]:
    """Commit the night's stories, one a prompt; their ids."""
    run_id = tonight.unit.run_id
    ids = [f"story-{tonight.claim.night}-{place}" for place in range(len(texts))]
    stories, prompts = [], []
    for place, text in enumerate(texts):
        index = tonight.indices[place]
        is_accepted = place not in rejected
        prompts.append(_row(PROMPTS.name, run_id, prompt_id=f"p{index}", plan_index=index,
                            words=["a", "b", "c"]))  # fmt: skip
        stories.append(_row(STORIES.name, run_id, story_id=ids[place], prompt_id=f"p{index}",
                            text=text, doc_id=doc_id_of(text), plan_index=index, attempt=0,
                            accepted=is_accepted,
                            reason=None if is_accepted else "too_short",
                            split_digest="f" * 32))  # fmt: skip
    tables = {
        PROMPTS.name: pa.Table.from_pylist(prompts, schema=PROMPTS.schema),
        STORIES.name: pa.Table.from_pylist(stories, schema=STORIES.schema),
    }
    tonight.lake.commit_shard(run_id, 0, tables)
    return ids


def _row(table: str, run_id: str, **values: Any) -> dict[str, Any]:
    [row] = some_rows(table, run_id, num_rows=1).to_pylist()
    return {**row, "run_id": run_id, **values}


def _verdicts(lake: Lake) -> dict[str, tuple[str, str, float]]:
    rows = lake.read("verdicts").to_pylist()
    return {r["story_id"]: (r["reason"], r["other_story_id"], r["similarity"]) for r in rows}


def test_the_younger_story_is_spoken_against_inside_a_night(
    tmp_path: Path, tiny_teacher_folder: Path
) -> None:
    with _night(tmp_path, tiny_teacher_folder, "1") as tonight:
        ids = _write(tonight, [C, A, B, NEAR_A, B, A], rejected=[0])
        find_duplicates.fn(tonight)
        verdicts = _verdicts(tonight.lake)
        assert verdicts.keys() == {ids[3], ids[4], ids[5]}
        assert verdicts[ids[3]][:2] == ("near_duplicate", ids[1])
        assert 0.8 <= verdicts[ids[3]][2] < 1
        assert verdicts[ids[4]] == ("duplicate", ids[2], 1.0)
        assert verdicts[ids[5]] == ("duplicate", ids[1], 1.0)
        kept = [story.story_id for story in accepted_stories(tonight, tonight.unit)]
        assert kept == [ids[1], ids[2]]
        before = tonight.lake.digest()
        find_duplicates.fn(tonight)
        assert tonight.lake.digest() == before
        funnel = tonight.lake.query("select reason, num_stories from funnel").to_pylist()
        reasons = {row["reason"]: row["num_stories"] for row in funnel}
        assert reasons == {"accepted": 2, "duplicate": 2, "near_duplicate": 1, "too_short": 1}
        assert tonight.lake.verify() == []


def test_earlier_nights_are_looked_at_as_the_lake_was(
    tmp_path: Path, tiny_teacher_folder: Path
) -> None:
    with _night(tmp_path, tiny_teacher_folder, "1") as first:
        old = _write(first, [A, B, NEAR_A])
        find_duplicates.fn(first)
    with _night(tmp_path, tiny_teacher_folder, "2") as second:
        new = _write(second, [NEAR_A, C])
        find_duplicates.fn(second)
        verdicts = _verdicts(second.lake)
        assert verdicts[new[0]][:2] == ("near_duplicate", old[0])  # not the refused equal one
        assert new[1] not in verdicts
        measures = _measures(second)
        assert measures["overlap"]["value"] == 0
        assert second.lake.verify() == []


def test_a_night_without_duplicates_commits_no_row_and_is_read(
    tmp_path: Path, tiny_teacher_folder: Path
) -> None:
    with _night(tmp_path, tiny_teacher_folder, "1") as tonight:
        ids = _write(tonight, [A, B, C])
        find_duplicates.fn(tonight)
        expect_diversity(tonight)
        assert tonight.lake.read("verdicts").num_rows == 0
        assert tonight.lake.is_committed("verdicts", f"{tonight.unit.pass_id}/00000")
        assert [story.story_id for story in training_stories(tonight)] == ids
        assert tonight.lake.query("select count(*) as n from verdicts").to_pylist() == [{"n": 0}]
        assert tonight.lake.verify() == []


def test_a_night_without_a_story_has_no_measure(tmp_path: Path, tiny_teacher_folder: Path) -> None:
    with _night(tmp_path, tiny_teacher_folder, "1") as tonight:
        _write(tonight, [A], rejected=[0])
        find_duplicates.fn(tonight)
        expect_diversity(tonight)
        assert _measures(tonight) == {}
        assert tonight.lake.verify() == []


def _measures(tonight: Tonight) -> dict[str, dict[str, Any]]:
    rows = tonight.lake.read("corpus_measures", run_ids=[tonight.unit.pass_id]).to_pylist()
    return {row["measure"]: row for row in rows}


SAME_START = [f"One day a small {name} went home. {rest}" for name, rest in
              (("fox", A), ("dog", B), ("cat", C), ("pig", "It ate a pie."))]  # fmt: skip


def test_a_broken_limit_stops_the_night_and_later_ones_leave_its_stories_alone(
    tmp_path: Path, tiny_teacher_folder: Path
) -> None:
    limits = ("diversity.max_opening_3=0.6", "diversity.min_distinct_1=0.1")
    with _night(tmp_path, tiny_teacher_folder, "1", *limits) as first:
        _write(first, SAME_START)
        find_duplicates.fn(first)
        said = []
        for _ in range(2):
            with pytest.raises(
                CorpusRefused, match=r"opening_3 1 of 4, max_opening_3 = 0\.6"
            ) as info:
                expect_diversity(first)
            said.append(str(info.value))
        assert said[0] == said[1]
        assert '"one day a" 4' in said[0]
        assert "distinct_1" not in said[0]
        measures = _measures(first)
        assert [m for m, row in measures.items() if not row["is_within"]] == ["opening_3"]
        assert measures["distinct_1"]["bound"] == 0.1
        assert measures["self_bleu"]["bound"] is None
    with _night(tmp_path, tiny_teacher_folder, "2", *limits) as second:
        assert [unit.run_id for unit in second.units] == [second.unit.run_id]
        ids = _write(second, [SAME_START[0], B, C])
        find_duplicates.fn(second)
        expect_diversity(second)
        assert _verdicts(second.lake) == {}
        assert [story.story_id for story in training_stories(second)] == ids


def test_no_limit_binds_a_few_stories(tmp_path: Path, tiny_teacher_folder: Path) -> None:
    limits = ("diversity.max_opening_3=0.6", "diversity.min_stories=5")
    with _night(tmp_path, tiny_teacher_folder, "1", *limits) as tonight:
        _write(tonight, SAME_START)
        find_duplicates.fn(tonight)
        expect_diversity(tonight)
        assert _measures(tonight)["opening_3"] | {"run_id": ""} == {
            "run_id": "",
            "stories_run_id": tonight.unit.run_id,
            "measure": "opening_3",
            "value": 1.0,
            "n": 4,
            "bound": None,
            "is_within": True,
            "evidence": '"one day a" 4',
        }


def test_another_limit_is_another_pass(tmp_path: Path, tiny_teacher_folder: Path) -> None:
    passes = set()
    for place, setting in enumerate(
        (
            "diversity.max_opening_3=0.6",
            "diversity.max_opening_3=0.7",
            "duplicates.min_similarity=0.9",
        )
    ):
        with _night(tmp_path / str(place), tiny_teacher_folder, "1", setting) as tonight:
            passes.add((tonight.unit.pass_id, tonight.unit.run_id))
    assert len({pass_id for pass_id, _ in passes}) == 3
    assert len({run_id for _, run_id in passes}) == 1


def test_the_command_says_what_is_broken_and_ends_with_1_every_time(
    tmp_path: Path, tiny_teacher_folder: Path, served: Mapping[str, str]
) -> None:
    limits = ["diversity.max_opening_3=0.5", "diversity.min_stories=4", "night.num_prompts=12"]
    settings = [part for limit in limits for part in ("--set", limit)]
    command = night_arguments(tmp_path / "lake", tiny_teacher_folder, *settings)
    first, again = several([command, command], served)
    assert (first.code, again.code) == (1, 1)
    [message] = [line for line in first.errors if line.startswith("stillhouse: ")]
    assert "expected stories within the limits of [diversity]" in message
    assert '"once upon a"' in message
    assert message == again.errors[-1]
    with Lake.open(tmp_path / "lake") as lake:
        assert lake.read("targets").num_rows == 0
        assert lake.read("checkpoints").num_rows == 0
        assert lake.query("select is_within from corpus_measures where measure = 'opening_3'"
                          ).to_pylist() == [{"is_within": False}]  # fmt: skip
    assert (tmp_path / "lake" / "reports" / "smoke" / "1.html").exists()
