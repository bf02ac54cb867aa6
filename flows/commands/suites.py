"""Frozen suites on the command line: pairs of sentences and texts that students are measured on."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import AsCsv, AsJson, Data, guarded, say
from flows.defaults import DEFAULT_DATA

app = typer.Typer()
suites_app = typer.Typer(no_args_is_help=True, help="Frozen suites: add, list, show.")
app.add_typer(suites_app, name="suites")
_KINDS = ("pairs", "text")


@suites_app.command("add")
@guarded
def add_command(
    name: Annotated[str, typer.Argument(help="What it is called in this lake, for good.")],
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Files, or folders of them, on this machine."),
    ],
    origin: Annotated[str, typer.Option(metavar="TEXT", help="Where it comes from.")],
    licence: Annotated[
        str, typer.Option(metavar="SPDX", help="Its licence, as CC-BY-4.0 or LicenseRef-our-own.")
    ],
    kind: Annotated[
        str,
        typer.Option(
            metavar="pairs|text",
            help="pairs: JSON lines with `sentence_good` and `sentence_bad`; text: JSONL, Parquet "
            "or text files.",
        ),
    ] = "pairs",
    text_column: Annotated[
        str, typer.Option(help="Of --kind text: the column that holds the text.")
    ] = "text",
    data: Data = DEFAULT_DATA,
) -> None:
    """Freeze a suite under a name: the same again adds nothing, other content is refused.

    In JSON lines of pairs, `UID` names the set (else the file's name does), and `phenomenon` or
    `linguistics_term` what it is about. That is how BLiMP comes: clone
    github.com/alexwarstadt/blimp, 67 files of 1,000 pairs in its folder `data`, CC-BY-4.0. Then:

    `stillhouse suites add blimp blimp/data --origin github.com/alexwarstadt/blimp
    --licence CC-BY-4.0`

    and in the recipe `evaluate.suites = ["blimp"]`, with `pairs_per_set = 20` for every night.
    """
    from flows.errors import FlowsError
    from flows.report.formats import plural
    from flows.suites import refuse_shipped_name
    from warehouse.lake import Lake
    from warehouse.pair_files import read_pairs
    from warehouse.suites import SuiteRequest, freeze_pairs, freeze_texts, read_texts

    if kind not in _KINDS:
        raise FlowsError(f"--kind {kind}: expected one of {', '.join(_KINDS)}")
    request = SuiteRequest(name, origin, licence)
    refuse_shipped_name(name)
    files = [path.expanduser() for path in paths]
    if kind == "pairs":
        pairs = read_pairs(files)
        with Lake.open(data, create=True) as lake:
            is_new = freeze_pairs(lake, request, pairs)
        num_sets = len({pair.set_name for pair in pairs})
        counted = f"{plural(len(pairs), 'pair')} in {plural(num_sets, 'set')}"
    else:
        texts = read_texts(files, text_column)
        with Lake.open(data, create=True) as lake:
            is_new = freeze_texts(lake, request, texts)
        counted = f"{plural(len(texts), 'text')}, {sum(text.num_bytes for text in texts)} bytes"
    say(f"{counted}{'' if is_new else '; it was there already, nothing was added'}")
    typer.echo(name)


@suites_app.command("list")
@guarded
def list_command(as_csv: AsCsv = False, as_json: AsJson = False, data: Data = DEFAULT_DATA) -> None:
    """What suites the lake holds, and those that come with Stillhouse."""
    from flows.output import chosen_form, write_rows
    from flows.suites import listed_suites
    from warehouse.lake import Lake

    form = chosen_form(as_csv=as_csv, as_json=as_json)
    with Lake.open(data) as lake:
        rows = listed_suites(lake)
    write_rows(rows, form)


@suites_app.command("show")
@guarded
def show_command(
    name: Annotated[str, typer.Argument(help="The suite.")],
    as_csv: AsCsv = False,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Print a suite's sets with their counts, phenomenon and first pair; or its first texts."""
    from flows.output import chosen_form, write_rows
    from flows.suites import shown_suite
    from warehouse.lake import Lake

    form = chosen_form(as_csv=as_csv, as_json=as_json)
    with Lake.open(data) as lake:
        suite, rows = shown_suite(lake, name)
    say(f"{suite.name}: {suite.num_items} {suite.kind}, {suite.licence}, from {suite.origin}")
    say(f"digest {suite.digest}")
    write_rows(rows, form)
