"""Which texts are held out from training.

A text's required words alone decide, so every night and machine agree and all stories of one word
triple fall on the same side. The salt is constant and shares grow from the same end: what is held
out at 2 % is held out at 20 % as well.
"""

import re
import unicodedata
from collections.abc import Collection

from warehouse.identity import digest

_SALT = "stillhouse held-out split 1"
_HEX_DIGITS = 13
_WORD = re.compile(r"\w+")


def split_digest(words: Collection[str]) -> str:
    """32 hex characters of words, whatever their order and case; ValueError if there are none."""
    if not words:
        raise ValueError(
            "split_digest: expected at least one word, found none; "
            "use text_split_digest for text that no words ordered"
        )
    return digest(_SALT, "words", sorted(word.lower() for word in words))


def text_split_digest(text: str) -> str:
    """32 hex characters of a text's words, whatever their case, the spaces and punctuation."""
    return digest(_SALT, "text", _WORD.findall(unicodedata.normalize("NFC", text).casefold()))


def is_held_out(split_digest: str, share: float) -> bool:
    """Whether a text of that digest is held out when `share` of all texts are.

    ValueError unless share is from 0 to 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share of held-out texts: expected 0 to 1, found {share}")
    place = int(split_digest[:_HEX_DIGITS], 16)
    return place < share * float(1 << 4 * _HEX_DIGITS)
