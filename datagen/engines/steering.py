"""Required words, drawn into a story that is being written.

While a word is missing, the ids that begin or continue one of its forms gain nats, more with every
token; the form still stands where the teacher finds it likeliest. The story's end is withheld while
a word is missing. What was written is judged by datagen.verdict all the same.

The work of a step is a short loop over the rows; nothing here loops over ids.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from datagen.measures import words_of

# The last tokens, in which a story may end although a word is missing: it is lost either way.
_GIVE_UP_TOKENS = 8
_JOINS = "'\u2019\u2018\u02bc-"


@dataclass(frozen=True, slots=True)
class Spelling:
    """A form as columns; one that has no space of its own stands only where a word may begin."""

    columns: tuple[int, ...]
    has_space: bool


class Speller:
    """Spells forms in columns, as the tokenizer would, in each way that stories may write them;
    each form once.
    """

    def __init__(
        self,
        encode: Callable[[str], Sequence[int]],
        columns: Mapping[int, int],
        ways_of: Callable[[str], Sequence[str]],
        *,
        adds_space: bool,
    ) -> None:
        """ways_of: how a lower-case form may be written, as TokenAutomaton.spellings. adds_space:
        the tokenizer puts a space before any text, as SentencePiece does.
        """
        self._encode = encode
        self._columns = columns
        self._ways_of = ways_of
        self._adds_space = adds_space
        self._known: dict[str, tuple[Spelling, ...]] = {}

    def spellings(self, form: str) -> tuple[Spelling, ...]:
        """The form after a space, and at the beginning of a line or a quote; those of them that the
        columns can spell.
        """
        if form not in self._known:
            self._known[form] = tuple(self._spell(form))
        return self._known[form]

    def _spell(self, form: str) -> list[Spelling]:
        ways = self._ways_of(form)
        if self._adds_space:
            texts = [(way, True) for way in ways]
        else:
            texts = [(f" {way}", True) for way in ways] + [(way, False) for way in ways]
        found = []
        for text, has_space in texts:
            ids = self._encode(text)
            if ids and all(id_ in self._columns for id_ in ids):
                found.append(Spelling(tuple(self._columns[id_] for id_ in ids), has_space))
        return found


@dataclass(slots=True)
class Wanted:
    """What one row still has to say. tail: what it has written since its last whole word."""

    missing: list[frozenset[str]]
    spellings: list[Spelling]
    tail: bytes = b""
    begun: list[tuple[int, ...]] = field(default_factory=list)

    def says(self, written: bytes) -> bool:
        """Take in what was written; whether it made a missing word whole."""
        self.tail += written
        text = self.tail.decode("utf-8", "ignore")
        whole = text.rstrip(_JOINS).rstrip() if text[-1:] in _JOINS else text
        words = words_of(whole)
        if whole and (whole[-1].isalnum() or whole != text):
            words = words[:-1]
        if not words:
            return False
        self.tail = self._from_last_word(text)
        present = {word.removesuffix("'s") for word in words}
        still = [forms for forms in self.missing if present.isdisjoint(forms)]
        is_said, self.missing = len(still) < len(self.missing), still
        return is_said

    def _from_last_word(self, text: str) -> bytes:
        start = len(text)
        while start and (text[start - 1].isalnum() or text[start - 1] in _JOINS):
            start -= 1
        return self.tail[len(text[:start].encode()) :]


@dataclass(frozen=True, slots=True)
class Steering:
    """How strongly missing words are drawn in: `nats` at the soft limit, in proportion to the
    tokens before and after it.
    """

    speller: Speller
    nats: float
    soft_limit_tokens: int
    max_new_tokens: int

    def begin(self, required: Sequence[frozenset[str]], opening: str) -> Wanted:
        """What a row wants after its opening."""
        wanted = Wanted(list(required), [])
        wanted.says(opening.encode())
        wanted.spellings = self._spellings(wanted)
        return wanted

    def bonus(self, step: int) -> float:
        """Nats for a missing word's ids when `step` tokens have been written."""
        return self.nats * (step + 1) / max(self.soft_limit_tokens, 1)

    def withholds_end(self, wanted: Wanted, step: int) -> bool:
        """Whether the row may not end yet."""
        return bool(wanted.missing) and step < self.max_new_tokens - _GIVE_UP_TOKENS

    def favoured(self, wanted: Wanted, *, may_begin_word: bool) -> set[int]:
        """The columns that begin a missing word here, or continue one that was begun."""
        found = {columns[0] for columns in wanted.begun}
        for spelling in wanted.spellings:
            if spelling.has_space or may_begin_word:
                found.add(spelling.columns[0])
        return found

    def hear(self, wanted: Wanted, column: int, written: bytes) -> None:
        """Take in the row's next column and its bytes."""
        if not wanted.missing:
            return
        begun = [columns[1:] for columns in wanted.begun if columns[0] == column]
        begun += [s.columns[1:] for s in wanted.spellings if s.columns[0] == column]
        wanted.begun = [columns for columns in begun if columns]
        if wanted.says(written):
            wanted.spellings = self._spellings(wanted)
            wanted.begun = []

    def _spellings(self, wanted: Wanted) -> list[Spelling]:
        return [
            spelling
            for forms in wanted.missing
            for form in sorted(forms)
            for spelling in self.speller.spellings(form)
        ]
