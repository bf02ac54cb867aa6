"""What the teacher says of each next token of every accepted story, as sampled targets in the
lake.

Every unit that the night may use is captured, an earlier night's too if it was not; a unit's
stories are cut into shards in plan order. A chat teacher's stories are captured under the prompt
that ordered them, a prefix teacher's after its start symbol.
"""

import logging
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from distill.targets import CaptureFacts
from distill.tokens import word_start_mask
from flows.corpus import CorpusStory, accepted_stories
from flows.defaults import lake_folder
from flows.diversity import expect_diversity
from flows.measured import measured_stage
from flows.night import Tonight, Unit, open_night, shard_key
from flows.progress import track
from flows.recipes import Recipe
from flows.teachers import TeacherTokenizer, load_tokenizer
from warehouse.identity import digest
from warehouse.schemas import TARGETS

# Raise when the targets of the same stories change.
STAGE_VERSION = 1
logger = logging.getLogger(__name__)


@flow(name="capture_targets", flow_run_name="targets of {recipe.name}, night {night}")
def capture_targets(recipe: Recipe, night: str, data: Path | None = None) -> list[str]:
    """The capture runs of all units that the night may use, oldest first; shards that are in the
    lake are not captured again.
    """
    with open_night(recipe, night, lake_folder(data), logger.info) as tonight:
        expect_diversity(tonight)
        missing = [
            (run_id, number, stories)
            for unit in tonight.units
            for run_id in [capture_run_id(tonight, unit)]
            for number, stories in enumerate(_shards(tonight, unit))
            if not tonight.lake.is_committed(TARGETS.name, shard_key(run_id, number))
        ]
        if missing:
            num_stories = sum(len(stories) for _, _, stories in missing)
            with (
                measured_stage(tonight, "capture") as stage,
                track("targets", num_stories, "stories") as bar,
            ):
                for run_id, number, stories in missing:
                    num_tokens = capture_shard(tonight, run_id, number, stories)
                    stage.num_tokens += num_tokens
                    bar.count_tokens(num_tokens)
                    bar.advance(len(stories))
        else:
            logger.info("targets: all are there")
        return [capture_run_id(tonight, unit) for unit in tonight.units]


@task(name="capture shard", cache_policy=NO_CACHE, task_run_name="targets shard {number}")
def capture_shard(tonight: Tonight, run_id: str, number: int, stories: list[CorpusStory]) -> int:
    """Capture and commit one shard; the targets' tokens."""
    from distill.capture import capture_documents
    from distill.positions import CaptureRequest, TeacherIds

    reads = load_tokenizer(tonight.teacher)
    requests = [
        CaptureRequest(
            doc_id=story.doc_id,
            story_id=story.story_id,
            context_ids=context_ids(tonight, reads, story.prompt),
            text_ids=reads.text_ids(story.text),
        )
        for story in stories
    ]
    tokenizer_json = (tonight.teacher.folder / "tokenizer.json").read_text(encoding="utf-8")
    mask = word_start_mask(tokenizer_json, vocab_size=reads.vocab_size, end_ids=reads.end_ids)
    rows = capture_documents(
        tonight.teacher_model(),
        requests,
        tonight.recipe.capture,
        TeacherIds(reads.end_ids, mask),
        run_id=run_id,
        teacher_digest=tonight.teacher.digest,
    )
    facts = capture_facts(tonight, reads.vocab_size)
    tonight.lake.commit_shard(run_id, number, {TARGETS.name: rows}, facts=facts.to_json())
    return sum(len(request.text_ids) + 1 for request in requests)


def capture_run_id(tonight: Tonight, unit: Unit) -> str:
    """The run that captures the unit's stories."""
    return digest(
        "capture",
        STAGE_VERSION,
        unit.pass_id,
        tonight.teacher.digest,
        tonight.claim.numerics,
        tonight.recipe.capture.identity(),
        tonight.recipe.shards.shard_size,
    )


def capture_facts(tonight: Tonight, vocab_size: int) -> CaptureFacts:
    """What the night's targets promise, and what whoever reads them must find."""
    config = tonight.recipe.capture
    return CaptureFacts(
        num_draws=0 if config.mode == "top_k" else config.num_draws,
        teacher_digest=tonight.teacher.digest,
        tokenizer_sha256=tonight.teacher.tokenizer_sha256,
        vocab_size=vocab_size,
        context="prompt" if tonight.teacher.allows_instructions else "start",
        mode=config.mode,
        k=config.k,
    )


def context_ids(tonight: Tonight, reads: TeacherTokenizer, prompt: str) -> list[int]:
    """What the teacher read before it wrote a story of that prompt: the prompt, or the start symbol
    where the prompt began the story.
    """
    return reads.context_ids(prompt if tonight.teacher.allows_instructions else "")


def _shards(tonight: Tonight, unit: Unit) -> list[list[CorpusStory]]:
    stories = accepted_stories(tonight, unit)
    size = tonight.recipe.shards.shard_size
    return [stories[start : start + size] for start in range(0, len(stories), size)]
