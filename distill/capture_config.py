"""The section of a recipe that says what is asked of the teacher about finished text."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Keys that nights of earlier versions did not have.
_NEWER = ("logits_mib", "mode", "k")
# What other systems call the settings that bend a law.
_OTHER_LAWS = frozenset(
    "temperature top_p top_k min_p mask constrained repetition_penalty presence_penalty "
    "frequency_penalty logit_bias".split()
)


class CaptureConfig(BaseModel):
    """What is asked of the teacher about finished text, always its own law at temperature 1."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mode: Literal["sampled", "top_k"] = Field(
        default="sampled",
        description="ids drawn from the teacher's law, unbiased for any student; or its `k` "
        "likeliest with the mass of all others, for students of all of the teacher's ids",
    )
    num_draws: int = Field(
        ge=1,
        le=255,
        description="R, ids drawn at each position; more: less noise in each target, more storage; "
        'with mode = "top_k" nothing follows from it',
    )
    k: int | None = Field(
        default=None,
        ge=1,
        le=255,
        description='likeliest ids kept at each position with mode = "top_k", which needs it; '
        "more: a smaller tail, 4 bytes each",
    )
    seed: int = Field(ge=0, lt=2**63, description="another seed draws other ids from the same law")
    batch_size: int = Field(
        ge=1,
        le=4096,
        description="documents in one forward pass; it moves last bits, so it changes the run's id",
    )
    logits_mib: int = Field(
        default=64,
        ge=1,
        le=1_000_000,
        description="MiB of the teacher's logits at once; all that is made of them takes some six "
        "times as much; it may move last bits, so another value changes the run's id",
    )

    def identity(self) -> dict[str, Any]:
        """What targets follow from, as JSON values; nothing of keys that nights of earlier versions
        did not have, where they have their default.
        """
        fields = type(self).model_fields
        usual = {name for name in _NEWER if getattr(self, name) == fields[name].default}
        vain = {"num_draws", "seed"} if self.mode == "top_k" else set[str]()
        return self.model_dump(mode="json", exclude=usual | vain)

    def check_space(self, kind: str) -> None:
        """Pass if targets of this kind are exact for students of such a token space; else
        ValueError.
        """
        if self.mode == "top_k" and kind == "trimmed":
            raise ValueError(
                'capture.mode = "top_k": expected token_space.kind = "teacher", found "trimmed": '
                "how much of the tail's mass lies on ids that a trimmed student lacks is not "
                'stored, so its targets would not be exact; take kind = "teacher" (without '
                'vocab_size), or mode = "sampled", whose draws are exact for any ids'
            )

    @model_validator(mode="before")
    @classmethod
    def _the_teachers_own_law(cls, values: Any) -> Any:
        """Whoever asks for another law than the teacher's is told why there is none."""
        asked = sorted(_OTHER_LAWS.intersection(values)) if isinstance(values, dict) else []
        if asked:
            raise ValueError(
                f"{asked[0]} = {values[asked[0]]}: targets are the teacher's own law, at "
                "temperature 1, without mask, truncation or penalty: from what is stored of "
                "another law the teacher's cannot be recovered; leave the key out"
            )
        return values

    @model_validator(mode="after")
    def _k_fits_the_mode(self) -> Self:
        if (self.k is None) == (self.mode == "top_k"):
            raise ValueError(
                'k is missing: add it, as mode = "top_k" needs it'
                if self.k is None
                else f'k = {self.k}: expected none with mode = "sampled"; take mode = "top_k", or '
                "leave it out"
            )
        return self
