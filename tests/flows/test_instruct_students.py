"""Students of the instruct form: what stands before each text they read, how they are asked, and
that a student follows what it was trained to follow.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from datagen.families import load_family
from distill.prefix import has_context
from distill.sample import Sampling, sample_stories
from distill.training_file import write_documents
from flows.contexts import training_contexts
from flows.corpus import CorpusStory, StoredAsk
from flows.night import Tonight, open_night
from flows.recipes import Recipe, load_recipe
from flows.students import load_checked_student
from flows.training_set import TrainingSet, build_training_set, training_digest
from tests.flows.command import in_process
from tests.flows.smoke import MAX_WORDS, Night, second_line
from warehouse.lake import Lake

LINE = ["name=instructed", "train.context=instruct", "train.words_line_share=0.8"]


@pytest.fixture(scope="module")
def data(
    smoke_night: Night, served: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The lake of the smoke night with a second line, of the same stories and another context."""
    return second_line(smoke_night, tmp_path_factory.mktemp("instruct") / "lake", LINE, served)


def _recipe(teacher: Path, *more: str) -> Recipe:
    settings = [f"teacher.model={teacher}", f"verdicts.max_words={MAX_WORDS}", *LINE, *more]
    return load_recipe("smoke", settings)


@pytest.fixture
def tonight(data: Path, smoke_night: Night) -> Iterator[Tonight]:
    with open_night(_recipe(smoke_night.teacher), "1", data, lambda _: None) as tonight:
        yield tonight


def _rows(data: Path, query: str) -> list[dict[str, Any]]:
    with Lake.open(data) as lake:
        rows: list[dict[str, Any]] = lake.query(query).to_pylist()
    return rows


def _contexts(found: TrainingSet) -> dict[str, str]:
    """By doc_id, the context of each document as its ids spell it; '' for those without one."""
    start = found.space.start_id
    assert all(document.prefix_ids[0] == start for document in found.documents)
    return {d.doc_id: found.space.decode(d.prefix_ids[1:].tolist()) for d in found.documents}


def test_documents_are_read_after_what_their_prompt_asked_for(tonight: Tonight) -> None:
    found = build_training_set(tonight)
    stored = {
        row["doc_id"]: row
        for row in tonight.lake.query(
            "select doc_id, stories.text, words, features, verb, noun, adjective "
            "from accepted_stories stories join prompts using (prompt_id)"
        ).to_pylist()
    }
    names: set[str] = set()
    for doc_id, context in _contexts(found).items():
        assert bool(context) == has_context(doc_id, 0.8)
        if not context:
            continue
        row = stored[doc_id]
        *lines, last = context.splitlines()
        assert last == "Text:"
        asked = dict(line.split(": ", 1) for line in lines)
        names |= set(asked)
        told = "The {adjective} {noun} that wanted to {verb}.".format(**row)
        assert asked.get("Words") in (None, ", ".join(row["words"]))
        assert asked.get("Features") in (None, ", ".join(row["features"]))
        assert asked.get("Sentence", "") in row["text"]
        assert asked.get("Summary") in (None, told)
    assert names == {"Words", "Features", "Sentence", "Summary"}
    assert found.instruct_lines == tuple(sorted(names))


def test_what_stands_before_a_document_is_part_of_a_students_id(
    data: Path, tonight: Tonight, tmp_path: Path
) -> None:
    rows = _rows(data, "select role, student_id, training_set_digest from checkpoints")
    assert len({row["student_id"] for row in rows}) == 4
    assert len({row["training_set_digest"] for row in rows}) == 2
    found = build_training_set(tonight)
    assert training_digest(found.documents, found.targets_runs, with_prefixes=True) == found.digest
    first, *others = found.documents
    changed = [replace(first, prefix_ids=first.prefix_ids ^ 1), *others]
    documents = write_documents(changed, tmp_path)
    other = training_digest(documents, found.targets_runs, with_prefixes=True)
    assert other != found.digest


def test_a_context_that_leaves_its_text_no_room_takes_it_out_and_is_counted(
    tonight: Tonight, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build_training_set(tonight)
    lengths = sorted(len(d.prefix_ids) + len(d.input_ids) for d in whole.documents)
    limit = lengths[len(lengths) // 2]
    assert max(len(d.input_ids) for d in whole.documents) < lengths[-1]
    short = SimpleNamespace(max_position_embeddings=limit)
    monkeypatch.setattr("flows.training_set.preset_named", lambda _: short)
    found = build_training_set(tonight)
    kept = [length for length in lengths if length <= limit]
    assert sorted(len(d.prefix_ids) + len(d.input_ids) for d in found.documents) == kept
    assert found.num_left_out == len(lengths) - len(kept) > 0
    whole_contexts = _contexts(whole)
    assert all(whole_contexts[doc_id] == said for doc_id, said in _contexts(found).items())


def _lines(tonight: Tonight, ask: StoredAsk | None, words: tuple[str, ...] = ()) -> dict[str, str]:
    """What the contexts of such a story say, line by line, over many ids of its text."""
    text = "It fell."
    context_of = training_contexts(tonight)
    said: dict[str, str] = {}
    for number in range(60):
        story = CorpusStory("s", f"text {number}", text, "", words, 0, len(text), False, ask)
        for line in (context_of(story) or "").splitlines()[:-1]:
            name, _, value = line.partition(": ")
            assert said.setdefault(name, value) == value
    return said


WORDS = ("fall", "cup", "red")
SLOTS = {"verb": ["fall"], "noun": ["cup"], "adjective": ["red"], "features": ["moral"]}


SAID = {"Words": "fall, cup, red", "Features": "moral", "Sentence": "It fell."}


def test_stories_of_nights_whose_family_is_known_have_all_their_lines(tonight: Tonight) -> None:
    summary = {"Summary": "The red cup that wanted to fall."}
    own = StoredAsk(tonight.plan.family.digest, json.dumps(SLOTS), ("moral",), None)
    assert _lines(tonight, own, WORDS) == SAID | summary
    simple = load_family("simple-story")
    slots = {name: list[str]() for name in simple.slots} | SLOTS
    slots |= {"theme": ["being brave"], "topic": ["a farm"], "style": ["funny"]}
    shipped = StoredAsk(simple.digest, json.dumps(slots), ("moral",), "A cup was red.")
    assert _lines(tonight, shipped, WORDS) == {
        "Words": "fall, cup, red",
        "Features": "being brave, a farm, funny, moral",
        "Sentence": "A cup was red.",
        "Summary": "A funny story about being brave and a farm.",
    }


def test_stories_of_other_nights_have_the_lines_that_their_rows_tell(tonight: Tonight) -> None:
    gone = StoredAsk("a family that is not here", json.dumps({"x": ["y"]}), ("moral",), None)
    assert _lines(tonight, gone, WORDS) == SAID
    first_version = StoredAsk(None, None, ("moral",), None)
    assert _lines(tonight, first_version, WORDS) == SAID
    slots = json.dumps({**SLOTS, "noun": ["zyzzyva"]})
    lost_word = StoredAsk(tonight.plan.family.digest, slots, ("moral",), None)
    found = _lines(tonight, lost_word, ("fall", "zyzzyva", "red"))
    assert found == {**SAID, "Words": "fall, zyzzyva, red"}


def test_an_imported_text_has_a_sentence_of_its_own(tonight: Tonight) -> None:
    assert _lines(tonight, None) == {"Sentence": "It fell."}


def test_the_students_folder_says_how_it_reads(data: Path, smoke_night: Night) -> None:
    said = {"instructed": ["Features", "Sentence", "Summary", "Words"], "smoke": None}
    for line, expected in said.items():
        folder = data / "champion" / line
        config = json.loads((folder / "config.json").read_text())
        assert config.get("stillhouse_instruct_lines") == expected
        card = (folder / "README.md").read_text()
        assert ("    Summary: ...\n    Words: ...\n    Text:\n" in card) == bool(expected)
        assert ("perhaps a line `Words: a, b, c`" in card) == (not expected)


def test_the_night_asks_its_students_in_the_form_that_they_read(data: Path) -> None:
    """The stored samples are those of that context, and the other form would tell others."""
    student = (data / "champion" / "instructed").resolve().name
    query = f"select words, text from generations where student_id = '{student}' order by sample"
    rows = _rows(data, query)
    assert len(rows) == 4
    with Lake.open(data) as lake:
        model, space = load_checked_student(lake, student)
    evaluate = load_recipe("smoke").evaluate
    sampling = Sampling(evaluate.temperature, evaluate.max_new_tokens, evaluate.top_k)

    def told(ending: str) -> list[str]:
        contexts = [f"Words: {', '.join(row['words'])}{ending}" for row in rows]
        stories = sample_stories(model, space, contexts, seed=evaluate.seed, sampling=sampling)
        return [story.text for story in stories]

    assert told("\nText:\n") == [row["text"] for row in rows]
    assert told("\n") != [row["text"] for row in rows]


ASKED = ["--feature", "moral", "--sentence", "The cup was red.", "--summary", "A red cup."]


@pytest.mark.parametrize("asked", [[], ["--words", "jump, boat"], ASKED, ["--feature", "moral"]])
def test_a_student_of_the_instruct_form_is_asked_for_more(data: Path, asked: list[str]) -> None:
    told = in_process("tell", "--line", "instructed", *asked, "--data", str(data))
    assert told.exit_code == 0, told.output
    assert told.stdout.strip()


def test_each_thing_that_is_asked_for_changes_what_is_told(data: Path) -> None:
    command = ["tell", "--line", "instructed", "--data", str(data), "--words", "jump, boat"]
    told = {
        in_process(*command, *asked).stdout
        for asked in ([], ASKED[:2], ASKED[2:4], ASKED[4:], ["--feature", "dialogue", *ASKED[:2]])
    }
    assert len(told) == 5


@pytest.mark.parametrize(
    ("line", "asked", "said"),
    [
        (
            "smoke",
            [*ASKED, "--words", "jump"],
            "line smoke: expected what its champion was trained to follow (--words), found "
            "--feature, --sentence, --summary; ask for less, or train students with train.context",
        ),
        ("instructed", ["--words", "a,,b"], "line Words: expected something to ask for"),
        ("instructed", ["--summary", "a\nb"], "line Summary: expected printable text on one line"),
    ],
)
def test_what_a_student_was_not_trained_on_is_refused_in_one_line(
    line: str, asked: list[str], said: str, data: Path
) -> None:
    refused = in_process("tell", "--line", line, *asked, "--data", str(data))
    assert refused.exit_code == 2
    assert refused.stdout == ""
    [found] = refused.stderr.splitlines()
    assert said in found
