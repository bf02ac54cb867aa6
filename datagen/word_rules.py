"""What one entry of a vocabulary may look like, so that it means the same in a prompt, in SQL, in a
path and in the measures.

A word is letters with single inner apostrophes or hyphens, at most 40 characters; names, numbers
and others may hold digits. Letters are those of any alphabet in Unicode's composed form (NFC), as
datagen.measures finds them in texts; look-alikes (full-width, mathematical, two alphabets in one
word), marks of direction and control characters are refused, as no text would match them.
"""

import re
import unicodedata

from datagen.errors import VocabularyError
from datagen.words import PartOfSpeech

MAX_LENGTH = 40
MAX_WEIGHT = 100
_ASCII_WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")
_ASCII_FORMS = re.compile(rf"{_ASCII_WORD.pattern}(?:,{_ASCII_WORD.pattern})*")
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_TOPIC = re.compile(r"[^\W_]+(?:[_-][^\W_]+)*")
_WITH_DIGITS = (PartOfSpeech.NAME, PartOfSpeech.NUMBER, PartOfSpeech.OTHER)
STRAIGHT = str.maketrans({"\u2018": "'", "\u2019": "'", "\u02bc": "'"})
_ALPHABETS = ("LATIN", "GREEK", "CYRILLIC")  # whose letters look alike


def checked_word(place: str, text: str, part_of_speech: PartOfSpeech) -> str:
    """The word in its composed form with straight apostrophes; VocabularyError if it is none."""
    if _ASCII_WORD.fullmatch(text) and len(text) <= MAX_LENGTH:
        return text
    has_digits = part_of_speech in _WITH_DIGITS
    word = unicodedata.normalize("NFC", text.translate(STRAIGHT))
    if not _is_word(word, has_digits):
        what = "letters and digits" if has_digits else "the letters a to z or of another alphabet"
        raise VocabularyError(
            f"{place}: expected words of {what} with inner apostrophes or hyphens, at most "
            f"{MAX_LENGTH} characters, found {shown(text)}"
        )
    return word


def is_word(text: str, part_of_speech: PartOfSpeech) -> bool:
    """Whether checked_word passes the text as it is."""
    return _is_word(text, part_of_speech in _WITH_DIGITS)


def checked_forms(place: str, cell: str, part_of_speech: PartOfSpeech) -> tuple[str, ...]:
    """The words of a comma-separated cell, checked as checked_word does."""
    forms = cell.split(",")
    if len(cell) <= MAX_LENGTH and _ASCII_FORMS.fullmatch(cell):
        return tuple(forms)
    return tuple(checked_word(place, form.strip(), part_of_speech) for form in forms)


def checked_sign(place: str, lemma: str, forms: str) -> str:
    """The single sign that a line of punctuation names; VocabularyError if it is none."""
    if not is_sign(lemma) or forms not in ("", lemma):
        found = lemma if not is_sign(lemma) else forms
        raise VocabularyError(
            f"{place}: expected a single sign as punctuation, and no other form of it, "
            f"found {shown(found)}; write each sign on a line of its own"
        )
    return lemma


def is_sign(text: str) -> bool:
    """True for one character that is punctuation or a symbol."""
    return len(text) == 1 and unicodedata.category(text)[0] in "PS"


def checked_weight(place: str, cell: str) -> int:
    """The weight; 1 for an empty cell. VocabularyError if it is none."""
    if not cell:
        return 1
    if not re.fullmatch(r"[0-9]{1,3}", cell) or not 1 <= int(cell) <= MAX_WEIGHT:
        raise VocabularyError(
            f"{place}: expected a weight, a whole number from 1 to {MAX_WEIGHT}, "
            f"found {shown(cell)}"
        )
    return int(cell)


def checked_topic(place: str, cell: str) -> str | None:
    """The topic in lower case; None for an empty cell. VocabularyError if it is none."""
    if not cell:
        return None
    topic = unicodedata.normalize("NFC", cell).lower()
    if len(topic) > MAX_LENGTH or not _TOPIC.fullmatch(topic):
        raise VocabularyError(
            f"{place}: expected a topic of one word, of letters and digits with inner hyphens or "
            f"underscores, at most {MAX_LENGTH} characters, found {shown(cell)}"
        )
    return topic


def shown(text: str) -> str:
    """The text as errors quote it: short, and nothing that a terminal would act on."""
    return repr(text if len(text) <= 2 * MAX_LENGTH else text[: 2 * MAX_LENGTH] + "...")


def _is_word(word: str, has_digits: bool) -> bool:
    if len(word) > MAX_LENGTH or not (_WORD.fullmatch(word) and _WORD.fullmatch(word.lower())):
        return False
    letters = [sign for sign in word if sign not in "'-"]
    allowed = (sign.isalpha() or (has_digits and sign in "0123456789") for sign in letters)
    alphabets = {unicodedata.name(sign, "").split(" ")[0] for sign in letters}
    return (
        all(allowed)
        and unicodedata.normalize("NFKC", word) == word
        and len(alphabets & set(_ALPHABETS)) < 2
    )
