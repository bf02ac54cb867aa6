"""What `stillhouse evaluate` prints: figures as the table `evaluations` has them, with a row for
each model, for the unigram model, and for the difference of each further model from the first.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from flows.yardsticks import SEED, Yardstick

if TYPE_CHECKING:
    from distill.evaluation.metrics import Metric
    from distill.evaluation.scoring import DocumentScore
    from flows.models_by_name import LoadedModel

MODEL, UNIGRAM, DIFFERENCE = "model", "unigram", "difference"
_ORDER = (MODEL, UNIGRAM, DIFFERENCE)
# What the figures of lm_eval's tasks stand on.
TASKS = "lm_eval"
_ROWS = pa.schema(
    [
        ("model", pa.string()),
        ("on", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n", pa.int64()),
        ("tokens", pa.int64()),
        ("bytes", pa.int64()),
        ("row", pa.string()),
        ("kind", pa.string()),
        ("model_id", pa.string()),
        ("start", pa.string()),
        ("window", pa.int64()),
        ("digest", pa.string()),
    ]
)
# What fits a terminal; --json has every column.
_NARROW = ("model", "on", "metric", "value", "low", "high", "n")
_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class ScoredModel:
    """A model's scores of a yardstick's documents, in their order, and what its rows say of it."""

    name: str
    row: str
    facts: dict[str, Any]
    scores: "tuple[DocumentScore, ...]"


def scored_model(loaded: "LoadedModel", scores: "Sequence[DocumentScore]") -> ScoredModel:
    """The scores of a loaded model, which need not stay loaded."""
    return ScoredModel(loaded.name, MODEL, _facts(loaded), tuple(scores))


def scored_baseline(loaded: "LoadedModel", scores: "Sequence[DocumentScore]") -> ScoredModel:
    """The scores of the unigram model in the tokens of a loaded model."""
    return ScoredModel(f"unigram, tokens of {loaded.name}", UNIGRAM, {}, tuple(scores))


def model_rows(yardstick: Yardstick, one: ScoredModel) -> list[dict[str, Any]]:
    """The figures of a model, or of the unigram model, on the yardstick."""
    facts = {
        **_on(yardstick),
        "tokens": sum(score.num_tokens for score in one.scores),
        "bytes": sum(score.num_bytes for score in one.scores),
        "model": one.name,
        "row": one.row,
        **one.facts,
    }
    return [{**facts, **_figure(metric)} for metric in yardstick.metrics(one.scores)]


def difference_rows(
    yardstick: Yardstick, first: ScoredModel, other: ScoredModel
) -> list[dict[str, Any]]:
    """Bits per byte of the first less those of the other on texts, with the interval of the pairs:
    below 0 if the first is better.
    """
    from distill.evaluation.metrics import bits_per_byte_differences

    name = f"{first.name} less {other.name}"
    facts = {**_on(yardstick), "model": name, "row": DIFFERENCE}
    found = bits_per_byte_differences(first.scores, other.scores, seed=SEED)
    return [{**facts, **_figure(metric)} for metric in found]


def task_rows(loaded: "LoadedModel", metrics: "Iterable[Metric]") -> list[dict[str, Any]]:
    """The figures of a model on tasks of lm_eval, each called task/metric."""
    facts = {"on": TASKS, "model": loaded.name, "row": MODEL, **_facts(loaded)}
    return [{**facts, **_figure(metric)} for metric in metrics]


def figure_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """The rows figure by figure: of each first the models, then the unigram model, then the
    differences. Bounds are null where there is no interval.
    """
    figures = list(dict.fromkeys((row["on"], row["metric"]) for row in rows))

    def place(row: dict[str, Any]) -> tuple[int, int]:
        return figures.index((row["on"], row["metric"])), _ORDER.index(row["row"])

    return pa.Table.from_pylist(sorted(rows, key=place), schema=_ROWS)


def narrow(rows: pa.Table) -> pa.Table:
    """The rows as a terminal shows them; without `on` where all stand on the same."""
    names = [name for name in _NARROW if name != "on" or len(rows["on"].unique()) > 1]
    columns = [
        pc.round(column, _DECIMALS) if pa.types.is_floating(column.type) else column
        for column in rows.select(names).columns
    ]
    return pa.table(columns, names=names)


def _facts(loaded: "LoadedModel") -> dict[str, Any]:
    return {
        "kind": loaded.kind,
        "model_id": loaded.model_id,
        "start": loaded.start,
        "window": loaded.window,
    }


def _on(yardstick: Yardstick) -> dict[str, Any]:
    return {"on": yardstick.name, "digest": yardstick.digest}


def _figure(metric: "Metric") -> dict[str, Any]:
    bounds = {"low": _finite(metric.low), "high": _finite(metric.high)}
    return {"metric": metric.metric, "value": metric.value, **bounds, "n": metric.n}


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None
