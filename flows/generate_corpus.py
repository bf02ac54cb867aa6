"""Tonight's stories: the night's block of the plan, shard by shard, then one pass over all of them
for repeated texts.
"""

import logging
from pathlib import Path

import pyarrow as pa
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from datagen.generate import Order, Shard, Story, split_into_shards, write_stories
from flows.defaults import lake_folder
from flows.measured import measured_stage
from flows.night import Tonight, open_night, shard_key
from flows.progress import Track, track
from flows.recipes import Recipe
from flows.teachers import load_model, load_tokenizer
from warehouse.schemas import STORIES, VERDICTS

logger = logging.getLogger(__name__)


@flow(name="generate_corpus", flow_run_name="stories of {recipe.name}, night {night}")
def generate_corpus(recipe: Recipe, night: str, data: Path | None = None) -> str:
    """The run id of the night's stories; shards that are in the lake are not written again."""
    with open_night(recipe, night, lake_folder(data), logger.info) as tonight:
        indices = tonight.indices
        shards = split_into_shards(indices, recipe.shards)
        missing = [
            number
            for number in range(len(shards))
            if not tonight.lake.is_committed(STORIES.name, shard_key(tonight.unit.run_id, number))
        ]
        logger.info("stories: %d of %d shards are there", len(shards) - len(missing), len(shards))
        if missing:
            num_prompts = sum(len(shards[number]) for number in missing)
            with (
                measured_stage(tonight, "generate") as stage,
                track("stories", num_prompts, "prompts") as bar,
            ):
                for number in missing:
                    shard = Shard(
                        tonight.unit.run_id, number, shards[number], tonight.claim.numerics
                    )
                    stage.num_tokens += write_shard(tonight, shard, bar)
        find_duplicates(tonight)
        return tonight.unit.run_id


@task(name="write shard", cache_policy=NO_CACHE, task_run_name="stories shard {shard.number}")
def write_shard(tonight: Tonight, shard: Shard, bar: Track) -> int:
    """Write and commit one shard; the tokens that the teacher wrote."""
    from datagen.engines.transformers_engine import TransformersEngine

    recipe = tonight.recipe
    reads = load_tokenizer(tonight.teacher)
    engine = TransformersEngine(
        model=load_model(tonight.teacher, recipe.teacher),
        tokenizer=reads.tokenizer,
        encode=reads.context_ids,
        end_ids=reads.end_ids,
        batch_size=recipe.teacher.batch_size,
    )
    order = Order(
        vocabulary=tonight.vocabulary,
        plan_seed=recipe.prompts.seed,
        sampling=recipe.sampling,
        verdicts=recipe.verdicts,
        teacher_digest=tonight.teacher.digest,
        allows_instructions=tonight.teacher.allows_instructions,
    )
    watcher = _Watcher(recipe.sampling.max_attempts, bar, is_first=shard.number == 0)
    tables = write_stories(order, shard, engine, on_tokens=bar.count_tokens, on_story=watcher.see)
    tonight.lake.commit_shard(shard.run_id, shard.number, tables)
    logger.info(
        "shard %d: %d prompts, %d attempts, %d accepted",
        shard.number,
        len(shard.indices),
        watcher.attempts,
        watcher.accepted,
    )
    return sum(tables[STORIES.name].column("num_tokens").to_pylist())


@task(name="find duplicates", cache_policy=NO_CACHE)
def find_duplicates(tonight: Tonight) -> None:
    """Give a verdict on each accepted story of the night whose text stands earlier in the line's
    plan.
    """
    run_id = tonight.unit.pass_id
    if tonight.lake.is_committed(VERDICTS.name, shard_key(run_id, 0)):
        return
    oldest: dict[str, str] = {}
    verdicts = []
    for unit in tonight.units:
        rows = tonight.lake.read(
            STORIES.name,
            run_ids=[unit.run_id],
            columns=["story_id", "doc_id", "accepted", "plan_index", "attempt"],
            snapshot=tonight.snapshot_of(unit),
        ).to_pylist()
        for row in sorted(rows, key=lambda row: (row["plan_index"], row["attempt"])):
            if not row["accepted"]:
                continue
            first = oldest.setdefault(row["doc_id"], row["story_id"])
            if first != row["story_id"] and unit == tonight.unit:
                verdicts.append(
                    {
                        "story_id": row["story_id"],
                        "run_id": run_id,
                        "reason": "duplicate",
                        "other_story_id": first,
                    }
                )
    tonight.lake.commit_shard(
        run_id, 0, {VERDICTS.name: pa.Table.from_pylist(verdicts, schema=VERDICTS.schema)}
    )


class _Watcher:
    """Counts a shard's attempts, moves the bar once a prompt is settled, and shows the night's
    first story.
    """

    def __init__(self, max_attempts: int, bar: Track, *, is_first: bool) -> None:
        self.attempts = 0
        self.accepted = 0
        self._last_attempt = max_attempts - 1
        self._bar = bar
        self._shows_next = is_first

    def see(self, story: Story) -> None:
        self.attempts += 1
        if story.reason is None:
            self.accepted += 1
            if self._shows_next:
                self._shows_next = False
                logger.info("first story (%s):\n%s\n", ", ".join(story.spec.words), story.text)
        if story.reason is None or story.attempt == self._last_attempt:
            self._bar.advance()
