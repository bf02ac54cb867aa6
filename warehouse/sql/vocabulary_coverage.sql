-- Share of the words that lie outside the vocabulary, by generation run, in its accepted stories.
WITH counted AS (
    SELECT
        run_id,
        CAST(sum(num_occurrences) AS BIGINT) AS num_words,
        CAST(coalesce(sum(num_occurrences) FILTER (WHERE NOT in_vocabulary), 0) AS BIGINT) AS num_unknown_words,
        count(DISTINCT word) FILTER (WHERE in_vocabulary) AS num_forms_used,
        count(DISTINCT word) FILTER (WHERE NOT in_vocabulary) AS num_distinct_unknown_words
    FROM words
    GROUP BY run_id
)
SELECT *, num_unknown_words / num_words AS unknown_share
FROM counted
ORDER BY run_id
