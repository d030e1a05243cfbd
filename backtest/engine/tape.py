"""From an aligned history to the Tape: series as rows, row maps, and events in the order they happen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.market.history import History
from backtest.state import (
    CLOSE, DELEVERAGE, DELIVERY, EACH, FLOW, FUNDING, HIGH, I64, LOW, MOMENT, OPEN, SETTLEMENT, TARGETS, Tape,
)  # fmt: skip

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
YEAR_US = 365 * DAY_US
ENDS_STRETCH = (int(FLOW), int(DELIVERY), int(SETTLEMENT), int(DELEVERAGE), int(TARGETS))
POINTS = {OPEN: "open", LOW: "low", HIGH: "high", CLOSE: "close"}


@dataclass(frozen=True)
class Event:
    """One event of the tape, before it is put in order. `subject` is an instrument, an asset or a target row."""

    bar: int
    kind: int
    subject: int = -1
    account: int = -1
    first: float = 0.0
    second: float = 0.0
    third: float = 0.0


class Rows:
    """The table of series, each once however many roles it has: a series is named by its field and its row there."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.arrays: list[Floats] = []
        self._row: dict[tuple[str, int, bool], int] = {}

    def add(self, name: str, k: int, as_value: bool = False) -> int:
        """Row of series `name`[k] of the history; `as_value`: of what a contract is worth at that price."""
        array = getattr(self.history, name)[k]
        instrument = self.history.instruments[k] if as_value else None
        as_value = instrument is not None and (instrument.kind == "inverse" or instrument.contract_size != 1.0)
        if (name, k, as_value) not in self._row:
            self._row[name, k, as_value] = len(self.arrays)
            self.arrays.append(value_of(self.history, k, array) if as_value else array)
        return self._row[name, k, as_value]

    def extra(self, array: Floats) -> int:
        """Row of a series that is not the history's."""
        self.arrays.append(array)
        return len(self.arrays) - 1


def value_of(history: History, i: int, price: Floats) -> Floats:
    """What one contract is worth in its settlement asset: size x price, or -size / price if it is inverse."""
    return history.instruments[i].worth(price)


def make_tape(
    history: History,
    rules_at: Ints,
    events: Iterable[Event] = (),
    targets: Floats | None = None,
    borrow: Sequence[Sequence[Floats | None]] = (),
    tail: tuple[Floats, Ints] | None = None,
    finer: npt.NDArray[np.uint8] | None = None,
    options: Sequence[tuple[Floats, Floats] | None] = (),
) -> Tape:
    """The Tape of a history.

    `rules_at` is the rule set in force, int64 [shape, bar]; `targets` float64 [row, instrument] contracts wished;
    `borrow` by account an hourly rate per asset and bar, or None; `tail` the past horizons' moves and the
    rows of them known at each bar; `finer` [bar] says of which bars finer ones may be had. `options` by instrument:
    implied volatility and forward of its expiry, bar by bar, or None.
    """
    rows, bars, instruments = Rows(history), len(history.time), len(history.instruments)
    table, number, event_at = order_events([*events, *_funding(history), *_deliveries(history)], bars)
    no_tail = (np.zeros((1, len(history.assets) + instruments)), np.zeros((4, bars), I64))
    moves, known = tail or no_tail
    value_row, index_row = _value_rows(rows), _index_rows(rows)
    last_row, mark_row = _price_rows(rows, "{}", "{}"), _price_rows(rows, "mark_{}", "worst_{}")
    volumes = ("volume", "daily_volume", "daily_volatility")
    volume_row = np.array([[rows.add(name, i) for i in range(instruments)] for name in volumes], I64)
    borrow_row = _borrow_rows(rows, borrow, len(rules_at))
    option_row = _option_rows(rows, options)
    return Tape(
        time=history.time,
        years=history.time / YEAR_US,
        series=np.ascontiguousarray(np.vstack(rows.arrays)),
        value_row=value_row,
        index_row=index_row,
        last_row=last_row,
        mark_row=mark_row,
        volume_row=volume_row,
        borrow_row=borrow_row,
        option_row=option_row,
        tradable=history.tradable.astype(np.uint8),
        finer=np.zeros(bars, np.uint8) if finer is None else finer,
        event=table,
        number=number,
        event_at=event_at,
        stops_at=_stops(table, rules_at, bars, history.time if tail else None),
        rules_at=rules_at,
        target=np.zeros((1, instruments)) if targets is None else targets,
        tail_move=moves,
        tail_rows=known,
    )


def order_events(events: list[Event], bars: int) -> tuple[Ints, Floats, Ints]:
    """Events by bar, then in the order in which a bar's events happen, then as given; first event of each bar."""
    listed = sorted((event for event in events if 0 <= event.bar < bars), key=lambda event: (event.bar, event.kind))
    table = np.array([(e.bar, e.kind, e.subject, e.account) for e in listed], I64).reshape(-1, 4)
    number = np.array([(e.first, e.second, e.third) for e in listed], np.float64).reshape(-1, 3)
    return table, number, np.searchsorted(table[:, 0], np.arange(bars + 1)).astype(I64)


def _value_rows(rows: Rows) -> Ints:
    table = np.zeros((6, len(rows.history.instruments), 2), I64)
    for i in range(len(rows.history.instruments)):
        for point, name in POINTS.items():
            table[point, i] = rows.add(f"mark_{name}", i, as_value=True)
        table[EACH, i] = rows.add("worst_low", i, as_value=True), rows.add("worst_high", i, as_value=True)
        table[MOMENT, i] = i, len(rows.history.instruments) + i
    return table


def _index_rows(rows: Rows) -> Ints:
    table = np.zeros((6, len(rows.history.assets), 2), I64)
    for a in range(len(rows.history.assets)):
        for point, name in POINTS.items():
            table[point, a] = rows.add(f"index_{name}", a)
        table[EACH, a] = rows.add("index_low", a), rows.add("index_high", a)
        first = 2 * len(rows.history.instruments)
        table[MOMENT, a] = first + a, first + len(rows.history.assets) + a
    return table


def _price_rows(rows: Rows, point_name: str, worst_name: str) -> Ints:
    table = np.zeros((6, len(rows.history.instruments), 2), I64)
    for i in range(len(rows.history.instruments)):
        for point, name in POINTS.items():
            table[point, i] = rows.add(point_name.format(name), i)
        table[EACH, i] = rows.add(worst_name.format("low"), i), rows.add(worst_name.format("high"), i)
    return table


def _option_rows(rows: Rows, options: Sequence[tuple[Floats, Floats] | None]) -> Ints:
    """Rows of implied volatility and of the forward of an option's expiry; -1 where there is no option."""
    table = np.full((len(rows.history.instruments), 2), -1, I64)
    for i, series in enumerate(options):
        if series is not None:
            table[i] = [rows.extra(each) for each in series]
    return table


def _borrow_rows(rows: Rows, borrow: Sequence[Sequence[Floats | None]], accounts: int) -> Ints:
    """Rows of each account's hourly rates; -1 where none is known."""
    none: list[Sequence[Floats | None]] = [[None] * len(rows.history.assets)] * accounts
    return np.array([[-1 if rate is None else rows.extra(rate) for rate in rates] for rates in borrow or none], I64)


def _funding(history: History) -> list[Event]:
    """Funding events: the rate, and what one contract is worth at the stamp's mark and at its index, without sign."""
    events = []
    for k in range(len(history.funding_bar)):
        i, bar, rate = int(history.funding_instrument[k]), int(history.funding_bar[k]), float(history.funding_rate[k])
        prices = (history.funding_price[k], index_price(history, i, bar))
        mark, index = (abs(float(value_of(history, i, price))) for price in prices)
        events.append(Event(bar, int(FUNDING), i, -1, rate, mark, index))
    return events


def index_price(history: History, i: int, bar: int) -> Any:
    """Price of the instrument's base at a bar's open by the indices: in the asset it settles in, in USD if inverse."""
    instrument, index = history.instruments[i], history.index_open[:, bar]
    base = index[history.assets.index(instrument.base)]
    return base if instrument.kind == "inverse" else base / index[history.assets.index(instrument.settle)]


def _deliveries(history: History) -> list[Event]:
    columns = zip(history.delivery_bar, history.delivery_instrument, history.delivery_price, strict=True)
    return [Event(int(bar), int(DELIVERY), int(i), -1, float(price)) for bar, i, price in columns]


def _stops(table: Ints, rules_at: Ints, bars: int, days: Ints | None) -> Ints:
    """For each bar, the first bar from it on at which contracts or rules may change; `bars` if none."""
    stops = np.zeros(bars, bool)
    stops[table[np.isin(table[:, 1], ENDS_STRETCH), 0]] = True
    stops[1:] |= (rules_at[:, 1:] != rules_at[:, :-1]).any(axis=0)
    if days is not None:
        stops[1:] |= days[1:] // DAY_US != days[:-1] // DAY_US
    at = np.where(stops, np.arange(bars), bars)
    return np.minimum.accumulate(at[::-1])[::-1].astype(I64)
