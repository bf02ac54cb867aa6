"""Tonight: what one night of a line claimed, and everything that its stages derive their ids from.

A night claims once: its block of the plan, the lake that it may read, the champion that it meets,
its numerics class. Every later run of the same night reads that claim, so it does the same work,
and none of it twice.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen import generate, prompts
from datagen.vocabulary import Vocabulary, load_vocabulary
from flows.numerics import numerics_class
from flows.recipes import Recipe, identity_of
from flows.teachers import Say, Teacher, find_teacher
from warehouse.identity import canonical_json, digest
from warehouse.lake import Lake
from warehouse.ledger import Night
from warehouse.nights import NightRequest

# What the stories of a night follow from; the other sections of a recipe come after them.
_STORY_SECTIONS = ("prompts", "sampling", "verdicts", "shards", "teacher")
DUPLICATES_VERSION = 1


@dataclass(frozen=True, slots=True)
class Tonight:
    """A claimed night with its open lake, its teacher's description and its vocabulary."""

    recipe: Recipe
    lake: Lake
    claim: Night
    teacher: Teacher
    vocabulary: Vocabulary

    @property
    def indices(self) -> range:
        """The night's block of the plan."""
        return range(self.claim.first_index, self.claim.first_index + self.claim.num_indices)

    @property
    def unit(self) -> str:
        """The run that writes the night's stories."""
        return story_run_id(self.claim)

    @property
    def earlier_units(self) -> list[str]:
        """The runs of the line's earlier nights whose stories were all in the lake when this night
        began, oldest first.
        """
        units: list[str] = []
        for night in self.lake.manifest.nights(self.claim.line):
            if night.ordinal >= self.claim.ordinal:
                continue
            finished = duplicates_run_id([*units, story_run_id(night)])
            if self.lake.is_committed(
                "verdicts", shard_key(finished, 0), snapshot=self.claim.parent_snapshot
            ):
                units.append(story_run_id(night))
        return units

    @property
    def units(self) -> list[str]:
        """The runs whose stories this night may use: the earlier ones and its own."""
        return [*self.earlier_units, self.unit]

    @property
    def label(self) -> str:
        """How messages name the night."""
        return f"{self.claim.line}, night {self.claim.night}"


@contextmanager
def open_night(recipe: Recipe, night: str, data: Path, say: Say) -> Iterator[Tonight]:
    """The night, claimed now or as it was claimed before; the lake is made if there is none.

    Raises FlowsError for a missing teacher, DatagenError for a bad vocabulary, NightConflictError
    if the night was claimed for another recipe, teacher, vocabulary or numerics class.
    """
    teacher = find_teacher(recipe.teacher.model, say)
    vocabulary = load_vocabulary(recipe.prompts.vocabulary)
    request = NightRequest(
        line=recipe.name,
        night=night,
        num_indices=recipe.night.num_prompts,
        numerics=numerics_class(recipe.teacher),
        asked=canonical_json(_asked(recipe, teacher, vocabulary)).decode(),
    )
    with Lake.open(data, create=True) as lake:
        claim = lake.manifest.claim_night(request)
        yield Tonight(recipe, lake, claim, teacher, vocabulary)


def story_run_id(night: Night) -> str:
    """The run that writes a night's stories, from its claim alone: so an earlier night's stories
    are found under whatever versions and recipe wrote them.
    """
    asked = json.loads(night.asked)
    part = {name: asked["recipe"][name] for name in _STORY_SECTIONS}
    return digest(
        "generate",
        asked["versions"],
        asked["teacher_digest"],
        asked["vocabulary_digest"],
        part,
        [night.first_index, night.first_index + night.num_indices],
    )


def duplicates_run_id(units: Sequence[str]) -> str:
    """The run that looks for texts of the last unit that stand earlier in it or in the units
    before.
    """
    return digest("duplicates", DUPLICATES_VERSION, list(units))


def shard_key(run_id: str, shard: int) -> str:
    """The key that the manifest knows a shard by."""
    return f"{run_id}/{shard:05d}"


def _asked(recipe: Recipe, teacher: Teacher, vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        "recipe": identity_of(recipe),
        "teacher_digest": teacher.digest,
        "vocabulary_digest": vocabulary.digest,
        "versions": {"generate": generate.STAGE_VERSION, "prompt": prompts.PROMPT_VERSION},
    }
