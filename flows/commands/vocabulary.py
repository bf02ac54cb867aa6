"""Vocabularies on the command line: list, show, check, coverage."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.common import AsCsv, AsJson, Data, guarded
from flows.defaults import DEFAULT_DATA

if TYPE_CHECKING:
    import pyarrow as pa

    from datagen.vocabulary import Vocabulary, Word

app = typer.Typer()
vocabulary_app = typer.Typer(
    no_args_is_help=True,
    help="Vocabularies: list, show, check, coverage. A team's own is a .tsv, .csv or .txt file.",
)
app.add_typer(vocabulary_app, name="vocabulary")

Name = Annotated[
    str, typer.Argument(help="A name that `vocabulary list` shows, or a .tsv, .csv or .txt file.")
]


@vocabulary_app.command("list")
@guarded
def list_command(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """The vocabularies that come by name, with the numbers of their words."""
    import pyarrow as pa

    from datagen.vocabulary import ASKED_BY_STORIES, load_vocabulary, shipped_vocabularies
    from flows.output import chosen_form, write_rows

    known = [load_vocabulary(name) for name in shipped_vocabularies()]
    rows: list[dict[str, object]] = [
        {
            "name": one.name,
            "words": len(one.words),
            **{f"{part}s": len(one.words_of(part)) for part in ASKED_BY_STORIES},
            "forms": len(one.forms),
        }
        for one in known
    ]
    write_rows(pa.Table.from_pylist(rows), chosen_form(as_csv=as_csv, as_json=as_json))


@vocabulary_app.command("show")
@guarded
def show_command(
    vocabulary: Name,
    part: Annotated[
        str | None, typer.Option(help="Words of this part of speech alone, as noun.")
    ] = None,
    topic: Annotated[
        str | None, typer.Option(help="Words of this topic alone, as animals.")
    ] = None,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Print the words with their forms; into a file, as lines that are a vocabulary again.

    A vocabulary of your own from a part of ours:
    `stillhouse vocabulary show age3 --topic animals > mine.tsv`
    """
    from datagen.vocabulary import load_vocabulary
    from flows.output import chosen_form, write_rows

    chosen = _chosen(load_vocabulary(vocabulary, needs=()), part, topic)
    form = chosen_form(as_csv=as_csv, as_json=as_json)
    if form == "table" and not sys.stdout.isatty():
        _write_tsv(chosen)
    else:
        write_rows(_word_rows(chosen), form)


@vocabulary_app.command("check")
@guarded
def check_command(file: Name) -> None:
    """Read a vocabulary file and say what is in it: counts, forms that were proposed, warnings.

    A file can be as short as `cat noun`, one word a line:
    `stillhouse vocabulary check mine.txt`

    Exit code 0 if it can be used, 2 with the file, the line and what was expected there if not.
    """
    import pyarrow as pa

    from datagen.vocabulary import vocabulary_bytes, vocabulary_of
    from datagen.vocabulary_files import read_entries
    from datagen.vocabulary_warnings import warnings_of
    from flows.output import write_rows

    name, where, data = vocabulary_bytes(file)
    entries = read_entries(where, data)
    vocabulary = vocabulary_of(name, (entry.word for entry in entries))
    proposed = [entry for entry in entries if entry.is_proposed]
    typer.echo(f"{where}: {len(entries)} words, digest {vocabulary.digest}")
    write_rows(pa.Table.from_pylist(_class_rows(vocabulary)), "table")
    if proposed:
        typer.echo(f"forms proposed for {len(proposed)} words (write your own to overrule them):")
    for entry in proposed:
        word = entry.word
        typer.echo(f"  line {entry.line}: {word.part_of_speech} {', '.join(word.forms)}")
    for warning in warnings_of(vocabulary):
        typer.echo(f"warning: {warning}")


@vocabulary_app.command("coverage")
@guarded
def coverage_command(
    vocabulary: Name,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="CORPUS",
            help="A text file, .jsonl or .parquet with texts under `text`, or a .csv of texts or "
            "words (text; word_clean, definition, word); without it the stories of the lake.",
        ),
    ] = None,
    top: Annotated[
        int, typer.Option(min=0, help="How many of the most frequent words outside to print.")
    ] = 20,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Print how much of a corpus stands in a vocabulary, and the most frequent words that do not.

    `stillhouse vocabulary coverage age3 --against stories.jsonl`

    With --csv the words outside, one a line; with --json all in one object.
    """
    from datagen.coverage import coverage_of
    from datagen.vocabulary import load_vocabulary
    from flows.corpus_words import words_of_file, words_of_lake
    from flows.coverage_rows import write_coverage
    from flows.output import chosen_form

    form = chosen_form(as_csv=as_csv, as_json=as_json)
    known = load_vocabulary(vocabulary, needs=())
    words = words_of_file(against) if against else words_of_lake(data)
    write_coverage(coverage_of(words.counts, known), known, words, top, form)


def _chosen(vocabulary: "Vocabulary", part: str | None, topic: str | None) -> "list[Word]":
    from datagen.vocabulary import PartOfSpeech
    from flows.errors import FlowsError

    if part is not None and part not in set(PartOfSpeech):
        raise FlowsError(
            f"--part: expected a part of speech ({', '.join(PartOfSpeech)}), found {part!r}"
        )
    topics = sorted({word.topic for word in vocabulary.words if word.topic})
    if topic is not None and topic not in topics:
        raise FlowsError(
            f"--topic: expected a topic of {vocabulary.name} ({', '.join(topics) or 'it has none'})"
            f", found {topic!r}"
        )
    return [
        word
        for each in PartOfSpeech
        for word in vocabulary.words_of(each)
        if part in (None, each) and topic in (None, word.topic)
    ]


def _word_rows(words: "list[Word]") -> "pa.Table":
    import pyarrow as pa

    columns = ("lemma", "part_of_speech", "forms", "weight", "topic")
    cells = [(w.lemma, str(w.part_of_speech), ",".join(w.forms), w.weight, w.topic) for w in words]
    kinds = (pa.string(), pa.string(), pa.string(), pa.int32(), pa.string())
    schema = pa.schema(list(zip(columns, kinds, strict=True)))
    return pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in cells], schema)


def _write_tsv(words: "list[Word]") -> None:
    print("lemma", "part_of_speech", "forms", "weight", "topic", sep="\t")
    for word in words:
        cells = [word.lemma, word.part_of_speech, ",".join(word.forms), str(word.weight)]
        print("\t".join([*cells, word.topic] if word.topic else cells))


def _class_rows(vocabulary: "Vocabulary") -> list[dict[str, object]]:
    from datagen.vocabulary import PartOfSpeech

    return [
        {
            "part_of_speech": str(part),
            "words": len(words),
            "forms": sum(len(word.forms) for word in words),
            "for example": ", ".join(word.lemma for word in words[:5]),
        }
        for part in PartOfSpeech
        if (words := vocabulary.words_of(part))
    ]
