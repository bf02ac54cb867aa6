"""The gate on a night's stories: beyond a limit of the recipe's [diversity] they are kept and
shown, but nothing is trained on them, tonight or on a later night.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from datagen.diversity import measure_diversity
from flows.errors import CorpusRefused
from flows.night import Tonight
from warehouse.schemas import CORPUS_MEASURES


def measure_rows(
    tonight: Tonight, texts: Sequence[str], earlier: Sequence[Sequence[str]]
) -> pa.Table:
    """The measures of the stories that stay, beside what earlier nights hold."""
    found = measure_diversity(texts, earlier, tonight.recipe.diversity)
    unit = tonight.unit
    rows = [
        {
            "run_id": unit.pass_id,
            "stories_run_id": unit.run_id,
            "measure": item.name,
            "value": item.value,
            "n": item.n,
            "bound": item.bound,
            "is_within": item.is_within,
            "evidence": item.evidence,
        }
        for item in found
    ]
    return pa.Table.from_pylist(rows, schema=CORPUS_MEASURES.schema)


def broken_limits(measures: pa.Table) -> list[dict[str, Any]]:
    """The measures that do not keep their limit."""
    return [row for row in measures.to_pylist() if not row["is_within"]]


def expect_diversity(tonight: Tonight) -> None:
    """Pass unless the night's stories were found to break a limit; CorpusRefused says which, by how
    much, and what the worst cases are.
    """
    rows = tonight.lake.read(CORPUS_MEASURES.name, run_ids=[tonight.unit.pass_id])
    broken = broken_limits(rows)
    if broken:
        raise CorpusRefused(
            f"{tonight.label}: expected stories within the limits of [diversity], found "
            f"{'; '.join(map(_told, broken))}. They stay in the lake (table corpus_measures has "
            "all measures), but nothing is trained on them. Widen [prompts] or [sampling], or the "
            "limit, and run the next night"
        )


def _told(row: dict[str, Any]) -> str:
    key = f"{'min' if row['value'] < row['bound'] else 'max'}_{row['measure']}"
    worst = f" ({row['evidence']})" if row["evidence"] else ""
    return f"{row['measure']} {row['value']:.3g} of {row['n']:,}, {key} = {row['bound']:g}{worst}"
