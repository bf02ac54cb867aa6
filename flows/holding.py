"""One process at a time works on a line: the lock that says so, and who holds it.

The system lets go of it when its process ends, however it ends; what stands in the file is for
people.
"""

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

# A night holds its line, and so do its stages inside it: only the outermost takes the lock.
_held: ContextVar[frozenset[Path]] = ContextVar("_held", default=frozenset())


@contextmanager
def hold_line(root: Path, line: str, night: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the line of that lake while the block runs; wait, and say for whom, while another
    process does.
    """
    path = root / "work" / f"{line}.lock"
    if path in _held.get():
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text(encoding="utf-8").strip() or "another process"
            say(f"line {line} is held by {holder}: waiting for it to end (Ctrl-C leaves)")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(_me(night))
        lock.flush()
        token = _held.set(_held.get() | {path})
        try:
            yield
        finally:
            _held.reset(token)
            lock.truncate(0)


def _me(night: str) -> str:
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"process {os.getpid()} on {socket.gethostname()} (night {night}, since {since} UTC)\n"
