"""The SQL of a night's page, one function for each question: how much alike the stories are, where
the texts come from, and what they cost.
"""

from collections.abc import Mapping, Sequence

from flows.report.answers import here, literal, sql_text
from flows.report.questions import MAX_NIGHTS

MAX_SHARD_GROUPS = 24
MAX_NIGHT_SOURCES = 12
_TEXTS = (
    "SELECT run_id, doc_id, num_words FROM accepted_stories "
    "UNION ALL SELECT run_id, doc_id, num_words FROM imports WHERE accepted"
)


def measures(passes: Mapping[str, str]) -> str:
    """Every measure of the nights, oldest first; `passes` gives each night's pass over its
    stories.
    """
    return sql_text(f"""
        WITH passes(place, night, run_id) AS (
            VALUES {_values(list(passes.items()))}
        )
        SELECT passes.night, measure, value, n, bound, is_within, evidence
        FROM corpus_measures
        JOIN passes ON passes.run_id = corpus_measures.run_id
        ORDER BY passes.place, measure
    """)


def origins(runs: Sequence[tuple[str, str, str]], student_id: str | None) -> str:
    """The texts by where they come from, and how many of them that student was trained on.

    runs: (kind of source, its name, a run of it), oldest first. A text that two sources hold is of
    the first.
    """
    student = literal(student_id) if student_id else "NULL"
    return sql_text(f"""
        WITH runs(place, kind, source, run_id) AS (
            VALUES {_values(runs)}
        ),
        sources AS (
            SELECT min(place) AS place, kind, source, list(run_id) AS run_ids FROM runs
            GROUP BY kind, source
        ),
        texts AS (
            {_TEXTS}
        ),
        firsts AS (
            SELECT
                min(sources.place) AS place, texts.doc_id, any_value(texts.num_words) AS num_words
            FROM texts
            JOIN runs ON runs.run_id = texts.run_id
            JOIN sources USING (kind, source)
            GROUP BY texts.doc_id
        ),
        brought AS (
            SELECT run_id, any_value(origin) AS origin, any_value(licence) AS licence FROM imports
            GROUP BY run_id
        ),
        counted AS (
            SELECT
                firsts.place,
                count(*) AS num_texts,
                CAST(sum(firsts.num_words) AS BIGINT) AS num_words,
                count(seen.doc_id) AS num_trained,
                CAST(coalesce(sum(seen.num_tokens), 0) AS BIGINT) AS num_trained_tokens
            FROM firsts
            LEFT JOIN training_documents AS seen
                ON seen.doc_id = firsts.doc_id AND seen.student_id = {student}
            GROUP BY firsts.place
        )
        SELECT
            sources.kind,
            sources.source,
            (
                SELECT string_agg(DISTINCT family, ', ' ORDER BY family) FROM prompts
                WHERE list_contains(sources.run_ids, prompts.run_id)
            ) AS family,
            brought.origin,
            brought.licence,
            coalesce(counted.num_texts, 0) AS num_texts,
            coalesce(counted.num_words, 0) AS num_words,
            coalesce(counted.num_trained, 0) AS num_trained,
            coalesce(counted.num_trained_tokens, 0) AS num_trained_tokens
        FROM sources
        LEFT JOIN counted ON counted.place = sources.place
        LEFT JOIN brought ON brought.run_id = sources.run_ids[1]
        ORDER BY sources.place
    """)


def slots(unit: str) -> str:
    """What the night's prompts asked for: each slot of the family, how many values it took, and how
    many prompts went without it.
    """
    return sql_text(f"""
        SELECT
            slot,
            count(DISTINCT value) AS num_values,
            CAST(
                coalesce(sum(num_prompts) FILTER (WHERE value IS NULL), 0) AS BIGINT
            ) AS num_prompts_without
        FROM accept_by_slot
        WHERE run_id = {literal(unit)}
        GROUP BY slot
        ORDER BY slot
    """)


def night_costs(line: str, ordinal: int) -> str:
    """What the stories of the line's nights cost, up to this one, newest first."""
    return sql_text(f"""
        SELECT
            night, num_attempts, num_accepted, num_prompt_tokens, num_tokens,
            wall_s, cpu_s, accelerator_s, price, currency, price_per_accepted_story, reached
        FROM nightly_costs
        WHERE line = {literal(line)} AND ordinal <= {ordinal:d}
        ORDER BY ordinal DESC
        LIMIT {MAX_NIGHTS}
    """)


def shard_costs(line: str, night: str) -> str:
    """What the night's shards cost; neighbours stand together where there are many."""
    return sql_text(f"""
        WITH mine AS (
            SELECT * FROM costs WHERE {here(line, night)}
        ),
        size AS (
            SELECT CAST(ceil((max(shard) + 1) / {MAX_SHARD_GROUPS}) AS INTEGER) AS num_shards
            FROM mine
        )
        SELECT
            min(shard) AS first_shard,
            max(shard) AS last_shard,
            CAST(sum(num_prompts) AS BIGINT) AS num_prompts,
            CAST(sum(num_prompts) FILTER (WHERE reached IS NOT NULL) AS BIGINT) AS num_closed,
            CAST(sum(num_accepted) AS BIGINT) AS num_accepted,
            CAST(sum(num_prompt_tokens) AS BIGINT) AS num_prompt_tokens,
            CAST(sum(num_tokens) AS BIGINT) AS num_tokens,
            sum(wall_s) AS wall_s,
            CASE
                WHEN count(price) = count(*) FILTER (WHERE reached IS NULL) THEN sum(price)
            END AS price
        FROM mine, size
        GROUP BY shard // size.num_shards
        ORDER BY first_shard
    """)


def _values(rows: Sequence[tuple[str, ...]]) -> str:
    """The rows of texts, each with its place in front."""
    return ", ".join(
        f"({', '.join([str(place), *map(literal, row)])})" for place, row in enumerate(rows)
    )
