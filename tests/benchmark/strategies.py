"""The strategies of the benchmark, written as any user would write them.

Carry keeps half of the equity in the coin and as much of its perpetual short; TopFunding spreads the half over the ten
coins whose perpetuals paid most in the last seven days. Both look once a day and trade at the next open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from backtest import Order, Strategy, Targets
from backtest.market.schema import Instrument
from backtest.strategy import Bar, Desk, Desks, Market, Params

SHARE = 0.5  # of equity in coins
DAY_US = 86_400_000_000
SPOT, PERPETUAL = "BTC/USDT", "BTC/USDT:USDT"


class CarryParams(Params):
    """`hedge`: short contracts a coin; `band`: how far the coins' share may stray, of itself."""

    hedge: float = 1.0
    band: float = 0.01


class Carry(Strategy):
    """Both legs back to target at a day's end on which the coins' share of equity strayed out of the band."""

    Params = CarryParams
    schedule = "1d"

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        """The two legs."""
        return [SPOT, PERPETUAL]

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        """Once a day."""
        price, equity = bar.close[SPOT], desk.equity
        if abs(desk.balance("BTC") * price / equity / SHARE - 1.0) > self.params.band:
            coins = SHARE * equity / price
            desk.together([Order(SPOT, target=coins), Order(PERPETUAL, target=-self.params.hedge * coins)])


class CarryEveryBar(Carry):
    """The same, asked at every close: it reads prices and positions each time, and mostly does nothing."""

    schedule = "every bar"

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        """Every bar."""
        self.seen = bar.close[SPOT], bar.close[PERPETUAL], desk.position(SPOT), desk.position(PERPETUAL)
        if bar.closes_us % DAY_US == 0:
            super().on_bar(bar, desk)


class CarryAsTable(Strategy):
    """The same, declared: shares of equity at the ends of days, looked at by how far the coins have strayed."""

    Params = CarryParams

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        """The two legs."""
        return [SPOT, PERPETUAL]

    def targets(self, market: Market) -> Targets:
        """A row a day."""
        frame = pd.DataFrame({SPOT: SHARE, PERPETUAL: -self.params.hedge * SHARE}, index=market.closing("1d"))
        return Targets(frame, unit="equity", band={SPOT: self.params.band})


class TopFundingParams(Params):
    """`many` coins at a time, chosen by the last `settlements` rates."""

    many: int = 10
    settlements: int = 21


class TopFunding(Strategy):
    """Half of equity over the best paid coins in equal parts, each with its perpetual short in the same number."""

    Params = TopFundingParams
    schedule = "1d"

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        """Every pair there is."""
        return list(instruments)

    def start(self, market: Market) -> None:
        """The coins with both legs."""
        self.coins = [symbol.split("/")[0] for symbol in market.spot()]
        self.held: set[str] = set()

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        """Once a day; nothing before every rate of the window is known."""
        rates = {coin: bar.funding(f"{coin}/USDT:USDT", self.params.settlements) for coin in self.coins}
        if min(len(each) for each in rates.values()) < self.params.settlements:
            return
        chosen = sorted(self.coins, key=lambda coin: -float(rates[coin].sum()))[: self.params.many]
        each = SHARE * desk.equity / self.params.many
        orders = []
        for coin in self.coins:
            if coin in chosen or coin in self.held:
                coins = each / bar.close[f"{coin}/USDT"] if coin in chosen else 0.0
                orders += [Order(f"{coin}/USDT", target=coins), Order(f"{coin}/USDT:USDT", target=-coins)]
        self.held = set(chosen)
        desk.together(orders)


class TopFundingAsTable(Strategy):
    """The same, declared: shares of equity at the ends of days; what was chosen the day before and is no more goes."""

    Params = TopFundingParams

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        """Every pair there is."""
        return list(instruments)

    def targets(self, market: Market) -> Targets:
        """A row a day, from the first on at whose close every rate of the window is known."""
        many, window = self.params.many, self.params.settlements
        days = market.closing("1d")
        coins = [symbol.split("/")[0] for symbol in market.spot()]
        rates = [market.funding(f"{coin}/USDT:USDT") for coin in coins]
        known = np.array([each.index.searchsorted(days + market.interval, side="right") for each in rates])
        days, known = days[(known >= window).all(axis=0)], known[:, (known >= window).all(axis=0)]
        paid = np.array([
            sliding_window_view(each.to_numpy(), window)[upto - window].sum(axis=1)
            for each, upto in zip(rates, known, strict=True)
        ])  # fmt: skip
        order = np.argsort(-paid, axis=0, kind="stable")
        chosen = np.zeros(paid.shape, bool)
        np.put_along_axis(chosen, order[:many], True, axis=0)
        before = np.hstack([np.zeros((len(coins), 1), bool), chosen[:, :-1]])
        share = np.where(chosen, SHARE / many, np.where(before, 0.0, np.nan)).T
        frame = pd.DataFrame(
            np.hstack([share, -share]), index=days,
            columns=[*(f"{coin}/USDT" for coin in coins), *(f"{coin}/USDT:USDT" for coin in coins)],
        )  # fmt: skip
        return Targets(frame, unit="equity")


class TableOfTargets(Strategy):
    """Sizes that are known beforehand, as a table: the engine follows it without asking anybody."""

    table: ClassVar[pd.DataFrame]

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        """The columns."""
        return list(self.table.columns)

    def targets(self, market: Market) -> Targets:
        """The rows that the market has bars of."""
        return Targets(self.table[self.table.index <= market.time[-1]])


def given(orders: pd.DataFrame) -> type[TableOfTargets]:
    """The targets that a run's orders aimed at, as a strategy."""
    table = orders.pivot(index="time", columns="symbol", values="contracts")
    return type("GivenTargets", (TableOfTargets,), {"table": table})


class CarryEverywhereParams(CarryParams):
    """`accounts`: their names."""

    accounts: tuple[str, ...] = ("one", "other")


class CarryEverywhere(Carry):
    """The carry in every account of the run."""

    Params = CarryEverywhereParams

    def on_bar(self, bar: Bar, desk: Desks) -> None:
        """Once a day, account by account."""
        for name in self.params.accounts:
            super().on_bar(bar, desk[name])


class WeeklyBetParams(Params):
    """`leverage`: contracts bought or sold each Monday, as a multiple of equity."""

    leverage: float = 30.0


class WeeklyBet(Strategy):
    """Every Monday one account buys and another sells so much that the week takes at least one of them.

    What is left is closed at the week's end.
    """

    Params = WeeklyBetParams
    schedule = "1d"

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        """The perpetual."""
        return [PERPETUAL]

    def on_bar(self, bar: Bar, desk: Desks) -> None:
        """At the end of each Sunday and each Saturday; 1970-01-01 was a Thursday."""
        day = bar.closes_us // DAY_US % 7
        for name, side in (("long", 1.0), ("short", -1.0)):
            own = desk[name]
            if day == 4:
                own.target(PERPETUAL, contracts=side * self.params.leverage * own.equity / bar.mark[PERPETUAL])
            elif day == 3 and own.position(PERPETUAL) != 0.0:
                own.target(PERPETUAL, contracts=0.0)


class EqualCarriesParams(Params):
    """`coins` that share the half of equity; `band`: how far one may stray from its part, of itself."""

    coins: tuple[str, ...] = ("BTC", "ETH", "SOL", "DOGE")
    band: float = 0.05


class EqualCarries(Strategy):
    """A carry in each coin that trades, all of the same size."""

    Params = EqualCarriesParams
    schedule = "1d"

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        """Both legs of each."""
        return [f"{coin}/USDT{leg}" for coin in self.params.coins for leg in ("", ":USDT")]

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        """Once a day."""
        each = SHARE * desk.equity / len(self.params.coins)
        for coin in self.params.coins:
            spot, perpetual = f"{coin}/USDT", f"{coin}/USDT:USDT"
            if each > 0.0 and bar.tradable(spot) and bar.tradable(perpetual):
                coins = each / bar.close[spot]
                if abs(desk.balance(coin) / coins - 1.0) > self.params.band:
                    desk.together([Order(spot, target=coins), Order(perpetual, target=-coins)])
