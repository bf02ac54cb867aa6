"""What can be counted in any text: its words, the unknown ones, the required ones.

A word is a run of letters and digits with single inner apostrophes or hyphens ("don't",
"ice-cream"), lower case, curly quotes read as straight ones. So "mom's" and "he'll" are one word
each, and "well--then" is two.
"""

import re
import unicodedata
from collections.abc import Sequence

from datagen.plan import PromptSpec
from datagen.vocabulary import Vocabulary
from datagen.word_rules import STRAIGHT

_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_CLITICS = ("n't", "'s", "'ll", "'re", "'ve", "'d", "'m")
# What "not" makes of these is a word of its own, with no "willn't" beside it.
IRREGULAR_NEGATIONS = {"can't": "can", "cannot": "can", "won't": "will", "shan't": "shall"}


def words_of(text: str) -> list[str]:
    """The words of a text in order, lower case; numbers are words too."""
    return _WORD.findall(unicodedata.normalize("NFC", text).translate(STRAIGHT).lower())


def unknown_words(words: Sequence[str], vocabulary: Vocabulary) -> list[str]:
    """The words (of words_of) outside the vocabulary, in order, repeats kept.

    Inside is any form; a form with 's or with a contraction (n't, 'll, 're, 've, 'd, 'm; can't,
    cannot, won't, shan't); and a hyphenated word whose parts are all inside.
    """
    return [word for word in words if not _is_known(word, vocabulary.forms)]


def required_hits(words: Sequence[str], spec: PromptSpec, vocabulary: Vocabulary) -> int:
    """How many of the spec's required words stand among the words in a listed form.

    Whole words only: "cart" is no "car". A possessive counts ("the boat's sail"), a part of a
    hyphenated word does not.
    """
    present = {word.removesuffix("'s") for word in words}
    return sum(
        not present.isdisjoint(vocabulary.forms_of(word.lemma, word.part_of_speech))
        for word in spec.required
    )


def _is_known(word: str, forms: frozenset[str]) -> bool:
    if word in forms or IRREGULAR_NEGATIONS.get(word) in forms:
        return True
    for clitic in _CLITICS:
        if word.endswith(clitic) and word.removesuffix(clitic) in forms:
            return True
    return "-" in word and all(_is_known(part, forms) for part in word.split("-"))
