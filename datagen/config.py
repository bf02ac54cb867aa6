"""The sections of a recipe that datagen owns.

What changes the stories has no default: the recipe names it. A check that is left out is off.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from datagen.phrases import read_phrases

LintKind = Literal[
    "Agreement", "BoundaryError", "Capitalization", "Eggcorn", "Enhancement", "Formatting",
    "Grammar", "Malapropism", "Miscellaneous", "Nonstandard", "Punctuation", "Readability",
    "Redundancy", "Regionalism", "Repetition", "Spelling", "Style", "Typo", "Usage", "WordChoice",
]  # fmt: skip
GRAMMAR_KINDS: tuple[LintKind, ...] = (
    "Agreement", "BoundaryError", "Grammar", "Malapropism", "Nonstandard", "Repetition", "Usage",
)  # fmt: skip


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _limit(description: str, *, most: float = 1) -> Any:
    """A limit that may be left out."""
    return Field(default=None, ge=0, le=most, description=description)


class PromptConfig(_Section):
    """Which prompts are planned."""

    vocabulary: str = Field(
        min_length=1,
        max_length=4096,
        description="name of a shipped vocabulary, or path of a .tsv, .csv or .txt file; "
        "the plan and every prompt id follow from its words",
    )
    family: str = Field(
        min_length=1,
        max_length=4096,
        description="name of a shipped prompt family, or path of a .toml file; "
        "what is asked for beside the words, and how it is put",
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
    constrain: bool = Field(
        description="true: the teacher writes only words and signs of the vocabulary; false: any"
    )
    steer: float = Field(
        ge=0,
        le=100,
        description="nats by which a missing required word is favoured at the soft limit, growing "
        "with every token; the story's end is withheld while one is missing. Larger rejects fewer "
        "stories and reads less naturally, 0 favours none; needs constrain = true",
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

    @model_validator(mode="after")
    def _steers_inside_a_vocabulary(self) -> Self:
        if self.steer and not self.constrain:
            raise ValueError(
                f"steer: expected 0 where constrain is false, found {self.steer}; "
                "set constrain=true or steer=0"
            )
        return self


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
    extra_characters: str = Field(
        default="",
        max_length=1000,
        description="signs that a text may hold besides letters, digits and plain punctuation, "
        "as $%/& for business text",
    )
    addresses_reader: bool = Field(
        default=False,
        description="true for texts that speak to their reader, as replies to customers: then "
        '"let me know if" and "I\'m sorry, but I cannot" are no talk of an assistant',
    )
    blocked: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        default=(),
        max_length=100_000,
        description="words and phrases that no text may hold, as a list or as the path of a file "
        "with one a line; only whole words are hit, whatever their case",
    )
    max_grade: float | None = Field(
        default=None,
        ge=-5,
        le=30,
        description="Flesch-Kincaid grade (US school years); a harder text is rejected",
    )
    max_lints_per_100_words: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="faults of grammar that Harper finds, for 100 words; a text with more is "
        "rejected. Needs the extra `grammar`, and takes 20 to 60 CPU-ms a text",
    )
    lint_kinds: tuple[LintKind, ...] = Field(
        default=GRAMMAR_KINDS,
        description="which kinds of Harper's faults count; its others are of spelling, names and "
        "style, and hit good stories often",
    )

    @field_validator("blocked", mode="before")
    @classmethod
    def _read_blocked(cls, value: object) -> object:
        return read_phrases(Path(value)) if isinstance(value, str) else value

    @field_validator("blocked")
    @classmethod
    def _phrases_hold_words(cls, phrases: tuple[str, ...]) -> tuple[str, ...]:
        for phrase in phrases:
            if not any(sign.isalnum() for sign in phrase):
                raise ValueError(f"expected words and phrases, found {phrase!r}, which has no word")
        return phrases

    @model_validator(mode="after")
    def _some_length_is_accepted(self) -> Self:
        if self.min_words > self.max_words:
            raise ValueError(
                f"min_words: expected at most max_words ({self.max_words}), found "
                f"{self.min_words}; no story could be accepted"
            )
        return self

    @model_validator(mode="after")
    def _kinds_of_faults_are_counted(self) -> Self:
        is_counted = self.max_lints_per_100_words is not None
        if is_counted and not self.lint_kinds:
            raise ValueError(
                "lint_kinds: expected a kind of fault where max_lints_per_100_words is set, found "
                "none; name one, or leave both keys out"
            )
        if not is_counted and self.lint_kinds != GRAMMAR_KINDS:
            raise ValueError(
                "lint_kinds: expected max_lints_per_100_words beside it, found none, so that no "
                "fault would count; set it, or leave lint_kinds out"
            )
        return self

    def check_sampling(self, sampling: SamplingConfig) -> None:
        """Pass unless the teacher has to stop before a text is long enough to be accepted, as a
        word takes a token or more; ValueError says which key to change.
        """
        if self.min_words > sampling.max_new_tokens:
            raise ValueError(
                f"verdicts.min_words = {self.min_words}: expected at most sampling.max_new_tokens, "
                f"{sampling.max_new_tokens}, as a word takes a token or more; no story could be "
                "accepted"
            )


class DuplicateConfig(_Section):
    """Which texts repeat an older one of the line."""

    min_similarity: float = Field(
        ge=0.3,
        le=1,
        description="Jaccard similarity of two texts' sets of word n-grams from which on the "
        "younger one is rejected; 1 rejects those whose n-grams are the same",
    )
    words_per_gram: int = Field(
        ge=1,
        le=20,
        description="words of an n-gram; more make texts look less alike",
    )


class DiversityConfig(_Section):
    """How much alike a night's texts may be: a night beyond a limit is not trained on.

    A limit that is left out does not bind; what it would bind is measured all the same.
    """

    min_stories: int = Field(
        ge=1,
        le=100_000_000,
        description="accepted texts of a night below which no limit binds: the shares of a few "
        "are chance",
    )
    num_words: int = Field(
        ge=100,
        le=10_000_000,
        description="words on which distinct n-grams and the compression ratio are measured, so "
        "that small and large nights compare",
    )
    num_sampled: int = Field(
        ge=2,
        le=10_000,
        description="texts of which each is held against all others for self-BLEU; the cost grows "
        "with the square",
    )
    max_opening_3: float | None = _limit("share of the texts that begin with the same three words")
    max_opening_5: float | None = _limit("share of the texts that begin with the same five words")
    max_name_share: float | None = _limit("share of the texts that hold the most common name")
    min_distinct_1: float | None = _limit("share of the words that are different ones")
    min_distinct_2: float | None = _limit("share of the word pairs that are different ones")
    min_distinct_3: float | None = _limit("share of the word triples that are different ones")
    max_self_bleu: float | None = _limit(
        "mean BLEU-4 (0 to 1) of a text against the others of the sample"
    )
    max_compression: float | None = _limit(
        "bytes of text for each byte of LZMA; templates compress well", most=1000
    )
    max_overlap: float | None = _limit(
        "share of the night's different word 5-grams that earlier nights' texts hold"
    )


class ShardConfig(_Section):
    """How the plan is cut into shards: a killed night loses at most the shards
    in work."""

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
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="shards written at once; memory grows with it, the stories are the same",
    )
