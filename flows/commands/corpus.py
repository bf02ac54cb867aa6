"""Corpora on the command line: out to files with a data card, in from files or a hub, listed."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import Data, guarded, say
from flows.defaults import DEFAULT_DATA

app = typer.Typer()
corpus_app = typer.Typer(no_args_is_help=True, help="Corpora: export, import, list.")
app.add_typer(corpus_app, name="corpus")


@corpus_app.command("export")
@guarded
def export_command(
    to: Annotated[
        Path, typer.Option("--to", metavar="FOLDER", help="Where to; empty, or not there yet.")
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="hf|jsonl|parquet|txt",
            help="hf: a folder that `datasets.load_dataset` reads; txt: a line <|endoftext|> "
            "after each text.",
        ),
    ] = "hf",
    line: Annotated[str | None, typer.Option(help="Of this line; left open, of all.")] = None,
    night: Annotated[str | None, typer.Option(help="Of this night; left open, of all.")] = None,
    split: Annotated[
        str, typer.Option(metavar="train|held_out|all", help="Which side of the split.")
    ] = "all",
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Rejected attempts too, in files of their own.")
    ] = False,
    teacher_licence: Annotated[
        str | None,
        typer.Option(
            metavar="SPDX", help="The teacher's licence, for the card, where it is not known here."
        ),
    ] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Write accepted texts with their prompts and a data card; the same again has equal bytes."""
    from flows.corpora import chosen_corpora, known_teachers
    from flows.data_card import CardFacts, data_card
    from flows.progress import track
    from warehouse.exchange_export import ExportRequest, export_corpus, num_attempts
    from warehouse.lake import Lake

    with Lake.open(data) as lake:
        snapshot = lake.manifest.snapshot()
        request = ExportRequest(form, split, rejected, snapshot)
        chosen = chosen_corpora(lake, line, night, snapshot)
        for left_out in chosen.left_out:
            say(f"left out: {left_out}")
        digest = lake.digest(snapshot=snapshot)
        facts = CardFacts(chosen, request, digest, known_teachers(), teacher_licence)
        with track("export", num_attempts(lake, chosen.units, snapshot), "attempts") as bar:
            is_new, counts = export_corpus(
                lake, chosen.units, request, to, lambda c: data_card(facts, c), bar.advance
            )
    written = ", ".join(f"{name} {counts.stories[name]}" for name in request.splits)
    say(f"{written}{'' if is_new else '; all of it was there already'}")
    typer.echo(to)


@corpus_app.command("import")
@guarded
def import_command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A JSONL, Parquet or text file, a folder of them, a Hugging Face dataset's "
            "folder or hub id (owner/name).",
        ),
    ],
    name: Annotated[str, typer.Option(help="What it is called in this lake.")],
    licence: Annotated[
        str, typer.Option(metavar="SPDX", help="Its licence, as CC-BY-4.0 or LicenseRef-our-own.")
    ],
    text_column: Annotated[str, typer.Option(help="The column that holds the text.")] = "text",
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="auto|hf|jsonl|parquet|txt",
            help="auto: as the files are called; hf: read by the library `datasets`.",
        ),
    ] = "auto",
    origin: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Where it comes from; left open, the source's name."),
    ] = None,
    max_bytes: Annotated[
        int, typer.Option(help="Longer documents are rejected; their beginning is kept.")
    ] = 100_000,
    data: Data = DEFAULT_DATA,
) -> None:
    """Bring texts from outside into the lake, as a whole or not at all, with origin and licence."""
    from datagen.measures import words_of
    from flows.progress import track
    from warehouse.exchange import ImportRequest, import_corpus, open_source
    from warehouse.lake import Lake

    opened = open_source(source, form, text_column)
    request = ImportRequest(
        name, origin or opened.origin, licence, max_bytes, lambda text: len(words_of(text))
    )
    with (
        Lake.open(data, create=True) as lake,
        track("import", opened.total, opened.unit) as bar,
    ):
        done = import_corpus(lake, opened, request, bar.advance)
    for reason, num in done.reasons.items():
        say(f"rejected, {reason}: {num}")
    was_there = "" if done.is_new else "; it was there already, nothing was added"
    say(f"{done.num_accepted} of {done.num_documents} documents accepted{was_there}")
    typer.echo(done.run_id)


@corpus_app.command("list")
@guarded
def list_command(data: Data = DEFAULT_DATA) -> None:
    """What texts the lake holds: each night's, and each import."""
    from flows.corpora import listed_corpora
    from flows.output import write_rows
    from warehouse.lake import Lake

    with Lake.open(data) as lake:
        rows = listed_corpora(lake)
    write_rows(rows, "table")
