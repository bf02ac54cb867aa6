"""How the teacher is told what to write.

Chat models get an instruction, models that only continue get the first sentences of the story. The
wording is short: a teacher of 135M parameters follows few words better than many. Raise
PROMPT_VERSION with every change of it: it is part of each prompt's id.
"""

from datagen.plan import PromptSpec
from datagen.vocabulary import PartOfSpeech, Vocabulary
from warehouse.identity import Json, digest

PROMPT_VERSION = 1

# Measured on SmolLM2 135M, 48 prompts of the plan: naming the noun with its adjective and asking
# for the length last gives 40 % accepted; the three words by part of speech, length first, 8 %.
_TASK = (
    "Write a very short story{features} for a small child about {subject}. "
    'The story must use the words "{adjective} {noun}" and "{verb}". '
    "Use only simple words. Write 4 sentences."
)
_FEATURES = {
    "dialogue": "dialogue",
    "bad_ending": "a sad ending",
    "moral": "a moral",
    "plot_twist": "a surprise",
    "foreshadowing": "a hint at the start",
    "conflict": "a quarrel",
}

_SOUNDS_LIKE_CONSONANT = ("one", "use", "usu", "uni", "eu")
_SOUNDS_LIKE_VOWEL = ("hour", "honest", "heir", "honor", "honour", "unim", "unin")


def prompt_id(prompt_part: Json, vocabulary_digest: str, seed: int, index: int) -> str:
    """The id of a prompt: of what was asked for, the wording and the place in the plan."""
    return digest("prompt", PROMPT_VERSION, prompt_part, vocabulary_digest, seed, index)


def instruction(spec: PromptSpec, vocabulary: Vocabulary) -> str:
    """What a chat teacher is told: the features, the three words, the length."""
    features = " and ".join(_FEATURES[name] for name in spec.features)
    described = f"{spec.adjective} {spec.noun}"
    return _TASK.format(
        features=f" with {features}" if features else "",
        subject=f"{article(described)} {described}" if _is_counted(spec, vocabulary) else described,
        adjective=spec.adjective,
        noun=spec.noun,
        verb=spec.verb,
    )


def prefix(spec: PromptSpec, vocabulary: Vocabulary) -> str:
    """The first sentences of the story, holding the three lemmas as whole words.

    For a teacher that only continues: it cannot be asked for features. A noun without a plural form
    is a mass noun ("was some water") or, when it ends in s, always plural ("were some clothes").
    """
    if _is_counted(spec, vocabulary):
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


def _is_counted(spec: PromptSpec, vocabulary: Vocabulary) -> bool:
    """Whether the noun has a plural of its own: "a boat", but "some water", "some clothes"."""
    return len(vocabulary.forms_of(spec.noun, PartOfSpeech.NOUN)) > 1
