"""Hold the coin, short its perpetual, collect funding.

Always on, or only while the trailing funding of a pair is above `enter_above` a year (out again under
`exit_below`); one pair or the `top` best of a universe, in equal shares of equity. A short of as many coins as are
held never drifts in delta, so the legs are set anew only when their share of equity has left the band.
`FundingCarryTargets` says the always-on trade as a table.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import Field

from backtest.strategy.bar import Bar
from backtest.strategy.desk import Desk
from backtest.strategy.orders import Order
from backtest.strategy.strategy import Params, Strategy
from backtest.strategy.targets import Targets

YEAR = pd.Timedelta(days=365)


class FundingCarryParams(Params):
    """`bases`: coins that may be traded; each needs a spot pair and a perpetual in `quote`."""

    bases: list[str] = ["BTC"]
    quote: str = "USDT"
    equity_share: float = Field(0.5, gt=0, le=5)  # of equity in coins, all pairs together
    top: int = Field(1, ge=1)
    window: int = Field(21, ge=1)  # settlements
    enter_above: float | None = None  # a year; None: always on
    exit_below: float = 0.0
    switch_above: float = Field(0.1, ge=0)  # a year: how much better a coin must pay before it replaces an open one
    band: float = Field(0.05, ge=0, lt=1)


class FundingCarry(Strategy):
    """See the file."""

    Params = FundingCarryParams
    schedule = "funding"

    def symbols(self, instruments):  # type: ignore[no-untyped-def]
        """Spot pair and perpetual of every coin."""
        return [leg for base in self.params.bases for leg in self.legs(base)]

    def legs(self, base: str) -> tuple[str, str]:
        """Spot pair and perpetual of a coin."""
        quote = self.params.quote
        return f"{base}/{quote}", f"{base}/{quote}:{quote}"

    def start(self, market):  # type: ignore[no-untyped-def]
        """Nothing is open."""
        self.open: list[str] = []

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        """Choose the pairs, close those that dropped out, and set those that drifted."""
        listed = [base for base in self.params.bases if all(bar.tradable(leg) for leg in self.legs(base))]
        chosen = self.chosen(bar, listed)
        for base in [base for base in self.open if base not in chosen]:
            desk.together([Order(leg, target=0.0) for leg in self.legs(base)])
        self.open = chosen
        for base in chosen:
            self.set_pair(bar, desk, base)

    def set_pair(self, bar: Bar, desk: Desk, base: str) -> None:
        """Both legs at their share of equity, if they are out of the band."""
        spot, perpetual = self.legs(base)
        share = self.params.equity_share / max(self.params.top, len(self.open))
        wished = share * desk.equity / bar.close[spot]
        held, short = desk.position(spot), -desk.position(perpetual)
        if abs(held / wished - 1.0) > self.params.band or abs(short / wished - 1.0) > self.params.band:
            desk.together([desk.as_target(spot, contracts=wished), desk.as_target(perpetual, base=-wished)])

    def chosen(self, bar: Bar, listed: list[str]) -> list[str]:
        """The best coins by trailing funding; those already open stay until funding falls under the exit."""
        funding = {base: self.trailing(bar, base) for base in listed}
        if self.params.enter_above is not None:
            floor = {base: self.params.exit_below if base in self.open else self.params.enter_above for base in listed}
            listed = [base for base in listed if funding[base] >= floor[base]]
        bonus = {base: self.params.switch_above if base in self.open else 0.0 for base in listed}
        return sorted(listed, key=lambda base: -funding[base] - bonus[base])[: self.params.top]

    def trailing(self, bar: Bar, base: str) -> float:
        """Mean settled rate of the window, annualised by the stamps' own distance; 0 before the first."""
        rates = bar.funding(self.legs(base)[1], self.params.window)
        return float(rates.mean() * (YEAR / pd.Timedelta(hours=8))) if len(rates) else 0.0


class FundingCarryTargetsParams(Params):
    """A fixed number of coins."""

    base: str = "BTC"
    quote: str = "USDT"
    coins: float = Field(1.0, gt=0)


class FundingCarryTargets(Strategy):
    """The always-on trade of a fixed size as a table: from the first bar in which both legs trade to the end."""

    Params = FundingCarryTargetsParams

    def symbols(self, instruments):  # type: ignore[no-untyped-def]
        """Spot pair and perpetual."""
        return list(self.legs())

    def legs(self) -> tuple[str, str]:
        """Spot pair and perpetual."""
        p = self.params
        return f"{p.base}/{p.quote}", f"{p.base}/{p.quote}:{p.quote}"

    def targets(self, market):  # type: ignore[no-untyped-def]
        """One row: coins long, coins short."""
        spot, perpetual = self.legs()
        both = (market.tradable(spot) & market.tradable(perpetual)).to_numpy()
        frame = pd.DataFrame(np.nan, index=market.time, columns=[spot, perpetual])
        if both.any():
            frame.iloc[int(both.argmax())] = [self.params.coins, -self.params.coins]
        return Targets(frame)


class FundingCarryFixed(FundingCarryTargets):
    """The same trade as a callback."""

    targets = Strategy.targets

    def start(self, market):  # type: ignore[no-untyped-def]
        """Nothing is open."""
        self.opened = False

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        """Both legs at the first close at which both have traded."""
        spot, perpetual = self.legs()
        if not self.opened and bar.tradable(spot) and bar.tradable(perpetual):
            self.opened = True
            desk.together([Order(spot, target=self.params.coins), Order(perpetual, target=-self.params.coins)])
