"""The engine against plain `model.generate`: same model, prompts, law and longest story.

Usage: python tests/bench/decoding.py [NUM_PROMPTS] [NEW_TOKENS] [REPEATS]. Both sample at the
recipe's temperature and top-k, without mask or soft limit; generate gets its prompts sorted by
length, in each of BATCH_SIZES, and its best one is the baseline. A token counts if it belongs to a
story (generate pads ended rows until the last one ends). Tokens per CPU-second, interleaved, first
round thrown away; then what the engine's time is spent on, and what the shard around it costs.
"""

import collections
import resource
import statistics
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch.profiler import ProfilerActivity, profile

from datagen.engines.base import Completion
from datagen.measures import required_hits, unknown_words, words_of
from datagen.verdict import judge
from tests.bench.quickstart_teacher import Bench, timed

BATCH_SIZES = (16, 64, 128)
KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::linear", "aten::matmul"),
    "drawing": ("aten::topk", "aten::softmax", "aten::cumsum", "aten::searchsorted", "aten::sort"),
    "copies": ("aten::copy_", "aten::cat", "aten::index", "aten::clone"),
}


def main(num_prompts: int, num_new: int, repeats: int) -> None:
    """Print both tables."""
    bench = Bench.of(num_prompts, [])
    free: dict[str, object] = {"constrain": False, "steer": 0.0}
    length: dict[str, object] = {"max_new_tokens": num_new, "soft_limit_tokens": num_new}
    runs: dict[str, Callable[[], tuple[list[int], float]]] = {
        f"generate, batches of {size}": partial(_generate, bench, size, num_new)
        for size in BATCH_SIZES
    }
    runs["engine"] = lambda: _counts(*bench.write(**free, **length))
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name in sorted(runs, reverse=bool(turn % 2)):
            counts, cpu_s = runs[name]()
            rates[name].append(sum(counts) / cpu_s)
    medians = {name: statistics.median(values[1:]) for name, values in rates.items()}
    best = max((name for name in runs if name != "engine"), key=lambda name: medians[name])
    print("| loop | tokens per CPU-second, median | range | ratio to the best generate |")
    print("|---|---|---|---|")
    for name, values in rates.items():
        print(
            f"| {name}{' (baseline)' if name == best else ''} | {medians[name]:.0f} "
            f"| {min(values[1:]):.0f} to {max(values[1:]):.0f} "
            f"| {medians[name] / medians[best]:.2f} |"
        )
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak memory of the process: {peak_mb:.0f} MB.\n")
    _print_shares(bench, free | length)


def _counts(written: list[Completion], cpu_s: float) -> tuple[list[int], float]:
    return [done.num_tokens for done in written], cpu_s


@torch.inference_mode()
def _generate(bench: Bench, batch_size: int, num_new: int) -> tuple[list[int], float]:
    """Tokens of each story, and CPU-seconds."""
    contexts = sorted((bench.reads.context_ids(r.prompt) for r in bench.requests), key=len)
    sampling, end_ids = bench.recipe.sampling, list(bench.reads.end_ids)
    model = cast(Any, bench.model)
    attention = model.config._attn_implementation
    counts: list[int] = []

    def run() -> list[Completion]:
        for start in range(0, len(contexts), batch_size):
            rows = contexts[start : start + batch_size]
            longest = max(map(len, rows))
            padded = torch.tensor([[end_ids[0]] * (longest - len(ids)) + ids for ids in rows])
            mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in rows])
            drawn = model.generate(
                input_ids=padded,
                attention_mask=mask,
                do_sample=True,
                temperature=sampling.temperature,
                top_k=sampling.top_k,
                max_new_tokens=num_new,
                eos_token_id=end_ids,
                pad_token_id=end_ids[0],
            )[:, longest:]
            counts.extend(_num_drawn(ids, end_ids) for ids in drawn.tolist())
        return []

    model.set_attn_implementation("sdpa")
    try:
        _, cpu_s = timed(run)
    finally:
        model.set_attn_implementation(attention)
    return counts, cpu_s


def _num_drawn(ids: list[int], end_ids: list[int]) -> int:
    return next((place + 1 for place, id_ in enumerate(ids) if id_ in end_ids), len(ids))


def _print_shares(bench: Bench, sampling: dict[str, object]) -> None:
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        written, write_s = bench.write(**sampling)
    shares: collections.Counter[str] = collections.Counter()
    for event in profiled.key_averages():
        kind = next((kind for kind, names in KINDS.items() if event.key in names), "other kernels")
        shares[kind] += event.self_cpu_time_total
    total = sum(shares.values())
    print("| the engine's kernels | share of their time |")
    print("|---|---|")
    for kind, value in shares.most_common():
        print(f"| {kind} | {value / total:.0%} |")

    def around() -> list[Completion]:
        for spec, done in zip(bench.specs, written, strict=True):
            words = words_of(done.text)
            unknown_words(words, bench.vocabulary)
            required_hits(words, spec, bench.vocabulary)
            judge(
                done.text,
                is_finished=done.is_finished,
                spec=spec,
                vocabulary=bench.vocabulary,
                config=bench.recipe.verdicts,
            )
        return written

    _, around_s = timed(around)
    print(f"\nMeasures and verdicts take {around_s / write_s:.2%} of the engine's CPU time.")


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    main(*(arguments + [256, 110, 3][len(arguments) :]))
