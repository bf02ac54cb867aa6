"""Real students for tests/bench/promotion.py: what each of them scores on each held-out document.

Students of 104,000 parameters in the ids of a small real teacher, trained by the house's own loop
on plain cross entropy (no draws to capture: a run fits in minutes). One recipe with many seeds, and
the same recipe with more tokens, which makes students that are better. A seed draws the first
weights and the order of the documents; the documents are the same for all. The figures are kept in
one .npz file, which holds arrays and no pickle.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import LlamaForCausalLM

from distill.config import TrainConfig
from distill.evaluation.scoring import ScoreRequest, score_documents
from distill.reading import hard_labels
from distill.students import presets
from distill.targets import StudentDocument
from distill.tokens import TokenSpace
from distill.train import train
from distill.trimming import trim_tokenizer
from flows.progress import track
from flows.teachers import describe_teacher, load_tokenizer
from warehouse.identity import digest

SHAPE = presets.Preset("bench", 72, 1, 2, 2, 216, 512, 512)
NUM_TRAINED_ON, MAX_TOKENS = 950, 500
BASE = "base"
# Tokens of the recipe, and how many times as many make its better students.
NUM_TOKENS = 120_000
BETTER = {"longer, x1.05": 1.05, "longer, x1.1": 1.1, "longer, x1.3": 1.3}
NUM_SEEDS, NUM_BETTER_SEEDS = 16, 2


Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Students:
    """float64[S, D] nats and int64[D] bytes; the recipe and seed of each of the S students."""

    nats_SD: npt.NDArray[np.float64]
    bytes_D: npt.NDArray[np.int64]
    groups: tuple[str, ...]

    def of(self, group: str) -> npt.NDArray[np.int64]:
        """The students of a recipe."""
        return np.flatnonzero(np.array(self.groups) == group)

    def figure(self, student: int) -> float:
        """Bits per byte on all documents."""
        return float(self.nats_SD[student].sum() / np.log(2) / self.bytes_D.sum())


def students_at(cache: Path, stories: Path, teacher: Path) -> Students:
    """The students' figures, from the cache; those that it lacks are trained now, and kept there
    one by one.
    """
    known = _read(cache) if cache.is_file() else None
    num_known = len(known.groups) if known else 0
    plan = list(_plan())[num_known:]
    if plan:
        bench = _set_up(stories, teacher)
        with track("students", len(plan), "students") as bar:
            for group, seed, num_tokens in plan:
                known = _with(known, group, bench, _scored(bench, seed, num_tokens))
                _write(cache, known)
                print(f"{group}, seed {seed}: {known.figure(-1):.4f} bits per byte", flush=True)
                bar.advance()
    assert known is not None
    return known


@dataclass(frozen=True, slots=True)
class _Bench:
    """What all students share."""

    space: TokenSpace
    documents: Sequence[StudentDocument]
    requests: Sequence[ScoreRequest]


def _read(cache: Path) -> Students:
    with np.load(cache, allow_pickle=False) as found:
        return Students(found["nats"], found["num_bytes"], tuple(found["groups"].tolist()))


def _write(cache: Path, students: Students) -> None:
    fresh = cache.with_name(f".{cache.name}")
    with fresh.open("wb") as file:
        np.savez(
            file,
            nats=students.nats_SD,
            num_bytes=students.bytes_D,
            groups=np.array(students.groups),
        )
    fresh.replace(cache)


def _with(known: Students | None, group: str, bench: _Bench, nats_D: Floats) -> Students:
    if known is None:
        num_bytes = np.array([request.num_bytes for request in bench.requests])
        return Students(nats_D[None], num_bytes, (group,))
    return Students(np.vstack([known.nats_SD, nats_D]), known.bytes_D, (*known.groups, group))


def _set_up(stories: Path, teacher_folder: Path) -> _Bench:
    texts = [json.loads(line)["text"].strip() for line in stories.read_text("utf-8").splitlines()]
    teacher = describe_teacher("stories260k", teacher_folder)
    reads = load_tokenizer(teacher)
    kept = [text for text in texts if len(reads.text_ids(text)) <= MAX_TOKENS]
    kept.sort(key=digest)  # by no order that the file may have
    space = trim_tokenizer(
        (teacher.folder / "tokenizer.json").read_text(encoding="utf-8"),
        vocab_size=512,
        id_counts={},
        forms=(),
        start_id=reads.start_id,
        end_ids=reads.end_ids,
    )
    documents = [_document(space, text) for text in kept[:NUM_TRAINED_ON]]
    requests = _requests(space, kept[NUM_TRAINED_ON:])
    num_tokens = sum(len(document.input_ids) for document in documents)
    print(
        f"{len(documents)} documents to train on ({num_tokens:,} tokens), {len(requests)} held out"
    )
    return _Bench(space, documents, requests)


def _scored(bench: _Bench, seed: int, num_tokens: int) -> Floats:
    student = _trained(bench.space, bench.documents, seed, num_tokens)
    end_ids = [bench.space.end_id]
    scores = score_documents(student, bench.requests, end_ids=end_ids, num_tokens_per_batch=8192)
    return np.array([score.nats for score in scores])


def _plan() -> Iterator[tuple[str, int, int]]:
    """Recipe, seed and tokens of each student; no two of them share a seed."""
    yield from ((BASE, seed, NUM_TOKENS) for seed in range(NUM_SEEDS))
    for place, (group, times) in enumerate(BETTER.items(), start=1):
        for seed in range(NUM_BETTER_SEEDS):
            yield group, 100 * place + seed, int(NUM_TOKENS * times)


def _document(space: TokenSpace, text: str) -> StudentDocument:
    """The text as a student reads it, without a draw of any teacher."""
    return hard_labels(digest(text), space, text, [space.start_id])


def _requests(space: TokenSpace, texts: Sequence[str]) -> list[ScoreRequest]:
    start = np.array([space.start_id], np.int32)
    return [
        ScoreRequest(
            digest(text), start, np.array(space.encode(text), np.int32), len(text.encode())
        )
        for text in texts
    ]


def _trained(
    space: TokenSpace, documents: Sequence[StudentDocument], seed: int, num_tokens: int
) -> LlamaForCausalLM:
    """A student of SHAPE."""
    config = TrainConfig(
        preset="stlm-1m",  # any: the model is built here
        num_tokens=num_tokens,
        alpha=0,
        seed=seed,
        tokens_per_step=256,  # many small steps: with few, some seeds stay on a plateau
        max_batch_tokens=8192,
        learning_rate=5e-3,
        checkpoint_every_steps=1_000_000,
    )
    model = LlamaForCausalLM(
        presets._llama_config(SHAPE, space.vocab_size, space.start_id, space.end_id)
    )
    presets._fill(model, torch.Generator().manual_seed(seed), SHAPE.num_layers)
    with tempfile.TemporaryDirectory() as folder:
        train(config, model, documents, Path(folder), seed=seed, alpha=config.alpha)
    return model
