"""What a usable vocabulary file may still have wrong."""

from collections.abc import Sequence

from datagen.vocabulary import ASKED_BY_STORIES, PartOfSpeech, Vocabulary

_EXAMPLES = 8


def warnings_of(vocabulary: Vocabulary) -> list[str]:
    """A sentence for each: what was found, and what follows from it."""
    return [
        sentence
        for sentence in (
            _missing_parts(vocabulary),
            _shared_forms(vocabulary),
            _no_punctuation(vocabulary),
        )
        if sentence
    ]


def _missing_parts(vocabulary: Vocabulary) -> str:
    missing = [part for part in ASKED_BY_STORIES if not vocabulary.words_of(part)]
    if not missing:
        return ""
    return (
        f"no {' and no '.join(missing)}: each story is asked for one {', one '.join(missing)}, so "
        "this vocabulary can bound texts, and order none of the shipped kind"
    )


def _shared_forms(vocabulary: Vocabulary) -> str:
    """Of lemmas that prompts ask for: "saw" in a text may be "see" or "saw"."""
    owners: dict[str, set[str]] = {}
    for part in ASKED_BY_STORIES:
        for word in vocabulary.words_of(part):
            for form in word.forms:
                owners.setdefault(form.lower(), set()).add(word.lemma)
    shared = sorted(form for form, lemmas in owners.items() if len(lemmas) > 1)
    if not shared:
        return ""
    examples = [f"{form} ({', '.join(sorted(owners[form]))})" for form in shared]
    return (
        f"{len(shared)} forms belong to two lemmas, and one in a text counts for either: "
        f"{_first(examples)}"
    )


def _no_punctuation(vocabulary: Vocabulary) -> str:
    if vocabulary.words_of(PartOfSpeech.PUNCTUATION):
        return ""
    return f"no punctuation named: the usual signs are allowed, {' '.join(_usual(vocabulary))}"


def _usual(vocabulary: Vocabulary) -> list[str]:
    return sorted(vocabulary.punctuation)


def _first(examples: Sequence[str]) -> str:
    left = len(examples) - _EXAMPLES
    return "; ".join(examples[:_EXAMPLES]) + (f"; and {left} more" if left > 0 else "")
