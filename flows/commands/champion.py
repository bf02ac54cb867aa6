"""Champions on the command line: show, history, promote, rollback."""

from typing import Annotated

import typer

from flows.commands.common import AsCsv, AsJson, Data, guarded, say
from flows.defaults import DEFAULT_DATA

app = typer.Typer()
champion_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="The student in use of a line: show, history, promote by hand, rollback.",
)
app.add_typer(champion_app, name="champion")

Line = Annotated[str, typer.Argument(metavar="LINE", help="The line: a recipe's name.")]
Reason = Annotated[
    str | None,
    typer.Option("--reason", metavar="TEXT", help="Why, for those who read the row later."),
]
# In the table; --csv and --json have every column.
_NARROW = ("at", "night", "reason", "student", "explanation")


@champion_app.command(
    "show", epilog="Example: `stillhouse champion show quickstart`", short_help="Who it is."
)
@guarded
def show_command(line: Line, data: Data = DEFAULT_DATA) -> None:
    """The line's champion, since when, where its folder is, and whom a rollback would put back."""
    from flows.champions import since_words, standing
    from flows.students import student_folder
    from warehouse.lake import Lake

    with Lake.open(data) as lake:
        now = standing(lake, line)
        if now.champion is None or now.last is None:
            typer.echo(f"{'champion':18}nobody yet")
            return
        folder = student_folder(lake, now.champion)
        whole = "" if folder.is_dir() else " (it is not there)"
        facts = [
            ("champion", now.champion),
            ("since", since_words(now.last)),
            ("folder", f"{folder}{whole}"),
            ("changes so far", str(now.num_changes)),
            ("before it", now.before or "nobody"),
        ]
        if now.linked != now.champion:
            mend = "the line's next night, promotion or rollback mends it"
            facts.append(("link", f"champion/{line} names {now.linked or 'nobody'}; {mend}"))
        if now.before:
            undo = f"stillhouse champion rollback {line} --expected {now.champion}"
            facts.append(("to go back", undo))
    for name, value in facts:
        typer.echo(f"{name:18}{value}")


@champion_app.command("history", epilog="Example: `stillhouse champion history quickstart --json`")
@guarded
def history_command(
    line: Line, as_csv: AsCsv = False, as_json: AsJson = False, data: Data = DEFAULT_DATA
) -> None:
    """The decisions of the line's nights and the changes by hand, oldest first, with reasons."""
    from flows.champion_history import champion_history
    from flows.champions import standing
    from flows.output import chosen_form, write_rows
    from warehouse.lake import Lake

    form = chosen_form(as_csv=as_csv, as_json=as_json)
    with Lake.open(data) as lake:
        standing(lake, line)
        rows = champion_history(lake, line)
    write_rows(rows.select(_NARROW) if form == "table" else rows, form)


@champion_app.command(
    "promote",
    epilog="Example: `stillhouse champion promote quickstart 5f0c... --force "
    '--reason "the editors prefer its stories"`',
)
@guarded
def promote_command(
    line: Line,
    student: Annotated[
        str, typer.Argument(metavar="STUDENT", help="Its id, the name of its folder in models/.")
    ],
    is_forced: Annotated[
        bool, typer.Option("--force", help="Also if the rule never promoted it; needs --reason.")
    ] = False,
    reason: Reason = None,
    expected: Annotated[
        str | None,
        typer.Option(
            metavar="STUDENT",
            help="Only if this one is the champion; left out: the one that is there now.",
        ),
    ] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Put a student of the line into its place by hand.

    Its folder is compared with its row first. A night that is at work meanwhile keeps the champion
    that it met and is not promoted: its decision says champion_changed.
    """
    from flows.champions import promote_by_hand
    from warehouse.lake import Lake

    note = (reason or "").strip() or None
    with Lake.open(data) as lake:
        is_done = promote_by_hand(
            lake, line, student, is_forced=is_forced, note=note, expected=expected
        )
    say(f"{line}: {student} is the champion{'' if is_done else ' already; nothing was changed'}")


@champion_app.command(
    "rollback", epilog="Example: `stillhouse champion rollback quickstart --reason complaints`"
)
@guarded
def rollback_command(
    line: Line,
    reason: Reason = None,
    expected: Annotated[
        str | None,
        typer.Option(
            metavar="STUDENT",
            help="Only if this one is the champion. Left out: the one that is there now, unless a "
            "rollback put it there.",
        ),
    ] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Put the champion before the last one back.

    Run twice, it goes back once; further back only from a champion that --expected names.
    """
    from flows.champions import roll_back, standing
    from warehouse.lake import Lake

    note = (reason or "").strip() or None
    with Lake.open(data) as lake:
        is_done = roll_back(lake, line, note=note, expected=expected)
        now = standing(lake, line)
    if is_done:
        say(f"{line}: {now.champion} is the champion again")
        return
    further = f"stillhouse champion rollback {line} --expected {now.champion}"
    say(f"{line}: was rolled back to {now.champion} already; further back: {further}")
