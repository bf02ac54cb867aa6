"""Canaries on the command line."""

from typing import Annotated

import typer

from flows.commands.common import Data, guarded, say
from flows.defaults import DEFAULT_DATA

app = typer.Typer()
canaries_app = typer.Typer(
    no_args_is_help=True,
    help="Canaries: random secrets in training text, to see what a student gives away.",
)
app.add_typer(canaries_app, name="canaries")


@canaries_app.callback()
def _canaries() -> None:
    """Canaries: random secrets in training text, to see what a student gives away."""


@canaries_app.command("plant")
@guarded
def plant_command(
    into: Annotated[str, typer.Option(metavar="IMPORT", help="The import to plant into.")],
    name: Annotated[str, typer.Option(help="What the import with canaries is called.")],
    repeats: Annotated[
        str,
        typer.Option(metavar="N,N,...", help="Into how many documents a canary is put."),
    ] = "1,10,100",
    each: Annotated[int, typer.Option(help="Canaries for each of these numbers.")] = 3,
    never: Annotated[
        int, typer.Option(help="Canaries that are not planted: what chance looks like.")
    ] = 20,
    seed: Annotated[int, typer.Option(help="Another seed draws other secrets and documents.")] = 1,
    max_bytes: Annotated[
        int, typer.Option(help="Longer documents, the canary included, hold none.")
    ] = 900,
    data: Data = DEFAULT_DATA,
) -> None:
    """Bring an import again under another name, with random secrets in some of its documents; the
    first one stays as it is. A recipe that names the new one has its students examined.
    """
    from flows.canaries import PlantRequest, plant_canaries
    from flows.errors import FlowsError
    from warehouse.lake import Lake

    try:
        num_repeats = tuple(int(number) for number in repeats.split(","))
    except ValueError as exc:
        raise FlowsError(
            f"--repeats {repeats}: expected whole numbers with commas between, as 1,10,100"
        ) from exc
    request = PlantRequest(into, name, num_repeats, each, never, seed, max_bytes)
    with Lake.open(data) as lake:
        done = plant_canaries(lake, request)
    was_there = "" if done.is_new else "; it was there already, nothing was added"
    say(f"{done.num_canaries} canaries, planted into {done.num_documents} documents{was_there}")
    typer.echo(done.run_id)
