"""What it costs to look for 2,000 samples in the text of 100,000 stories, and what it finds.

Usage: python tests/bench/memorisation.py STORIES.jsonl [NUM_STORIES] [NUM_SAMPLES] [REPEATS]

STORIES.jsonl holds real stories, a {"text": ...} a line. The training text is NUM_STORIES
(100,000) made of their sentences, as tests/bench/dedup.py makes them; so are the samples (2,000).
Alike: training text of 1,440 of the real stories, samples of the 360 others, so that they share
what people share who write such stories. Dear: both of all of them, so that every sentence of a
sample stands in some 50 documents. Beside it, the real stories as they are, and a baseline that
puts every n-gram of the training text into a Python set.
"""

import json
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from datagen.measures import words_of
from datagen.memorisation import LENGTHS, Copied, find_copies
from tests.bench.dedup import made_stories

STORIES_AT_ONCE = 2_000


def parts(texts: Sequence[str]) -> Iterator[list[tuple[str, str]]]:
    """The texts as training text, some at a time."""
    for start in range(0, len(texts), STORIES_AT_ONCE):
        some = texts[start : start + STORIES_AT_ONCE]
        yield [(f"story-{start + place}", text) for place, text in enumerate(some)]


def shares(copies: Sequence[Copied]) -> str:
    """Copied shares, mean and longest run as cells of a table."""
    found = [
        sum(copy.num_copied[at] for copy in copies)
        / max(sum(copy.num_grams[at] for copy in copies), 1)
        for at in range(len(LENGTHS))
    ]
    runs = [copy.num_words for copy in copies]
    cells = [*(f"{share:.4f}" for share in found), f"{statistics.mean(runs):.1f}", f"{max(runs)}"]
    return " | ".join(cells)


def set_of_grams(texts: Sequence[str], length: int) -> set[tuple[str, ...]]:
    """Every n-gram of the texts, as words."""
    grams: set[tuple[str, ...]] = set()
    for text in texts:
        words = words_of(text)
        grams.update(tuple(words[at : at + length]) for at in range(len(words) - length + 1))
    return grams


def measured(work: Callable[[], object], repeats: int) -> str:
    """CPU seconds, the median of repeats with the range, after one that is discarded (of a single
    one, none is).
    """
    taken = []
    for _ in range(repeats + (repeats > 1)):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    taken = taken[-repeats:]
    return f"{statistics.median(taken):.2f} ({min(taken):.2f} to {max(taken):.2f})"


def peak_mib() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print the tables."""
    lines = Path(sys.argv[1]).read_text("utf-8").splitlines()
    real = [json.loads(line)["text"] for line in lines]
    number = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    num_samples = int(sys.argv[3]) if len(sys.argv) > 3 else 2_000
    repeats = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    held_out, trained = real[::5], [text for at, text in enumerate(real) if at % 5]
    print(f"{num_samples:,} samples against {number:,} stories")
    training = made_stories(trained, number, random.Random(1))
    samples = made_stories(held_out, num_samples, random.Random(2))
    taken = measured(lambda: find_copies(samples, parts(training)), repeats)
    print(f"find_copies, alike: {taken} CPU s", flush=True)
    alike = f"| made samples, alike | {shares(find_copies(samples, parts(training)))} |"
    training = made_stories(real, number, random.Random(1))
    samples = made_stories(real, num_samples, random.Random(2))
    before = peak_mib()
    taken = measured(lambda: find_copies(samples, parts(training)), repeats)
    print(f"find_copies, dear: {taken} CPU s", flush=True)
    print(f"memory beside the texts: {peak_mib() - before:.0f} MiB")
    alone = measured(lambda: list(map(words_of, training)), repeats)
    print(f"the words of the stories alone: {alone} CPU s", flush=True)
    few = training[: number // 10]
    before = peak_mib()
    taken = measured(lambda: set_of_grams(few, LENGTHS[0]), repeats)
    print(f"baseline on a tenth, a set of {LENGTHS[0]}-grams: {taken} CPU s, "
          f"{peak_mib() - before:.0f} MiB")  # fmt: skip
    print("| texts | copied 8 | copied 16 | copied 32 | mean run | longest |")
    print("|---|---|---|---|---|---|")
    for name, texts in (
        (f"{len(held_out)} held-out real stories", held_out),
        (f"{len(held_out)} of the {len(trained)} trained on", trained[: len(held_out)]),
    ):
        print(f"| {name} | {shares(find_copies(texts, parts(trained)))} |")
    print(f"{alike}\n| made samples, dear | {shares(find_copies(samples, parts(training)))} |")


if __name__ == "__main__":
    main()
