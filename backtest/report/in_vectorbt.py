"""A run in vectorbt's hands: its fills as the orders of a Portfolio, for vectorbt's own figures, trades and plots.

vectorbt has one cash, and columns of things that are bought and sold. The cash is the currency that the run's symbols
are quoted in; the columns are the account's coins, the futures it traded, and that currency once more: its column holds
what was received and paid without a trade. Nothing is simulated again: orders are written down as they filled.

A payment is an order that costs nothing: a unit bought at its price, with a fee of as much below zero. So vectorbt's
value stays what the account was worth, while a trade's profit stays that of its fills.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from backtest.errors import InputError
from backtest.ledger.kinds import KIND_NAMES, PAIRED
from backtest.market.schema import INTERVALS, kind_of, parse_symbol
from backtest.report.explain import PARTS
from backtest.report.record import Floats, is_first
from backtest.units import STEP

if TYPE_CHECKING:
    import vectorbt as vbt

    from backtest.report.result import Result

TRADED = ("buy", "sell", "realised", "settlement")
"""Ledger rows that the fills say themselves."""
ASIDE = (*TRADED, *(KIND_NAMES[kind] for kind in PAIRED))
"""The same, and money that only changed its wallet."""


class Order(NamedTuple):
    """One order of vectorbt: signed size, price and fees in cash. Of a bar, in the order they are given."""

    column: str
    bar: int
    size: float
    price: float
    fees: float


def portfolio_of(result: Result, account: int | str = 0) -> vbt.Portfolio:
    """One account's fills and payments as a vectorbt Portfolio. InputError where vectorbt has no words for them."""
    import vectorbt as vbt
    from vectorbt.base.array_wrapper import ArrayWrapper

    books = _Books(result, result.record.number_of(account))
    close = pd.DataFrame({column: books.worth(column) for column in books.columns}, index=books.times)
    wrapper = ArrayWrapper.from_obj(close, freq=books.interval, group_by=np.zeros(len(books.columns), dtype=np.int64))
    return vbt.Portfolio(
        wrapper,
        close,
        _records(list(books.orders()), books.columns),
        np.empty(0, dtype=vbt.portfolio.enums.log_dt),
        np.array([books.start]),
        cash_sharing=True,
    )


def _records(orders: list[Order], columns: list[str]) -> Any:
    """vectorbt's table of orders, column by column, each in time."""
    from vectorbt.portfolio.enums import OrderSide, order_dt

    rows = sorted(orders, key=lambda order: (columns.index(order.column), order.bar))
    records = np.empty(len(rows), dtype=order_dt)
    records["id"] = np.arange(len(rows))
    records["col"] = [columns.index(order.column) for order in rows]
    records["idx"] = [order.bar for order in rows]
    records["size"] = [abs(order.size) for order in rows]
    records["price"] = [order.price for order in rows]
    records["fees"] = [order.fees for order in rows]
    records["side"] = [OrderSide.Buy if order.size > 0 else OrderSide.Sell for order in rows]
    return records


class _Books:
    """One account's fills and ledger, counted in the cash."""

    def __init__(self, result: Result, account: int) -> None:
        record = result.record
        self.result, self.account = result, account
        self.rows = record.of("account", account)
        self.fills, ledger = record.of("fills", account), record.of("ledger", account)
        first = is_first(record.columns("ledger", account))
        self.first, self.later, self.ledger = ledger[first], ledger[~first], ledger
        self.cash = _cash_of(self.fills, self.first)
        self.sizes = {str(each["symbol"]): float(each["contract_size"]) for each in result.manifest["instruments"]}
        prices = result.prices
        self.closes = {str(name): each["close"].to_numpy(dtype=np.float64) for name, each in prices.groupby("name")}

    @property
    def times(self) -> pd.DatetimeIndex:
        """Opens of the bars."""
        return pd.DatetimeIndex(self.rows["time"])

    @property
    def interval(self) -> pd.Timedelta:
        """Length of a bar."""
        return pd.Timedelta(INTERVALS[self.result.record.config.data.interval], unit="us")

    @cached_property
    def columns(self) -> list[str]:
        """Coins, futures in the order they were traded, and last the cash's own."""
        coins = [str(asset) for asset in self.ledger["asset"].unique() if asset != self.cash]
        futures = [str(symbol) for symbol in self.fills["symbol"].unique() if kind_of(str(symbol)) != "spot"]
        return [*coins, *futures, self.cash]

    def worth(self, column: str) -> Floats:
        """What a unit is worth at each close: a mark as it is, a coin's index in the cash."""
        if column == self.cash:
            return np.ones(len(self.rows))
        return self.closes[column] if "/" in column else self.usd(column) / self.usd(self.cash)

    def usd(self, asset: str) -> Floats:
        """Dollars a unit at each close."""
        worth: Floats = self.closes.get(asset, np.ones(len(self.rows)))  # USD itself has no index
        return worth

    @cached_property
    def deposits(self) -> list[Order]:
        """What was paid in first: coins as bought at the first open.

        A saved run has closes only; but what all coins together were worth at the open is known from `started`.
        """
        units = {str(asset): float(amount) for asset, amount in self.first.groupby("asset")["amount"].sum().items()}
        closes = {asset: float(self.worth(asset)[0]) for asset in units}
        coins = sum(units[asset] * closes[asset] for asset in units if asset != self.cash)
        opened = (self.started - units.get(self.cash, 0.0)) / coins if coins else 1.0
        return [
            Order(asset, 0, amount, closes[asset] * (1.0 if asset == self.cash else opened), 0.0)
            for asset, amount in units.items()
        ]

    @property
    def started(self) -> float:
        """Equity before the first bar, in the cash: at its close less the parts of the bar's change."""
        parts, name = self.result.parts_by_bar, self.result.record.account_names[self.account]
        changed = float(parts.loc[parts["account"] == name, list(PARTS)].iloc[0].sum())
        return (float(self.rows["equity"].iloc[0]) - changed) / float(self.usd(self.cash)[0])

    @property
    def start(self) -> float:
        """What the portfolio begins with, all of it cash."""
        return sum(order.size * order.price for order in self.deposits)

    def orders(self) -> Iterator[Order]:
        """Deposited coins, fills, payments."""
        yield from (order for order in self.deposits if order.column != self.cash)
        for fill in self.fills.to_dict("records"):
            yield self.traded(fill)
        for (bar, asset), amount in self.paid().items():
            price = self.worth(asset)[bar]
            if abs(amount) >= STEP / 2:  # of sums, less is rounding
                yield Order(asset, bar, amount, price, -amount * price)

    def traded(self, fill: dict[str, Any]) -> Order:
        """A fill. A fee taken out of the coins bought is so many coins less, for the same cash."""
        symbol, price, bar = str(fill["symbol"]), float(fill["price"]), int(fill["bar"])
        fee = float(fill["fee"]) if self.says_its_fee(fill) else 0.0
        if kind_of(symbol) != "spot":
            return Order(symbol, bar, float(fill["contracts"]) * self.sizes[symbol], price, fee)
        base, in_coin = parse_symbol(symbol)[0], fill["fee_asset"] != self.cash
        size = float(fill["contracts"]) - (fee if in_coin else 0.0)
        return Order(base, bar, size, price, fee * price if in_coin else fee)

    def says_its_fee(self, fill: dict[str, Any]) -> bool:
        """Whether an order can carry its fee: one in the cash, or in the coin that is traded; else it is a payment."""
        symbol = str(fill["symbol"])
        return fill["fee_asset"] == self.cash or (
            kind_of(symbol) == "spot" and fill["fee_asset"] == parse_symbol(symbol)[0]
        )

    def paid(self) -> dict[tuple[int, str], float]:
        """Units received by bar and asset that no fill says: funding, interest, fees in other coins, and the like."""
        rows = self.later[~self.later["kind"].isin(ASIDE)]
        paid = rows.groupby(["bar", "asset"])["amount"].sum().to_dict()
        for fill in filter(self.says_its_fee, self.fills.to_dict("records")):
            place = fill["bar"], fill["fee_asset"]
            paid[place] = paid.get(place, 0.0) + fill["fee"]
        return {(int(bar), str(asset)): float(amount) for (bar, asset), amount in sorted(paid.items())}


def _cash_of(fills: pd.DataFrame, first: pd.DataFrame) -> str:
    """The one currency that all is quoted in; of an account that never traded, what was deposited first.

    InputError for two of them, and for contracts that pay in coin.
    """
    symbols = [str(symbol) for symbol in fills["symbol"].unique()]
    inverse = next((symbol for symbol in symbols if kind_of(symbol) == "inverse"), None)
    if inverse is not None:
        raise InputError(
            f"{inverse} was traded: vectorbt has no contracts that pay in coin; use the result's own frames"
        )
    quotes = sorted({parse_symbol(symbol)[1] for symbol in symbols})
    if len(quotes) > 1:
        raise InputError(f"traded against {' and '.join(quotes)}: vectorbt has one cash; use the result's own frames")
    return quotes[0] if quotes else str(first["asset"].iloc[0])
