"""The section of a recipe that says what a student's ids mean."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class TokenSpaceConfig(BaseModel):
    """What a student's ids mean."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["trimmed", "teacher", "own"] = Field(
        default="trimmed",
        description="the teacher's tokenizer cut down to `vocab_size` ids; the teacher's whole; or "
        "a byte-level BPE trained on the training texts, whose students learn from no draws",
    )
    vocab_size: int | None = Field(
        default=None,
        ge=300,
        le=1_000_000,
        description="ids of a trimmed or own tokenizer; fewer: cheaper, and of trimmed ones more "
        "documents left out; absent for the teacher's, which has its own number",
    )

    def identity(self) -> dict[str, Any]:
        """What a space follows from, as JSON values; nothing of the usual kind, so that nights
        claimed before there was another go on.
        """
        return self.model_dump(
            mode="json", exclude={"kind"} if self.kind == "trimmed" else set(), exclude_none=True
        )

    @model_validator(mode="after")
    def _size_fits_the_kind(self) -> Self:
        if (self.vocab_size is None) != (self.kind == "teacher"):
            found = f"{self.vocab_size:_}" if self.vocab_size is not None else "none"
            expected = (
                "none, as it has all of the teacher's ids" if self.kind == "teacher" else "it"
            )
            raise ValueError(
                f'vocab_size: with kind = "{self.kind}" expected {expected}, found {found}: '
                f"{'leave it out' if self.kind == 'teacher' else 'add it'}"
            )
        return self
