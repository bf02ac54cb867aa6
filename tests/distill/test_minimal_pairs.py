"""Minimal pairs: against a float64 reference, at exactly one half where nothing is known, and at
exactly the length baseline where all symbols are equally likely.
"""

import copy
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from distill.errors import DistillError
from distill.evaluation.intervals import Estimate, mean_share
from distill.evaluation.minimal_pairs import (
    LEAD,
    PairScore,
    accuracy,
    length_only,
    mean_over_sets,
    minimal_pair_metrics,
    score_pairs,
    sentences_of,
    share_right,
)
from tests.distill.test_scoring import VOCAB_SIZE, tiny_llama
from warehouse.lake import Lake
from warehouse.pair_files import Pair, read_pairs
from warehouse.schemas import PAIR_SCORES

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
_START, _END = 1, 2


def _encode(text: str) -> list[int]:
    """One symbol for each byte, away from start and end."""
    return [6 + byte % (VOCAB_SIZE - 6) for byte in text.encode()]


def _pair(number: int, good: str, bad: str, set_name: str = "s") -> Pair:
    return Pair(f"pair-{number:03}", set_name, "p", number, good, bad)


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    return tiny_llama()


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    """60 pairs in three sets; a sentence recurs, and many have equal lengths."""
    rng = np.random.default_rng(0)
    words = "dog cats is are the a happy sad".split()
    made = []
    for number in range(60):
        good, bad = (
            " ".join(rng.choice(words, size=int(rng.integers(2, 5)))) + f" {number % 7}{side}"
            for side in "gb"
        )
        made.append(_pair(number, good, bad, f"s{number % 3}"))
    return made


def _scored(model: LlamaForCausalLM, pairs: list[Pair], batch: int = 200) -> list[PairScore]:
    return score_pairs(
        model,
        pairs,
        encode=_encode,
        start_ids=[_START],
        end_ids=[_END],
        num_tokens_per_batch=batch,
    )


def _nats(model: LlamaForCausalLM, text: str) -> float:
    ids = _encode(text)
    with torch.no_grad():
        logits = copy.deepcopy(model).double()(torch.tensor([[_START, *ids]])).logits[0]
    rows = logits.log_softmax(dim=-1)
    return -sum(float(rows[place, id_]) for place, id_ in enumerate(ids))


def test_a_score_is_the_sum_over_the_sentence_without_its_end(
    model: LlamaForCausalLM, pairs: list[Pair]
) -> None:
    for pair, score in zip(pairs, _scored(model, pairs), strict=True):
        good, bad = (LEAD + text for text in (pair.sentence_good, pair.sentence_bad))
        assert score.nats_good == pytest.approx(_nats(model, good), abs=1e-3)
        assert score.nats_bad == pytest.approx(_nats(model, bad), abs=1e-3)
        assert score.num_right == float(_nats(model, good) < _nats(model, bad))
        assert score.num_symbols_good == len(good.encode())
        assert (score.pair_id, score.set_name) == (pair.pair_id, pair.set_name)


def test_batches_move_no_figure(model: LlamaForCausalLM, pairs: list[Pair]) -> None:
    one, other = _scored(model, pairs, 1), _scored(model, list(reversed(pairs)), 4096)
    assert [s.num_right for s in one] == [s.num_right for s in reversed(other)]
    for first, second in zip(one, reversed(other), strict=True):
        assert first.nats_good == pytest.approx(second.nats_good, abs=1e-4)


def test_uniform_logits_give_exactly_the_length_baseline(
    model: LlamaForCausalLM, pairs: list[Pair]
) -> None:
    blank = copy.deepcopy(model)
    torch.nn.init.zeros_(blank.get_output_embeddings().weight)
    for lead in (LEAD, ""):
        scores = score_pairs(
            blank,
            pairs,
            encode=_encode,
            start_ids=[_START],
            end_ids=[_END],
            num_tokens_per_batch=100,
            lead=lead,
        )
        assert [s.num_right for s in scores] == [s.num_right_by_length for s in scores]
        assert accuracy(scores) == length_only(scores)
    assert {s.num_right for s in scores} == {0.0, 0.5, 1.0}


def test_equal_scores_give_exactly_one_half(model: LlamaForCausalLM) -> None:
    # 37 symbols for 256 bytes: these sentences are different texts and the same symbols.
    twins = [_pair(n, f"{chr(65 + n)} dog", f"{chr(65 + n + 31)} dog") for n in range(8)]
    assert all(_encode(p.sentence_good) == _encode(p.sentence_bad) for p in twins)
    blank = copy.deepcopy(model)
    torch.nn.init.zeros_(blank.get_output_embeddings().weight)
    for subject in (model, blank):
        assert accuracy(_scored(subject, twins)) == Estimate(0.5, 0.5, 0.5, 8)


def test_terms_in_another_order_are_a_tie() -> None:
    up, down = 0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1
    assert up != down
    assert PairScore("p", "s", "f", up, down, 30, 30).num_right == 0.5
    assert PairScore("p", "s", "f", up, up + 1e-5, 30, 30).num_right == 1


def test_a_sentence_of_several_pairs_is_scored_once() -> None:
    pairs = [_pair(1, "a b", "b a"), _pair(2, "a b", "c a"), _pair(3, "c a", "a b")]
    assert sorted(sentences_of(pairs).values()) == [" a b", " b a", " c a"]


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=300))
def test_without_ties_the_interval_is_wilsons(values: list[float]) -> None:
    ours, wilsons = share_right(values), mean_share(values)
    assert ours.value == wilsons.value
    assert ours.low == pytest.approx(wilsons.low, abs=1e-12)
    assert ours.high == pytest.approx(wilsons.high, abs=1e-12)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=300))
def test_ties_only_narrow_an_interval_that_holds_the_value(values: list[float]) -> None:
    found, wilsons = share_right(values), mean_share(values)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low <= wilsons.high - wilsons.low + 1e-12
    assert share_right([0.5] * len(values)) == Estimate(0.5, 0.5, 0.5, len(values))


@pytest.mark.parametrize("shares", [(0.7, 0.0), (0.6, 0.2), (0.3, 0.5), (0.95, 0.02)])
def test_the_interval_covers(shares: tuple[float, float]) -> None:
    right, ties = shares
    rng = np.random.default_rng(1)
    mean, covered, num = right + ties / 2, 0, 2_000
    for _ in range(num):
        draws = rng.choice([1.0, 0.5, 0.0], p=[right, ties, 1 - right - ties], size=60)
        found = share_right(draws.tolist())
        covered += found.low <= mean <= found.high
    assert 0.93 <= covered / num <= 0.985


def test_the_mean_over_sets_covers() -> None:
    rng = np.random.default_rng(2)
    shares, sizes = [0.9, 0.5, 0.7, 0.99], [30, 60, 200, 30]
    mean, covered, num = float(np.mean(shares)), 0, 1_000
    for _ in range(num):
        draws = [rng.binomial(1, p, n).astype(float) for p, n in zip(shares, sizes, strict=True)]
        found = mean_over_sets([share_right(values.tolist()) for values in draws])
        covered += found.low <= mean <= found.high
    assert 0.93 <= covered / num <= 0.985


def test_every_set_counts_the_same() -> None:
    scores = [PairScore(f"p{i}", "large", "f", 1.0, 2.0, 3, 3) for i in range(30)]
    scores.append(PairScore("q", "small", "f", 2.0, 1.0, 3, 4))
    assert accuracy(scores).value == 0.5
    assert length_only(scores).value == 0.75
    assert [(m.metric, m.n) for m in minimal_pair_metrics(scores)] == [
        ("minimal_pairs", 31),
        ("minimal_pairs_length_only", 31),
    ]
    one = share_right([1.0, 0.0, 0.5])
    assert mean_over_sets([one]).low == pytest.approx(one.low)


def test_values_that_are_no_points_are_refused() -> None:
    for values in ([], [0.25]):
        with pytest.raises(DistillError, match=r"1 or more of 0, 0\.5 and 1"):
            share_right(values)
    with pytest.raises(DistillError, match="at least one set"):
        accuracy([])


def test_the_view_of_the_lake_gives_the_same_figures(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    scores = []
    for number in range(400):
        set_name = f"s{rng.integers(0, 7)}"
        nats, other = rng.integers(0, 4, size=2).astype(float).tolist()
        symbols, more = rng.integers(3, 6, size=2).tolist()
        phenomenon = "one" if set_name < "s4" else "two"
        scores.append(PairScore(f"{number}", set_name, phenomenon, nats, other, symbols, more))
    with Lake.open(tmp_path / "lake", create=True) as lake:
        for run_id in ("first", "again"):  # another numerics class: the view takes one of the two
            _commit(lake, run_id, scores)
        rows = lake.query("SELECT * FROM minimal_pairs").to_pylist()
    assert len(rows) == 7 + 2 + 1
    for row in rows:
        asked = [
            score
            for score in scores
            if row["phenomenon"] in (None, score.phenomenon)
            and row["set_name"] in (None, score.set_name)
        ]
        figure = accuracy(asked)
        assert row["num_pairs"] == figure.n
        assert row["num_sets"] == len({score.set_name for score in asked})
        for name in ("low", "high"):
            assert row[name] == pytest.approx(getattr(figure, name), abs=1e-12)
        assert row["accuracy"] == pytest.approx(figure.value, abs=1e-12)
        assert row["length_only"] == pytest.approx(length_only(asked).value, abs=1e-12)


def _commit(lake: Lake, run_id: str, scores: list[PairScore]) -> None:
    made = {
        "run_id": run_id,
        "subject_id": "x",
        "subject": "student",
        "suite": "mine",
        "suite_digest": "d",
    }
    rows = [
        {
            **made,
            **{name: getattr(score, name) for name in PairScore.__annotations__},
            "num_right": score.num_right,
        }
        for score in scores
    ]
    table = pa.Table.from_pylist(rows, schema=PAIR_SCORES.schema)
    lake.commit_shard(run_id, 0, {PAIR_SCORES.name: table})


# Pairs of 200 that are right.
_RECORDED = {
    "adjunct_island": 101.0,
    "complex_NP_island": 113.0,
    "determiner_noun_agreement_irregular_2": 120.0,
    "distractor_agreement_relative_clause": 97.0,
    "existential_there_quantifiers_2": 120.0,
    "irregular_past_participle_verbs": 187.0,
    "npi_present_1": 74.0,
    "principle_A_c_command": 57.0,
    "principle_A_reconstruction": 76.0,
    "superlative_quantifiers_1": 96.0,
    "wh_questions_object_gap": 82.0,
    "wh_vs_that_with_gap_long_distance": 44.0,
}


def test_real_pairs_under_a_real_model_are_as_recorded() -> None:
    """lm_eval 0.4.13 gives these for the same files; tests/eval compares with lm_eval itself."""
    folder = SHARED / "stories260k"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    pairs = read_pairs([SHARED / "blimp" / f"{name}.jsonl" for name in _RECORDED])
    scores = score_pairs(
        model,
        pairs,
        encode=lambda text: tokenizer.encode(text, add_special_tokens=False),
        start_ids=[tokenizer.bos_token_id],
        end_ids=[tokenizer.eos_token_id],
        num_tokens_per_batch=2048,
    )
    found = {name: sum(s.num_right for s in scores if s.set_name == name) for name in _RECORDED}
    assert found == _RECORDED
