"""Tokens per CPU-second under the vocabulary against free writing: same engine, prompts and run.

Usage: python tests/bench/constrained.py [NUM_PROMPTS] [NEW_TOKENS] [REPEATS]. The two are
interleaved, first one and then the other first; a warm-up of each is thrown away. The soft limit is
off, so that both write stories of their own length, at most NEW_TOKENS.
"""

import statistics
import sys

from tests.bench.quickstart_teacher import Bench

VARIANTS: dict[str, dict[str, object]] = {
    "free": {"constrain": False, "steer": 0.0},
    "vocabulary": {"constrain": True, "steer": 0.0},
    "vocabulary, words drawn in": {"constrain": True},
}


def main(num_prompts: int, num_new: int, repeats: int) -> None:
    """Print the table: rate, ratio to free writing in the same round, spread of the ratios."""
    bench = Bench.of(num_prompts, [])
    length = {"max_new_tokens": num_new, "soft_limit_tokens": num_new}
    rates: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for turn in range(repeats + 1):
        for name in sorted(VARIANTS, reverse=bool(turn % 2)):
            written, cpu_s = bench.write(**VARIANTS[name], **length)
            rates[name].append(sum(done.num_tokens for done in written) / cpu_s)
    print("| written | tokens per CPU-second, median | ratio, median | ratio, range |")
    print("|---|---|---|---|")
    for name, values in rates.items():
        ratios = [a / b for a, b in zip(values[1:], rates["free"][1:], strict=True)]
        print(
            f"| {name} | {statistics.median(values[1:]):.0f} | {statistics.median(ratios):.2f} "
            f"| {min(ratios):.2f} to {max(ratios):.2f} |"
        )


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    main(*(arguments + [64, 60, 5][len(arguments) :]))
