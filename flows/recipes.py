"""A recipe: the whole, typed configuration of a night. It composes the sections that the packages
own.

A recipe is a TOML file. The shipped ones are known by name, others by path; single keys are
overridden on the command line (`--set train.alpha=0.5`). Unknown keys are refused with the nearest
known one.
"""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from datagen.config import PromptConfig, SamplingConfig, ShardConfig, VerdictConfig
from distill.config import (
    CaptureConfig,
    EvaluateConfig,
    PromoteConfig,
    TokenSpaceConfig,
    TrainConfig,
)
from distill.students.presets import preset_named
from flows.errors import FlowsError

_STORY_SHARE = 0.75


class TeacherConfig(BaseModel):
    """Which model teaches, and how it is run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(
        min_length=1,
        description=(
            "a teacher that `stillhouse teacher list` names, a local folder, or a hub id; "
            "ids follow from the files, not from this text"
        ),
    )
    batch_size: int = Field(
        ge=1, description="stories written at once; wider is faster until memory or cache runs out"
    )
    threads: int = Field(
        ge=1,
        le=1024,
        description="CPU threads; part of the numerics class, so it is asked for, not found out",
    )


class NightConfig(BaseModel):
    """How much one night asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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


class Recipe(BaseModel):
    """One line of students: what is asked of its teacher and its students every night."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    shards: ShardConfig
    token_space: TokenSpaceConfig
    capture: CaptureConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    promote: PromoteConfig

    @model_validator(mode="after")
    def _stories_fit_the_student(self) -> Self:
        """Beside a story a student reads its words' line, and some stories take more of its ids."""
        positions = preset_named(self.train.preset).max_position_embeddings
        most = int(_STORY_SHARE * positions)
        if self.sampling.max_new_tokens > most:
            raise ValueError(
                f"sampling.max_new_tokens: at most {most} for the {positions} positions of "
                f"{self.train.preset}, found {self.sampling.max_new_tokens}"
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
    except tomllib.TOMLDecodeError as exc:
        raise FlowsError(f"recipe {where}: expected TOML, found: {exc}; mend the file") from exc
    for override in overrides:
        _apply(values, override)
    try:
        return Recipe.model_validate(values)
    except ValidationError as exc:
        raise FlowsError(f"recipe {where}: {_first_fault(exc)}") from exc


def _read(name_or_path: str) -> tuple[str, str]:
    if name_or_path in recipe_names():
        file = resources.files("flows") / "recipes" / f"{name_or_path}.toml"
        return name_or_path, file.read_text(encoding="utf-8")
    path = Path(name_or_path)
    if path.suffix != ".toml" or not path.is_file():
        raise FlowsError(
            f"recipe {name_or_path}: expected one of {', '.join(recipe_names())}, or the path of a "
            ".toml file; found neither"
        )
    try:
        return str(path), path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise FlowsError(f"recipe {path}: expected a readable UTF-8 file, found: {exc}") from exc


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one key; a value that is no TOML literal is taken as text, so paths need no quotes."""
    key, equals, literal = override.partition("=")
    *sections, last = key.strip().split(".")
    if not equals or not last:
        raise FlowsError(
            f"--set {override}: expected section.key=value, as in --set train.alpha=0.5"
        )
    try:
        value = tomllib.loads(f"value = {literal}")["value"]
    except tomllib.TOMLDecodeError:
        value = literal.strip()
    table = values
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise FlowsError(f"--set {override}: {section} is a value, not a section")
    table[last] = value


def _first_fault(error: ValidationError) -> str:
    faults = error.errors()
    fault = faults[0]
    key = ".".join(map(str, fault["loc"]))
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    if fault["type"] == "extra_forbidden":
        known = _known_keys(fault["loc"][:-1])
        near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
        return f"unknown key {key}{hint}{more}"
    if fault["type"] == "missing":
        return f"key {key} is missing: add it{more}"
    return f"{key} = {fault['input']!r}: {fault['msg']}{more}"


def _known_keys(sections: Sequence[int | str]) -> list[str]:
    model: type[BaseModel] = Recipe
    for section in sections:
        annotation = model.model_fields[str(section)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return sorted(model.model_fields)


def identity_of(recipe: Recipe) -> Mapping[str, Any]:
    """What the recipe asks for, as JSON values: all of it but its prose, and the teacher's and
    vocabulary's files by digest elsewhere.

    How often a checkpoint is written changes no bit of the result, so it is left out too.
    """
    return recipe.model_dump(
        mode="json",
        exclude={
            "description": True,
            "teacher": {"model"},
            "prompts": {"vocabulary"},
            "train": {"checkpoint_every_steps"},
        },
    )
