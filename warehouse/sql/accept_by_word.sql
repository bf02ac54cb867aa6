-- How often the teacher did what was asked, by required word and generation run: attempts, accepted ones (after later
-- passes too), and what an accepted text cost.
WITH asked AS (
    SELECT
        prompt_id, run_id, family,
        unnest(coalesce(words, [verb, noun, adjective])) AS word
    FROM prompts
),
counted AS (
    SELECT
        asked.run_id, asked.family, asked.word,
        count(DISTINCT asked.prompt_id) AS num_prompts,
        count(*) AS num_attempts,
        count(*) FILTER (WHERE stories.accepted AND later.story_id IS NULL) AS num_accepted,
        CAST(sum(stories.num_tokens) AS BIGINT) AS num_tokens
    FROM asked
    JOIN stories ON stories.prompt_id = asked.prompt_id AND stories.run_id = asked.run_id
    LEFT JOIN (SELECT DISTINCT story_id FROM verdicts) AS later ON later.story_id = stories.story_id
    GROUP BY asked.run_id, asked.family, asked.word
)
SELECT
    *,
    num_accepted / num_attempts AS accept_rate,
    num_tokens / nullif(num_accepted, 0) AS tokens_per_accepted
FROM counted
ORDER BY run_id, family, word
