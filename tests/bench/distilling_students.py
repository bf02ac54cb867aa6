"""Students for tests/bench/distilling.py: a real small teacher's law in each stored form, one
student for each way of training, and its figures on documents that none of them has seen.

The figures of a student are a line of a JSON file, written when it is done: a run that was cut off
goes on, and nothing is trained twice.
"""

import json
import math
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import LlamaForCausalLM, PreTrainedModel

from distill.capture import capture_documents
from distill.capture_config import CaptureConfig
from distill.config import TrainConfig
from distill.evaluation.agreement import agreement
from distill.evaluation.distances import teacher_law
from distill.evaluation.intervals import FloatArray
from distill.evaluation.reliability import calibration_error
from distill.evaluation.scoring import DocumentScore, IntArray, ScoreRequest, score_documents
from distill.evaluation.side_by_side import StudentReading, measure_distances
from distill.positions import CaptureRequest, TeacherIds
from distill.reading import to_students
from distill.spaces import teacher_space
from distill.students import presets
from distill.targets import StudentDocument, from_table
from distill.tokens import word_start_mask
from distill.train import train
from flows.teachers import describe_teacher, load_tokenizer
from warehouse.identity import digest

SHAPE = presets.Preset("bench", 64, 3, 2, 2, 192, 512, 512)
NUM_TRAINED_ON, NUM_CHOSEN_ON, NUM_HELD_OUT, MAX_TOKENS = 950, 64, 200, 500
# Of a probability of 1, where exact laws are kept as whole numbers: off by 1e-9 at most.
_WHOLE = 1 << 30


@dataclass(frozen=True, slots=True)
class Way:
    """How a student is trained: the form of its targets, the weight alpha of the teacher, the peak
    rate, the share of the training documents that it has, and a seed for weights and order.
    """

    form: str
    alpha: float
    rate: float
    num_tokens: int
    seed: int
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """On one set of documents, end symbols included: nats per token of the text and against the
    teacher's law (cross entropy), bits per byte, calibration error, share of positions where
    student and teacher prefer the same id.
    """

    text_nats: float
    teacher_nats: float
    bits_per_byte: float
    ece: float
    top1: float


class Corpus:
    """The teacher, its ids, and real stories in three parts by digest."""

    def __init__(self, stories: Path, teacher_folder: Path) -> None:
        self.teacher: PreTrainedModel = LlamaForCausalLM.from_pretrained(teacher_folder).eval()
        described = describe_teacher("stories260k", teacher_folder)
        self.reads = load_tokenizer(described)
        self.tokenizer_json = (teacher_folder / "tokenizer.json").read_text(encoding="utf-8")
        self.ends = self.reads.end_ids
        self.space = teacher_space(
            self.tokenizer_json, start_id=self.reads.start_id, end_ids=self.reads.end_ids
        )
        texts = [json.loads(line)["text"].strip() for line in stories.open(encoding="utf-8")]
        kept = [text for text in texts if len(self.reads.text_ids(text)) <= MAX_TOKENS]
        kept.sort(key=digest)  # by no order that the file may have
        self.train_texts = kept[:NUM_TRAINED_ON]
        rest = kept[NUM_TRAINED_ON:]
        self.chosen, rest = rest[:NUM_CHOSEN_ON], rest[NUM_CHOSEN_ON:]
        self.held_out = rest[:NUM_HELD_OUT]
        self._documents: dict[str, list[StudentDocument]] = {}
        self._teacher_on: dict[str, tuple[float, list[DocumentScore]]] = {}

    def documents(self, form: str) -> list[StudentDocument]:
        """The training documents with the teacher's law in one of FORMS."""
        if form not in self._documents:
            self._documents[form] = FORMS[form](self)
        return self._documents[form]

    def captured(self, **changes: object) -> list[StudentDocument]:
        """As the house captures and reads them."""
        config = CaptureConfig.model_validate(
            {"num_draws": 50, "seed": 1, "batch_size": 16, **changes}
        )
        ids = TeacherIds(
            self.reads.end_ids,
            word_start_mask(
                self.tokenizer_json,
                vocab_size=self.reads.vocab_size,
                end_ids=self.reads.end_ids,
            ),
        )
        start = [self.reads.start_id]
        requests = [
            CaptureRequest(digest(text), digest(text), start, self.reads.text_ids(text))
            for text in self.train_texts
        ]
        table = capture_documents(
            self.teacher, requests, config, ids, run_id="bench", teacher_digest="bench"
        )
        rows = from_table(
            table, num_draws=config.num_draws, vocab_size=self.reads.vocab_size, k=config.k
        )
        read = to_students(rows, self.space, [[self.space.start_id]] * len(rows))
        return [document for document in read if document is not None]

    def exact(self) -> list[StudentDocument]:
        """The teacher's whole law at every position, as whole numbers that sum to _WHOLE but for
        rounding.
        """
        return [
            _with_law(document, *_sparse(self.law(document.doc_id, document.input_ids[:-1])[0]))
            for document in self.captured()
        ]

    def law(self, doc_id: str, symbol_ids: IntArray) -> tuple[FloatArray, FloatArray]:
        """float64[T, V] probabilities of each symbol and the end, and float64[T] nats of
        entropy.
        """
        ids = torch.tensor([[self.space.start_id, *symbol_ids.tolist()]])
        with torch.inference_mode():
            law = teacher_law(self.teacher(input_ids=ids, use_cache=False).logits[0], self.ends)
        probs_TV = law.logprob_NT.exp()
        probs_TV[:, list(self.ends[1:])] = 0.0
        return probs_TV.numpy(), law.entropy_N.numpy()

    def requests(self, part: str) -> list[ScoreRequest]:
        """The texts of "chosen" or "held_out", after the start symbol."""
        start = np.array([self.space.start_id], np.int32)
        return [
            ScoreRequest(digest(text), start, self._ids(text), len(text.encode()))
            for text in getattr(self, part)
        ]

    def teacher_on(self, part: str) -> tuple[float, list[DocumentScore]]:
        """Mean entropy of the teacher's law, and what it prefers."""
        if part not in self._teacher_on:
            self._teacher_on[part] = self._ask_teacher(part)
        return self._teacher_on[part]

    def _ask_teacher(self, part: str) -> tuple[float, list[DocumentScore]]:
        requests = self.requests(part)
        nats = [self.law(request.doc_id, request.symbol_ids)[1] for request in requests]
        scores = score_documents(
            self.teacher, requests, end_ids=self.ends, num_tokens_per_batch=8192, want_top1=True
        )
        return float(np.concatenate(nats).mean()), scores

    def _ids(self, text: str) -> IntArray:
        return np.array(self.reads.text_ids(text), np.int32)


def figures(corpus: Corpus, student: LlamaForCausalLM, part: str) -> Figures:
    """Of a student on "chosen" or "held_out"."""
    requests, space = corpus.requests(part), corpus.space
    entropy, of_teacher = corpus.teacher_on(part)
    scores = score_documents(
        student, requests, end_ids=corpus.ends, num_tokens_per_batch=8192, want_top1=True
    )
    [distances] = measure_distances(
        corpus.teacher,
        requests,
        [StudentReading(student, space, requests)],
        end_ids=corpus.ends,
        num_tokens_per_batch=8192,
    )
    alike = [
        agreement(
            own, item.symbol_ids, theirs, item.symbol_ids, space=space, teacher_end_ids=corpus.ends
        )
        for own, theirs, item in zip(scores, of_teacher, requests, strict=True)
    ]
    bands = [band for document in distances for band in document.bands]
    num_tokens = sum(score.num_tokens for score in scores)
    nats = sum(score.nats for score in scores)
    return Figures(
        text_nats=nats / num_tokens,
        teacher_nats=entropy + sum(band.forward_kl for band in bands) / num_tokens,
        bits_per_byte=nats / math.log(2) / sum(score.num_bytes for score in scores),
        ece=calibration_error([band.reliability for band in bands], seed=0, num_resamples=2).value,
        top1=sum(a.num_top1_agree for a in alike) / sum(a.num_top1 for a in alike),
    )


def trained(corpus: Corpus, way: Way) -> LlamaForCausalLM:
    """A student of SHAPE, by the house's own loop, in many steps: with few it hardly learns."""
    every = corpus.documents(way.form)
    documents = every[: round(way.share * len(every))]
    config = TrainConfig(
        preset="stlm-1m",  # any: the model is built here
        num_tokens=way.num_tokens,
        alpha=way.alpha,
        seed=way.seed,
        learning_rate=way.rate,
        tokens_per_step=512,
        max_batch_tokens=4096,
        checkpoint_every_steps=1_000_000,
    )
    space = corpus.space
    shape = presets._llama_config(SHAPE, space.vocab_size, space.start_id, space.end_id)
    model = LlamaForCausalLM(shape)
    presets._fill(model, torch.Generator().manual_seed(way.seed), SHAPE.num_layers)
    with tempfile.TemporaryDirectory() as folder:
        train(config, model, documents, Path(folder), seed=way.seed, alpha=way.alpha)
    return model


class Notebook:
    """Figures by way, in a file of JSON lines; what it lacks is trained."""

    def __init__(self, corpus: Corpus, path: Path) -> None:
        self._corpus, self._path = corpus, path
        self._known: dict[Way, dict[str, Figures]] = {}
        for line in path.open(encoding="utf-8") if path.is_file() else ():
            row = json.loads(line)
            self._known[Way(**row["way"])] = {
                part: Figures(**row[part]) for part in ("chosen", "held_out")
            }

    def __call__(self, way: Way) -> dict[str, Figures]:
        """The figures on both sets."""
        if way not in self._known:
            student = trained(self._corpus, way)
            found = {p: figures(self._corpus, student, p) for p in ("chosen", "held_out")}
            row = {"way": asdict(way), **{part: asdict(f) for part, f in found.items()}}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{way}: {found['held_out']}", file=sys.stderr, flush=True)
            self._known[way] = found
        return self._known[way]


def _sparse(probs_TV: FloatArray) -> tuple[IntArray, IntArray, IntArray]:
    """Ids and weights of what has any, end to end, and how many each position has."""
    weights_TV = np.rint(probs_TV * _WHOLE).astype(np.int64)
    rows, ids = np.nonzero(weights_TV)
    sizes = np.bincount(rows, minlength=len(weights_TV)).astype(np.int32)
    return ids.astype(np.int32), weights_TV[rows, ids].astype(np.int32), sizes


def _with_law(
    document: StudentDocument, ids: IntArray, weights: npt.NDArray[Any], sizes: IntArray
) -> StudentDocument:
    """Weights are wider than the counts that the house stores: the losses take any."""
    return replace(
        document,
        offsets=np.append(0, np.cumsum(sizes)).astype(np.int64),
        target_ids=ids,
        target_counts=weights,
        target_logprobs=np.zeros(0),
        tail_logmass=np.zeros(0),
    )


def _renormalised(document: StudentDocument) -> StudentDocument:
    """Top-k as it is usually stored: the tail forgotten, the rest put to sum 1."""
    sizes = np.diff(document.offsets)
    probs = np.exp(document.target_logprobs)
    sums = np.add.reduceat(probs, document.offsets[:-1])
    weights = np.rint(probs / np.repeat(sums, sizes) * _WHOLE).astype(np.int64)
    return _with_law(document, document.target_ids, np.maximum(weights, 1), sizes)


def _top_k(corpus: Corpus, k: int) -> list[StudentDocument]:
    return corpus.captured(mode="top_k", k=k)


FORMS: dict[str, Callable[[Corpus], list[StudentDocument]]] = {
    "cross entropy": lambda corpus: corpus.captured(),
    "sampled, R = 12": lambda corpus: corpus.captured(num_draws=12),
    "sampled, R = 50": lambda corpus: corpus.captured(),
    "top-12 renormalised": lambda corpus: [*map(_renormalised, _top_k(corpus, 12))],
    "top-50 renormalised": lambda corpus: [*map(_renormalised, _top_k(corpus, 50))],
    "top-12 with tail": lambda corpus: _top_k(corpus, 12),
    "top-50 with tail": lambda corpus: _top_k(corpus, 50),
    "dense": Corpus.exact,
}
