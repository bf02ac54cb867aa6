-- Students by bits per byte on the confirmation set, beside the others that scored the same documents that night.
WITH confirmation AS (
    SELECT * FROM evaluations WHERE suite = 'confirmation' AND metric = 'bits_per_byte'
),
others AS (
    SELECT
        line,
        night,
        max(value) FILTER (WHERE role = 'control') AS control,
        max(value) FILTER (WHERE role = 'unigram') AS unigram,
        max(value) FILTER (WHERE role = 'teacher') AS teacher,
        max(value) FILTER (WHERE role = 'prompted_teacher') AS prompted_teacher
    FROM confirmation
    GROUP BY line, night
)
SELECT
    confirmation.subject_id AS student_id,
    confirmation.line,
    confirmation.night,
    checkpoints.preset,
    checkpoints.num_parameters,
    confirmation.value AS bits_per_byte,
    confirmation.low,
    confirmation.high,
    confirmation.n AS num_documents,
    others.control,
    others.unigram,
    others.teacher,
    others.prompted_teacher
FROM confirmation
JOIN others ON others.line = confirmation.line AND others.night = confirmation.night
JOIN (
    SELECT student_id, min(preset) AS preset, min(num_parameters) AS num_parameters
    FROM checkpoints GROUP BY student_id
) AS checkpoints ON checkpoints.student_id = confirmation.subject_id
WHERE confirmation.role = 'challenger'
ORDER BY bits_per_byte, student_id
