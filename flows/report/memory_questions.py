"""The SQL of a night's page, one function for each question: what told texts are like, what of them
was copied, and how far canaries are given away.
"""

from flows.report.answers import ROLE_ORDER, here, sql_text
from flows.report.story_questions import MAX_TEXT

MAX_COPIES = 6


def texts(line: str, night: str) -> str:
    """Every measure of what students told, of held-out stories and of the night's corpus."""
    return sql_text(f"""
        SELECT metric, role, value, low, high, n
        FROM evaluations
        WHERE {here(line, night)} AND suite = 'samples'
        ORDER BY metric, {ROLE_ORDER}
    """)


def copies(line: str, night: str) -> str:
    """The told stories with the longest copied runs, and the training documents that hold them."""
    return sql_text(f"""
        WITH figures AS (
            SELECT DISTINCT run_id, role, subject_id
            FROM evaluations
            WHERE {here(line, night)} AND role IN ('challenger', 'control')
        ),
        told AS (
            SELECT
                figures.role, sample, left(text, {MAX_TEXT}) AS text,
                num_copied_words, copied_words, copied_doc_id
            FROM generations
            JOIN figures
                ON figures.run_id = generations.run_id
                AND figures.subject_id = generations.student_id
            WHERE num_copied_words > 0
            ORDER BY num_copied_words DESC, {ROLE_ORDER}, sample
            LIMIT {MAX_COPIES}
        ),
        sources AS (
            SELECT doc_id, left(min(text), {MAX_TEXT}) AS source_text
            FROM (
                SELECT doc_id, text FROM stories WHERE accepted
                UNION ALL
                SELECT doc_id, text FROM imports WHERE accepted
            )
            WHERE doc_id IN (SELECT copied_doc_id FROM told)
            GROUP BY doc_id
        )
        SELECT told.*, sources.source_text
        FROM told
        LEFT JOIN sources ON sources.doc_id = told.copied_doc_id
        ORDER BY num_copied_words DESC, {ROLE_ORDER}, sample
    """)


def exposures(line: str, night: str) -> str:
    """The exposure of the canaries that stand in equally many documents, by student."""
    return sql_text(f"""
        WITH ranked AS (
            SELECT
                role, num_planted,
                count(*) AS num_canaries,
                avg(num_trained) AS num_trained,
                avg(exposure) AS exposure,
                max(exposure) AS highest,
                max(num_ranked) AS num_ranked
            FROM exposures
            WHERE {here(line, night)}
            GROUP BY role, num_planted
        ),
        figures AS (
            SELECT role AS subject, metric, low, high
            FROM evaluations
            WHERE {here(line, night)} AND suite = 'canaries'
        )
        SELECT ranked.*, figures.low, figures.high
        FROM ranked
        LEFT JOIN figures
            ON subject = role AND metric = concat('exposure_', num_planted)
        ORDER BY num_planted, {ROLE_ORDER}
    """)
