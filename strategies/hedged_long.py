"""Hold coins, short futures against them.

Buys (or keeps) a holding of one coin and shorts a chosen share of it: the coin's own perpetual, or another asset's
by its past beta. The hedge is set anew when it has drifted out of a band. While the short has been paying more than
`funding_ceiling` a year (negative funding), it is dropped, and taken up again when funding is back.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from backtest.strategy.bar import Bar
from backtest.strategy.desk import Desk
from backtest.strategy.orders import Order
from backtest.strategy.strategy import Params, Strategy

PAYMENTS_A_YEAR = 1095  # of 8 hours


class HedgedLongParams(Params):
    """`hold_base` coins, or `hold_usd` worth bought at the first close; 0 and 0: whatever coins were deposited."""

    spot: str = "ETH/USDT"
    hedge_symbol: str = "ETH/USDT:USDT"
    hold_base: float = Field(0.0, ge=0)
    hold_usd: float = Field(0.0, ge=0)
    hedge: Literal["share", "beta"] = "share"
    hedge_share: float = Field(1.0, ge=0, le=2)
    beta_bars: int = Field(720, ge=30)
    band: float = Field(0.05, ge=0, lt=1)  # of the wished hedge
    funding_ceiling: float | None = Field(None, gt=0)  # a year, paid by the short
    funding_window: int = Field(9, ge=1)  # settlements


class HedgedLong(Strategy):
    """See the file."""

    Params = HedgedLongParams
    schedule = "8h"

    def symbols(self, instruments):  # type: ignore[no-untyped-def]
        """The coin's spot pair and the future that hedges it."""
        return [self.params.spot, self.params.hedge_symbol]

    def start(self, market):  # type: ignore[no-untyped-def]
        """Nothing is known yet but the terms."""
        self.base = market.instrument(self.params.spot).base
        self.bought = False

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        """Buy once, then keep the hedge in its band."""
        p = self.params
        if not (bar.tradable(p.spot) and bar.tradable(p.hedge_symbol)):
            return
        if not self.bought:
            self.bought = True
            self.open(bar, desk)
            return
        wished = -self.ratio(bar) * desk.balance(self.base) * bar.index[self.base]  # USD of the short
        now = desk.position(p.hedge_symbol)
        aim = desk.contracts_of(p.hedge_symbol, usd=wished)
        if abs(now - aim) > p.band * max(abs(aim), abs(now)):
            desk.target(p.hedge_symbol, contracts=aim)

    def open(self, bar: Bar, desk: Desk) -> None:
        """Spot and hedge as one order, so that neither is left alone by a refusal."""
        p = self.params
        held = desk.balance(self.base)
        coins = p.hold_base or p.hold_usd / bar.close[p.spot] or held
        orders = [desk.as_target(p.hedge_symbol, usd=-self.ratio(bar) * coins * bar.index[self.base])]
        if coins > held:
            orders.insert(0, Order(p.spot, contracts=coins - held))
        desk.together(orders)

    def ratio(self, bar: Bar) -> float:
        """Share of the holding's value that is sold short."""
        p = self.params
        if p.funding_ceiling is not None and self.paid_a_year(bar) > p.funding_ceiling:
            return 0.0
        return float(p.hedge_share * (self.beta(bar) if p.hedge == "beta" else 1.0))

    def paid_a_year(self, bar: Bar) -> float:
        """What a short has been paying, annualised; negative funding is paid by shorts."""
        rates = bar.funding(self.params.hedge_symbol, self.params.funding_window)
        return float(-rates.mean() * PAYMENTS_A_YEAR) if len(rates) else 0.0

    def beta(self, bar: Bar) -> float:
        """Slope of the coin's log returns on the hedge's, over past bars only; 1 while there are too few."""
        coin = np.diff(np.log(bar.past(self.params.spot, "close", self.params.beta_bars)))
        other = np.diff(np.log(bar.past(self.params.hedge_symbol, "close", self.params.beta_bars)))
        if len(coin) < 30 or other.var() == 0.0:
            return 1.0
        return float(np.clip(np.cov(coin, other)[0, 1] / other.var(ddof=1), 0.0, 3.0))
