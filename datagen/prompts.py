"""How the teacher is told what to write.

Chat models get an instruction, models that only continue get the first sentences of the story. The
wording is short: a teacher of 135M parameters follows few words better than many. Raise
PROMPT_VERSION with every change of it: it is part of each prompt's id.
"""

from datagen.plan import PromptSpec
from datagen.vocabulary import PartOfSpeech, Vocabulary
from warehouse.identity import Json, digest

PROMPT_VERSION = 1

_TASK = (
    "Write a very short story (4 sentences) for a small child. "
    'The story must use the verb "{verb}", the noun "{noun}" and the adjective "{adjective}". '
    "Use only simple words."
)
_FEATURE_SENTENCES = {
    "dialogue": "In the story, someone talks.",
    "bad_ending": "The story has a sad ending.",
    "moral": "The story teaches a lesson.",
    "plot_twist": "Something surprising happens in the story.",
    "foreshadowing": "The beginning gives a hint of what happens later.",
    "conflict": "Two characters do not agree.",
}

_SOUNDS_LIKE_CONSONANT = ("one", "use", "usu", "uni", "eu")
_SOUNDS_LIKE_VOWEL = ("hour", "honest", "heir", "honor", "honour", "unim", "unin")


def prompt_id(prompt_part: Json, vocabulary_digest: str, seed: int, index: int) -> str:
    """The id of a prompt: of what was asked for, the wording and the place in the plan."""
    return digest("prompt", PROMPT_VERSION, prompt_part, vocabulary_digest, seed, index)


def instruction(spec: PromptSpec) -> str:
    """What a chat teacher is told: the task, then one sentence for each feature."""
    task = _TASK.format(verb=spec.verb, noun=spec.noun, adjective=spec.adjective)
    return " ".join([task, *(_FEATURE_SENTENCES[name] for name in spec.features)])


def prefix(spec: PromptSpec, vocabulary: Vocabulary) -> str:
    """The first sentences of the story, holding the three lemmas as whole words.

    For a teacher that only continues: it cannot be asked for features. A noun without a plural form
    is a mass noun ("was some water") or, when it ends in s, always plural ("were some clothes").
    """
    forms = vocabulary.forms_of(spec.noun, PartOfSpeech.NOUN)
    if len(forms) > 1:
        opening = f"there was {article(spec.adjective)}"
    else:
        opening = "there were some" if spec.noun.endswith("s") else "there was some"
    return (
        f"Once upon a time, {opening} {spec.adjective} {spec.noun}. "
        f"The {spec.noun} liked to {spec.verb}."
    )


def article(word: str) -> str:
    """'a' or 'an', as the sound of the next word asks."""
    word = word.lower()
    if word.startswith(_SOUNDS_LIKE_VOWEL):
        return "an"
    return "an" if word[0] in "aeiou" and not word.startswith(_SOUNDS_LIKE_CONSONANT) else "a"
