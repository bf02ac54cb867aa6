"""A line's champion: who it is, where `champion/<line>` shows it, and changes by hand.

The manifest is the truth. A change is one transaction: the champion's row, and the row of
`promotions` that says why. Only then the link is moved, by a rename, and only to a student whose
folder was compared with its row; so whatever is killed when, the link names the old champion or the
new one, whole, and the same command again, or the line's next night, ends what is left.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from flows.errors import FlowsError
from flows.student_cards import write_card
from flows.students import load_checked_student, student_folder
from warehouse.identity import digest
from warehouse.lake import Lake
from warehouse.ledger import ChampionRow
from warehouse.locks import hold_file
from warehouse.nights import ChampionChange
from warehouse.schemas import EVALUATIONS, PROMOTIONS
from warehouse.shards import sync_folder

Reason = Literal["forced", "put_back", "rolled_back"]
_BY_THE_RULE = ("first_student", "better")
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Standing:
    """A line's champion (None: nobody yet), the change that put it there, the champion that a
    rollback would put back, and whom the link shows.
    """

    line: str
    champion: str | None
    last: ChampionRow | None
    before: str | None
    linked: str | None

    @property
    def num_changes(self) -> int:
        """How often the line's champion changed."""
        return self.last.ordinal if self.last else 0

    @property
    def is_rolled_back(self) -> bool:
        """Whether a rollback put the champion there."""
        return self.last is not None and self.last.night.startswith("rolled_back/")


def standing(lake: Lake, line: str) -> Standing:
    """How things stand now; FlowsError names the lines there are if that is none of them."""
    ledger = lake.manifest.ledger()
    changes = ledger.champions.get(line, ())
    lines = sorted({name for name, _ in ledger.nights} | ledger.champions.keys())
    if line not in lines:
        raise FlowsError(
            f"line {line}: expected a line of this lake ({', '.join(lines) or 'none yet'}); name "
            "one of them, or run a night of it first"
        )
    places = _places(changes)
    return Standing(
        line=line,
        champion=ledger.champion(line),
        last=changes[-1] if changes else None,
        before=places[-2] if len(places) > 1 else None,
        linked=_linked(lake, line),
    )


def since_words(change: ChampionRow) -> str:
    """What put a champion in its place, in words."""
    reason, by_hand, _ = change.night.partition("/")
    return f"{reason.replace('_', ' ')} by hand" if by_hand else f"night {change.night}"


def link_champion(lake: Lake, line: str) -> None:
    """Let `champion/<line>` name the champion's folder, for people and programs that do not ask the
    manifest; nothing for a line without one.

    The lock has the manifest read and the link moved as one, so nobody puts an older answer over a
    newer one. A kill lets go of it.
    """
    with hold_file(lake.root / "work" / f".champion-{line}.lock"):
        student = lake.manifest.champion(line)
        if student is None or student == _linked(lake, line):
            return
        folder = student_folder(lake, student)
        if not folder.is_dir():
            raise FlowsError(
                f"line {line}: expected its champion in {folder}, found nothing; put the folder "
                f"back, or `stillhouse champion rollback {line}`"
            )
        link = lake.root / "champion" / line
        link.parent.mkdir(exist_ok=True)
        fresh = link.with_name(f".{line}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(Path("..") / folder.relative_to(lake.root))
        os.replace(fresh, link)
        sync_folder(link.parent)


def promote_by_hand(
    lake: Lake,
    line: str,
    student: str,
    *,
    is_forced: bool,
    note: str | None,
    expected: str | None = None,
) -> bool:
    """Put the student into the line's place; False if it is the champion already.

    FlowsError, with nothing changed, if it is no student of the line, is not whole, or the rule
    never promoted it and that is not forced; ChampionChangedError if the champion is not
    `expected` (None: the one that is there now) when the change is made.
    """
    now = standing(lake, line)
    if now.champion == student:
        complete(lake, line)
        return False
    _check_expected(now, expected)
    _check_of_line(lake, line, student)
    reason: Reason = "put_back"
    if not _was_promoted(lake, line, student):
        if not is_forced or not note:
            raise FlowsError(_not_promoted(lake, line, student))
        reason = "forced"
    load_checked_student(lake, student)
    _change(lake, now, student, reason, note)
    return True


def roll_back(
    lake: Lake, line: str, *, note: str | None = None, expected: str | None = None
) -> bool:
    """Put the champion before the line's last promotion back; False if that was done already.

    Asked twice it rolls back once: after a rollback it goes further back only from a champion that
    is named. FlowsError, with nothing changed, if there is nobody to go back to, or not whole;
    ChampionChangedError if the champion is another one when the change is made.
    """
    now = standing(lake, line)
    is_again = expected is None or (now.last is not None and expected == now.last.previous_id)
    if now.is_rolled_back and is_again:
        complete(lake, line)
        return False
    _check_expected(now, expected)
    if now.before is None:
        raise FlowsError(
            f"line {line}: expected a champion before {now.champion or 'nobody'}, found none; "
            f"`stillhouse champion history {line}` lists who could be promoted instead"
        )
    load_checked_student(lake, now.before)
    _change(lake, now, now.before, "rolled_back", note)
    return True


def complete(lake: Lake, line: str) -> None:
    """Make what follows from the champion, if a kill left it undone: the link, its card, the
    catalog.
    """
    link_champion(lake, line)
    champion = lake.manifest.champion(line)
    if champion is not None:
        write_card(lake, champion)
    if not lake.is_published():
        lake.publish()


def _change(lake: Lake, now: Standing, new: str, reason: Reason, note: str | None) -> None:
    label = f"{reason}/{now.num_changes + 1}"
    run_id = digest("champion by hand", now.line, label, now.champion, new, note)
    row = {
        "line": now.line,
        "night": label,
        "run_id": run_id,
        "challenger_id": new,
        "champion_id": now.champion,
        "promoted": True,
        "reason": reason,
        "explanation": _explanation(now, reason, note),
        "num_selection": 0,
        "num_confirmation": 0,
        "note": note,
    }
    lake.commit_shard(
        run_id,
        0,
        {PROMOTIONS.name: pa.Table.from_pylist([row], schema=PROMOTIONS.schema)},
        champion=ChampionChange(now.line, label, now.champion, new, now.num_changes),
    )
    complete(lake, now.line)


def _explanation(now: Standing, reason: Reason, note: str | None) -> str:
    told = {
        "forced": "promoted by hand, though the rule did not promote it",
        "put_back": "promoted by hand; the rule promoted it on an earlier night",
        "rolled_back": "put back by hand in place of the champion that came after it",
    }[reason]
    return f"{told}: {note}" if note else told


def _places(changes: Sequence[ChampionRow]) -> list[str]:
    """The champions in the order in which rollbacks go back through them, the present one last."""
    places: list[str] = []
    for change in changes:
        if change.night.startswith("rolled_back/"):
            places.pop()
        else:
            places.append(change.student_id)
    return places


def _linked(lake: Lake, line: str) -> str | None:
    """The student that the link names, or None where there is no link."""
    link = lake.root / "champion" / line
    return link.readlink().name if link.is_symlink() else None


def _check_expected(now: Standing, expected: str | None) -> None:
    if expected is not None and expected != now.champion:
        raise FlowsError(
            f"line {now.line}: expected the champion {expected}, found {now.champion or 'nobody'}; "
            f"look at `stillhouse champion show {now.line}` and decide again"
        )


def _check_of_line(lake: Lake, line: str, student: str) -> None:
    """A student that the line never measured may have other ids, fewer positions, or be none."""
    rows = lake.read(EVALUATIONS.name, columns=["line", "subject_id", "role"]).to_pylist()
    roles = ("challenger", "control")
    found = [r["subject_id"] for r in rows if r["line"] == line and r["role"] in roles]
    if student not in found:
        named = ", ".join(list(dict.fromkeys(reversed(found)))[:_MOST_NAMED]) or "none yet"
        raise FlowsError(
            f"line {line}: expected a student that a night of it measured (as {named}), found "
            f"{student}; `stillhouse champion history {line}` lists the challengers"
        )


def _decisions(lake: Lake, line: str, student: str) -> list[dict[str, Any]]:
    rows = lake.read(PROMOTIONS.name).to_pylist()
    return [row for row in rows if (row["line"], row["challenger_id"]) == (line, student)]


def _was_promoted(lake: Lake, line: str, student: str) -> bool:
    decisions = _decisions(lake, line, student)
    return any(row["promoted"] and row["reason"] in _BY_THE_RULE for row in decisions)


def _not_promoted(lake: Lake, line: str, student: str) -> str:
    told = [
        f"night {row['night']} {row['explanation']}"
        for row in _decisions(lake, line, student)
        if row["reason"] != "forced"
    ]
    return (
        f"line {line}: expected a student that the rule promoted, found {student}: "
        f"{'; '.join(told) or 'no night decided on it'}; to put it there all the same: --force "
        "--reason TEXT"
    )
