"""What stands before a text when a student reads it, and how a student is asked for a story: the
line of its words, or the instruct form.

The instruct form is made from what is stored of each prompt, so documents of earlier nights have
theirs too, whatever family and vocabulary those nights had. A summary needs the family's wording
and its words: it is left out where the family is neither tonight's nor a shipped one, or tonight's
vocabulary has lost a word. Imported texts have a sentence of their own.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from datagen.families import Family, WordSlot, load_family, shipped_families
from datagen.instruct import Ask, ask_of, asking_context, instruct_context, line_names
from datagen.vocabulary import PartOfSpeech, Vocabulary
from distill.prefix import has_context, words_line
from flows.corpus import CorpusStory
from flows.night import Tonight

# The value of train.context; the other one is "words".
INSTRUCT = "instruct"


def training_contexts(tonight: Tonight) -> Callable[[CorpusStory], str | None]:
    """What says the text of the context that students read before a story tonight, None for the
    stories that are read without one.
    """
    train = tonight.recipe.train
    make = _instruct_form(tonight) if train.context == INSTRUCT else _words_form
    return lambda story: make(story) if has_context(story.doc_id, train.words_line_share) else None


def instruct_lines(tonight: Tonight, contexts: Iterable[str | None]) -> tuple[str, ...] | None:
    """The names of the lines that stand in these contexts, sorted; None if tonight's students read
    the line of their words.
    """
    if tonight.recipe.train.context != INSTRUCT:
        return None
    return tuple(sorted({name for context in contexts if context for name in line_names(context)}))


def asking(lines: Sequence[str] | None, ask: Ask) -> str | None:
    """What asks a student for that: one that was trained on these lines of the instruct form, or on
    the line of its words for None. None if nothing is asked.

    DistillError or DatagenError for what would read as something else.
    """
    if lines is not None:
        return asking_context(ask)
    return words_line(ask.words) if ask.words else None


def _words_form(story: CorpusStory) -> str | None:
    return words_line(story.words) if story.words else None


def _instruct_form(tonight: Tonight) -> Callable[[CorpusStory], str | None]:
    plan = tonight.plan
    families = [*map(load_family, shipped_families()), plan.family]
    memory = _Memory(
        {family.digest: family for family in families},
        plan.vocabulary,
        frozenset((word.lemma, word.part_of_speech) for word in plan.vocabulary.words),
    )
    return lambda story: instruct_context(memory.ask(story), story.text, story.doc_id)


@dataclass(frozen=True, slots=True)
class _Memory:
    """The families and the words with which stored prompts are read."""

    families: Mapping[str, Family]
    vocabulary: Vocabulary
    words: frozenset[tuple[str, PartOfSpeech]]

    def ask(self, story: CorpusStory) -> Ask:
        """What was asked of the story, as far as it is still known."""
        if story.ask is None:
            return Ask()
        family = self.families.get(story.ask.family_digest or "")
        if family is None or story.ask.slots is None:
            return Ask(story.words, story.ask.features, story.ask.sentence)
        values = {name: tuple(said) for name, said in json.loads(story.ask.slots).items()}
        asked = {
            (values[name][0], slot.part_of_speech)
            for name, slot in family.slots.items()
            if isinstance(slot, WordSlot)
        }
        vocabulary = self.vocabulary if asked <= self.words else None
        return ask_of(family, values, story.ask.sentence, vocabulary)
