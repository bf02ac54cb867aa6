"""The house on the command line: a Prefect server, a worker and the deployments, up and down."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import DEFECT_FOUND, guarded, say

app = typer.Typer()


@app.command("up")
@guarded
def up_command(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            envvar="STILLHOUSE_DATA",
            metavar="DIR",
            help="Where the worker writes the lake; as the last time, or ./stillhouse-data.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="The port of the house's own server; as the last time, or 4200."
        ),
    ] = None,
) -> None:
    """Start Prefect's server and a worker, deploy, and check that scheduled nights will run.

    What stands already is left alone, so it can be typed again at any time: it takes up runs that
    a crash left behind. Where PREFECT_API_URL or Prefect's profile names a server, that one is
    used.
    """
    from flows.house.upkeep import up

    page = up(data, port)
    say("")
    typer.echo(page)
    say(
        "\n".join(
            (
                "",
                "Next",
                "  prefect deployment run 'nightly/quickstart' --watch   one night, now",
                "  prefect deployment schedule ls nightly/quickstart     when it runs by itself",
                "  stillhouse status                                     what runs, what comes",
                "  stillhouse down                                       stop; `up` goes on",
            )
        )
    )


@app.command("status")
@guarded
def status_command(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="Another lake than the one that the worker writes."
        ),
    ] = None,
) -> None:
    """Server, worker, runs, nights, champions, lake and disk; exit code 1 if something that should
    run does not.
    """
    from flows.house.status import house_status

    lines = house_status(data)
    for line in lines:
        typer.echo(f"{'' if line.is_well else '! '}{line.what}".ljust(11) + line.text)
    if not all(line.is_well for line in lines):
        raise SystemExit(DEFECT_FOUND)


@app.command("down")
@guarded
def down_command() -> None:
    """Stop the worker, then the server; a night at work goes on at the next `up`."""
    from flows.house.upkeep import down

    down()
