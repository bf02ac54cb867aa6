"""What every command shares: its errors as one line, the exit codes, where the lake is."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

P = ParamSpec("P")
DEFECT_FOUND, IMPOSSIBLE, STOPPED = 1, 2, 130

Data = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="STILLHOUSE_DATA",
        metavar="DIR",
        help="Where the lake is; it is made on the first run.",
    ),
]
DEFAULT_DATA = Path("stillhouse-data")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """The command with our errors as one line and exit code 2, and Ctrl-C as exit code 130."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        from datagen.errors import DatagenError
        from distill.errors import DistillError
        from flows.errors import FlowsError
        from warehouse.errors import WarehouseError

        try:
            command(*args, **kwargs)
        except (DatagenError, DistillError, FlowsError, WarehouseError) as exc:
            typer.echo(f"stillhouse: {exc}", err=True)
            raise SystemExit(IMPOSSIBLE) from exc
        except OSError as exc:
            typer.echo(f"stillhouse: {exc.strerror or exc}: {exc.filename or ''}", err=True)
            raise SystemExit(IMPOSSIBLE) from exc
        except KeyboardInterrupt:
            typer.echo("stillhouse: stopped; the same command goes on where it was", err=True)
            raise SystemExit(STOPPED) from None

    return run


def say(message: object) -> None:
    """A line on standard error: what happens, beside what a command answers."""
    print(message, file=sys.stderr)
