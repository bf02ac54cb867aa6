"""Whether finished stories keep to their vocabulary, counted twice.

Usage: python tests/bench/adherence.py [NUM_STORIES]   (recipe quickstart, first attempts, from plan
index 1000 on). The second count shares nothing with the machine: it reads the vocabulary's TSV file
as lines, cuts words out with a regular expression of its own, and looks them up.
"""

import re
import sys
from importlib.resources import files

from datagen.measures import unknown_words, words_of
from tests.bench.quickstart_teacher import Bench

# Some attempts do not finish; 15 % more prompts are asked for.
SPARE = 1.15
WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
ENDING = re.compile(r"(n't|'(s|d|m|ll|re|ve))$")
IRREGULAR = {"can't": "can", "won't": "will", "shan't": "shall"}


def forms_in_file(name: str) -> set[str]:
    """Every form that stands in a shipped vocabulary's file, in lower case."""
    text = (files("datagen") / "vocabularies" / f"{name}.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    lemma, forms = rows[0].index("lemma"), rows[0].index("forms")
    return {
        form.strip().lower() for row in rows[1:] for form in (row[lemma], *row[forms].split(","))
    }


def outside(text: str, forms: set[str]) -> list[str]:
    """The words that the file does not hold, neither whole nor without their ending."""
    words = [word.lower().replace("\u2019", "'") for word in WORD.findall(text)]
    return [
        word
        for word in words
        if not {word, IRREGULAR.get(word, word), ENDING.sub("", word)} & forms
    ]


def main(num_stories: int) -> None:
    """Print the table."""
    bench = Bench.of(int(num_stories * SPARE), [])
    written, cpu_s = bench.write()
    texts = [done.text for done in written if done.is_finished][:num_stories]
    words = [words_of(text) for text in texts]
    found = [word for story in words for word in unknown_words(story, bench.vocabulary)]
    plainly = [
        word for text in texts for word in outside(text, forms_in_file(bench.vocabulary.name))
    ]
    print("| finished stories | words | distinct | outside, measures | outside, plain count |")
    print("|---|---|---|---|---|")
    print(
        f"| {len(texts)} | {sum(map(len, words)):,} | {len({w for s in words for w in s}):,} "
        f"| {len(found)} | {len(plainly)} |"
    )
    print(
        f"\n{sum(done.is_finished for done in written)} of {len(written)} attempts finished, "
        f"{sum(done.num_tokens for done in written) / cpu_s:.0f} tokens per CPU-second."
    )
    print(f"Outside: {sorted(set(found + plainly)) or 'none'}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1000)
