"""The sections of a recipe that datagen owns.

No field has a default: each changes the stories, so the recipe names it.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PromptConfig(_Section):
    """Which prompts are planned."""

    vocabulary: str = Field(
        min_length=1,
        max_length=4096,
        description="name of a shipped vocabulary, or path of a .tsv file; "
        "the plan and every prompt id follow from its words",
    )
    seed: int = Field(
        ge=0, lt=2**63, description="seed of the plan; another seed asks for other stories"
    )


class SamplingConfig(_Section):
    """How the teacher writes."""

    temperature: float = Field(
        ge=0.01,  # far below, logits / temperature overflow; top_k = 1 is what 0 would mean
        le=5,
        description="below 1: safer and more alike; above: more varied, more rejected",
    )
    top_k: int = Field(
        ge=1,
        le=1_000_000,
        description="likeliest ids that a draw may fall on; smaller cuts the rare words, "
        "1 always takes the likeliest",
    )
    max_new_tokens: int = Field(
        ge=1,
        le=4096,
        description="tokens; a story that has not ended by then is rejected as unfinished",
    )
    soft_limit_tokens: int = Field(
        ge=0,
        le=4096,
        description="tokens after which each end of a sentence is likelier to end the story; "
        "lower makes shorter stories and fewer unfinished ones",
    )
    max_attempts: int = Field(
        ge=1,
        le=100,
        description="tries per prompt; more lose fewer prompts "
        "and cost teacher time on the hard ones",
    )
    seed: int = Field(
        ge=0,
        lt=2**63,
        description="seed of the sampling; another one writes other stories to the same prompts",
    )


class VerdictConfig(_Section):
    """Which stories are accepted."""

    min_words: int = Field(ge=1, le=10_000, description="words; a shorter story is rejected")
    max_words: int = Field(ge=1, le=10_000, description="words; a longer story is rejected")
    max_repeated_share: float = Field(
        ge=0,
        le=1,
        description="share of four-word sequences that occurred before in the story; "
        "above it the story counts as a loop",
    )
    max_unknown_share: float = Field(
        ge=0,
        le=1,
        description="share of words outside the vocabulary; "
        "above it the story is rejected, 1 rejects none",
    )

    @model_validator(mode="after")
    def _some_length_is_accepted(self) -> Self:
        if self.min_words > self.max_words:
            raise ValueError(
                f"min_words: expected at most max_words ({self.max_words}), found "
                f"{self.min_words}; no story could be accepted"
            )
        return self


class ShardConfig(_Section):
    """How the plan is cut into shards: a killed night loses at most the shard in work."""

    first_shard: int = Field(
        ge=1,
        le=100_000,
        description="prompts in the first shard; smaller shows the first story sooner",
    )
    shard_size: int = Field(
        ge=1,
        le=100_000,
        description="prompts in every later shard; smaller loses less work if a run dies, "
        "larger decodes wider batches",
    )
