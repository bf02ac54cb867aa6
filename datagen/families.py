"""Prompt families: what a prompt may ask for, and its wording, as data.

A family is a TOML file: slots (words of the vocabulary, choices, subsets) and templates over them.
The shipped ones are known by name, a team's own by path. A family's digest is part of the id of
every prompt that it words, so a changed file never passes for the one before; `version` and the
prose of `description` are for people.
"""

import tomllib
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from datagen.errors import FamilyError
from datagen.family_faults import first_fault
from datagen.templates import MAX_SOURCE_CHARS, SlotWord, Values, check, render
from datagen.vocabulary import PartOfSpeech, Vocabulary
from warehouse.identity import Json, digest

MAX_VALUES = 2_000
MAX_WEIGHT = 1_000
_MAX_FILE_BYTES = 1_000_000
_NO_SLOT = {"and", "else", "false", "if", "in", "is", "none", "not", "or", "self", "true"}
_SENTENCE = "sentence"

Text = Annotated[str, Field(min_length=1, max_length=200)]
Source = Annotated[str, Field(min_length=1, max_length=MAX_SOURCE_CHARS)]
Probability = Annotated[float, Field(gt=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class WordSlot(_Part):
    """A word of the vocabulary, never missing; required: it must stand in the text."""

    kind: Literal["word"]
    part_of_speech: PartOfSpeech
    topic: Text | None = None
    required: bool = True

    @field_validator("part_of_speech", mode="after")
    @classmethod
    def _is_said(cls, part: PartOfSpeech) -> PartOfSpeech:
        if part is PartOfSpeech.PUNCTUATION:
            raise ValueError("expected a part of speech that words have, found 'punctuation'")
        return part


class _ValueSlot(_Part):
    probability: Probability = 1.0

    @field_validator("values", mode="after", check_fields=False)
    @classmethod
    def _values_are_plain(cls, values: dict[str, float]) -> dict[str, float]:
        for value in values:
            if not value.isprintable() or value != value.strip():
                raise ValueError(
                    f"expected values of printable characters without outer spaces, found {value!a}"
                )
        return values


class ChoiceSlot(_ValueSlot):
    """One of the values (a list, or a table of value = weight), or none with 1 - probability."""

    kind: Literal["choice"]
    values: Annotated[
        dict[Text, Annotated[int, Field(ge=1, le=MAX_WEIGHT)]],
        Field(min_length=1, max_length=MAX_VALUES),
    ]

    @field_validator("values", mode="before")
    @classmethod
    def _weights(cls, values: object) -> object:
        if not isinstance(values, list):
            return values
        if not all(isinstance(value, str) for value in values):
            other = next(value for value in values if not isinstance(value, str))
            raise ValueError(f"expected texts in quotes, found {other!a:.60}")
        twice = [value for value, times in Counter(values).items() if times > 1]
        if twice:
            raise ValueError(f"expected each value once, found {twice[0]!a} again")
        return dict.fromkeys(values, 1)


class SubsetSlot(_ValueSlot):
    """Any number of the values, each by its own probability (a table of value = probability)."""

    kind: Literal["subset"]
    values: Annotated[dict[Text, Probability], Field(min_length=1, max_length=64)]


Slot = Annotated[WordSlot | ChoiceSlot | SubsetSlot, Field(discriminator="kind")]


class Family(_Part):
    """A family of prompts.

    instruction: what a chat teacher is told. opening: the first words of the text, for a teacher
    that only continues. sentence: a sentence that must stand in the text, asked for with
    sentence_probability. summary: the text in a line, for the instruct form.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    version: int = Field(ge=1, le=1_000_000)
    description: str = Field(max_length=2_000)
    instruction: Source
    opening: Source
    sentence: Source | None = None
    sentence_probability: Probability = 1.0
    summary: Source | None = None
    slots: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")], Slot] = Field(
        min_length=1, max_length=32
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for name in self.slots:
            if name in _NO_SLOT or name == _SENTENCE:
                raise ValueError(f"slots.{name}: expected another name, found one that is taken")
        if not any(is_enumerated(slot) for slot in self.slots.values()):
            raise ValueError(
                "slots: expected a word, or a choice that is always made, found neither; "
                "the plan would ask for the same text again and again"
            )
        for where, source in self._templates.items():
            known = (*self.slots, *((_SENTENCE,) if where != _SENTENCE else ()))
            check(source, known, where)
        self._try_every_value()
        return self

    @cached_property
    def digest(self) -> str:
        """32 hex characters: of all but the description; the order of slots counts, that of values
        does not.
        """
        slots: list[Json] = [
            [name, slot.model_dump(mode="json")] for name, slot in self.slots.items()
        ]
        rest = self.model_dump(mode="json", exclude={"description", "slots"})
        return digest("prompt family", rest, slots)

    @property
    def parts_of_speech(self) -> tuple[PartOfSpeech, ...]:
        """What its word slots take, each once."""
        slots = (slot for slot in self.slots.values() if isinstance(slot, WordSlot))
        return tuple(dict.fromkeys(slot.part_of_speech for slot in slots))

    def told(self, template: str, values: Values) -> str:
        """What one of its templates says of the values of template_values."""
        return render(self._templates[template], values, f"family {self.name}, {template}")

    def template_values(
        self,
        values: Mapping[str, tuple[str, ...]],
        sentence: str | None,
        vocabulary: Vocabulary,
    ) -> Values:
        """A spec's values as templates see them: a word or a choice as text ('' if not asked for),
        a subset as a list.
        """
        shown: dict[str, str | tuple[str, ...]] = {_SENTENCE: sentence or ""}
        for name, slot in self.slots.items():
            if isinstance(slot, WordSlot):
                (lemma,) = values[name]
                num_forms = len(vocabulary.forms_of(lemma, slot.part_of_speech))
                shown[name] = SlotWord(lemma, num_forms)
            elif isinstance(slot, ChoiceSlot):
                shown[name] = "".join(values[name])
            else:
                shown[name] = values[name]
        return shown

    @cached_property
    def _templates(self) -> dict[str, str]:
        sources = {
            "instruction": self.instruction,
            "opening": self.opening,
            _SENTENCE: self.sentence,
            "summary": self.summary,
        }
        return {name: source for name, source in sources.items() if source is not None}

    def _try_every_value(self) -> None:
        """Render each template with each value once, so that a table without it is found now."""
        usual: dict[str, str | tuple[str, ...]] = {_SENTENCE: ""}
        tried: dict[str, list[str | tuple[str, ...]]] = {_SENTENCE: ["A cat sat."]}
        for name, slot in self.slots.items():
            if isinstance(slot, WordSlot):
                usual[name], tried[name] = SlotWord("word", 2), [SlotWord("words", 1)]
            elif isinstance(slot, ChoiceSlot):
                tried[name] = [*slot.values, *([""] if slot.probability < 1 else [])]
                usual[name] = next(iter(slot.values))
            else:
                usual[name] = ()
                tried[name] = [*((value,) for value in slot.values), tuple(slot.values)]
        for where, source in self._templates.items():
            for name, values in tried.items():
                for value in values:
                    if not render(source, {**usual, name: value}, where):
                        raise ValueError(f"{where}: expected a text for every value, found none")


def is_enumerated(slot: WordSlot | ChoiceSlot | SubsetSlot) -> bool:
    """Whether the plan goes through all values of the slot: words, and choices always made."""
    return not isinstance(slot, SubsetSlot) and getattr(slot, "probability", 1.0) == 1.0


def shipped_families() -> tuple[str, ...]:
    """The names of the families that come with the package, sorted."""
    folder = resources.files("datagen") / "families"
    names = (item.name for item in folder.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def load_family(name_or_path: str) -> Family:
    """The shipped family of that name, or the one in that .toml file; FamilyError names file and
    key, what was expected there and what was found.
    """
    if name_or_path.endswith(".toml"):
        return parse_family(name_or_path, _read(Path(name_or_path)))
    if name_or_path not in shipped_families():
        raise FamilyError(
            f"expected the name of a prompt family ({', '.join(shipped_families())}) or the path "
            f"of a .toml file, found {name_or_path!r:.200}"
        )
    file = resources.files("datagen") / "families" / f"{name_or_path}.toml"
    return parse_family(f"{name_or_path}.toml", file.read_bytes())


def parse_family(where: str, data: bytes) -> Family:
    """The family that the bytes of a TOML file hold; errors call the file `where`."""
    if len(data) > _MAX_FILE_BYTES:
        raise FamilyError(
            f"{where}: expected at most {_MAX_FILE_BYTES:,} bytes, found {len(data):,}; "
            "shorten its lists"
        )
    try:
        values = tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as exc:  # not UTF-8, not TOML, or nested too deep
        said = " ".join(str(exc).split())
        raise FamilyError(f"{where}: expected TOML, found: {said:.200}; mend the file") from exc
    try:
        return Family.model_validate(values)
    except ValidationError as exc:
        raise FamilyError(f"{where}: {first_fault(exc)}") from exc


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as exc:  # ValueError: a path that no system can have
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise FamilyError(
            f"{str(path)!a:.200}: expected a readable prompt family, found none ({why}); give "
            f"another path or a shipped name ({', '.join(shipped_families())})"
        ) from exc
