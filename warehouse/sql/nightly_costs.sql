-- What the stories of each night cost: attempts, tokens read and written, seconds, price, and the budget that ended it early.
-- A price of several currencies, or of a part of the shards, is null.
WITH spent AS (
    SELECT
        line,
        night,
        CAST(sum(num_attempts) AS BIGINT) AS num_attempts,
        CAST(sum(num_accepted) AS BIGINT) AS num_accepted,
        CAST(sum(num_prompt_tokens) AS BIGINT) AS num_prompt_tokens,
        CAST(sum(num_tokens) AS BIGINT) AS num_tokens,
        sum(wall_s) AS wall_s,
        sum(cpu_s) AS cpu_s,
        sum(accelerator_s) AS accelerator_s,
        CASE
            WHEN count(DISTINCT currency) = 1 AND count(price) = count(*) FILTER (WHERE reached IS NULL) THEN sum(price)
        END AS price,
        CASE WHEN count(DISTINCT currency) = 1 THEN max(currency) END AS currency,
        max(reached) AS reached
    FROM costs
    GROUP BY line, night
)
SELECT
    nights.line,
    nights.night,
    nights.ordinal,
    spent.* EXCLUDE (line, night, reached),
    spent.price / nullif(spent.num_accepted, 0) AS price_per_accepted_story,
    spent.reached
FROM spent
JOIN nights ON nights.line = spent.line AND nights.night = spent.night
ORDER BY nights.line, nights.ordinal
