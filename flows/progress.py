"""Progress of long steps: a bar with rate and time left on a terminal, a line now and then in a
log.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_LOG_EVERY_S = 15.0
# A first shard is small and slow: what is left is not told from less than this share.
_FIRST_ESTIMATE = 0.1
logger = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def terminal() -> Console:
    """Standard error, shared by bars and log lines so that they do not write over each other."""
    return Console(stderr=True)


class StoppedError(Exception):
    """The step was stopped by somebody else: Ctrl-C, or a fault beside this thread."""


@dataclass(slots=True)
class Track:
    """One long step: how much of it is done, and what it works through besides (tokens).

    Threads that share it end once it is stopped: whoever counts tokens then gets StoppedError.
    """

    label: str
    total: int
    unit: str
    _bar: Progress | None
    _task: TaskID | None
    _started_s: float = field(default_factory=time.monotonic)
    _said_s: float = field(default_factory=time.monotonic)
    _done: int = 0
    _tokens: int = 0
    _note: str = ""
    _is_stopped: bool = False

    def advance(self, done: int = 1) -> None:
        """So many more units are done."""
        self._done += done
        self._show()

    def count_tokens(self, tokens: int) -> None:
        """So many more tokens went by."""
        if self._is_stopped:
            raise StoppedError
        self._tokens += tokens
        self._show()

    def note(self, text: str) -> None:
        """Stand behind the rate from now on."""
        self._note = f", {text}"

    def stop(self) -> None:
        """Have the threads that work on the step end at their next token."""
        self._is_stopped = True

    def _show(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, rate=self._rate() + self._note)
        elif time.monotonic() - self._said_s >= _LOG_EVERY_S:
            self._said_s = time.monotonic()
            logger.info(
                "%s: %d/%d %s, %s%s%s",
                self.label,
                self._done,
                self.total,
                self.unit,
                self._rate(),
                self._note,
                self._left(),
            )

    def _rate(self) -> str:
        elapsed_s = max(time.monotonic() - self._started_s, 1e-3)
        if self._tokens:
            return f"{self._tokens / elapsed_s:,.0f} tok/s"
        return f"{self._done / elapsed_s:,.1f} {self.unit}/s"

    def _left(self) -> str:
        if self._done < _FIRST_ESTIMATE * self.total:
            return ""
        left_s = (time.monotonic() - self._started_s) / self._done * (self.total - self._done)
        return (
            f", about {left_s / 60:.0f} min left"
            if left_s >= 90
            else f", about {left_s:.0f} s left"
        )


@contextmanager
def track(label: str, total: int, unit: str) -> Iterator[Track]:
    """Show the progress of a step of `total` units while the block runs."""
    console = terminal()
    if not console.is_terminal:
        yield Track(label, total, unit, None, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(escape(f"{label} ({unit})"), total=total, rate="")
        yield Track(label, total, unit, bar, task)
