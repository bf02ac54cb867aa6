"""Which words and features each story is asked for.

plan_item is a pure function of the vocabulary, the seed and the index: no state, no order, so any
worker can make any part of the plan, and a night that was killed plans the same stories again.
Three required words and a random subset of features are TinyStories' idea (arXiv 2305.07759).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from datagen.errors import VocabularyError
from datagen.vocabulary import PartOfSpeech, Vocabulary
from warehouse.identity import seed_from

FEATURES = ("bad_ending", "conflict", "dialogue", "foreshadowing", "moral", "plot_twist")

# Each feature by itself: 1.5 of 6 on average, and none in 0.75**6 = 18 % of the prompts.
FEATURE_PROBABILITY = 0.25
_ONE = 2**63


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """What one story is asked for: three lemmas and the features, sorted by name."""

    plan_index: int
    verb: str
    noun: str
    adjective: str
    features: tuple[str, ...]

    @property
    def words(self) -> tuple[str, str, str]:
        """The three required lemmas: verb, noun, adjective."""
        return (self.verb, self.noun, self.adjective)


def plan_item(vocabulary: Vocabulary, seed: int, index: int) -> PromptSpec:
    """What story `index` (0 or more) is asked for; no form belongs to two of its three words.

    Verbs are uniform; nouns and adjectives are uniform over those that share no form with the words
    already drawn, so that one "lost" in a story cannot stand for both "lose" and "lost".
    VocabularyError if the vocabulary leaves nothing to draw.
    """
    if index < 0:
        raise ValueError(f"plan index: expected 0 or more, found {index}")
    taken: frozenset[str] = frozenset()
    drawn: list[str] = []
    for part in (PartOfSpeech.VERB, PartOfSpeech.NOUN, PartOfSpeech.ADJECTIVE):
        free = [w for w in vocabulary.lemmas(part) if not taken & vocabulary.forms_of(w, part)]
        lemma = _draw(free, seed, index, part, vocabulary)
        taken |= vocabulary.forms_of(lemma, part)
        drawn.append(lemma)
    features = tuple(
        name
        for name in FEATURES
        if seed_from("feature", seed, index, name) < FEATURE_PROBABILITY * _ONE
    )
    return PromptSpec(index, drawn[0], drawn[1], drawn[2], features)


def _draw(
    free: Sequence[str], seed: int, index: int, part: PartOfSpeech, vocabulary: Vocabulary
) -> str:
    if not free:
        raise VocabularyError(
            f"vocabulary {vocabulary.name}: expected at least one {part} that shares no form "
            f"with the other required words, found none of {len(vocabulary.lemmas(part))}; "
            f"add {part}s to its file"
        )
    return free[seed_from("word", seed, index, str(part)) % len(free)]
