"""The bar that has just closed, and what came before it. Nothing later can be read from here."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.errors import InputError, nearest
from backtest.strategy.market import Market

Floats = npt.NDArray[np.float64]
YEAR_US = 365 * 86_400_000_000
SERIES = ("open", "high", "low", "close", "volume", "mark", "index")


class Lookup:
    """Prices by name at one bar."""

    def __init__(self, read: Callable[[str], float]) -> None:
        self._read = read

    def __getitem__(self, name: str) -> float:
        return self._read(name)


class Bar:
    """One closed bar. `close`, `mark` and `volume` by symbol, `index` by asset; NaN before their first stored bar."""

    def __init__(self, market: Market, number: int) -> None:
        self._history = market._history
        self.number, self._whole = number, market  # its settlements are read up to this close and no further

    @cached_property
    def market(self) -> Market:
        """The market as it is known at this close."""
        return self._whole.as_of(self.closes_us)

    @cached_property
    def close(self) -> Lookup:
        """Last traded price, by symbol."""
        return Lookup(lambda symbol: self._price(self._history.close, symbol))

    @cached_property
    def open(self) -> Lookup:
        """First traded price of the bar, by symbol."""
        return Lookup(lambda symbol: self._price(self._history.open, symbol))

    @cached_property
    def mark(self) -> Lookup:
        """Mark price, by symbol."""
        return Lookup(lambda symbol: self._price(self._history.mark_close, symbol))

    @cached_property
    def volume(self) -> Lookup:
        """What was traded in the bar, by symbol."""
        return Lookup(lambda symbol: float(self._history.volume[self._whole.number(symbol), self.number]))

    @cached_property
    def index(self) -> Lookup:
        """USD per unit, by asset."""
        return Lookup(self._worth)

    def _price(self, table: Floats, symbol: str) -> float:
        """NaN before the symbol's first stored bar: what the history holds there is the price it will open at."""
        row = self._whole.number(symbol)
        return float(table[row, self.number]) if self.number >= self._whole._born[row] else float("nan")

    def _worth(self, asset: str) -> float:
        row = self._asset(asset)
        known = self.number >= self._whole._indexed[row]
        return float(self._history.index_close[row, self.number]) if known else float("nan")

    def _asset(self, asset: str) -> int:
        if asset not in self._whole._asset:
            raise InputError(f"asset {asset!r} is not in this run; {nearest(asset, self._whole._asset)}")
        return self._whole._asset[asset]

    @property
    def time(self) -> pd.Timestamp:
        """Open time of the bar, UTC."""
        return pd.Timestamp(int(self._history.time[self.number]), unit="us", tz="UTC")

    @property
    def closes_us(self) -> int:
        """Close of the bar, microseconds UTC: now."""
        return int(self._history.time[self.number]) + self._history.interval_us

    def tradable(self, symbol: str) -> bool:
        """Whether the symbol traded in this bar and has not expired by its close."""
        k = self._whole.number(symbol)
        expiry = self._history.instruments[k].expiry_us
        return bool(self._history.tradable[k, self.number]) and (expiry is None or expiry > self.closes_us)

    def past(self, name: str, series: str, n: int) -> Floats:
        """The last n values up to this bar of a symbol's (or, for `index`, an asset's) series; fewer near the start."""
        if series not in SERIES:
            raise InputError(f"no series {series!r}; {nearest(series, SERIES)}")
        _must_count(n, f"past of {name}")
        field = {"mark": "mark_close", "index": "index_close"}.get(series, series)
        row = self._asset(name) if series == "index" else self._whole.number(name)
        first = max(0, self.number + 1 - n)
        values: Floats = getattr(self._history, field)[row, first : self.number + 1].copy()
        if series != "volume":
            begins = (self._whole._indexed if series == "index" else self._whole._born)[row]
            values[: max(0, begins - first)] = np.nan
        return values

    def funding(self, symbol: str, n: int = 1) -> Floats:
        """The last n settled funding rates whose stamp has passed, oldest first; fewer near the start."""
        _must_count(n, f"funding of {symbol}")
        stamps, rates = self._whole._settlements(symbol)
        known = int(np.searchsorted(stamps, self.closes_us, side="right"))
        return rates[max(0, known - n) : known].copy()

    def annualised_funding(self, symbol: str, n: int = 1) -> float:
        """The last n settled rates over the time they were paid for, times a year: what a long pays and a short gets.

        The time is that between the stamps, whatever their interval. Where fewer have passed, those; NaN before the
        second stamp, whose distance from the first is the first interval known.
        """
        _must_count(n, f"annualised funding of {symbol}")
        rates = self.funding(symbol, n + 1)
        stamps, _ = self._whole._settlements(symbol)
        known = int(np.searchsorted(stamps, self.closes_us, side="right"))
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


def _must_count(n: int, what: str) -> None:
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise InputError(f"{what}: {n!r} values cannot be counted; ask for a whole number, 1 or more")
    if n < 1:
        raise InputError(f"{what}: the last {n} values are none; ask for 1 or more")
