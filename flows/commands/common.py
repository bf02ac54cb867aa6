"""What every command shares: its errors as one line, the exit codes, where the lake is."""

import errno
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn, ParamSpec

import typer

P = ParamSpec("P")
DEFECT_FOUND, IMPOSSIBLE, STOPPED, NOBODY_READS = 1, 2, 130, 141
_FULL = "free space and run the same command again: it goes on where it was"
_NOT_ALLOWED = "allow it, or choose another folder (--data for the lake)"
_NO_FOLDER = "name a folder there (--data for the lake), or move what is in its place away"
_WHAT_TO_DO = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _NOT_ALLOWED,
    errno.EPERM: _NOT_ALLOWED,
    errno.EROFS: _NOT_ALLOWED,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EEXIST: _NO_FOLDER,
    errno.ENOENT: _NO_FOLDER,
    errno.EMFILE: "close files, or raise the limit (ulimit -n), and run again",
    errno.EIO: "the disk reports a defect: look at its health before you run again",
}

Data = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="STILLHOUSE_DATA",
        metavar="DIR",
        help="Where the lake is; it is made on the first run.",
    ),
]
AsCsv = Annotated[bool, typer.Option("--csv", help="Comma separated values on standard output.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """The command with our errors as one line and exit code 2 (1 for stories that are refused), and
    Ctrl-C as exit code 130.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        interrupt = _Interrupt()
        try:
            from datagen.errors import DatagenError
            from distill.errors import DistillError
            from flows.errors import CorpusRefused, FlowsError
            from warehouse.errors import WarehouseError

            ours = (DatagenError, DistillError, FlowsError, WarehouseError)
            command(*args, **kwargs)
        except BaseException as exc:
            if interrupt.came or isinstance(exc, KeyboardInterrupt):
                typer.echo("stillhouse: stopped; the same command goes on where it was", err=True)
                # Whoever is tired of waiting for the last threads presses again, and it is over.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                raise SystemExit(STOPPED) from None
            if isinstance(exc, BrokenPipeError):
                # Whoever read our output has what it wanted (`| head`); Python's own last flush
                # would complain again.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise SystemExit(NOBODY_READS) from None
            if isinstance(exc, OSError):
                _refuse(_system_error(exc), exc)
            if isinstance(exc, CorpusRefused):
                _refuse(str(exc), exc, DEFECT_FOUND)
            if isinstance(exc, ours):
                _refuse(str(exc), exc)
            raise
        finally:
            interrupt.forget()

    return run


class _Interrupt:
    """Whether Ctrl-C came. Libraries turn the KeyboardInterrupt that hits them into errors of their
    own, so the signal itself is remembered.
    """

    def __init__(self) -> None:
        self.came = False
        # Else somebody wants it ignored (nohup), or this is not the main thread.
        self._is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        self._is_ours &= threading.current_thread() is threading.main_thread()
        if self._is_ours:
            signal.signal(signal.SIGINT, self._remember)

    def forget(self) -> None:
        if self._is_ours and not self.came:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        signal.default_int_handler(number, frame)


def _refuse(told: str, error: Exception, code: int = IMPOSSIBLE) -> NoReturn:
    """One line, whatever stands in a path or a value."""
    line = "".join(sign if sign.isprintable() else " " for sign in told)
    typer.echo(f"stillhouse: {line}", err=True)
    raise SystemExit(code) from error


def _system_error(error: OSError) -> str:
    """What the system refused, where, and what to do about it."""
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    what_to_do = _WHAT_TO_DO.get(error.errno or 0)
    return f"{where}{error.strerror or error}{f'; {what_to_do}' if what_to_do else ''}"


def say(message: object) -> None:
    """A line on standard error: what happens, beside what a command answers."""
    print(message, file=sys.stderr)
