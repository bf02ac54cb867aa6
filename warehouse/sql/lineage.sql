-- From a word to what became of it: the story that holds it, the prompt that ordered the story, its targets, the students
-- that were trained on it, their evaluations, and the decisions on them. Many rows: filter by word, then SELECT DISTINCT.
SELECT
    held.word,
    stories.story_id,
    stories.run_id AS stories_run_id,
    stories.text,
    prompts.prompt_id,
    prompts.family,
    coalesce(prompts.words, [prompts.verb, prompts.noun, prompts.adjective]) AS words,
    targets.doc_id,
    targets.run_id AS targets_run_id,
    checkpoints.student_id,
    checkpoints.role AS student_role,
    checkpoints.preset,
    evaluations.line,
    evaluations.night,
    evaluations.suite,
    evaluations.metric,
    evaluations.value,
    evaluations.low,
    evaluations.high,
    promotions.promoted,
    promotions.reason AS promotion_reason
FROM (SELECT word, run_id, unnest(story_ids) AS story_id FROM words) AS held
JOIN stories ON stories.story_id = held.story_id AND stories.run_id = held.run_id
JOIN prompts ON prompts.prompt_id = stories.prompt_id AND prompts.run_id = stories.run_id
JOIN targets ON targets.story_id = stories.story_id
JOIN training_documents
    ON training_documents.doc_id = targets.doc_id AND training_documents.targets_run_id = targets.run_id
JOIN checkpoints ON checkpoints.student_id = training_documents.student_id
JOIN evaluations ON evaluations.subject_id = checkpoints.student_id
LEFT JOIN promotions
    ON promotions.line = evaluations.line
    AND promotions.night = evaluations.night
    AND promotions.challenger_id = evaluations.subject_id
