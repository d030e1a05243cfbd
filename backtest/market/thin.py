"""The price that margins a position: the venue's mark where the store has it, a declared stand-in where it has not.

Perpetual lows alone liquidate falsely (wicks the mark never saw); mark closes alone sleep through the crash. Where only
mark closes are stored the low is the higher of the perpetual's own low and the spot low carried to the mark's level.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from backtest.market.grid import (
    DAY_US,
    Bools,
    Floats,
    Grid,
    Laid,
    Life,
    PriceRules,
    Reader,
    Rows,
    check_gaps,
    lay,
    note_origin,
    read_rows,
)
from backtest.market.schema import Instrument


@dataclass(frozen=True)
class Marks:
    """Mark prices [bar] of one instrument, the worst extremes one may fear, and where the open is the venue's own."""

    open: Floats
    low: Floats
    high: Floats
    close: Floats
    worst_low: Floats
    worst_high: Floats
    true_open: Bools
    source: str


def marks(
    store: Reader, venue: str, instrument: Instrument, last: Laid, grid: Grid, prices: PriceRules, notes: list[str]
) -> Marks:
    """Marks of one instrument whose own bars are already on the grid.

    Preference a bar: mark OHLC, mark close with proxy extremes, last price. Spot: its own price, the candle's body
    unless `wicks`. InputError where a mark is missing between the first and last one stored and gaps are errors.
    """
    if instrument.kind == "spot":
        return _spot(last, prices)
    result = _as_last(last)
    stored = _stored(store, venue, instrument, grid)
    covered = np.zeros(grid.bars, dtype=np.bool_)
    proxy = np.zeros(grid.bars, dtype=np.bool_)
    for rows in stored:
        note_origin(instrument.symbol, rows, grid, notes)
        laid = lay(rows, grid)
        spot = None if rows.true_open else _reference(store, venue, instrument, grid)
        made = _true(laid) if rows.true_open else _proxy(rows, laid, last, spot, grid)
        result = _overlay(result, made, laid.present)
        covered |= laid.present
        proxy = proxy & ~laid.present if rows.true_open else laid.present.copy()
    if stored:
        missing = _inside(stored, grid) & Life.of(instrument).alive(grid) & ~covered
        check_gaps(instrument.symbol, stored[0], missing, grid, prices, notes)
    counts = {
        "mark": int((last.present & covered & ~proxy).sum()),
        "mark-close proxy": int((last.present & proxy).sum()),
        "last": int((last.present & ~covered).sum()),
    }
    _note(instrument.symbol, counts, notes)
    return replace(result, source=max(counts, key=lambda name: counts[name]) if stored else "last")


def _stored(store: Reader, venue: str, instrument: Instrument, grid: Grid) -> list[Rows]:
    """The mark series the store has of an instrument, true ones last: they overrule."""
    life = Life.of(instrument)
    found = (read_rows(store, venue, instrument.symbol, kind, grid, DAY_US, life) for kind in ("mark", "mark-ohlc"))
    return sorted((rows for rows in found if rows is not None and len(rows.time)), key=lambda rows: rows.true_open)


def _spot(last: Laid, prices: PriceRules) -> Marks:
    low, high = np.minimum(last.open, last.close), np.maximum(last.open, last.close)
    if prices.wicks:
        low, high = last.low, last.high
    return Marks(last.open, low, high, last.close, low, high, last.present, "spot")


def _as_last(last: Laid) -> Marks:
    return Marks(last.open, last.low, last.high, last.close, last.low, last.high, np.zeros_like(last.present), "last")


def _true(laid: Laid) -> Marks:
    return Marks(laid.open, laid.low, laid.high, laid.close, laid.low, laid.high, laid.present, "mark")


def _proxy(rows: Rows, laid: Laid, last: Laid, spot: Laid | None, grid: Grid) -> Marks:
    """Mark closes made into bars: no wider than perpetual and spot both allow, no narrower than the body."""
    opened = laid.open.copy()
    if rows.time[0] >= grid.start_us:  # the first close ever stored has no close before it
        at = int(np.searchsorted(grid.time, rows.time[0]))
        opened[at : at + 1] = last.open[at : at + 1]
    body_low, body_high = np.minimum(opened, laid.close), np.maximum(opened, laid.close)
    perp_low, perp_high = np.where(last.present, last.low, np.inf), np.where(last.present, last.high, -np.inf)
    low, high = perp_low, perp_high
    if spot is not None:
        scale = laid.close / spot.close
        spot_low, spot_high = spot.low * scale, spot.high * scale
        perp_low, perp_high = np.where(last.present, perp_low, spot_low), np.where(last.present, perp_high, spot_high)
        low = np.where(spot.present, np.maximum(perp_low, spot_low), perp_low)
        high = np.where(spot.present, np.minimum(perp_high, spot_high), perp_high)
    return Marks(
        opened,
        np.minimum(low, body_low),
        np.maximum(high, body_high),
        laid.close,
        np.minimum(perp_low, body_low),
        np.maximum(perp_high, body_high),
        np.zeros_like(laid.present),
        "mark-close proxy",
    )


def _reference(store: Reader, venue: str, instrument: Instrument, grid: Grid) -> Laid | None:
    """The spot bars whose shape stands in for the mark's: same quote first, then any dollar."""
    for quote in dict.fromkeys((instrument.quote, "USDT", "USD", "USDC")):
        rows = read_rows(store, venue, f"{instrument.base}/{quote}", "bars", grid, DAY_US)
        if rows is not None and len(rows.time):
            return lay(rows, grid)
    return None


def _overlay(under: Marks, over: Marks, where: Bools) -> Marks:
    def chosen(one: Floats, other: Floats) -> Floats:
        return np.where(where, one, other)

    return Marks(
        chosen(over.open, under.open),
        chosen(over.low, under.low),
        chosen(over.high, under.high),
        chosen(over.close, under.close),
        chosen(over.worst_low, under.worst_low),
        chosen(over.worst_high, under.worst_high),
        np.where(where, over.true_open, under.true_open),
        over.source,
    )


def _inside(stored: list[Rows], grid: Grid) -> Bools:
    """Bars between the first and the last mark the store has."""
    first, last = min(int(rows.time[0]) for rows in stored), max(int(rows.time[-1]) for rows in stored)
    return (grid.time >= first) & (grid.time <= last)


def _note(symbol: str, counts: dict[str, int], notes: list[str]) -> None:
    """The bars that traded, by where their mark came from (`mark_source` names only the most frequent)."""
    bars = sum(counts.values())
    if proxies := counts["mark-close proxy"]:
        notes.append(f"{symbol}: mark lows and highs of {proxies} of {bars} bars are a proxy (only closes are stored)")
    if lasts := counts["last"]:
        notes.append(f"{symbol}: last prices used as mark in {lasts} of {bars} bars (no mark is stored there)")
