"""Which texts the automaton of a vocabulary accepts."""

import json
import random
import re
import unicodedata
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.automata import NOWHERE, Dfa
from datagen.errors import VocabularyError
from datagen.measures import unknown_words, words_of
from datagen.surface import MAY_END, story_dfa
from datagen.vocabulary import Vocabulary, load_vocabulary, parse_vocabulary

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
WORDS = """lemma\tpart_of_speech\tforms
boat\tnoun\tboat,boats
Tom\tname\tTom
I\tpronoun\tI
be\tauxiliary\tbe,is,was,am
will\tauxiliary\twill
ice-cream\tnoun\tice-cream
blue\tadjective\tblue
say\tverb\tsaid,say
"""


@cache
def _small() -> Vocabulary:
    return parse_vocabulary("small", "small.tsv", WORDS.encode())


@cache
def _small_dfa() -> Dfa:
    return story_dfa(_small())


def _accepts(dfa: Dfa, text: str) -> bool:
    state = dfa.walk(text.encode())
    return state != NOWHERE and bool(dfa.labels_S[state] & MAY_END)


@pytest.mark.parametrize(
    "text",
    [
        "Tom was blue.",
        "I will say.",
        "Blue boats.\nI won't say.\n\nBoats!",
        '"Is Tom blue?" said Tom.',
        'Tom said, "I\'m Tom." Boats...',
        "\u201cTom\u2019s boat isn\u2019t blue!\u201d Tom said\u2014blue.",
        "Blue boats' ice-cream; Tom - blue?!",
        "Ice-cream's blue.",
        "I say: boat (blue).",
        'Tom said "blue".',
    ],
)
def test_a_story_of_the_vocabularys_words_is_accepted(text: str) -> None:
    assert unknown_words(words_of(text), _small()) == []
    assert _accepts(_small_dfa(), text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Tom was blue",  # no end
        "Tom was green.",
        "tom was blue.",  # a name
        "BLUE boat.",
        "Tom  was blue.",
        "Tom was blue .",
        "Tom,was blue.",
        " Tom was blue.",
        "Tom was blue. ",
        '"Tom was blue.',  # an open quote
        'Tom was blue."',
        "Tom was blue\n.",
        "Ice-boat.",
        "Blue-boat.",  # of forms, and no form
        "Tom-Tom.",
        "Ice-cream-boat.",
        "Tomn't.",
        "Willn't.",
        "Cann't.",
        "Boatblue.",
        "Tom was blue....",
        "Tom was *blue*.",
        "Tom wa",
    ],
)
def test_other_texts_are_not(text: str) -> None:
    assert not _accepts(_small_dfa(), text)


def test_signs_outside_the_vocabulary_are_shut() -> None:
    few = parse_vocabulary("few", "few.tsv", (WORDS + ".\tpunctuation\t.\n").encode())
    dfa = story_dfa(few)
    assert _accepts(dfa, "Tom's boat.")
    for text in ("Tom!", "Blue, boat.", '"Blue."', "Tom\u2019s boat.", "Blue-boat."):
        assert not _accepts(dfa, text)


def test_a_word_joined_by_hyphens_stands_in_the_file() -> None:
    """The independent count is more generous: what it knows and we never write."""
    age5 = load_vocabulary("age5")
    dfa = story_dfa(age5)
    listed = {form for word in age5.words for form in word.forms if len(form) > 1 and "-" in form}
    assert {"hide-and-seek", "cock-a-doodle-doo", "x-ray"} <= listed
    for form in listed:
        for spelling in (form, form.capitalize()):
            assert _accepts(dfa, f"{spelling}.")
    for nonsense in ("brush-unlike", "hide-and-brush", "hide-and-seek-and-hide", "twenty-one"):
        assert unknown_words([nonsense], age5) == []
        assert not _accepts(dfa, f"{nonsense}.")


def _of(*lines: str) -> Vocabulary:
    rows = "\n".join(("lemma\tpart_of_speech\tforms", *lines))
    return parse_vocabulary("made", "made.tsv", rows.encode())


@pytest.mark.parametrize(
    ("line", "inside", "outside"),
    [
        # A final sigma is one letter in small, and so is the capital before 's, but another one.
        (
            "\u03bc\u03ad\u03c1\u03b1\u03c2\tnoun",
            "\u039c\u03ad\u03c1\u03b1\u03c2's.",
            "\u039c\u0388\u03a1\u0391\u03a3.",
        ),
        ("\u0391\u03a3\tname", "\u0391\u03a3.", "\u0391\u03a3's."),
        (
            "\u03c3\u03ba\u03cd\u03bb\u03bf\u03c2\tnoun",
            "\u03a3\u03ba\u03cd\u03bb\u03bf\u03c2.",
            "\u03a3\u03ba\u03cd\u03bb\u03bf\u03c3.",
        ),
        # Turkish: the capital of a dotless i is read back as another letter.
        ("\u0131s\u0131t\tverb", "\u0131s\u0131t.", "Is\u0131t."),
        ("\u00e1rbol\tnoun", "\u00c1rbol.", "\u00c1RBOL."),
        (
            "\u10e5\u10d0\u10da\u10d8\tnoun",
            "\u10e5\u10d0\u10da\u10d8.",
            "\u1ca5\u10d0\u10da\u10d8.",
        ),  # Georgian: no title case
    ],
)
def test_capitals_of_other_alphabets_are_read_back_as_a_form(
    line: str, inside: str, outside: str
) -> None:
    vocabulary = _of(f"{line}\t{line.split(chr(9))[0]}")
    dfa = story_dfa(vocabulary)
    assert _accepts(dfa, inside)
    assert unknown_words(words_of(inside), vocabulary) == []
    assert not _accepts(dfa, outside)


ODD_WORDS = (
    "\u0391\u03a3 name\n\u03bf\u03b4\u03cc\u03c2\n\u03a3\u0391\u03a3-\u03b1\u03c2 name\n"
    "\u0390\u03c3\u03b1\nstra\u00dfe\n\u00e1-la\n\u0131\u015f\u0131k\nisland\niPad noun\n"
    "I\nwould\no'clock\n\u10e5\u10d0\n\u0442\u044b\n3rd\n\u00df\n\u00ff"
)


@given(st.integers(0, 2**32))
def test_a_random_text_of_odd_letters_is_inside(seed: int) -> None:
    vocabulary, dfa = _odd()
    arcs, rng, state, written = dfa.arcs(), random.Random(seed), 0, bytearray()
    while not (dfa.labels_S[state] & MAY_END and (len(written) > 150 or rng.random() < 0.2)):
        byte, state = rng.choice(sorted(arcs[state].items()))
        written.append(byte)
    text = written.decode()
    assert unknown_words(words_of(text), vocabulary) == []
    assert unicodedata.is_normalized("NFC", text)


@cache
def _odd() -> tuple[Vocabulary, Dfa]:
    vocabulary = parse_vocabulary("odd", "odd.txt", ODD_WORDS.encode())
    return vocabulary, story_dfa(vocabulary)


def test_spanish_signs_open_before_a_word() -> None:
    signs = (f"{sign}\tpunctuation\t" for sign in ".,?\u00bf\u00ab\u00bb")
    dfa = story_dfa(_of("ven\tverb\tven", "t\u00fa\tpronoun\tt\u00fa", *signs))
    for inside in (
        "\u00bfVen t\u00fa?",
        "T\u00fa, \u00bfven?",
        "\u00ab\u00bfVen t\u00fa?\u00bb T\u00fa.",
    ):
        assert _accepts(dfa, inside)
    for outside in ("\u00bf Ven?", "\u00bf\u00bfVen?", "Ven\u00bf", "Ven \u00bf.", "\u00abVen."):
        assert not _accepts(dfa, outside)


@pytest.mark.parametrize(
    ("lines", "lacks"),
    [
        (("boat\tnoun\tboat", ",\tpunctuation\t"), r"ends a sentence \(\. ! \?\)"),
        ((".\tpunctuation\t",), "a word"),
    ],
)
def test_a_vocabulary_without_a_story_is_blamed_and_not_the_tokenizer(
    lines: tuple[str, ...], lacks: str
) -> None:
    with pytest.raises(VocabularyError, match=f"^vocabulary made: expected .*{lacks}.* found none"):
        story_dfa(_of(*lines))


def test_real_stories_are_accepted_by_a_vocabulary_of_their_words() -> None:
    path = DATA / "tinystories" / "stories.jsonl"
    if not path.exists():
        pytest.skip(f"no {path}")
    lines = path.read_text(encoding="utf-8").splitlines()
    texts = [re.sub(r" +\n", "\n", json.loads(line)["text"].strip()) for line in lines]
    words = {word for text in texts for word in words_of(text) if re.fullmatch("[a-z]+", word)}
    rows = "".join(f"{word}\tother\t{word}\n" for word in sorted(words))
    made = parse_vocabulary("made", "made", f"lemma\tpart_of_speech\tforms\n{rows}".encode())
    dfa = story_dfa(made)
    inside = [text for text in texts if not unknown_words(words_of(text), made)]
    accepted = Counter(_accepts(dfa, text) for text in inside)
    # The others: capitals ("OK"), single quotes, marks beside a closing quote, double spaces,
    # quotes that are never closed.
    assert accepted[True] > 0.88 * len(inside) > 1400
