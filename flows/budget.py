"""What a night may spend on its stories, and what it has spent.

A budget is looked at before each shard, so at most as many shards as are written at once go past
it. The shards that are left are closed, each with a row of `costs` that names the budget: the night
goes on with the stories that it has, and the line's next night begins at the first prompt that was
not written. Lines that ask the same of the same teacher share their stories, and so what a budget
of one has closed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_TOKENS_A_MILLION = 1_000_000
_SECONDS_AN_HOUR = 3600


class BudgetConfig(BaseModel):
    """What a night may spend on its stories, and what that costs; nothing is limited by default.

    In no id: a night that was cut short says so in `costs`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_tokens: int | None = Field(
        default=None, gt=0, description="tokens that the teacher reads and writes in a night"
    )
    max_seconds: float | None = Field(
        default=None, gt=0, description="seconds by the clock for a night's stories"
    )
    max_accelerator_seconds: float | None = Field(
        default=None, gt=0, description="seconds by the clock that an accelerator is held"
    )
    max_price: float | None = Field(
        default=None, gt=0, description="in the currency below, by the prices below"
    )
    price_per_hour: float | None = Field(
        default=None, ge=0, description="of the machine that writes; never guessed"
    )
    price_per_million_prompt_tokens: float | None = Field(
        default=None, ge=0, description="of what the teacher reads, as a server bills it"
    )
    price_per_million_tokens: float | None = Field(
        default=None, ge=0, description="of what the teacher writes, as a server bills it"
    )
    currency: str | None = Field(
        default=None, pattern=r"^[A-Z]{3}$", description="of the prices, as USD or EUR"
    )

    @model_validator(mode="after")
    def _prices_are_whole(self) -> Self:
        if self.has_price and self.currency is None:
            raise ValueError("currency: expected that of the prices, as USD, found none")
        if self.max_price is not None and not self.has_price:
            raise ValueError(
                "max_price: expected a price beside it (price_per_hour or "
                "price_per_million_tokens), found none; prices are never guessed"
            )
        return self

    @property
    def has_price(self) -> bool:
        """Whether the recipe says what anything costs."""
        prices = (
            self.price_per_hour,
            self.price_per_million_prompt_tokens,
            self.price_per_million_tokens,
        )
        return any(price is not None for price in prices)

    def price_of(self, num_prompt_tokens: int, num_tokens: int, wall_s: float) -> float | None:
        """In `currency`; None where the recipe names no price."""
        if not self.has_price:
            return None
        return (
            wall_s / _SECONDS_AN_HOUR * (self.price_per_hour or 0)
            + num_prompt_tokens / _TOKENS_A_MILLION * (self.price_per_million_prompt_tokens or 0)
            + num_tokens / _TOKENS_A_MILLION * (self.price_per_million_tokens or 0)
        )


@dataclass(slots=True)
class Spending:
    """What a night's stories have cost so far, over all its runs; shards that a kill broke off left
    no row, and count for nothing.
    """

    config: BudgetConfig
    num_tokens: int = 0
    wall_s: float = 0.0
    accelerator_s: float = 0.0
    price: float = 0.0

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Count rows of `costs`."""
        for row in rows:
            self.num_tokens += row["num_prompt_tokens"] + row["num_tokens"]
            self.wall_s += row["wall_s"]
            self.accelerator_s += row["accelerator_s"]
            self.price += row["price"] or 0

    def reached(self) -> str | None:
        """The key of the first limit that is used up, or None."""
        spent = {
            "max_tokens": self.num_tokens,
            "max_seconds": self.wall_s,
            "max_accelerator_seconds": self.accelerator_s,
            "max_price": self.price,
        }
        limits = self.config.model_dump()
        reached = (key for key in spent if limits[key] is not None and spent[key] >= limits[key])
        return next(reached, None)
