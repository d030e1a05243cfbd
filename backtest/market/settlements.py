"""Money that moves by the calendar: funding of perpetuals and delivery of dated futures, put on the bars.

Funding follows the stamps in the data, whatever their interval, and belongs to the position held coming into the stamp.
A stamp that ought to be there and is not is an error, not a zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backtest.errors import InputError
from backtest.market.grid import Bools, Floats, FundingRules, Grid, Ints, Life, Reader, check_values, make_grid, when
from backtest.market.room import MEMORY, Room
from backtest.market.routes import Route, Routes
from backtest.market.schema import DAY_US, HOUR_US, INTERVALS, MINUTE_US, SECOND_US, Instrument
from backtest.market.thin import Marks

Flags = npt.NDArray[np.int8]
MARK_OPEN, PREVIOUS_MARK_CLOSE, INSIDE_BAR, GIVEN_MARK = 0, 1, 2, 3
USUAL_US = 8 * HOUR_US
HALF_HOUR_US = 30 * MINUTE_US  # what a delivery price is the mean of, where nobody says otherwise


@dataclass(frozen=True)
class FundingEvents:
    """Funding stamps on the bars; `bar` is the bar at whose open they are paid."""

    bar: Ints
    instrument: Ints
    rate: Floats
    price: Floats
    time: Ints
    flag: Flags

    def ordered(self) -> FundingEvents:
        """By bar, then stamp, then instrument."""
        order = np.lexsort((self.instrument, self.time, self.bar))
        return FundingEvents(
            self.bar[order],
            self.instrument[order],
            self.rate[order],
            self.price[order],
            self.time[order],
            self.flag[order],
        )


def no_funding() -> FundingEvents:
    """Of spot pairs and dated futures."""
    none = np.zeros(0, dtype=np.int64)
    return FundingEvents(none, none, np.zeros(0), np.zeros(0), none, np.zeros(0, dtype=np.int8))


def together(parts: Iterable[FundingEvents]) -> FundingEvents:
    """Events of several instruments as one list, in the order they are paid."""
    listed = [no_funding(), *parts]
    columns = ("bar", "instrument", "rate", "price", "time", "flag")
    return FundingEvents(*(np.concatenate([getattr(part, name) for part in listed]) for name in columns)).ordered()


def funding_events(
    store: Reader,
    venue: str,
    instrument: Instrument,
    number: int,
    life: Life,
    marks: Marks,
    grid: Grid,
    rules: FundingRules,
    notes: list[str],
    room: Room = MEMORY,
) -> FundingEvents:
    """Funding of one perpetual inside the span.

    Price: the stored mark, else the mark's open at the stamp, else the mark close before it. InputError for a perpetual
    without funding series, a stamp inside a bar, or a missing stamp, unless `[funding]` says otherwise.
    """
    columns = store.read(venue, instrument.symbol, "funding", grid.start_us - 2 * DAY_US, grid.end_us + 2 * DAY_US)
    if columns is None:
        raise InputError(
            f"{instrument.symbol} is a perpetual, but the store has no funding series of it at {venue}: "
            "import its funding rates; a carry without them would be an invention"
        )
    time = columns["time"].astype(np.int64)
    stored = columns["funding_rate"].astype(np.float64)
    check_values(
        f"{instrument.symbol} funding", "funding_rate", time, stored, np.abs(stored) < 1.0, "a rate between -1 and 1"
    )
    _check_missing(instrument, life, time, grid, rules, notes)
    bar, inside = _bars_of(instrument, time, grid, rules, notes)
    keep = (time >= grid.start_us) & (time < grid.end_us) & (bar < grid.bars)
    given = (
        columns["mark_price"].astype(np.float64)[keep] if "mark_price" in columns else np.full(int(keep.sum()), np.nan)
    )
    price, flag = _prices(given, bar[keep], inside[keep], marks, room)
    if count := int((flag == PREVIOUS_MARK_CLOSE).sum()):
        notes.append(f"{instrument.symbol} funding: {count} events priced at the mark close before the stamp")
    who = np.full(len(price), number, dtype=np.int64)
    return FundingEvents(bar[keep], who, stored[keep], price, time[keep], flag)


def _bars_of(
    instrument: Instrument, time: Ints, grid: Grid, rules: FundingRules, notes: list[str]
) -> tuple[Ints, Bools]:
    """The bar at whose open each stamp is paid; one inside a bar at the next open, whose position it met."""
    bar = (time - grid.start_us) // grid.interval_us
    inside = (time - grid.start_us) % grid.interval_us > SECOND_US
    within = inside & (time >= grid.start_us) & (time < grid.end_us)
    if within.any():
        count, first = int(within.sum()), when(int(time[int(np.argmax(within))]))
        if rules.inside != "approximate":
            raise InputError(
                f"{instrument.symbol} funding: {count} stamps lie inside bars of {grid.interval}, the first {first}; "
                'take a finer interval, or say [funding] inside = "approximate"'
            )
        notes.append(
            f"{instrument.symbol} funding: {count} stamps inside bars paid at the next open, at the bar's mark close"
        )
    return bar + inside, inside


def _prices(given: Floats, bar: Ints, inside: Bools, marks: Marks, room: Room) -> tuple[Floats, Flags]:
    opened = room.take(marks.open, bar)
    before = np.where(bar > 0, room.take(marks.close, np.maximum(bar - 1, 0)), opened)
    own_open = room.take(marks.true_open, bar) & ~inside
    has_price = np.isfinite(given) & (given > 0)
    flag = np.where(
        inside, INSIDE_BAR, np.where(has_price, GIVEN_MARK, np.where(own_open, MARK_OPEN, PREVIOUS_MARK_CLOSE))
    )
    return np.where(has_price, given, np.where(own_open, opened, before)), flag.astype(np.int8)


def _check_missing(
    instrument: Instrument, life: Life, time: Ints, grid: Grid, rules: FundingRules, notes: list[str]
) -> None:
    """Refuse or note stamps that ought to lie in the span and are not in the data."""
    start = grid.start_us if life.listing_us is None else max(grid.start_us, life.listing_us)
    absent = missing_stamps(time, start, grid.end_us if life.end_us is None else min(grid.end_us, life.end_us))
    if not len(absent):
        return
    words = f"{instrument.symbol} funding: {len(absent)} expected event(s) missing, the first at {when(int(absent[0]))}"
    if rules.missing != "zero":
        raise InputError(f'{words}; mend the store, or say [funding] missing = "zero" to take them as nothing paid')
    notes.append(f"{words}; taken as zero")


def missing_stamps(time: Ints, start_us: int, end_us: int) -> Ints:
    """Stamps in (start, end) that the interval usual around them asks for and `time` lacks.

    A pause is a hole when it is longer than the pauses usual on both sides of it: so an interval may change (8 → 4 → 2
    → 1 h and back) without a false alarm, and a hole within a stamp or two of a change may pass. `time` should reach a
    little beyond the span on both sides, where there is data.
    """
    pauses = np.diff(time)
    before, after = _usual(pauses)
    edges = (
        [(start_us, time[0] if len(time) else end_us, after[0] if len(pauses) else USUAL_US)]
        if (not len(time) or time[0] > start_us)
        else []
    )
    usual = np.maximum(before, after)
    holes = np.flatnonzero(pauses > usual + MINUTE_US)
    edges += [(time[k], time[k + 1], np.minimum(before[k], after[k])) for k in holes]
    if len(time) and time[-1] < end_us:
        edges.append((time[-1], end_us, before[-1] if len(pauses) else USUAL_US))
    found = [np.arange(left + step, right - MINUTE_US, step) for left, right, step in edges]
    stamps = np.concatenate([np.zeros(0, dtype=np.int64), *found]).astype(np.int64)
    return stamps[(stamps > start_us) & (stamps < end_us)]


def _usual(pauses: Ints) -> tuple[Ints, Ints]:
    """For each pause, the middle one of the three before it and of the three after it (at an end, the other side's)."""
    if len(pauses) < 2:
        return pauses, pauses
    padded = np.concatenate([np.repeat(pauses[:1], 3), pauses, np.repeat(pauses[-1:], 3)])
    middle = np.median(np.lib.stride_tricks.sliding_window_view(padded, 3), axis=1).astype(np.int64)
    before, after = middle[: len(pauses)].copy(), middle[4 : 4 + len(pauses)].copy()
    before[0], after[-1] = after[0], before[-1]
    return before, after


@dataclass(frozen=True)
class Delivery:
    """A dated future's end: paid at the open of `bar`, at `price` in its quote currency."""

    bar: int
    instrument: int
    price: float
    source: str


def delivery_event(
    instrument: Instrument, number: int, routes: Routes, window_us: int = HALF_HOUR_US
) -> Delivery | None:
    """Delivery of a dated future at the first open at or after its expiry; None outside the span.

    Price: the index (base ÷ quote, in dollars) averaged over the `window_us` before, out of the finest index bars the
    store has; the source says how fine. InputError where they are missing, unless `[prices] gaps = "hold"`.
    """
    grid, expiry = routes.grid, instrument.expiry_us
    if expiry is None or expiry < grid.start_us or expiry > grid.time[-1]:
        return None
    bar = -(-(expiry - grid.start_us) // grid.interval_us)
    for interval in sorted(INTERVALS, key=lambda text: INTERVALS[text]):
        if INTERVALS[interval] <= grid.interval_us and (
            averaged := _average(instrument, routes, expiry, window_us, interval)
        ):
            return Delivery(bar, number, *averaged)
    if routes.prices.gaps == "hold":
        price = float(routes.of(instrument.base).open[bar] / routes.of(instrument.quote).open[bar])
        return Delivery(
            bar,
            number,
            price,
            f"{instrument.symbol}: index held or opening at the delivery, what came before is not stored",
        )
    raise InputError(
        f"{instrument.symbol} is delivered at {when(expiry)}, but the store lacks index bars of {instrument.base} in "
        f"the {window_us // MINUTE_US} minutes before; mend the store, or end the run before the delivery"
    )


def _average(
    instrument: Instrument, routes: Routes, expiry: int, window: int, interval: str
) -> tuple[float, str] | None:
    """Mean of (open + close) / 2 of the index bars that overlap the window; None where they are not all stored.

    The finer bars must come along the same route as the run's own: a constant never stands in for a stored price.
    """
    step = INTERVALS[interval]
    grid = make_grid((expiry - window) // step * step, -(-expiry // step) * step, interval)
    fine = Routes(routes.store, routes.venue, routes.instruments, grid, routes.prices, [], strict=True)
    try:
        base, quote = fine.of(instrument.base), fine.of(instrument.quote)
    except InputError:
        return None
    if (base.source, quote.source) != (routes.of(instrument.base).source, routes.of(instrument.quote).source):
        return None
    price = float(np.mean(_middle(base) / _middle(quote)))
    words = (
        f"mean of (open + close) / 2 of {grid.bars} {interval} index bar(s) over the last {window // MINUTE_US} minutes"
    )
    return price, f"{instrument.symbol}: {words}, an approximation ({base.source} ÷ {quote.source})"


def _middle(route: Route) -> Floats:
    return (route.open + route.close) / 2
