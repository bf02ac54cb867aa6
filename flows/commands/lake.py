"""The lake on the command line: SQL over it, and looking after it."""

from typing import Annotated

import typer

from flows.commands.common import DEFECT_FOUND, AsCsv, AsJson, Data, guarded
from flows.defaults import DEFAULT_DATA

app = typer.Typer()
lake_app = typer.Typer(no_args_is_help=True, help="Look after the lake: digest, verify, publish.")
app.add_typer(lake_app, name="lake")


@app.command("sql")
@guarded
def sql_command(
    query: Annotated[
        str,
        typer.Argument(
            help='One SELECT, as "select * from leaderboard"; `show tables` lists what there is.'
        ),
    ],
    as_csv: AsCsv = False,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Query the lake with SQL, read-only and over checked bytes."""
    from flows.output import chosen_form, write_rows
    from warehouse.lake import Lake

    form = chosen_form(as_csv=as_csv, as_json=as_json)
    with Lake.open(data) as lake:
        rows = lake.query(query)
    write_rows(rows, form)


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
    """Compare every byte of the lake, and every student, with what was written; a line for each
    defect, exit code 1.
    """
    from flows.verification import lake_defects

    defects = lake_defects(data)
    for defect in defects:
        typer.echo(f"{defect.path}: {defect.what}")
    if defects:
        raise SystemExit(DEFECT_FOUND)
    typer.echo("every file and every student is as it was written")


@lake_app.command("publish")
@guarded
def publish_command(data: Data = DEFAULT_DATA) -> None:
    """Write catalog.duckdb, which any DuckDB client can read while nights go on."""
    from warehouse.lake import Lake

    with Lake.open(data) as lake:
        typer.echo(lake.publish())
