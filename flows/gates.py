"""The gates of a recipe: which figures they may name, and whether tonight's keep their limits.

A name that no night measures is refused with the recipe, not after hours of work.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from distill.config import EvaluateConfig, GateConfig, PromoteConfig
from distill.gates import Gate, at_least, at_most

# By name in flows/bench.py and flows/text_figures.py, which load what reading a recipe must not.
CONFIRMATION, SELECTION, SAMPLES = "confirmation", "selection", "samples"
# What a night measures of its challenger and on which suites, the usual one first; none: on suites
# that a recipe names.
_HELD_OUT = (CONFIRMATION, SELECTION)
FIGURES: Mapping[str, tuple[str, ...]] = {
    "accepted_share": _HELD_OUT,
    "adherence": (SAMPLES,),
    "adherence_strict": (SAMPLES,),
    "bits_per_byte": _HELD_OUT,
    "bits_per_byte_without_end": _HELD_OUT,
    "compression": (SAMPLES,),
    "copied_8": (SAMPLES,),
    "copied_16": (SAMPLES,),
    "copied_32": (SAMPLES,),
    "copied_run": (SAMPLES,),
    "distinct_1": (SAMPLES,),
    "distinct_2": (SAMPLES,),
    "distinct_3": (SAMPLES,),
    "ece": _HELD_OUT,
    "ece_band_1": _HELD_OUT,
    "ece_band_2": _HELD_OUT,
    "ece_band_3": _HELD_OUT,
    "ece_band_4": _HELD_OUT,
    "forward_kl": _HELD_OUT,
    "inside_vocabulary": (SAMPLES,),
    "kept_mass": _HELD_OUT,
    "longest_copied_run": (SAMPLES,),
    "minimal_pairs": (),
    "name_share": (SAMPLES,),
    "opening_3": (SAMPLES,),
    "opening_5": (SAMPLES,),
    "reading_grade": (SAMPLES,),
    "required_words": (SAMPLES,),
    "reverse_kl": _HELD_OUT,
    "self_bleu": (SAMPLES,),
    "top1_agreement": _HELD_OUT,
}


def check_gates(promote: PromoteConfig, evaluate: EvaluateConfig) -> None:
    """Pass if a night can measure what the gates name; ValueError says which one it cannot."""
    for place, gate in enumerate(promote.gates):
        try:
            suite = suite_of(gate)
        except ValueError as exc:
            raise ValueError(f"promote.gates.{place}.{exc}") from exc
        if not FIGURES[gate.metric] and suite not in evaluate.suites:
            raise ValueError(
                f"promote.gates.{place}.suite = {suite!r}: expected a suite of evaluate.suites "
                f"({', '.join(evaluate.suites) or 'none is named'})"
            )
        if suite == SAMPLES and evaluate.num_samples == 0:
            raise ValueError(
                f"promote.gates.{place}: {gate.metric} is measured on told stories, and "
                "evaluate.num_samples is 0; ask for some, or leave the gate out"
            )


def suite_of(gate: GateConfig) -> str:
    """The suite that the gate looks at; ValueError for a figure, or a suite of it, that no night
    measures.
    """
    if gate.metric not in FIGURES:
        near = difflib.get_close_matches(gate.metric, FIGURES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(
            f"metric = {gate.metric!r}: expected a figure that a night measures "
            f"({', '.join(sorted(FIGURES))}){hint}"
        )
    suites = FIGURES[gate.metric]
    if gate.suite is None and not suites:
        raise ValueError(f"suite is missing: {gate.metric} is measured on suites of the recipe")
    if gate.suite is not None and suites and gate.suite not in suites:
        raise ValueError(
            f"suite = {gate.suite!r}: expected a suite on which {gate.metric} is measured "
            f"({', '.join(suites)})"
        )
    return gate.suite or suites[0]


def judged_gates(promote: PromoteConfig, figures: Iterable[Mapping[str, Any]]) -> list[Gate]:
    """The recipe's gates with the challenger's figures, which are rows of `evaluations`."""
    values = {(row["metric"], row["suite"]): float(row["value"]) for row in figures}
    return [_judged(gate, values) for gate in promote.gates]


def _judged(gate: GateConfig, values: Mapping[tuple[str, str], float]) -> Gate:
    suite = suite_of(gate)
    value = values.get((gate.metric, suite))
    if gate.at_most is not None:
        return at_most(gate.metric, value, gate.at_most, suite)
    assert gate.at_least is not None
    return at_least(gate.metric, value, gate.at_least, suite)
