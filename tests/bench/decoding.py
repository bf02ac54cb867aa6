"""The engine against plain `model.generate`: same model, prompts, law and longest text.

Usage: python tests/bench/decoding.py [NUM_PROMPTS] [NEW_TOKENS] [REPEATS]. Prompts of all families
in turn, so of mixed lengths. Both sample at the recipe's temperature and top-k, free of mask and
soft limit; generate gets its prompts sorted by length. Texts of a quarter of the length find
generate's best batch size, then it and the engine take turns. A token counts if it belongs to a
text (generate fills ended rows until the last one ends). Then what bounds the engine, and what the
shard around it costs.
"""

import collections
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch.profiler import ProfilerActivity, profile

from datagen.config import SamplingConfig
from datagen.dedup import find_repeats
from datagen.engines.base import Completion, Engine, Request, TokensWritten
from datagen.families import load_family
from datagen.generate import Order, Shard, write_stories
from datagen.plan import Plan
from datagen.prompts import instruction
from tests.bench.quickstart_teacher import FIRST_INDEX, Bench, timed
from warehouse.lake import Lake

Run = Callable[[], tuple[list[int], float]]  # tokens of each text, and CPU-seconds

FAMILIES = ("story", "simple-story", "reply", "message")
BATCH_SIZES = (32, 64, 128, 256)
KINDS = {
    "matrix products": ("aten::mm", "aten::addmm"),
    "attention": (
        "aten::bmm",
        "aten::_softmax",
        "aten::_scaled_dot_product_flash_attention_for_cpu",
    ),
    "drawing": ("aten::topk", "aten::cumsum", "aten::searchsorted", "aten::sort"),
    "copies": ("aten::copy_", "aten::cat", "aten::index", "aten::clone", "aten::index_put_"),
}


def main(num_prompts: int, num_new: int, repeats: int) -> None:
    """Print the tables."""
    bench = _with_mixed_prompts(Bench.of(num_prompts, []))
    free: dict[str, object] = {"constrain": False, "steer": 0.0}
    length: dict[str, object] = {"max_new_tokens": num_new, "soft_limit_tokens": num_new}

    def engine() -> tuple[list[int], float]:
        written, cpu_s = bench.write(**free, **length)
        return [done.num_tokens for done in written], cpu_s

    best = _best_batch_size(bench, num_new // 4)
    runs: dict[str, Run] = {
        f"generate, batches of {best}": partial(_generate, bench, best, num_new),
        "engine": engine,
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats):
        for name in sorted(runs, reverse=bool(turn % 2)):
            rates[name].append(_rate(runs[name]))
    baseline, _ = rates.values()
    print("| loop | tokens per CPU-second, median | range | ratio, median | ratio, range |")
    print("|---|---|---|---|---|")
    for name, values in rates.items():
        ratios = [value / plain for value, plain in zip(values, baseline, strict=True)]
        print(
            f"| {name} | {statistics.median(values):.1f} | {min(values):.1f} to {max(values):.1f} "
            f"| {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} |"
        )
    _print_bounds(bench, free | length, statistics.median(rates["engine"]))
    _print_around(bench, num_prompts)


def _with_mixed_prompts(bench: Bench) -> Bench:
    """The same engine, asked for texts of all families."""
    plans = [Plan(bench.vocabulary, load_family(family), 0) for family in FAMILIES]
    requests = []
    for place in range(len(bench.specs)):
        plan = plans[place % len(plans)]
        prompt = instruction(plan, plan[FIRST_INDEX + place])
        requests.append(Request(prompt=prompt, opening="", seed=place, required=()))
    lengths = sorted(len(bench.reads.context_ids(request.prompt)) for request in requests)
    print(f"{len(lengths)} prompts of {lengths[0]} to {lengths[-1]} tokens", flush=True)
    return replace(bench, requests=requests)


def _best_batch_size(bench: Bench, num_new: int) -> int:
    rates = {size: _rate(partial(_generate, bench, size, num_new)) for size in BATCH_SIZES}
    shown = ", ".join(f"{size}: {rate:.1f}" for size, rate in rates.items())
    print(f"generate by batch size, texts of {num_new} tokens: {shown}", flush=True)
    return max(rates, key=lambda size: rates[size])


def _rate(run: Run) -> float:
    """Tokens per CPU-second."""
    counts, cpu_s = run()
    rate = sum(counts) / cpu_s
    print(f"{rate:.1f}", file=sys.stderr, flush=True)
    return rate


@torch.inference_mode()
def _generate(bench: Bench, batch_size: int, num_new: int) -> tuple[list[int], float]:
    """Tokens of each text, and CPU-seconds."""
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


def _print_bounds(bench: Bench, sampling: dict[str, object], rate: float) -> None:
    """Where the engine's time goes, and how near its matrix products come to the machine's best."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        bench.write(**sampling)
    shares: collections.Counter[str] = collections.Counter()
    for event in profiled.key_averages():
        kind = next((kind for kind, names in KINDS.items() if event.key in names), "all other")
        shares[kind] += event.self_cpu_time_total
    total = sum(shares.values())
    print("\n| the engine's kernels | share of their time |\n|---|---|")
    for kind, value in shares.most_common():
        print(f"| {kind} | {value / total:.0%} |")
    weights = sum(p.numel() for p in set(bench.model.parameters())) * 2
    share = shares["matrix products"] / total
    print(
        f"\nA drawn token takes {weights / 1e9:.2f} GFLOP of matrix products: at the rate above "
        f"{rate * weights / 1e9:.0f} GFLOP a CPU-second in all, {rate * weights / share / 1e9:.0f} "
        f"in the products' own time (prompts not counted); one large product on this machine "
        f"reaches {_peak_gflops():.0f}."
    )


def _peak_gflops() -> float:
    """GFLOP per CPU-second of a product of 1024 by 1024 by 1024, the best of ten."""
    first, second = torch.randn(1024, 1024), torch.randn(1024, 1024)
    rates = []
    for _ in range(10):
        begun_s = time.process_time()
        for _ in range(10):
            first @ second
        rates.append(10 * 2 * 1024**3 / (time.process_time() - begun_s) / 1e9)
    return max(rates)


@dataclass(slots=True)
class _TimedEngine:
    """The engine, and the CPU-seconds that it has taken."""

    engine: Engine
    cpu_s: float = 0

    def write(
        self, requests: Sequence[Request], sampling: SamplingConfig, on_tokens: TokensWritten
    ) -> list[Completion]:
        written, cpu_s = timed(lambda: self.engine.write(requests, sampling, on_tokens))
        self.cpu_s += cpu_s
        return written


def _print_around(bench: Bench, num_prompts: int) -> None:
    """What a shard of the recipe's own prompts costs beside its engine: plan, prompts, measures,
    verdicts and rows, near duplicates, and writing them to a lake.
    """
    plan = Plan(bench.vocabulary, load_family(bench.recipe.prompts.family), 0)
    order = Order(plan, bench.recipe.sampling, bench.recipe.verdicts, "0" * 64, None, True)
    engine = _TimedEngine(bench.engine)
    indices = range(FIRST_INDEX, FIRST_INDEX + num_prompts)
    shard = Shard("bench", 0, indices, "bench")
    begun_s = time.process_time()
    tables = write_stories(order, shard, engine, on_tokens=lambda _: None, on_story=lambda _: None)
    wrote_s = time.process_time()
    stories = tables["stories"]
    find_repeats(stories.column("text").to_pylist(), bench.recipe.duplicates, num_earlier=0)
    compared_s = time.process_time()
    with tempfile.TemporaryDirectory() as folder, Lake.open(Path(folder), create=True) as lake:
        lake.commit_shard("bench", 0, tables)
    parts = {
        "plan, prompts, measures, verdicts, rows": wrote_s - begun_s - engine.cpu_s,
        "near duplicates": compared_s - wrote_s,
        "writing to the lake": time.process_time() - compared_s,
    }
    print(f"\n| around the engine, {stories.num_rows} attempts | CPU-s | share |\n|---|---|---|")
    for name, cpu_s in {**parts, "in all": sum(parts.values())}.items():
        print(f"| {name} | {cpu_s:.2f} | {cpu_s / (engine.cpu_s + sum(parts.values())):.2%} |")


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    main(*(arguments + [256, 110, 3][len(arguments) :]))
