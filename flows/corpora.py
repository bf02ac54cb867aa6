"""Which nights' stories an export holds, and what their teachers are called."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from flows.errors import FlowsError
from flows.hub_teachers import HUB_TEACHERS, MODEL_FILES, hub_folder
from flows.night import BREAKS, Unit, shard_key, units_by_night
from flows.split_age import split_passes
from flows.sums import read_sums
from flows.teacher_packages import PACKAGED_TEACHERS, packaged_folder
from flows.teachers import cache_folder
from warehouse.exchange_export import ExportUnit
from warehouse.identity import digest
from warehouse.lake import Lake
from warehouse.ledger import Night
from warehouse.schemas import VERDICTS

_SUMS = "SHA256SUMS"
_LISTED = """
SELECT
    NULL AS corpus, run_id, NULL AS licence, NULL AS origin, count(*) AS documents,
    count(*) FILTER (story_id IN (SELECT story_id FROM accepted_stories)) AS accepted,
    sum(num_bytes) FILTER (story_id IN (SELECT story_id FROM accepted_stories)) AS bytes
FROM stories GROUP BY run_id
UNION ALL
SELECT
    name, run_id, any_value(licence), any_value(origin), count(*),
    count(*) FILTER (accepted), sum(num_bytes) FILTER (accepted)
FROM imports GROUP BY name, run_id
"""
_LIST = pa.schema(
    [
        ("corpus", pa.string()),
        ("night", pa.string()),
        ("documents", pa.int64()),
        ("accepted", pa.int64()),
        ("bytes", pa.int64()),
        ("licence", pa.string()),
        ("origin", pa.string()),
        ("run_id", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class KnownTeacher:
    """A teacher that comes by name: what it is called and its SPDX licence."""

    name: str
    licence: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """The nights of an export, oldest first line by line, the units they wrote (each once), and
    why each of the other nights was left out.
    """

    nights: tuple[Night, ...]
    units: tuple[ExportUnit, ...]
    left_out: tuple[str, ...]


def chosen_corpora(lake: Lake, line: str | None, night: str | None, snapshot: int) -> Chosen:
    """The nights of that line (None: of all) and label (None: all) that students may be trained on
    and that were finished at that snapshot; FlowsError lists what there is if there is none, or
    says why the one that was named is left out.
    """
    lines = sorted({claim.line for claim in lake.manifest.nights()})
    if line is not None and line not in lines:
        raise FlowsError(
            f"--line {line}: expected one of {', '.join(lines) or 'none yet'}; run "
            "`stillhouse corpus list`"
        )
    across = split_passes(lake, snapshot)
    units: dict[str, ExportUnit] = {}
    nights: list[Night] = []
    left_out: list[str] = []
    for name in [line] if line is not None else lines:
        for claim, (*_, own) in units_by_night(lake, name):
            if night is not None and claim.night != night:
                continue
            reason = _reason_against(lake, own, snapshot)
            if reason is not None:
                left_out.append(f"{claim.line}, night {claim.night}: {reason}")
                continue
            nights.append(claim)
            unit = _unit(claim, own, across)
            units[unit.run_id] = _merged(units.get(unit.run_id), unit)
    if not units:
        raise _nothing(lake, line, night, left_out)
    return Chosen(tuple(nights), tuple(units.values()), tuple(left_out))


def listed_corpora(lake: Lake) -> pa.Table:
    """One row for each night's stories and each import: documents, accepted ones, their bytes."""
    found = {row["run_id"]: row for row in lake.query(_LISTED).to_pylist()}
    rows = []
    for line in sorted({claim.line for claim in lake.manifest.nights()}):
        for claim, (*_, own) in units_by_night(lake, line):
            counted = found.pop(own.run_id, None)
            if counted is not None:
                rows.append({**counted, "corpus": line, "night": claim.night})
    imports = sorted(
        (row for row in found.values() if row["licence"] is not None),
        key=lambda row: str(row["corpus"]),
    )
    return pa.Table.from_pylist([*rows, *imports], schema=_LIST)


def known_teachers() -> dict[str, KnownTeacher]:
    """The pulled teachers that come by name, by their digest; read from the lists of sums that
    their pulls left, so no weights are read.
    """
    cache = cache_folder()
    known: dict[str, KnownTeacher] = {}
    for packaged in PACKAGED_TEACHERS.values():
        sums = packaged_folder(packaged, cache) / _SUMS
        known[_digest_of(sums)] = KnownTeacher(packaged.name, packaged.licence)
    for hub in HUB_TEACHERS.values():
        folder = hub_folder(hub.hub_id, cache)
        sums = folder.with_name(f"{folder.name}.{_SUMS}")
        known[_digest_of(sums)] = KnownTeacher(hub.name, hub.licence)
    return known


def _digest_of(path: Path) -> str:
    """As describe_teacher has it, from the list of sums; that of nothing where there is no list."""
    _, sums = read_sums(path)
    files = {
        name: sum_
        for name, sum_ in sums.items()
        if any(Path(name).match(pattern) for pattern in MODEL_FILES)
    }
    return digest(files)


def _reason_against(lake: Lake, own: Unit, snapshot: int) -> str | None:
    """Why a night's stories are not for training on, as the lake was then; None if they are."""
    key = shard_key(own.pass_id, 0)
    if not lake.is_committed(VERDICTS.name, key, snapshot=snapshot):
        return "not finished"
    broken = json.loads(lake.manifest.ledger().shards[VERDICTS.name, key].facts).get(BREAKS)
    return f"beyond its limits of {', '.join(broken)}" if broken else None


def _unit(claim: Night, own: Unit, across: tuple[str, ...]) -> ExportUnit:
    """The night's stories, spoken of by its own pass and by those that looked across the split."""
    share = json.loads(claim.asked)["recipe"]["night"]["held_out_share"]
    return ExportUnit(claim.line, claim.night, own.run_id, (own.pass_id, *across), share)


def _merged(first: ExportUnit | None, unit: ExportUnit) -> ExportUnit:
    """Two lines that asked for the same have one unit: it stays the first one's, less what any
    pass refused.
    """
    if first is None:
        return unit
    passes = tuple(dict.fromkeys((*first.pass_ids, *unit.pass_ids)))
    return replace(first, pass_ids=passes)


def _nothing(
    lake: Lake, line: str | None, night: str | None, left_out: Sequence[str]
) -> FlowsError:
    if left_out:
        return FlowsError(
            f"expected a finished night that keeps its limits, found {left_out[0]}; run its stage "
            "generate to the end, or the next night"
        )
    nights = sorted({c.night for c in lake.manifest.nights() if line in (None, c.line)})
    if night is not None and nights:
        return FlowsError(f"--night {night}: expected one of {', '.join(nights)}")
    return FlowsError(
        f"{lake.root}: expected at least one finished night, found none; make one with "
        "`stillhouse run quickstart`"
    )
