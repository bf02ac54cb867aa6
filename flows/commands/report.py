"""The night's report on the command line."""

from typing import Annotated

import typer

from flows.commands.common import Data, guarded, say
from flows.defaults import DEFAULT_DATA

app = typer.Typer()


@app.command("report")
@guarded
def report_command(
    line: Annotated[
        str | None, typer.Option(help="Whose night; left open, the line that was decided last.")
    ] = None,
    night: Annotated[
        str | None, typer.Option(help="Which night; left open, the line's newest.")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Write a night's page and the index of all nights, and print where the page is."""
    from flows.report.choosing import chosen_night
    from flows.report.page import write_report
    from warehouse.lake import Lake

    with Lake.open(data) as lake:
        path = write_report(lake, *chosen_night(lake, line, night))
    typer.echo(path)
    if open_it:
        _show(path.as_uri())


def _show(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        say(f"stillhouse: found no browser here; open {address} in one")
