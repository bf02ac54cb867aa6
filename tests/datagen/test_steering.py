"""In which letters missing words are drawn into a story."""

from functools import cache

import numpy as np
import pytest

from datagen.automaton_cache import TokenizerFacts
from datagen.constrain import TokenAutomaton, token_automaton
from datagen.engines.steering import Speller
from datagen.measures import unknown_words, words_of
from datagen.surface import story_dfa
from datagen.vocabulary import PartOfSpeech, Vocabulary, load_vocabulary, parse_vocabulary
from distill.tokens import read_tokenizer
from flows.constraints import tokenizer_facts
from flows.vocabulary_shape import VocabularyShape
from tests.tiny_tokenizers import byte_level_json

WORDS = "iPad noun\nTV\nMcDonald name\nTom name\nboat noun\na\nis\no'clock\n.\n'\n\u2019"
TOKENIZER = read_tokenizer(byte_level_json())
END_ID = TOKENIZER.get_vocab()["</s>"]


def _own() -> Vocabulary:
    return parse_vocabulary("own", "own.txt", WORDS.encode())


def _facts() -> TokenizerFacts:
    return tokenizer_facts(byte_level_json(), (END_ID,))


@cache
def _automaton(name: str) -> TokenAutomaton:
    facts = _facts()
    dfa = story_dfa(_own() if name == "own" else load_vocabulary(name))
    return token_automaton(dfa, facts.token_bytes, facts.end_ids, strips_space=False)


def _encode(text: str) -> list[int]:
    return list(TOKENIZER.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize(
    ("form", "ways"),
    [
        ("boat", {"boat", "Boat"}),
        ("boats", {"boats", "Boats"}),
        ("ipad", {"iPad", "IPad"}),
        ("ipads", {"iPads", "IPads"}),
        ("tv", {"TV"}),
        ("mcdonald", {"McDonald"}),
        ("tom", {"Tom"}),
        ("o'clock", {"o'clock", "O'clock", "o\u2019clock", "O\u2019clock"}),
        ("boa", set()),
        ("xylophone", set()),
    ],
)
def test_a_form_is_written_as_the_file_lists_it_or_with_a_capital(
    form: str, ways: set[str]
) -> None:
    assert set(_automaton("own").spellings(form)) == ways


def test_only_ids_that_can_write_a_form_are_favoured() -> None:
    """Not those of JUMP, which no story may hold: what is favoured would be other words."""
    automaton, facts = _automaton("age3"), _facts()
    columns = {id_: id_ for id_ in automaton.ids_U.tolist()}
    speller = Speller(_encode, columns, automaton.spellings, adds_space=False)
    vocabulary = load_vocabulary("age3")
    for form in sorted(vocabulary.forms)[::40]:
        spellings = speller.spellings(form)
        assert spellings
        for spelling in spellings:
            written = b"".join(facts.token_bytes[id_] for id_ in spelling.columns).decode()
            assert spelling.has_space == written.startswith(" ")
            assert written.strip().lower().replace("\u2019", "'") == form
            story = f"A{written}." if spelling.has_space else f"{written}."
            assert automaton.dfa.walk(story.encode()) >= 0


def test_a_word_with_capitals_inside_is_drawn_in() -> None:
    vocabulary = _own()
    required = (vocabulary.forms_of("iPad", PartOfSpeech.NOUN),)
    shape = VocabularyShape(
        _automaton("own"), _facts(), required, encode=_encode, max_new_tokens=80
    )
    rng = np.random.default_rng(0)
    ids: list[int] = []
    while not ids or ids[-1] != END_ID:
        wild_V = rng.gumbel(size=len(_facts().token_bytes))
        wild_V[END_ID] += 5
        ids.append(int(shape(ids, wild_V).argmax()))
    story = TOKENIZER.decode(ids[:-1])
    assert unknown_words(words_of(story), vocabulary) == []
    assert "Pad" in story
