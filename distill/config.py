"""The sections of a recipe that distill owns: what is captured, what a student reads, how it is
trained and judged.
"""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from distill.students.presets import preset_named

# Far below, logits / temperature overflow.
_SMALLEST_TEMPERATURE = 0.01
# Of evaluate: keys that nights of earlier versions did not have.
_NEWER = ("num_distance_documents", "pairs_per_set")
# Of a figure or a suite.
_NAME = r"^[a-z][a-z0-9._-]{0,62}$"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TokenSpaceConfig(_Section):
    """What a student's ids mean."""

    vocab_size: int = Field(
        ge=300,
        le=1_000_000,
        description="ids of the trimmed tokenizer; fewer: cheaper, more documents left out",
    )


class CaptureConfig(_Section):
    """What is asked of the teacher about finished text."""

    num_draws: int = Field(
        ge=1,
        le=255,
        description="R, ids drawn at each position; more: less noise in each target, more storage",
    )
    seed: int = Field(ge=0, lt=2**63, description="another seed draws other ids from the same law")
    batch_size: int = Field(
        ge=1,
        le=4096,
        description="documents in one forward pass; it moves last bits, so it changes the run's id",
    )


class TrainConfig(_Section):
    """How a student is trained; what an experiment compares has no default."""

    preset: str = Field(description="the student's shape, one of distill.students.presets.PRESETS")
    num_tokens: int = Field(
        ge=1,
        le=100_000_000_000,
        description="target tokens seen in all, repeats counted; the last step may pass it",
    )
    alpha: float = Field(
        ge=0,
        le=1,
        description="weight of the teacher's draws; the text's own token has the rest; 0: no draws",
    )
    seed: int = Field(ge=0, lt=2**63, description="of the first weights and the documents' order")
    tokens_per_step: int = Field(
        default=2048,
        ge=1,
        le=10_000_000,
        description="target tokens of one optimizer step; fewer make more, noisier steps",
    )
    max_batch_tokens: int = Field(
        default=1024,
        ge=1,
        le=10_000_000,
        description="padded tokens in a forward pass; each takes 4 bytes * V; moves last bits only",
    )
    learning_rate: float = Field(
        default=3e-3, gt=0, le=1, description="peak rate of AdamW; larger students want lower ones"
    )
    warmup_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="share of the steps in which the rate rises to its peak",
    )
    decay_share: float = Field(
        default=0.3, ge=0, le=1, description="share of the steps, the last ones, in which it falls"
    )
    weight_decay: float = Field(
        default=0.1, ge=0, le=1, description="of matrices, times the rate, at each step"
    )
    grad_clip: float = Field(
        default=1.0,
        gt=0,
        le=1_000_000,
        description="L2 norm to which a larger gradient is scaled down",
    )
    checkpoint_every_steps: int = Field(
        default=50,
        ge=1,
        le=1_000_000,
        description="fewer lose less work in a kill and write more; not in the run's identity",
    )
    context: Literal["words", "instruct"] = Field(
        default="words",
        description="what a share of the documents are read after: the line of their words, or "
        "any of the lines Words, Features, Sentence and Summary, in any order",
    )
    words_line_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description='share of documents read after a line "Words: a, b, c", or the lines that '
        "`context` names; 0 makes --words vain",
    )

    def identity(self) -> dict[str, Any]:
        """What students follow from, as JSON values. How often a checkpoint is written is no part;
        nor is a context of words, so that students keep the ids that they had before there was
        another.
        """
        usual = {"context"} if self.context == "words" else set[str]()
        return self.model_dump(mode="json", exclude={"checkpoint_every_steps", *usual})

    @field_validator("preset")
    @classmethod
    def _preset_exists(cls, name: str) -> str:
        return preset_named(name).name

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.warmup_share + self.decay_share > 1:
            raise ValueError(
                "warmup_share + decay_share must be at most 1, found "
                f"{self.warmup_share} + {self.decay_share}: lower one of them"
            )
        return self


class EvaluateConfig(_Section):
    """How a student is measured."""

    seed: int = Field(
        ge=0, lt=2**63, description="of the intervals' resamples and the sample stories"
    )
    num_tokens_per_batch: int = Field(
        default=2048,
        ge=1,
        le=1_000_000,
        description=(
            "padded ids scored at once; more are faster, take 4V bytes each, move last bits"
        ),
    )
    num_resamples: int = Field(
        default=10_000,
        ge=1_000,
        le=1_000_000,
        description="draws of the document bootstrap; fewer make the bounds themselves noisy",
    )
    num_distance_documents: int = Field(
        default=100,
        ge=0,
        le=100_000_000,
        description="held-out texts of a suite, the newest first, whose every symbol is compared "
        "with the teacher's law; each costs a pass of the teacher, every night; 0: none",
    )
    num_samples: int = Field(ge=0, le=10_000, description="stories that the student is asked for")
    temperature: float = Field(
        ge=0, le=10, description="of the sample stories; 0 always takes the likeliest symbol"
    )
    top_k: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="symbols that a draw may fall on; absent: all of them",
    )
    max_new_tokens: int = Field(
        ge=1, le=100_000, description="symbols after which a sample story is cut off"
    )
    suites: tuple[str, ...] = Field(
        default=(),
        max_length=100,
        description="frozen suites (`stillhouse suites list`) that students and teacher are "
        "measured on as well; a night keeps to the ones it began with",
    )
    pairs_per_set: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="minimal pairs of each set that are scored, always the same ones; fewer are "
        "cheaper and widen the intervals; absent: all",
    )

    def identity(self) -> dict[str, Any]:
        """What figures follow from, as JSON values. Suites are known by their digests; keys of
        _NEWER are no part where they have their default, so that a night that was claimed before
        there were any can go on.
        """
        fields = type(self).model_fields
        usual = {name for name in _NEWER if getattr(self, name) == fields[name].default}
        return self.model_dump(mode="json", exclude={"suites", *usual})

    @field_validator("temperature")
    @classmethod
    def _division_stays_finite(cls, temperature: float) -> float:
        if 0 < temperature < _SMALLEST_TEMPERATURE:
            raise ValueError(f"expected 0, or {_SMALLEST_TEMPERATURE} to 10")
        return temperature


class GateConfig(_Section):
    """A figure of the challenger that must keep a limit, however good its bits per byte are."""

    metric: str = Field(
        pattern=_NAME,
        description="the figure, as the column `metric` of the table `evaluations` has it; one "
        "that is not measured that night breaks its gate",
    )
    suite: str | None = Field(
        default=None,
        pattern=_NAME,
        description="the suite that it is measured on; absent: tonight's held-out stories "
        "(confirmation), or for a figure of told stories, samples",
    )
    at_least: float | None = Field(
        default=None, ge=-1e9, le=1e9, description="least value that is let through"
    )
    at_most: float | None = Field(
        default=None, ge=-1e9, le=1e9, description="greatest value that is let through"
    )

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            found = "neither" if self.at_least is None else "both"
            raise ValueError(
                f"gate {self.metric}: expected one of at_least and at_most, found {found}; a band "
                "is two gates"
            )
        return self


class PromoteConfig(_Section):
    """When a challenger takes the champion's place."""

    margin_share: float = Field(
        default=0.027,
        ge=0,
        lt=1,
        description="share of the champion's bits per byte that a gain must exceed; the default "
        "is the smallest at which one seed of a recipe takes another's place in at most 5 % of the "
        "nights of 500 documents (16 small students); lower ones promote lucky seeds",
    )
    min_documents: int = Field(
        default=30,
        ge=2,
        le=100_000_000,
        description="selection documents below which nothing is promoted over a champion",
    )
    max_left_out_share: float = Field(
        ge=0,
        le=1,
        description="gate: share of training documents that may be left out, as they hold an id "
        "that the space lacks or do not fit the student's positions with their context",
    )
    gates: tuple[GateConfig, ...] = Field(
        default=(),
        max_length=100,
        description="figures of the challenger and their limits, each a `[[promote.gates]]`; a "
        "broken one keeps the champion",
    )

    def identity(self) -> dict[str, Any]:
        """What a decision follows from, as JSON values; nothing of the gates where there are none,
        so that nights claimed before there were any go on.
        """
        return self.model_dump(mode="json", exclude=set() if self.gates else {"gates"})
