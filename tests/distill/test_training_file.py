"""The documents of a training, kept in a file: the same ones, never others, gone when nobody has
them open.
"""

import os
import pickle
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from multiprocessing import resource_sharer
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest

from distill.batches import check_documents, make_batches
from distill.errors import DistillError
from distill.reading import hard_labels, to_students
from distill.spaces import own_space, teacher_space
from distill.targets import StudentDocument
from distill.tokens import TokenSpace
from distill.train import train
from distill.training_file import (
    documents_digest,
    num_targets,
    write_documents,
)
from distill.trimming import trim_tokenizer
from tests.distill.test_reading import kept_document
from tests.student_documents import make_documents, tiny_student, train_config
from tests.tiny_teacher import make_stories, train_tokenizer
from warehouse.identity import digest, digest_bytes, digest_each

ROOT = Path(__file__).parents[2]
LENGTHS = [5, 17, 9, 30, 12, 3, 21, 14, 26]
NAMES = [field.name for field in fields(StudentDocument) if field.name != "doc_id"]

# Writes documents without end, and says what the folder holds; killed in the middle.
ENDLESS = """
import sys
from itertools import count
from pathlib import Path
import numpy as np
from distill.targets import StudentDocument
from distill.training_file import write_documents

folder, size = Path(sys.argv[1]), 400
ids, offsets = np.ones(size, np.int32), np.arange(size + 1)
def documents():
    for number in count():
        if number == 2_000:
            print(sorted(path.name for path in folder.iterdir()), flush=True)
        yield StudentDocument(str(number), ids, ids, ids, offsets, ids, ids.astype(np.uint8))
write_documents(documents(), folder)
"""


def sampled(space: TokenSpace) -> list[StudentDocument]:
    captured = [kept_document(space, f"doc-{i}", 1 + i % 40) for i in range(150)]
    prefixes = [[space.start_id] * (1 + i % 3) for i in range(150)]
    return [document for document in to_students(captured, space, prefixes) if document is not None]


def top_k(space: TokenSpace) -> list[StudentDocument]:
    rng, made = np.random.default_rng(0), []
    for captured in (kept_document(space, f"doc-{i}", 1 + i % 40) for i in range(90)):
        size = captured.input_ids.size
        ids = np.sort(np.array([rng.choice(400, 5, replace=False) for _ in range(size)]), axis=1)
        law = replace(
            captured,
            n_targets=np.full(size, 5, np.uint8),
            target_ids=ids.astype(np.int32).reshape(-1),
            target_counts=np.zeros(0, np.uint8),
            topk_logprob=rng.uniform(-6, -2, 5 * size).astype(np.float16),
            tail_logmass=rng.uniform(-2, -0.1, size).astype(np.float16),
        )
        made.append(law)
    read = to_students(made, space, [[space.start_id]] * len(made))
    return [document for document in read if document is not None]


@cache
def documents_of(kind: str) -> list[StudentDocument]:
    """Documents as each kind of target and space has them."""
    tokenizer_json = train_tokenizer(make_stories(200, 0)).to_str()
    if kind == "own":
        space = own_space(make_stories(50, 0), vocab_size=300)
        texts = make_stories(70, 1)
        return [hard_labels(text, space, text, [space.start_id]) for text in texts]
    if kind == "top_k":
        return top_k(teacher_space(tokenizer_json, start_id=0, end_ids=(1,)))
    counts = {id_: 1000 - id_ for id_ in range(2, 420)}
    return sampled(
        trim_tokenizer(
            tokenizer_json,
            vocab_size=400,
            id_counts=counts,
            forms=(),
            start_id=0,
            end_ids=(1, 300),
        )
    )


def assert_same(found: StudentDocument, expected: StudentDocument) -> None:
    assert found.doc_id == expected.doc_id
    for name in NAMES:
        mine, wanted = getattr(found, name), getattr(expected, name)
        assert mine.dtype == wanted.dtype, name
        assert mine.tobytes() == wanted.tobytes(), name
        assert mine.flags.aligned
        assert not mine.flags.writeable


def flip_bit(descriptor: int, bit: int) -> None:
    [byte] = os.pread(descriptor, 1, bit // 8)
    os.pwrite(descriptor, bytes([byte ^ (1 << bit % 8)]), bit // 8)


@pytest.mark.parametrize("kind", ["sampled", "top_k", "own"])
def test_each_document_comes_back_bit_for_bit(kind: str, tmp_path: Path) -> None:
    documents = documents_of(kind)
    assert bool(documents[-1].tail_logmass.size) == (kind == "top_k")
    found = write_documents(iter(documents), tmp_path / "not" / "there")
    assert len(found) == len(documents) > 64
    for place in (*range(len(documents)), -1, -len(documents)):
        assert_same(found[place], documents[place])
    for mine, wanted in zip(found[3:90:7], documents[3:90:7], strict=True):
        assert_same(mine, wanted)
    for place in (len(documents), -len(documents) - 1):
        with pytest.raises(IndexError):
            found[place]
    for mine, wanted in zip(found, documents, strict=True):
        assert_same(mine, wanted)
    assert list(found.doc_ids) == [document.doc_id for document in documents]
    assert found.num_targets_D.tolist() == [len(document.input_ids) for document in documents]
    assert found.num_prefix_D.tolist() == [len(document.prefix_ids) for document in documents]
    by_id = sorted(range(len(documents)), key=lambda place: documents[place].doc_id)
    assert list(found.places_by_id()) == by_id
    batches = [make_batches(of[:20], 4096) for of in (found, documents)]
    for one, other in zip(*batches, strict=True):
        for field in fields(one):
            tensor = getattr(one, field.name)
            assert tensor is None or tensor.equal(getattr(other, field.name))


@pytest.mark.parametrize("kind", ["sampled", "top_k", "own"])
def test_the_digest_is_that_of_all_documents_in_memory(kind: str, tmp_path: Path) -> None:
    """As the first versions had it, so that a training that they began is known again."""

    def one(document: StudentDocument) -> str:
        names = ("prefix_ids", "input_ids", "offsets", "target_ids", "target_counts")
        arrays = [getattr(document, name).astype(np.int64) for name in names]
        if document.tail_logmass.size:
            arrays += [document.target_logprobs, document.tail_logmass]
        return digest(document.doc_id, *(digest_bytes(array.tobytes()) for array in arrays))

    documents = documents_of(kind)
    expected = digest([one(document) for document in documents])
    found = write_documents(documents, tmp_path)
    assert documents_digest(documents) == documents_digest(found) == expected
    other = write_documents([documents[1], documents[0], *documents[2:]], tmp_path)
    assert documents_digest(other) != expected


@pytest.mark.parametrize("items", [[], ["a"], ["a", 'b"', ["\u00e9", 1, None]], [{"b": 1, "a": 2}]])
def test_a_digest_of_items_one_by_one_is_that_of_their_list(items: list[object]) -> None:
    assert digest_each(iter(items)) == digest(items)  # type: ignore[arg-type]


def test_a_training_from_the_file_is_the_one_from_memory(tmp_path: Path) -> None:
    documents = make_documents(LENGTHS)
    kept = write_documents(documents, tmp_path / "work")
    results = [
        train(train_config(), tiny_student(), of, tmp_path / name, seed=3, alpha=0.5)
        for name, of in (("memory", documents), ("file", kept))
    ]
    assert results[0] == results[1]
    again = train(train_config(), tiny_student(), kept, tmp_path / "memory", seed=3, alpha=0.5)
    assert again == results[0]  # whose checkpoints name the same documents


def test_no_flipped_bit_is_read(tmp_path: Path) -> None:
    documents = make_documents(LENGTHS)
    found = write_documents(documents, tmp_path)
    ends = found._index.starts_D1
    chance = random.Random(1)
    for _ in range(200):
        bit = chance.randrange(8 * int(ends[-1]))
        place = int(np.searchsorted(ends, bit // 8, side="right")) - 1
        flip_bit(found._descriptor, bit)
        with pytest.raises(DistillError, match=rf"document doc-0-{place}: expected the \d+ bytes"):
            check_documents(found, 64, 40)
        flip_bit(found._descriptor, bit)
    check_documents(found, 64, 40)
    os.ftruncate(found._descriptor, int(ends[-1]) - 1)
    assert_same(found[7], documents[7])
    with pytest.raises(DistillError, match="document doc-0-8: expected"):
        found[8]


def test_the_file_is_gone_with_the_documents(tmp_path: Path) -> None:
    found = write_documents(make_documents(LENGTHS), tmp_path)
    assert list(tmp_path.iterdir()) == []
    descriptor = found._descriptor
    assert os.fstat(descriptor).st_nlink == 0
    del found
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_killed_while_it_writes_it_leaves_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "[]\n"
        child.send_signal(signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []
    documents = make_documents(LENGTHS)
    assert_same(write_documents(documents, tmp_path)[8], documents[8])


def test_another_process_gets_the_file_and_what_is_known_of_it(tmp_path: Path) -> None:
    """As processes hand things over; tests/distill/test_ranks.py trains in two of them."""
    documents = make_documents(LENGTHS)
    kept = write_documents(documents, tmp_path)
    found = pickle.loads(ForkingPickler.dumps(kept))
    resource_sharer.stop()
    assert found._descriptor != kept._descriptor
    assert vars(found)["digest"] == documents_digest(documents)
    del kept
    for mine, wanted in zip(found, documents, strict=True):
        assert_same(mine, wanted)


@pytest.fixture
def _small_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("_small_files")
def test_a_disk_that_does_not_take_them_is_told(tmp_path: Path) -> None:
    with pytest.raises(DistillError, match=r"cannot keep the training documents in .*free space"):
        write_documents(make_documents([30] * 400), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DistillError, match=r"cannot keep the training documents in .*/file/work"):
        write_documents([], tmp_path / "file" / "work")


def test_no_documents_are_a_file_too(tmp_path: Path) -> None:
    found = write_documents([], tmp_path)
    assert (list(found), found.num_targets_D.sum(), documents_digest(found)) == ([], 0, digest([]))
    assert num_targets(found).dtype == num_targets([]).dtype
    with pytest.raises(DistillError, match="no documents to train on"):
        check_documents(found, 64, 40)
