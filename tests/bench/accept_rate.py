"""How many first attempts at the plan's prompts pass all verdicts, at what cost, and how likely the
teacher finds what was accepted.

Usage: python tests/bench/accept_rate.py [NUM_PROMPTS] [KEY=VALUE ...]   (recipe quickstart, from
plan index 1000 on, so that no night's prompts are tuned on). Three rows: free, kept to the
vocabulary, and as the recipe says. The teacher's perplexity is of accepted stories under their
prompts, by its own law: no mask, temperature 1.
"""

import collections
import math
import sys

from datagen.measures import required_hits, unknown_words, words_of
from datagen.verdict import judge
from tests.bench.quickstart_teacher import Bench

VARIANTS: dict[str, dict[str, object]] = {
    "free": {"constrain": False, "steer": 0.0},
    "vocabulary": {"constrain": True, "steer": 0.0},
    "recipe": {},
}


def row(bench: Bench, name: str) -> str:
    """One line of the table."""
    written, cpu_s = bench.write(**VARIANTS[name])
    num_prompts = len(written)
    reasons = [
        judge(
            completion.text,
            is_finished=completion.is_finished,
            spec=spec,
            vocabulary=bench.vocabulary,
            config=bench.recipe.verdicts,
        )
        for spec, completion in zip(bench.specs, written, strict=True)
    ]
    accepted = [
        (request, completion.text.strip())
        for request, completion, reason in zip(bench.requests, written, reasons, strict=True)
        if reason is None
    ]
    scored = [bench.teacher_nats(*pair) for pair in accepted]
    nats = sum(nats for nats, _ in scored) / max(sum(num for _, num in scored), 1)
    words = [words_of(completion.text) for completion in written if completion.is_finished]
    unknown = sum(len(unknown_words(story, bench.vocabulary)) for story in words)
    hits = sum(
        required_hits(words_of(completion.text), spec, bench.vocabulary)
        for spec, completion in zip(bench.specs, written, strict=True)
    )
    num_tokens = sum(completion.num_tokens for completion in written)
    rejected = dict(collections.Counter(filter(None, reasons)).most_common())
    return (
        f"| {name} | {len(accepted)} of {num_prompts} | {num_tokens / num_prompts:.0f} | "
        f"{num_tokens / max(len(accepted), 1):.0f} | {cpu_s / max(len(accepted), 1):.1f} | "
        f"{hits / num_prompts:.2f} | {1 - unknown / max(sum(map(len, words)), 1):.1%} | "
        f"{math.exp(nats):.2f} | {rejected} |"
    )


if __name__ == "__main__":
    numbers = [argument for argument in sys.argv[1:] if argument.isdigit()]
    overrides = [argument for argument in sys.argv[1:] if "=" in argument]
    made = Bench.of(int(numbers[0]) if numbers else 96, overrides)
    print(
        "| written | accepted | tokens a try | tokens an accepted story | CPU-s each "
        "| required words | words of finished stories inside | perplexity | rejected |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for variant in VARIANTS:
        print(row(made, variant), flush=True)
