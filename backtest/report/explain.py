"""Where the money came from: the change in equity, taken apart bar by bar so that the parts sum to it.

Every bar is walked from close to close. What was held over the bar earns the change of its index (`price` for coins,
`fx` for quote currencies); a futures position earns its delta times the index change as `price` and the rest of its
mark's move as `basis`. A fill costs what lies between its price and the mark (`execution`), and earns price and basis
from there to the close. Every payment of the ledger stands under its own name. What is left over is printed as
`residual`, and is rounding.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pandas as pd

from backtest.market.schema import Instrument
from backtest.report.columns import Bools, Columns, times_of
from backtest.report.record import Floats, Ints, RunRecord, summed
from backtest.units import STEP

PARTS = (
    "deposits and withdrawals", "price", "basis", "fx", "funding", "fees", "execution", "interest", "transfer cost",
    "conversion cost", "liquidation", "insurance and write-off", "residual",
)  # fmt: skip
QUOTES = frozenset(("USD", "USDT", "USDC", "FDUSD", "BUSD", "TUSD", "DAI", "USDE", "EUR", "BNFCR", "BFUSD"))
"""Currencies that things are priced in: their own moves are `fx`, a coin's are `price`."""

_PART_OF_KIND = {
    "deposit": "deposits and withdrawals", "withdrawal": "deposits and withdrawals", "transfer_cost": "transfer cost",
    "fee": "fees", "delivery_fee": "fees", "funding": "funding", "interest": "interest", "conversion": "price",
    "conversion_cost": "conversion cost", "liquidation_fee": "liquidation", "insurance": "insurance and write-off",
    "user_debt": "insurance and write-off",
}  # fmt: skip
_EXECUTION_OF_CAUSE = {
    "delivery": "basis", "liquidation": "liquidation", "takeover": "liquidation", "deleveraging": "liquidation",
}  # fmt: skip


def explain(record: RunRecord, account: int = 0) -> pd.Series:
    """The parts of one account's change in equity, USD; their sum is end equity minus start equity.

    `conversion` rows are exchanges at the index, so what they show at the bar's close is price. The mark at delivery
    differs from the delivery price by `basis`. All of it rests on one identity:
    equity = Σ balance x index + Σ (contracts x value - cost) x index.
    """
    parts = parts_of(record, account)
    return pd.Series({part: float(parts[part].sum()) for part in PARTS}, name=record.account_names[account])


def explain_by_bar(record: RunRecord, account: int = 0) -> pd.DataFrame:
    """The same a bar, USD: `time` (the bar's open), then a column a part. A row sums to its bar's change in equity."""
    return pd.DataFrame({"time": times_of(record.history.time), **parts_of(record, account)}, copy=False)


def parts_of(record: RunRecord, account: int) -> dict[str, Floats]:
    """The parts by name [bar], USD. The record keeps them: figures, parts and pages all ask for them."""
    if account not in record.explained:
        record.explained[account] = _walked(record, account)
    return record.explained[account]


def _walked(record: RunRecord, account: int) -> dict[str, Floats]:
    books = _Books(record, account)
    for asset in record.history.assets:
        books.hold(asset)
    books.pay()
    for number, instrument in enumerate(record.history.instruments):
        if instrument.kind == "spot":
            books.trade_spot(number, instrument)
        else:
            books.trade_future(number, instrument)
    return books.closed()


def liquidation_cost(record: RunRecord, account: int) -> float:
    """The part `liquidation` of the profit, USD; the rest of the parts is not looked for where nothing was taken."""
    forced = [cause for cause, part in _EXECUTION_OF_CAUSE.items() if part == "liquidation"]
    ledger = record.columns("ledger", account)
    taken = record.columns("fills", account).among("cause", *forced).any()
    charged = (ledger.among("kind", "liquidation_fee") | _taken(ledger)).any()
    return float(parts_of(record, account)["liquidation"].sum()) if taken or charged else 0.0


def _taken(ledger: Columns) -> Bools:
    """Rows that a fund was paid by: a penalty, or what a takeover left. What a fund pays is no cost of liquidation."""
    return ledger.among("kind", "insurance") & (ledger["amount"] < 0)


ROUNDINGS = 4  # of an amount of money by one fill: cost, what is released of it, what is realised, and the other asset


def part_of_asset(asset: str) -> str:
    """Where an asset's own price moves are booked."""
    return "fx" if asset in QUOTES else "price"


@dataclass
class _Books:
    """One account's rows, and the parts found so far."""

    record: RunRecord
    account: int

    def __post_init__(self) -> None:
        self.bars = len(self.record.history.time)
        self.parts: defaultdict[str, Floats] = defaultdict(lambda: np.zeros(self.bars))
        self.ledger = self.record.since_start(self.account)
        self.fills = self.record.columns("fills", self.account)
        self.first = self.record.first_deposits(self.account)

    def add(self, name: str, bars: Ints, amounts: Floats) -> None:
        """Amounts summed bar by bar into a part; the many bars in which nothing was paid or traded are left alone."""
        begins = np.diff(bars, prepend=-1) != 0
        np.add.at(self.parts[name], bars[begins], np.bincount(np.cumsum(begins) - 1, weights=amounts))

    def by_bar(self, rows: Columns, amounts: Floats) -> Floats:
        """Amounts summed into their bars."""
        return summed(self.record.bars(rows), amounts, self.bars)

    def hold(self, asset: str) -> None:
        """Balances brought into each bar, times the change of their index."""
        change = _moves(self.record.index(asset), float(self.record.index(asset, "open")[0]))
        if not change.any():
            return
        rows = self.ledger.where(self.ledger.among("asset", asset))
        started = self.first["amount"][self.first.among("asset", asset)].sum()
        after = started + np.cumsum(self.by_bar(rows, rows["amount"]))
        self.parts[part_of_asset(asset)] += _before(after, started) * change

    def pay(self) -> None:
        """Every payment of the ledger at its bar's close; trades' own rows are left to the trades."""
        flows, bars = self.record.flows_usd(self.ledger), self.record.bars(self.ledger)
        kinds, taken = self.ledger.words("kind"), _taken(self.ledger)
        self.add("liquidation", bars[taken], flows[taken])
        for kind in (each for each in kinds.present if each in _PART_OF_KIND):
            mine = kinds.among(kind) & ~taken
            self.add(_PART_OF_KIND[kind], bars[mine], flows[mine])

    def fills_of(self, instrument: Instrument) -> Columns:
        return self.fills.where(self.fills.among("symbol", instrument.symbol))

    def rows_of(self, instrument: Instrument, *kinds: str) -> Columns:
        return self.ledger.where(self.ledger.among("instrument", instrument.symbol) & self.ledger.among("kind", *kinds))

    def trade_spot(self, number: int, instrument: Instrument) -> None:
        """A purchase or sale: the mark against the price paid, then the coin's way to the close."""
        fills, rows = self.fills_of(instrument), self.rows_of(instrument, "buy", "sell")
        if not len(fills):
            return
        at, contracts = self.record.bars(fills), fills["contracts"]
        quote, close = self.record.index(instrument.quote)[at], self.record.history.mark_close[number][at]
        mark, paid = fills["mark"], fills["price"]
        price = contracts * (close - mark) * quote
        basis = contracts * (self.record.index(instrument.base)[at] - close * quote)
        self.add("price", at, price)
        self.add("basis", at, basis)
        total = self.by_bar(rows, self.record.flows_usd(rows)) - self.by_bar(fills, price + basis)
        dearest = max(float(self.record.index(asset).max()) for asset in (instrument.base, instrument.quote))
        self.execute(fills, contracts * (mark - paid) * quote, total, STEP * dearest)

    def trade_future(self, number: int, instrument: Instrument) -> None:
        """A futures position: held over the bar, filled in it, and its unrealised profit's own currency."""
        fills = self.fills_of(instrument)
        if not len(fills):
            return
        held = _Held(self, number, instrument, fills)
        held.carry()
        held.currency()
        held.fill()

    def execute(self, fills: Columns, slipped: Floats, total: Floats, step_usd: float) -> None:
        """Price against mark by fill, by cause; what rounding left of the bars' `total` goes with the last kind.

        What rounding cannot be, at most some steps a fill, is left for the residual to show.
        """
        parts, bars = fills.words("cause").called(_EXECUTION_OF_CAUSE, "execution"), self.record.bars(fills)
        for name in parts.present:
            mine = parts.among(name)
            self.add(name, bars[mine], slipped[mine])
        rounding = total - self.by_bar(fills, slipped)
        most = ROUNDINGS * len(fills) * step_usd + 1e-9 * float(np.abs(slipped).sum() + abs(total.sum()))
        if abs(rounding.sum()) <= most:
            self.parts[parts.text(-1)] += rounding

    def closed(self) -> dict[str, Floats]:
        """The parts, with what they leave unexplained of the equity recorded at each close."""
        rows = self.record.columns("account", self.account)
        at = self.record.bars(rows) if len(rows) else np.array([self.bars - 1])
        equity = rows["equity"] if len(rows) else np.zeros(1)
        explained = np.zeros(self.bars)
        for name in (each for each in PARTS if each in self.parts):
            explained += self.parts[name]
        explained = np.cumsum(explained, out=explained)[at]
        start = self.record.start_equity(self.account)
        self.parts["residual"][at] = _moves(equity, start) - _moves(explained, 0.0)
        return {name: self.parts[name] for name in PARTS}


class _Held:
    """One futures instrument of one account: what its contracts are worth in the settlement asset, bar by bar."""

    def __init__(self, books: _Books, number: int, instrument: Instrument, fills: Columns) -> None:
        self.books, self.instrument, self.fills, self.number = books, instrument, fills, number
        self.record, history = books.record, books.record.history
        self.settle = self.record.index(instrument.settle)
        self.signed = fills["contracts"]
        self.at = self.record.bars(fills)
        self.after = np.cumsum(books.by_bar(fills, self.signed))
        self.cost_after = self._costs()
        self.value = self._worth(history.mark_close[number])
        self.index_value = self._worth(self._index_price("close"), history.mark_close[number])

    def _worth(self, price: Floats, otherwise: Floats | None = None) -> Floats:
        """One contract in the settlement asset."""
        usable = price if otherwise is None else np.where(np.isfinite(price) & (price > 0), price, otherwise)
        return self.instrument.worth(usable)

    def _index_price(self, point: str) -> Floats:
        """The base's index in the quote currency [bar]; NaN where the run has none."""
        quote = self.instrument.quote if self.instrument.kind == "inverse" else self.instrument.settle
        if self.instrument.base not in self.record.assets or (quote != "USD" and quote not in self.record.assets):
            return np.full(self.books.bars, np.nan)
        return self.record.index(self.instrument.base, point) / self.record.index(quote, point)

    def _costs(self) -> Floats:
        """What the position (in hedge mode its two sides) cost, after each bar."""
        positions = self.record.columns("positions", self.books.account)
        rows = positions.where(positions.among("symbol", self.instrument.symbol))
        sides = rows.words("side" if "side" in rows else "symbol")
        total = np.zeros(self.books.bars)
        for side in sorted(sides.present):
            mine = rows.where(sides.among(side))
            lasts = np.diff(self.record.bars(mine), prepend=0, append=self.books.bars)
            total += np.repeat(np.concatenate(([0.0], mine["cost"])), lasts)
        return total

    def carry(self) -> None:
        """Contracts held over the bar: delta times index as price, the mark's own move as basis, the quote's as fx."""
        before, settle = _before(self.after), self.settle
        moved = _moves(self.value, self.value[0])
        along = _moves(self.index_value, self.index_value[0])
        price = before * along * settle
        if self.instrument.kind == "linear" and self.instrument.base in self.record.assets:
            base = self.record.index(self.instrument.base)
            delta = before * self.instrument.contract_size * _moves(base, base[0])
            self.books.parts["fx"] += price - delta
            price = delta
        self.books.parts["price"] += price
        self.books.parts["basis"] += before * (moved - along) * settle

    def currency(self) -> None:
        """Unrealised profit brought into the bar, times the change of its currency's index."""
        change = _moves(self.settle, self.settle[0])
        if change.any():
            unrealised = self.after * self.value - self.cost_after
            self.books.parts[part_of_asset(self.instrument.settle)] += _before(unrealised) * change

    def fill(self) -> None:
        """Fills: to the mark as execution, from the mark to the close as price and basis."""
        mark, settle = self._worth(self.fills["mark"]), self.settle[self.at]
        onward = self.signed * (self.value[self.at] - mark) * settle
        along = self.signed * (self.index_value[self.at] - self._index_at_fill(mark)) * settle
        self.books.add("price", self.at, along)
        self.books.add("basis", self.at, onward - along)
        paid = self._worth(self.fills["price"])
        slipped = self.signed * (mark - paid) * settle
        left = self._total() - self.books.by_bar(self.fills, onward)
        self.books.execute(self.fills, slipped, left, STEP * float(self.settle.max()))

    def _index_at_fill(self, mark: Floats) -> Floats:
        """A contract's worth at the index of each fill's moment; at the mark inside a bar."""
        worth = mark.copy()
        points = self.fills.words("point")
        for point in (each for each in ("open", "low", "high", "close") if each in points.present):
            mine, price = points.among(point), self._index_price(point)
            if not np.isnan(price).any():
                worth[mine] = self._worth(price[self.at[mine]])
        return worth

    def _total(self) -> Floats:
        """All that fills changed in each bar: contracts at the close, less their cost, plus what was realised, USD."""
        rows = self.books.rows_of(self.instrument, "realised", "settlement")
        realised = self.books.by_bar(rows, rows["amount"]) if len(rows) else 0.0
        traded = _moves(self.after, 0.0) * self.value - _moves(self.cost_after, 0.0)
        total: Floats = (traded + realised) * self.settle
        return total


def _before(after: Floats, start: float = 0.0) -> Floats:
    """What each bar began with, from what each ended with."""
    return np.concatenate(([start], after[:-1]))


def _moves(after: Floats, start: float) -> Floats:
    """By how much each bar changed it, from what each ended with."""
    moved = np.empty_like(after)
    moved[:1] = after[:1] - start
    np.subtract(after[1:], after[:-1], out=moved[1:])
    return moved
