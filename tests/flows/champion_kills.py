"""Kills a change of champion before each of its steps, and looks at what is left.

Usage: python -m tests.flows.champion_kills LAKE WORK CHANGE EVERY

LAKE is champion_lake's. For step 1, 1 + EVERY, ... a copy of it in WORK, and a child that makes the
CHANGE and is killed (SIGKILL) right before that step: each file that is opened to be written,
removed, linked or renamed, each row that goes into the manifest and each commit. Then the link must
name the old champion or the new one, whole; and the change, made again, must come to its end.
Prints the number of steps. The children are forked from this process, which has loaded everything.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
import torch

from flows.champion_history import champion_history
from flows.champions import link_champion, promote_by_hand, roll_back
from flows.promote_student import commit_decision
from flows.students import load_checked_student
from tests.flows.champion_lake import FIRST, LINE, SECOND, THIRD, claim_night, decision
from warehouse.lake import Lake

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_STEPS = {"os.rename", "os.symlink", "os.link", "os.remove", "os.mkdir"}


def _night(lake: Lake) -> None:
    """As the stage `promote` and the night's end do it."""
    claim = claim_night(lake, "4")
    commit_decision(lake, claim, "decide-4", decision(THIRD, SECOND, "better"))
    link_champion(lake, LINE)
    if not lake.is_published():
        lake.publish()


def _force(lake: Lake) -> None:
    promote_by_hand(lake, LINE, THIRD, is_forced=True, note="a try")


def _back(lake: Lake) -> None:
    roll_back(lake, LINE, note="it babbles")


CHANGES: dict[str, tuple[Callable[[Lake], None], str, str]] = {
    "night": (_night, THIRD, "better"),
    "force": (_force, THIRD, "forced"),
    "rollback": (_back, FIRST, "rolled_back"),
}


def kill_at_every_step(lake: Path, work: Path, change: str, every: int) -> int:
    """How many steps the change has."""
    make, new, reason = CHANGES[change]
    step = 1
    while True:
        copy = _copied(lake, work / str(step))
        is_killed = _killed(make, copy, step)
        left = _champion_shown(copy)
        assert left in (SECOND, new), (step, left)
        with Lake.open(copy) as opened:
            assert opened.manifest.champion(LINE) in (SECOND, new), step
            assert opened.verify() == [], step
            make(opened)
            make(opened)
            rows = champion_history(opened, LINE).to_pylist()
        assert _champion_shown(copy) == new, step
        assert [row["reason"] for row in rows].count(reason) == 1 + (reason == "better"), step
        assert not list((copy / "champion").glob(".*")), step
        shutil.rmtree(copy)
        if not is_killed:
            return step - 1
        step += every


def _copied(lake: Path, copy: Path) -> Path:
    """A copy whose students are the same files: nobody writes into them."""
    shutil.copytree(lake, copy, symlinks=True, ignore=shutil.ignore_patterns("models"))
    shutil.copytree(lake / "models", copy / "models", copy_function=os.link)
    return copy


def _champion_shown(lake: Path) -> str:
    """The student that the link names, which is whole."""
    folder = (lake / "champion" / LINE).resolve(strict=True)
    with Lake.open(lake) as opened:
        load_checked_student(opened, folder.name)
    return folder.name


def _killed(make: Callable[[Lake], None], lake: Path, at_step: int) -> bool:
    """Whether a child that makes the change came to that step."""
    child = os.fork()
    if child == 0:
        _die_at(at_step)
        with Lake.open(lake) as opened:
            make(opened)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, at_step
    return False


def _die_at(at_step: int) -> None:
    """Have this process killed right before its step of that number, from 1 on."""
    seen = 0

    def step(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == at_step:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        is_write = event == "open" and bool(int(str(arguments[2])) & _WRITING)
        if is_write or event in _STEPS:
            step()

    def statement(_connection: object, _cursor: object, sql: str, *_: object) -> None:
        if sql.startswith("INSERT"):
            step()

    sa.event.listen(sa.Engine, "before_cursor_execute", statement)
    sa.event.listen(sa.Engine, "commit", step)
    sys.addaudithook(audit)


if __name__ == "__main__":
    torch.set_num_threads(1)
    lake_, work_, change_, every_ = sys.argv[1:5]
    print(kill_at_every_step(Path(lake_), Path(work_), change_, int(every_)))
