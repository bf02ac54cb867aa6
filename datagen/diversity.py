"""How much alike a list of texts is: a teacher that always begins with "Once upon a time, there was
a little girl named Lily" is seen here before a student learns it by heart.

Every measure is a pure function of the texts. Those that depend on how much text there is (distinct
n-grams, compression) look at a fixed number of words, those that compare texts with each other at a
fixed number of texts; both are taken in the order of the texts' digests, so that they follow from
the texts alone, not from the plan.
"""

import lzma
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from datagen.config import DiversityConfig
from datagen.dedup import distinct_grams
from datagen.measures import words_of
from warehouse.identity import digest_bytes

_LONGEST_GRAM = 4
_OVERLAP_GRAM = 5
_SHOWN = 3
_WORDS_SHOWN = 8
_DIGITS = 6
# A name stands inside a sentence with a capital letter; what begins a sentence tells nothing.
_INSIDE = re.compile(r"(?<=[a-z0-9,;] )[A-Z][a-z]+\b|(?<=[a-z0-9,;] )[a-z]+\b")
# Raw LZMA2 with its parameters spelled out: no header, no default that may change.
_LZMA = [{"id": lzma.FILTER_LZMA2, "preset": 6}]


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of a corpus: its value, the texts, words or n-grams it was taken of, the limit
    that binds it (None: none does), whether the value keeps it, and the worst cases in words.
    """

    name: str
    value: float
    n: int
    evidence: str
    bound: float | None = None
    is_within: bool = True


def measure_diversity(
    texts: Sequence[str], earlier: Iterable[Sequence[str]], config: DiversityConfig
) -> list[Measure]:
    """Every measure of the texts, held against its limit; overlap only if there are earlier texts,
    which come in parts. No measure of no texts.
    """
    texts = sorted((text for text in texts if words_of(text)), key=_digest_of)
    if not texts:
        return []
    words = [words_of(text) for text in texts]
    few = _first_words(words, config.num_words)
    num_few = sum(map(len, few))
    names = names_of(texts)
    found = [
        _most_common("opening_3", [[" ".join(text[:3])] for text in words]),
        _most_common("opening_5", [[" ".join(text[:5])] for text in words]),
        _most_common("name_share", names),
        *(Measure(f"distinct_{n}", distinct_share(few, n), num_few, "") for n in (1, 2, 3)),
        _self_bleu(words[: config.num_sampled]),
        Measure("compression", compression_ratio(texts[: len(few)]), num_few, ""),
    ]
    seen = overlap(texts, earlier)
    if seen is not None:
        found.append(Measure("overlap", *seen, ""))
    limits = dict(config) if len(texts) >= config.min_stories else {}
    return [_held_against(measure, limits) for measure in found]


def names_of(texts: Sequence[str]) -> list[set[str]]:
    """Of each text: the words that stand in it with a capital letter inside a sentence, less those
    that all texts together have more often without one.
    """
    counts: Counter[str] = Counter()
    found = [_INSIDE.findall(text) for text in texts]
    for words in found:
        counts.update(words)
    return [
        {word for word in words if word[0].isupper() and counts[word] > counts[word.lower()]}
        for words in found
    ]


def distinct_share(texts: Sequence[Sequence[str]], n: int) -> float:
    """Different word n-grams for each n-gram that a text holds (distinct-n of Li and others 2016);
    1.0 where there is none.
    """
    grams = [tuple(text[at : at + n]) for text in texts for at in range(len(text) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 1.0


def self_bleu(texts: Sequence[Sequence[str]]) -> list[float]:
    """The BLEU-4 (0 to 1) of each text's words against all the others' (Zhu and others 2018).

    Without smoothing: 0.0 for a text that shares no word quadruple with another.
    """
    counts = [_gram_counts(text) for text in texts]
    # The two highest counts of each n-gram, and whose the highest is: so one pass over all texts
    # serves to clip by each text's own "all the others".
    best: dict[tuple[str, ...], tuple[int, int, int]] = {}
    for place, grams in enumerate(counts):
        for gram, count in grams.items():
            first, second, owner = best.get(gram, (0, 0, -1))
            if count > first:
                best[gram] = (count, first, place)
            elif count > second:
                best[gram] = (first, count, owner)
    lengths = [len(text) for text in texts]
    scores = []
    for place, grams in enumerate(counts):
        hits, totals = [0] * _LONGEST_GRAM, [0] * _LONGEST_GRAM
        for gram, count in grams.items():
            first, second, owner = best[gram]
            hits[len(gram) - 1] += min(count, second if owner == place else first)
            totals[len(gram) - 1] += count
        scores.append(_bleu(hits, totals, lengths[place], lengths[:place] + lengths[place + 1 :]))
    return scores


def compression_ratio(texts: Sequence[str]) -> float:
    """UTF-8 bytes of the texts, a line each, for each byte of LZMA2 (preset 6)."""
    data = "\n".join(texts).encode()
    return len(data) / len(lzma.compress(data, format=lzma.FORMAT_RAW, filters=_LZMA))


def overlap(texts: Sequence[str], earlier: Iterable[Sequence[str]]) -> tuple[float, int] | None:
    """(share of the texts' different word 5-grams that earlier texts hold, their number); None if
    there are no earlier texts. Memory does not grow with the earlier texts.
    """
    mine = distinct_grams(texts, _OVERLAP_GRAM)
    seen = np.zeros(len(mine), bool)
    there_are_any = False
    for part in earlier:
        there_are_any = there_are_any or bool(part)
        seen |= np.isin(mine, distinct_grams(part, _OVERLAP_GRAM), assume_unique=True)
    return (float(seen.mean()), len(mine)) if there_are_any else None


def _digest_of(text: str) -> str:
    return digest_bytes(text.encode())


def _first_words(texts: Sequence[Sequence[str]], num_words: int) -> list[Sequence[str]]:
    """Whole texts until there are so many words, the last one cut."""
    kept: list[Sequence[str]] = []
    for text in texts:
        if num_words <= 0:
            break
        kept.append(text[:num_words])
        num_words -= len(text)
    return kept


def _gram_counts(words: Sequence[str]) -> Counter[tuple[str, ...]]:
    return Counter(
        tuple(words[at : at + n])
        for n in range(1, _LONGEST_GRAM + 1)
        for at in range(len(words) - n + 1)
    )


def _bleu(
    hits: Sequence[int], totals: Sequence[int], length: int, other_lengths: Sequence[int]
) -> float:
    """Papineni and others 2002, equations 1 to 3: the geometric mean of the clipped precisions,
    less where the text is shorter than the reference of the nearest length (the shorter of two).
    """
    if not all(hits):
        return 0.0
    precision = math.fsum(
        math.log(hit / total) for hit, total in zip(hits, totals, strict=True)
    ) / len(hits)
    nearest = min(other_lengths, key=lambda other: (abs(other - length), other))
    return math.exp(precision + min(0.0, 1 - nearest / length))


def _most_common(name: str, texts: Sequence[Collection[str]]) -> Measure:
    """The share of the texts that have the most common thing."""
    counts = Counter(thing for text in texts for thing in text)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    evidence = ", ".join(f'"{thing}" {count}' for thing, count in ranked)
    most = ranked[0][1] if ranked else 0
    return Measure(name, most / len(texts), len(texts), evidence)


def _self_bleu(texts: Sequence[Sequence[str]]) -> Measure:
    scores = self_bleu(texts)
    worst = sorted(range(len(texts)), key=lambda place: (-scores[place], place))[:_SHOWN]
    evidence = ", ".join(f'"{" ".join(texts[at][:_WORDS_SHOWN])}" {scores[at]:.2f}' for at in worst)
    return Measure("self_bleu", math.fsum(scores) / len(scores), len(texts), evidence)


def _held_against(measure: Measure, limits: Mapping[str, float | None]) -> Measure:
    value = round(measure.value, _DIGITS)
    most, least = limits.get(f"max_{measure.name}"), limits.get(f"min_{measure.name}")
    is_within = (most is None or value <= most) and (least is None or value >= least)
    bound = most if most is not None else least
    return replace(measure, value=value, bound=bound, is_within=is_within)
