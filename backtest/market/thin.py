"""The price that margins a position: the venue's mark where the store has it, a declared stand-in where it has not.

Perpetual lows alone liquidate falsely (wicks the mark never saw); mark closes alone sleep through the crash. Where only
mark closes are stored the low is the higher of the perpetual's own low and the spot low carried to the mark's level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backtest.market.feed import Feed, open_feed
from backtest.market.grid import Bools, Floats, Gaps, Grid, Laid, Life, PriceRules, Reader, check_gaps, lay, note_origin
from backtest.market.schema import DAY_US, Instrument


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


class MarkFeeds:
    """Marks of one instrument, part after part, out of what the store has of them."""

    def __init__(
        self, store: Reader, venue: str, instrument: Instrument, grid: Grid, prices: PriceRules, part: int
    ) -> None:
        self.instrument, self.grid, self.prices = instrument, grid, prices
        spot = instrument.kind == "spot"
        self.stored = [] if spot else _stored(store, venue, instrument, grid, part)
        proxies = any(not feed.true_open for feed in self.stored)
        self.reference = _reference(store, venue, instrument, grid, part) if proxies else None
        self.missing = Gaps()
        self.counts = {"mark": 0, "mark-close proxy": 0, "last": 0}

    def part(self, number: int, part: slice, last: Laid) -> Marks:
        """Marks of a part of the grid whose own bars are laid.

        Preference a bar: mark OHLC, mark close with proxy extremes, last price. Spot: its own price, the candle's body
        unless `wicks`.
        """
        if self.instrument.kind == "spot":
            return _spot(last, self.prices)
        grid, result = self.grid.cut(part), _as_last(last)
        spot = None if self.reference is None else lay(self.reference.rows(number), grid)
        covered = np.zeros(grid.bars, dtype=np.bool_)
        proxy = np.zeros(grid.bars, dtype=np.bool_)
        for feed in self.stored:
            laid = lay(feed.rows(number), grid)
            made = _true(laid) if feed.true_open else _proxy(feed, laid, last, spot, grid, self.grid.start_us)
            result = _overlay(result, made, laid.present)
            covered |= laid.present
            proxy = proxy & ~laid.present if feed.true_open else laid.present.copy()
        if self.stored:
            self.missing.add(part.start, Life.of(self.instrument).alive(grid) & ~covered)
        self.counts["mark"] += int((last.present & covered & ~proxy).sum())
        self.counts["mark-close proxy"] += int((last.present & proxy).sum())
        self.counts["last"] += int((last.present & ~covered).sum())
        return result

    def source(self, notes: list[str]) -> str:
        """Where most of the marks came from, once all parts are done; notes say the rest. InputError where a mark is
        missing between the first and last one stored and gaps are errors.
        """
        if self.instrument.kind == "spot":
            return "spot"
        symbol = self.instrument.symbol
        for feed in self.stored:
            note_origin(symbol, feed.name, feed.made_from, self.grid, notes)
        if self.stored:
            missing = self.missing.between(*self._inside())
            check_gaps(symbol, self.stored[0].name, missing, self.grid, self.prices, notes)
        _note(symbol, self.counts, notes)
        return max(self.counts, key=lambda name: self.counts[name]) if self.stored else "last"

    def _inside(self) -> tuple[int, int]:
        """Bars between the first and the last mark the store has."""
        first, last = min(feed.first_us for feed in self.stored), max(feed.last_us for feed in self.stored)
        time = self.grid.time
        return int(np.searchsorted(time, first)), int(np.searchsorted(time, last, side="right"))


def _stored(store: Reader, venue: str, instrument: Instrument, grid: Grid, part: int) -> list[Feed]:
    """The mark series the store has of an instrument, true ones last: they overrule."""
    life = Life.of(instrument)
    kinds = ("mark", "mark-ohlc")
    found = (open_feed(store, venue, instrument.symbol, kind, grid, DAY_US, life, part) for kind in kinds)
    return sorted((feed for feed in found if feed is not None and not feed.empty), key=lambda feed: feed.true_open)


def _spot(last: Laid, prices: PriceRules) -> Marks:
    low, high = np.minimum(last.open, last.close), np.maximum(last.open, last.close)
    if prices.wicks:
        low, high = last.low, last.high
    return Marks(last.open, low, high, last.close, low, high, last.present, "spot")


def _as_last(last: Laid) -> Marks:
    return Marks(last.open, last.low, last.high, last.close, last.low, last.high, np.zeros_like(last.present), "last")


def _true(laid: Laid) -> Marks:
    return Marks(laid.open, laid.low, laid.high, laid.close, laid.low, laid.high, laid.present, "mark")


def _proxy(feed: Feed, laid: Laid, last: Laid, spot: Laid | None, grid: Grid, start_us: int) -> Marks:
    """Mark closes made into bars: no wider than perpetual and spot both allow, no narrower than the body."""
    opened = laid.open.copy()
    if start_us <= feed.first_us and grid.start_us <= feed.first_us < grid.end_us:  # no close was stored before it
        at = int(np.searchsorted(grid.time, feed.first_us))
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


def _reference(store: Reader, venue: str, instrument: Instrument, grid: Grid, part: int) -> Feed | None:
    """The spot bars whose shape stands in for the mark's: same quote first, then any dollar."""
    for quote in dict.fromkeys((instrument.quote, "USDT", "USD", "USDC")):
        feed = open_feed(store, venue, f"{instrument.base}/{quote}", "bars", grid, DAY_US, None, part)
        if feed is not None and not feed.empty:
            return feed
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


def _note(symbol: str, counts: dict[str, int], notes: list[str]) -> None:
    """The bars that traded, by where their mark came from (`mark_source` names only the most frequent)."""
    bars = sum(counts.values())
    if proxies := counts["mark-close proxy"]:
        notes.append(f"{symbol}: mark lows and highs of {proxies} of {bars} bars are a proxy (only closes are stored)")
    if lasts := counts["last"]:
        notes.append(f"{symbol}: last prices used as mark in {lasts} of {bars} bars (no mark is stored there)")
