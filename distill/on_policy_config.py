"""The section train.on_policy of a recipe: when, and how much, a student writes in its training."""

from pydantic import BaseModel, ConfigDict, Field


class OnPolicyConfig(BaseModel):
    """The on-policy phase of a training: the student writes, the live teacher scores."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps_share: float = Field(
        gt=0,
        le=1,
        description="share of the steps, the last ones, in which the student writes; each costs "
        "its writing and a pass of the teacher",
    )
    share: float = Field(
        ge=0,
        le=1,
        description="share of such a step's documents that are replaced by what the student writes "
        "after the same prefix; the others keep their stored targets",
    )
    beta: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="of the generalized Jensen-Shannon divergence: 0 is the forward KL, 1 the "
        "reverse KL, which forgives what the student does not say",
    )
    temperature: float = Field(
        default=1.0,
        ge=0.01,
        le=10,
        description="at which the student writes; its loss is at 1 whatever stands here",
    )
