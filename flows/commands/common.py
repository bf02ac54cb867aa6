"""What every command shares: its errors as one line, the exit codes, where the lake is."""

import errno
import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, ParamSpec

import typer

from flows.interrupts import has_come, remembering

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
        with remembering():
            try:
                command(*args, **kwargs)
            except BaseException as exc:
                _end(exc)
                raise

    return run


def _end(error: BaseException) -> None:
    """Leave with what a user is told of the error; return if it is a fault of ours."""
    if has_come() or isinstance(error, KeyboardInterrupt):
        typer.echo("stillhouse: stopped; the same command goes on where it was", err=True)
        # Whoever is tired of waiting for the last threads presses again, and it is over.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise SystemExit(STOPPED) from None
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has what it wanted (`| head`); Python's own last flush would
        # complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(NOBODY_READS) from None
    if isinstance(error, OSError):
        _refuse(_system_error(error), error)
    from datagen.errors import DatagenError
    from distill.errors import DistillError
    from flows.errors import CorpusRefused, FlowsError
    from warehouse.errors import WarehouseError

    if isinstance(error, CorpusRefused):
        _refuse(str(error), error, DEFECT_FOUND)
    if isinstance(error, DatagenError | DistillError | FlowsError | WarehouseError):
        _refuse(str(error), error)


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
