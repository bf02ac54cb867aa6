"""What the teacher said, on the command line."""

from typing import Annotated

import typer

from flows.commands.common import DEFECT_FOUND, AsJson, Data, guarded, say
from flows.defaults import DEFAULT_DATA

app = typer.Typer()
targets_app = typer.Typer(
    no_args_is_help=True,
    help="Targets: what the teacher says of each next token, as students learn it.",
)
app.add_typer(targets_app, name="targets")


@targets_app.callback()
def _targets() -> None:
    """Targets: what the teacher says of each next token, as students learn it."""


@targets_app.command("audit")
@guarded
def audit_command(
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Whose targets: a name, folder or hub id, as a recipe's teacher.model. Absent: "
            "of the teachers that are pulled the one that the lake's targets are of.",
        ),
    ] = None,
    documents: Annotated[
        int,
        typer.Option(min=1, help="So many documents the teacher reads again; more see finer."),
    ] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Another seed takes other documents.")] = 1,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Ask the teacher again about stored targets; exit code 1 if they are not what it says.

    Every row's form; then, of some documents, the text, the teacher's numbers, and whether the
    draws are draws from its law (a G-test by band of probability).
    """
    import pyarrow as pa

    from flows.audit_targets import audit_targets, audited_teacher
    from flows.output import write_rows
    from warehouse.lake import Lake

    with Lake.open(data) as lake:
        found = audited_teacher(lake, teacher, say)
        checks = audit_targets(lake, found, num_documents=documents, seed=seed)
    rows = [
        {
            "verdict": "good" if check.is_good else "bad",
            "check": check.check,
            "found": check.found,
            "allowed": check.allowed,
            "document": check.document,
            **({"value": check.value, "limit": check.limit} if as_json else {}),
        }
        for check in checks
    ]
    write_rows(pa.Table.from_pylist(rows), "json" if as_json else "table")
    if not all(check.is_good for check in checks):
        raise SystemExit(DEFECT_FOUND)
