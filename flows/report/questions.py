"""The SQL of a night's page, one function for each question: the night, its students, its figures.

What could be long is limited here, not in Python: then the page shows what was asked.
"""

from collections.abc import Sequence

from flows.report.answers import ROLE_ORDER, here, literal, sql_text

MAX_NIGHTS = 60
NUM_BUCKETS = 120


def _in(ids: Sequence[str]) -> str:
    return f"({', '.join(map(literal, ids))})"


def claim(line: str, night: str) -> str:
    """What the night claimed."""
    return sql_text(f"""
        SELECT ordinal, num_indices, first_index, champion_id, numerics
        FROM nights
        WHERE {here(line, night)}
    """)


def asked(line: str, night: str) -> str:
    """Every leaf of what must be the same when the night is run again, by its dotted key."""
    return sql_text(f"""
        SELECT substr(leaf.fullkey, 3) AS key, leaf.atom AS value
        FROM nights, json_tree(asked) AS leaf
        WHERE {here(line, night)} AND leaf.atom IS NOT NULL
        ORDER BY key
    """)


_STUDENT = """
        SELECT
            role, student_id, preset, num_parameters, alpha, num_documents,
            num_documents_left_out, dropped_draw_share, num_steps, num_tokens,
            (
                SELECT CAST(coalesce(sum(seen.num_tokens), 0) AS BIGINT)
                FROM training_documents AS seen
                WHERE seen.student_id = checkpoints.student_id
            ) AS num_story_tokens
        FROM checkpoints"""


def students(line: str, night: str) -> str:
    """The night's challenger and control, by the figures that name them."""
    return sql_text(f"""{_STUDENT}
        WHERE student_id IN (
            SELECT subject_id FROM evaluations
            WHERE {here(line, night)} AND role IN ('challenger', 'control')
        )
        ORDER BY {ROLE_ORDER}
    """)


def students_without_figures(unit: str) -> str:
    """Students trained on the night's stories that no evaluation knows yet."""
    return sql_text(f"""{_STUDENT}
        WHERE student_id NOT IN (SELECT subject_id FROM evaluations) AND student_id IN (
            SELECT training.student_id
            FROM training_documents AS training
            JOIN stories ON stories.doc_id = training.doc_id
            WHERE stories.run_id = {literal(unit)}
        )
        ORDER BY {ROLE_ORDER}
    """)


def losses(student_ids: Sequence[str], num_buckets: int = NUM_BUCKETS) -> str:
    """The training loss of each student, averaged over at most so many equal stretches."""
    return sql_text(f"""
        SELECT
            checkpoints.role,
            max(train_steps.step) AS step,
            max(train_steps.num_tokens) AS num_tokens,
            avg(train_steps.loss) AS loss
        FROM train_steps
        JOIN checkpoints ON checkpoints.student_id = train_steps.student_id
        WHERE train_steps.student_id IN {_in(student_ids)}
        GROUP BY checkpoints.role, ceil(train_steps.step * {num_buckets} / checkpoints.num_steps)
        ORDER BY {ROLE_ORDER}, step
    """)


def bits_per_byte(line: str, night: str) -> str:
    """Bits per byte of everyone who was measured, tonight's stories first."""
    return sql_text(f"""
        SELECT suite, role, value, low, high, n
        FROM evaluations
        WHERE {here(line, night)} AND metric = 'bits_per_byte'
        ORDER BY suite, {ROLE_ORDER}
    """)


def other_figures(line: str, night: str) -> str:
    """Every other figure of the night, but those of told texts and of canaries."""
    return sql_text(f"""
        SELECT metric, suite, role, value, low, high, n
        FROM evaluations
        WHERE {here(line, night)} AND metric <> 'bits_per_byte'
            AND suite NOT IN ('samples', 'canaries')
        ORDER BY metric, suite, {ROLE_ORDER}
    """)


def reliability(line: str, night: str) -> str:
    """How often a subject was right where it was that sure, on tonight's stories."""
    return sql_text(f"""
        SELECT role, bin, low, high, num_tokens, num_right, mean_confidence
        FROM reliability
        WHERE {here(line, night)} AND suite = 'confirmation'
        ORDER BY {ROLE_ORDER}, bin
    """)


def band_reliability(line: str, night: str) -> str:
    """The same by band of the teacher's entropy."""
    return sql_text(f"""
        SELECT role, band, min_entropy, max_entropy, bin, num_tokens, num_right, mean_confidence
        FROM band_reliability
        WHERE {here(line, night)} AND suite = 'confirmation'
        ORDER BY {ROLE_ORDER}, band, bin
    """)


def decision(line: str, night: str) -> str:
    """The night's decision."""
    return sql_text(f"""
        SELECT
            promoted, reason, explanation, challenger_id, champion_id, margin,
            difference, low, high, confirmation_difference,
            num_selection, num_confirmation, smallest_difference
        FROM promotions
        WHERE {here(line, night)}
    """)


def trend(line: str, ordinal: int) -> str:
    """The line's nights up to this one, newest first."""
    return sql_text(f"""
        SELECT
            trend.night, trend.ordinal,
            trend.challenger_bits_per_byte AS challenger, figures.low, figures.high,
            trend.control_bits_per_byte AS control,
            trend.champion_bits_per_byte AS champion,
            trend.promoted, trend.reason, trend.wall_s, trend.cpu_s
        FROM nightly_trend AS trend
        LEFT JOIN evaluations AS figures
            ON figures.line = trend.line AND figures.night = trend.night
            AND figures.role = 'challenger' AND figures.suite = 'confirmation'
            AND figures.metric = 'bits_per_byte'
        WHERE trend.line = {literal(line)} AND trend.ordinal <= {ordinal:d}
        ORDER BY trend.ordinal DESC
        LIMIT {MAX_NIGHTS}
    """)


def stages(line: str, night: str) -> str:
    """What each stage took; one that was killed leaves no row, one that went on leaves two."""
    return sql_text(f"""
        SELECT
            stage,
            count(*) AS num_runs,
            sum(wall_s) AS wall_s,
            sum(cpu_s) AS cpu_s,
            CAST(sum(num_tokens) AS BIGINT) AS num_tokens,
            min(started_at) AS began,
            max(started_at + to_microseconds(CAST(wall_s * 1000000 AS BIGINT))) AS ended
        FROM runs
        WHERE {here(line, night)}
        GROUP BY stage
        ORDER BY began, stage
    """)


def all_nights() -> str:
    """Every night of every line, the one claimed last first."""
    return sql_text("""
        SELECT
            trend.line, trend.night, trend.ordinal,
            trend.promoted, trend.reason,
            trend.challenger_bits_per_byte AS challenger, figures.low, figures.high,
            trend.control_bits_per_byte AS control,
            trend.champion_bits_per_byte AS champion,
            trend.wall_s,
            (
                SELECT min(started_at) FROM runs
                WHERE runs.line = trend.line AND runs.night = trend.night
            ) AS began
        FROM nightly_trend AS trend
        JOIN nights ON nights.line = trend.line AND nights.night = trend.night
        LEFT JOIN evaluations AS figures
            ON figures.line = trend.line AND figures.night = trend.night
            AND figures.role = 'challenger' AND figures.suite = 'confirmation'
            AND figures.metric = 'bits_per_byte'
        ORDER BY nights.parent_snapshot DESC, trend.ordinal DESC, trend.line
    """)
