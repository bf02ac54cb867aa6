-- How often a subject finds the sentence without the fault likelier, by suite, phenomenon and set, beside what taking the
-- shorter sentence reaches. A null set: the mean over the phenomenon's sets, each counting the same; a null phenomenon: over
-- all sets of the suite. Ties count one half. `evaluations` says who the subject was on which night.
WITH chosen AS (
    SELECT subject_id, suite, suite_digest, min(run_id) AS run_id
    FROM pair_scores
    GROUP BY subject_id, suite, suite_digest
),
counted AS (
    SELECT
        scored.subject_id, scored.subject, scored.suite, scored.suite_digest, scored.phenomenon, scored.set_name,
        count(*) AS num_pairs,
        avg(scored.num_right) AS accuracy,
        avg(CASE WHEN scored.num_right = 0.5 THEN 1.0 ELSE 0.0 END) AS tie_share,
        avg((1 + sign(scored.num_symbols_bad - scored.num_symbols_good)) / 2) AS length_only,
        3.841458820694124 / count(*) AS q
    FROM pair_scores AS scored
    JOIN chosen USING (run_id, subject_id, suite, suite_digest)
    GROUP BY scored.subject_id, scored.subject, scored.suite, scored.suite_digest, scored.phenomenon, scored.set_name
),
spread AS (
    SELECT
        *,
        sqrt(greatest(0, 4 * q * (accuracy * (1 - accuracy) - tie_share / 4) + q * q * (1 - tie_share))) AS root
    FROM counted
),
bounded AS (
    SELECT
        *,
        greatest(0, least(accuracy, (2 * accuracy + q - root) / (2 + 2 * q))) AS low,
        least(1, greatest(accuracy, (2 * accuracy + q + root) / (2 + 2 * q))) AS high
    FROM spread
)
SELECT
    subject_id,
    subject,
    suite,
    suite_digest,
    phenomenon,
    set_name,
    count(*) AS num_sets,
    CAST(sum(num_pairs) AS BIGINT) AS num_pairs,
    avg(accuracy) AS accuracy,
    avg(accuracy) - sqrt(sum((accuracy - low) ** 2)) / count(*) AS low,
    avg(accuracy) + sqrt(sum((high - accuracy) ** 2)) / count(*) AS high,
    avg(length_only) AS length_only,
    avg(tie_share) AS tie_share
FROM bounded
GROUP BY GROUPING SETS (
    (subject_id, subject, suite, suite_digest, phenomenon, set_name),
    (subject_id, subject, suite, suite_digest, phenomenon),
    (subject_id, subject, suite, suite_digest)
)
ORDER BY suite, subject_id, suite_digest, phenomenon NULLS FIRST, set_name NULLS FIRST
