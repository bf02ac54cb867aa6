"""Does Muon, or a cosine, beat AdamW under warmup-stable-decay at equal steps and a tuned rate?

Usage: python tests/bench/optimizers.py STORIES TEACHER [NUM_TOKENS]

Students of 104,000 parameters in the ids of a small real teacher, plain cross entropy (those of
promotion_students.py), equal documents, steps and tokens. The rate of each way is chosen by one
seed that is not measured, on documents that are not measured either; then three seeds each.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaForCausalLM

from distill.config import TrainConfig
from distill.evaluation.scoring import score_documents
from distill.students import presets
from distill.train import train
from tests.bench import promotion_students as students

WAYS = [(optimizer, schedule) for optimizer in ("adamw", "muon") for schedule in ("wsd", "cosine")]
RATES = (2.5e-3, 5e-3, 1e-2, 2e-2)
NUM_TUNED_ON, NUM_MEASURED_ON = 100, 300
TUNING_SEED, SEEDS = 99, (0, 1, 2)


def trained(
    bench: students._Bench, way: tuple[str, str], rate: float, seed: int, num_tokens: int
) -> tuple[LlamaForCausalLM, float]:
    """The student and the CPU seconds of its training."""
    config = TrainConfig.model_validate(
        {
            "preset": "stlm-1m",  # any: the model is built here
            "num_tokens": num_tokens,
            "alpha": 0,
            "seed": seed,
            "tokens_per_step": 256,
            "max_batch_tokens": 8192,
            "learning_rate": rate,
            "checkpoint_every_steps": 1_000_000,
            "optimizer": way[0],
            "schedule": way[1],
        }
    )
    space, shape = bench.space, students.SHAPE
    model = LlamaForCausalLM(
        presets._llama_config(shape, space.vocab_size, space.start_id, space.end_id)
    )
    presets._fill(model, torch.Generator().manual_seed(seed), shape.num_layers)
    began_s = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        train(config, model, bench.documents, Path(folder), seed=seed, alpha=0)
    return model, time.process_time() - began_s


def bits_per_byte(model: LlamaForCausalLM, bench: students._Bench, part: slice) -> float:
    """On some of the documents that no student was trained on."""
    requests = bench.requests[part]
    ends = [bench.space.end_id]
    scores = score_documents(model, requests, end_ids=ends, num_tokens_per_batch=8192)
    nats = sum(score.nats for score in scores)
    return float(nats / np.log(2) / sum(request.num_bytes for request in requests))


def main(stories: Path, teacher: Path, num_tokens: int) -> None:
    """Print the rates tried, then the table."""
    torch.set_num_threads(1)
    bench = students._set_up(stories, teacher)
    tuned_on = slice(0, NUM_TUNED_ON)
    measured_on = slice(NUM_TUNED_ON, NUM_TUNED_ON + NUM_MEASURED_ON)
    rows = []
    for way in WAYS:
        by_rate = {}
        for rate in RATES:
            model, _ = trained(bench, way, rate, TUNING_SEED, num_tokens)
            by_rate[rate] = bits_per_byte(model, bench, tuned_on)
        print(f"{way}: " + ", ".join(f"{r:g}: {b:.4f}" for r, b in by_rate.items()), flush=True)
        best = min(by_rate, key=lambda rate: by_rate[rate])
        found = [trained(bench, way, best, seed, num_tokens) for seed in SEEDS]
        figures = [bits_per_byte(model, bench, measured_on) for model, _ in found]
        cpu_s = statistics.median(seconds for _, seconds in found)
        mean, each = statistics.mean(figures), ", ".join(f"{figure:.4f}" for figure in figures)
        rows.append(f"| {way[0]} | {way[1]} | {best:g} | {mean:.4f} | {each} | {cpu_s:.1f} |")
        print(rows[-1], flush=True)
    print(
        "\n| optimizer | schedule | rate | bits per byte, mean | each seed | CPU s |\n"
        "|---|---|---|---|---|---|\n" + "\n".join(rows)
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else 60_000)
