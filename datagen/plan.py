"""What each text is asked for: all combinations of a family's slots, shuffled.

plan[i] is a pure function of vocabulary, family, seed and i: no state, no order, so any worker can
make any part of the plan, and a night that was killed plans the same texts again.

Enumerated slots are words and choices that are always made; an entry of weight w stands w times
among its slot's. The largest such slot is the anchor, with n entries. Block q of the plan, n items,
goes through the anchor's entries in a shuffled order; place q of a shuffled order of all offsets
gives one offset for each other slot, and that slot's entry is the offset plus a turn that follows
from the anchor's entry, modulo the number of entries that share no form with the words chosen so
far. So within a block each anchor stands once and the others' entries about equally often, and no
combination of entries comes twice before num_combinations items are asked for; then the next cycle
begins, with other keys. Subsets, optional choices and sentences are drawn beside that, each by its
own probability. A word of weight w is asked for w times as often as one of weight 1, and its
combinations come back up to w times.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import gcd, prod

from datagen.families import Family, WordSlot, is_enumerated
from datagen.shuffle import key_from, shuffle
from datagen.slots import DrawnSlot, EnumeratedSlot, drawn_slot, enumerated_slots
from datagen.vocabulary import PartOfSpeech, Vocabulary


@dataclass(frozen=True, slots=True)
class RequiredWord:
    """A word of the vocabulary that must stand in the text, in any of its forms."""

    lemma: str
    part_of_speech: PartOfSpeech


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """What one text is asked for.

    values: what each slot of the family holds, () for an optional one that is not asked for.
    required: the words that must stand in the text, in the order of their slots; no form belongs to
    two of them. sentence: a sentence that must stand in the text.
    """

    plan_index: int
    family: str
    values: Mapping[str, tuple[str, ...]]
    required: tuple[RequiredWord, ...]
    sentence: str | None

    @property
    def words(self) -> tuple[str, ...]:
        """The lemmas of the required words."""
        return tuple(word.lemma for word in self.required)


@dataclass(frozen=True, slots=True)
class Plan:
    """The prompts of a vocabulary, a family and a seed.

    VocabularyError if the vocabulary leaves a slot nothing to draw.
    """

    vocabulary: Vocabulary
    family: Family
    seed: int
    _key: bytes = field(init=False, repr=False, compare=False)
    _slots: tuple[EnumeratedSlot, ...] = field(init=False, repr=False, compare=False)
    _num_offsets: int = field(init=False, repr=False, compare=False)
    _drawn: Mapping[str, DrawnSlot] = field(init=False, repr=False, compare=False)
    _sentence: DrawnSlot = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        key = key_from(b"plan", self.seed)
        slots = enumerated_slots(self.vocabulary, self.family)
        drawn = {
            name: drawn_slot(slot, key_from(key, name.encode()))
            for name, slot in self.family.slots.items()
            if not isinstance(slot, WordSlot) and not is_enumerated(slot)
        }
        sentence = DrawnSlot(key_from(key, b"sentence"), self.family.sentence_probability, (), ())
        for name, value in (
            ("_key", key),
            ("_slots", slots),
            ("_num_offsets", prod(slot.num_free for slot in slots[1:])),
            ("_drawn", drawn),
            ("_sentence", sentence),
        ):
            object.__setattr__(self, name, value)

    @property
    def num_combinations(self) -> int:
        """How many items are asked for before a combination can come again."""
        return len(self._slots[0].entries) * self._num_offsets

    def __getitem__(self, index: int) -> PromptSpec:
        """What text `index` (0 or more) is asked for."""
        if index < 0:
            raise ValueError(f"plan index: expected 0 or more, found {index}")
        chosen = self._combination(index)
        values = {
            name: (chosen[name],) if name in chosen else self._drawn[name].values(index)
            for name in self.family.slots
        }
        required = tuple(
            RequiredWord(chosen[name], slot.part_of_speech)
            for name, slot in self.family.slots.items()
            if isinstance(slot, WordSlot) and slot.required
        )
        return PromptSpec(index, self.family.name, values, required, self._told(index, values))

    def _combination(self, index: int) -> dict[str, str]:
        """The value of each enumerated slot."""
        cycle, place = divmod(index, self.num_combinations)
        anchor, *others = self._slots
        num_anchors = len(anchor.entries)
        key, turns = _cycle(self._key, cycle, num_anchors, len(others))
        block, row = divmod(place, num_anchors)
        position = shuffle(row, num_anchors, key_from(key, block))
        offsets = shuffle(block, self._num_offsets, key)
        chosen = {anchor.name: anchor.entries[position]}
        for slot, (step, start) in zip(others, turns, strict=True):
            offsets, offset = divmod(offsets, slot.num_free)
            turn = (step * position + start) % num_anchors
            chosen[slot.name] = slot.entry(offset + turn, chosen)
        return chosen

    def _told(self, index: int, values: Mapping[str, tuple[str, ...]]) -> str | None:
        """The sentence that must stand in the text, on one line."""
        if self.family.sentence is None or not self._sentence.is_asked(index):
            return None
        shown = self.family.template_values(values, None, self.vocabulary)
        return " ".join(self.family.told("sentence", shown).split())


@lru_cache(maxsize=64)
def _cycle(
    key: bytes, cycle: int, num_anchors: int, num_slots: int
) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """The key of a cycle, and for each slot but the anchor the step and start of its turns.

    A step has no divisor in common with the number of anchors, so step * anchor + start, modulo
    that number, goes through all turns.
    """
    turns = []
    for number in range(num_slots):
        step = int.from_bytes(key_from(key, cycle, number, b"step"), "big") % num_anchors
        start = int.from_bytes(key_from(key, cycle, number, b"start"), "big") % num_anchors
        while gcd(step, num_anchors) != 1:
            step += 1
        turns.append((step, start))
    return key_from(key, cycle), tuple(turns)
