"""How the teacher is told what to write.

Chat models get an instruction, models that only continue get the first sentences of the story. The
wording is short: a teacher of 135M parameters follows few words better than many. Raise
PROMPT_VERSION with every change of it: it is part of each prompt's id.
"""

from datagen.plan import PromptSpec
from datagen.vocabulary import PartOfSpeech, Vocabulary
from warehouse.identity import Json, digest

PROMPT_VERSION = 1

# Measured on SmolLM2 135M, first attempts at 96 prompts of the plan (tests/bench/accept_rate.py):
# with a title that acts out the verb 42 % pass all verdicts, without it 14 %.
_TASK = (
    "Write a very short story{features} for a small child about "
    '"the {adjective} {noun} that wanted to {verb}". '
    'The story must use the words "{verb}" and "{adjective} {noun}". '
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


def instruction(spec: PromptSpec) -> str:
    """What a chat teacher is told: the features, the three words, the length."""
    features = " and ".join(_FEATURES[name] for name in spec.features)
    return _TASK.format(
        features=f" with {features}" if features else "",
        adjective=spec.adjective,
        noun=spec.noun,
        verb=spec.verb,
    )


def prefix(spec: PromptSpec, vocabulary: Vocabulary) -> str:
    """The first sentences of the story, holding the three lemmas as whole words.

    For a teacher that only continues: it cannot be asked for features. A noun without a plural form
    is a mass noun ("was some water") or, when it ends in s, always plural ("were some clothes").
    """
    if len(vocabulary.forms_of(spec.noun, PartOfSpeech.NOUN)) > 1:
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
