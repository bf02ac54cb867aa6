"""The rules of claims: a night is claimed once, a champion is changed only from the one that the
night met.

Pure functions from a ledger to the rows to append; the manifest runs them while nobody else can
write.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from warehouse.errors import ChampionChangedError, NightConflictError
from warehouse.identity import Json
from warehouse.ledger import ChampionRow, Ledger, Night


@dataclass(frozen=True, slots=True)
class NightRequest:
    """What a night asks to claim.

    `num_indices` plan indices; `numerics`: the class of machine and engine that all its shards
    must come from; `asked`: the canonical JSON text of all that must be the same when the night is
    run again; `num_unwritten`: plan indices at the end of the line's last claim that a budget left
    unwritten, where this night begins if it is new.
    """

    line: str
    night: str
    num_indices: int
    numerics: str
    asked: str
    num_unwritten: int = 0


@dataclass(frozen=True, slots=True)
class ChampionChange:
    """A change of a line's champion from `expected` to `new`, asked for by `night`.

    `num_before`: for a change that no night asks for, how many changes the line must have seen, so
    that it is made from the very state that was looked at; None: a night's, which is made once
    however often it is asked for.
    """

    line: str
    night: str
    expected: str | None
    new: str
    num_before: int | None = None


def claimed_night(ledger: Ledger, request: NightRequest) -> Sequence[Night]:
    """The row that claims the night, or none if it was claimed before for the same; else raises
    NightConflictError.
    """
    first = ledger.nights.get((request.line, request.night))
    if first is not None:
        _refuse_another(first, request)
        return []
    earlier = [night for night in ledger.nights.values() if night.line == request.line]
    last = max(earlier, key=lambda night: night.ordinal, default=None)
    end = 0 if last is None else last.first_index + last.num_indices
    night = Night(
        line=request.line,
        night=request.night,
        ordinal=len(earlier) + 1,
        first_index=end - request.num_unwritten,
        num_indices=request.num_indices,
        parent_snapshot=ledger.snapshot,
        champion_id=ledger.champion(request.line),
        numerics=request.numerics,
        asked=request.asked,
    )
    return [night]


def changed_champion(ledger: Ledger, change: ChampionChange) -> tuple[bool, Sequence[ChampionRow]]:
    """Whether the change stands, and the row that it still needs, if any."""
    changes = ledger.champions.get(change.line, ())
    if change.num_before is not None and change.num_before != len(changes):
        return False, []
    for made in changes:
        if made.night == change.night:
            return made.student_id == change.new, []
    if ledger.champion(change.line) != change.expected:
        return False, []
    row = ChampionRow(change.line, len(changes) + 1, change.night, change.new, change.expected)
    return True, [row]


def champion_rows(ledger: Ledger, change: ChampionChange) -> Sequence[ChampionRow]:
    """The row that the change still needs, if any; ChampionChangedError if it cannot be made."""
    is_standing, rows = changed_champion(ledger, change)
    if not is_standing:
        raise ChampionChangedError(
            f"line {change.line}: expected the champion {change.expected or 'nobody'} to change, "
            f"found {ledger.champion(change.line) or 'nobody'} in its place; look at `stillhouse "
            f"champion show {change.line}` and decide again"
        )
    return rows


def _refuse_another(first: Night, request: NightRequest) -> None:
    before = _flat(first.asked) | {"num_indices": first.num_indices, "numerics": first.numerics}
    now = _flat(request.asked) | {
        "num_indices": request.num_indices,
        "numerics": request.numerics,
    }
    differences = [
        f"{key} was {_shown(before, key)}, now {_shown(now, key)}"
        for key in sorted(before.keys() | now.keys())
        if key not in before or key not in now or before[key] != now[key]
    ]
    if differences:
        raise NightConflictError(
            f"night {request.night} of {request.line} was claimed for something else: "
            f"{'; '.join(differences)}; ask for the same again, or for another night"
        )


def _shown(values: dict[str, Json], key: str) -> str:
    return json.dumps(values[key], ensure_ascii=False) if key in values else "not set"


def _flat(text: str) -> dict[str, Json]:
    """The leaves of a JSON text by their dotted keys; what is not JSON is one leaf named
    `asked`.
    """
    try:
        return dict(_leaves(json.loads(text), ""))
    except json.JSONDecodeError:
        return {"asked": text}


def _leaves(value: Json, prefix: str) -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix or "asked", value
