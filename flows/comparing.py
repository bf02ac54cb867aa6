"""Models side by side on the same documents: one is loaded at a time, so a large one fits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from flows.errors import FlowsError
from flows.figure_tables import (
    ScoredModel,
    difference_rows,
    figure_table,
    model_rows,
    scored_baseline,
    scored_model,
    task_rows,
)
from flows.likelihood import score_baseline, score_texts
from flows.models_by_name import LoadedModel, load_by_name
from flows.task_answers import Tasks, task_figures
from flows.teachers import Say
from flows.yardsticks import Yardstick


def compare(
    models: Sequence[str],
    yardsticks: Sequence[Yardstick],
    tasks: Tasks | None,
    data: Path,
    say: Say,
) -> pa.Table:
    """The figures of each model of that name on each yardstick and task; where a yardstick has
    training text, also those of its unigram model in the first model's tokens. FlowsError for a
    model named twice.
    """
    twice = sorted({name for name in models if models.count(name) > 1})
    if twice:
        raise FlowsError(f"expected each MODEL once, found {', '.join(twice)} twice")
    rows: list[dict[str, Any]] = []
    firsts: dict[int, ScoredModel] = {}
    for name in models:
        loaded = load_by_name(name, data, say)
        say(_how_it_reads(loaded))
        for place, yardstick in enumerate(yardsticks):
            scored = scored_model(loaded, score_texts(loaded, yardstick.documents))
            rows += model_rows(yardstick, scored)
            first = firsts.setdefault(place, scored)
            if first is not scored and yardstick.is_text:
                rows += difference_rows(yardstick, first, scored)
            elif first is scored and yardstick.training is not None:
                baseline = score_baseline(loaded, yardstick.training(), yardstick.documents)
                rows += model_rows(yardstick, scored_baseline(loaded, baseline))
        if tasks is not None:
            rows += task_rows(loaded, task_figures(loaded, tasks))
    return figure_table(rows)


def _how_it_reads(loaded: LoadedModel) -> str:
    """What a figure follows from beside model and text, said before it comes."""
    window = "any length at once" if loaded.window is None else f"{loaded.window} ids at once"
    why = f" ({loaded.why_start})" if loaded.why_start else ""
    return f"{loaded.name}: {loaded.kind}, reads {window}, each text after {loaded.start}{why}"
