"""Every measure of some texts, whoever wrote them: a night's corpus and a student's samples go
through the same function, so their figures compare.

What depends on how much text there is, or on how many texts, is measured on the first `num_words`
words and `num_sampled` texts of a DiversityConfig (datagen.diversity says in which order): whoever
compares gives everybody the same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from datagen.config import DiversityConfig
from datagen.diversity import measure_diversity
from datagen.measures import required_hits, unknown_words, words_of
from datagen.memorisation import LENGTHS, Copied
from datagen.plan import PromptSpec
from datagen.quality import reading_grade
from datagen.vocabulary import PartOfSpeech, Vocabulary

_SHARES_OF_TEXTS = ("opening_3", "opening_5", "name_share")


@dataclass(frozen=True, slots=True)
class TextMeasure:
    """One measure of n texts (n words, where there is less text than that).

    `tops` alone, one from 0 to 1 for each text: the value is their mean. With `bottoms`: it is the
    sum of the tops over the sum of the bottoms. Neither: it belongs to all texts together, and says
    nothing of one.
    """

    name: str
    value: float
    n: int
    tops: tuple[float, ...] = ()
    bottoms: tuple[float, ...] = ()


def measure_texts(
    texts: Sequence[str],
    asked: Sequence[PromptSpec],
    vocabulary: Vocabulary,
    config: DiversityConfig,
) -> list[TextMeasure]:
    """Every measure of the texts, which were asked for by these prompts; none of no texts.

    adherence: the mean share of a text's words that the vocabulary holds in a listed form, with
    clitics and compounds of such forms (measures.unknown_words); adherence_strict: of those that
    are a word of the list themselves, not another form of it; inside_vocabulary: the share of the
    texts with no word outside. required_words: the mean share of the words asked for that the text
    has in a listed form. reading_grade: the mean grade of the texts with a word. The others are
    diversity's.
    """
    if not texts:
        return []
    words = [words_of(text) for text in texts]
    lemmas = {
        word.lemma.lower()
        for word in vocabulary.words
        if word.part_of_speech is not PartOfSpeech.PUNCTUATION
    }
    num_unknown = [len(unknown_words(text, vocabulary)) for text in words]
    required = [
        required_hits(text, spec, vocabulary) / len(spec.required)
        for text, spec in zip(words, asked, strict=True)
        if spec.required
    ]
    found = [
        _mean_share("adherence", [
            1 - unknown / max(len(text), 1)
            for text, unknown in zip(words, num_unknown, strict=True)
        ]),
        _mean_share("adherence_strict", [
            sum(word in lemmas for word in text) / len(text) if text else 1.0 for text in words
        ]),
        _mean_share("inside_vocabulary", [float(not unknown) for unknown in num_unknown]),
        *([_mean_share("required_words", required)] if required else []),
    ]  # fmt: skip
    grades = [reading_grade(text) for text, held in zip(texts, words, strict=True) if held]
    if grades:
        found.append(_ratio("reading_grade", grades, [1.0] * len(grades)))
    return [*found, *_likeness(texts, config)]


def measure_copies(copies: Sequence[Copied]) -> list[TextMeasure]:
    """What of the texts was copied, all texts together; none of no texts.

    copied_8, copied_16, copied_32: the mean share of a text's n-grams of so many words that stand
    in the training text, of the texts that have one. copied_run: the mean length in words of a
    text's longest copied run. longest_copied_run: the longest of all.
    """
    if not copies:
        return []
    found = []
    for length in LENGTHS:
        shares = [share for copy in copies if (share := copy.share(length)) is not None]
        if shares:
            found.append(_mean_share(f"copied_{length}", shares))
    runs = [copy.num_words for copy in copies]
    longest = TextMeasure("longest_copied_run", float(max(runs)), len(runs))
    return [*found, _ratio("copied_run", runs, [1.0] * len(runs)), longest]


def _likeness(texts: Sequence[str], config: DiversityConfig) -> list[TextMeasure]:
    """Diversity's measures. The shares of texts are a text's own: it has the most common opening or
    name, or not.
    """
    found = []
    for measure in measure_diversity(texts, [], config):
        if measure.name in _SHARES_OF_TEXTS:
            num_with = round(measure.value * measure.n)
            having = [1.0] * num_with + [0.0] * (measure.n - num_with)
            found.append(_mean_share(measure.name, having))
        else:
            found.append(TextMeasure(measure.name, measure.value, measure.n))
    return found


def _mean_share(name: str, shares: Sequence[float]) -> TextMeasure:
    return TextMeasure(name, math.fsum(shares) / len(shares), len(shares), tuple(shares))


def _ratio(name: str, tops: Sequence[float], bottoms: Sequence[float]) -> TextMeasure:
    value = math.fsum(tops) / math.fsum(bottoms)
    return TextMeasure(name, value, len(tops), tuple(map(float, tops)), tuple(map(float, bottoms)))
