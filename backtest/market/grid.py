"""Laying stored series on one grid of bars: which bars there are, which are missing, and what is held meanwhile.

A backtest asks every series the same question: what was the price in the bar that opened at this time? The store
answers with rows; this file puts them on the grid, makes coarser bars out of finer ones, and says where one is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

from backtest.errors import InputError
from backtest.market.schema import INTERVALS, Instrument, interval_us

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


class PriceRules(Protocol):
    """The `[prices]` section of a run, as far as the market needs it."""

    @property
    def routes(self) -> Mapping[str, str | float]: ...
    @property
    def wicks(self) -> bool: ...
    @property
    def gaps(self) -> str: ...


class FundingRules(Protocol):
    """The `[funding]` section of a run."""

    @property
    def inside(self) -> str: ...
    @property
    def missing(self) -> str: ...


class Reader(Protocol):
    """What is asked of a store: the columns of one series inside a span, or None."""

    def venues(self) -> list[str]: ...
    def instruments(self, venue: str) -> dict[str, Instrument]: ...
    def series(self, venue: str, symbol: str) -> list[str]: ...
    def read(
        self, venue: str, symbol: str, series: str, start_us: int | None = None, end_us: int | None = None
    ) -> dict[str, npt.NDArray[np.generic]] | None: ...


def when(time_us: int) -> str:
    """A time as people write it: `2021-05-19 13:00` UTC."""
    moment = datetime.fromtimestamp(time_us / SECOND_US, tz=UTC)
    return moment.strftime("%Y-%m-%d %H:%M" if moment.second == 0 else "%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True)
class Grid:
    """Bars of one length, labelled by their open: the first at or after the start, the last closed by the end."""

    interval: str
    time: Ints

    @property
    def interval_us(self) -> int:
        return interval_us(self.interval)

    @property
    def start_us(self) -> int:
        return int(self.time[0])

    @property
    def end_us(self) -> int:
        return int(self.time[-1]) + self.interval_us

    @property
    def bars(self) -> int:
        return len(self.time)


def make_grid(start_us: int, end_us: int, interval: str) -> Grid:
    """The whole bars between two times. InputError when the span is empty, reversed or shorter than one bar."""
    if end_us <= start_us:
        raise InputError(
            f"the span ends ({when(end_us)}) at or before its start ({when(start_us)}): swap start and end"
        )
    step = interval_us(interval)
    time = np.arange(-(-start_us // step) * step, end_us - step + 1, step, dtype=np.int64)
    if not len(time):
        raise InputError(
            f"the span {when(start_us)} to {when(end_us)} holds no whole bar of {interval}: take a longer one"
        )
    return Grid(interval, time)


@dataclass(frozen=True)
class Rows:
    """One series as the store has it, at the grid's interval; times strictly increasing, prices in the quote currency.

    `true_open` is False when the store has closes only: then open is the previous close, and low and high are the body.
    """

    name: str
    time: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    true_open: bool
    made_from: str | None


@dataclass(frozen=True)
class Laid:
    """Rows put on the grid; where one is missing the previous close is held (the first open before the first row)."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    present: Bools


def read_rows(
    store: Reader, venue: str, symbol: str, kind: str, grid: Grid, lead_us: int, life: Life | None = None
) -> Rows | None:
    """Rows of `<kind>-<interval>`, from `lead_us` before the grid; made of finer bars where only those are stored.

    Reaches further back when nothing lies at the grid's start, so that "missing" and "not yet begun" can be told apart.
    None when the store has no such series at any usable interval.
    """
    for finer in _usable_intervals(grid.interval):
        name = f"{kind}-{finer}"
        columns = _columns(store, venue, symbol, name, grid, lead_us)
        if columns is None:
            continue
        rows = _as_rows(name, symbol, columns)
        return rows if finer == grid.interval else resample(rows, grid, interval_us(finer), life or Life(None, None))
    return None


def _usable_intervals(interval: str) -> list[str]:
    """The interval itself, then finer ones that divide it, coarsest first."""
    step = interval_us(interval)
    return sorted(
        (text for text, us in INTERVALS.items() if us <= step and step % us == 0), key=lambda text: -INTERVALS[text]
    )


def _columns(
    store: Reader, venue: str, symbol: str, name: str, grid: Grid, lead_us: int
) -> dict[str, npt.NDArray[np.generic]] | None:
    columns = store.read(venue, symbol, name, grid.start_us - lead_us, grid.end_us)
    if columns is None:
        return None
    if not len(columns["time"]) or columns["time"][0] > grid.start_us:
        columns = store.read(venue, symbol, name, None, grid.end_us)
    if columns is None or not len(columns["time"]):
        columns = store.read(venue, symbol, name)
    return columns if columns is not None and len(columns["time"]) else None


def _as_rows(name: str, symbol: str, columns: dict[str, npt.NDArray[np.generic]]) -> Rows:
    """Columns as floats. InputError for a row that is no candle: a bar that is not known is left out of a store."""
    stored: dict[str, Floats] = {
        key: values.astype(np.float64) for key, values in columns.items() if key in (*_PRICES, "volume")
    }
    time = columns["time"].astype(np.int64)
    _check_candles(f"{symbol} {name}", time, stored)
    close = stored["close"]
    volume = stored.get("volume", np.zeros(len(close)))
    if {"open", "high", "low"} <= stored.keys():
        return Rows(name, time, stored["open"], stored["high"], stored["low"], close, volume, True, None)
    opened = np.concatenate([close[:1], close[:-1]])
    return Rows(name, time, opened, np.maximum(opened, close), np.minimum(opened, close), close, volume, False, None)


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


def check_values(where: str, name: str, time: Ints, values: Floats, good: Bools, must: str) -> None:
    """InputError at the first value that is not good, with its series, time and column."""
    if good.all():
        return
    k = int(np.argmin(good))
    value = "NaN" if np.isnan(values[k]) else f"{values[k]:g}"
    raise InputError(
        f"{where}: {name} is {value} in the row of {when(int(time[k]))}, must be {must}; "
        "mend the row or take it out of the store"
    )


_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Life:
    """When an instrument trades: [listing, end), either side open."""

    listing_us: int | None
    end_us: int | None

    @classmethod
    def of(cls, instrument: Instrument) -> Life:
        ends = [end for end in (instrument.expiry_us, instrument.delisting_us) if end is not None]
        return cls(instrument.listing_us, min(ends) if ends else None)

    def alive(self, grid: Grid) -> Bools:
        """Bars any part of which lies inside the life, judged at their open for the end."""
        alive = np.ones(grid.bars, dtype=np.bool_)
        if self.listing_us is not None:
            alive &= grid.time + grid.interval_us > self.listing_us
        if self.end_us is not None:
            alive &= grid.time < self.end_us
        return alive


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


def lay(rows: Rows, grid: Grid) -> Laid:
    """Rows on the grid: no NaN, volume 0 where a row is missing."""
    if not len(rows.time):
        raise InputError(f"{rows.name}: {rows.made_from} holds no whole bar of {grid.interval}; take a finer interval")
    source = np.searchsorted(rows.time, grid.time, side="right") - 1
    known = source >= 0
    source = np.maximum(source, 0)
    present = known & (rows.time[source] == grid.time)
    held = np.where(known, rows.close[source], rows.open[0])

    def filled(values: Floats) -> Floats:
        return np.where(present, values[source], held)

    volume = np.where(present, rows.volume[source], 0.0)
    return Laid(filled(rows.open), filled(rows.high), filled(rows.low), filled(rows.close), volume, present)


def check_gaps(symbol: str, rows: Rows, missing: Bools, grid: Grid, prices: PriceRules, notes: list[str]) -> None:
    """Refuse missing bars, or note that their price is held, as `[prices] gaps` says."""
    count = int(missing.sum())
    if not count:
        return
    first = when(int(grid.time[int(np.argmax(missing))]))
    bars = "1 bar is" if count == 1 else f"{count} bars are"
    if prices.gaps != "hold":
        raise InputError(
            f"{symbol} {rows.name}: {bars} missing between {when(grid.start_us)} and {when(grid.end_us)}, the first at "
            f'{first}; mend the store, choose another span, or say [prices] gaps = "hold" (last price held, no fills)'
        )
    notes.append(f"{symbol} {rows.name}: {bars} missing, the first at {first}; last price held, no fills")


def note_origin(symbol: str, rows: Rows, grid: Grid, notes: list[str]) -> None:
    """Say that bars were made of finer ones."""
    if rows.made_from is not None:
        notes.append(f"{symbol} {rows.name}: bars of {grid.interval} made of whole {rows.made_from}")
