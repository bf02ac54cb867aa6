"""The rows of a night's page that say what its stories are like, where texts come from, and what
they cost; fields are named as the SQL names its columns.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measure:
    """How much alike a night's stories are, in one way."""

    night: str
    measure: str
    value: float
    n: int
    bound: float | None
    is_within: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Origin:
    """A night's stories or an import: its texts, and what the challenger was trained on of them."""

    kind: str
    source: str
    family: str | None
    origin: str | None
    licence: str | None
    num_texts: int
    num_words: int
    num_trained: int
    num_trained_tokens: int


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot of the prompt family."""

    slot: str
    num_values: int
    num_prompts_without: int


@dataclass(frozen=True, slots=True)
class NightCost:
    """What a night's stories cost."""

    night: str
    num_attempts: int
    num_accepted: int
    num_prompt_tokens: int
    num_tokens: int
    wall_s: float
    cpu_s: float
    accelerator_s: float
    price: float | None
    currency: str | None
    price_per_accepted_story: float | None
    reached: str | None


@dataclass(frozen=True, slots=True)
class ShardCost:
    """What neighbouring shards of a night's stories cost."""

    first_shard: int
    last_shard: int
    num_prompts: int
    num_closed: int | None
    num_accepted: int
    num_prompt_tokens: int
    num_tokens: int
    wall_s: float
    price: float | None
