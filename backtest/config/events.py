"""What a venue did to its traders on a day, written into a run: an outage, or an auto-deleveraging.

Neither is in any price series. An outage lets no order pass, while margin and liquidation go on; auto-deleveraging
closes a share of a position that is winning, at the mark, because a loser's bankruptcy could not be covered otherwise.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from backtest.config.types import Moment, Section, Symbol, in_words, microseconds
from backtest.errors import InputError


class HappeningBase(Section):
    """When it happened."""

    time: Moment

    @property
    def time_us(self) -> int:
        """Microseconds UTC."""
        return microseconds(self.time)


class Outage(HappeningBase):
    """No order passes in bars that open in [time, until)."""

    kind: Literal["outage"]
    until: Moment

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.until <= self.time:
            raise InputError(f"until ({in_words(self.until)}) is not after time ({in_words(self.time)}): swap them")
        return self

    @property
    def until_us(self) -> int:
        """Microseconds UTC."""
        return microseconds(self.until)


class Deleveraging(HappeningBase):
    """The venue closes a share of whatever is held of a future and in profit, at the mark of the next open."""

    kind: Literal["deleverage"]
    symbol: Symbol
    share: Annotated[float, Field(gt=0, le=1)] = 1.0


Happening = Annotated[Outage | Deleveraging, Field(discriminator="kind")]
