"""Near duplicates across the split: of two texts that nearly repeat each other, one trained on and
one held out, the younger is used for neither.

Inside a night and against the nights before it the pass of duplicates.py has taken out every
younger text, whichever side it is on. What it does not see is looked at here: imported texts
(against each other and against stories), and the stories of nights of one line that overlapped. A
night that has neither has nothing to look at. The age of a text is that of its entry into the line:
an import's is the night that first named it, so a champion that was trained on a story is never
measured on a younger import's near copy of it. One night's verdicts are one run, made anew for each
night that needs them, some 0.15 CPU-ms a text.
"""

import logging

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE

from datagen.dedup import find_repeats
from flows.corpus import accepted_stories
from flows.night import Tonight, shard_key
from flows.split_age import REFUSED_DOCUMENTS, split_pass_id, units_by_age
from warehouse.schemas import VERDICTS

logger = logging.getLogger(__name__)


@task(name="find repeats across the split", cache_policy=NO_CACHE)
def find_split_repeats(tonight: Tonight) -> None:
    """Commit a verdict on each text of tonight's units that repeats an older one of the other side,
    if that is not done and there is anything to look at.
    """
    run_id = split_pass_id(tonight)
    if run_id is None or tonight.lake.is_committed(VERDICTS.name, shard_key(run_id, 0)):
        return
    stories = [story for unit in units_by_age(tonight) for story in accepted_stories(tonight, unit)]
    repeats = find_repeats(
        [story.text for story in stories],
        tonight.recipe.duplicates,
        sides=[story.is_held_out for story in stories],
    )
    rows = [
        {
            "story_id": stories[repeat.place].story_id,
            "run_id": run_id,
            "reason": "duplicate" if repeat.is_exact else "near_duplicate",
            "other_story_id": stories[repeat.older].story_id,
            "similarity": repeat.similarity,
        }
        for repeat in repeats
    ]
    table = pa.Table.from_pylist(rows, schema=VERDICTS.schema)
    held_out = [stories[repeat.place] for repeat in repeats if stories[repeat.place].is_held_out]
    facts = {REFUSED_DOCUMENTS: sorted({story.doc_id for story in held_out})}
    tonight.lake.commit_shard(run_id, 0, {VERDICTS.name: table}, facts=facts)
    logger.info(
        "split: %d of %d texts repeat an older one of its other side, and are not used",
        len(repeats),
        len(stories),
    )
