"""The gates of a recipe: which figures they may name, and whether tonight's keep their limits.

A name that no night measures is refused with the recipe, not after hours of work.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from distill.config import EvaluateConfig, GateConfig, PromoteConfig
from distill.gates import Gate, at_least, at_most

# By name in flows/bench.py and flows/samples.py, which load what reading a recipe must not.
CONFIRMATION, SELECTION, SAMPLES = "confirmation", "selection", "samples"
# What a night measures of its challenger and on which suites, the usual one first; none: on suites
# that a recipe names.
FIGURES: Mapping[str, tuple[str, ...]] = {
    "adherence": (SAMPLES,),
    "bits_per_byte": (CONFIRMATION, SELECTION),
    "bits_per_byte_without_end": (CONFIRMATION, SELECTION),
    "ece": (CONFIRMATION, SELECTION),
    "required_words": (SAMPLES,),
    "top1_agreement": (CONFIRMATION, SELECTION),
}


def check_gates(promote: PromoteConfig, evaluate: EvaluateConfig) -> None:
    """Pass if a night can measure what the gates name; ValueError says which one it cannot."""
    for place, gate in enumerate(promote.gates):
        try:
            suite = suite_of(gate)
        except ValueError as exc:
            raise ValueError(f"promote.gates.{place}.{exc}") from exc
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
