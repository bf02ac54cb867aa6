-- Stories that passed their own verdict and that no later pass spoke against.
SELECT stories.*
FROM stories
ANTI JOIN verdicts ON verdicts.story_id = stories.story_id
WHERE stories.accepted
