"""Which texts stand inside a vocabulary: an automaton over their UTF-8 bytes.

Words: the forms as they are spelled in the file, lower-case ones also with a capital first letter;
's and the contractions that measures.unknown_words knows, with a straight or a curly apostrophe.
So every text that the automaton accepts holds no unknown word. (measures also knows "drumn't",
"drum'm" and "unlike-brush", any forms joined by hyphens: never written here. A hyphenated word is
one that the file lists: of 300,000 words of real stories 68 are joined of age5's forms otherwise,
a third of them "ice-cream", and none is a number.)

Signs: only the vocabulary's. One space between words, none before a sign; quotes and brackets open
before a word and are closed, Spanish marks open before one; a line or a paragraph ends where a
sentence does. A story ends after . ! or ?, outside quotes.

The words' automaton is made small first, then copied for each kind of quote that may be open, so
that 10,000 forms need some ten thousand states and not a million.
"""

from dataclasses import dataclass

from datagen.automata import Dfa, Graph, determinise, minimise
from datagen.errors import VocabularyError
from datagen.measures import IRREGULAR_NEGATIONS, words_of
from datagen.vocabulary import Vocabulary

# Raise when the texts that one vocabulary allows change: automata on disk are built again.
SURFACE_VERSION = 2

# Bits of a state's label.
MAY_END = 1  # the story may end here
MAY_BEGIN_WORD = 2  # the next letter begins a word
_IS_WORD = 4
_IS_PLURAL = 8

_PAIRS = (('"', '"'), ("\u201c", "\u201d"), ("\u00ab", "\u00bb"), ("(", ")"))
_OPENING_MARKS = "\u00a1\u00bf"  # of a Spanish exclamation and question
_DASHES = ("\u2013", "\u2014")
_CURLY = "\u2019"
_ELLIPSIS = "\u2026"
_CLITICS = ("s", "ll", "re", "ve", "d")
_TAKE_NOT = frozenset(
    "are could did do does had has have is might must need ought should was were would".split()
)
_MAX_MARKS = 3  # "Wow!!!"


def story_dfa(vocabulary: Vocabulary) -> Dfa:
    """The smallest automaton of the stories that the vocabulary allows; labels are MAY_END and
    MAY_BEGIN_WORD. VocabularyError if it allows none.
    """
    check_allows_stories(vocabulary)
    return minimise(determinise(_Stories(_word_dfa(vocabulary), vocabulary.punctuation).graph))


def check_allows_stories(vocabulary: Vocabulary) -> None:
    """Pass if a story can be written in the vocabulary; VocabularyError says what it lacks."""
    lacks = (
        "a sign that ends a sentence (. ! ?), which a story must end with"
        if vocabulary.punctuation.isdisjoint(".!?")
        else "a word beside its signs"
        if not vocabulary.forms
        else ""
    )
    if lacks:
        raise VocabularyError(
            f"vocabulary {vocabulary.name}: expected {lacks}, found none; add one to its file, or "
            "set sampling.constrain=false"
        )


def _word_dfa(vocabulary: Vocabulary) -> Dfa:
    words = _Words(_apostrophes(vocabulary.punctuation))
    forms = _forms(vocabulary)
    capitalised = {form[:1].title() + form[1:] for form in forms}
    words.allow(forms | {form for form in capitalised if _is_spelling(form, vocabulary)})
    return minimise(determinise(words.graph))


def _forms(vocabulary: Vocabulary) -> set[str]:
    forms = {
        form for word in vocabulary.words for form in word.forms if _is_spelling(form, vocabulary)
    }
    return forms | {
        negation for negation, verb in IRREGULAR_NEGATIONS.items() if verb in vocabulary.forms
    }


def _is_spelling(text: str, vocabulary: Vocabulary) -> bool:
    """Whether the independent count finds one word in it, and knows it (a sign is none)."""
    word = text.lower()
    known = word in vocabulary.forms or IRREGULAR_NEGATIONS.get(word) in vocabulary.forms
    return known and words_of(text) == [word]


def _apostrophes(signs: frozenset[str]) -> tuple[str, ...]:
    return ("'", _CURLY) if _CURLY in signs else ("'",)


class _Words:
    """The graph of words; every end of a form knows what may still be joined to it."""

    def __init__(self, apostrophes: tuple[str, ...]) -> None:
        self.graph = Graph()
        self._apostrophes = apostrophes
        self._closed = self.graph.state(_IS_WORD)
        self._ends: dict[tuple[tuple[str, ...], bool], int] = {}

    def allow(self, forms: set[str]) -> None:
        """The forms, alone or with what is joined to them."""
        lines = {line: self._end_of(form) for form in forms for line in self._spellings(form)}
        self.graph.jump(0, self.graph.add_trie(lines))

    def _spellings(self, form: str) -> set[str]:
        return {form.replace("'", apostrophe) for apostrophe in self._apostrophes}

    def _end_of(self, form: str) -> int:
        key = (_contractions(form), form.lower().endswith("s"))
        if key not in self._ends:
            self._ends[key] = self._end(*key)
        return self._ends[key]

    def _end(self, contractions: tuple[str, ...], is_plural: bool) -> int:
        end = self.graph.state(_IS_WORD | (_IS_PLURAL if is_plural else 0))
        for contraction in contractions:
            for spelling in self._spellings(contraction):
                self.graph.arc(end, spelling, self._closed)
        return end


def _contractions(form: str) -> tuple[str, ...]:
    """What may be joined to a form, less what changes its last letter: a Greek capital sigma has
    one small letter at the end of a word and another inside.
    """
    word = form.lower()
    if word in IRREGULAR_NEGATIONS:
        return ()
    clitics = (*_CLITICS, "m") if word == "i" else _CLITICS
    joined = (*(f"'{clitic}" for clitic in clitics), *(["n't"] if word in _TAKE_NOT else []))
    return tuple(each for each in joined if (form + each).lower() == word + each)


@dataclass(frozen=True, slots=True)
class _Place:
    """States of the text outside quotes, or inside one kind of them."""

    word: int
    after_word: int
    after_comma: int
    ended: int
    space: int


class _Stories:
    """The graph of stories: words and signs, outside quotes and inside each kind."""

    def __init__(self, words: Dfa, signs: frozenset[str]) -> None:
        self.graph = Graph()
        self._words = words
        self._signs = signs
        outside = self._place()
        self.graph.jump(outside.ended, self.graph.state(MAY_END))
        begin = self._line_ends(outside)
        self.graph.jump(0, begin)
        for opening, closing in _PAIRS:
            if {opening, closing} <= signs:
                inside = self._place()
                for source in (outside.space, begin):
                    self.graph.arc(source, opening, inside.word)
                self._close(inside, outside, closing)

    def _place(self) -> _Place:
        graph, signs = self.graph, self._signs
        word = graph.state(MAY_BEGIN_WORD)
        place = _Place(word, *(graph.state() for _ in range(4)))
        words = self._add_words(place)
        for sign in sorted(signs & set(_OPENING_MARKS)):
            opened = graph.state(MAY_BEGIN_WORD)
            graph.jump(opened, words)
            graph.arc(word, sign, opened)
        graph.jump(place.space, word)
        for source in (place.after_word, place.after_comma, place.ended):
            graph.arc(source, " ", place.space)
        for sign in sorted(signs & set(",;:")):
            graph.arc(place.after_word, sign, place.after_comma)
        self._add_marks(place)
        self._add_dashes(place)
        return place

    def _add_words(self, place: _Place) -> int:
        """A copy of the words; where they begin."""
        graph = self.graph
        offset = graph.add(self._words)
        graph.jump(place.word, offset)
        for state, label in enumerate(self._words.labels_S.tolist()):
            if label & _IS_WORD:
                graph.jump(offset + state, place.after_word)
            if label & _IS_PLURAL:
                for apostrophe in _apostrophes(self._signs):
                    graph.arc(offset + state, apostrophe, place.after_word)
        return offset

    def _add_marks(self, place: _Place) -> None:
        """Full stops, one or three; ! and ? up to three; an ellipsis, which ends no story."""
        graph, signs = self.graph, self._signs
        if "." in signs:
            graph.arc(place.after_word, ".", place.ended)
            graph.arc(place.after_word, "...", place.ended)
        if _ELLIPSIS in signs:
            graph.arc(place.after_word, _ELLIPSIS, place.after_comma)
        source = place.after_word
        for _ in range(_MAX_MARKS):
            marked = graph.state()
            graph.jump(marked, place.ended)
            for sign in sorted(signs & set("!?")):
                graph.arc(source, sign, marked)
            source = marked

    def _add_dashes(self, place: _Place) -> None:
        """A dash, or two hyphens, between words with or without spaces; one hyphen with both."""
        graph, signs = self.graph, self._signs
        dashes = sorted(signs & set(_DASHES))
        if "-" in signs:
            dashes.append("--")
            graph.arc(place.after_word, " - ", place.word)
        for dash in dashes:
            for spaced in (dash, f"{dash} ", f" {dash} "):
                graph.arc(place.after_word, spaced, place.word)

    def _line_ends(self, outside: _Place) -> int:
        """One or two line ends after a sentence or a colon; the state where a line begins."""
        graph = self.graph
        begin, first = graph.state(), graph.state()
        graph.jump(begin, outside.word)
        graph.jump(first, begin)
        graph.arc(outside.ended, "\n", first)
        graph.arc(first, "\n", begin)
        if ":" in self._signs:
            graph.arc(outside.after_word, ":\n", first)
        return begin

    def _close(self, inside: _Place, outside: _Place, closing: str) -> None:
        graph = self.graph
        graph.arc(inside.after_word, closing, outside.after_word)
        graph.arc(inside.after_comma, closing, outside.after_word)
        graph.arc(inside.ended, closing, outside.ended)
