"""Nights on the command line: run one, let its champion tell a story."""

from typing import Annotated

import typer

from flows.commands.common import AsCsv, AsJson, Data, guarded
from flows.defaults import DEFAULT_DATA
from flows.stages import STAGES, Stage

app = typer.Typer()

# What fits a terminal; --csv and --json have every column.
_NARROW = """
    line, night, num_accepted AS stories, num_prompt_tokens AS "read", num_tokens AS written,
    round(wall_s)::int AS seconds, round(price, 4) AS price, currency, reached"""


@app.command("run")
@guarded
def run_command(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A shipped recipe (quickstart, production, smoke) or the path of a .toml file."
        ),
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


@app.command("cost")
@guarded
def cost_command(
    as_csv: AsCsv = False,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Print what the stories of each night cost: tokens that the teacher read and wrote, seconds by
    the clock, price.

    Prices come from the recipe's section [budget]; where it names none, the column is empty. By
    shard: `stillhouse sql "select * from costs"`; by stage: `... "select * from runs"`.
    """
    from flows.output import chosen_form, write_rows
    from warehouse.lake import Lake

    form = chosen_form(as_csv=as_csv, as_json=as_json)
    with Lake.open(data) as lake:
        rows = lake.query(f"SELECT {_NARROW if form == 'table' else '*'} FROM nightly_costs")
    write_rows(rows, form)


@app.command("tell")
@guarded
def tell_command(
    words: Annotated[
        str | None,
        typer.Option(
            help='Words that the story should use, as "jump, boat, happy"; none: any story.'
        ),
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            "--feature",
            help="A feature of the story, as dialogue: a value of its prompt family; repeatable. "
            "This, --sentence and --summary are for students of train.context = instruct.",
        ),
    ] = None,
    sentence: Annotated[
        str | None, typer.Option(help="A sentence that the story should hold.")
    ] = None,
    summary: Annotated[str | None, typer.Option(help="What the story is about, in a line.")] = None,
    line: Annotated[str, typer.Option(help="Whose champion tells the story.")] = "quickstart",
    seed: Annotated[int, typer.Option(min=0, help="Another seed tells another story.")] = 0,
    vocabulary: Annotated[
        str | None,
        typer.Option(
            help="Only words and signs of this vocabulary, a shipped one (age3) or a file; "
            "words asked for are drawn in. Left out: any words."
        ),
    ] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Let a line's champion tell a story."""
    from datagen.instruct import Ask
    from flows.telling import tell

    asked = tuple(word.strip() for word in words.split(",")) if words else ()
    ask = Ask(asked, tuple(features or ()), sentence, summary)
    typer.echo(tell(data, line, ask, seed, vocabulary))


def _stages(only: str | None) -> tuple[Stage, ...]:
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
