"""Can the history be trusted: what a careful trader would look for before believing a backtest.

Holes, rows twice or out of order, candles whose high is below their low, funding that skips a settlement, a perpetual
far from its spot, rows from before a listing. Nothing is mended here; a finding names series, time and how many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.errors import InputError, nearest
from backtest.market.grid import Life, when
from backtest.market.importers import Gap, find_gaps
from backtest.market.schema import INTERVALS, OHLC, Instrument, missing_columns, split_series
from backtest.market.settlements import missing_stamps
from backtest.market.store import Columns, Store, join, read_file

ERROR, WARNING = "error", "warning"
SPIKE = 3.0  # times the closes on both sides: a move that is undone at once is a slip of whoever wrote it down
LARGE_RATE = 0.002  # of a settlement: twenty times the usual 0.01 %


@dataclass(frozen=True)
class Finding:
    """One thing wrong with one series: `time` is where it first shows (microseconds UTC), `count` how many rows."""

    severity: str
    venue: str
    symbol: str
    series: str
    kind: str
    time: int | None
    count: int
    message: str


@dataclass(frozen=True)
class _Subject:
    """One stored series and what it belongs to; an index pair or an asset has no instrument."""

    venue: str
    symbol: str
    series: str
    instrument: Instrument | None

    def finds(self, severity: str, kind: str, times: npt.NDArray[Any], words: str) -> Iterator[Finding]:
        """One finding for all these times, if there are any; `words` say what they are."""
        if not len(times):
            return
        first = int(times[0])
        message = f"{len(times)} {words}, the first at {when(first)}"
        yield self.finding(severity, kind, first, len(times), message)

    def finding(self, severity: str, kind: str, time: int | None, count: int, message: str) -> Finding:
        return Finding(severity, self.venue, self.symbol, self.series, kind, time, count, message)


def check(store: Store, venue: str | None = None, symbol: str | None = None, divergence: float = 0.05) -> list[Finding]:
    """Everything wrong with a store, or with one venue or symbol of it; errors first.

    Kinds: unreadable, columns, instrument, unordered, duplicate, off the grid, gap, impossible, spike, funding,
    outside, divergence (closes of a perpetual and its spot, or of a contract and its mark, further apart than this
    fraction), absent (bars of an instrument, or funding of a perpetual). InputError for a venue or symbol that is not
    there.
    """
    found: list[Finding] = []
    venues = store.venues() if venue is None else [venue]
    if symbol is not None:
        _need_symbol(store, venues, symbol)
    for each in venues:
        try:
            instruments = store.instruments(each)
        except InputError as error:
            if venue is not None and venue not in store.venues():
                raise
            found.append(Finding(ERROR, each, "", "instruments", "unreadable", None, 1, str(error)))
            continue
        for subject in _subjects(store, each, instruments):
            if symbol is None or subject.symbol == symbol:
                found += _check_series(store, subject)
                found += _divergence(store, subject, instruments, divergence)
                found += _far_marks(store, subject, divergence)
        for terms in instruments.values():
            if symbol is None or terms.symbol == symbol:
                found += _absent(store, each, terms)
    return sorted(found, key=lambda one: (one.severity != ERROR, one.venue, one.symbol, one.series, one.kind))


def _need_symbol(store: Store, venues: list[str], symbol: str) -> None:
    """InputError, with the nearest, where no venue has terms or series of a symbol."""
    known: set[str] = set()
    for venue in venues:
        known.update(store.symbols(venue))
        try:
            known.update(store.instruments(venue))
        except InputError:
            if venue not in store.venues():
                raise
    if symbol not in known:
        raise InputError(f"{store.path} has nothing of {symbol!r}; {nearest(symbol, known)}")


def _absent(store: Store, venue: str, terms: Instrument) -> Iterator[Finding]:
    """Contract terms without the series that a run of them reads."""
    series = store.series(venue, terms.symbol)
    subject = _Subject(venue, terms.symbol, "bars", terms)
    if not any(each.startswith("bars-") for each in series):
        yield subject.finding(WARNING, "absent", None, 0, "contract terms, but no bars: it cannot be traded")
    if terms.perpetual and "funding" not in series:
        subject = _Subject(venue, terms.symbol, "funding", terms)
        yield subject.finding(WARNING, "absent", None, 0, "a perpetual without funding: a run of it pays and gets none")


def _subjects(store: Store, venue: str, instruments: dict[str, Instrument]) -> Iterator[_Subject]:
    for symbol in store.symbols(venue):
        for series in store.series(venue, symbol):
            yield _Subject(venue, symbol, series, instruments.get(symbol))


def _check_series(store: Store, subject: _Subject) -> list[Finding]:
    """All that can be wrong within one series."""
    try:
        kind, interval = split_series(subject.series)
        columns = _raw(store, subject)
    except InputError as error:
        return [subject.finding(ERROR, "unreadable", None, 1, str(error))]
    absent = missing_columns(subject.series, list(columns))
    if absent:
        return [subject.finding(ERROR, "columns", None, len(absent), f"no column {', '.join(absent)}")]
    if not len(columns["time"]):
        return [subject.finding(WARNING, "empty", None, 0, "no rows")]
    time = np.unique(columns["time"])
    found = [*_order(subject, columns["time"]), *_impossible(subject, kind, columns), *_outside(subject, columns)]
    if interval is not None:
        found += [*_off_grid(subject, time, interval), *_gaps(subject, time)]
    if kind == "funding":
        missing = missing_stamps(time, int(time[0]), int(time[-1]))
        found += subject.finds(ERROR, "funding", missing, "settlements missing (a pause longer than those around it)")
        found += _large_rates(subject, columns)
        if subject.instrument is not None and subject.instrument.kind == "spot":
            words = "funding of a spot pair, which has none: is it the perpetual's?"
            found.append(subject.finding(ERROR, "funding", int(time[0]), len(time), words))
    if subject.instrument is None and kind not in ("index", "borrow"):
        found.append(subject.finding(ERROR, "instrument", None, 1, "no contract terms in instruments.parquet"))
    return found


def _raw(store: Store, subject: _Subject) -> Columns:
    """A series as it lies, in whatever order."""
    return join([read_file(path) for path in store.paths(subject.venue, subject.symbol, subject.series)])


def _order(subject: _Subject, time: npt.NDArray[Any]) -> Iterator[Finding]:
    """Rows that come before the one ahead of them, and rows of one time."""
    yield from subject.finds(ERROR, "unordered", time[1:][np.diff(time) < 0], "rows out of order")
    stamps, counts = np.unique(time, return_counts=True)
    yield from subject.finds(ERROR, "duplicate", np.repeat(stamps, counts - 1), "rows of a time that has one already")


def _off_grid(subject: _Subject, time: npt.NDArray[Any], interval: str) -> Iterator[Finding]:
    off = time[time % INTERVALS[interval] != 0]
    yield from subject.finds(ERROR, "off the grid", off, f"bars that do not open on a whole {interval}")


def _gaps(subject: _Subject, time: npt.NDArray[Any]) -> Iterator[Finding]:
    """Holes between bars: one finding, with the longest named."""
    gaps = find_gaps(time, subject.series)
    if not gaps:
        return
    count, longest = sum(gap.bars for gap in gaps), _longest(gaps)
    bars = "1 bar" if count == 1 else f"{count} bars"
    message = f"{bars} missing in {len(gaps)} place(s), the first at {when(gaps[0].start_us)}"
    if len(gaps) > 1:
        message += f", the longest {longest.bars} from {when(longest.start_us)}"
    yield subject.finding(WARNING, "gap", gaps[0].start_us, count, message)


def _longest(gaps: tuple[Gap, ...]) -> Gap:
    return max(gaps, key=lambda gap: gap.bars)


def _impossible(subject: _Subject, kind: str, columns: Columns) -> Iterator[Finding]:
    """Values that no market can have printed."""
    time = columns["time"]
    needed = [name for name in (*OHLC, "volume", "funding_rate", "hourly_rate", "open_interest") if name in columns]
    for name in needed:
        values = columns[name]
        unknown = ~np.isfinite(values)
        yield from subject.finds(ERROR, "impossible", time[unknown], f"rows without a number as {name}")
        floor = 0.0 if name in ("volume", "hourly_rate", "open_interest") else np.nextafter(0.0, 1.0)
        if name != "funding_rate" and kind != "premium":
            below = ~unknown & (values < floor)
            words = "negative" if floor == 0.0 else "zero or negative"
            yield from subject.finds(ERROR, "impossible", time[below], f"rows whose {name} is {words}")
    if set(OHLC) <= columns.keys():
        yield from _impossible_candles(subject, columns)
    if kind == "bars":
        yield from _spikes(subject, columns)


def _impossible_candles(subject: _Subject, columns: Columns) -> Iterator[Finding]:
    time, high, low = columns["time"], columns["high"], columns["low"]
    yield from subject.finds(ERROR, "impossible", time[high < low], "bars whose high is below their low")
    for name in ("open", "close"):
        out = (high >= low) & ((columns[name] > high) | (columns[name] < low))
        yield from subject.finds(ERROR, "impossible", time[out], f"bars whose {name} is outside low to high")


def _spikes(subject: _Subject, columns: Columns) -> Iterator[Finding]:
    """Closes many times, or a small part of, those on both sides of them."""
    order = np.argsort(columns["time"], kind="stable")
    time, close = columns["time"][order], columns["close"][order]
    with np.errstate(divide="ignore", invalid="ignore"):
        before, after = close[1:-1] / close[:-2], close[1:-1] / close[2:]
        out = (np.minimum(before, after) > SPIKE) | (np.maximum(before, after) < 1.0 / SPIKE)
    words = f"closes over {SPIKE:g} times (or under 1/{SPIKE:g} of) those beside them"
    yield from subject.finds(WARNING, "spike", time[1:-1][out], words)


def _large_rates(subject: _Subject, columns: Columns) -> Iterator[Finding]:
    """Rates of funding that a run refuses, and rates as they are printed in per cent."""
    known = np.isfinite(columns["funding_rate"])
    time, rate = columns["time"][known], np.abs(columns["funding_rate"][known])
    yield from subject.finds(ERROR, "impossible", time[rate >= 1.0], "rates that are no fraction below 1")
    if len(rate) and np.median(rate) > LARGE_RATE:
        words = f"rates, half of them above {LARGE_RATE:.1%}: are they in per cent?"
        yield subject.finding(WARNING, "funding", int(time[0]), len(time), f"{len(time)} {words}")


def _outside(subject: _Subject, columns: Columns) -> Iterator[Finding]:
    """Rows from before the listing, or from the end on: trades that cannot be, marks and funding that matter less."""
    if subject.instrument is None:
        return
    life, time = Life.of(subject.instrument), np.unique(columns["time"])
    kind, interval = split_series(subject.series)
    severity = ERROR if kind == "bars" else WARNING
    length = 0 if interval is None else INTERVALS[interval] - 1
    if life.listing_us is not None:
        early = time[time + length < life.listing_us]
        yield from subject.finds(severity, "outside", early, f"rows before the listing ({when(life.listing_us)})")
    if life.end_us is not None:
        late = time[time >= life.end_us] if interval is not None else time[time > life.end_us]
        yield from subject.finds(severity, "outside", late, f"rows after the end ({when(life.end_us)})")


def _divergence(store: Store, subject: _Subject, instruments: dict[str, Instrument], limit: float) -> Iterator[Finding]:
    """Bars at which a perpetual closed further from its spot than the limit."""
    instrument = subject.instrument
    if instrument is None or not instrument.perpetual or not subject.series.startswith("bars-"):
        return
    pairs = [f"{instrument.base}/{quote}" for quote in (instrument.quote, "USDT", "USDC")]
    pair = next((each for each in pairs if subject.series in store.series(subject.venue, each)), None)
    if pair is None or pair not in instruments:
        return
    try:
        perpetual, spot = (store.need(subject.venue, each, subject.series) for each in (subject.symbol, pair))
    except InputError:
        return  # said already, of the series itself
    yield from _apart(subject, perpetual, spot, pair, limit)


def _far_marks(store: Store, subject: _Subject, limit: float) -> Iterator[Finding]:
    """Marks that closed further from what the contract traded at than the limit."""
    kind, interval = split_series(subject.series) if subject.series.startswith("mark") else ("", None)
    bars = f"bars-{interval}"
    if subject.instrument is None or not kind or bars not in store.series(subject.venue, subject.symbol):
        return
    try:
        marks, traded = (store.need(subject.venue, subject.symbol, each) for each in (subject.series, bars))
    except InputError:
        return  # said already, of the series itself
    yield from _apart(subject, marks, traded, "its bars", limit)


def _apart(subject: _Subject, perpetual: Columns, spot: Columns, pair: str, limit: float) -> Iterator[Finding]:
    time, ours, theirs = np.intersect1d(perpetual["time"], spot["time"], assume_unique=True, return_indices=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = perpetual["close"][ours] / spot["close"][theirs] - 1.0
    far = np.abs(ratio) > limit
    if far.any():
        worst = int(np.argmax(np.where(far, np.abs(ratio), 0.0)))
        message = (
            f"{int(far.sum())} closes further than {limit:.1%} from {pair}, the first at {when(int(time[far][0]))}, "
            f"the furthest {ratio[worst]:+.1%} at {when(int(time[worst]))}"
        )
        yield subject.finding(WARNING, "divergence", int(time[far][0]), int(far.sum()), message)


def summary(store: Store) -> list[dict[str, str | int | None]]:
    """One row a stored series: venue, symbol, series, first, last, rows, holes, biggest_hole.

    Times are words in UTC; holes count missing bars or funding settlements, the biggest hole says from when. Of a
    series that cannot be read, `rows` is None and `first` the reason.
    """
    subjects = [each for venue in store.venues() for each in _subjects(store, venue, {})]
    return [_summary_row(store, each) for each in subjects]


def _summary_row(store: Store, subject: _Subject) -> dict[str, str | int | None]:
    row: dict[str, str | int | None] = {"venue": subject.venue, "symbol": subject.symbol, "series": subject.series}
    try:
        time = np.unique(_raw(store, subject)["time"])
    except InputError as error:
        return row | {"first": str(error), "last": None, "rows": None, "holes": None, "biggest_hole": None}
    if not len(time):
        return row | {"first": None, "last": None, "rows": 0, "holes": 0, "biggest_hole": None}
    gaps = _funding_gaps(time) if subject.series == "funding" else find_gaps(time, subject.series)
    biggest = f"{_longest(gaps).bars} from {when(_longest(gaps).start_us)}" if gaps else None
    span: dict[str, str | int | None] = {"first": when(int(time[0])), "last": when(int(time[-1])), "rows": len(time)}
    return row | span | {"holes": sum(gap.bars for gap in gaps), "biggest_hole": biggest}


def _funding_gaps(time: npt.NDArray[Any]) -> tuple[Gap, ...]:
    """Missing settlements, those between the same two stamps together."""
    missing = missing_stamps(time, int(time[0]), int(time[-1]))
    _, first, counts = np.unique(np.searchsorted(time, missing), return_index=True, return_counts=True)
    return tuple(Gap(int(missing[k]), int(count)) for k, count in zip(first, counts, strict=True))
