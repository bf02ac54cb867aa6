"""The SQL of a night's page, one function for each question: stories, words, targets, and what the
students tell. `unit` is the run that wrote the night's stories.
"""

from flows.report.answers import ROLE_ORDER, here, literal, sql_text

MAX_TEXT = 2000


def plan(unit: str) -> str:
    """The prompts that the night's shards have tried so far."""
    return sql_text(f"""
        SELECT family, vocabulary, vocabulary_digest, seed, count(*) AS num_prompts
        FROM prompts
        WHERE run_id = {literal(unit)}
        GROUP BY ALL
    """)


def funnel(unit: str) -> str:
    """Attempts by outcome, the accepted first."""
    return sql_text(f"""
        SELECT reason, num_stories, share
        FROM funnel
        WHERE run_id = {literal(unit)}
        ORDER BY reason <> 'accepted', num_stories DESC, reason
    """)


def corpus(unit: str) -> str:
    """The accepted stories in one row, with the words outside the vocabulary."""
    return sql_text(f"""
        SELECT
            count(*) AS num_stories,
            CAST(coalesce(sum(num_words), 0) AS BIGINT) AS num_words,
            CAST(coalesce(sum(num_unknown_words), 0) AS BIGINT) AS num_unknown_words,
            avg(num_words) AS mean_words,
            CAST(coalesce(sum(num_tokens), 0) AS BIGINT) AS num_tokens
        FROM accepted_stories
        WHERE run_id = {literal(unit)}
    """)


def examples(unit: str) -> str:
    """The first two accepted stories of the plan: nobody chose them."""
    return sql_text(f"""
        SELECT
            coalesce(prompts.words, [prompts.verb, prompts.noun, prompts.adjective]) AS words,
            left(stories.text, {MAX_TEXT}) AS text,
            stories.num_words,
            stories.num_unknown_words
        FROM accepted_stories AS stories
        JOIN prompts ON prompts.prompt_id = stories.prompt_id AND prompts.run_id = stories.run_id
        WHERE stories.run_id = {literal(unit)}
        ORDER BY stories.plan_index, stories.attempt
        LIMIT 2
    """)


def unknown_words(unit: str) -> str:
    """The words outside the vocabulary that occur most often."""
    return sql_text(f"""
        SELECT
            word,
            CAST(sum(num_occurrences) AS BIGINT) AS num_occurrences,
            CAST(sum(len(story_ids)) AS BIGINT) AS num_stories
        FROM words
        WHERE run_id = {literal(unit)} AND NOT in_vocabulary
        GROUP BY word
        ORDER BY num_occurrences DESC, word
        LIMIT 12
    """)


def coverage(unit: str) -> str:
    """How much of the vocabulary the stories used, and how many words lie outside it."""
    return sql_text(f"""
        SELECT num_forms_used, num_distinct_unknown_words
        FROM vocabulary_coverage
        WHERE run_id = {literal(unit)}
    """)


def targets(unit: str) -> str:
    """What the teacher said of each next token of the night's stories, by capture run."""
    return sql_text(f"""
        SELECT
            run_id,
            count(*) AS num_documents,
            CAST(sum(len(input_ids)) AS BIGINT) AS num_tokens,
            sum(len(target_ids)) / sum(len(input_ids)) AS ids_per_token,
            sum(list_sum(entropy)) / sum(len(input_ids)) / ln(2) AS entropy_bits
        FROM targets
        WHERE story_id IN (SELECT story_id FROM stories WHERE run_id = {literal(unit)})
        GROUP BY run_id
        ORDER BY run_id
    """)


def told(line: str, night: str, unit: str) -> str:
    """What the teacher and both students tell for the same words: the n-th held-out story of these
    words beside the n-th sample.
    """
    return sql_text(f"""
        WITH figures AS (
            SELECT DISTINCT run_id, role, subject_id
            FROM evaluations
            WHERE {here(line, night)} AND role IN ('challenger', 'control')
        ),
        samples AS (
            SELECT
                generations.*, figures.role,
                row_number() OVER (
                    PARTITION BY figures.role, generations.words ORDER BY sample
                ) AS place
            FROM generations
            JOIN figures
                ON figures.run_id = generations.run_id
                AND figures.subject_id = generations.student_id
        ),
        ordered AS (
            SELECT
                stories.text,
                coalesce(prompts.words, [prompts.verb, prompts.noun, prompts.adjective]) AS words,
                row_number() OVER (
                    PARTITION BY coalesce(
                        prompts.words, [prompts.verb, prompts.noun, prompts.adjective]
                    )
                    ORDER BY stories.plan_index
                ) AS place
            FROM accepted_stories AS stories
            JOIN prompts
                ON prompts.prompt_id = stories.prompt_id AND prompts.run_id = stories.run_id
            WHERE stories.run_id = {literal(unit)} AND len(prompts.words) IS DISTINCT FROM 0
        )
        SELECT
            samples.sample, samples.role, samples.words,
            left(samples.text, {MAX_TEXT}) AS text,
            samples.num_required_hit, samples.num_words, samples.num_unknown_words,
            left(ordered.text, {MAX_TEXT}) AS teacher_text
        FROM samples
        LEFT JOIN ordered ON ordered.words = samples.words AND ordered.place = samples.place
        WHERE samples.sample < 10
        ORDER BY samples.sample, {ROLE_ORDER}
    """)
