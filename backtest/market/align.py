"""From a store of series to one history: prices, marks, index, funding and deliveries on a common grid of bars.

This is where thin data is either mended by a declared rule and noted, or refused by name. Nothing is filled silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from backtest.errors import InputError, nearest
from backtest.market.grid import (
    DAY_US,
    Bools,
    Floats,
    FundingRules,
    Grid,
    Laid,
    Life,
    PriceRules,
    Reader,
    Rows,
    check_gaps,
    check_values,
    lay,
    make_grid,
    note_origin,
    read_rows,
    when,
)
from backtest.market.history import History
from backtest.market.routes import Route, Routes
from backtest.market.schema import Instrument
from backtest.market.settlements import Delivery, FundingEvents, delivery_event, funding_events, no_funding, together
from backtest.market.thin import Marks, marks
from backtest.market.trailing import WINDOW_DAYS, trailing

__all__ = ["History", "align"]


@dataclass(frozen=True)
class _StrictFunding:
    inside: str = "refuse"
    missing: str = "error"


@dataclass(frozen=True)
class _Aligned:
    """One instrument on the grid."""

    last: Laid
    marks: Marks
    tradable: Bools
    funding: FundingEvents
    volatility: Floats
    volume: Floats
    begins_us: int


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
) -> History:
    """The history of `symbols` at one venue, with the index of `assets`, on bars of `interval` in [start_us, end_us).

    InputError for an empty or reversed span, unknown venue or symbol, missing bars or funding stamps, and assets
    without a route to the dollar; each names the series, the time and the cure. Without `funding`: the strict rules.
    """
    grid = make_grid(start_us, end_us, interval)
    known = _instruments(store, venue)
    instruments = _chosen(symbols, known, venue)
    notes: list[str] = []
    rules = _StrictFunding() if funding is None else funding
    aligned = [
        _one(store, venue, instrument, number, grid, prices, rules, notes)
        for number, instrument in enumerate(instruments)
    ]
    routes = Routes(store, venue, known, grid, prices, notes)
    indexes = [routes.of(asset) for asset in _once(assets, "assets")]
    deliveries = [delivery_event(instrument, number, routes) for number, instrument in enumerate(instruments)]
    borrow, has_borrow = _borrow(store, venue, assets, grid, notes)
    return _history(grid, instruments, tuple(assets), aligned, indexes, deliveries, borrow, has_borrow, notes)


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
) -> _Aligned:
    """One instrument's bars, marks, funding and past activity."""
    rows = read_rows(store, venue, instrument.symbol, "bars", grid, (WINDOW_DAYS + 1) * DAY_US, Life.of(instrument))
    if rows is None or not len(rows.time):
        raise InputError(
            f"{instrument.symbol}: the store has no bars of {grid.interval} or finer at {venue}; import them first"
        )
    last = lay(rows, grid)
    check_span(store, venue, instrument, rows, grid)
    life = _life(instrument, rows, grid, notes)
    note_origin(instrument.symbol, rows, grid, notes)
    check_gaps(instrument.symbol, rows, _expected(life, grid) & ~last.present, grid, prices, notes)
    own = marks(store, venue, instrument, last, grid, prices, notes)
    perpetual = instrument.kind != "spot" and instrument.expiry_us is None
    paid = (
        funding_events(store, venue, instrument, number, life, own, grid, rules, notes) if perpetual else no_funding()
    )
    tradable = last.present & life.alive(grid)
    volatility, volume, known = trailing(rows, last, grid)
    if defaults := int((tradable & ~known).sum()):
        notes.append(
            f"{instrument.symbol}: {defaults} bars have no two whole days before them; impact there assumes moves of "
            "5 % a day"
        )
    return _Aligned(last, own, tradable, paid, volatility, volume, int(rows.time[0]))


def _life(instrument: Instrument, rows: Rows, grid: Grid, notes: list[str]) -> Life:
    """When it trades; where the store names no listing and the rows begin inside the span, that is the listing."""
    life, first = Life.of(instrument), int(rows.time[0])
    if life.listing_us is None and first > grid.start_us:
        notes.append(
            f"{instrument.symbol} {rows.name}: no listing time in the store; taken as its first bar, {when(first)}"
        )
        life = Life(first, life.end_us)
    alive = life.alive(grid)
    if not alive.all():
        words = f"not listed, or ended, in {int((~alive).sum())} of {grid.bars} bars; price held, not tradable"
        notes.append(f"{instrument.symbol}: {words}")
    return life


def check_span(store: Reader, venue: str, instrument: Instrument, rows: Rows, grid: Grid) -> None:
    """Refuse a span that reaches beyond the stored bars of an instrument that lives there: a hole between two bars may
    be held, what lies outside them all would be a price that nobody ever quoted.

    Where the store names no listing, the first bar is taken as it.
    """
    life, step = Life.of(instrument), grid.interval_us
    first, last = int(rows.time[0]), int(rows.time[-1])
    begin = grid.start_us if life.listing_us is None else max(grid.start_us, life.listing_us)
    end = grid.end_us if life.end_us is None else min(grid.end_us, life.end_us)
    if end <= begin:
        return
    early = life.listing_us is not None and first > begin + step
    late = last + 2 * step < end and not goes_on(store, venue, instrument.symbol, rows, end)
    if early or first >= end or late:
        stored = f"from {when(first)} on" if early or first >= end else f"up to {when(last + step)}"
        raise InputError(
            f"{instrument.symbol} {rows.name}: stored only {stored}, but the run needs "
            f"{when(begin)} to {when(end)}; choose a span inside the stored one, or import the rest"
        )


def goes_on(store: Reader, venue: str, symbol: str, rows: Rows, end_us: int) -> bool:
    """Whether the store has bars beyond the span too, so that what is missing at its end is a hole."""
    further = store.read(venue, symbol, rows.made_from or rows.name, end_us)
    return further is not None and len(further["time"]) > 0


def _expected(life: Life, grid: Grid) -> Bools:
    """Bars whose absence is a gap: wholly after the listing, opened before the end."""
    since = -(2**62) if life.listing_us is None else life.listing_us
    return life.alive(grid) & (grid.time >= since)


def _borrow(store: Reader, venue: str, assets: Sequence[str], grid: Grid, notes: list[str]) -> tuple[Floats, Bools]:
    """Hourly borrow rate in force at each open [asset, bar]; 0, and False, for assets without a series."""
    rates, known = np.zeros((len(assets), grid.bars)), np.zeros(len(assets), dtype=np.bool_)
    for k, asset in enumerate(assets):
        columns = store.read(venue, asset, "borrow", None, grid.end_us)
        if columns is None or not len(columns["time"]):
            continue
        time, stored = columns["time"].astype(np.int64), columns["hourly_rate"].astype(np.float64)
        good = np.isfinite(stored) & (stored >= 0)
        check_values(f"{asset} borrow", "hourly_rate", time, stored, good, "a rate of 0 or more")
        source = np.searchsorted(time, grid.time, side="right") - 1
        rates[k], known[k] = stored[np.maximum(source, 0)], True
        if time[0] > grid.start_us:
            notes.append(f"{asset} borrow: begins {when(int(time[0]))}; its first rate is taken before that")
    return rates, known


def _history(
    grid: Grid,
    instruments: tuple[Instrument, ...],
    assets: tuple[str, ...],
    aligned: list[_Aligned],
    indexes: list[Route],
    deliveries: list[Delivery | None],
    borrow: Floats,
    has_borrow: Bools,
    notes: list[str],
) -> History:
    """Everything stacked: instruments and assets as rows, bars as columns."""
    size = np.array([[item.contract_size if item.kind == "linear" else 1.0] for item in instruments]).reshape(-1, 1)
    paid = together(item.funding for item in aligned)
    delivered = sorted((item for item in deliveries if item is not None), key=lambda item: (item.bar, item.instrument))

    def last(name: str) -> Floats:
        return _stack([getattr(item.last, name) for item in aligned], grid)

    def mark(name: str) -> Floats:
        return _stack([getattr(item.marks, name) for item in aligned], grid)

    def index(name: str) -> Floats:
        return _stack([getattr(item, name) for item in indexes], grid)

    history = History(
        time=grid.time, interval_us=grid.interval_us, instruments=instruments, assets=assets,
        open=last("open"), high=last("high"), low=last("low"), close=last("close"), volume=last("volume") / size,
        mark_open=mark("open"), mark_low=mark("low"), mark_high=mark("high"), mark_close=mark("close"),
        worst_low=mark("worst_low"), worst_high=mark("worst_high"),
        mark_source=tuple(item.marks.source for item in aligned),
        index_open=index("open"), index_low=index("low"), index_high=index("high"), index_close=index("close"),
        index_source=tuple(item.source for item in indexes),
        tradable=_stack([item.tradable for item in aligned], grid).astype(np.bool_),
        funding_bar=paid.bar, funding_instrument=paid.instrument, funding_rate=paid.rate, funding_price=paid.price,
        funding_time=paid.time, funding_flag=paid.flag,
        delivery_bar=np.array([item.bar for item in delivered], dtype=np.int64),
        delivery_instrument=np.array([item.instrument for item in delivered], dtype=np.int64),
        delivery_price=np.array([item.price for item in delivered], dtype=np.float64),
        delivery_source=tuple(item.source for item in delivered),
        daily_volatility=_stack([item.volatility for item in aligned], grid),
        daily_volume=_stack([item.volume for item in aligned], grid) / size,
        borrow_rate=borrow, has_borrow=has_borrow,
        notes=tuple(dict.fromkeys([*notes, *(item.source for item in delivered)])),
        price_begins=tuple(item.begins_us for item in aligned), index_begins=tuple(item.begins_us for item in indexes),
    )  # fmt: skip
    for field in fields(history):  # the engine reckons with all of it: what got this far without a number is a bug
        values = getattr(history, field.name)
        if isinstance(values, np.ndarray) and values.dtype == np.float64:
            assert np.isfinite(values).all(), f"{field.name} is not finite"
    return history


def _stack(rows: Sequence[Floats | Bools], grid: Grid) -> Floats:
    return np.ascontiguousarray(np.array(rows, dtype=np.float64).reshape(len(rows), grid.bars))
