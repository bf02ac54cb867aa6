"""Bits per byte on the command line: any model, any text, side by side."""

from typing import Annotated

import typer

from flows.commands.common import AsJson, Data, guarded, say
from flows.defaults import DEFAULT_DATA

app = typer.Typer()


@app.command("evaluate")
@guarded
def evaluate_command(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help="champion/LINE, challenger/LINE, control/LINE (of a night: challenger/LINE/NIGHT)"
            ", a student's id, a folder that transformers reads (safetensors), a teacher's name "
            "or a hub id. Several stand side by side, on the same documents.",
        ),
    ],
    text: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Text of your own: .txt is one document, or several that end with a line "
            "<|endoftext|>; .jsonl and .parquet have one in each row; repeatable.",
        ),
    ] = None,
    held_out: Annotated[
        str | None,
        typer.Option(
            metavar="LINE[/NIGHT]",
            help="The stories of a line that its students were not trained on; with them comes a "
            "unigram model of those that they were, in the first MODEL's tokens.",
        ),
    ] = None,
    text_column: Annotated[
        str, typer.Option(help="The column of rows that holds the text.")
    ] = "text",
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="So many documents at most: always the same ones."),
    ] = None,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Measure how well models predict a text, in bits per byte: lower is better.

    `stillhouse evaluate champion/quickstart smollm2-135m-instruct-q4 --text stories.txt`

    The figure has the end symbol in it and stands with its 95 % interval over documents; beside it
    the figure without the end, which other tools print. Below, for two models and more, each
    difference from the first with its own interval: below 0, the first is better. A text that is
    longer than a model reads is scored in windows that overlap, each byte once.
    """
    from flows.comparing import compare
    from flows.likelihood_rows import figure_rows, narrow
    from flows.measured_texts import first_documents, open_texts
    from flows.output import write_rows

    with open_texts(text or [], text_column, held_out, data) as (texts, training):
        chosen = first_documents(texts, limit)
        for reason, num in chosen.left_out.items():
            say(f"left out, {reason}: {num}")
        say(f"{len(chosen.documents)} documents of {chosen.origin}")
        rows = figure_rows(compare(models, chosen.documents, training, data, say))
    write_rows(rows if as_json else narrow(rows), "json" if as_json else "table")
