"""The slots of a family as the plan sees them: entries that it goes through, and what is drawn
beside that.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from struct import unpack

from datagen.errors import VocabularyError
from datagen.families import ChoiceSlot, Family, SubsetSlot, WordSlot, is_enumerated
from datagen.shuffle import key_from, shuffle
from datagen.vocabulary import Vocabulary, Word

_ONE = 1 << 64
# Beyond it the most that words take together is bounded by the sum, not counted.
_MOST_UNIONS = 100_000


@dataclass(frozen=True, slots=True)
class EnumeratedSlot:
    """A slot whose entries the plan goes through.

    clashes: for a slot chosen before and a value of it, the places of the entries that share a form
    with it, ascending. num_free: entries that are free whatever was chosen before.
    """

    name: str
    entries: Sequence[str]
    clashes: Mapping[str, Mapping[str, tuple[int, ...]]]
    num_free: int

    def entry(self, turn: int, chosen: Mapping[str, str]) -> str:
        """The entry at `turn` modulo the number of free ones."""
        taken: list[int] = []
        for name, places in self.clashes.items():
            taken += places.get(chosen[name], ())
        if not taken:
            return self.entries[turn % len(self.entries)]
        taken = sorted(set(taken))
        place = turn % (len(self.entries) - len(taken))
        for clash in taken:
            if clash > place:
                break
            place += 1
        return self.entries[place]


def enumerated_slots(vocabulary: Vocabulary, family: Family) -> tuple[EnumeratedSlot, ...]:
    """The enumerated slots in the order in which they are chosen: the largest first."""
    words = {
        name: _words_of(vocabulary, family, name, slot)
        for name, slot in family.slots.items()
        if isinstance(slot, WordSlot)
    }
    entries = {
        name: _weighted(slot.values)
        if isinstance(slot, ChoiceSlot)
        else [word.lemma for word in words[name] for _ in range(word.weight)]
        for name, slot in family.slots.items()
        if is_enumerated(slot)
    }
    order = list(entries)
    anchor = max(order, key=lambda name: len(entries[name]))
    order.sort(key=lambda name: name != anchor)
    made: list[EnumeratedSlot] = []
    for number, name in enumerate(order):
        before = [other for other in order[:number] if other in words and name in words]
        clashes = {other: _clashes(words[other], words[name]) for other in before}
        num_free = len(entries[name]) - _most_taken(list(clashes.values()))
        if num_free < 1:
            part = words[name][0].part_of_speech
            raise VocabularyError(
                f"vocabulary {vocabulary.name}: expected at least one {part} that shares no form "
                f"with the other words of the family {family.name}, found none of "
                f"{len(words[name])}; add {part}s to its file"
            )
        made.append(EnumeratedSlot(name, entries[name], clashes, num_free))
    return tuple(made)


def _words_of(
    vocabulary: Vocabulary, family: Family, name: str, slot: WordSlot
) -> tuple[Word, ...]:
    words = vocabulary.words_of(slot.part_of_speech)
    if slot.topic is not None:
        words = tuple(word for word in words if word.topic == slot.topic)
    if not words:
        about = "" if slot.topic is None else f" of the topic {slot.topic!r}"
        raise VocabularyError(
            f"vocabulary {vocabulary.name}: expected at least one {slot.part_of_speech}{about}, as "
            f"the family {family.name} asks for one ({name}), found none; add to its file"
        )
    return words


def _clashes(before: Sequence[Word], words: Sequence[Word]) -> dict[str, tuple[int, ...]]:
    """For each word chosen before, the places among the weighted words that share a form with it;
    without those that share none.
    """
    places_of: dict[str, set[int]] = defaultdict(set)
    place = 0
    for word in words:
        places = range(place, place + word.weight)
        for form in word.forms:
            places_of[form.lower()].update(places)
        place += word.weight
    clashes: dict[str, tuple[int, ...]] = {}
    for word in before:
        taken = set[int]().union(*(places_of.get(form.lower(), ()) for form in word.forms))
        if taken:
            clashes[word.lemma] = tuple(sorted(taken))
    return clashes


def _most_taken(clashes: Sequence[Mapping[str, tuple[int, ...]]]) -> int:
    """The most entries that one word of each can take together, or a little more."""
    unions = {frozenset[int]()}
    for number, found in enumerate(clashes):
        options = {frozenset[int](), *map(frozenset, found.values())}
        if len(unions) * len(options) > _MOST_UNIONS:
            rest = (max(map(len, other.values()), default=0) for other in clashes[number:])
            return max(map(len, unions)) + sum(rest)
        unions = {union | option for union in unions for option in options}
    return max(map(len, unions))


def _weighted(values: Mapping[str, int]) -> list[str]:
    return [value for value, weight in sorted(values.items()) for _ in range(weight)]


@dataclass(frozen=True, slots=True)
class DrawnSlot:
    """A slot of its own probability: a subset, a choice that is not always made, or (with neither
    entries nor shares) whether there is a sentence.

    entries: of a choice, weighted and sorted. shares: of a subset, the values in order, each with
    its own probability.
    """

    key: bytes
    probability: float
    entries: Sequence[str]
    shares: Sequence[tuple[str, float]]

    def values(self, index: int) -> tuple[str, ...]:
        """What item `index` of the plan holds there; () if it is not asked for."""
        is_asked, *draws = _draws(self.key, index, 1 + len(self.shares))
        if is_asked >= self.probability * _ONE:
            return ()
        if not self.entries:
            pairs = zip(self.shares, draws, strict=False)
            return tuple(value for (value, share), draw in pairs if draw < share * _ONE)
        block, row = divmod(index, len(self.entries))
        return (self.entries[shuffle(row, len(self.entries), key_from(self.key, block))],)

    def is_asked(self, index: int) -> bool:
        """Whether item `index` of the plan asks for it at all."""
        return _draws(self.key, index, 1)[0] < self.probability * _ONE


def drawn_slot(slot: ChoiceSlot | SubsetSlot, key: bytes) -> DrawnSlot:
    """The slot as the plan draws from it."""
    if isinstance(slot, SubsetSlot):
        return DrawnSlot(key, slot.probability, (), sorted(slot.values.items()))
    return DrawnSlot(key, slot.probability, _weighted(slot.values), ())


def _draws(key: bytes, index: int, count: int) -> Sequence[int]:
    """At least `count` whole numbers, uniform in [0, 2**64)."""
    draws: tuple[int, ...] = ()
    while len(draws) < count:
        data = b"%b %d %d" % (key, index, len(draws))
        draws += unpack(">8Q", blake2b(data, digest_size=64).digest())
    return draws
