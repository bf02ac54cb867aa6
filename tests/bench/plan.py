"""The plan: repeats, how evenly words are asked for, and what one item costs in time and memory.

Usage: python tests/bench/plan.py NUM_ITEMS VOCABULARY SEED [SEED ...]   (family `story`). Sigma
is the standard deviation of independent draws; the plan is to stay within 4 of them.
"""

import sys
import time
import tracemalloc
from collections.abc import Sequence

import numpy as np

from datagen.families import WordSlot, load_family
from datagen.plan import Plan
from datagen.vocabulary import Vocabulary, load_vocabulary

FAMILY = "story"
NUM_TIMED = 10_000
REPEATS = 5
NUM_TRACED = 20_000


def measure(vocabulary: Vocabulary, seeds: Sequence[int], num_items: int) -> None:
    """Print a row for each seed."""
    for seed in seeds:
        plan = Plan(vocabulary, load_family(FAMILY), seed)
        times_us = _times_us(plan)
        growth_bytes = _memory_growth_bytes(plan)
        num_repeats, worst = _fairness(plan, num_items)
        print(
            f"| {vocabulary.name} | {seed} | {plan.num_combinations:,} | {num_items:,} | "
            f"{num_repeats} | {worst:.2f} | {times_us.mean():.0f} | "
            f"{np.percentile(times_us, 99):.0f} | {growth_bytes:,} |",
            flush=True,
        )


def _fairness(plan: Plan, num_items: int) -> tuple[int, float]:
    """How many items repeat the words of an earlier one, and the largest distance of a word's
    count from its expectation, in standard deviations.
    """
    parts = [
        slot.part_of_speech for slot in plan.family.slots.values() if isinstance(slot, WordSlot)
    ]
    words = [plan.vocabulary.words_of(part) for part in parts]
    places = [{word.lemma: place for place, word in enumerate(listed)} for listed in words]
    drawn = np.empty((num_items, len(parts)), dtype=np.int64)
    for index in range(num_items):
        drawn[index] = [places[slot][lemma] for slot, lemma in enumerate(plan[index].words)]
    worst = 0.0
    for slot, listed in enumerate(words):
        weights = np.array([word.weight for word in listed])
        share = weights / weights.sum()
        counts = np.bincount(drawn[:, slot], minlength=len(listed))
        deviation = np.abs(counts - num_items * share) / np.sqrt(num_items * share * (1 - share))
        worst = max(worst, float(deviation.max()))
    packed = drawn @ np.cumprod([1, *(len(listed) for listed in words[:-1])])
    return num_items - len(np.unique(packed)), worst


def _times_us(plan: Plan) -> np.ndarray:
    """CPU microseconds of each of NUM_TIMED items, far apart in the plan: the least of REPEATS, as
    what other processes add to one is not the plan's.
    """
    times_ns = np.full(NUM_TIMED, np.inf)
    for _ in range(REPEATS):
        for number in range(NUM_TIMED):
            start_ns = time.thread_time_ns()
            plan[number * 7919]
            times_ns[number] = min(times_ns[number], time.thread_time_ns() - start_ns)
    return times_ns / 1000


def _memory_growth_bytes(plan: Plan) -> int:
    """How much more is allocated at the most while items are made than before."""
    plan[0]
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for index in range(NUM_TRACED):
        plan[index * 50]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak - before


if __name__ == "__main__":
    print(
        "| vocabulary | seed | combinations | items | repeats | worst word, sigma | "
        "us, mean | us, p99 | bytes more at the peak |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    measure(load_vocabulary(sys.argv[2]), [int(seed) for seed in sys.argv[3:]], int(sys.argv[1]))
