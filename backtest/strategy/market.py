"""What a strategy may know of the market: the instruments and their terms, and prices as far as they have happened.

A callback gets a market without prices at the start and reads them off each closed bar. A table of targets gets all
prices at once; the prefix check then makes sure that it did not use them before their time.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.errors import InputError, nearest
from backtest.market.grid import when
from backtest.market.history import History
from backtest.market.schema import INTERVALS, Instrument
from backtest.strategy.schedule import bars_closing


class Closed(Protocol):
    """Whatever says what time it is."""

    closes_us: int


class Market:
    """Instruments, and with `prices` their series. Times are bar opens, UTC.

    Before the first stored bar of an instrument or an index its price is NaN: nobody knew what it would open at.
    """

    def __init__(self, history: History, prices: bool = True) -> None:
        self._history, self._prices = history, prices
        self._number = {instrument.symbol: k for k, instrument in enumerate(history.instruments)}
        self._asset = {asset: k for k, asset in enumerate(history.assets)}
        self._terms = tuple(replace(instrument, delisting_us=None) for instrument in history.instruments)
        self._settled: dict[str, tuple[list[int], npt.NDArray[np.float64]]] = {}
        self._born = _first_bars(history, history.price_begins, len(history.instruments))
        self._indexed = _first_bars(history, history.index_begins, len(history.assets))
        self._now_us = self.ends_us
        self._shown: Closed | None = None

    @cached_property
    def without_prices(self) -> Market:
        """The same market as a callback may know it: instruments and dates, no series."""
        return Market(self._history, prices=False) if self._prices else self

    def as_of(self, now_us: int) -> Market:
        """The market without prices, that answers questions about times up to one and refuses later ones."""
        known = copy.copy(self.without_prices)
        known.move_to(now_us)
        return known

    def move_to(self, now_us: int) -> None:
        """Let a market that a strategy keeps know what has become known."""
        self._now_us = now_us

    def move_along(self, shown: Closed) -> None:
        """The same, of whatever close is shown from now on."""
        self._shown = shown

    def before(self, cut: int) -> Market:
        """The market with its prices as it was known when bar cut - 1 closed."""
        shorter = copy.copy(self)
        for made in ("without_prices", "_events_of"):
            shorter.__dict__.pop(made, None)
        shorter._history, shorter._settled = known_before(self._history, cut), {}
        shorter._born, shorter._indexed = (
            [min(cut, each) for each in begins] for begins in (self._born, self._indexed)
        )
        shorter._now_us = shorter.ends_us
        shorter.time = self.time[:cut]  # the same stamps, not made anew
        paid, known = self._history.funding_time, shorter._history.funding_time
        if len(known) and known.ctypes.data == paid.ctypes.data:  # the first of the same settlements
            shorter._events_of = [each[: np.searchsorted(each, len(known))] for each in self._events_of]
        return shorter

    @property
    def symbols(self) -> list[str]:
        """Every symbol of the run."""
        return list(self._number)

    @property
    def ends_us(self) -> int:
        """Close of the last bar, microseconds UTC."""
        return int(self._history.time[-1]) + self._history.interval_us

    def bars_of(self, times: pd.DatetimeIndex) -> npt.NDArray[np.int64]:
        """Number of the bar that opens at each of some times (with their zone); -1 where none does."""
        opens, wished = self._history.time, times if times.unit == "us" else times.as_unit("us")
        at: npt.NDArray[np.int64] = np.searchsorted(opens, wished.asi8).astype(np.int64)
        found = opens[np.minimum(at, len(opens) - 1)] == wished.asi8
        if wished is not times:
            found &= np.asarray(wished == times)  # not between two microseconds
        return np.where(found, at, -1)

    @cached_property
    def time(self) -> pd.DatetimeIndex:
        """Open times of the bars."""
        return stamps_of(self._history.time)

    def closing(self, interval: str) -> pd.DatetimeIndex:
        """Open times of the bars whose close falls on an interval, such as "8h" or "1d": rows for a table."""
        if interval not in INTERVALS:
            raise InputError(f"closing: {interval!r} is no interval; {nearest(str(interval), INTERVALS)}")
        return stamps_of(self._history.time[bars_closing(interval, self._history)])

    @property
    def interval(self) -> pd.Timedelta:
        """Length of a bar."""
        return pd.Timedelta(self._history.interval_us, unit="us")

    def instrument(self, symbol: str) -> Instrument:
        """Contract terms, without the date of a delisting, which nobody knew. InputError names the nearest symbol."""
        return self._terms[self.number(symbol)]

    def number(self, symbol: str) -> int:
        """Row of an instrument."""
        if symbol not in self._number:
            raise InputError(f"{symbol!r} is not in this run; {nearest(symbol, self._number)}")
        return self._number[symbol]

    def sized_from(self, symbol: str, unit: str) -> int:
        """Number of the first bar at whose close a size in some unit of `Targets` can be told in contracts."""
        row = self.number(symbol)
        instrument, first = self._terms[row], 0
        if unit in ("usd", "equity"):
            first = self._indexed[self._asset[instrument.base]]
        return max(first, self._born[row]) if instrument.kind == "inverse" and unit != "contracts" else first

    def _series(self, table: np.ndarray, row: int, name: str, begins: int = 0) -> pd.Series:
        if not self._prices:
            raise InputError("prices are not known before their bar has closed; read them off the bar in on_bar")
        values = table[row]
        if begins:
            values = values.copy()
            values[:begins] = np.nan
        return pd.Series(values, index=self.time, name=name)

    def _price(self, table: np.ndarray, symbol: str) -> pd.Series:
        row = self.number(symbol)
        return self._series(table, row, symbol, self._born[row])

    def close(self, symbol: str) -> pd.Series:
        """Last traded price at each close."""
        return self._price(self._history.close, symbol)

    def mark(self, symbol: str) -> pd.Series:
        """Mark price at each close."""
        return self._price(self._history.mark_close, symbol)

    def index(self, asset: str) -> pd.Series:
        """USD per unit of an asset at each close."""
        if asset not in self._asset:
            raise InputError(f"asset {asset!r} is not in this run; {nearest(asset, self._asset)}")
        row = self._asset[asset]
        return self._series(self._history.index_close, row, asset, self._indexed[row])

    def tradable(self, symbol: str) -> pd.Series:
        """Whether the symbol traded in each bar."""
        return self._series(self._history.tradable, self.number(symbol), symbol)

    def funding(self, symbol: str) -> pd.Series:
        """Settled rates by stamp."""
        if not self._prices:
            raise InputError("funding is not known before its stamp; read it off the bar in on_bar")
        events = self._events_of[self.number(symbol)]
        index = stamps_of(self._history.funding_time[events])
        return pd.Series(self._history.funding_rate[events], index=index, name=symbol)

    @cached_property
    def _events_of(self) -> list[npt.NDArray[np.int64]]:
        """Numbers of the settlements of each instrument, oldest first."""
        instrument = self._history.funding_instrument
        bounds = np.searchsorted(np.sort(instrument), np.arange(len(self._number) + 1))
        order = np.argsort(instrument, kind="stable")
        return [order[first:last] for first, last in pairwise(bounds.tolist())]

    def _paid(self, symbol: str) -> tuple[list[int], npt.NDArray[np.float64]]:
        """Stamps (microseconds UTC) and rates of a symbol's settlements: for a bar, which cuts them at its close."""
        found = self._settled.get(symbol)
        if found is None:
            events = self._events_of[self.number(symbol)]
            found = self._history.funding_time[events].tolist(), self._history.funding_rate[events]
            self._settled[symbol] = found
        return found

    def spot(self, base: str | None = None, at: object = None) -> list[str]:
        """Spot pairs (of one base), listed at a time if given."""
        return self._chosen("spot", base, at)

    def perpetuals(self, base: str | None = None, at: object = None) -> list[str]:
        """Perpetuals (of one base), listed at a time if given."""
        return [s for s in self._chosen("future", base, at) if self.instrument(s).expiry_us is None]

    def futures(self, base: str | None = None, at: object = None) -> list[str]:
        """Dated futures (of one base) by expiry; with a time, those listed and not expired then."""
        found = [s for s in self._chosen("future", base, at) if self.instrument(s).expiry_us is not None]
        return sorted(found, key=lambda s: self.instrument(s).expiry_us or 0)

    def _chosen(self, kind: str, base: str | None, at: object) -> list[str]:
        at_us = None if at is None else self._asked(at)
        return [
            i.symbol
            for i in self._history.instruments
            if (i.kind == "spot") == (kind == "spot") and base in (None, i.base) and (at_us is None or _alive(i, at_us))
        ]

    def _asked(self, at: object) -> int:
        """A time asked about, microseconds UTC. InputError where it is none, or nobody could know it yet."""
        try:
            time = pd.Timestamp(at)
            at_us = int((time.tz_localize("UTC") if time.tzinfo is None else time).value // 1000)
        except (TypeError, ValueError):
            raise InputError(f"at = {at!r} is no time; give a timestamp, such as bar.time") from None
        now_us = self._now_us if self._shown is None else self._shown.closes_us
        if at_us > now_us:
            raise InputError(
                f"what is listed at {when(at_us)} is not known at {when(now_us)}; ask for that time or before"
            )
        return at_us


def stamps_of(times_us: npt.NDArray[np.int64]) -> pd.DatetimeIndex:
    """Microseconds UTC as stamps."""
    return pd.DatetimeIndex(times_us.view("M8[us]")).tz_localize("UTC")


def known_before(history: History, cut: int) -> History:
    """What was known when bar cut - 1 closed: its bars, and the funding stamped up to that very instant."""
    shorter, closes_us = history.before(cut), int(history.time[cut - 1]) + history.interval_us
    near = int(np.searchsorted(history.funding_bar, cut + 1))  # of later bars no stamp has passed
    passed = history.funding_time[:near] <= closes_us
    many = int(np.count_nonzero(passed))
    keep = slice(many) if passed[:many].all() else np.flatnonzero(passed)
    names = ("bar", "instrument", "rate", "price", "time", "flag")
    return replace(shorter, **{f"funding_{name}": getattr(history, f"funding_{name}")[keep] for name in names})


def _first_bars(history: History, begins: tuple[int, ...], many: int) -> list[int]:
    """Number of the first stored bar of each series; 0 where the history does not say."""
    return [int(np.searchsorted(history.time, each)) for each in begins] if begins else [0] * many


def _alive(instrument: Instrument, at_us: int) -> bool:
    return (instrument.listing_us or 0) <= at_us and (instrument.end_us is None or at_us < instrument.end_us)
