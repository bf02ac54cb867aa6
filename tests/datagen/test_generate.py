"""Shards of the plan and the rows that a real small teacher's stories become."""

import csv
import dataclasses
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

import datagen
from datagen.config import SamplingConfig, ShardConfig, VerdictConfig
from datagen.engines.decoding import ATTENTION
from datagen.engines.transformers_engine import TransformersEngine
from datagen.families import load_family
from datagen.generate import Order, Shard, Story, split_into_shards, write_stories
from datagen.plan import Plan
from datagen.verdict import REASONS
from datagen.vocabulary import load_vocabulary
from warehouse.lake import Lake
from warehouse.split import text_split_digest

INDICES = range(7, 31)
MAX_ATTEMPTS = 3
START_ID, END_ID = 0, 1


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Matrices this small only lose by threads."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(scope="module")
def engine(tiny_teacher_folder: Path) -> TransformersEngine:
    tokenizer = AutoTokenizer.from_pretrained(tiny_teacher_folder)
    return TransformersEngine(
        model=AutoModelForCausalLM.from_pretrained(
            tiny_teacher_folder, dtype=torch.float32, attn_implementation=ATTENTION
        ).eval(),
        tokenizer=tokenizer,
        encode=lambda prompt: [START_ID, *tokenizer.encode(prompt, add_special_tokens=False)],
        end_ids=[END_ID],
        batch_size=16,
    )


def _order(
    *,
    allows_instructions: bool = False,
    vocabulary: str = "age3",
    family: str = "story",
    top_k: int = 40,
    max_words: int = 45,
) -> Order:
    return Order(
        plan=Plan(load_vocabulary(vocabulary), load_family(family), 5),
        sampling=SamplingConfig(
            temperature=0.9,
            top_k=top_k,
            max_new_tokens=150,
            soft_limit_tokens=150,
            max_attempts=MAX_ATTEMPTS,
            seed=3,
            constrain=False,
            steer=0,
        ),
        verdicts=VerdictConfig(
            min_words=5, max_words=max_words, max_repeated_share=0.3, max_unknown_share=1.0
        ),
        teacher_digest="the tiny teacher",
        engine=None,
        allows_instructions=allows_instructions,
    )


def _shard(indices: range = INDICES) -> Shard:
    return Shard(run_id="run", number=2, indices=indices, numerics="a test's")


def _written(order: Order, engine: TransformersEngine, shard: Shard) -> dict[str, pa.Table]:
    return write_stories(order, shard, engine, on_tokens=lambda _: None, on_story=lambda _: None)


@pytest.fixture(scope="module")
def tables(engine: TransformersEngine) -> dict[str, pa.Table]:
    """What a teacher that continues a text makes of the plan: some stories are rejected."""
    return _written(_order(), engine, _shard())


@pytest.fixture(scope="module")
def disobedient(engine: TransformersEngine) -> dict[str, pa.Table]:
    """What a teacher makes of instructions that it does not understand: the words are missing."""
    return _written(_order(allows_instructions=True, max_words=100), engine, _shard(range(8)))


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _listed_forms() -> dict[tuple[str, str], set[str]]:
    """The forms of each (lemma, part of speech) as the vocabulary's file lists them."""
    path = Path(datagen.__file__).parent / "vocabularies" / "age3.tsv"
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    rows = csv.DictReader(lines, delimiter="\t")
    return {
        (row["lemma"], row["part_of_speech"]): set((row["forms"] or row["lemma"]).split(","))
        for row in rows
    }


def _holds(text: str, forms: Sequence[str] | set[str]) -> bool:
    return any(re.search(rf"(?<![\w-]){re.escape(form)}(?![\w-])", text, re.I) for form in forms)


@pytest.mark.parametrize("made", ["tables", "disobedient"])
def test_accepted_stories_hold_their_three_words(made: str, request: pytest.FixtureRequest) -> None:
    made_tables: dict[str, pa.Table] = request.getfixturevalue(made)
    forms = _listed_forms()
    prompts = {row["prompt_id"]: row for row in _rows(made_tables["prompts"])}
    for story in _rows(made_tables["stories"]):
        prompt = prompts[story["prompt_id"]]
        parts = ("verb", "noun", "adjective")
        hits = sum(_holds(story["text"], forms[prompt[part], part]) for part in parts)
        assert story["num_required_hit"] == hits
        assert hits == 3 or not story["accepted"]


def test_rejected_stories_have_a_reason_and_accepted_ones_none(
    tables: dict[str, pa.Table], disobedient: dict[str, pa.Table]
) -> None:
    stories = _rows(tables["stories"]) + _rows(disobedient["stories"])
    assert all(s["reason"] is None if s["accepted"] else s["reason"] in REASONS for s in stories)
    reasons = {s["reason"] for s in _rows(tables["stories"])}
    assert {None, "too_long"} <= reasons
    assert "missing_words" in {s["reason"] for s in _rows(disobedient["stories"])}


def test_a_rejected_prompt_is_tried_again_until_the_budget_is_used_up(
    tables: dict[str, pa.Table], disobedient: dict[str, pa.Table]
) -> None:
    numbers_of_attempts = set()
    for made in (tables, disobedient):
        by_prompt = defaultdict(list)
        for story in _rows(made["stories"]):
            by_prompt[story["prompt_id"]].append(story)
        assert by_prompt.keys() == {row["prompt_id"] for row in _rows(made["prompts"])}
        for attempts in by_prompt.values():
            attempts.sort(key=lambda story: story["attempt"])
            assert [story["attempt"] for story in attempts] == list(range(len(attempts)))
            assert not any(story["accepted"] for story in attempts[:-1])
            assert attempts[-1]["accepted"] or len(attempts) == MAX_ATTEMPTS
            assert len({story["text"] for story in attempts}) == len(attempts)
            numbers_of_attempts.add(len(attempts))
    assert {1, 2, MAX_ATTEMPTS} <= numbers_of_attempts


def test_prompts_are_the_shards_part_of_the_plan(
    tables: dict[str, pa.Table], engine: TransformersEngine
) -> None:
    prompts = {row["plan_index"]: row for row in _rows(tables["prompts"])}
    assert sorted(prompts) == list(INDICES)
    for row in prompts.values():
        slots = json.loads(row["slots"])
        assert row["words"] == [row["verb"], row["noun"], row["adjective"]]
        assert slots == {
            "verb": row["words"][:1],
            "noun": row["words"][1:2],
            "adjective": row["words"][2:],
            "features": row["features"],
        }
        assert (row["family"], row["sentence"]) == ("story", None)
    part = _written(_order(), engine, _shard(range(9, 11)))
    assert [prompts[row["plan_index"]] for row in _rows(part["prompts"])] == _rows(part["prompts"])


def test_a_family_without_words_is_written_judged_and_held_out_by_its_texts(
    engine: TransformersEngine,
) -> None:
    order = _order(family="message", max_words=100)
    made = _written(order, engine, _shard(range(8)))
    prompts = {row["prompt_id"]: row for row in _rows(made["prompts"])}
    assert all(
        (row["words"], row["noun"], row["features"]) == ([], None, []) for row in prompts.values()
    )
    labels = {json.loads(row["slots"])["sentiment"][0] for row in prompts.values()}
    assert labels == {"negative", "neutral", "positive"}
    stories = _rows(made["stories"])
    assert any(story["accepted"] for story in stories)
    for story in stories:
        assert story["text"].startswith(prompts[story["prompt_id"]]["text"])
        assert story["split_digest"] == text_split_digest(story["text"])
        assert (story["num_required_hit"], story["reason"]) != (0, "missing_words")


def test_words_rows_count_the_accepted_texts(tables: dict[str, pa.Table]) -> None:
    accepted = [s for s in _rows(tables["stories"]) if s["accepted"]]
    occurrences: defaultdict[str, int] = defaultdict(int)
    holders = defaultdict(set)
    for story in accepted:
        # The tiny teacher writes plain letters, so white space and signs part its words.
        words = re.sub(r"[^a-z ]", " ", story["text"].lower()).split()
        assert story["num_words"] == len(words)
        for word in words:
            occurrences[word] += 1
            holders[word].add(story["story_id"])
    rows = _rows(tables["words"])
    assert {row["word"]: row["num_occurrences"] for row in rows} == occurrences
    assert {row["word"]: set(row["story_ids"]) for row in rows} == holders


def test_rows_fit_the_lake_and_come_back_from_it(
    tables: dict[str, pa.Table], tmp_path: Path
) -> None:
    with Lake.open(tmp_path, create=True) as lake:
        assert lake.commit_shard("run", 2, tables)
        assert lake.verify() == []
        for name, table in tables.items():
            came_back = sorted(map(repr, _rows(lake.read(name))))
            assert came_back == sorted(map(repr, _rows(table)))


def test_rows_follow_from_the_order_alone(
    tables: dict[str, pa.Table], engine: TransformersEngine
) -> None:
    again = _written(_order(), engine, _shard())
    assert again == tables


def test_another_sampling_seed_writes_other_stories_to_the_same_prompts(
    tables: dict[str, pa.Table], engine: TransformersEngine
) -> None:
    order = _order()
    other = dataclasses.replace(order, sampling=order.sampling.model_copy(update={"seed": 4}))
    made = _written(other, engine, _shard())
    assert made["prompts"] == tables["prompts"]
    ids, texts = ({s[key] for s in _rows(tables["stories"])} for key in ("story_id", "text"))
    assert ids.isdisjoint(s["story_id"] for s in _rows(made["stories"]))
    assert len(texts & {s["text"] for s in _rows(made["stories"])}) < len(texts) / 4


def test_a_text_that_stands_in_the_shard_already_is_a_duplicate(
    engine: TransformersEngine, tmp_path: Path
) -> None:
    words = tmp_path / "three.tsv"
    words.write_text(
        "lemma\tpart_of_speech\tforms\njump\tverb\tjump\nboat\tnoun\tboat,boats\nred\tadjective\tred\n"
    )
    order = _order(vocabulary=str(words), top_k=1, max_words=100)
    stories = _rows(_written(order, engine, _shard(range(4)))["stories"])
    assert len({story["text"] for story in stories}) == 1
    first = [story for story in stories if story["accepted"]]
    assert [(story["plan_index"], story["attempt"]) for story in first] == [(0, 0)]
    others = [story for story in stories if not story["accepted"]]
    assert len(others) == 3 * MAX_ATTEMPTS
    assert {story["reason"] for story in others} == {"duplicate"}


def test_every_attempt_and_token_is_heard_of_once(engine: TransformersEngine) -> None:
    heard: list[Story] = []
    tokens: list[int] = []
    made = write_stories(
        _order(), _shard(range(12)), engine, on_tokens=tokens.append, on_story=heard.append
    )
    stories = _rows(made["stories"])
    assert sorted((s.spec.plan_index, s.attempt, s.text, s.reason or "") for s in heard) == sorted(
        (s["plan_index"], s["attempt"], s["text"], s["reason"] or "") for s in stories
    )
    assert sum(tokens) == sum(story["num_tokens"] for story in stories)


@given(
    start=st.integers(0, 10**9),
    num_indices=st.integers(1, 500),
    first_shard=st.integers(1, 600),
    shard_size=st.integers(1, 600),
)
def test_shards_cut_the_indices_in_order(
    start: int, num_indices: int, first_shard: int, shard_size: int
) -> None:
    indices = range(start, start + num_indices)
    config = ShardConfig(first_shard=first_shard, shard_size=shard_size)
    shards = split_into_shards(indices, config)
    assert [index for shard in shards for index in shard] == list(indices)
    assert len(shards[0]) == min(first_shard, num_indices)
    assert all(len(shard) == shard_size for shard in shards[1:-1])
    assert all(1 <= len(shard) <= shard_size for shard in shards[1:])
