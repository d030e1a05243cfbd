"""What the market did, on one grid of bars: the only thing the engine ever knows of prices.

Everything in here was knowable in the order of its bars: opens at the open, the rest at the close.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from backtest.errors import InputError
from backtest.market.grid import Bools, Floats, Ints, when
from backtest.market.room import MEMORY, Room, Table
from backtest.market.schema import Instrument
from backtest.market.settlements import Flags

OF_INSTRUMENTS = (
    *("open", "high", "low", "close", "volume", "daily_volatility", "daily_volume"),
    *("mark_open", "mark_low", "mark_high", "mark_close", "worst_low", "worst_high"),
)
OF_ASSETS = ("borrow_rate", "index_open", "index_low", "index_high", "index_close")
BY_BAR = (*OF_INSTRUMENTS, *OF_ASSETS)
"""Numbers by bar, `tradable` apart: the rows of a table, in this order."""
_CUT = (*BY_BAR, "tradable")
MADE = 8  # rows more an instrument: what its contract is worth at its marks, and what accounts bring along


def rows_of(instruments: int, assets: int) -> tuple[int, int]:
    """Rows of the table of a history, and spare ones behind them for what the engine makes of it."""
    return len(OF_INSTRUMENTS) * instruments + len(OF_ASSETS) * assets, MADE * instruments + 4 * assets + 16


def named_rows(rows: Floats, instruments: int, assets: int) -> dict[str, Floats]:
    """The first rows of a table by the name of what they are."""
    found, first = dict[str, Floats](), 0
    for name in BY_BAR:
        many = instruments if name in OF_INSTRUMENTS else assets
        found[name] = rows[first : first + many]
        first += many
    return found


@dataclass(frozen=True)
class History:
    """Prices and events of a span, aligned: rows of instruments or assets, columns of bars.

    Prices are float64 in the instrument's quote currency, index prices in USD per unit, volumes in contracts, times
    int64 microseconds UTC; no array holds a NaN. Where a bar is missing the previous close is held, volume is 0 and
    `tradable` is False. Events are ordered by bar, then stamp.
    """

    time: Ints  # [bar] opens
    interval_us: int
    instruments: tuple[Instrument, ...]
    assets: tuple[str, ...]
    open: Floats  # [instrument, bar] last-trade prices
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    mark_open: Floats  # [instrument, bar] what margins and liquidates; spot: its own price
    mark_low: Floats
    mark_high: Floats
    mark_close: Floats
    worst_low: Floats  # [instrument, bar] the mark's extremes where it is true, the perpetual's own where it is a proxy
    worst_high: Floats
    mark_source: tuple[str, ...]  # per instrument: "mark" | "mark-close proxy" | "last" | "spot"
    index_open: Floats  # [asset, bar] USD per unit
    index_low: Floats
    index_high: Floats
    index_close: Floats
    index_source: tuple[str, ...]  # per asset: "index:BTC/USD", "spot:BTC/USDT×USDT", "constant 1.0"
    tradable: Bools  # [instrument, bar] the bar exists, and the instrument was listed and had not ended at its open
    funding_bar: Ints  # [event]
    funding_instrument: Ints
    funding_rate: Floats
    funding_price: Floats
    funding_time: Ints  # the stamp itself
    funding_flag: Flags  # 0 mark open of the bar, 1 previous mark close, 2 inside a bar, 3 mark given with the rate
    delivery_bar: Ints  # [event]
    delivery_instrument: Ints
    delivery_price: Floats
    delivery_source: tuple[str, ...]
    daily_volatility: Floats  # [instrument, bar] of the thirty whole days before the bar's own
    daily_volume: Floats  # contracts a day, same days
    borrow_rate: Floats  # [asset, bar] hourly
    has_borrow: Bools  # [asset]
    notes: tuple[str, ...]
    price_begins: tuple[int, ...] = ()  # per instrument: first stored bar; what is held before it nobody knew then
    index_begins: tuple[int, ...] = ()  # per asset
    table: Table | None = None  # whose rows the arrays of numbers by bar are, where they were laid out together
    room: Room = MEMORY  # where its bars lie, and those of the accounts that live through it

    def __getstate__(self) -> dict[str, Any]:
        """What travels to another process: arrays in memory, whatever they lie in here; rows of the table with it."""
        state = {**self.__dict__, "room": MEMORY}
        for name, rows in self._rows_of_table().items():
            if _is(getattr(self, name), rows):
                del state[name]
        if len(state) == len(self.__dict__):
            state["table"] = None  # none of its rows is the history's
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__.update({name: rows for name, rows in self._rows_of_table().items() if name not in state})

    def _rows_of_table(self) -> dict[str, Floats]:
        """The rows of the table by the name of what they are; none where there is no table."""
        return {} if self.table is None else named_rows(self.table.rows, len(self.instruments), len(self.assets))

    def between(self, start_us: int, end_us: int) -> History:
        """The bars that open in [start_us, end_us), with their events. InputError when there are none."""
        first, last = (int(at) for at in np.searchsorted(self.time, (start_us, end_us)))
        if first >= last:
            raise InputError(
                f"no bar opens between {when(start_us)} and {when(end_us)}; "
                f"the history runs from {when(int(self.time[0]))} to {when(int(self.time[-1]))}"
            )
        cut: dict[str, Any] = {name: np.ascontiguousarray(getattr(self, name)[:, first:last]) for name in _CUT}
        cut["time"] = self.time[first:last].copy()
        return replace(
            self,
            table=None,
            room=MEMORY,
            **cut,
            **self._events("funding", first, last),
            **self._events("delivery", first, last),
        )

    def before(self, last: int) -> History:
        """The first `last` bars, with their events: the same memory, not a copy of it."""
        cut: dict[str, Any] = {name: getattr(self, name)[:, :last] for name in _CUT}
        cut["time"] = self.time[:last]
        return replace(self, table=None, **cut, **self._events("funding", 0, last), **self._events("delivery", 0, last))

    def _events(self, kind: str, first: int, last: int) -> dict[str, Any]:
        """The columns of one kind of event that fall on the bars [first, last), bars counted anew."""
        bars: Ints = getattr(self, f"{kind}_bar")
        keep = slice(*np.searchsorted(bars, (first, last)).tolist())  # events are in the order of their bars
        cut: dict[str, Any] = {}
        for field in fields(self):
            if field.name == f"{kind}_bar":
                cut[field.name] = bars[keep] - first if first else bars[keep]
            elif field.name.startswith(f"{kind}_"):
                cut[field.name] = getattr(self, field.name)[keep]
        return cut


def _is(one: Floats, other: Floats) -> bool:
    """Whether two arrays are the same place in memory."""
    return one.ctypes.data == other.ctypes.data and one.shape == other.shape and one.strides == other.strides
