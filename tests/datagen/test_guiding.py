"""The engine under a vocabulary: the automaton's mask, the cut last layer, and words drawn in.

The model is a Llama of random weights over a real tokenizer: it would write no word at all.
"""

import copy
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from datagen.config import SamplingConfig
from datagen.constrain import TokenAutomaton, token_automaton
from datagen.engines.base import Completion, Request
from datagen.engines.guiding import Constraint
from datagen.engines.masking import TokenMask, narrowed
from datagen.engines.steering import Speller, Steering
from datagen.engines.transformers_engine import TransformersEngine
from datagen.errors import DatagenError, EngineError
from datagen.measures import unknown_words, words_of
from datagen.surface import story_dfa
from datagen.vocabulary import load_vocabulary
from flows.constraints import tokenizer_facts
from tests.datagen.tiny_llama import _one_thread, random_llama
from tests.tiny_tokenizers import byte_level_json

__all__ = ["_one_thread"]

VOCAB_SIZE = 512
REQUIRED = (frozenset({"jump", "jumped"}), frozenset({"boat", "boats"}), frozenset({"happy"}))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(byte_level_json(VOCAB_SIZE))
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")


@pytest.fixture(scope="module")
def automaton(tokenizer: PreTrainedTokenizerFast) -> TokenAutomaton:
    facts = tokenizer_facts(byte_level_json(VOCAB_SIZE), (tokenizer.eos_token_id,))
    dfa = story_dfa(load_vocabulary("age3"))
    return token_automaton(dfa, facts.token_bytes, facts.end_ids, strips_space=False)


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    # The head is padded, as real ones are.
    return random_llama(VOCAB_SIZE + 8, num_positions=512, spread=0.1)


@pytest.fixture(scope="module")
def engine(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, automaton: TokenAutomaton
) -> TransformersEngine:
    facts = tokenizer_facts(byte_level_json(VOCAB_SIZE), (tokenizer.eos_token_id,))

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    constraint = Constraint.of(automaton, facts.token_bytes, facts.end_ids, model, encode)
    return TransformersEngine(model, tokenizer, lambda _: [0], facts.end_ids, 8, constraint)


def _sampling(**changes: float) -> SamplingConfig:
    values = {"temperature": 1.0, "top_k": 40, "max_new_tokens": 120, "soft_limit_tokens": 40}
    more = {"max_attempts": 1, "seed": 0, "constrain": True, "steer": 0}
    return SamplingConfig.model_validate({**values, **more, **changes})


def _write(
    engine: TransformersEngine, required: Sequence[frozenset[str]] = (), **changes: float
) -> list[Completion]:
    requests = [Request("", "", seed, tuple(required)) for seed in range(12)]
    return engine.write(requests, _sampling(**changes), lambda _: None)


def test_finished_stories_of_a_wild_model_are_inside_the_vocabulary(
    engine: TransformersEngine,
) -> None:
    vocabulary = load_vocabulary("age3")
    written = _write(engine, soft_limit_tokens=10, max_new_tokens=200)
    finished = [done.text for done in written if done.is_finished]
    assert len(finished) > 5
    assert all(unknown_words(words_of(text), vocabulary) == [] for text in finished)
    assert all(text.rstrip('"\u201d)')[-1] in ".!?" for text in finished)
    free = _write(engine, constrain=False)
    assert any(unknown_words(words_of(done.text), vocabulary) for done in free)


def test_a_row_is_the_same_alone_and_beside_others(engine: TransformersEngine) -> None:
    model64 = copy.deepcopy(engine.model).double()
    constraint = engine.constraint
    assert constraint is not None
    wide = TransformersEngine(
        model64,
        engine.tokenizer,
        engine.encode,
        engine.end_ids,
        20,
        Constraint(
            constraint.automaton,
            constraint.mask,
            narrowed(model64, constraint.ids_U),
            constraint.ids_U,
            constraint.end_columns,
            constraint.bytes_U,
            constraint.speller,
        ),
    )
    alone = TransformersEngine(
        model64, engine.tokenizer, engine.encode, engine.end_ids, 1, wide.constraint
    )
    assert _write(wide, REQUIRED, steer=4) == _write(alone, REQUIRED, steer=4)


def test_the_cut_layers_logits_are_the_whole_ones(
    engine: TransformersEngine, automaton: TokenAutomaton
) -> None:
    constraint = engine.constraint
    assert constraint is not None
    ids_BT = torch.tensor([[0, 5, 9], [0, 7, 300]])
    with torch.inference_mode():
        whole = engine.model(ids_BT).logits[..., torch.from_numpy(automaton.ids_U).long()]
        cut = constraint.model(ids_BT).logits
    torch.testing.assert_close(cut, whole, rtol=1e-5, atol=1e-5)
    assert engine.model.get_output_embeddings().weight.shape[0] == VOCAB_SIZE + 8


def test_the_mask_is_the_automatons_rows(automaton: TokenAutomaton) -> None:
    mask = TokenMask.of(automaton, torch.device("cpu"))
    states = np.random.default_rng(0).integers(automaton.num_states, size=200)
    logits_BU = torch.zeros(len(states), len(automaton.ids_U))
    states_B = torch.from_numpy(states)
    mask.shut(logits_BU, states_B)
    for state, logits_U in zip(states.tolist(), logits_BU, strict=True):
        ids, next_states = automaton.row(state)
        open_columns = torch.nonzero(logits_U == 0)[:, 0]
        np.testing.assert_array_equal(automaton.ids_U[open_columns.numpy()], ids)
        at = torch.full((len(ids),), state)
        np.testing.assert_array_equal(mask.advance(at, open_columns).numpy(), next_states)


def test_words_that_are_drawn_in_are_there(engine: TransformersEngine) -> None:
    def hits(stories: list[Completion]) -> float:
        said = [{w.removesuffix("'s") for w in words_of(done.text)} for done in stories]
        return sum(not forms.isdisjoint(words) for words in said for forms in REQUIRED) / (
            len(said) * len(REQUIRED)
        )

    assert hits(_write(engine, REQUIRED, max_new_tokens=60)) < 0.6
    assert hits(_write(engine, REQUIRED, max_new_tokens=60, steer=8)) > 0.9


def test_a_word_that_cannot_be_spelled_is_left_to_chance(engine: TransformersEngine) -> None:
    """As a form with capitals inside, of which the request knows the lower case."""
    written = _write(engine, (frozenset({"\u0444"}),), steer=4.0)
    assert all(completion.num_tokens > 0 for completion in written)


def test_a_word_counts_once_it_is_whole() -> None:
    speller = Speller(
        lambda text: list(text.encode()),
        {i: i for i in range(256)},
        lambda form: [form],
        adds_space=False,
    )
    steering = Steering(speller, nats=2, soft_limit_tokens=10, max_new_tokens=50)
    wanted = steering.begin([frozenset({"boat", "boats"})], "A ")
    for letter in "boat":
        assert wanted.missing
        assert ord(letter) in steering.favoured(wanted, may_begin_word=True)
        steering.hear(wanted, ord(letter), letter.encode())
    assert ord("s") in steering.favoured(wanted, may_begin_word=False)
    assert steering.withholds_end(wanted, step=20)
    assert not steering.withholds_end(wanted, step=45)
    for text, is_missing in (
        ("-", True),
        ("man ", True),
        ("boat", True),
        ("'s", True),
        (" ", False),
    ):
        for letter in text:
            steering.hear(wanted, ord(letter), letter.encode())
        assert bool(wanted.missing) == is_missing
    assert steering.favoured(wanted, may_begin_word=True) == set()


def test_the_bonus_grows_with_what_is_written() -> None:
    speller = Speller(lambda _: [], {}, lambda form: [form], adds_space=False)
    steering = Steering(speller, nats=4, soft_limit_tokens=40, max_new_tokens=80)
    assert [steering.bonus(step) for step in (0, 39, 79)] == [0.1, 4, 8]


def test_constrain_without_a_constraint_and_openings_outside_are_refused(
    engine: TransformersEngine,
) -> None:
    bare = TransformersEngine(
        engine.model, engine.tokenizer, engine.encode, engine.end_ids, engine.batch_size
    )
    with pytest.raises(EngineError, match="expected an engine made with"):
        _write(bare)
    with pytest.raises(DatagenError, match="opening inside the vocabulary"):
        engine.write([Request("", "Once xylophonic", 0, ())], _sampling(), lambda _: None)


def test_steering_outside_a_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="steer: expected 0 where constrain is false, found 2"):
        _sampling(constrain=False, steer=2)
