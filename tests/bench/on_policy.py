"""Is it worth it to let a student write in the last part of its training?

Usage: python tests/bench/on_policy.py STORIES.jsonl TEACHER NOTES.jsonl [NUM_TOKENS]

Students of 160,000 parameters (distilling_students.py) of a small real teacher, at equal steps and
from equal weights: stored samples (R = 50) throughout, against the same with an on-policy phase in
the last steps. Measured on held-out stories, and on what each student writes freely: the teacher's
nats per token of it and the student's own, whose difference estimates KL(student, teacher) where
the student itself goes. Figures are kept in NOTES.jsonl, so nothing is trained twice.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from transformers import LlamaForCausalLM, PreTrainedModel

from distill.config import TrainConfig
from distill.draws import draw_uniforms
from distill.evaluation.distances import shared_events
from distill.evaluation.scoring import IntArray, ScoreRequest, score_documents
from distill.on_policy import LiveTeacher, OnPolicy
from distill.on_policy_config import OnPolicyConfig
from distill.students import presets
from distill.train import train
from distill.writing import WritingRequest, write_texts
from tests.bench.distilling_students import SHAPE, Corpus, figures

SEEDS = (0, 1, 2)
NUM_WRITTEN, MOST_WRITTEN = 200, 300
FORM, RATE = "sampled, R = 50", 6e-3
PHASES = {
    "stored samples": None,
    **{
        f"on-policy, beta {beta:g}": OnPolicyConfig(steps_share=0.3, share=0.5, beta=beta)
        for beta in (0.0, 0.5, 1.0)
    },
}


@dataclass(frozen=True, slots=True)
class Found:
    """Of one student: nats per token of held-out text and against the teacher's law, bits per byte;
    of its own writing the teacher's nats and its own, and the share that came to an end; target
    tokens seen, CPU seconds of the training, and of them those of writing and of scoring.
    """

    text_nats: float
    teacher_nats: float
    bits_per_byte: float
    written_teacher_nats: float
    written_own_nats: float
    finished: float
    cpu_s: float
    writing_cpu_s: float
    scoring_cpu_s: float

    @property
    def written_kl(self) -> float:
        """An estimate of KL(student, teacher) a token, over the student's own texts."""
        return self.written_teacher_nats - self.written_own_nats


def written(corpus: Corpus, student: LlamaForCausalLM) -> list[IntArray]:
    """What the student writes after the start symbol, by the same uniforms for every student."""
    start = np.array([corpus.space.start_id], np.int32)
    requests = [
        WritingRequest(start, draw_uniforms(17, str(i), MOST_WRITTEN, 1)[:, 0])
        for i in range(NUM_WRITTEN)
    ]
    return write_texts(
        student,
        requests,
        start_id=corpus.space.start_id,
        end_ids=shared_events(corpus.space, corpus.ends).student_end_ids,
        temperature=1.0,
        max_positions=64 * MOST_WRITTEN,
    )


def nats_per_token(corpus: Corpus, model: PreTrainedModel, texts: Sequence[IntArray]) -> float:
    """Of the texts, the end symbols of those that have one included."""
    end_id, start = corpus.space.end_id, np.array([corpus.space.start_id], np.int32)
    is_finished = [bool(ids[-1] == end_id) for ids in texts]
    requests = [
        ScoreRequest(str(i), start, ids[:-1] if done else ids, 1)
        for i, (ids, done) in enumerate(zip(texts, is_finished, strict=True))
    ]
    scores = score_documents(
        model, requests, end_ids=corpus.ends, num_tokens_per_batch=8192, want_top1=False
    )
    nats = [
        score.nats if done else score.nats_without_end
        for score, done in zip(scores, is_finished, strict=True)
    ]
    return sum(nats) / sum(len(ids) for ids in texts)


def trained(
    corpus: Corpus, phase: OnPolicyConfig | None, seed: int, num_tokens: int
) -> tuple[LlamaForCausalLM, OnPolicy | None]:
    """A student by the house's own loop, and its on-policy phase, if it has one."""
    config = TrainConfig(
        preset="stlm-1m",  # any: the model is built here
        num_tokens=num_tokens,
        alpha=1.0,
        seed=seed,
        learning_rate=RATE,
        tokens_per_step=512,
        max_batch_tokens=4096,
        checkpoint_every_steps=1_000_000,
        on_policy=phase,
    )
    space = corpus.space
    model = LlamaForCausalLM(
        presets._llama_config(SHAPE, space.vocab_size, space.start_id, space.end_id)
    )
    presets._fill(model, torch.Generator().manual_seed(seed), SHAPE.num_layers)
    teacher = LiveTeacher(corpus.teacher, space, corpus.ends, lambda _: [space.start_id], "bench")
    on_policy = OnPolicy(config, teacher) if phase else None
    with tempfile.TemporaryDirectory() as folder:
        train(
            config,
            model,
            corpus.documents(FORM),
            Path(folder),
            seed=seed,
            alpha=config.alpha,
            on_policy=on_policy,
        )
    return model, on_policy


def measured(corpus: Corpus, phase: OnPolicyConfig | None, seed: int, num_tokens: int) -> Found:
    """Train a student and measure it."""
    corpus.documents(FORM)  # captured once, before the clock
    began_s = time.process_time()
    student, on_policy = trained(corpus, phase, seed, num_tokens)
    cpu_s = time.process_time() - began_s
    held_out, texts = figures(corpus, student, "held_out"), written(corpus, student)
    return Found(
        held_out.text_nats,
        held_out.teacher_nats,
        held_out.bits_per_byte,
        nats_per_token(corpus, corpus.teacher, texts),
        nats_per_token(corpus, student, texts),
        fmean(bool(ids[-1] == corpus.space.end_id) for ids in texts),
        cpu_s,
        on_policy.writing_cpu_s if on_policy else 0.0,
        on_policy.scoring_cpu_s if on_policy else 0.0,
    )


def main(stories: Path, teacher: Path, notes: Path, num_tokens: int) -> None:
    """Print a line for each way; arms of one seed are trained one after the other."""
    torch.set_num_threads(1)
    corpus = Corpus(stories, teacher)
    known: dict[tuple[str, int, int], Found] = {}
    for line in notes.open(encoding="utf-8") if notes.is_file() else ():
        row = json.loads(line)
        known[row["way"], row["seed"], row["num_tokens"]] = Found(**row["found"])
    for seed in SEEDS:
        for name, phase in PHASES.items():
            if (name, seed, num_tokens) in known:
                continue
            found = known[name, seed, num_tokens] = measured(corpus, phase, seed, num_tokens)
            row = {"way": name, "seed": seed, "num_tokens": num_tokens, "found": asdict(found)}
            with notes.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(row, file=sys.stderr, flush=True)
    columns: dict[str, Callable[[Found], float]] = {
        "text, nats per token": lambda f: f.text_nats,
        "against the teacher": lambda f: f.teacher_nats,
        "bits per byte": lambda f: f.bits_per_byte,
        "own text: teacher's nats": lambda f: f.written_teacher_nats,
        "own text: its own nats": lambda f: f.written_own_nats,
        "own text: difference": lambda f: f.written_kl,
        "finished": lambda f: f.finished,
        "CPU s": lambda f: f.cpu_s,
        "of them writing": lambda f: f.writing_cpu_s,
        "of them scoring": lambda f: f.scoring_cpu_s,
    }
    print(f"| training | {' | '.join(columns)} |\n{'|---' * (1 + len(columns))}|")
    for name in PHASES:
        of_seeds = [known[name, seed, num_tokens] for seed in SEEDS]
        cells = []
        for figure in columns.values():
            values = [figure(found) for found in of_seeds]
            cells.append(f"{fmean(values):.4f} ({min(values):.4f} to {max(values):.4f})")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:4]]
    main(paths[0], paths[1], paths[2], int(sys.argv[4]) if sys.argv[4:] else 200_000)
