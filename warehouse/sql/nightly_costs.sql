-- What the stories of each night cost: tokens read and written, seconds, price, and the budget that ended it early.
WITH written AS (
    SELECT
        stories.run_id,
        count(*) AS num_attempts,
        count(*) FILTER (WHERE accepted) AS num_accepted
    FROM stories
    GROUP BY stories.run_id
),
spent AS (
    SELECT
        line,
        night,
        run_id,
        CAST(sum(num_prompt_tokens) AS BIGINT) AS num_prompt_tokens,
        CAST(sum(num_tokens) AS BIGINT) AS num_tokens,
        sum(wall_s) AS wall_s,
        sum(cpu_s) AS cpu_s,
        sum(accelerator_s) AS accelerator_s,
        sum(price) AS price,
        max(currency) AS currency,
        max(reached) AS reached
    FROM costs
    GROUP BY line, night, run_id
)
SELECT
    nights.line,
    nights.night,
    nights.ordinal,
    coalesce(written.num_attempts, 0) AS num_attempts,
    coalesce(written.num_accepted, 0) AS num_accepted,
    spent.num_prompt_tokens,
    spent.num_tokens,
    spent.wall_s,
    spent.cpu_s,
    spent.accelerator_s,
    spent.price,
    spent.currency,
    spent.price / nullif(written.num_accepted, 0) AS price_per_accepted_story,
    spent.reached
FROM spent
JOIN nights ON nights.line = spent.line AND nights.night = spent.night
LEFT JOIN written ON written.run_id = spent.run_id
ORDER BY nights.line, nights.ordinal
