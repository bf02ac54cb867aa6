-- The same by slot of the prompt family and its value (null: the slot was not asked for): what the teacher does well and
-- what it does badly, and what an accepted text costs. Older lakes have no slots.
WITH held AS (
    SELECT prompt_id, run_id, family, unnest(map_entries(CAST(CAST(slots AS JSON) AS MAP(VARCHAR, VARCHAR[])))) AS slot
    FROM prompts
    WHERE slots IS NOT NULL
),
asked AS (
    SELECT
        prompt_id, run_id, family, slot.key AS slot,
        unnest(CASE WHEN len(slot.value) = 0 THEN [NULL] ELSE slot.value END) AS value
    FROM held
),
counted AS (
    SELECT
        asked.run_id, asked.family, asked.slot, asked.value,
        count(DISTINCT asked.prompt_id) AS num_prompts,
        count(*) AS num_attempts,
        count(*) FILTER (WHERE stories.accepted AND later.story_id IS NULL) AS num_accepted,
        CAST(sum(stories.num_tokens) AS BIGINT) AS num_tokens
    FROM asked
    JOIN stories ON stories.prompt_id = asked.prompt_id AND stories.run_id = asked.run_id
    LEFT JOIN (SELECT DISTINCT story_id FROM verdicts) AS later ON later.story_id = stories.story_id
    GROUP BY asked.run_id, asked.family, asked.slot, asked.value
)
SELECT
    *,
    num_accepted / num_attempts AS accept_rate,
    num_tokens / nullif(num_accepted, 0) AS tokens_per_accepted
FROM counted
ORDER BY run_id, family, slot, value
