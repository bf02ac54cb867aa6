-- Attempts of each generation run by outcome: accepted, or the first verdict that failed.
WITH later AS (
    SELECT story_id, min(reason) AS reason FROM verdicts GROUP BY story_id
),
counted AS (
    SELECT
        stories.run_id,
        coalesce(stories.reason, later.reason, 'accepted') AS reason,
        count(*) AS num_stories
    FROM stories
    LEFT JOIN later ON later.story_id = stories.story_id
    GROUP BY ALL
)
SELECT *, num_stories / sum(num_stories) OVER (PARTITION BY run_id) AS share
FROM counted
ORDER BY run_id, num_stories DESC, reason
