"""The automaton of allowed stories over token ids: what it lets through; and how it is kept."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from datagen.automata import NOWHERE, Graph, determinise, minimise
from datagen.automaton_cache import TokenizerFacts, load_automaton
from datagen.constrain import TokenAutomaton, token_automaton
from datagen.errors import DatagenError
from datagen.measures import unknown_words, words_of
from datagen.surface import story_dfa
from datagen.vocabulary import load_vocabulary, parse_vocabulary
from flows.constraints import tokenizer_facts
from tests.tiny_tokenizers import byte_level_json, sentencepiece_json, stories

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), max_size=12), st.data())
def test_a_small_automaton_accepts_what_the_graph_accepts(
    pairs: list[tuple[str, str]], data: st.DataObject
) -> None:
    texts = {first + second * times for times, (first, second) in enumerate(pairs)}
    graph = Graph()
    end = graph.state(1)
    graph.jump(0, graph.add_trie(dict.fromkeys(texts, end)) if texts else end)
    graph.arc(end, "c", end)
    whole = determinise(graph)
    small = minimise(whole)
    assert len(small.labels_S) <= len(whole.labels_S)
    text = data.draw(st.text("abc", max_size=14))
    base = text.rstrip("c")
    accepted = any(base + "c" * n in (texts or {""}) for n in range(len(text) - len(base) + 1))
    for dfa in (whole, small):
        state = dfa.walk(text.encode())
        assert (state != NOWHERE and bool(dfa.labels_S[state] & 1)) == accepted


@cache
def _facts(name: str) -> tuple[str, TokenizerFacts]:
    if name == "stories260k":
        path = DATA / "stories260k" / "tokenizer.json"
        if not path.exists():
            pytest.skip(f"no {path}")
        text, end = path.read_text(encoding="utf-8"), 1
    else:
        text = byte_level_json() if name == "byte level" else sentencepiece_json()
        end = Tokenizer.from_str(text).get_vocab()["</s>"]
    return text, tokenizer_facts(text, (end,))


@cache
def _automaton(name: str) -> TokenAutomaton:
    facts = _facts(name)[1]
    dfa = story_dfa(load_vocabulary("age3"))
    return token_automaton(dfa, facts.token_bytes, facts.end_ids, strips_space=facts.strips_space)


TOKENIZERS = pytest.mark.parametrize("name", ["byte level", "sentencepiece", "stories260k"])


@TOKENIZERS
def test_a_random_walk_to_the_end_is_inside_the_vocabulary(name: str) -> None:
    text, facts = _facts(name)
    automaton, tokenizer = _automaton(name), Tokenizer.from_str(text)
    vocabulary, rng = load_vocabulary("age3"), np.random.default_rng(0)
    for _ in range(30):
        ids: list[int] = []
        state = automaton.start
        while True:
            row, next_states = automaton.row(state)
            place = int(rng.integers(len(row)))
            if len(ids) > 60 and facts.end_ids[0] in row:
                place = int(np.flatnonzero(row == facts.end_ids[0])[0])
            state = int(next_states[place])
            if state == automaton.finished:
                break
            ids.append(int(row[place]))
        story = tokenizer.decode(ids)
        assert unknown_words(words_of(story), vocabulary) == []
        assert re.search(r"[.!?][\"\u201d)]?$", story)


@TOKENIZERS
def test_every_state_leads_to_the_end(name: str) -> None:
    automaton = _automaton(name)
    targets = [set(automaton.row(state)[1].tolist()) for state in range(automaton.num_states)]
    ending = {automaton.finished}
    while more := {s for s, to in enumerate(targets) if s not in ending and to & ending}:
        ending |= more
    reached, waiting = {automaton.start}, [automaton.start]
    while waiting:
        fresh = targets[waiting.pop()] - reached
        reached |= fresh
        waiting += fresh
    assert reached <= ending
    assert len(reached) > 1000


@TOKENIZERS
def test_each_allowed_id_leads_where_its_bytes_lead(name: str) -> None:
    automaton, facts = _automaton(name), _facts(name)[1]
    rng = np.random.default_rng(1)
    for state in rng.integers(automaton.num_states - 1, size=40).tolist():
        allowed = dict(zip(*(part.tolist() for part in automaton.row(state)), strict=True))
        for id_, data in enumerate(facts.token_bytes):
            if id_ not in facts.end_ids:
                expected = automaton.dfa.walk(data, state) if data else NOWHERE
                assert allowed.get(id_, NOWHERE) == expected


@TOKENIZERS
def test_the_tokenizers_own_ids_of_a_story_are_allowed(name: str) -> None:
    text, facts = _facts(name)
    automaton, tokenizer = _automaton(name), Tokenizer.from_str(text)
    vocabulary = load_vocabulary("age3")
    inside = [s for s in stories()[:60] if not unknown_words(words_of(s), vocabulary)]
    assert len(inside) > 20
    for story in inside:
        state = automaton.start
        for id_ in [*tokenizer.encode(story, add_special_tokens=False).ids, facts.end_ids[0]]:
            row, next_states = automaton.row(state)
            assert id_ in row, (story, id_)
            state = int(next_states[np.flatnonzero(row == id_)[0]])
        assert state == automaton.finished


def test_an_opening_is_walked_and_one_outside_is_refused() -> None:
    automaton = _automaton("byte level")
    assert automaton.after("") == automaton.start
    assert automaton.after("Once upon a time") != automaton.start
    with pytest.raises(DatagenError, match=r"opening inside the vocabulary.*xylophonic"):
        automaton.after("Once xylophonic")


def test_an_automaton_is_built_once_and_a_broken_file_again(tmp_path: Path) -> None:
    small = parse_vocabulary("small", "small.txt", b"Tom name\nsays\nblue")
    facts = _facts("byte level")[1]
    said: list[str] = []
    first = load_automaton(small, facts, tmp_path, said.append)
    assert len(said) == 1
    assert "states over" in said[0]
    _assert_same(load_automaton(small, facts, tmp_path, said.append), first)
    assert len(said) == 1
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for broken in (whole[:-3], b"", whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]):
        file.write_bytes(broken)
        _assert_same(load_automaton(small, facts, tmp_path, said.append), first)
        assert file.read_bytes() == whole
    assert len(said) == 4
    load_automaton(load_vocabulary("age3"), facts, tmp_path, said.append)
    assert len(list(tmp_path.iterdir())) == 2


def _assert_same(found: TokenAutomaton, expected: TokenAutomaton) -> None:
    for state in range(expected.num_states):
        for part, other in zip(found.row(state), expected.row(state), strict=True):
            np.testing.assert_array_equal(part, other)
    assert found.start == expected.start
