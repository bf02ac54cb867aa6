"""A recipe: the whole, typed configuration of a night. It composes the sections that the packages
own.

A recipe is a TOML file. The shipped ones are known by name, others by path; single keys are
overridden on the command line (`--set train.alpha=0.5`). Unknown keys are refused with the nearest
known one.
"""

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from datagen.config import (
    DiversityConfig,
    DuplicateConfig,
    PromptConfig,
    SamplingConfig,
    ShardConfig,
    VerdictConfig,
)
from datagen.engine_config import EngineConfig
from distill.capture_config import CaptureConfig
from distill.config import EvaluateConfig, TrainConfig
from distill.promote_config import PromoteConfig
from distill.space_config import TokenSpaceConfig
from distill.students.presets import preset_named
from flows.budget import BudgetConfig
from flows.errors import FlowsError
from flows.gates import check_gates
from flows.recipe_faults import check_numbers, first_fault

_STORY_SHARE = 0.75
# Beside what it calls no TOML, the reader stumbles over numbers of thousands of digits and over
# brackets nested as deep.
_NO_TOML = (ValueError, RecursionError)
# A shard's number has five digits, in its key and in its file's name.
_MAX_SHARDS = 100_000


class TeacherConfig(BaseModel):
    """Which model teaches, and how it is run."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str = Field(
        min_length=1,
        max_length=4096,
        description=(
            "a teacher that `stillhouse teacher list` names, a local folder, or a hub id; "
            "ids follow from the files, not from this text"
        ),
    )
    batch_size: int = Field(
        ge=1,
        le=4096,
        description="stories in work at once; where one ends, the next begins. Wider is faster "
        "until memory runs out",
    )
    threads: int = Field(
        ge=1,
        le=1024,
        description="CPU threads; part of the numerics class, so it is asked for, not found out",
    )
    device: Literal["cpu", "cuda"] = Field(
        default="cpu",
        description=(
            "where teacher and students are computed; on cuda a repeated night does the same work, "
            "but equal bytes are not promised"
        ),
    )


class NightConfig(BaseModel):
    """How much one night asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    num_prompts: int = Field(
        ge=1, le=100_000_000, description="prompts of the plan that one night takes"
    )
    held_out_share: float = Field(
        gt=0,
        lt=1,
        description=(
            "share of the stories that no student is trained on, chosen by their required words"
        ),
    )
    imports: tuple[str, ...] = Field(
        default=(),
        max_length=100,
        description=(
            "imports (`stillhouse corpus list`) whose accepted texts students are trained and "
            "measured on as well, captured without a prompt; a night keeps to the ones it began "
            "with"
        ),
    )


class Recipe(BaseModel):
    """One line of students: what is asked of its teacher and its students every night."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$",
        description="the line; there is one champion per line and lake",
    )
    description: str = Field(description="what this recipe is for")
    teacher: TeacherConfig
    night: NightConfig
    prompts: PromptConfig
    sampling: SamplingConfig
    verdicts: VerdictConfig
    duplicates: DuplicateConfig
    diversity: DiversityConfig
    shards: ShardConfig
    token_space: TokenSpaceConfig
    capture: CaptureConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    promote: PromoteConfig
    engine: EngineConfig = Field(default=EngineConfig())
    budget: BudgetConfig = Field(default=BudgetConfig())

    @property
    def most_story_tokens(self) -> int:
        """Teacher tokens of a text that leaves a student room for its context, and for ids of its
        own where the teacher has one.
        """
        return int(_STORY_SHARE * preset_named(self.train.preset).max_position_embeddings)

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_written_as_numbers(cls, values: object) -> object:
        check_numbers(values, cls)
        return values

    @model_validator(mode="after")
    def _stories_fit_the_student(self) -> Self:
        """Beside a story a student reads its context, and some stories take more of its ids."""
        positions = preset_named(self.train.preset).max_position_embeddings
        most, found = int(_STORY_SHARE * positions), self.sampling.max_new_tokens
        if found > most:
            raise ValueError(
                f"sampling.max_new_tokens = {found}: expected at most {most} for the {positions} "
                f"positions of {self.train.preset}"
            )
        if self.sampling.soft_limit_tokens > found:
            raise ValueError(
                f"sampling.soft_limit_tokens = {self.sampling.soft_limit_tokens}: expected at most "
                f"sampling.max_new_tokens, {found} (equal to it: no soft limit)"
            )
        return self

    @model_validator(mode="after")
    def _engine_can_do_what_is_asked(self) -> Self:
        self.engine.check_sampling(self.sampling)
        return self

    @model_validator(mode="after")
    def _a_text_can_be_accepted(self) -> Self:
        self.verdicts.check_sampling(self.sampling)
        return self

    @model_validator(mode="after")
    def _own_ids_have_no_draws(self) -> Self:
        if self.token_space.kind == "own" and self.train.alpha:
            raise ValueError(
                f'train.alpha = {self.train.alpha}: expected 0 with token_space.kind = "own", as '
                "the teacher's draws, and its scores of [train.on_policy], are in its own ids; "
                "take another kind, or no draws and no scores"
            )
        return self

    @model_validator(mode="after")
    def _a_tail_is_of_all_ids(self) -> Self:
        self.capture.check_space(self.token_space.kind)
        return self

    @model_validator(mode="after")
    def _gates_name_figures(self) -> Self:
        check_gates(self.promote, self.evaluate, self.night.imports)
        return self

    @model_validator(mode="after")
    def _shards_can_be_numbered(self) -> Self:
        num_prompts, size = self.night.num_prompts, self.shards.shard_size
        least = -(-(num_prompts - self.shards.first_shard) // (_MAX_SHARDS - 1))
        if size < least:
            raise ValueError(
                f"shards.shard_size = {size}: expected at least {least}, as night.num_prompts = "
                f"{num_prompts} would take more than {_MAX_SHARDS:,} shards"
            )
        return self


def recipe_names() -> list[str]:
    """The shipped recipes, sorted."""
    folder = resources.files("flows") / "recipes"
    return sorted(
        file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml")
    )


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe with its overrides ("section.key=value", the value as in TOML); FlowsError names
    what is wrong.
    """
    where, text = _read(name_or_path)
    try:
        values = tomllib.loads(text)
    except _NO_TOML as exc:
        raise FlowsError(f"recipe {where}: expected TOML, found: {exc}; mend the file") from exc
    for override in overrides:
        _apply(values, override)
    try:
        return Recipe.model_validate(values)
    except ValidationError as exc:
        raise FlowsError(f"recipe {where}: {first_fault(exc, Recipe)}") from exc


def _read(name_or_path: str) -> tuple[str, str]:
    if name_or_path in recipe_names():
        file = resources.files("flows") / "recipes" / f"{name_or_path}.toml"
        return name_or_path, file.read_text(encoding="utf-8")
    path = Path(name_or_path)
    if path.suffix != ".toml":
        raise FlowsError(
            f"recipe {name_or_path}: expected one of {', '.join(recipe_names())}, or the path of a "
            ".toml file; found neither"
        )
    try:
        return str(path), path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as exc:
        what = exc.strerror if isinstance(exc, OSError) else exc
        raise FlowsError(
            f"recipe {path}: expected a readable UTF-8 file, found: {what}; give the path of one, "
            f"or one of {', '.join(recipe_names())}"
        ) from exc


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one key; a value that is no TOML literal is taken as text, so paths need no quotes."""
    key, equals, literal = override.partition("=")
    *sections, last = key.strip().split(".")
    if not equals or not last:
        raise FlowsError(
            f"--set {override}: expected section.key=value, as in --set train.alpha=0.5"
        )
    try:
        [value] = tomllib.loads(f"value = {literal}").values()
    except _NO_TOML:
        value = literal.strip()
    table = values
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise FlowsError(f"--set {override}: {section} is a value, not a section")
    table[last] = value


def identity_of(recipe: Recipe) -> Mapping[str, Any]:
    """What the recipe asks for, as JSON values: all of it but its prose, and what stands elsewhere:
    the teacher's, vocabulary's and family's files by digest, imports by their runs, suites by their
    digests, the device in the numerics class.

    How often a checkpoint is written and how many shards are written at once change no bit of the
    result, so they are left out too, and so is the budget, which cuts a night short and is no part
    of what was asked for; of the engine only what decides on the stories is in, and nothing of the
    default one.
    """
    engine = recipe.engine.identity()
    asked = recipe.model_dump(
        mode="json",
        exclude={
            "description": True,
            "teacher": {"model", "device"},
            "night": {"imports"},
            "prompts": {"vocabulary", "family"},
            "capture": True,
            "train": True,
            "evaluate": True,
            "promote": True,
            "shards": {"workers"},
            "budget": True,
            "engine": True,
            "token_space": True,
        },
    )
    asked["capture"] = recipe.capture.identity()
    asked["token_space"] = recipe.token_space.identity()
    asked["train"] = recipe.train.identity()
    asked["evaluate"] = recipe.evaluate.identity()
    asked["promote"] = recipe.promote.identity()
    return asked if engine is None else {**asked, "engine": engine}
