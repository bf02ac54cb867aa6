"""The sections of a recipe that distill owns: what is captured, what a student reads, how it is
trained and measured. When it is promoted: distill/promote_config.py.
"""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from distill.on_policy_config import OnPolicyConfig
from distill.schedule import Schedule
from distill.students.presets import preset_named

# Far below, logits / temperature overflow.
_SMALLEST_TEMPERATURE = 0.01
# Of evaluate: keys that nights of earlier versions did not have.
_NEWER = ("num_distance_documents", "pairs_per_set")
# Of train: likewise. `peak_tflops` moves no weight.
_NEWER_TRAINING = (
    "context",
    "schedule",
    "compile",
    "precision",
    "num_processes",
    "on_policy",
)
_UNFELT = {"checkpoint_every_steps", "peak_tflops"}


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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
        default=3e-3, gt=0, le=1, description="peak rate; larger students want lower ones"
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
    optimizer: Literal["adamw", "muon"] = Field(
        default="muon",
        description="muon: the hidden layers' matrices by Muon, scaled to the size of AdamW's "
        "updates, so that learning_rate and weight_decay mean the same, the rest by AdamW; adamw: "
        "all by AdamW, steps of a small student a twentieth to a fifth cheaper and each worth less",
    )
    schedule: Schedule = Field(
        default="wsd",
        description="wsd: the rate warms up, stays, and falls in the last decay_share; cosine: "
        "falls as half a cosine from the warmup on, and decay_share is not read",
    )
    precision: Literal["float32", "bf16"] = Field(
        default="float32",
        description="bf16: matrix products in bfloat16, where the hardware has it; weights, "
        "optimizer (but for Muon's products on such a GPU) and loss stay float32",
    )
    compile: bool = Field(
        default=False,
        description="torch.compile the layers: a minute or so at the start, faster steps, other "
        "last bits; on a CPU it needs a C++ compiler",
    )
    num_processes: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="processes of this machine that share each step's documents, on cuda a GPU "
        "each; moves last bits only",
    )
    peak_tflops: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="what one device can do at this precision, in 1e12 operations per second, for "
        "the MFU; absent: as known for some GPUs, else no MFU; not in the run's identity",
    )
    on_policy: OnPolicyConfig | None = Field(
        default=None,
        description="a section of its own: a last phase in which the student writes and the "
        "teacher scores; absent: stored targets alone",
    )

    def identity(self) -> dict[str, Any]:
        """What students follow from, as JSON values. How often a checkpoint is written is no part;
        nor are keys of _NEWER_TRAINING where they have their default, so that students keep the ids
        that they had before there were any; nor is what a cosine does not read.
        """
        fields = type(self).model_fields
        unread = {n for n in _NEWER_TRAINING if getattr(self, n) == fields[n].default}
        if self.schedule == "cosine":
            unread.add("decay_share")
        return self.model_dump(mode="json", exclude={*_UNFELT, *unread})

    @field_validator("preset")
    @classmethod
    def _preset_exists(cls, name: str) -> str:
        return preset_named(name).name

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.schedule == "wsd" and self.warmup_share + self.decay_share > 1:
            raise ValueError(
                "warmup_share + decay_share must be at most 1, found "
                f"{self.warmup_share} + {self.decay_share}: lower one of them"
            )
        return self

    @model_validator(mode="after")
    def _a_phase_can_be_had(self) -> Self:
        if self.on_policy is None:
            return self
        refused = {
            "alpha = 0": (not self.alpha, "nothing is asked of the teacher; raise it"),
            f"num_processes = {self.num_processes}": (
                self.num_processes > 1,
                "a step's texts are written by one process; set it to 1",
            ),
            "compile = true": (
                self.compile,
                "a student that writes has another shape at every symbol; set it to false",
            ),
        }
        for setting, (is_so, reason) in refused.items():
            if is_so:
                raise ValueError(
                    f"{setting}: not with [train.on_policy], as {reason}, or leave the section out"
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
