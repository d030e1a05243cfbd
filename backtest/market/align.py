"""From a store of series to one history: prices, marks, index, funding and deliveries on a common grid of bars.

This is where thin data is either mended by a declared rule and noted, or refused by name. Nothing is filled silently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from backtest.errors import InputError, NotStored, nearest
from backtest.market.feed import Feed, open_feed
from backtest.market.grid import (
    Bools,
    Floats,
    FundingRules,
    Gaps,
    Grid,
    Life,
    PriceRules,
    Reader,
    check_gaps,
    check_values,
    lay,
    make_grid,
    note_origin,
    when,
)
from backtest.market.history import History, named_rows, rows_of
from backtest.market.room import MEMORY, PART, Room, Table
from backtest.market.routes import Routes
from backtest.market.schema import DAY_US, EVER_US, Instrument
from backtest.market.settlements import (
    HALF_HOUR_US,
    FundingEvents,
    delivery_event,
    funding_events,
    no_funding,
    together,
)
from backtest.market.thin import MarkFeeds, Marks
from backtest.market.trailing import WINDOW_DAYS, Trailing

__all__ = ["History", "align"]

MARKS = {
    **{point: f"mark_{point}" for point in ("open", "low", "high", "close")},
    **{name: name for name in ("worst_low", "worst_high")},
}
"""Rows of a history by what they are of the marks."""


@dataclass(frozen=True)
class _StrictFunding:
    inside: str = "refuse"
    missing: str = "error"


def _half_an_hour(instrument: Instrument) -> int:
    return HALF_HOUR_US


def align(
    store: Reader,
    venue: str,
    symbols: Sequence[str],
    assets: Sequence[str],
    start_us: int,
    end_us: int,
    interval: str,
    prices: PriceRules,
    funding: FundingRules | None = None,
    room: Room = MEMORY,
    part: int = PART,
    averaged_us: Callable[[Instrument], int] = _half_an_hour,
) -> History:
    """The history of `symbols` at one venue, with the index of `assets`, on bars of `interval` in [start_us, end_us).

    InputError for an empty or reversed span, unknown venue or symbol, missing bars or funding stamps, and assets
    without a route to the dollar; each names the series, the time and the cure. Without `funding`: the strict rules.
    `averaged_us`: over how long before its expiry a dated future's index is averaged for its delivery price.
    `room`: where the bars are to lie. They are laid out `part` bars or so at a time, which the result does not show.
    """
    grid = make_grid(start_us, end_us, interval, room)
    known = _instruments(store, venue)
    instruments = _chosen(symbols, known, venue)
    notes: list[str] = []
    rules = _StrictFunding() if funding is None else funding
    pages = _Pages(room, grid, len(instruments), len(assets), part)
    aligned = [
        _one(store, venue, instrument, number, grid, prices, rules, notes, pages)
        for number, instrument in enumerate(instruments)
    ]
    places = {asset: pages.index_of(k) for k, asset in enumerate(_once(assets, "assets"))}
    routes = Routes(store, venue, known, grid, prices, notes, False, room, places, part)
    indexes = [routes.of(asset) for asset in assets]
    deliveries = [
        delivery_event(instrument, number, routes, averaged_us(instrument))
        for number, instrument in enumerate(instruments)
    ]
    has_borrow = np.array([_borrow(store, venue, asset, k, grid, notes, pages) for k, asset in enumerate(assets)], bool)
    room.settle()
    paid = together(each.funding for each in aligned)
    delivered = sorted((item for item in deliveries if item is not None), key=lambda item: (item.bar, item.instrument))
    return History(
        time=grid.time, interval_us=grid.interval_us, instruments=instruments, assets=tuple(assets),
        mark_source=tuple(each.mark_source for each in aligned), index_source=tuple(each.source for each in indexes),
        funding_bar=paid.bar, funding_instrument=paid.instrument, funding_rate=paid.rate, funding_price=paid.price,
        funding_time=paid.time, funding_flag=paid.flag,
        delivery_bar=np.array([item.bar for item in delivered], dtype=np.int64),
        delivery_instrument=np.array([item.instrument for item in delivered], dtype=np.int64),
        delivery_price=np.array([item.price for item in delivered], dtype=np.float64),
        delivery_source=tuple(item.source for item in delivered), has_borrow=has_borrow,
        notes=tuple(dict.fromkeys([*notes, *(item.source for item in delivered)])),
        price_begins=tuple(each.begins_us for each in aligned), index_begins=tuple(each.begins_us for each in indexes),
        tradable=pages.tradable, table=pages.table, room=room, **pages.by_name,
    )  # fmt: skip


@dataclass(frozen=True)
class _Aligned:
    """What there is to say of one instrument beside its bars."""

    mark_source: str
    funding: FundingEvents
    begins_us: int


class _Pages:
    """Where the bars of every instrument and asset are written: the rows of one table, which the engine reads too."""

    def __init__(self, room: Room, grid: Grid, instruments: int, assets: int, part: int) -> None:
        self.room, self.most = room, part
        rows, spare = rows_of(instruments, assets)
        self.table = Table(room, rows, spare, grid.bars)
        self.tradable: Bools = room.zeros((instruments, grid.bars), np.bool_)
        self.by_name = named_rows(self.table.rows, instruments, assets)

    def write(self, number: int, part: slice, **values: Floats) -> None:
        """Bars of one instrument or asset, by name of their row."""
        for name, row in values.items():
            # The engine reckons with all of it: what got this far without a number is a bug.
            assert np.isfinite(row).all(), f"{name} is not finite"
            self.by_name[name][number, part] = row

    def index_of(self, number: int) -> tuple[Floats, ...]:
        """Where the index of an asset is written: open, low, high, close."""
        return tuple(self.by_name[f"index_{point}"][number] for point in ("open", "low", "high", "close"))


def _instruments(store: Reader, venue: str) -> dict[str, Instrument]:
    if venue not in store.venues():
        raise InputError(f"the store has no venue {venue!r}; {nearest(venue, store.venues())}")
    return store.instruments(venue)


def _chosen(symbols: Sequence[str], known: dict[str, Instrument], venue: str) -> tuple[Instrument, ...]:
    for symbol in _once(symbols, "symbols"):
        if symbol not in known:
            raise InputError(f"{venue} has no instrument {symbol!r} in this store; {nearest(symbol, known)}")
    return tuple(known[symbol] for symbol in symbols)


def _once(names: Sequence[str], what: str) -> Sequence[str]:
    twice = [name for k, name in enumerate(names) if name in names[:k]]
    if twice:
        raise InputError(f"{what}: {twice[0]!r} is named twice; name it once")
    return names


def _one(
    store: Reader,
    venue: str,
    instrument: Instrument,
    number: int,
    grid: Grid,
    prices: PriceRules,
    rules: FundingRules,
    notes: list[str],
    pages: _Pages,
) -> _Aligned:
    """One instrument's bars, marks, funding and past activity."""
    lead, symbol = (WINDOW_DAYS + 1) * DAY_US, instrument.symbol
    feed = open_feed(store, venue, symbol, "bars", grid, lead, Life.of(instrument), pages.most)
    if feed is None:
        raise NotStored(f"{symbol}: the store has no bars of {grid.interval} or finer at {venue}; import them first")
    life, size = _life(instrument, feed, grid), instrument.contract_size if instrument.kind == "linear" else 1.0
    own, past = MarkFeeds(store, venue, instrument, grid, prices, pages.most), Trailing(feed.first_us, grid)
    true_open: Bools = pages.room.zeros((grid.bars,), np.bool_)
    missing, defaults, dead = Gaps(), 0, 0
    for k, part in enumerate(feed.parts):
        here, rows = grid.cut(part), feed.rows(k)
        last, alive = lay(rows, here), life.alive(here)
        made = own.part(k, part, last)
        volatility, volume, known = past.part(rows.where(slice(feed.carried, None)), last, part)
        pages.write(
            number, part, open=last.open, high=last.high, low=last.low, close=last.close, volume=last.volume / size,
            mark_open=made.open, mark_low=made.low, mark_high=made.high, mark_close=made.close,
            worst_low=made.worst_low, worst_high=made.worst_high,
            daily_volatility=volatility, daily_volume=volume / size,
        )  # fmt: skip
        pages.tradable[number, part], true_open[part] = last.present & alive, made.true_open
        missing.add(part.start, _expected(life, alive, here) & ~last.present)
        defaults, dead = defaults + int((last.present & alive & ~known).sum()), dead + int((~alive).sum())
        pages.room.give_back()
    check_span(store, venue, instrument, feed, grid)
    _note_life(instrument, feed, life, dead, grid, notes)
    note_origin(symbol, feed.name, feed.made_from, grid, notes)
    check_gaps(symbol, feed.name, missing.between(0, grid.bars), grid, prices, notes)
    source = own.source(notes)
    marked = Marks(
        **{name: pages.by_name[row][number] for name, row in MARKS.items()}, true_open=true_open, source=source
    )
    perpetual = instrument.kind != "spot" and instrument.expiry_us is None
    paid = (
        funding_events(store, venue, instrument, number, life, marked, grid, rules, notes, pages.room)
        if perpetual
        else no_funding()
    )
    if defaults:
        notes.append(
            f"{symbol}: {defaults} bars have no two whole days before them; impact there assumes moves of 5 % a day"
        )
    return _Aligned(source, paid, feed.first_us)


def _life(instrument: Instrument, feed: Feed, grid: Grid) -> Life:
    """When it trades; where the store names no listing and the rows begin inside the span, that is the listing."""
    life = Life.of(instrument)
    if life.listing_us is None and feed.first_us > grid.start_us:
        return Life(feed.first_us, life.end_us)
    return life


def _note_life(instrument: Instrument, feed: Feed, life: Life, dead: int, grid: Grid, notes: list[str]) -> None:
    """Say where the listing was taken from, and in how many bars there was no life."""
    if life != Life.of(instrument):
        first = when(feed.first_us)
        notes.append(f"{instrument.symbol} {feed.name}: no listing time in the store; taken as its first bar, {first}")
    if dead:
        words = f"not listed, or ended, in {dead} of {grid.bars} bars; price held, not tradable"
        notes.append(f"{instrument.symbol}: {words}")


def check_span(store: Reader, venue: str, instrument: Instrument, feed: Feed, grid: Grid) -> None:
    """Refuse a span that reaches beyond the stored bars of an instrument that lives there: a hole between two bars may
    be held, what lies outside them all would be a price that nobody ever quoted.

    Where the store names no listing, the first bar is taken as it.
    """
    life, step = Life.of(instrument), grid.interval_us
    first, last = feed.first_us, feed.last_us
    begin = grid.start_us if life.listing_us is None else max(grid.start_us, life.listing_us)
    end = grid.end_us if life.end_us is None else min(grid.end_us, life.end_us)
    if end <= begin:
        return
    early = life.listing_us is not None and first > begin + step
    late = last + 2 * step < end and not goes_on(store, venue, instrument.symbol, feed, end)
    if early or first >= end or late:
        stored = f"from {when(first)} on" if early or first >= end else f"up to {when(last + step)}"
        raise NotStored(
            f"{instrument.symbol} {feed.name}: stored only {stored}, but the run needs "
            f"{when(begin)} to {when(end)}; choose a span inside the stored one, or import the rest"
        )


def goes_on(store: Reader, venue: str, symbol: str, feed: Feed, end_us: int) -> bool:
    """Whether the store has bars beyond the span too, so that what is missing at its end is a hole."""
    further = store.read(venue, symbol, feed.stored, end_us)
    return further is not None and len(further["time"]) > 0


def _expected(life: Life, alive: Bools, grid: Grid) -> Bools:
    """Bars whose absence is a gap: wholly after the listing, opened before the end."""
    since = EVER_US if life.listing_us is None else life.listing_us
    return alive & (grid.time >= since)


def _borrow(store: Reader, venue: str, asset: str, k: int, grid: Grid, notes: list[str], pages: _Pages) -> bool:
    """Hourly borrow rate of an asset in force at each open; False, and 0, for one without a series."""
    columns = store.read(venue, asset, "borrow", None, grid.end_us)
    if columns is None or not len(columns["time"]):
        return False
    time, stored = columns["time"].astype(np.int64), columns["hourly_rate"].astype(np.float64)
    good = np.isfinite(stored) & (stored >= 0)
    check_values(f"{asset} borrow", "hourly_rate", time, stored, good, "a rate of 0 or more")
    for part in pages.room.parts(grid.bars):
        source = np.searchsorted(time, grid.time[part], side="right") - 1
        pages.write(k, part, borrow_rate=stored[np.maximum(source, 0)])
    if time[0] > grid.start_us:
        notes.append(f"{asset} borrow: begins {when(int(time[0]))}; its first rate is taken before that")
    return True
