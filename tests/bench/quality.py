"""How often each check of a text hits: real stories beside a teacher's, accepted and rejected ones.

Usage: python tests/bench/quality.py STORIES.jsonl LAKE

STORIES.jsonl holds real stories, a {"text": ...} a line; LAKE is a lake with a night's stories.
Grammar takes 20 to 60 CPU-ms a text: it is measured on the first 200 texts of each group.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from datagen.config import GRAMMAR_KINDS
from datagen.measures import words_of
from datagen.quality import is_refusal, lints_per_100_words, reading_grade
from datagen.verdict import (
    has_odd_characters,
    has_sentence_loop,
    is_assistant_talk,
    repeated_share,
)
from warehouse.lake import Lake

_TEXTS = "select text, accepted from stories where num_words > 0 order by run_id, story_id"
_NUM_FOR_GRAMMAR = 200


@lru_cache(10_000)
def faults(text: str) -> float:
    """Harper's faults of grammar for 100 words."""
    return lints_per_100_words(text, GRAMMAR_KINDS)


CHECKS: dict[str, Callable[[str], bool]] = {
    "odd_characters": has_odd_characters,
    "refusal": is_refusal,
    "assistant_talk": is_assistant_talk,
    "loop (share above 0.2, or a sentence three times)": lambda text: (
        repeated_share(words_of(text)) > 0.2 or has_sentence_loop(text)
    ),
    "grade above 6": lambda text: reading_grade(text) > 6,
    "grade above 9": lambda text: reading_grade(text) > 9,
    "grade above 12": lambda text: reading_grade(text) > 12,
    "grammar: a fault": lambda text: faults(text) > 0,
    "grammar: more than 1 in 100 words": lambda text: faults(text) > 1,
    "grammar: more than 2 in 100 words": lambda text: faults(text) > 2,
}


def main() -> None:
    """Print the table."""
    real = [json.loads(line)["text"] for line in Path(sys.argv[1]).read_text("utf-8").splitlines()]
    with Lake.open(Path(sys.argv[2])) as lake:
        rows = lake.query(_TEXTS).to_pylist()
    groups: dict[str, Sequence[str]] = {
        "real": real,
        "accepted": [row["text"] for row in rows if row["accepted"]],
        "rejected": [row["text"] for row in rows if not row["accepted"]],
    }
    print(
        "| check | " + " | ".join(f"{k} ({len(v):,})" for k, v in groups.items()) + " | CPU ms |",
        flush=True,
    )
    print("|---|---|---|---|---|")
    for name, check in CHECKS.items():
        last = _NUM_FOR_GRAMMAR if name.startswith("grammar") else None
        begun = time.process_time()
        few = [texts[:last] for texts in groups.values()]
        shares = [sum(map(check, texts)) / len(texts) for texts in few]
        cost = 1000 * (time.process_time() - begun) / sum(map(len, few))
        print(
            f"| {name} | " + " | ".join(f"{share:.2%}" for share in shares) + f" | {cost:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
