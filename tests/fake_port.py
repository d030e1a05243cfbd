"""An account that fills every order at once and asks nothing of it, and a market of a few hand-written hours.

It stands in for the engine where a test is about what a strategy asks for, not about what becomes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backtest.market.history import History
from backtest.market.schema import Instrument, parse_symbol
from backtest.strategy import Bar, Desk, Market, Order

HOUR_US = 3_600_000_000
START_US = 1_704_067_200_000_000  # 2024-01-01 00:00 UTC


def instrument(symbol: str, **terms: Any) -> Instrument:
    """Terms that a symbol implies: one coin a contract, 100 USD where it is inverse; lot 0.001."""
    base, quote, settle, expiry_us = parse_symbol(symbol)
    kind = "spot" if settle is None else "inverse" if settle == base else "linear"
    given = {
        "contract_size": 100.0 if kind == "inverse" else 1.0, "tick": 0.1, "lot": 0.001, "min_notional": 0.0,
        "listing_us": None, "expiry_us": expiry_us, "delisting_us": None, "source": "test", **terms,
    }  # fmt: skip
    return Instrument(symbol=symbol, kind=kind, base=base, quote=quote, settle=settle or quote, **given)


def history_of(
    prices: Mapping[str, Sequence[float]],
    funding: Sequence[tuple[str, float, float]] = (),
    silent: Mapping[str, Sequence[int]] | None = None,
    index: Mapping[str, Sequence[float]] | None = None,
    terms: Mapping[str, Mapping[str, Any]] | None = None,
    start_us: int = START_US,
) -> History:
    """Hourly history: closes by symbol (all prices of a bar are its close), funding as (symbol, hours after the start,
    rate), bars without trades by symbol. An asset is worth `index`, else its spot pair's close, else 1 USD.
    """
    instruments = tuple(instrument(s, **(terms or {}).get(s, {})) for s in prices)
    assets = tuple(dict.fromkeys(asset for i in instruments for asset in (i.settle, i.base)))
    closes = np.array([list(map(float, row)) for row in prices.values()])
    bars = closes.shape[1]
    worth = np.ones((len(assets), bars))
    for k, asset in enumerate(assets):
        row = (index or {}).get(asset, prices.get(f"{asset}/USDT"))
        worth[k] = 1.0 if row is None else np.array(row, float)
    tradable = np.ones(closes.shape, bool)
    for symbol, numbers in (silent or {}).items():
        tradable[list(prices).index(symbol), list(numbers)] = False
    events = sorted(funding, key=lambda event: event[1])
    stamps = np.array([start_us + int(hours * HOUR_US) for _, hours, _ in events], np.int64)
    return History(
        time=start_us + HOUR_US * np.arange(bars, dtype=np.int64), interval_us=HOUR_US, instruments=instruments,
        assets=assets, open=closes, high=closes, low=closes, close=closes, volume=np.full(closes.shape, 1e6),
        mark_open=closes, mark_low=closes, mark_high=closes, mark_close=closes, worst_low=closes, worst_high=closes,
        mark_source=("mark",) * len(instruments), index_open=worth, index_low=worth, index_high=worth,
        index_close=worth, index_source=("test",) * len(assets), tradable=tradable,
        funding_bar=(stamps - start_us) // HOUR_US,
        funding_instrument=np.array([list(prices).index(s) for s, _, _ in events], np.int64),
        funding_rate=np.array([rate for _, _, rate in events], float), funding_price=np.ones(len(events)),
        funding_time=stamps, funding_flag=np.zeros(len(events), np.int8), delivery_bar=np.zeros(0, np.int64),
        delivery_instrument=np.zeros(0, np.int64), delivery_price=np.zeros(0), delivery_source=(),
        daily_volatility=np.full(closes.shape, 0.03), daily_volume=np.full(closes.shape, 1e6),
        borrow_rate=np.zeros(worth.shape), has_borrow=np.zeros(len(assets), bool), notes=(),
    )  # fmt: skip


class _Now(dict[str, float]):
    """Numbers by name as they are at the moment: the account fills at once."""

    def __init__(self, read: Callable[[str], float]) -> None:
        self._read = read

    def __missing__(self, name: str) -> float:
        return self._read(name)


@dataclass
class FakePort:
    """One account: `held` contracts by symbol, `coins` by asset. `refuse` holds symbols whose groups are not filled."""

    held: dict[str, float] = field(default_factory=dict)
    coins: dict[str, float] = field(default_factory=dict)
    worth: float = 100_000.0
    borrowable: set[str] = field(default_factory=set)
    refuse: set[str] = field(default_factory=set)
    waiting: list[dict[str, Any]] = field(default_factory=list)
    submitted: list[tuple[list[Order], bool]] = field(default_factory=list)
    moved: list[tuple[Any, ...]] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)

    def positions(self, account: int) -> Mapping[str, float]:
        return _Now(lambda symbol: self.contracts(account, symbol))

    def balances(self, account: int) -> Mapping[str, float]:
        return _Now(lambda asset: self.balance(account, asset))

    def balance(self, account: int, asset: str, wallet: str | None = None) -> float:
        return self.coins.get(asset, 0.0)

    def contracts(self, account: int, symbol: str, side: str | None = None) -> float:
        base, _, settle, _ = parse_symbol(symbol)
        return self.coins.get(base, 0.0) if settle is None else self.held.get(symbol, 0.0)

    def entry_price(self, account: int, symbol: str, side: str | None = None) -> float:
        return float("nan")

    def equity(self, account: int) -> float:
        return self.worth

    collateral_equity = equity

    def initial_margin(self, account: int) -> float:
        return 0.0

    maintenance_margin = initial_margin

    def margin_ratio(self, account: int) -> float:
        return float("inf")

    def can_borrow(self, account: int, asset: str) -> bool:
        return asset in self.borrowable

    def submit(self, account: int, orders: Sequence[Order], together: bool = False) -> list[int]:
        self.submitted.append((list(orders), together))
        if not any(order.symbol in self.refuse for order in orders):
            for order in orders:
                self._fill(account, order)
        return list(range(len(orders)))

    def _fill(self, account: int, order: Order) -> None:
        now = self.contracts(account, order.symbol)
        then = order.target if order.target is not None else now + (order.contracts or 0.0)
        base, _, settle, _ = parse_symbol(order.symbol)
        (self.coins if settle is None else self.held)[base if settle is None else order.symbol] = then

    def cancel(self, account: int, order_id: int) -> None:
        self.cancelled.append(order_id)

    def transfer(self, account: int, asset: str, amount: float, source: str, target: str) -> None:
        self.moved.append((asset, amount, source, target))

    def open_orders(self, account: int) -> list[dict[str, Any]]:
        return self.waiting

    def max_contracts(self, account: int, order: Order) -> float:
        return 7.0

    def orders(self) -> list[tuple[str, float]]:
        """Every order so far: symbol, and the target or size."""
        return [
            (o.symbol, float(o.target if o.target is not None else o.contracts or 0.0))
            for group, _ in self.submitted
            for o in group
        ]


def desk_at(history: History, number: int, port: FakePort) -> tuple[Bar, Desk]:
    """The bar of a number, closed, and the fake account's desk at it."""
    market = Market(history)
    bar = Bar(market, number)
    return bar, Desk(port, 0, bar)
