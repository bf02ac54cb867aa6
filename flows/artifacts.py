"""What a night leaves in Prefect: its summary as markdown, its figures as a table, both with a
history per line.
"""

from io import StringIO

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from rich.console import Console

from flows.night import Tonight
from flows.promote_student import read_decision
from flows.report.page import report_path
from flows.summary import night_summary

_WIDTH = 78  # what Prefect's page shows without scrolling
_FIGURES = """
    SELECT role, suite, metric, round(value, 4) AS value, round(low, 4) AS low,
        round(high, 4) AS high, n
    FROM evaluations
    WHERE line = ? AND night = ?
    ORDER BY suite, metric, value
"""


def show_night(tonight: Tonight) -> None:
    """Leave the night's two artifacts with the flow run."""
    decision = read_decision(tonight)
    headline = decision["explanation"] if decision else "not decided yet"
    line = tonight.claim.line
    report = report_path(tonight.lake, line, tonight.claim.night)
    create_markdown_artifact(
        key=f"night-{line}",
        description=f"{tonight.label}: {headline}",
        markdown=f"# {tonight.label}\n\n{headline}\n\nReport: `{report}`\n\n"
        f"```text\n{_as_text(tonight)}\n```\n",
    )
    figures = tonight.lake.query(_FIGURES, [line, tonight.claim.night]).to_pylist()
    create_table_artifact(
        key=f"figures-{line}", description=f"Figures of {tonight.label}", table=figures
    )


def _as_text(tonight: Tonight) -> str:
    text = StringIO()
    console = Console(file=text, width=_WIDTH, no_color=True)
    for part in night_summary(tonight):
        console.print(part)
    return text.getvalue().rstrip()
