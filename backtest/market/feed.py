"""One stored series, read once from front to back, a part of the run's bars at a time.

Six years of minutes need not be held to be laid on a grid: what a part needs of what came before is the last row. The
store answers with rows; coarser bars are made of finer ones where only those are stored, and a row that is no candle is
refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from backtest.errors import InputError
from backtest.market.grid import BY_ROW, Floats, Grid, Ints, Life, Reader, Rows, check_values, when
from backtest.market.room import PART
from backtest.market.schema import INTERVALS, interval_us

Columns = dict[str, npt.NDArray[np.generic]]
AT_ONCE = 4  # parts read together
_PRICES = ("open", "high", "low", "close")


class Feed:
    """Rows of one series at the grid's interval. `rows(part)` is asked part after part, in order.

    `first_us` is the first row that the run sees, or would see; `last_us` the last one so far.
    """

    def __init__(
        self, store: Reader, venue: str, symbol: str, stored: str, grid: Grid, life: Life, parts: Sequence[slice]
    ) -> None:
        self.store, self.venue, self.symbol, self.stored, self.grid, self.life = (
            store,
            venue,
            symbol,
            stored,
            grid,
            life,
        )
        self.parts = parts
        kind, finer = stored.rsplit("-", 1)
        self.finer_us = interval_us(finer)
        self.made_from = None if finer == grid.interval else stored
        self.name = f"{kind}-{grid.interval}"
        self.true_open = True
        self.first_us = self.last_us = 0
        self.carried = 0
        self._number, self._ahead = 0, dict[int, Rows]()
        self._first: Rows  # what will be first, while nothing has begun
        self.empty = True  # stored, but no bar of the grid's length is whole
        self._last: Rows | None = None
        self._held: Columns | None = None
        self._held_until = 0
        self._close: float | None = None  # of the last row stored, where opens are made of closes

    def begin(self, lead_us: int) -> bool:
        """Look for the first rows, from `lead_us` before the grid on; False where the store has none at all.

        Reaches further back when nothing lies at the grid's start, so that "missing" and "not yet begun" can be told
        apart, and further on when nothing lies in the first part.
        """
        start, end = self.grid.start_us, self._end(0)
        columns = self._read(start - lead_us, end)
        if columns is None:
            return False
        if not len(columns["time"]) or int(columns["time"][0]) > start:
            columns = self._read(None, end) or columns
        stored, rows, k = len(columns["time"]), self._as_bars(columns), 0
        while not len(rows.time) and k + 1 < len(self.parts):
            k += 1
            columns = self._read(int(self.grid.time[self.parts[k].start]), self._end(k)) or columns
            stored, rows = stored + len(columns["time"]), self._as_bars(columns)
        if not stored:
            columns, k = self._read(None, None) or columns, len(self.parts)
            if not len(columns["time"]):
                return False
            rows = self._as_bars(columns)
        self.empty = not len(rows.time)
        self._ahead[k], self._first = rows, rows.where(slice(0, 1))
        if not self.empty:
            self.first_us, self.last_us = int(rows.time[0]), int(rows.time[-1])
        return True

    def rows(self, number: int) -> Rows:
        """Rows of a part, behind the last row before it, if there is one (`carried` says how many those are).

        Before the series begins, the first rows that there will be.
        """
        assert number == self._number, "parts are asked for in order"
        self._number += 1
        begun = self._last is not None
        fresh = self._fresh(number, begun)
        if self.empty or (not begun and fresh is None):
            self.carried = len(self._first.time)
            return self._first
        rows = _joined([each for each in (self._last, fresh) if each is not None and len(each.time)])
        self.carried = 1 if begun else 0
        self._last = rows.where(slice(len(rows.time) - 1, None))
        self.last_us = int(rows.time[-1])
        return rows

    def _fresh(self, number: int, begun: bool) -> Rows | None:
        """What a part has of its own; None before the first."""
        if number in self._ahead:
            return self._ahead.pop(number)
        if not begun:
            return None
        columns = self._columns(number)
        return None if columns is None else self._as_bars(columns)

    def _columns(self, number: int) -> Columns | None:
        """What is stored of a part; some parts are read at once, as files are packed in larger ones."""
        start, end = int(self.grid.time[self.parts[number].start]), self._end(number)
        if self._held is None or end > self._held_until:
            last = min(number + AT_ONCE, len(self.parts)) - 1
            self._held, self._held_until = self._read(start, self._end(last)), self._end(last)
        if self._held is None:
            return None
        first, last = np.searchsorted(self._held["time"], (start, end)).tolist()
        return {name: values[first:last] for name, values in self._held.items()}

    def _end(self, number: int) -> int:
        return int(self.grid.time[self.parts[number].stop - 1]) + self.grid.interval_us

    def _read(self, start_us: int | None, end_us: int | None) -> Columns | None:
        return self.store.read(self.venue, self.symbol, self.stored, start_us, end_us)

    def _as_bars(self, columns: Columns) -> Rows:
        """Columns as bars of the grid's length. InputError for a row that is no candle: a bar that is not known is left
        out of a store.
        """
        stored: dict[str, Floats] = {
            key: values.astype(np.float64) for key, values in columns.items() if key in (*_PRICES, "volume")
        }
        time = columns["time"].astype(np.int64)
        _check_candles(f"{self.symbol} {self.stored}", time, stored)
        close = stored["close"]
        volume = stored.get("volume", np.zeros(len(close)))
        self.true_open = {"open", "high", "low"} <= stored.keys()
        if self.true_open:
            opened, high, low = stored["open"], stored["high"], stored["low"]
        else:
            before = close[:1] if self._close is None else np.array([self._close])
            opened = np.concatenate([before, close[:-1]])[: len(close)]
            high, low = np.maximum(opened, close), np.minimum(opened, close)
            self._close = float(close[-1]) if len(close) else self._close
        rows = Rows(self.stored, time, opened, high, low, close, volume, self.true_open, None)
        return rows if self.made_from is None else resample(rows, self.grid, self.finer_us, self.life)


def open_feed(
    store: Reader, venue: str, symbol: str, kind: str, grid: Grid, lead_us: int, life: Life | None = None,
    part: int = PART,
) -> Feed | None:  # fmt: skip
    """The series `<kind>-<interval>`, from `lead_us` before the grid; made of finer bars where only those are stored.

    None when the store has no such series at any usable interval.
    """
    parts = grid.parts(part)
    for finer in _usable_intervals(grid.interval):
        feed = Feed(store, venue, symbol, f"{kind}-{finer}", grid, life or Life(None, None), parts)
        if feed.begin(lead_us):
            return feed
    return None


def _usable_intervals(interval: str) -> list[str]:
    """The interval itself, then finer ones that divide it, coarsest first."""
    step = interval_us(interval)
    return sorted(
        (text for text, us in INTERVALS.items() if us <= step and step % us == 0), key=lambda text: -INTERVALS[text]
    )


def _joined(rows: Sequence[Rows]) -> Rows:
    """Rows of one series, one after the other."""
    if len(rows) == 1:
        return rows[0]
    by_row = {name: np.concatenate([getattr(each, name) for each in rows]) for name in BY_ROW}
    return Rows(rows[0].name, **by_row, true_open=rows[0].true_open, made_from=rows[0].made_from)


def _check_candles(where: str, time: Ints, stored: Mapping[str, Floats]) -> None:
    """Refuse a price that is not above 0, a volume below 0, and a low or high that does not hold its open and close."""
    for name in _PRICES:
        if name in stored:
            check_values(where, name, time, stored[name], np.isfinite(stored[name]) & (stored[name] > 0), "above 0")
    if "volume" in stored:
        volume = stored["volume"]
        check_values(where, "volume", time, volume, np.isfinite(volume) & (volume >= 0), "0 or more")
    for name, holds, word in (("low", np.less_equal, "above"), ("high", np.greater_equal, "below")):
        for other in ("open", "close"):
            if name in stored and other in stored and not (good := holds(stored[name], stored[other])).all():
                k = int(np.argmin(good))
                raise InputError(
                    f"{where}: {name} {stored[name][k]:g} is {word} {other} {stored[other][k]:g} in the row of "
                    f"{when(int(time[k]))}; mend the row or take it out of the store"
                )


def resample(rows: Rows, grid: Grid, finer_us: int, life: Life) -> Rows:
    """Coarser bars out of finer ones; one counts only if every finer bar of its life is there."""
    step = grid.interval_us
    bins = rows.time // step
    first = np.flatnonzero(np.diff(bins, prepend=bins[0] - 1)) if len(bins) else np.zeros(0, dtype=np.int64)
    opens = bins[first] * step
    found = np.diff(first, append=len(bins))
    lowest = opens if life.listing_us is None else np.maximum(opens, life.listing_us // finer_us * finer_us)
    highest = opens + step if life.end_us is None else np.minimum(opens + step, life.end_us)
    whole = found >= -(-(highest - lowest) // finer_us)
    last = first + found - 1
    made = rows.name
    return Rows(
        f"{made.rsplit('-', 1)[0]}-{grid.interval}",
        opens[whole],
        rows.open[first][whole],
        np.maximum.reduceat(rows.high, first)[whole],
        np.minimum.reduceat(rows.low, first)[whole],
        rows.close[last][whole],
        np.add.reduceat(rows.volume, first)[whole],
        rows.true_open,
        made,
    )
