"""Tonight's stories: the night's block of the plan, shard by shard, then one pass over all of them
for repeats and for how much alike they are (duplicates.py).
"""

import logging
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture

from datagen.generate import Order, Shard, Story, split_into_shards, write_stories
from flows.costs import Meter, close_shard, last_written_shard, spent_so_far
from flows.defaults import lake_folder
from flows.diversity import expect_diversity
from flows.duplicates import find_duplicates
from flows.engines import make_engine
from flows.measured import measured_stage
from flows.night import Tonight, open_night, shard_key
from flows.numerics import writer_class
from flows.progress import Track, track
from flows.recipes import Recipe
from flows.split_repeats import find_split_repeats
from warehouse.schemas import COSTS, STORIES

logger = logging.getLogger(__name__)


@flow(name="generate_corpus", flow_run_name="stories of {recipe.name}, night {night}")
def generate_corpus(recipe: Recipe, night: str, data: Path | None = None) -> str:
    """The run id of the night's stories; shards that are in the lake are not written again."""
    with open_night(recipe, night, lake_folder(data), logger.info) as tonight:
        _write_missing(tonight)
        find_duplicates(tonight)
        find_split_repeats(tonight)
        expect_diversity(tonight)
        return tonight.unit.run_id


def _write_missing(tonight: Tonight) -> None:
    """Write the shards that the lake lacks, some at once, until a budget is used up."""
    recipe, run_id = tonight.recipe, tonight.unit.run_id
    written_by = writer_class(recipe.teacher, recipe.engine)
    blocks = split_into_shards(tonight.indices, recipe.shards)
    missing = [
        Shard(run_id, number, block, written_by)
        for number, block in enumerate(blocks)
        if not tonight.lake.is_committed(STORIES.name, shard_key(run_id, number))
    ]
    logger.info("stories: %d of %d shards are there", len(blocks) - len(missing), len(blocks))
    if not missing:
        return
    num_prompts = sum(len(shard.indices) for shard in missing)
    meter, spending = Meter(), spent_so_far(tonight)
    last_written = last_written_shard(tonight)
    at_work: deque[PrefectFuture[dict[str, Any]]] = deque()
    with (
        measured_stage(tonight, "generate") as stage,
        track("stories", num_prompts, "prompts") as bar,
        _stopping(bar),
    ):

        def wait_for_first() -> None:
            cost = at_work.popleft().result()
            spending.add([cost])
            stage.num_tokens += cost["num_tokens"]

        for place, shard in enumerate(missing):
            if len(at_work) == recipe.shards.workers:
                wait_for_first()
            reached = spending.reached()
            # Shards that were written at once may have left a hole: it is filled at any price, so
            # that what is closed is an end of the block.
            if reached is not None and shard.number > last_written:
                _close(tonight, missing[place:], reached)
                break
            at_work.append(write_shard.submit(tonight, shard, meter, bar))
        while at_work:
            wait_for_first()


@contextmanager
def _stopping(bar: Track) -> Iterator[None]:
    """Shards at work in other threads end when the block does not end well."""
    try:
        yield
    except BaseException:
        bar.stop()
        raise


def _close(tonight: Tonight, shards: Sequence[Shard], reached: str) -> None:
    """Close what a budget leaves unwritten, the last first: whenever this is killed, what is closed
    is an end of the night's block, and the next night can begin with it.
    """
    is_newest = tonight.claim.ordinal == len(tonight.lake.manifest.nights(tonight.claim.line))
    logger.warning(
        "budget.%s is used up: the night goes on with the stories that it has; its last %d prompts "
        "%s",
        reached,
        sum(len(shard.indices) for shard in shards),
        "are left to the line's next night"
        if is_newest
        else "are not written: a later night of the line has begun behind them",
    )
    for shard in reversed(shards):
        close_shard(tonight, shard, reached)


@task(name="write shard", cache_policy=NO_CACHE, task_run_name="stories shard {shard.number}")
def write_shard(tonight: Tonight, shard: Shard, meter: Meter, bar: Track) -> dict[str, Any]:
    """Write and commit one shard; its row of `costs`."""
    recipe = tonight.recipe
    engine = make_engine(tonight)
    order = Order(
        plan=tonight.plan,
        sampling=recipe.sampling,
        verdicts=recipe.verdicts,
        teacher_digest=tonight.teacher.digest,
        engine=recipe.engine.identity(),
        allows_instructions=tonight.teacher.allows_instructions,
    )
    watcher = _Watcher(recipe.sampling.max_attempts, bar, is_first=shard.number == 0)
    tables = write_stories(order, shard, engine, on_tokens=bar.count_tokens, on_story=watcher.see)
    cost = meter.row(tonight, shard, watcher.counts)
    tonight.lake.commit_shard(shard.run_id, shard.number, {**tables, COSTS.name: cost})
    logger.info(
        "shard %d: %d prompts, %d attempts, %d accepted",
        shard.number,
        len(shard.indices),
        watcher.counts["num_attempts"],
        watcher.counts["num_accepted"],
    )
    return cast("dict[str, Any]", cost.to_pylist()[0])


class _Watcher:
    """Counts a shard's attempts, moves the bar once a prompt is settled, and shows the night's
    first story.
    """

    def __init__(self, max_attempts: int, bar: Track, *, is_first: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._last_attempt = max_attempts - 1
        self._bar = bar
        self._shows_next = is_first

    def see(self, story: Story) -> None:
        self.counts["num_attempts"] += 1
        self.counts["num_accepted"] += story.reason is None
        self.counts["num_prompt_tokens"] += story.completion.num_prompt_tokens
        self.counts["num_tokens"] += story.completion.num_tokens
        if story.reason is None and self._shows_next:
            self._shows_next = False
            logger.info("first story (%s):\n%s\n", ", ".join(story.spec.words), story.text)
        if story.reason is None or story.attempt == self._last_attempt:
            self._bar.advance()
