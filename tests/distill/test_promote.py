"""The promotion rule, case by case and at its boundaries."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from distill.errors import DistillError
from distill.gates import Gate, at_least, at_most
from distill.promote import Contest, Decision, PairedScores, champion_changed, decide
from distill.promote_config import PromoteConfig
from warehouse.schemas import PROMOTIONS

CHAMPION_BITS = 2.0
CONFIG = PromoteConfig(margin_share=0.5, min_documents=30, max_left_out_share=0.2)
"""A margin of exactly 1 bit per byte on a champion of 2, so that boundaries are exact in binary."""


def pair(bits: float, n: int = 30, spread: float = 0.0) -> PairedScores:
    """A challenger at `bits` per byte (alternating by +-spread) against a champion at
    CHAMPION_BITS.
    """
    num_bytes = np.full(n, 8)
    signs = np.where(np.arange(n) % 2, 1, -1)
    nats = (bits + spread * signs) * num_bytes * math.log(2)
    return PairedScores(nats, CHAMPION_BITS * num_bytes * math.log(2), num_bytes)


def judge(
    selection: PairedScores | None, confirmation: PairedScores | None, *gates: Gate
) -> Decision:
    return decide(CONFIG, Contest("new", "old", selection, confirmation, gates), seed=0)


@pytest.mark.parametrize(
    ("selection", "confirmation", "reason"),
    [
        (pair(0.5), pair(0.5, n=1), "better"),
        (pair(0.999), pair(0.999, n=5), "better"),
        (pair(1.0), pair(0.5), "not_better"),
        (pair(0.5), pair(1.0), "not_confirmed"),
        (pair(0.5), pair(2.5), "not_confirmed"),
        (pair(2.0), pair(0.5), "not_better"),
        (pair(3.0), pair(3.0), "not_better"),
        (pair(0.5, spread=3.0), pair(0.5), "not_better"),
        (pair(0.5, n=29), pair(0.5), "too_few_documents"),
        (pair(0.5, n=30), pair(0.5), "better"),
        (pair(0.5, n=1), pair(0.5), "too_few_documents"),
        (None, pair(0.5), "too_few_documents"),
        (pair(0.5), None, "too_few_documents"),
        (None, None, "too_few_documents"),
    ],
)
def test_the_rule_decides(
    selection: PairedScores | None, confirmation: PairedScores | None, reason: str
) -> None:
    found = judge(selection, confirmation)
    assert found.reason == reason
    assert found.promoted == (reason == "better")
    assert found.explanation.startswith("promoted: " if found.promoted else "kept: ")
    assert found.num_selection == (0 if selection is None else len(selection.num_bytes))
    assert found.num_confirmation == (0 if confirmation is None else len(confirmation.num_bytes))


def test_a_decision_carries_its_figures_in_row_and_sentence() -> None:
    found = judge(pair(0.75), pair(0.5, n=8))
    assert found.margin == 1.0
    assert (found.difference, found.low, found.high) == (-1.25, -1.25, -1.25)
    assert found.confirmation_difference == -1.5
    assert found.smallest_difference == 1.0
    assert found.explanation == (
        "promoted: the challenger is 1.250 bits per byte better on 30 selection documents "
        "(95 % interval -1.250 to -1.250), all below -1.000, "
        "and 1.500 bits per byte better on 8 confirmation documents"
    )


def test_smallest_difference_grows_with_the_width_of_the_interval() -> None:
    found = judge(pair(2.0, spread=1.0), pair(2.0))
    assert found.high is not None
    assert found.difference is not None
    assert found.smallest_difference is not None
    assert found.smallest_difference == pytest.approx(1.0 + found.high - found.difference)
    assert found.smallest_difference > 1.2


@pytest.mark.parametrize("reason", ["left_out_share", "memorised"])
def test_a_broken_gate_keeps_the_best_of_challengers(reason: str) -> None:
    found = judge(pair(0.5), pair(0.5), at_most("fine", 1, 1), at_most(reason, 0.3, 0.2))
    assert (found.promoted, found.reason) == (False, f"gate:{reason}")
    assert found.explanation == f"kept: a gate is broken: {reason} (0.3, at most 0.2)"
    assert found.difference == -1.5


def test_every_broken_gate_is_told_and_the_first_is_the_reason() -> None:
    gates = (
        at_most("fine", 1, 1),
        at_least("top1_agreement", 0.25, 0.4, "confirmation"),
        at_most("ece", None, 0.1, "confirmation"),
        at_most("repeats", math.nan, 0.5, "samples"),
    )
    found = judge(pair(0.5), pair(0.5), *gates)
    assert (found.promoted, found.reason) == (False, "gate:top1_agreement")
    assert found.explanation == (
        "kept: 3 gates are broken: top1_agreement on confirmation (0.25, at least 0.4), "
        "ece on confirmation (not measured, at most 0.1), repeats on samples (nan, at most 0.5)"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_what_is_not_a_number_or_not_measured_breaks_any_gate(value: float | None) -> None:
    assert not at_most("share", value, 0.2).ok
    assert not at_least("share", value, 0.2).ok


def test_gates_hold_at_their_limit() -> None:
    assert at_most("share", 0.2, 0.2).ok
    assert at_least("share", 0.2, 0.2).ok
    assert not at_most("share", math.nextafter(0.2, 1), 0.2).ok
    assert not at_least("share", math.nextafter(0.2, 0), 0.2).ok


def test_a_student_whose_scores_are_not_finite_is_never_promoted() -> None:
    broken = PairedScores([math.nan] * 30, [1.0] * 30, [8] * 30)
    assert judge(broken, pair(0.5)).reason == "gate:finite_scores"
    first = decide(CONFIG, Contest("new", None, None, broken), seed=0)
    assert (first.promoted, first.reason) == (False, "gate:finite_scores")


@pytest.mark.parametrize("control", [None, pair(2.0, n=3, spread=1.0), pair(9.0)])
def test_the_first_whole_student_takes_the_empty_place(control: PairedScores | None) -> None:
    found = decide(CONFIG, Contest("new", None, None, control), seed=0)
    assert (found.promoted, found.reason, found.champion_id) == (True, "first_student", None)
    assert (found.margin, found.difference, found.confirmation_difference) == (None, None, None)
    assert (found.smallest_difference is None) == (control is None)


def test_a_first_student_with_a_broken_gate_leaves_the_place_empty() -> None:
    gates = (at_most("left_out_share", 0.3, 0.2),)
    found = decide(CONFIG, Contest("new", None, None, pair(2.0), gates), seed=0)
    assert (found.promoted, found.reason) == (False, "gate:left_out_share")


def test_one_document_gives_bounds_that_are_absent_not_infinite() -> None:
    found = judge(pair(0.5, n=1), pair(0.5))
    assert (found.low, found.high, found.smallest_difference) == (None, None, None)
    assert found.difference == -1.5


def test_an_empty_place_has_no_selection_set() -> None:
    with pytest.raises(DistillError, match="no champion to compare with"):
        decide(CONFIG, Contest("new", None, pair(1.0), pair(1.0)), seed=0)


def test_a_refused_swap_keeps_the_figures_and_gives_its_reason() -> None:
    found = champion_changed(judge(pair(0.5), pair(0.5)), "other")
    assert (found.promoted, found.reason) == (False, "champion_changed")
    assert "met old, but the champion is now other" in found.explanation
    assert found.difference == -1.5


def test_a_decision_has_the_columns_of_the_promotions_table() -> None:
    known_to_the_caller = {"line", "night", "run_id", "note"}
    columns = set(PROMOTIONS.schema.names) - known_to_the_caller
    assert set(asdict(judge(pair(1.0), pair(1.0)))) == columns


def test_the_default_margin_is_what_seeds_of_one_recipe_ask_for() -> None:
    """tests/bench/results/promotion.md"""
    found = decide(
        PromoteConfig(max_left_out_share=0.2),
        Contest("new", "old", pair(1.93), pair(1.93)),
        seed=0,
    )
    assert found.margin == pytest.approx(0.005 * CHAMPION_BITS)
    assert found.reason == "better"
