"""Figures on the command line: any model on any text, suite or task, side by side."""

from typing import Annotated

import typer

from flows.commands.common import AsJson, Data, guarded, say
from flows.defaults import DEFAULT_DATA

app = typer.Typer()
_Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL",
        help="champion/LINE, challenger/LINE, control/LINE (of a night: challenger/LINE/NIGHT), a "
        "student's id, a folder that transformers reads (safetensors), a teacher's name or a hub "
        "id. Several stand side by side, on the same documents.",
    ),
]
_Texts = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="Text of your own: .txt is one document, or several that end with a line "
        "<|endoftext|>; .jsonl and .parquet have one in each row; repeatable.",
    ),
]
_HeldOut = Annotated[
    str | None,
    typer.Option(
        metavar="LINE[/NIGHT]",
        help="The stories of a line that its students were not trained on; with them comes a "
        "unigram model of those that they were, in the first MODEL's tokens.",
    ),
]
_Suites = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|FILE.yaml",
        help="A frozen suite of the lake (`stillhouse suites list`), of texts or minimal pairs; or "
        "a task of lm_eval (the extra `eval`) with data on this machine, whose Python functions, "
        "if it names any, are run; repeatable.",
    ),
]
_Limit = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="So many documents, pairs of a set or items of a task at most: always the same ones.",
    ),
]


@app.command("evaluate")
@guarded
def evaluate_command(
    models: _Models,
    text: _Texts = None,
    held_out: _HeldOut = None,
    suite: _Suites = None,
    text_column: Annotated[
        str, typer.Option(help="The column of rows that holds the text.")
    ] = "text",
    limit: _Limit = None,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Measure models on texts, frozen suites and tasks, with 95 % intervals, side by side.

    `stillhouse evaluate champion/quickstart smollm2-135m-instruct-q4 --text stories.txt`

    Texts are measured in bits per byte (lower is better), with the end symbol and without it, which
    is what other tools print; two models and more also get each difference from the first, with
    its own interval: below 0, the first is better. A text that is longer than a model reads is
    scored in windows that overlap, each byte once. Nothing is written to the lake.
    """
    from flows.comparing import compare
    from flows.errors import FlowsError
    from flows.figure_tables import narrow
    from flows.output import write_rows
    from flows.task_answers import is_task, open_tasks
    from flows.yardsticks import Wanted, open_yardsticks

    if not (text or held_out or suite):
        raise FlowsError(
            "expected one or more of --text FILE, --held-out LINE and --suite NAME, found none; "
            "`stillhouse evaluate --help` has an example"
        )
    frozen = [name for name in suite or [] if not is_task(name)]
    tasks = open_tasks([name for name in suite or [] if is_task(name)], limit)
    wanted = Wanted(text or [], text_column, held_out, frozen, limit)
    with open_yardsticks(wanted, data, say) as yardsticks:
        rows = compare(models, yardsticks, tasks, data, say)
    write_rows(rows if as_json else narrow(rows), "json" if as_json else "table")
