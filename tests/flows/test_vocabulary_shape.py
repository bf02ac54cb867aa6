"""A student's logits under a vocabulary, without a student: any logits end inside it."""

import numpy as np
import pytest

from datagen.constrain import token_automaton
from datagen.measures import unknown_words, words_of
from datagen.surface import story_dfa
from datagen.vocabulary import load_vocabulary
from distill.tokens import read_tokenizer
from flows.constraints import tokenizer_facts
from flows.errors import FlowsError
from flows.telling import forms_asked_for
from flows.vocabulary_shape import VocabularyShape
from tests.tiny_tokenizers import byte_level_json, sentencepiece_json


@pytest.mark.parametrize("kind", ["byte level", "sentencepiece"])
def test_stories_of_wild_logits_are_inside_and_say_the_words(kind: str) -> None:
    text = byte_level_json() if kind == "byte level" else sentencepiece_json()
    tokenizer, vocabulary = read_tokenizer(text), load_vocabulary("age3")
    end_id = tokenizer.get_vocab()["</s>"]
    facts = tokenizer_facts(text, (end_id,))
    required = forms_asked_for(["jump", "boat", "happy"], vocabulary)
    shape = VocabularyShape(
        token_automaton(
            story_dfa(vocabulary),
            facts.token_bytes,
            facts.end_ids,
            strips_space=facts.strips_space,
        ),
        facts,
        required,
        encode=lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        max_new_tokens=200,
    )
    rng = np.random.default_rng(0)
    num_finished = 0
    for _ in range(6):
        ids: list[int] = []
        for _ in range(200):
            wild_V = rng.gumbel(size=len(facts.token_bytes)) * 2
            wild_V[end_id] += 15
            logits_V = shape(ids, wild_V)
            drawn = int(logits_V.argmax())
            assert np.isfinite(logits_V[drawn])
            if drawn == end_id:
                num_finished += 1
                words = words_of(tokenizer.decode(ids))
                assert unknown_words(words, vocabulary) == []
                said = {word.removesuffix("'s") for word in words}
                assert not any(said.isdisjoint(forms) for forms in required)
                break
            ids.append(drawn)
    assert num_finished > 2


def test_words_outside_the_vocabulary_are_refused() -> None:
    with pytest.raises(FlowsError, match=r"--words: expected words of the vocabulary age3"):
        forms_asked_for(["boat", "xylophonic"], load_vocabulary("age3"))
