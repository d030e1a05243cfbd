"""Where the money came from: the change in equity, taken apart bar by bar so that the parts sum to it.

Every bar is walked from close to close. What was held over the bar earns the change of its index (`price` for coins,
`fx` for quote currencies); a futures position earns its delta times the index change as `price` and the rest of its
mark's move as `basis`. A fill costs what lies between its price and the mark (`execution`), and earns price and basis
from there to the close. Every payment of the ledger stands under its own name. What is left over is printed as
`residual`, and is rounding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pandas as pd

from backtest.market.room import TAKEN
from backtest.market.schema import Instrument
from backtest.report.columns import Bools, Column, Columns, Words, times_of
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
    return pd.Series({part: _summed(record, parts[part]) for part in PARTS}, name=record.account_names[account])


def explain_by_bar(record: RunRecord, account: int = 0) -> pd.DataFrame:
    """The same a bar, USD: `time` (the bar's open), then a column a part. A row sums to its bar's change in equity."""
    return pd.DataFrame({"time": times_of(record.history.time), **parts_of(record, account)}, copy=False)


def explained(record: RunRecord) -> Iterator[Columns]:
    """The same of every account by column, some bars after others."""
    for account, name in enumerate(record.account_names):
        parts = parts_of(record, account)
        for bars in record.room.parts(len(record.history.time)):
            many = bars.stop - bars.start
            columns: dict[str, Column] = {"time": record.history.time[bars], "account": Words.same(name, many)}
            yield Columns.given({**columns, **{part: parts[part][bars] for part in PARTS}})


def _summed(record: RunRecord, part: Floats) -> float:
    """A part of the profit over all bars."""
    return float(sum(part[bars].sum() for bars in record.room.parts(len(part))))


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
    return _summed(record, parts_of(record, account)["liquidation"]) if taken or charged else 0.0


def _taken(ledger: Columns) -> Bools:
    """Rows that a fund was paid by: a penalty, or what a takeover left. What a fund pays is no cost of liquidation."""
    return ledger.among("kind", "insurance") & (ledger["amount"] < 0)


ROUNDINGS = 4  # of an amount of money by one fill: cost, what is released of it, what is realised, and the other asset


def part_of_asset(asset: str) -> str:
    """Where an asset's own price moves are booked."""
    return "fx" if asset in QUOTES else "price"


class _Books:
    """One account's rows, and the parts found so far."""

    def __init__(self, record: RunRecord, account: int) -> None:
        self.record, self.account, self.room = record, account, record.room
        self.bars = len(record.history.time)
        self.parts: defaultdict[str, Floats] = defaultdict(lambda: self.room.zeros((self.bars,)))
        self.ledger = record.since_start(account)
        self.fills = record.columns("fills", account)
        self.first = record.first_deposits(account)

    def add(self, name: str, bars: Ints, amounts: Floats) -> None:
        """Amounts summed bar by bar into a part; the many bars in which nothing was paid or traded are left alone."""
        begins = np.diff(bars, prepend=-1) != 0
        at, sums = bars[begins], np.bincount(np.cumsum(begins) - 1, weights=amounts)
        part = self.parts[name]
        for some in self.room.parts(len(at), TAKEN):
            np.add.at(part, at[some], sums[some])

    def at(self, asset: str, bars: Ints) -> Floats:
        """USD per unit of an asset at the closes of some bars."""
        return self.room.take(self.record.index(asset), bars)

    def hold(self, asset: str) -> None:
        """Balances brought into each bar, times the change of their index."""
        index, before = self.record.index(asset), float(self.record.index(asset, "open")[0])
        rows = self.ledger.where(self.ledger.among("asset", asset))
        started = self.first["amount"][self.first.among("asset", asset)].sum()
        so_far, name = _Steps.summed(self.record.bars(rows), rows["amount"]), part_of_asset(asset)
        for some in self.room.parts(self.bars):
            change = _moves(index[some], before)
            before = float(index[some][-1])
            if change.any():
                self.parts[name][some] += (started + so_far.before(some)) * change

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
        quote, close = self.at(instrument.quote, at), self.room.take(self.record.history.mark_close[number], at)
        mark, paid = fills["mark"], fills["price"]
        price = contracts * (close - mark) * quote
        basis = contracts * (self.at(instrument.base, at) - close * quote)
        self.add("price", at, price)
        self.add("basis", at, basis)
        bars = np.unique(np.concatenate([self.record.bars(rows), at]))
        total = _on(bars, self.record.bars(rows), self.record.flows_usd(rows)) - _on(bars, at, price + basis)
        dearest = max(self.highest(self.record.index(asset)) for asset in (instrument.base, instrument.quote))
        self.execute(fills, contracts * (mark - paid) * quote, bars, total, STEP * dearest)

    def highest(self, series: Floats) -> float:
        """The highest of a series."""
        return max(float(series[some].max()) for some in self.room.parts(self.bars))

    def trade_future(self, number: int, instrument: Instrument) -> None:
        """A futures position: held over the bar, filled in it, and its unrealised profit's own currency."""
        fills = self.fills_of(instrument)
        if not len(fills):
            return
        held = _Held(self, number, instrument, fills)
        held.carry()
        held.fill()

    def execute(self, fills: Columns, slipped: Floats, bars: Ints, total: Floats, step_usd: float) -> None:
        """Price against mark by fill, by cause; what rounding left of the `total` of these bars goes with the last kind.

        What rounding cannot be, at most some steps a fill, is left for the residual to show.
        """
        parts, at = fills.words("cause").called(_EXECUTION_OF_CAUSE, "execution"), self.record.bars(fills)
        for name in parts.present:
            mine = parts.among(name)
            self.add(name, at[mine], slipped[mine])
        rounding = total - _on(bars, at, slipped)
        most = ROUNDINGS * len(fills) * step_usd + 1e-9 * float(np.abs(slipped).sum() + abs(total.sum()))
        if abs(rounding.sum()) <= most:
            self.add(parts.text(-1), bars, rounding)

    def closed(self) -> dict[str, Floats]:
        """The parts, with what they leave unexplained of the equity recorded at each close."""
        equity, explained, so_far, first = self.record.start_equity(self.account), 0.0, 0.0, 0
        found, residual = [self.parts[name] for name in PARTS if name in self.parts], self.parts["residual"]
        for at, closed in self._closes():
            some = slice(first, int(at[-1]) + 1)
            sums = np.zeros(some.stop - some.start)
            for part in found:
                sums += part[some]
            told = np.cumsum(np.concatenate(([so_far], sums)))[1:]
            so_far, first = float(told[-1]), some.stop
            residual[at] = _moves(closed, equity) - _moves(told[at - some.start], explained)
            equity, explained = float(closed[-1]), float(told[at[-1] - some.start])
        return {name: self.parts[name] for name in PARTS}

    def _closes(self) -> Iterator[tuple[Ints, Floats]]:
        """Bars that were recorded, and their equity."""
        some = False
        for rows in self.record.parts("account", self.account):
            some = True
            yield self.record.bars(rows), rows["equity"]
        if not some:
            yield np.array([self.bars - 1]), np.zeros(1)


class _Steps:
    """What stands still between some bars: sums so far, or what a position cost."""

    def __init__(self, bars: Ints, values: Floats) -> None:
        self.bars, self.values = bars, np.concatenate(([0.0], values))

    @staticmethod
    def summed(bars: Ints, amounts: Floats) -> _Steps:
        """Amounts added up, bar by bar."""
        known = np.unique(bars)
        return _Steps(known, np.cumsum(_on(known, bars, amounts)))

    def after(self, bars: Ints) -> Floats:
        """The value after each of some bars."""
        return self.values[np.searchsorted(self.bars, bars, side="right")]

    def before(self, part: slice) -> Floats:
        """The value that each bar of a stretch began with."""
        return self.after(np.arange(part.start - 1, part.stop - 1))


class _Held:
    """One futures instrument of one account: what its contracts are worth in the settlement asset, bar by bar."""

    def __init__(self, books: _Books, number: int, instrument: Instrument, fills: Columns) -> None:
        self.books, self.instrument, self.fills, self.room = books, instrument, fills, books.room
        self.record, self.mark = books.record, books.record.history.mark_close[number]
        self.settle = self.record.index(instrument.settle)
        self.signed = fills["contracts"]
        self.at = self.record.bars(fills)
        self.contracts = _Steps.summed(self.at, self.signed)
        self.sides = self._costs()

    def _worth(self, price: Floats, otherwise: Floats | None = None) -> Floats:
        """One contract in the settlement asset."""
        usable = price if otherwise is None else np.where(np.isfinite(price) & (price > 0), price, otherwise)
        return self.instrument.worth(usable)

    def _index_price(self, point: str, bars: slice | Ints) -> Floats | None:
        """The base's index in the quote currency at some bars; None where the run has none."""
        quote = self.instrument.quote if self.instrument.kind == "inverse" else self.instrument.settle
        if self.instrument.base not in self.record.assets or (quote != "USD" and quote not in self.record.assets):
            return None
        base, other = self.record.index(self.instrument.base, point), self.record.index(quote, point)
        if isinstance(bars, slice):
            return base[bars] / other[bars]
        return self.room.take(base, bars) / self.room.take(other, bars)

    def _index_value(self, bars: slice | Ints, mark: Floats) -> Floats:
        """One contract at its coin's index at the closes of some bars; at the mark where the run has none."""
        price = self._index_price("close", bars)
        return self._worth(mark) if price is None else self._worth(price, mark)

    def _costs(self) -> list[_Steps]:
        """What the position (in hedge mode its two sides) cost, after each bar."""
        positions = self.record.columns("positions", self.books.account)
        rows = positions.where(positions.among("symbol", self.instrument.symbol))
        sides = rows.words("side" if "side" in rows else "symbol")
        mine = [rows.where(sides.among(side)) for side in sorted(sides.present)]
        return [_Steps(self.record.bars(each), each["cost"]) for each in mine]

    def cost(self, bars: Ints) -> Floats:
        """What the position cost after each of some bars."""
        total = np.zeros(len(bars))
        for side in self.sides:
            total += side.after(bars)
        return total

    def carry(self) -> None:
        """Contracts held over the bar: delta times index as price, the mark's own move as basis, the quote's as fx; and
        unrealised profit brought into the bar, times the change of its currency's index.
        """
        before: dict[str, float] = {}
        for bars in self.room.parts(self.books.bars):
            held = self.contracts.before(bars)
            series = self._series(bars)
            moved = {name: _moves(values, before.get(name, values[0])) for name, values in series.items()}
            unrealised = self._unrealised(bars, series["mark"], before)
            if held.any():
                self._price(bars, held, series, moved)
            if moved["settle"].any():
                self.books.parts[part_of_asset(self.instrument.settle)][bars] += unrealised * moved["settle"]
            before = {name: float(values[-1]) for name, values in series.items()}

    def _series(self, bars: slice) -> dict[str, Floats]:
        """Worth of a contract at its mark and at its coin's index, and the indexes that its profit hangs on."""
        mark = self.mark[bars]
        series = {"mark": self._worth(mark), "index": self._index_value(bars, mark), "settle": self.settle[bars]}
        if self.instrument.kind == "linear" and self.instrument.base in self.record.assets:
            series["base"] = self.record.index(self.instrument.base)[bars]
        return series

    def _unrealised(self, bars: slice, worth: Floats, before: dict[str, float]) -> Floats:
        """Unrealised profit that each bar began with."""
        earlier = np.concatenate(([before.get("mark", 0.0)], worth[:-1]))
        return self.contracts.before(bars) * earlier - self.cost(np.arange(bars.start - 1, bars.stop - 1))

    def _price(self, bars: slice, held: Floats, series: dict[str, Floats], moved: dict[str, Floats]) -> None:
        """What holding contracts over some bars earned."""
        parts, settle = self.books.parts, series["settle"]
        price = held * moved["index"] * settle
        if "base" in moved:
            delta = held * self.instrument.contract_size * moved["base"]
            parts["fx"][bars] += price - delta
            price = delta
        parts["price"][bars] += price
        parts["basis"][bars] += held * (moved["mark"] - moved["index"]) * settle

    def fill(self) -> None:
        """Fills: to the mark as execution, from the mark to the close as price and basis."""
        mark, settle = self._worth(self.fills["mark"]), self.room.take(self.settle, self.at)
        close = self.room.take(self.mark, self.at)
        onward = self.signed * (self._worth(close) - mark) * settle
        along = self.signed * (self._index_value(self.at, close) - self._index_at_fill(mark)) * settle
        self.books.add("price", self.at, along)
        self.books.add("basis", self.at, onward - along)
        paid = self._worth(self.fills["price"])
        slipped = self.signed * (mark - paid) * settle
        bars, total = self._total()
        left = total - _on(bars, self.at, onward)
        self.books.execute(self.fills, slipped, bars, left, STEP * self.books.highest(self.settle))

    def _index_at_fill(self, mark: Floats) -> Floats:
        """A contract's worth at the index of each fill's moment; at the mark inside a bar."""
        worth = mark.copy()
        points = self.fills.words("point")
        for point in (each for each in ("open", "low", "high", "close") if each in points.present):
            mine = points.among(point)
            price = self._index_price(point, self.at[mine])
            if price is not None:
                worth[mine] = self._worth(price)
        return worth

    def _total(self) -> tuple[Ints, Floats]:
        """All that fills changed in some bars: contracts at the close, less their cost, plus what was realised, USD."""
        rows = self.books.rows_of(self.instrument, "realised", "settlement")
        paid = self.record.bars(rows)
        bars = np.unique(np.concatenate([self.at, paid, *(side.bars for side in self.sides)]))
        moved = self.contracts.after(bars) - self.contracts.after(bars - 1)
        traded = moved * self._worth(self.room.take(self.mark, bars)) - (self.cost(bars) - self.cost(bars - 1))
        return bars, (traded + _on(bars, paid, rows["amount"])) * self.room.take(self.settle, bars)


def _on(known: Ints, bars: Ints, amounts: Floats) -> Floats:
    """Amounts summed into some bars, all of which are known."""
    return summed(np.searchsorted(known, bars), amounts, len(known))


def _moves(after: Floats, start: float) -> Floats:
    """By how much each bar changed it, from what each ended with."""
    moved = np.empty_like(after)
    moved[:1] = after[:1] - start
    np.subtract(after[1:], after[:-1], out=moved[1:])
    return moved
