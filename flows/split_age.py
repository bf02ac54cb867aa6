"""In which order tonight's texts entered the line, and whether any two of its units never looked at
each other.
"""

import json
from itertools import combinations

from flows.night import Tonight, Unit, units_by_night
from warehouse.identity import digest
from warehouse.lake import Lake
from warehouse.schemas import VERDICTS

# Raise when other texts are refused.
SPLIT_VERSION = 1
# The fact of a pass that names the held-out documents which it refuses.
REFUSED_DOCUMENTS = "refused_documents"


def split_pass_id(tonight: Tonight) -> str | None:
    """The run that looks for near duplicates across the split among all that tonight may use; None
    where the passes of its nights have seen all of it.
    """
    saw = {
        units[-1].run_id: {unit.run_id for unit in units[:-1]}
        for _, units in units_by_night(tonight.lake, tonight.claim.line)
    }
    nights = [unit for unit in tonight.units if not unit.is_import]
    is_seen = all(older.run_id in saw[younger.run_id] for older, younger in combinations(nights, 2))
    if is_seen and len(nights) == len(tonight.units):
        return None
    return digest(
        "split",
        SPLIT_VERSION,
        [[unit.run_id, unit.pass_id] for unit in units_by_age(tonight)],
        tonight.recipe.night.held_out_share,
        tonight.recipe.duplicates.model_dump(mode="json"),
    )


def split_passes(lake: Lake, snapshot: int) -> tuple[str, ...]:
    """Every run that looked for near duplicates across the split, of any night, and had done so at
    that snapshot: whoever hands stories on has none that one of them took out.
    """
    ledger = lake.manifest.ledger()
    return tuple(
        sorted(
            row.run_id
            for (table, key), row in ledger.shards.items()
            if table == VERDICTS.name
            and ledger.since[table, key] <= snapshot
            and REFUSED_DOCUMENTS in json.loads(row.facts)
        )
    )


def units_by_age(tonight: Tonight) -> list[Unit]:
    """Tonight's units in the order in which they entered the line: a night's imports, as it was the
    first to name them, before its own stories.
    """
    entered: dict[str, int] = {}
    for night, units in units_by_night(tonight.lake, tonight.claim.line):
        imports = json.loads(night.asked).get("imports", {})
        for run_id in (*(imports[name] for name in sorted(imports)), units[-1].run_id):
            entered.setdefault(run_id, len(entered))
    return sorted(tonight.units, key=lambda unit: entered[unit.run_id])
