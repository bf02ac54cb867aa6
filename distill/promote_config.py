"""The section of a recipe that says when a challenger takes the champion's place."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Of a figure or a suite.
_NAME = r"^[a-z][a-z0-9._-]{0,62}$"


class GateConfig(BaseModel):
    """A figure of the challenger that must keep a limit, however good its bits per byte are."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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


class PromoteConfig(BaseModel):
    """When a challenger takes the champion's place."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    margin_share: float = Field(
        default=0.005,
        ge=0,
        lt=1,
        description="share of the champion's bits per byte that a gain must exceed; at the default "
        "one seed of a recipe takes another's place in 1 % of the nights of 500 documents, 5 % at "
        "half of it (16 small students); lower ones promote lucky seeds",
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
