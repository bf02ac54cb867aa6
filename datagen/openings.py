"""Whether a family's openings stand in the vocabulary that the teacher is kept to.

A teacher that only continues goes on from an opening, so under a vocabulary the automaton must
accept it. Openings are tried before a night is claimed: each value of each slot once, the others as
in the plan's first prompt. So a template that joins two slots into a word can still be found out
late, by the engine. About 0.1 CPU-seconds for 1,000 words.
"""

from collections.abc import Iterator, Mapping

from datagen.automata import NOWHERE, Dfa
from datagen.errors import FamilyError
from datagen.families import SubsetSlot, WordSlot
from datagen.measures import unknown_words, words_of
from datagen.plan import Plan

_EXAMPLES = 8
_WHAT_TO_DO = (
    "set sampling.constrain=false and sampling.steer=0, or take a teacher that is told what to "
    "write (one with a chat template)"
)

_SlotValues = Mapping[str, tuple[str, ...]]


def check_openings(plan: Plan, dfa: Dfa) -> None:
    """Pass if the automaton of the plan's vocabulary accepts the family's openings; FamilyError
    names the words that stand outside, or where one opening leaves the vocabulary.
    """
    refused = [text for text in openings_of(plan) if dfa.walk(text.encode()) == NOWHERE]
    if not refused:
        return
    vocabulary = plan.vocabulary
    outside = {text: unknown_words(words_of(text), vocabulary) for text in refused}
    unknown = list(dict.fromkeys(word for words in outside.values() for word in words))
    where = f"family {plan.family.name}, opening: expected"
    kept = f"the vocabulary {vocabulary.name}, to which sampling.constrain keeps the teacher"
    if unknown:
        example = next(text for text, words in outside.items() if words)
        raise FamilyError(
            f"{where} words of {kept}, found {_listed(unknown)} outside, as in {example!r:.300}; "
            f"add the words to the vocabulary, {_WHAT_TO_DO}"
        )
    inside = _inside(refused[0], dfa)
    raise FamilyError(
        f"{where} a text of {kept}, found {refused[0]!r:.300}, which leaves it after "
        f"{inside[-60:]!r} (a sign that the vocabulary lacks, or a space, capital or hyphen where "
        f"it has none); mend the opening, {_WHAT_TO_DO}"
    )


def openings_of(plan: Plan) -> Iterator[str]:
    """The opening with each value of each slot, the others as in the plan's first prompt; each
    text once.
    """
    usual = plan[0].values
    seen = set[str]()
    for name in plan.family.slots:
        for value in _values_of(plan, name):
            for text in _told(plan, {**usual, name: value}):
                if text not in seen:
                    seen.add(text)
                    yield text


def _values_of(plan: Plan, name: str) -> Iterator[tuple[str, ...]]:
    """What a spec can hold of a slot; of a subset none, each alone, and all."""
    slot = plan.family.slots[name]
    if isinstance(slot, WordSlot):
        for word in plan.vocabulary.words_of(slot.part_of_speech):
            if slot.topic in (None, word.topic):
                yield (word.lemma,)
        return
    if isinstance(slot, SubsetSlot) or slot.probability < 1:
        yield ()
    if isinstance(slot, SubsetSlot):
        yield tuple(slot.values)
    for value in slot.values:
        yield (value,)


def _told(plan: Plan, values: _SlotValues) -> Iterator[str]:
    """The opening without a sentence that must stand in the text, and with it, as either is asked
    for.
    """
    family = plan.family
    shown = family.template_values(values, None, plan.vocabulary)
    if family.sentence is None or family.sentence_probability < 1:
        yield family.told("opening", shown)
    if family.sentence is not None:
        sentence = " ".join(family.told("sentence", shown).split())
        yield family.told("opening", {**shown, "sentence": sentence})


def _inside(text: str, dfa: Dfa) -> str:
    """The longest beginning that the automaton accepts."""
    length = next(n for n in range(len(text) + 1) if dfa.walk(text[:n].encode()) == NOWHERE)
    return text[: length - 1]


def _listed(words: list[str]) -> str:
    left = len(words) - _EXAMPLES
    shown = ", ".join(f"{word!r:.60}" for word in words[:_EXAMPLES])
    return shown + (f" and {left} more" if left > 0 else "")
