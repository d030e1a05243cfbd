"""One account's rows while its profit is taken apart: what balances earned by being held, what was paid, what trades of
coins cost, and what is left unexplained.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import count

import numpy as np

from backtest.market.room import TAKEN
from backtest.market.schema import Instrument
from backtest.report.columns import Bools, Columns
from backtest.report.record import Floats, Ints, RunRecord
from backtest.report.steps import Steps, moves, on, part_of_asset
from backtest.units import STEP

PARTS = (
    "deposits and withdrawals", "price", "basis", "fx", "funding", "fees", "execution", "interest", "transfer cost",
    "conversion cost", "liquidation", "insurance and write-off", "residual",
)  # fmt: skip
PART_OF_KIND = {
    "deposit": "deposits and withdrawals", "withdrawal": "deposits and withdrawals", "transfer_cost": "transfer cost",
    "fee": "fees", "delivery_fee": "fees", "funding": "funding", "interest": "interest", "conversion": "price",
    "conversion_cost": "conversion cost", "liquidation_fee": "liquidation", "insurance": "insurance and write-off",
    "user_debt": "insurance and write-off",
}  # fmt: skip
EXECUTION_OF_CAUSE = {
    "delivery": "basis", "liquidation": "liquidation", "takeover": "liquidation", "deleveraging": "liquidation",
}  # fmt: skip


def taken_by_fund(ledger: Columns) -> Bools:
    """Rows that a fund was paid by: a penalty, or what a takeover left. What a fund pays is no cost of liquidation."""
    return ledger.among("kind", "insurance") & (ledger["amount"] < 0)


ROUNDINGS = 4  # of an amount of money by one fill: cost, what is released of it, what is realised, and the other asset


class Books:
    """One account's rows, and the parts found so far."""

    def __init__(self, record: RunRecord, account: int) -> None:
        self.record, self.account, self.room = record, account, record.room
        self.bars = len(record.history.time)
        rows = self.room.zeros((len(PARTS), self.bars), sure=0)  # in one file: a system opens only some
        number = count()
        self.parts: defaultdict[str, Floats] = defaultdict(lambda: self.room.reserve(rows, next(number)))
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
        so_far, name = Steps.summed(self.record.bars(rows), rows["amount"]), part_of_asset(asset)
        for some in self.room.parts(self.bars):
            change = moves(index[some], before)
            before = float(index[some][-1])
            if change.any():
                self.parts[name][some] += (started + so_far.before(some)) * change

    def pay(self) -> None:
        """Every payment of the ledger at its bar's close; trades' own rows are left to the trades.

        Money that comes in or goes out does so at the open, as the figures count it; to the close is a price's way.
        """
        flows, bars = self.record.flows_usd(self.ledger), self.record.bars(self.ledger)
        kinds, taken = self.ledger.words("kind"), taken_by_fund(self.ledger)
        self.add("liquidation", bars[taken], flows[taken])
        for kind in (each for each in kinds.present if each in PART_OF_KIND):
            mine = kinds.among(kind) & ~taken
            self.add(PART_OF_KIND[kind], bars[mine], flows[mine])
        moved = kinds.among("deposit", "withdrawal")
        since = flows[moved] - self.record.flows_usd(self.ledger.where(moved), "open")
        self.add("deposits and withdrawals", bars[moved], -since)
        for asset in self.ledger.where(moved).words("asset").present:
            own = self.ledger.among("asset", asset)[moved]
            self.add(part_of_asset(asset), bars[moved][own], since[own])

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
        total = on(bars, self.record.bars(rows), self.record.flows_usd(rows)) - on(bars, at, price + basis)
        dearest = max(self.highest(self.record.index(asset)) for asset in (instrument.base, instrument.quote))
        self.execute(fills, contracts * (mark - paid) * quote, bars, total, STEP * dearest)

    def highest(self, series: Floats) -> float:
        """The highest of a series."""
        return max(float(series[some].max()) for some in self.room.parts(self.bars))

    def execute(self, fills: Columns, slipped: Floats, bars: Ints, total: Floats, step_usd: float) -> None:
        """Price against mark by fill, by cause; what rounding left of these bars' `total` goes with the last kind.

        What rounding cannot be, at most some steps a fill, is left for the residual to show.
        """
        parts, at = fills.words("cause").called(EXECUTION_OF_CAUSE, "execution"), self.record.bars(fills)
        for name in parts.present:
            mine = parts.among(name)
            self.add(name, at[mine], slipped[mine])
        rounding = total - on(bars, at, slipped)
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
            residual[at] = moves(closed, equity) - moves(told[at - some.start], explained)
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
