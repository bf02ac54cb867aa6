"""Teachers on the command line: pull, list, show."""

from typing import Annotated

import typer

from flows.commands.common import guarded, say

app = typer.Typer()
teacher_app = typer.Typer(no_args_is_help=True, help="Teachers: pull, list, show.")
app.add_typer(teacher_app, name="teacher")


@teacher_app.command("pull")
@guarded
def pull_command(
    model: Annotated[str, typer.Argument(help="A name that `teacher list` shows, or a hub id.")],
) -> None:
    """Fetch a teacher into the cache, check it, convert it once."""
    from flows.teachers import find_teacher

    teacher = find_teacher(model, say)
    typer.echo(teacher.folder)


@teacher_app.command("list")
@guarded
def list_command() -> None:
    """The teachers that come by name; any local folder or hub id works as well."""
    from flows.teachers import named_teachers

    for teacher in named_teachers():
        state = "pulled" if teacher.is_pulled else "not pulled"
        typer.echo(f"{teacher.name}  {teacher.licence}, {teacher.description} ({state})")


@teacher_app.command("show")
@guarded
def show_command(
    model: Annotated[
        str, typer.Argument(help="A name, a folder or a hub id; it is pulled if it is not here.")
    ],
) -> None:
    """What a teacher's files say: folder, digest, kind."""
    from flows.teachers import find_teacher

    teacher = find_teacher(model, say)
    kind = (
        "is told what to write (chat template)"
        if teacher.allows_instructions
        else "continues a text"
    )
    for name, value in (
        ("name", teacher.name),
        ("folder", teacher.folder),
        ("digest", teacher.digest),
        ("tokenizer sha256", teacher.tokenizer_sha256),
        ("kind", kind),
    ):
        typer.echo(f"{name:18}{value}")
