"""Finer bars of a bar: what happened inside an hour that ends as it began, and ruins somebody on the way.

The low and high of a bar do not say which came first, nor whether two coins were at their lows together. Where the
store has finer bars of everything a run holds, the inside of such a bar can be looked at. Marks are those of the bar
itself, put in the order in which trades moved: the finer bar with the lowest trade bears the mark's low, the one with
the highest its high, and no finer mark lies outside the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from backtest.errors import NotStored
from backtest.market.align import align
from backtest.market.grid import Floats, PriceRules, Reader
from backtest.market.history import History
from backtest.market.schema import INTERVALS

MARKED = "mark"


@dataclass(frozen=True)
class _WholeBars:
    """Inside a bar nothing is filled in, and funding is the bar's own affair."""

    routes: Mapping[str, str | float]
    wicks: bool
    gaps: str = "error"
    inside: str = "approximate"
    missing: str = "zero"


class FinerBars:
    """Finer bars of a history's own bars, where the store has them of every instrument of the run."""

    def __init__(self, store: Reader, venue: str, coarse: History, prices: PriceRules) -> None:
        self.store, self.venue, self.coarse = store, venue, coarse
        self.rules = _WholeBars(prices.routes, prices.wicks)
        self.symbols = [instrument.symbol for instrument in coarse.instruments]
        stored = [set(store.series(venue, symbol)) for symbol in self.symbols]
        finer = [text for text, us in INTERVALS.items() if us < coarse.interval_us and coarse.interval_us % us == 0]
        whole = [text for text in finer if all(f"bars-{text}" in names for names in stored)]
        self.intervals = sorted(whole, key=lambda text: INTERVALS[text])

    @property
    def flags(self) -> npt.NDArray[np.uint8]:
        """1 for the bars whose inside may be asked for: all of them, where the store has some finer series at all."""
        flags: npt.NDArray[np.uint8] = self.coarse.room.zeros((len(self.coarse.time),), np.uint8)
        if self.intervals:
            for part in self.coarse.room.parts(len(flags)):
                flags[part] = 1
        return flags

    def inside(self, bar: int) -> History | None:
        """The finest whole bars inside a bar; None where the store has none after all. InputError for a file of them
        that cannot be read, or holds what is no bar.
        """
        start = int(self.coarse.time[bar])
        for interval in self.intervals:
            span = (start, start + self.coarse.interval_us, interval)
            try:
                fine = align(self.store, self.venue, self.symbols, self.coarse.assets, *span, self.rules, self.rules)
            except NotStored:
                continue
            return within(fine, self.coarse, bar)
        return None


def within(fine: History, coarse: History, bar: int) -> History:
    """Finer bars as the inside of one bar: its marks, its past activity, and no event of their own."""
    marked = [fine_marks(fine, coarse, i, bar) for i in range(len(coarse.instruments))]
    mark_open, mark_low, mark_high, mark_close = (np.array(rows) for rows in zip(*marked, strict=True))
    none = np.zeros(0, np.int64)
    many = (1, len(fine.time))
    return replace(
        fine,
        mark_open=mark_open,
        mark_low=mark_low,
        mark_high=mark_high,
        mark_close=mark_close,
        worst_low=np.minimum(fine.worst_low, mark_low),
        worst_high=np.maximum(fine.worst_high, mark_high),
        daily_volatility=np.tile(coarse.daily_volatility[:, [bar]], many),
        daily_volume=np.tile(coarse.daily_volume[:, [bar]], many),
        funding_bar=none,
        funding_instrument=none,
        funding_rate=np.zeros(0),
        funding_price=np.zeros(0),
        funding_time=none,
        funding_flag=np.zeros(0, np.int8),
        delivery_bar=none,
        delivery_instrument=none,
        delivery_price=np.zeros(0),
        delivery_source=(),
    )


def fine_marks(fine: History, coarse: History, i: int, bar: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Marks of one instrument inside the bar, within the bar's own: stored ones, else those that trades tell."""
    low, high = coarse.mark_low[i, bar], coarse.mark_high[i, bar]
    rows = fine.mark_open[i], fine.mark_low[i], fine.mark_high[i], fine.mark_close[i]
    if coarse.instruments[i].kind == "spot":
        return rows
    if fine.mark_source[i] == MARKED:
        opened, lows, highs, closes = (np.clip(row, low, high) for row in rows)
        return opened, lows, highs, closes
    opened, lows, highs, closes = (np.clip(row[i], low, high) for row in (fine.open, fine.low, fine.high, fine.close))
    lows[int(fine.low[i].argmin())] = low
    highs[int(fine.high[i].argmax())] = high
    opened[0], closes[-1] = coarse.mark_open[i, bar], coarse.mark_close[i, bar]
    return opened, lows, highs, closes
