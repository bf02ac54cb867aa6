-- One row per night: what it asked for, what its challenger reached, and the decision.
WITH confirmation AS (
    SELECT
        line,
        night,
        max(value) FILTER (WHERE role = 'challenger') AS challenger,
        max(value) FILTER (WHERE role = 'control') AS control,
        max(value) FILTER (WHERE role = 'champion') AS champion
    FROM evaluations
    WHERE suite = 'confirmation' AND metric = 'bits_per_byte'
    GROUP BY line, night
),
work AS (
    SELECT line, night, sum(wall_s) AS wall_s, sum(cpu_s) AS cpu_s, CAST(sum(num_tokens) AS BIGINT) AS num_tokens
    FROM runs
    GROUP BY line, night
)
SELECT
    nights.line,
    nights.night,
    nights.ordinal,
    nights.num_indices,
    confirmation.challenger AS challenger_bits_per_byte,
    confirmation.control AS control_bits_per_byte,
    confirmation.champion AS champion_bits_per_byte,
    promotions.promoted,
    promotions.reason,
    promotions.difference,
    promotions.smallest_difference,
    work.wall_s,
    work.cpu_s,
    work.num_tokens
FROM nights
LEFT JOIN confirmation ON confirmation.line = nights.line AND confirmation.night = nights.night
LEFT JOIN promotions ON promotions.line = nights.line AND promotions.night = nights.night
LEFT JOIN work ON work.line = nights.line AND work.night = nights.night
ORDER BY nights.line, nights.ordinal
