"""Hold coins, short futures against them.

Buys (or keeps) a holding of one coin and shorts a chosen share of it: the coin's own perpetual, or another asset's
by its past beta. The hedge is set anew, on the schedule, when it has drifted out of a band. While the short has been
paying more than `funding_ceiling` a year (funding is negative then), it is dropped, and taken up again afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from backtest import Order, Strategy
from backtest.strategy import Bar, Desk, Market, Params, beta

if TYPE_CHECKING:
    from backtest.market.schema import Instrument


class HedgedLongParams(Params):
    """`hold_base` coins, or `hold_usd` worth bought at the first close; neither: whatever coins were deposited."""

    spot: str = "ETH/USDT"
    hedge_symbol: str = "ETH/USDT:USDT"
    hold_base: float = Field(0.0, ge=0)
    hold_usd: float = Field(0.0, ge=0)
    hedge: Literal["share", "beta"] = "share"
    hedge_share: float = Field(1.0, ge=0, le=2)  # of the holding's value, times beta where that is asked for
    beta_bars: int = Field(720, ge=30)
    band: float = Field(0.05, ge=0, lt=1)  # of the wished hedge
    schedule: str = "8h"
    funding_ceiling: float | None = Field(None, gt=0)  # a year, paid by the short
    funding_window: int = Field(9, ge=1)  # settlements

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.hold_base and self.hold_usd:
            raise ValueError("say hold_base or hold_usd, not both")
        return self


class HedgedLong(Strategy):
    """See the file."""

    Params = HedgedLongParams
    params: HedgedLongParams

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.schedule = self.params.schedule

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        """The coin's spot pair and the future that hedges it."""
        return [self.params.spot, self.params.hedge_symbol]

    def start(self, market: Market) -> None:
        """Nothing is known yet but the terms."""
        self.base = market.instrument(self.params.spot).base
        self.opened = False

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        """Buy once, then keep the hedge in its band. A purchase that is refused is not tried again."""
        p = self.params
        if not (bar.tradable(p.spot) and bar.tradable(p.hedge_symbol)):
            return
        if not self.opened:
            self.opened = True
            self.open(bar, desk)
            return
        now, aim = desk.position(p.hedge_symbol), self.hedge(bar, desk, desk.balance(self.base))
        if abs(now - aim) > p.band * max(abs(aim), abs(now)):
            desk.target(p.hedge_symbol, contracts=aim)

    def open(self, bar: Bar, desk: Desk) -> None:
        """Spot and hedge as one order, so that neither is left alone by a refusal."""
        p, held = self.params, desk.balance(self.base)
        coins = max(held, p.hold_base or p.hold_usd / bar.index[self.base])
        orders = [Order(p.hedge_symbol, target=self.hedge(bar, desk, coins))]
        if coins > held:
            orders.insert(0, Order(p.spot, contracts=coins - held))
        desk.together(orders)

    def hedge(self, bar: Bar, desk: Desk, coins: float) -> float:
        """Contracts, below zero, that hedge so many coins."""
        return desk.contracts_of(self.params.hedge_symbol, usd=-self.ratio(bar) * coins * bar.index[self.base])

    def ratio(self, bar: Bar) -> float:
        """Share of the holding's value that is sold short; none while that costs more than the ceiling."""
        p = self.params
        if p.funding_ceiling is not None:
            paid_by_short = -bar.annualised_funding(p.hedge_symbol, p.funding_window)  # NaN, unknown yet, is no reason
            if paid_by_short > p.funding_ceiling:
                return 0.0
        return p.hedge_share * (self.past_beta(bar) if p.hedge == "beta" else 1.0)

    def past_beta(self, bar: Bar) -> float:
        """Of the coin on the hedge, over past bars only, between 0 and 3; 1 while there are too few."""
        p = self.params
        prices = [bar.past(symbol, "close", p.beta_bars + 1) for symbol in (p.spot, p.hedge_symbol)]
        slope = beta(*prices)
        return 1.0 if isnan(slope) else min(max(slope, 0.0), 3.0)
