"""The SQL on two students document by document: the challenger, and the champion that it met (its
control, where the place was empty).
"""

from collections.abc import Sequence

from flows.report.answers import literal, sql_text

MAX_POINTS = 400
NUM_ENDS = 5
_MOST_LETTERS = 90


def documents(challenger: str, other: str, runs: Sequence[str], own: str) -> str:
    """Bits per byte of both on each held-out document of those runs, sorted by difference; of many
    documents evenly spaced ones, the first and the last always.
    """
    return sql_text(f"""{_ranked(challenger, other, runs, own)}
        SELECT suite, doc_id, num_bytes, challenger, other, difference, place, num_documents
        FROM ranked
        WHERE place IN (1, num_documents)
            OR floor(place * {MAX_POINTS} / num_documents)
            <> floor((place - 1) * {MAX_POINTS} / num_documents)
        ORDER BY suite, place
    """)


def spread(challenger: str, other: str, runs: Sequence[str], own: str) -> str:
    """How the differences are spread over the documents of each suite."""
    return sql_text(f"""{_ranked(challenger, other, runs, own)}
        SELECT
            suite,
            count(*) AS num_documents,
            count(*) FILTER (difference < 0) AS num_better,
            quantile_cont(difference, 0.05) AS low,
            median(difference) AS middle,
            quantile_cont(difference, 0.95) AS high
        FROM ranked
        GROUP BY suite
        ORDER BY suite
    """)


def ends(challenger: str, other: str, runs: Sequence[str], own: str) -> str:
    """The documents on which the challenger gains most, and loses most, with their beginnings."""
    return sql_text(f"""{_ranked(challenger, other, runs, own)},
        texts AS (
            SELECT doc_id, any_value(text) AS text FROM (
                SELECT doc_id, text FROM stories WHERE run_id IN {_in(runs)}
                UNION ALL
                SELECT doc_id, text FROM imports WHERE run_id IN {_in(runs)}
            ) AS every_text
            GROUP BY doc_id
        )
        SELECT suite, difference, num_bytes, left(text, {_MOST_LETTERS}) AS beginning
        FROM ranked LEFT JOIN texts ON texts.doc_id = ranked.doc_id
        WHERE place <= {NUM_ENDS} OR place > num_documents - {NUM_ENDS}
        ORDER BY suite, place
    """)


def _ranked(challenger: str, other: str, runs: Sequence[str], own: str) -> str:
    """Both students' figures on each document, ranked by difference; a document that was scored by
    two versions of the program counts once.
    """
    return f"""
        WITH scored AS (
            SELECT
                doc_id, subject_id, min(nats) AS nats, min(num_bytes) AS num_bytes,
                bool_or(unit = {literal(own)}) AS is_tonights
            FROM scores
            WHERE subject = 'student' AND unit IN {_in(runs)}
                AND subject_id IN {_in([challenger, other])}
            GROUP BY doc_id, subject_id
        ),
        pairs AS (
            SELECT
                CASE WHEN ours.is_tonights THEN 'confirmation' ELSE 'selection' END AS suite,
                ours.doc_id, ours.num_bytes,
                ours.nats / (ln(2) * ours.num_bytes) AS challenger,
                theirs.nats / (ln(2) * theirs.num_bytes) AS other
            FROM scored AS ours JOIN scored AS theirs ON theirs.doc_id = ours.doc_id
            WHERE ours.subject_id = {literal(challenger)} AND theirs.subject_id = {literal(other)}
        ),
        ranked AS (
            SELECT
                *, challenger - other AS difference,
                row_number() OVER (PARTITION BY suite ORDER BY challenger - other, doc_id) AS place,
                count(*) OVER (PARTITION BY suite) AS num_documents
            FROM pairs
        )"""


def _in(ids: Sequence[str]) -> str:
    return f"({', '.join(map(literal, ids))})"
