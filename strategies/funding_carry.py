"""Hold the coin, short its perpetual, collect funding.

Always on, or only while a pair's trailing funding is above `enter_above` a year (out again under `exit_below`); one
pair or the `top` best of a universe, in equal shares of equity, or a fixed number of `coins` of each. A short of as
many coins as are held never drifts in delta, so legs are set anew only when their size has left the band. A pair whose
bars are missing for a while is left as it is. `FundingCarryTargets` is the always-on trade of a fixed size as a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import Field

from backtest import Order, Strategy, Targets
from backtest.strategy import Bar, Desk, Market, Params

if TYPE_CHECKING:
    from backtest.market.schema import Instrument


def legs(base: str, quote: str) -> tuple[str, str]:
    """Spot pair and perpetual of a coin."""
    return f"{base}/{quote}", f"{base}/{quote}:{quote}"


class FundingCarryParams(Params):
    """`bases`: coins that may be traded; none named: every coin with a spot pair and a perpetual in `quote`."""

    bases: list[str] = ["BTC"]
    quote: str = "USDT"
    equity_share: float = Field(0.5, gt=0, le=5)  # of equity in coins, all pairs together
    coins: float | None = Field(None, gt=0)  # of each chosen pair, instead of a share of equity
    top: int = Field(1, ge=1)
    window: int = Field(21, ge=1)  # settlements
    enter_above: float | None = None  # a year; None: always on
    exit_below: float = 0.0
    switch_above: float = Field(0.1, ge=0)  # a year: how much better a coin must pay before it replaces an open one
    band: float = Field(0.05, ge=0, lt=1)
    schedule: str = "funding"


class FundingCarry(Strategy):
    """See the file."""

    Params = FundingCarryParams
    params: FundingCarryParams

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.schedule = self.params.schedule

    def universe(self, symbols: Iterable[str]) -> list[str]:
        """Coins that may be traded, of which both legs are there."""
        known, quote = set(symbols), self.params.quote
        found = self.params.bases or sorted(s.split("/")[0] for s in known if s.endswith(f"/{quote}"))
        return [base for base in found if self.params.bases or known.issuperset(legs(base, quote))]

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        """Spot pair and perpetual of every coin."""
        return [leg for base in self.universe(instruments) for leg in legs(base, self.params.quote)]

    def start(self, market: Market) -> None:
        """Nothing is open."""
        self.market, self.open = market, list[str]()
        self.bases = self.universe([*market.spot(), *market.perpetuals()])

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        """Choose the pairs, close those that dropped out, and set those that drifted."""
        chosen = self.chosen(bar)
        for base in [base for base in self.open if base not in chosen]:
            desk.together([Order(leg, target=0.0) for leg in legs(base, self.params.quote) if bar.tradable(leg)])
        self.open = chosen
        for base in [base for base in chosen if self.trades(bar, base)]:
            self.set_pair(bar, desk, base)

    def set_pair(self, bar: Bar, desk: Desk, base: str) -> None:
        """Both legs at their size, if one of them is out of the band."""
        p, (spot, perpetual) = self.params, legs(base, self.params.quote)
        share = p.equity_share / max(p.top, len(self.open))
        wished = p.coins or share * desk.equity / bar.index[base]
        if wished <= 0.0:
            return  # bankrupt: nothing to size by
        held, short = desk.position(spot), -desk.position(perpetual)
        if max(abs(held / wished - 1.0), abs(short / wished - 1.0)) > p.band:
            desk.together([desk.as_target(spot, base=wished), desk.as_target(perpetual, base=-wished)])

    def chosen(self, bar: Bar) -> list[str]:
        """The best coins by trailing funding; open ones stay until it falls under the exit, or while bars miss."""
        p, listed = self.params, set(self.market.perpetuals(at=bar.time))
        stuck = [b for b in self.open if legs(b, p.quote)[1] in listed or not bar.tradable(legs(b, p.quote)[0])]
        paused = [b for b in stuck if not self.trades(bar, b)]
        funding = {base: self.trailing(bar, base) for base in self.bases if self.trades(bar, base)}
        if p.enter_above is not None:
            floor = {base: p.exit_below if base in self.open else p.enter_above for base in funding}
            funding = {base: rate for base, rate in funding.items() if rate >= floor[base]}
        bonus = {base: p.switch_above if base in self.open else 0.0 for base in funding}
        ranked = sorted(funding, key=lambda base: -funding[base] - bonus[base])
        return paused + ranked[: max(0, p.top - len(paused))]

    def trades(self, bar: Bar, base: str) -> bool:
        """Whether both legs traded in this bar."""
        return all(bar.tradable(leg) for leg in legs(base, self.params.quote))

    def trailing(self, bar: Bar, base: str) -> float:
        """Funding of the window, a year, by the stamps' own distance; 0 before two stamps."""
        rate = bar.annualised_funding(legs(base, self.params.quote)[1], self.params.window)
        return 0.0 if isnan(rate) else rate


class FundingCarryTargetsParams(Params):
    """A fixed number of coins."""

    base: str = "BTC"
    quote: str = "USDT"
    coins: float = Field(1.0, gt=0)


class FundingCarryTargets(Strategy):
    """The trade of `FundingCarry(bases=[base], coins=coins, schedule="every bar")` as a table: the same orders, as
    long as nothing is refused, cut or liquidated, for a table does not see the account.
    """

    Params = FundingCarryTargetsParams
    params: FundingCarryTargetsParams

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        """Spot pair and perpetual."""
        return list(legs(self.params.base, self.params.quote))

    def targets(self, market: Market) -> Targets:
        """One row, at the first close at which both legs have traded: coins long, coins short."""
        pair = list(legs(self.params.base, self.params.quote))
        both = np.logical_and.reduce([market.tradable(leg).to_numpy() for leg in pair])
        frame = pd.DataFrame(np.nan, index=market.time, columns=pair)
        if both.any():
            frame.iloc[int(both.argmax())] = [self.params.coins, -self.params.coins]
        return Targets(frame)
