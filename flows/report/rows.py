"""The rows of a night's page: one class for each question, its fields named as the SQL names its
columns.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """What the night claimed."""

    ordinal: int
    num_indices: int
    first_index: int
    champion_id: str | None
    numerics: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One leaf of what was asked, as JSON text."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The prompts that were tried."""

    family: str | None
    vocabulary: str
    vocabulary_digest: str
    seed: int
    num_prompts: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Attempts that ended the same way."""

    reason: str
    num_stories: int
    share: float


@dataclass(frozen=True, slots=True)
class Corpus:
    """The accepted stories."""

    num_stories: int
    num_words: int
    num_unknown_words: int
    mean_words: float | None
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Example:
    """An accepted story."""

    words: list[str]
    text: str
    num_words: int
    num_unknown_words: int


@dataclass(frozen=True, slots=True)
class UnknownWord:
    """A word outside the vocabulary."""

    word: str
    num_occurrences: int
    num_stories: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """The vocabulary's forms that were used, and the distinct words beside it."""

    num_forms_used: int
    num_distinct_unknown_words: int


@dataclass(frozen=True, slots=True)
class Targets:
    """The targets of one capture run."""

    run_id: str
    num_documents: int
    num_tokens: int
    ids_per_token: float
    entropy_bits: float


@dataclass(frozen=True, slots=True)
class Student:
    """A student and what it was trained on."""

    role: str
    student_id: str
    preset: str
    num_parameters: int
    alpha: float
    num_documents: int
    num_documents_left_out: int
    dropped_draw_share: float
    num_steps: int
    num_tokens: int
    num_story_tokens: int


@dataclass(frozen=True, slots=True)
class Loss:
    """The mean loss of a stretch of steps that ends at `step`."""

    role: str
    step: int
    num_tokens: int
    loss: float


@dataclass(frozen=True, slots=True)
class BitsPerByte:
    """A subject's bits per byte on one suite."""

    suite: str
    role: str
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Metric:
    """Any other figure."""

    metric: str
    suite: str
    role: str
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Bin:
    """The positions at which a subject was about that sure."""

    role: str
    bin: int
    low: float
    high: float
    num_tokens: int
    num_right: int
    mean_confidence: float | None


@dataclass(frozen=True, slots=True)
class BandBin:
    """The same of the positions where the teacher's entropy lies in one band."""

    role: str
    band: int
    min_entropy: float
    max_entropy: float | None
    bin: int
    num_tokens: int
    num_right: int
    mean_confidence: float | None


@dataclass(frozen=True, slots=True)
class Decision:
    """The night's decision."""

    promoted: bool
    reason: str
    explanation: str
    challenger_id: str
    champion_id: str | None
    margin: float | None
    difference: float | None
    low: float | None
    high: float | None
    confirmation_difference: float | None
    num_selection: int
    num_confirmation: int
    smallest_difference: float | None


@dataclass(frozen=True, slots=True)
class Told:
    """What a student tells, beside the teacher's story of the same words."""

    sample: int
    role: str
    words: list[str]
    text: str
    num_required_hit: int
    num_words: int
    num_unknown_words: int
    teacher_text: str | None


@dataclass(frozen=True, slots=True)
class Trend:
    """One night of the line."""

    night: str
    ordinal: int
    challenger: float | None
    low: float | None
    high: float | None
    control: float | None
    champion: float | None
    promoted: bool | None
    reason: str | None
    wall_s: float | None
    cpu_s: float | None


@dataclass(frozen=True, slots=True)
class StageCost:
    """What a stage took, all its runs together."""

    stage: str
    num_runs: int
    wall_s: float
    cpu_s: float
    num_tokens: int
    began: datetime
    ended: datetime
