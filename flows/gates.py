"""The gates of a recipe: which figures they may name, and whether tonight's keep their limits.

A name that no night measures is refused with the recipe, not after hours of work.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from distill.config import EvaluateConfig
from distill.gates import Gate, at_least, at_most
from distill.promote_config import GateConfig, PromoteConfig
from flows.errors import FlowsError
from warehouse.schemas import CANARIES

if TYPE_CHECKING:
    from warehouse.lake import Lake
    from warehouse.suites import Kind, Suite

# By name in flows/bench.py, flows/text_figures.py and flows/exposures.py, which load what reading a
# recipe must not.
CONFIRMATION, SELECTION, SAMPLES = "confirmation", "selection", "samples"
CANARY_SUITE = "canaries"
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


# What it also measures on the recipe's frozen suites, and on which kind of them.
ON_FROZEN: "Mapping[str, Kind]" = {
    "bits_per_byte": "text",
    "bits_per_byte_without_end": "text",
    "ece": "text",
    "minimal_pairs": "pairs",
}
_DISTANCES = re.compile(r"accepted_share|ece_band_\d|forward_kl|kept_mass|reverse_kl")
# Of the canaries that were planted so often.
_EXPOSURE = re.compile(r"exposure_(0|[1-9]\d{0,8})")


def check_gates(promote: PromoteConfig, evaluate: EvaluateConfig, imports: Sequence[str]) -> None:
    """Pass if a night can measure what the gates name; ValueError says which one it cannot."""
    for place, gate in enumerate(promote.gates):
        try:
            _check_gate(gate, evaluate, imports)
        except ValueError as exc:
            raise ValueError(f"promote.gates.{place}{exc}") from exc


def check_gates_in_lake(
    promote: PromoteConfig, lake: "Lake", suites: "Iterable[Suite]", imports: Sequence[str]
) -> None:
    """Pass if the night's suites and imports (by their runs) are such that its gates' figures will
    be measured; FlowsError says which one will not, before hours of work.
    """
    kinds: dict[str, Kind] = {suite.name: suite.kind for suite in suites}
    for place, gate in enumerate(promote.gates):
        suite, asked = suite_of(gate), _EXPOSURE.fullmatch(gate.metric)
        if suite in kinds and kinds[suite] != ON_FROZEN.get(gate.metric):
            raise FlowsError(
                f"promote.gates.{place}.suite = {suite!r}: expected a suite of "
                f"{ON_FROZEN[gate.metric]}, on which {gate.metric} is measured, found one of "
                f"{kinds[suite]}"
            )
        if asked is not None:
            _check_canaries(f"promote.gates.{place}", int(asked[1]), lake, imports)


def suite_of(gate: GateConfig) -> str:
    """The suite that the gate looks at; ValueError for a figure, or a suite of it, that no night
    measures.
    """
    suites = _suites_of(gate.metric)
    if gate.suite is None and not suites:
        raise ValueError(f".suite is missing: {gate.metric} is measured on suites of the recipe")
    if gate.suite is None:
        return suites[0]
    is_frozen = gate.metric in ON_FROZEN and gate.suite not in (SAMPLES, CANARY_SUITE)
    if gate.suite not in suites and not is_frozen:
        raise ValueError(
            f".suite = {gate.suite!r}: expected a suite on which {gate.metric} is measured "
            f"({', '.join(suites)})"
        )
    return gate.suite


def _suites_of(metric: str) -> tuple[str, ...]:
    """The suites of every night on which it is measured; ValueError for what is not measured."""
    if _EXPOSURE.fullmatch(metric):
        return (CANARY_SUITE,)
    if metric in FIGURES:
        return FIGURES[metric]
    near = difflib.get_close_matches(metric, FIGURES, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    if metric.startswith("exposure"):
        hint = "; exposure_10 is that of the canaries that were planted ten times"
    raise ValueError(
        f".metric = {metric!r}: expected a figure that a night measures "
        f"({', '.join(sorted(FIGURES))}, exposure_N){hint}"
    )


def _check_gate(gate: GateConfig, evaluate: EvaluateConfig, imports: Sequence[str]) -> None:
    suite = suite_of(gate)
    if suite not in _suites_of(gate.metric) and suite not in evaluate.suites:
        raise ValueError(
            f".suite = {suite!r}: expected a suite of evaluate.suites "
            f"({', '.join(evaluate.suites) or 'none is named'})"
        )
    if suite == SAMPLES and evaluate.num_samples == 0:
        raise ValueError(
            f": {gate.metric} is measured on told stories, and evaluate.num_samples is 0; ask for "
            "some, or leave the gate out"
        )
    if suite == CANARY_SUITE and not imports:
        raise ValueError(
            f": {gate.metric} is measured on the canaries of imports, and night.imports names none;"
            " plant some (`stillhouse canaries plant`), or leave the gate out"
        )
    if _DISTANCES.fullmatch(gate.metric) and evaluate.num_distance_documents == 0:
        raise ValueError(
            f": {gate.metric} is measured against the teacher, and evaluate.num_distance_documents "
            "is 0; ask for some, or leave the gate out"
        )


def _check_canaries(where: str, num_planted: int, lake: "Lake", imports: Sequence[str]) -> None:
    rows = lake.read(CANARIES.name, run_ids=list(imports), columns=["num_planted"])
    found = sorted(set(rows.column("num_planted").to_pylist()))
    if num_planted not in found:
        raise FlowsError(
            f"{where}.metric = 'exposure_{num_planted}': expected a number of times that a canary "
            f"of the night's imports was planted ({', '.join(map(str, found)) or 'none is'})"
        )


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
