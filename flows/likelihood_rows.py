"""What scores come to, as the rows that `stillhouse evaluate` prints: one for each model, one for
the unigram model, and one for the difference of each further model from the first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from distill.evaluation.intervals import Estimate
    from distill.evaluation.scoring import DocumentScore
    from flows.models_by_name import LoadedModel

SEED = 0
MODEL, UNIGRAM, DIFFERENCE = "model", "unigram", "difference"
_ROWS = pa.schema(
    [
        ("model", pa.string()),
        ("bits_per_byte", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("without_end", pa.float64()),
        ("without_end_low", pa.float64()),
        ("without_end_high", pa.float64()),
        ("documents", pa.int64()),
        ("tokens", pa.int64()),
        ("bytes", pa.int64()),
        ("row", pa.string()),
        ("kind", pa.string()),
        ("model_id", pa.string()),
        ("start", pa.string()),
        ("window", pa.int64()),
    ]
)
# What fits a terminal, and what it is called there; --json has every column.
_NARROW = {
    "model": "model",
    "bits_per_byte": "bits/byte",
    "low": "low",
    "high": "high",
    "without_end": "no end",
    "documents": "docs",
    "tokens": "tokens",
    "bytes": "bytes",
}
_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class ScoredModel:
    """A model's scores of the documents, in their order, and what its row says of it."""

    name: str
    row: str
    facts: dict[str, Any]
    scores: "tuple[DocumentScore, ...]"


def scored_model(loaded: "LoadedModel", scores: "Sequence[DocumentScore]") -> ScoredModel:
    """The scores of a loaded model, which need not stay loaded."""
    facts = {
        "kind": loaded.kind,
        "model_id": loaded.model_id,
        "start": loaded.start,
        "window": loaded.window,
    }
    return ScoredModel(loaded.name, MODEL, facts, tuple(scores))


def scored_baseline(loaded: "LoadedModel", scores: "Sequence[DocumentScore]") -> ScoredModel:
    """The scores of the unigram model in the tokens of a loaded model."""
    return ScoredModel(f"unigram, tokens of {loaded.name}", UNIGRAM, {}, tuple(scores))


def figure_rows(scored: Sequence[ScoredModel]) -> pa.Table:
    """The rows of models that scored the same documents, the first model's first; bounds are null
    where one document shows no spread.
    """
    models = [one for one in scored if one.row == MODEL]
    baselines = [one for one in scored if one.row == UNIGRAM]
    rows = [_row(one) for one in (*models, *baselines)]
    rows += [_difference(models[0], other) for other in models[1:]]
    return pa.Table.from_pylist(rows, schema=_ROWS)


def narrow(rows: pa.Table) -> pa.Table:
    """The rows as a terminal shows them."""
    columns = [
        pc.round(column, _DECIMALS) if pa.types.is_floating(column.type) else column
        for column in rows.select(list(_NARROW)).columns
    ]
    return pa.table(columns, names=list(_NARROW.values()))


def _row(one: ScoredModel) -> dict[str, Any]:
    from distill.evaluation.intervals import bits_per_byte

    num_bytes = [score.num_bytes for score in one.scores]
    with_end = bits_per_byte([score.nats for score in one.scores], num_bytes, seed=SEED)
    without = bits_per_byte([s.nats_without_end for s in one.scores], num_bytes, seed=SEED)
    return {
        "model": one.name,
        **_figures(with_end, without),
        "documents": len(one.scores),
        "tokens": sum(score.num_tokens for score in one.scores),
        "bytes": sum(num_bytes),
        "row": one.row,
        **one.facts,
    }


def _difference(first: ScoredModel, other: ScoredModel) -> dict[str, Any]:
    """Below 0 if the first is better, with the interval of the pairs."""
    from distill.evaluation.intervals import paired_difference

    num_bytes = [score.num_bytes for score in first.scores]
    pairs = (
        ([score.nats for score in first.scores], [score.nats for score in other.scores]),
        (
            [score.nats_without_end for score in first.scores],
            [score.nats_without_end for score in other.scores],
        ),
    )
    return {
        "model": f"{first.name} less {other.name}",
        **_figures(*(paired_difference(*pair, num_bytes, seed=SEED) for pair in pairs)),
        "documents": len(num_bytes),
        "bytes": sum(num_bytes),
        "row": DIFFERENCE,
    }


def _figures(with_end: "Estimate", without: "Estimate") -> dict[str, float | None]:
    return {
        "bits_per_byte": with_end.value,
        "low": _finite(with_end.low),
        "high": _finite(with_end.high),
        "without_end": without.value,
        "without_end_low": _finite(without.low),
        "without_end_high": _finite(without.high),
    }


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None
