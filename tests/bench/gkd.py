"""Our training loop on stored draws against TRL's GKDTrainer, whose teacher is asked in each step.

Usage: python tests/bench/gkd.py [ROUNDS [VOCAB_SIZE...]]     (needs the extra eval)

Student and teacher are an `stlm-1m`; a step has 8 texts of 128 targets and 50 draws (14 unique ids)
each. GKDTrainer reads stored text (lmbda = 0) by the same fused AdamW, in float32, its divergence
forward KL (beta = 0, its cheapest) or half and half (0.5, its default). Its steps and ours take
turns in one process: ours is taken whenever it has ended one. CPU seconds from one step's end to
the next; the first round is discarded; medians, and quartiles of the ratios round by round.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import torch
from tokenizers import Tokenizer, models
from transformers import (
    PreTrainedTokenizerFast,
    TrainerCallback,
    default_data_collator,
)

from distill.students.presets import build_student
from tests.bench.training import LENGTH, documents_of, ours

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
NUM_TEXTS, NUM_DOCUMENTS = 8, 64


class Turns(TrainerCallback):
    """After each of GKDTrainer's steps one of ours; the CPU seconds of both."""

    def __init__(self, steps: Iterator[object]) -> None:
        self.steps, self.began_s = steps, 0.0
        self.theirs: list[float] = []
        self.ours: list[float] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """The first step begins."""
        self.began_s = time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Ours is next."""
        ended_s = time.process_time()
        self.theirs.append(ended_s - self.began_s)
        next(self.steps)
        self.began_s = time.process_time()
        self.ours.append(self.began_s - ended_s)


def gkd_trainer(vocab_size: int, beta: float, rounds: int, folder: str, turns: Turns) -> Any:
    """GKDTrainer over the texts that our loop has."""
    from datasets import Dataset  # type: ignore[import-untyped]
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    texts = [[0, *document.input_ids] for document in documents_of(vocab_size, NUM_DOCUMENTS)]
    rows = [
        {"input_ids": ids, "attention_mask": [1] * (LENGTH + 1), "labels": [-100, *ids[1:]]}
        for ids in texts
    ]
    names = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "b": 1}, "a")), pad_token="b"
    )
    config = GKDConfig(
        output_dir=folder,
        lmbda=0.0,
        beta=beta,
        max_steps=rounds + 1,
        per_device_train_batch_size=NUM_TEXTS,
        learning_rate=3e-3,
        optim="adamw_torch_fused",
        max_grad_norm=1.0,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    return GKDTrainer(
        model=build_student("stlm-1m", vocab_size, 0, 1, 0),
        teacher_model=build_student("stlm-1m", vocab_size, 0, 1, 1),
        args=config,
        train_dataset=Dataset.from_list(rows),
        data_collator=default_data_collator,
        processing_class=names,
        callbacks=[turns],
    )


def compare(vocab_size: int, beta: float, rounds: int) -> None:
    """A row: median milliseconds of a step each way, and how many steps of ours one of theirs
    takes.
    """
    student = build_student("stlm-1m", vocab_size, 0, 1, 0)
    turns = Turns(ours(student, documents_of(vocab_size, NUM_DOCUMENTS), 0.9))
    with tempfile.TemporaryDirectory() as folder:
        gkd_trainer(vocab_size, beta, rounds, folder, turns).train()
    theirs, own = turns.theirs[1:], turns.ours[1:]
    ratios = [a / b for a, b in zip(theirs, own, strict=True)]
    low, high = statistics.quantiles(ratios, n=4)[::2]
    times = [f"{1000 * statistics.median(values):.0f}" for values in (theirs, own)]
    ratio = f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})"
    print(f"| {vocab_size:,} | {beta} | {' | '.join(times)} | {ratio} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    number = int(sys.argv[1]) if sys.argv[1:] else 15
    print("| V | beta | GKDTrainer ms | ours ms | GKDTrainer / ours |\n|---|---|---|---|---|")
    for size in [int(item) for item in sys.argv[2:]] or [4_096, 16_384]:
        for weight in (0.0, 0.5):
            compare(size, weight, number)
