"""Bringing outside files into a store: what every importer shares.

History comes as files of many habits: times in seconds, milliseconds or microseconds, months in pieces, rows twice.
Here they become one series with rising UTC times. The same row twice is dropped; two rows that contradict each other
are refused, for nobody can know which one the market did. What an import found, holes included, is returned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.errors import InputError
from backtest.market.importers.sound import check_subject, stamp
from backtest.market.schema import INTERVALS, MINUTE_US, SECOND_US, Instrument, kind_of, parse_symbol, split_series
from backtest.market.store import (
    INSTRUMENTS,
    Columns,
    join,
    read_file,
    read_instruments,
    series_paths,
    write_instruments,
    write_series,
)
from backtest.venues.load import load, names

_CEILINGS = ((10**11, SECOND_US, 1), (10**14, 1_000, 1), (10**17, 1, 1))  # seconds, ms, us until the year 5138

# Tick, lot, least notional of a contract, as the venue lists them. Earlier years had others: a backtest takes these.
TERMS_SOURCE = "Binance exchangeInfo 2025-08-07"
LINEAR_TERMS: dict[str, tuple[float, float, float]] = {
    "BTC/USDT:USDT": (0.1, 0.001, 100.0),
    "ETH/USDT:USDT": (0.01, 0.001, 20.0),
    "BNB/USDT:USDT": (0.01, 0.01, 5.0),
    "XRP/USDT:USDT": (0.0001, 0.1, 5.0),
    "ADA/USDT:USDT": (0.0001, 1.0, 5.0),
    "LINK/USDT:USDT": (0.001, 0.01, 20.0),
    "LTC/USDT:USDT": (0.01, 0.001, 20.0),
    "BCH/USDT:USDT": (0.01, 0.001, 20.0),
    "TRX/USDT:USDT": (0.00001, 1.0, 5.0),
    "ETC/USDT:USDT": (0.001, 0.01, 20.0),
}
# Tick of the coin-margined perpetuals; a lot is one contract, of 100 USD for bitcoin and 10 USD for the others.
INVERSE_TICKS: dict[str, float] = {
    "BTC/USD:BTC": 0.1,
    "ETH/USD:ETH": 0.01,
    "BNB/USD:BNB": 0.01,
    "SOL/USD:SOL": 0.01,
    "XRP/USD:XRP": 0.0001,
    "ADA/USD:ADA": 0.0001,
    "LINK/USD:LINK": 0.001,
    "LTC/USD:LTC": 0.01,
    "DOGE/USD:DOGE": 0.00001,
}
ASSUMED = "assumed"
ASSUMED_NOTIONAL = {"spot": 10.0, "linear": 20.0, "inverse": 0.0}


@dataclass(frozen=True)
class Gap:
    """A hole: the first bar that is missing, in microseconds UTC, and how many are."""

    start_us: int
    bars: int


@dataclass(frozen=True)
class Imported:
    """One series as it now lies in the store: its rows, first and last time in microseconds UTC, and holes."""

    venue: str
    symbol: str
    series: str
    rows: int
    first_us: int
    last_us: int
    gaps: tuple[Gap, ...]
    source: str
    note: str = ""  # what was lost or assumed, if anything was

    @property
    def missing(self) -> int:
        """Bars missing between the first and the last."""
        return sum(gap.bars for gap in self.gaps)


def find_gaps(time: npt.NDArray[Any], series: str) -> tuple[Gap, ...]:
    """Holes between bars of rising times; of events, which keep no clock, none."""
    _, interval = split_series(series)
    if interval is None or len(time) < 2:
        return ()
    step = INTERVALS[interval]
    lacking = np.diff(time) // step - 1
    return tuple(Gap(int(time[k]) + step, int(lacking[k])) for k in np.flatnonzero(lacking > 0))


def microseconds(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Unix times of any unit as microseconds; the unit (s, ms, us, ns) is told by each value's size."""
    if values.dtype.kind == "f":
        return _fractions(values)
    stamps: npt.NDArray[np.int64] = values.astype(np.int64)
    result = stamps // 1_000  # nanoseconds, unless smaller
    for ceiling, times, over in reversed(_CEILINGS):
        result = np.where(np.abs(stamps) < ceiling, stamps * times // over, result)
    return np.asarray(result, dtype=np.int64)


def _fractions(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Floats are whole numbers read as floats, or seconds with a fraction."""
    if not np.isfinite(values).all():
        raise InputError(f"row {int(np.argmin(np.isfinite(values))) + 1} has no time")
    if np.array_equal(values, np.rint(values)):
        return microseconds(values.astype(np.int64))
    scale = np.where(np.abs(values) < _CEILINGS[0][0], SECOND_US, 1_000)
    return np.asarray(np.rint(values * scale), dtype=np.int64)


def settled(raw: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Funding stamps on their second, or their minute where that is a second away at most: 08:00:00.016 is 08:00."""
    second = (raw + SECOND_US // 2) // SECOND_US * SECOND_US
    minute = (second + MINUTE_US // 2) // MINUTE_US * MINUTE_US
    return np.where(np.abs(second - minute) <= SECOND_US, minute, second)


def with_settled(columns: Columns) -> Columns:
    """Funding columns with `time` on the second, and the stamp as published beside it in `raw_time`."""
    raw = columns["time"]
    return {"time": settled(raw), "raw_time": raw} | {k: v for k, v in columns.items() if k not in ("time", "raw_time")}


def in_order(columns: Columns, where: str) -> Columns:
    """Rows by rising time, each once. InputError where two rows of one time contradict each other, naming it.

    A value that one of two rows lacks (NaN) is taken from the other.
    """
    order = np.argsort(columns["time"], kind="stable")
    time = columns["time"][order]
    starts = np.flatnonzero(np.diff(time, prepend=time[0] - 1)) if len(time) else np.zeros(0, dtype=np.int64)
    if len(starts) == len(time):
        return {name: values[order] for name, values in columns.items()}
    return {name: _once(name, values[order], time, starts, where) for name, values in columns.items()}


def _once(
    name: str, values: npt.NDArray[Any], time: npt.NDArray[Any], starts: npt.NDArray[Any], where: str
) -> npt.NDArray[Any]:
    if values.dtype.kind != "f":  # times; the raw stamps of one settlement may differ by a millisecond
        return np.asarray(np.minimum.reduceat(values, starts))
    least, most = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
    apart = np.flatnonzero((least != most) & ~np.isnan(least))
    if len(apart):
        k = int(apart[0])
        pair = f"{name} {float(least[k])!r} and {float(most[k])!r}"
        raise InputError(f"{where}: two rows of {stamp(time[starts[k]])} UTC differ: {pair}; keep one")
    return least


@dataclass(frozen=True)
class Ready:
    """One series read and found sound, not written yet: of many files, all are read before any is written."""

    store: str | Path
    venue: str
    symbol: str
    series: str
    columns: Columns
    source: str
    notes: Mapping[str, str]
    note: str

    def write(self) -> Imported:
        """Put it into the store."""
        metadata = {"source": self.source, **self.notes}
        write_series(self.store, self.venue, self.symbol, self.series, self.columns, metadata)
        if not (Path(self.store) / self.venue / INSTRUMENTS).is_file():
            write_instruments(self.store, self.venue, [])  # an index alone makes a venue too
        time = self.columns["time"]
        gaps = find_gaps(time, self.series)
        return Imported(
            self.venue, self.symbol, self.series, len(time), int(time[0]), int(time[-1]), gaps, self.source, self.note
        )  # fmt: skip


def ready(
    store: str | Path,
    venue: str,
    symbol: str,
    series: str,
    parts: Sequence[Columns],
    source: str,
    merge: bool = False,
    notes: Mapping[str, str] | None = None,
) -> Ready:
    """The pieces of a series as one, to go in place of what the store has, or joined with it (`merge`).

    InputError where rows contradict each other, there are none, or the stored series has other price columns.
    """
    check_subject(venue, symbol, series)
    where = f"{symbol} {series} from {source}"
    pieces = [*(_stored(store, venue, symbol, series, parts) if merge else []), *parts]
    if not pieces or not sum(len(piece["time"]) for piece in pieces):
        raise InputError(f"{where}: no rows")
    columns = in_order(join(pieces), where)
    note = "" if merge else _shortened(store, venue, symbol, series, columns["time"])
    return Ready(store, venue, symbol, series, columns, source, notes or {}, note)


def _shortened(store: str | Path, venue: str, symbol: str, series: str, time: npt.NDArray[Any]) -> str:
    """What to say when the series that is replaced reached further than the new one."""
    try:
        paths = series_paths(store, venue, symbol, series)
        old = np.concatenate([read_file(path, names=("time",))["time"] for path in paths]) if paths else time
    except InputError:
        return ""  # damaged: importing it again is the cure
    if not len(old) or (len(old) <= len(time) and old.min() >= time[0] and old.max() <= time[-1]):
        return ""
    first, last = (np.datetime64(int(stamp), "us").astype("datetime64[m]") for stamp in (old.min(), old.max()))
    return f"REPLACED {len(old)} rows, {first} to {last}; --merge would have joined them"


def _stored(store: str | Path, venue: str, symbol: str, series: str, parts: Sequence[Columns]) -> list[Columns]:
    """What the store has of a series, if its prices have the same columns: closes do not join with candles."""
    stored = [read_file(path) for path in series_paths(store, venue, symbol, series)]
    for old in stored:
        for new in parts:
            if ("open" in old) != ("open" in new):
                one, other = ("candles", "closes only") if "open" in old else ("closes only", "candles")
                raise InputError(f"{symbol} {series}: the store has {one}, the import {other}; import without merging")
    return stored


def add_instruments(store: str | Path, venue: str, instruments: Sequence[Instrument]) -> None:
    """Put contract terms beside those the store has; of a symbol in both, the new ones, and the earlier listing."""
    path = Path(store) / venue / INSTRUMENTS
    known = read_instruments(path) if path.is_file() else {}
    for new in instruments:
        old = known.get(new.symbol)
        listings = [each.listing_us for each in (old, new) if each is not None and each.listing_us is not None]
        known[new.symbol] = replace(new, listing_us=min(listings, default=None))
    write_instruments(store, venue, list(known.values()))


def ensure_instrument(store: str | Path, venue: str, symbol: str) -> Instrument:
    """Give a symbol contract terms if the store has none, and assume them anew from the prices there are now."""
    path = Path(store) / venue / INSTRUMENTS
    old = read_instruments(path).get(symbol) if path.is_file() else None
    if old is not None and old.source != ASSUMED:
        return old
    new = terms(venue, symbol, _stored_prices(store, venue, symbol), None if old is None else old.listing_us)
    if old is not None:
        new = replace(new, expiry_us=old.expiry_us, delisting_us=old.delisting_us)
    if new != old:
        add_instruments(store, venue, [new])
    return new


def _stored_prices(store: str | Path, venue: str, symbol: str) -> npt.NDArray[Any]:
    """Closes of trades, else of marks, which have more decimals than a tick."""
    for kind in ("bars", "mark-ohlc", "mark"):
        names = [f"{kind}-{interval}" for interval in INTERVALS]
        paths = [path for name in names for path in series_paths(store, venue, symbol, name)]
        if paths:
            return np.concatenate([read_file(path, names=("time", "close"))["close"] for path in paths])
    return np.zeros(0)


def terms(venue: str, symbol: str, prices: npt.NDArray[Any], listing_us: int | None = None) -> Instrument:
    """Contract terms of a symbol: the venue's own where known here, else assumed from `prices`, and marked so.

    Assumed: the tick is the last decimal the prices use; a lot is worth 1 to 10 of the quote currency, or is a coin. An
    inverse contract has the size of the venue's table, else 1 USD; at a venue without a table Binance's.
    """
    base, quote, settle, expiry = parse_symbol(symbol)
    kind, undated = kind_of(symbol), symbol.partition("-")[0]
    size = inverse_size(venue, base) if kind == "inverse" else 1.0
    if venue == "binance" and undated in LINEAR_TERMS:
        tick, lot, least, source = *LINEAR_TERMS[undated], TERMS_SOURCE
    elif venue == "binance" and undated in INVERSE_TICKS:
        tick, lot, least, source = INVERSE_TICKS[undated], 1.0, 0.0, TERMS_SOURCE
    else:
        lot = 1.0 if kind == "inverse" else _assumed_lot(prices)
        tick, least, source = _assumed_tick(prices), ASSUMED_NOTIONAL[kind], ASSUMED
    if expiry is not None and source != ASSUMED:
        source = f"assumed as the perpetual's: {source}"
    return Instrument(
        symbol, kind, base, quote, settle or quote, size, tick, lot, least, listing_us, expiry, None, source
    )  # fmt: skip


def inverse_size(venue: str, base: str) -> float:
    """USD of one inverse contract at a venue, as far as its table says."""
    sizes = load(venue if venue in names() else "binance").inverse_sizes
    return float(sizes.get(base, sizes.get("other", 1.0)))


def _real(prices: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(prices[np.isfinite(prices) & (prices > 0)], dtype=np.float64)


def _assumed_tick(prices: npt.NDArray[Any]) -> float:
    seen = _real(prices)
    for places in range(9):
        if np.array_equal(np.round(seen, places), seen):
            return float(round(10.0**-places, places))
    return 1e-8


def _assumed_lot(prices: npt.NDArray[Any]) -> float:
    seen = _real(prices)
    places = max(0, math.floor(math.log10(float(seen[-1])))) if len(seen) else 0
    return float(round(10.0**-places, places))
