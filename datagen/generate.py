"""One shard: its part of the plan, written by the teacher, judged, and turned into rows.

Every prompt of the shard is tried once, then those without an accepted story again with the next
attempt's seed, until the budget of attempts is used up. All attempts are rows. A shard's rows
follow from the order and the shard's indices alone, so a killed shard is written again to the same
rows.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from datagen.config import SamplingConfig, ShardConfig, VerdictConfig
from datagen.engines.base import Completion, Engine, Request, TokensWritten
from datagen.families import Family, SubsetSlot, WordSlot
from datagen.measures import required_hits, unknown_words, words_of
from datagen.plan import Plan, PromptSpec
from datagen.prompts import instruction, opening, prompt_id
from datagen.verdict import judge
from datagen.vocabulary import Vocabulary
from warehouse.identity import Json, canonical_json, digest, digest_bytes, seed_from
from warehouse.schemas import PROMPTS, STORIES, WORDS
from warehouse.split import split_digest, text_split_digest

# Raise when the rows that the same order gives change.
STAGE_VERSION = 3


@dataclass(frozen=True, slots=True)
class Order:
    """What the stories of a run are written from.

    engine: what writes in the teacher's place, as EngineConfig.identity says; None: the teacher.
    allows_instructions: the teacher is told what to write; otherwise it continues an opening that
    holds the required words.
    """

    plan: Plan
    sampling: SamplingConfig
    verdicts: VerdictConfig
    teacher_digest: str
    engine: Mapping[str, Any] | None
    allows_instructions: bool

    @property
    def vocabulary(self) -> Vocabulary:
        """The words that the plan draws from and that texts are measured against."""
        return self.plan.vocabulary


@dataclass(frozen=True, slots=True)
class Story:
    """One attempt at a prompt."""

    spec: PromptSpec
    prompt_id: str
    attempt: int
    completion: Completion
    reason: str | None

    @property
    def text(self) -> str:
        """What the teacher wrote, without the white space around it."""
        return self.completion.text.strip()


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard's number in its run, its part of the plan, and what its rows are marked with."""

    run_id: str
    number: int
    indices: range
    numerics: str


@dataclass(slots=True)
class _Work:
    """The prompts still without a story, and what has been written."""

    open_specs: list[PromptSpec]
    stories: list[Story] = field(default_factory=list)
    doc_ids: set[str] = field(default_factory=set)


def split_into_shards(indices: range, config: ShardConfig) -> list[range]:
    """The indices cut in order: a first shard of its own size, then equal ones, the last perhaps
    shorter.
    """
    first_end = min(indices.start + config.first_shard, indices.stop)
    starts = range(first_end, indices.stop, config.shard_size)
    rest = [range(start, min(start + config.shard_size, indices.stop)) for start in starts]
    return [range(indices.start, first_end), *rest]


def write_stories(
    order: Order,
    shard: Shard,
    engine: Engine,
    *,
    on_tokens: TokensWritten,
    on_story: Callable[[Story], None],
) -> dict[str, pa.Table]:
    """The shard's rows of prompts, stories and words; on_story hears of each attempt once it is
    judged.
    """
    specs = [order.plan[index] for index in shard.indices]
    prompt_texts = {spec.plan_index: _prompt_text(order, spec) for spec in specs}
    work = _Work(list(specs))
    for attempt in range(order.sampling.max_attempts):
        if not work.open_specs:
            break
        requests = [_request(order, spec, prompt_texts, attempt) for spec in work.open_specs]
        completions = engine.write(requests, order.sampling, on_tokens)
        written = zip(work.open_specs, completions, strict=True)
        work.open_specs = []
        for spec, completion in written:
            story = _judged(order, spec, attempt, completion, work.doc_ids)
            work.stories.append(story)
            on_story(story)
            if story.reason is None:
                work.doc_ids.add(doc_id_of(story.text))
            else:
                work.open_specs.append(spec)
    return {
        PROMPTS.name: _prompt_rows(order, shard, specs, prompt_texts),
        STORIES.name: _story_rows(order, shard, work.stories),
        WORDS.name: _word_rows(order, shard, work.stories),
    }


def doc_id_of(text: str) -> str:
    """The id of a text: equal texts have equal ids."""
    return digest_bytes(text.encode())


def story_id_of(order: Order, prompt: str, attempt: int) -> str:
    """The id of one attempt at a prompt, known before it is written."""
    asked = (order.teacher_digest, order.engine, order.sampling.model_dump())
    return digest("story", prompt, *asked, attempt)


def _prompt_text(order: Order, spec: PromptSpec) -> str:
    word_it = instruction if order.allows_instructions else opening
    return word_it(order.plan, spec)


def _prompt_id(order: Order, spec: PromptSpec) -> str:
    part: Json = {"allows_instructions": order.allows_instructions}
    return prompt_id(part, order.plan, spec.plan_index)


def _request(order: Order, spec: PromptSpec, prompt_texts: dict[int, str], attempt: int) -> Request:
    text = prompt_texts[spec.plan_index]
    seed = seed_from("sampling", order.sampling.seed, _prompt_id(order, spec), attempt)
    required = tuple(
        order.vocabulary.forms_of(word.lemma, word.part_of_speech) for word in spec.required
    )
    if order.allows_instructions:
        return Request(prompt=text, opening="", seed=seed, required=required)
    return Request(prompt="", opening=text, seed=seed, required=required)


def _judged(
    order: Order, spec: PromptSpec, attempt: int, completion: Completion, seen: Collection[str]
) -> Story:
    reason = judge(
        completion.text,
        is_finished=completion.is_finished,
        spec=spec,
        vocabulary=order.vocabulary,
        config=order.verdicts,
    )
    if reason is None and doc_id_of(completion.text.strip()) in seen:
        reason = "duplicate"
    return Story(spec, _prompt_id(order, spec), attempt, completion, reason)


def _prompt_rows(
    order: Order, shard: Shard, specs: Sequence[PromptSpec], prompt_texts: dict[int, str]
) -> pa.Table:
    rows = [
        {
            "prompt_id": _prompt_id(order, spec),
            "run_id": shard.run_id,
            "vocabulary": order.vocabulary.name,
            "vocabulary_digest": order.vocabulary.digest,
            "seed": order.plan.seed,
            "plan_index": spec.plan_index,
            "family": order.plan.family.name,
            "family_digest": order.plan.family.digest,
            "words": list(spec.words),
            "slots": canonical_json(spec.values).decode(),
            "sentence": spec.sentence,
            **_word_columns(order.plan.family, spec),
            "features": _features(order.plan.family, spec),
            "text": prompt_texts[spec.plan_index],
        }
        for spec in specs
    ]
    return pa.Table.from_pylist(rows, schema=PROMPTS.schema)


def _word_columns(family: Family, spec: PromptSpec) -> dict[str, str]:
    """The columns of the classes that most families ask for, where a slot bears the name."""
    slots = ((name, family.slots.get(name)) for name in ("verb", "noun", "adjective"))
    return {name: spec.values[name][0] for name, slot in slots if isinstance(slot, WordSlot)}


def _features(family: Family, spec: PromptSpec) -> list[str]:
    """The values of all subsets asked for, sorted."""
    subsets = (name for name, slot in family.slots.items() if isinstance(slot, SubsetSlot))
    return sorted(value for name in subsets for value in spec.values[name])


def _split_digest(story: Story) -> str:
    return split_digest(story.spec.words) if story.spec.words else text_split_digest(story.text)


def _story_rows(order: Order, shard: Shard, stories: Sequence[Story]) -> pa.Table:
    rows = [_story_row(order, shard, story) for story in stories]
    return pa.Table.from_pylist(rows, schema=STORIES.schema)


def _story_row(order: Order, shard: Shard, story: Story) -> dict[str, object]:
    words = words_of(story.text)
    return {
        "story_id": story_id_of(order, story.prompt_id, story.attempt),
        "run_id": shard.run_id,
        "prompt_id": story.prompt_id,
        "attempt": story.attempt,
        "plan_index": story.spec.plan_index,
        "teacher_digest": order.teacher_digest,
        "numerics": shard.numerics,
        "text": story.text,
        "doc_id": doc_id_of(story.text),
        "split_digest": _split_digest(story),
        "accepted": story.reason is None,
        "reason": story.reason,
        "num_words": len(words),
        "num_unknown_words": len(unknown_words(words, order.vocabulary)),
        "num_required_hit": required_hits(words, story.spec, order.vocabulary),
        "num_tokens": story.completion.num_tokens,
        "num_bytes": len(story.text.encode()),
    }


def _word_rows(order: Order, shard: Shard, stories: Sequence[Story]) -> pa.Table:
    occurrences: defaultdict[str, int] = defaultdict(int)
    holders: defaultdict[str, set[str]] = defaultdict(set)
    for story in stories:
        if story.reason is not None:
            continue
        story_id = story_id_of(order, story.prompt_id, story.attempt)
        for word in words_of(story.text):
            occurrences[word] += 1
            holders[word].add(story_id)
    rows = [
        {
            "word": word,
            "run_id": shard.run_id,
            "shard": shard.number,
            "in_vocabulary": not unknown_words([word], order.vocabulary),
            "num_occurrences": occurrences[word],
            "story_ids": sorted(holders[word]),
        }
        for word in sorted(occurrences)
    ]
    return pa.Table.from_pylist(rows, schema=WORDS.schema)
