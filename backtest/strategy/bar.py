"""The bar that has just closed, and what came before it. Nothing later can be read from here."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.errors import InputError, is_whole, nearest
from backtest.market.schema import YEAR_US
from backtest.strategy.lookup import Lookup
from backtest.strategy.market import Market

Floats = npt.NDArray[np.float64]
SERIES = ("open", "high", "low", "close", "volume", "mark", "index")
LOOKUPS = {"open": "open", "close": "close", "mark": "mark_close", "volume": "volume", "index": "index_close"}
"""What a bar tells by name, and the table of the history that holds it: of symbols, or (`index`) of assets."""


class Bar:
    """One closed bar. `close`, `mark` and `volume` by symbol, `index` by asset; NaN before their first stored bar."""

    __slots__ = ("__dict__", "_asked", "_history", "_known", "_lent", "_lookups", "_whole", "closes_us", "number")
    closes_us: int
    """Close of the bar, microseconds UTC: now."""
    number: int
    """Number of the bar in the run, from 0."""

    def __init__(self, market: Market, number: int) -> None:
        self._history, self._whole = market._history, market  # its settlements are read up to this close and no further
        self._known: Market | None = None
        self._asked: list[tuple[Lookup, str]] = []  # names read at this bar, as they are first asked for
        self._lookups: list[Lookup] = []
        self._lent: list[object] = []  # what was handed out of it: lookups, and the desks of single accounts
        self._move_to(number)

    def _move_to(self, number: int) -> None:
        """Be the bar of another number: for whoever made this one, as long as nobody keeps it."""
        self.number, self.closes_us = number, int(self._history.time[number]) + self._history.interval_us
        self._asked.clear()
        for lookup in self._lookups:
            lookup.clear()

    def __reduce__(self) -> tuple[type[Bar], tuple[Market, int]]:
        return Bar, (self._whole, self.number)

    @cached_property
    def close(self) -> Mapping[str, float]:
        """Last traded price, by symbol."""
        return self._lookup("close", self._whole._number)

    @cached_property
    def open(self) -> Mapping[str, float]:
        """First traded price of the bar, by symbol."""
        return self._lookup("open", self._whole._number)

    @cached_property
    def mark(self) -> Mapping[str, float]:
        """Mark price, by symbol."""
        return self._lookup("mark", self._whole._number)

    @cached_property
    def volume(self) -> Mapping[str, float]:
        """What was traded in the bar, by symbol."""
        return self._lookup("volume", self._whole._number)

    @cached_property
    def index(self) -> Mapping[str, float]:
        """USD per unit, by asset."""
        return self._lookup("index", self._whole._asset)

    def _lookup(self, series: str, names: dict[str, int]) -> Mapping[str, float]:
        """A series by name, to be read and not written."""
        lookup = Lookup(series, names, self._read, self._asked)
        shown = MappingProxyType(lookup)
        self._lookups.append(lookup)
        self._lent.append(shown)
        return shown

    def _read(self, series: str, name: str) -> float:
        """NaN before the first stored bar of a name: what the history holds there is the price it will open at."""
        row, begins = self._row(series, name)
        table: Floats = getattr(self._history, LOOKUPS[series])
        return float(table[row, self.number]) if self.number >= begins else float("nan")

    def _column(self, series: str, name: str, bars: slice | npt.NDArray[np.int64]) -> list[float]:
        """What `_read` says at each of some bars, one after the other."""
        row, begins = self._row(series, name)
        table: Floats = getattr(self._history, LOOKUPS[series])
        column: list[float] = table[row, bars].tolist()
        if begins > 0:
            numbers = np.arange(len(self._history.time))[bars].tolist()
            column = [
                price if number >= begins else float("nan") for number, price in zip(numbers, column, strict=True)
            ]
        return column

    def _row(self, series: str, name: str) -> tuple[int, int]:
        """Row of a name in a series, and its first stored bar."""
        if series == "index":
            row = self._asset(name)
            return row, self._whole._indexed[row]
        row = self._whole.number(name)
        return row, 0 if series == "volume" else self._whole._born[row]

    def _asset(self, asset: str) -> int:
        if asset not in self._whole._asset:
            raise InputError(f"asset {asset!r} is not in this run; {nearest(asset, self._whole._asset)}")
        return self._whole._asset[asset]

    @property
    def market(self) -> Market:
        """The market as it is known at this close."""
        if self._known is None or self._known._now_us != self.closes_us:
            self._known = self._whole.as_of(self.closes_us)
        return self._known

    @property
    def time(self) -> pd.Timestamp:
        """Open time of the bar, UTC."""
        return pd.Timestamp(int(self._history.time[self.number]), unit="us", tz="UTC")

    def tradable(self, symbol: str) -> bool:
        """Whether the symbol traded in this bar and has not expired by its close."""
        k = self._whole.number(symbol)
        expiry = self._history.instruments[k].expiry_us
        return bool(self._history.tradable[k, self.number]) and (expiry is None or expiry > self.closes_us)

    def past(self, name: str, series: str, n: int) -> Floats:
        """The last n values up to this bar of a symbol's (or, for `index`, an asset's) series; fewer near the start."""
        if series not in SERIES:
            raise InputError(f"no series {series!r}; {nearest(series, SERIES)}")
        _must_count(n, "past", name)
        row, begins = self._row(series, name)
        first = max(0, self.number + 1 - n)
        values: Floats = getattr(self._history, LOOKUPS.get(series, series))[row, first : self.number + 1].copy()
        values[: max(0, begins - first)] = np.nan
        return values

    def funding(self, symbol: str, n: int = 1) -> Floats:
        """The last n settled funding rates whose stamp has passed, oldest first; fewer near the start."""
        _must_count(n, "funding", symbol)
        stamps, rates = self._whole._paid(symbol)
        known = bisect_right(stamps, self.closes_us)
        return rates[max(0, known - n) : known].copy()

    def annualised_funding(self, symbol: str, n: int = 1) -> float:
        """The last n settled rates over the time they were paid for, times a year: what a long pays and a short gets.

        The time is that between the stamps, whatever their interval. Where fewer have passed, those; NaN before the
        second stamp, whose distance from the first is the first interval known.
        """
        _must_count(n, "annualised funding", symbol)
        rates = self.funding(symbol, n + 1)
        stamps, _ = self._whole._paid(symbol)
        known = bisect_right(stamps, self.closes_us)
        if len(rates) < 2:
            return float("nan")
        return float(rates[1:].sum() * YEAR_US / (stamps[known - 1] - stamps[known - len(rates)]))

    def years_to_expiry(self, symbol: str) -> float:
        """Years from this close to the future's expiry; inf for a perpetual."""
        expiry = self.market.instrument(symbol).expiry_us
        return float("inf") if expiry is None else (expiry - self.closes_us) / YEAR_US

    def annualised_basis(self, symbol: str) -> float:
        """(future / index - 1) over the years to expiry, at this close; NaN for a perpetual or an expired future."""
        years, instrument = self.years_to_expiry(symbol), self.market.instrument(symbol)
        if not 0.0 < years < float("inf"):
            return float("nan")
        quote = (
            1.0
            if instrument.kind == "inverse" or instrument.settle not in self._whole._asset
            else self.index[instrument.settle]
        )
        return (self.close[symbol] * quote / self.index[instrument.base] - 1.0) / years


def _must_count(n: int, what: str, name: str) -> None:
    if type(n) is int and n > 0:
        return
    if not is_whole(n):
        raise InputError(f"{what} of {name}: {n!r} values cannot be counted; ask for a whole number, 1 or more")
    if n < 1:
        raise InputError(f"{what} of {name}: the last {n} values are none; ask for 1 or more")
