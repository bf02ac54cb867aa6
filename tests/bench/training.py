"""Our training loop against a hand-written minimal one, and what the teacher's draws cost in it.

Usage: python tests/bench/training.py [ROUNDS]

CPU: stlm-1m at V = 4,096 and 16,384, steps of 1,024 targets, 50 draws (14 unique ids) a target. All
ways take turns step by step in one process; CPU seconds, the first round discarded; medians of the
ratios of a round. The minimal loop is what one would write by hand: the same batches made before,
forward, F.cross_entropy, backward, clip, AdamW; no records, no checks, no plan.
GPU (where torch sees one): 10M, 50M and 100M in bf16 with draws, tokens per second and MFU.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from transformers import LlamaForCausalLM

from distill.batches import Batch, make_batches
from distill.config import TrainConfig
from distill.speed import flops_per_token, mean_positions, peak_flops
from distill.students.presets import build_student, preset_named
from distill.targets import StudentDocument
from distill.train import StepRecord, _Run, train
from distill.training_file import num_targets

LENGTH, NUM_DRAWS, NUM_UNIQUE = 128, 50, 14


def documents_of(vocab_size: int, num_documents: int) -> list[StudentDocument]:
    """Random ids and draws: what is measured does not depend on which."""
    chance = np.random.default_rng(0)
    made = []
    for place in range(num_documents):
        ids = [np.sort(chance.choice(vocab_size, NUM_UNIQUE, replace=False)) for _ in range(LENGTH)]
        counts = chance.multinomial(NUM_DRAWS - NUM_UNIQUE, [1 / NUM_UNIQUE] * NUM_UNIQUE, LENGTH)
        made.append(
            StudentDocument(
                doc_id=str(place),
                prefix_ids=np.zeros(1, np.int32),
                input_ids=chance.integers(2, vocab_size, LENGTH).astype(np.int32),
                n_draws=np.full(LENGTH, NUM_DRAWS, np.int32),
                offsets=np.arange(0, NUM_UNIQUE * LENGTH + 1, NUM_UNIQUE, dtype=np.int64),
                target_ids=np.concatenate(ids).astype(np.int32),
                target_counts=(1 + counts).ravel().astype(np.int32),
            )
        )
    return made


def config_of(preset: str, **changes: object) -> TrainConfig:
    settings = {
        "preset": preset,
        "num_tokens": 10_000_000,
        "alpha": 0.9,
        "seed": 0,
        "tokens_per_step": 1_024,
        "max_batch_tokens": 1_024,
        "checkpoint_every_steps": 1_000_000,
    }
    return TrainConfig.model_validate({**settings, **changes})


def ours(
    model: LlamaForCausalLM, documents: Sequence[StudentDocument], alpha: float
) -> Iterator[object]:
    """The steps of our loop."""
    run = _Run(config_of("stlm-1m"), model, documents, 0, alpha)
    model.train()
    return run.steps()


def minimal(model: LlamaForCausalLM, batches: Sequence[Batch]) -> Iterator[None]:
    """Written by hand, plain cross entropy on all positions of documents of one length."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    model.train()
    while True:
        for batch in batches:
            hidden = model.model(input_ids=batch.input_ids_BT, use_cache=False).last_hidden_state
            logits = model.lm_head(hidden.flatten(0, 1))
            functional.cross_entropy(logits, batch.labels_N).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            yield


def compare(vocab_size: int, rounds: int) -> None:
    """A row: median CPU seconds of a step each way, and the two ratios with their range."""
    documents = documents_of(vocab_size, 64)
    models = [build_student("stlm-1m", vocab_size, 0, 1, 0) for _ in range(3)]
    size = 1_024 // LENGTH
    batches = [make_batches(documents[i : i + size], 1_024)[0] for i in range(0, 64, size)]
    ways = {
        "minimal": minimal(models[0], batches),
        "plain": ours(models[1], documents, 0.0),
        "draws": ours(models[2], documents, 0.9),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, steps in ways.items():
            began_s = time.process_time()
            next(steps)
            if turn:
                seconds[name].append(time.process_time() - began_s)
    cells = [f"{1000 * statistics.median(values):.0f}" for values in seconds.values()]
    for base, other in (("minimal", "plain"), ("plain", "draws")):
        ratios = [a / b for a, b in zip(seconds[base], seconds[other], strict=True)]
        low, high = statistics.quantiles(ratios, n=4)[::2]
        cells.append(f"{statistics.median(ratios):.3f} ({low:.2f} to {high:.2f})")
    print(f"| {vocab_size:,} | {' | '.join(cells)} |", flush=True)


def on_gpu(preset_name: str, tokens_per_step: int) -> None:
    """A row: tokens per second after the fifth step, and the MFU."""
    preset = preset_named(preset_name)
    vocab_size = preset.reference_vocab_size
    documents = documents_of(vocab_size, 4_096)
    config = config_of(
        preset_name,
        num_tokens=60 * tokens_per_step,
        tokens_per_step=tokens_per_step,
        max_batch_tokens=min(tokens_per_step, 65_536),
        precision="bf16",
        compile=True,
        learning_rate=1e-3,
    )
    model = build_student(preset_name, vocab_size, 0, 1, 0)
    torch.nn.Module.to(model, "cuda")
    heard: list[tuple[StepRecord, float]] = []
    listen: Callable[[StepRecord], None] = lambda r: heard.append((r, time.monotonic()))  # noqa: E731
    with tempfile.TemporaryDirectory() as folder:
        train(config, model, documents, Path(folder), seed=0, alpha=0.9, on_step=listen)
    (first, first_s), (last, last_s) = heard[5], heard[-2]  # the last one is saved as well
    rate = (last.num_tokens - first.num_tokens) / (last_s - first_s)
    peak = peak_flops(torch.cuda.get_device_name(), "bf16", None)
    prefix_D = np.array([len(document.prefix_ids) for document in documents])
    positions = mean_positions(num_targets(documents), prefix_D)
    flops = flops_per_token(preset, vocab_size, positions)
    mfu = f"{flops * rate / peak:.1%}" if peak else "unknown peak"
    print(f"| {preset_name} | {rate / 1e6:.2f} | {mfu} |", flush=True)


def main(rounds: int) -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    print("| V | minimal ms | plain ms | draws ms | plain / minimal | draws / plain |")
    print("|---|---|---|---|---|---|")
    for vocab_size in (4_096, 16_384):
        compare(vocab_size, rounds)
    if not torch.cuda.is_available():
        print("\nGPU: not run, torch sees none here")
        return
    print(f"\n{torch.cuda.get_device_name()}\n\n| preset | M tokens/s | MFU |\n|---|---|---|")
    for preset_name in ("stlm-10m", "stlm-50m", "stlm-100m"):
        on_gpu(preset_name, 262_144)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 15)
