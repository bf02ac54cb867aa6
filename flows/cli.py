"""The command line. Exit codes: 0 done, 1 a defect was found, 2 what was asked for cannot be,
130 stopped by Ctrl-C.

Nothing heavy is imported before a command needs it, so that `--help` answers at once.
"""

import typer

from flows.commands import (
    canaries,
    champion,
    corpus,
    evaluate,
    house,
    lake,
    night,
    report,
    suites,
    targets,
    teacher,
    vocabulary,
)

app = typer.Typer(
    name="stillhouse",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Every night a teacher language model writes stories from a controlled vocabulary; "
    "a super tiny one is distilled from them, and takes the champion's place only if it is better.",
    epilog="Start with `stillhouse run quickstart`, then "
    '`stillhouse sql "select * from leaderboard"`.',
)
for part in (
    night,
    evaluate,
    house,
    report,
    lake,
    champion,
    corpus,
    suites,
    targets,
    canaries,
    vocabulary,
    teacher,
):
    app.add_typer(part.app)


def main() -> None:
    """The console script."""
    app()
