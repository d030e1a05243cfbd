"""A futures position over time: what holding it, and filling it, moved the account by, taken apart as `explain` does.

Contracts and their cost stand still between fills, so they are looked up; prices are gone through some bars after
others.
"""

from __future__ import annotations

import numpy as np

from backtest.market.schema import Instrument
from backtest.report.books import Books
from backtest.report.columns import Columns
from backtest.report.record import Floats, Ints
from backtest.report.steps import Steps, moves, on, part_of_asset
from backtest.units import STEP

COMES_FROM = {
    "low_then_high": {"low": "open", "high": "low", "close": "high"},
    "each_worst": {"close": "open"},
    "close": {"close": "open"},
}
"""Where a reading of a bar's path comes from on its way to a point."""


class Held:
    """One futures instrument of one account: what its contracts are worth in the settlement asset, bar by bar."""

    def __init__(self, books: Books, number: int, instrument: Instrument, fills: Columns) -> None:
        self.books, self.instrument, self.fills, self.room = books, instrument, fills, books.room
        self.record, self.number, self.mark = books.record, number, books.record.history.mark_close[number]
        self.settle = self.record.index(instrument.settle)
        self.signed = fills["contracts"]
        self.at = self.record.bars(fills)
        self.contracts = Steps.summed(self.at, self.signed)
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

    def _costs(self) -> list[Steps]:
        """What the position (in hedge mode its two sides) cost, after each bar."""
        positions = self.record.columns("positions", self.books.account)
        rows = positions.where(positions.among("symbol", self.instrument.symbol))
        sides = rows.words("side" if "side" in rows else "symbol")
        mine = [rows.where(sides.among(side)) for side in sorted(sides.present)]
        return [Steps(self.record.bars(each), each["cost"]) for each in mine]

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
            moved = {name: moves(values, before.get(name, values[0])) for name, values in series.items()}
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
        left = total - on(bars, self.at, onward)
        self.books.execute(self.fills, slipped, bars, left, STEP * self.books.highest(self.settle))

    def _index_at_fill(self, mark: Floats) -> Floats:
        """A contract's worth at the index of each fill's moment; at the mark where only an order's price says when."""
        worth = mark.copy()
        points = self.fills.words("point")
        for point in (each for each in ("open", "low", "high", "close") if each in points.present):
            mine = np.flatnonzero(points.among(point))
            price = self._index_on_the_way(point, mine)
            if price is not None:
                worth[mine] = self._worth(price)
        return worth

    def _index_on_the_way(self, point: str, mine: Ints) -> Floats | None:
        """The index at fills that name a point. A forced order names the point it was on the way to: index and mark go
        the same share of the way there.
        """
        end, bars = self._index_price(point, self.at[mine]), self.at[mine]
        source = COMES_FROM[self.record.config.execution.path].get(point)
        if end is None or source is None:
            return end
        begin = self._index_price(source, bars)
        assert begin is not None
        there, here = (self.room.take(self._marks(each), bars) for each in (point, source))
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(there != here, (self.fills["mark"][mine] - here) / (there - here), 1.0)
        found: Floats = begin + (end - begin) * np.clip(share, 0.0, 1.0)
        return found

    def _marks(self, point: str) -> Floats:
        """The instrument's marks at a point of every bar."""
        marks: Floats = getattr(self.record.history, f"mark_{point}")[self.number]
        return marks

    def _total(self) -> tuple[Ints, Floats]:
        """All that fills changed in some bars: contracts at the close, less their cost, plus what was realised, USD."""
        rows = self.books.rows_of(self.instrument, "realised", "settlement")
        paid = self.record.bars(rows)
        bars = np.unique(np.concatenate([self.at, paid, *(side.bars for side in self.sides)]))
        moved = self.contracts.after(bars) - self.contracts.after(bars - 1)
        traded = moved * self._worth(self.room.take(self.mark, bars)) - (self.cost(bars) - self.cost(bars - 1))
        return bars, (traded + on(bars, paid, rows["amount"])) * self.room.take(self.settle, bars)
