"""The training set of a night in each token space, from the same targets."""

import dataclasses
import shutil
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from distill.config import TrainConfig
from distill.errors import DistillError
from distill.prefix import prefix_ids
from distill.space_config import TokenSpaceConfig
from distill.spaces import own_space
from distill.targets import READ_COLUMNS, StudentDocument, from_table, num_dropped_draws
from distill.training_file import documents_digest
from flows.capture_targets import capture_facts, capture_run_id
from flows.contexts import training_contexts
from flows.night import Tonight, open_night
from flows.recipes import load_recipe
from flows.teachers import load_tokenizer
from flows.token_spaces import check_reading, read_documents
from flows.train_student import student_ids
from flows.training_set import TrainingSet, build_training_set
from tests.flows.smoke import MAX_WORDS, Night
from tests.flows.trained import training_stories
from warehouse.identity import digest


@pytest.fixture
def tonight(smoke_night: Night, tmp_path: Path) -> Iterator[Tonight]:
    data = Path(shutil.copytree(smoke_night.data, tmp_path / "lake", symlinks=True))
    settings = [f"teacher.model={smoke_night.teacher}", f"verdicts.max_words={MAX_WORDS}"]
    with open_night(load_recipe("smoke", settings), "1", data, lambda _: None) as tonight:
        yield tonight


def assert_as_in_memory(tonight: Tonight, found: TrainingSet) -> None:
    """The set is, bit for bit, that of all the night's targets read at once: the first versions
    made it so, and the ids of their students follow from it.
    """
    stories = {story.doc_id: story for story in training_stories(tonight)}
    context_of = training_contexts(tonight)
    facts = capture_facts(tonight, load_tokenizer(tonight.teacher).vocab_size)
    documents, identity, num_unfit, num_dropped = [], [], 0, 0
    for unit in tonight.units:
        run_id = capture_run_id(tonight, unit)
        rows = tonight.lake.read("targets", run_ids=[run_id], columns=READ_COLUMNS)
        for one in from_table(rows, num_draws=facts.num_draws, vocab_size=facts.vocab_size):
            if one.doc_id not in stories:
                continue
            story = stories.pop(one.doc_id)
            prefix = prefix_ids(found.space, context_of(story)).tolist()
            (read,) = read_documents([one], found.space, [prefix], {story.doc_id: story.text})
            if read is None:
                num_unfit += 1
                continue
            documents.append(read)
            identity.append([read.doc_id, run_id])
            if not found.space.is_own:
                num_dropped += num_dropped_draws(read, facts.num_draws)
    assert not stories
    assert found.num_left_out == num_unfit
    assert found.digest == digest(sorted(identity))
    assert list(found.targets_run_ids) == [run_id for _, run_id in identity]
    assert found.documents.digest == documents_digest(documents)
    num_draws = facts.num_draws * sum(len(document.input_ids) for document in documents)
    assert found.dropped_draw_share == num_dropped / max(num_draws, 1)
    for mine, wanted in zip(found.documents, documents, strict=True):
        for field in fields(StudentDocument):
            assert np.array_equal(getattr(mine, field.name), getattr(wanted, field.name))


def read_in(tonight: Tonight, kind: str, vocab_size: int | None, alpha: float) -> TrainingSet:
    """The night's training set, as if its recipe had asked for that space."""
    values = {"kind": kind, "vocab_size": vocab_size}
    train = TrainConfig.model_validate({**tonight.recipe.train.model_dump(), "alpha": alpha})
    changes = {"token_space": TokenSpaceConfig.model_validate(values), "train": train}
    other = dataclasses.replace(tonight, recipe=tonight.recipe.model_copy(update=changes))
    found = build_training_set(other)
    assert_as_in_memory(other, found)
    check_reading(other, found.space, found.documents)
    ids = student_ids(other, found)
    assert len(set(ids.values())) == (2 if alpha else 1)
    assert not [path for path in (tonight.lake.root / "work").iterdir() if path.suffix != ".lock"]
    return found


def test_one_capture_serves_students_of_every_space(tonight: Tonight) -> None:
    trimmed = read_in(tonight, "trimmed", 400, 0.9)
    assert len(read_in(tonight, "trimmed", 500, 0.9).documents) > 0
    teachers = read_in(tonight, "teacher", None, 0.9)
    own = read_in(tonight, "own", 400, 0.0)
    names = [{d.doc_id for d in found.documents} for found in (trimmed, teachers, own)]
    assert names[0] <= names[1] == names[2]
    assert len({found.space.digest for found in (trimmed, teachers, own)}) == 3
    # Trimmed to as many ids as the teacher has, it is the teacher's.
    assert build_training_set(tonight).space.digest == teachers.space.digest

    reads = load_tokenizer(tonight.teacher)
    assert teachers.space.vocab_size == reads.vocab_size
    assert (teachers.num_left_out, teachers.dropped_draw_share) == (0, 0.0)
    num_draws = tonight.recipe.capture.num_draws
    assert all((d.n_draws == num_draws).all() for d in teachers.documents)

    assert own.space.is_own
    texts = [text for _, text in sorted((s.doc_id, s.text) for s in training_stories(tonight))]
    assert own.space.digest == own_space(texts, vocab_size=400).digest
    assert all(len(d.target_ids) == 0 for d in own.documents)
    with pytest.raises(DistillError, match="found other ids from its token"):
        check_reading(tonight, own.space, teachers.documents)
