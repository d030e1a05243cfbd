"""Laying stored series on one grid of bars: which bars there are, which are missing, and what is held meanwhile.

A backtest asks every series the same question: what was the price in the bar that opened at this time? The store
answers with rows; this file puts them on the grid, makes coarser bars out of finer ones, and says where one is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from backtest.errors import InputError, NotStored
from backtest.market.room import MEMORY, Room
from backtest.market.schema import DAY_US, SECOND_US, Instrument, interval_us

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


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

    def parts(self, most: int) -> list[slice]:
        """The bars in parts of whole days (UTC), `most` bars or so each; the first and the last may begin and end
        inside one.
        """
        days = max(1, most * self.interval_us // DAY_US)
        first = self.start_us // DAY_US * DAY_US
        edges = np.arange(first + days * DAY_US, self.end_us, days * DAY_US)
        at = [0, *np.unique(np.searchsorted(self.time, edges)).tolist(), self.bars]
        return [slice(one, other) for one, other in pairwise(at) if one < other]

    def cut(self, part: slice) -> Grid:
        """Some of the bars."""
        return Grid(self.interval, self.time[part])


def make_grid(start_us: int, end_us: int, interval: str, room: Room = MEMORY) -> Grid:
    """The whole bars between two times. InputError when the span is empty, reversed or shorter than one bar."""
    if end_us <= start_us:
        raise InputError(
            f"the span ends ({when(end_us)}) at or before its start ({when(start_us)}): swap start and end"
        )
    step = interval_us(interval)
    first = -(-start_us // step) * step
    bars = (end_us - first) // step
    if bars < 1:
        raise InputError(
            f"the span {when(start_us)} to {when(end_us)} holds no whole bar of {interval}: take a longer one"
        )
    every = np.int64(step)
    time = room.filled(bars, lambda part: first + every * np.arange(part.start, part.stop), np.int64)
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

    def where(self, rows: slice) -> Rows:
        """Some of the rows."""
        return replace(self, **{name: getattr(self, name)[rows] for name in BY_ROW})


BY_ROW = ("time", "open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Laid:
    """Rows put on the grid; where one is missing the previous close is held (the first open before the first row)."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    present: Bools


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


@dataclass(frozen=True)
class Life:
    """When an instrument trades: [listing, end), either side open."""

    listing_us: int | None
    end_us: int | None

    @classmethod
    def of(cls, instrument: Instrument) -> Life:
        return cls(instrument.listing_us, instrument.end_us)

    def alive(self, grid: Grid) -> Bools:
        """Bars any part of which lies inside the life, judged at their open for the end."""
        alive = np.ones(grid.bars, dtype=np.bool_)
        if self.listing_us is not None:
            alive &= grid.time + grid.interval_us > self.listing_us
        if self.end_us is not None:
            alive &= grid.time < self.end_us
        return alive


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


class Gaps:
    """Bars that are missing, as they are come across from front to back."""

    def __init__(self) -> None:
        self._runs: list[Ints] = []

    def add(self, first: int, missing: Bools) -> None:
        """What is missing [bar] from bar `first` on."""
        if missing.any():
            edges = np.flatnonzero(np.diff(missing.astype(np.int8), prepend=0, append=0))
            self._runs.append(first + edges.reshape(-1, 2))

    def between(self, first: int, last: int) -> tuple[int, int]:
        """How many of the bars first to last-1 are missing, and the number of the first."""
        runs = np.concatenate([np.zeros((0, 2), np.int64), *self._runs])
        begin, end = np.maximum(runs[:, 0], first), np.minimum(runs[:, 1], last)
        some = begin < end
        return int((end - begin)[some].sum()), int(begin[some].min(initial=last))


def check_gaps(
    symbol: str, name: str, missing: tuple[int, int], grid: Grid, prices: PriceRules, notes: list[str]
) -> None:
    """Refuse missing bars (how many, and the first), or note that their price is held, as `[prices] gaps` says."""
    count, at = missing
    if not count:
        return
    first = when(int(grid.time[at]))
    bars = "1 bar is" if count == 1 else f"{count} bars are"
    if prices.gaps != "hold":
        raise NotStored(
            f"{symbol} {name}: {bars} missing between {when(grid.start_us)} and {when(grid.end_us)}, the first at "
            f'{first}; mend the store, choose another span, or say [prices] gaps = "hold" (last price held, no fills)'
        )
    held = "last price held, no fills" if name.startswith("bars-") else "last price held"
    notes.append(f"{symbol} {name}: {bars} missing, the first at {first}; {held}")


def note_origin(symbol: str, name: str, made_from: str | None, grid: Grid, notes: list[str]) -> None:
    """Say that bars were made of finer ones."""
    if made_from is not None:
        notes.append(f"{symbol} {name}: bars of {grid.interval} made of whole {made_from}")
