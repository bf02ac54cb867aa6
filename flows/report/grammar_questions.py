"""What a night's page asks about minimal pairs: the SQL and the row that it gives."""

from dataclasses import dataclass

from flows.report.answers import ROLE_ORDER, here, sql_text


@dataclass(frozen=True, slots=True)
class PairFigure:
    """One subject's accuracy on a set; on a phenomenon, where set_name is None; on a suite, where
    both are.
    """

    role: str
    suite: str
    phenomenon: str | None
    set_name: str | None
    num_sets: int
    num_pairs: int
    accuracy: float
    low: float
    high: float
    length_only: float


def pair_figures(line: str, night: str) -> str:
    """Everyone's accuracy by suite, phenomenon and set."""
    return sql_text(f"""
        SELECT
            figures.role, pairs.suite, pairs.phenomenon, pairs.set_name,
            pairs.num_sets, pairs.num_pairs, pairs.accuracy, pairs.low, pairs.high,
            pairs.length_only
        FROM evaluations AS figures
        JOIN minimal_pairs AS pairs
            ON pairs.subject_id = figures.subject_id AND pairs.suite = figures.suite
            AND pairs.suite_digest = figures.suite_digest
        WHERE {here(line, night)} AND figures.metric = 'minimal_pairs'
        ORDER BY
            pairs.suite, pairs.phenomenon NULLS FIRST, pairs.set_name NULLS FIRST,
            {ROLE_ORDER}
    """)
