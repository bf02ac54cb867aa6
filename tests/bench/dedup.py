"""Near duplicates among many stories: CPU time, memory, recall of planted pairs, precision.

Usage: python tests/bench/dedup.py STORIES.jsonl [NUM_STORIES] [REPEATS]

STORIES.jsonl holds real stories, a {"text": ...} a line. NUM_STORIES (100,000) are made of them:
the first sentence of a real story, then 8 to 22 sentences drawn from all real stories, so words,
lengths and n-grams are real and a sentence stands in some 50 stories. Of 5,000 of them a copy with
1 to 8 exchanged words is planted; its Jaccard similarity is measured, not assumed.
Precision is measured on the real stories as they are, against all pairs compared one by one.

Baseline: the signatures alone, as rensa and datasketch make them from the same digests (where they
are installed; neither is a dependency). Bars: 60 CPU-seconds for 100,000 stories, recall 0.99 of
pairs at 0.9 and above.
"""

import json
import random
import re
import resource
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from datagen.config import DuplicateConfig
from datagen.dedup import (
    NUM_HASHES,
    bands_for,
    find_repeats,
    gram_set,
    proposal_probability,
    signatures,
    similarity,
)
from datagen.measures import words_of

CONFIG = DuplicateConfig(min_similarity=0.8, words_per_gram=5)
NUM_PLANTED = 5_000
_EXCHANGED = (1, 1, 1, 2, 2, 3, 4, 6, 8)
_SENTENCE = re.compile(r"[^.!?]+[.!?]+[\"\u201d']*\s*")
_BINS = ((0.8, 0.85), (0.85, 0.9), (0.9, 0.95), (0.95, 1.01))


def made_stories(real: Sequence[str], number: int, rng: random.Random) -> list[str]:
    """Stories put together from real sentences."""
    by_story = [found for text in real if (found := _SENTENCE.findall(text))]
    pool = [sentence for sentences in by_story for sentence in sentences]
    return [
        rng.choice(by_story)[0] + "".join(rng.choices(pool, k=rng.randint(8, 22)))
        for _ in range(number)
    ]


def with_other_words(text: str, number: int, others: Sequence[str], rng: random.Random) -> str:
    """The text with some words exchanged for words of other stories."""
    words = text.split()
    for place in rng.sample(range(len(words)), min(number, len(words))):
        words[place] = rng.choice(others)
    return " ".join(words)


def planted_recall(texts: list[str], rng: random.Random) -> Iterator[str]:
    """Rows of the recall by the pairs' measured similarity."""
    others = sorted({word for text in texts[:2_000] for word in text.split()})
    places = rng.sample(range(len(texts)), NUM_PLANTED)
    copies = [
        with_other_words(texts[place], rng.choice(_EXCHANGED), others, rng) for place in places
    ]
    alike = [
        similarity(gram_set(texts[place], CONFIG), gram_set(copy, CONFIG))
        for place, copy in zip(places, copies, strict=True)
    ]
    found = {repeat.place - len(texts): repeat for repeat in find_repeats([*texts, *copies], CONFIG)
             if repeat.place >= len(texts)}  # fmt: skip
    shape = bands_for(CONFIG.min_similarity)
    for low, high in _BINS:
        mine = [at for at, value in enumerate(alike) if low <= value < high]
        hits = sum(1 for at in mine if at in found)
        expected = statistics.mean(proposal_probability(alike[at], *shape) for at in mine)
        share = f"{hits / len(mine):.4f} | {expected:.4f}"
        yield f"| {low:.2f} to {min(high, 1):.2f} | {len(mine)} | {share} |"
    below = [at for at, value in enumerate(alike) if value < CONFIG.min_similarity]
    wrong = sum(1 for at in below if at in found)
    yield f"| below 0.80 | {len(below)} | {wrong} found (0 is right) | |"


def real_row(real: Sequence[str], threshold: float) -> str:
    """What is found at a threshold, against what is there: precision, and stories that are missed
    though an older one that stays is that much alike.
    """
    config = CONFIG.model_copy(update={"min_similarity": threshold})
    truth = true_pairs(real, threshold)
    found = {(repeat.older, repeat.place) for repeat in find_repeats(real, config)}
    refused = {younger for _, younger in found}
    missed = {b for a, b in truth if a not in refused and b not in refused}
    right = len(found & truth)
    return f"| {threshold:.2f} | {len(truth)} | {len(found)} | {right} | {len(missed)} |"


def true_pairs(texts: Sequence[str], threshold: float) -> set[tuple[int, int]]:
    """All pairs at the threshold, by counting every pair's common n-grams."""
    sets = [gram_set(text, CONFIG) for text in texts]
    holders: defaultdict[int, list[int]] = defaultdict(list)
    for place, grams in enumerate(sets):
        for gram in grams.tolist():
            holders[gram].append(place)
    common: Counter[tuple[int, int]] = Counter()
    for places in holders.values():
        common.update((a, b) for at, a in enumerate(places) for b in places[at + 1 :])
    return {
        pair
        for pair, count in common.items()
        if count / (len(sets[pair[0]]) + len(sets[pair[1]]) - count) >= threshold
    }


def cpu_seconds(work: Callable[[], object], repeats: int) -> list[float]:
    """CPU seconds of each repeat, after one that is discarded."""
    taken = []
    for _ in range(repeats + 1):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return taken[1:]


def _spread(taken: Sequence[float]) -> str:
    return f"{statistics.median(taken):.2f} ({min(taken):.2f} to {max(taken):.2f})"


def baselines(texts: Sequence[str]) -> Iterator[tuple[str, Callable[[], object]]]:
    """Ways to make signatures of the texts' n-gram digests."""
    sets = [gram_set(text, CONFIG).tolist() for text in texts]
    try:
        from rensa import RMinHash  # type: ignore[import-not-found]

        offsets = np.cumsum([0, *map(len, sets)]).tolist()
        flat = [gram for grams in sets for gram in grams]
        yield (
            "rensa 0.5.0, R-MinHash",
            lambda: RMinHash.digest_matrix_from_flat_token_hashes(
                flat, offsets, NUM_HASHES, 1
            ).to_rows(),
        )
    except ImportError:
        print("rensa: not installed")
    try:
        from datasketch import MinHash  # type: ignore[import-not-found]

        blobs = [
            [gram.to_bytes(8, "little") for gram in grams] for grams in sets[: len(sets) // 10]
        ]
        yield "datasketch 2.0.0, on a tenth", lambda: MinHash.bulk(blobs, num_perm=NUM_HASHES)
    except ImportError:
        print("datasketch: not installed")


def main() -> None:
    """Print the tables."""
    lines = Path(sys.argv[1]).read_text("utf-8").splitlines()
    real = [json.loads(line)["text"] for line in lines]
    number = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    repeats = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    rng = random.Random(1)
    texts = made_stories(real, number, rng)
    num_words = sum(len(words_of(text)) for text in texts[:2_000]) / min(2_000, number)
    print(f"{number:,} stories of {num_words:.0f} words; bands, rows = {bands_for(0.8)}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = cpu_seconds(lambda: find_repeats(texts, CONFIG), repeats)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"find_repeats: {_spread(taken)} CPU s; memory beside the texts {grown:.0f} MiB")
    few = texts[: number // 10]
    for name, work in (
        ("words_of alone", lambda: [words_of(text) for text in few]),
        ("our signatures, words included", lambda: list(signatures(few, CONFIG))),
        *baselines(few),
    ):
        print(f"{name}, {len(few):,} stories: {_spread(cpu_seconds(work, repeats))} CPU s")
    print("| similarity | pairs | recall | S-curve |\n|---|---|---|---|")
    for row in planted_recall(texts, rng):
        print(row)
    print("| threshold | true pairs of real stories | spoken against | of them true | missed |")
    print("|---|---|---|---|---|")
    for threshold in (0.8, 0.5, 0.3, 0.1, 0.05):
        print(real_row(real, threshold))


if __name__ == "__main__":
    main()
