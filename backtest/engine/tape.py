"""From an aligned history to the Tape: series as rows, row maps, and events in the order they happen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from backtest.market.schema import DAY_US, YEAR_US
from backtest.market.history import History, rows_of
from backtest.market.last import Last
from backtest.market.room import Room, Table
from backtest.state import (
    CLOSE, DELEVERAGE, DELIVERY, EACH, FLOW, FUNDING, HIGH, I64, LOW, MOMENT, OPEN, SETTLEMENT, TARGETS, Tape,
)  # fmt: skip

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
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


@dataclass(frozen=True)
class TargetRows:
    """A table of targets: at the open of which bars its rows are followed [row], and the sizes they wish [row,
    instrument] (LEAVE: as it is), in which unit; whether the orders of a row stand or fall as one; and by how large a
    share of its size each position may stray before a row is followed [instrument] (inf: it is not looked at; none at
    all: every row is followed).
    """

    bar: Ints
    size: Floats
    unit: int = 0
    together: bool = True
    stray: Floats = field(default_factory=lambda: np.zeros(0))

    def events(self) -> tuple[Ints, Floats]:
        """An event a row, for every account: columns of `Event`, and their numbers."""
        table, number = np.full((len(self.bar), 4), -1, I64), np.zeros((len(self.bar), 3))
        table[:, 0], table[:, 1], table[:, 2] = self.bar, TARGETS, np.arange(len(self.bar))
        number[:, 0], number[:, 1] = self.together, self.unit
        return table, number


@dataclass(frozen=True)
class PastMoves:
    """What tail margin looks back on: past moves of every coin's index and every future's basis, and which of them
    each rule set may know when.

    `moves` [row, asset + instrument], one past horizon a row, the lookbacks one below the other. `rows` [lookback, 5,
    bar]: a window (first row, one past its last), then where all that is known begins, where a long run of it begins,
    and one past their last. `kind` [rule set]: the lookback of each; -1 of what is not margined by tail.
    """

    moves: Floats
    rows: Ints
    kind: Ints


class Rows:
    """The table of series, each once however many roles it has: a series is named by its field and its row there, and
    one that says the same as another, bar by bar, is that other (a dollar's four prices, a spot pair's mark).

    The rows are those of the history itself where it was laid out as a table; what is not among them is put behind.
    """

    def __init__(self, history: History) -> None:
        self.history, bars = history, len(history.time)
        table = history.table
        if table is None or table.rows.shape[1] != bars:
            rows, spare = rows_of(len(history.instruments), len(history.assets))
            table = Table(history.room, 0, rows + spare, bars)
        self.table = table
        self._row: dict[tuple[str, int, bool], int] = {}

    def add(self, name: str, k: int, as_value: bool = False) -> int:
        """Row of series `name`[k] of the history; `as_value`: of what a contract is worth at that price."""
        array = getattr(self.history, name)[k]
        instrument = self.history.instruments[k] if as_value else None
        as_value = instrument is not None and (instrument.kind == "inverse" or instrument.contract_size != 1.0)
        if (name, k, as_value) not in self._row:
            self._row[name, k, as_value] = (
                self.table.make(lambda part: value_of(self.history, k, array[part]))
                if as_value
                else self.table.place(array)
            )
        return self._row[name, k, as_value]


@dataclass(frozen=True)
class Layout:
    """A history laid out for kernels: what is the same for every account that is taken through it."""

    table: Table
    value_row: Ints
    index_row: Ints
    last_row: Ints
    mark_row: Ints
    volume_row: Ints
    events: tuple[Ints, Floats]  # funding and deliveries, as they happen
    tradable: npt.NDArray[np.uint8]
    time: Ints
    years: Floats


_LAST: Last[Layout] = Last()


def layout_of(history: History) -> Layout:
    """The history laid out. The last one is kept: many accounts are taken through the same one."""
    return _LAST.of(history, None, lambda: _lay_out(history))


def _lay_out(history: History) -> Layout:
    rows, instruments = Rows(history), len(history.instruments)
    value_row, index_row = _value_rows(rows), _index_rows(rows)
    last_row, mark_row = _price_rows(rows, "{}", "{}"), _price_rows(rows, "mark_{}", "worst_{}")
    volumes = ("volume", "daily_volume", "daily_volatility")
    return Layout(
        value_row=value_row,
        index_row=index_row,
        last_row=last_row,
        mark_row=mark_row,
        volume_row=np.array([[rows.add(name, i) for i in range(instruments)] for name in volumes], I64),
        table=rows.table,
        events=in_order(*_of_market(history), len(history.time)),
        tradable=np.ascontiguousarray(history.tradable).view(np.uint8),
        time=np.ascontiguousarray(history.time),
        years=history.room.filled(len(history.time), lambda part: history.time[part] / YEAR_US),
    )


def value_of(history: History, i: int, price: Floats) -> Floats:
    """What one contract is worth in its settlement asset: size x price, or -size / price if it is inverse."""
    return history.instruments[i].worth(price)


def make_tape(
    history: History,
    rules_at: Ints,
    events: Iterable[Event] = (),
    targets: TargetRows | None = None,
    borrow: Sequence[Sequence[Floats | None]] = (),
    tail: PastMoves | None = None,
    finer: npt.NDArray[np.uint8] | None = None,
    options: Sequence[tuple[Floats, Floats] | None] = (),
) -> Tape:
    """The Tape of a history.

    `rules_at` is the rule set in force, int64 [shape, bar]; `targets` what the rows of target events wish; `borrow` by
    account an hourly rate per asset and bar, or None; `tail` what tail margin may know; `finer` [bar] says of which
    bars finer ones may be had. `options` by instrument: implied volatility and forward of its expiry, bar by bar, or
    None.
    """
    market, bars, instruments = layout_of(history), len(history.time), len(history.instruments)
    wishes = targets or TargetRows(np.zeros(0, I64), np.zeros((0, instruments)))
    table, number, event_at = order_events(events, wishes.events(), market.events, bars, history.room)
    past = tail or PastMoves(
        np.zeros((0, len(history.assets) + instruments)), np.zeros((0, 5, bars), I64), np.zeros(0, I64)
    )
    borrow_row = _borrow_rows(market.table, borrow, len(rules_at), len(history.assets))
    option_row = _option_rows(market.table, options, instruments)
    return Tape(
        time=market.time,
        years=market.years,
        series=market.table.rows[: market.table.used],
        value_row=market.value_row,
        index_row=market.index_row,
        last_row=market.last_row,
        mark_row=market.mark_row,
        volume_row=market.volume_row,
        borrow_row=borrow_row,
        option_row=option_row,
        tradable=market.tradable,
        finer=np.zeros(bars, np.uint8) if finer is None else finer,
        event=table,
        number=number,
        event_at=event_at,
        stops_at=_stops(table, rules_at, history, tail is not None, len(wishes.stray) > 0),
        rules_at=rules_at,
        target=wishes.size,
        stray=wishes.stray,
        tail_move=past.moves,
        tail_rows=past.rows,
        tail_kind=past.kind,
    )


def order_events(
    events: Iterable[Event], rows: tuple[Ints, Floats], market: tuple[Ints, Floats], bars: int, room: Room
) -> tuple[Ints, Floats, Ints]:
    """Events by bar, then in the order in which a bar's events happen, then as given, rows of targets and the market's
    (in order already) last; of each bar the first.
    """
    given = list(events)
    own = np.array([(e.bar, e.kind, e.subject, e.account) for e in given], I64).reshape(-1, 4)
    own_number = np.array([(e.first, e.second, e.third) for e in given], np.float64).reshape(-1, 3)
    own, own_number = in_order(np.vstack([own, rows[0]]), np.vstack([own_number, rows[1]]), bars)
    before = np.searchsorted(_when(market[0]), _when(own))
    table, number = np.insert(market[0], before, own, axis=0), np.insert(market[1], before, own_number, axis=0)
    bar = np.ascontiguousarray(table[:, 0])

    def firsts(part: slice) -> Ints:
        begin, end = np.searchsorted(bar, (part.start, part.stop)).tolist()
        edges = np.concatenate(([part.start], bar[begin:end] + 1, [part.stop]))
        return np.repeat(np.arange(begin, end + 1), np.diff(edges))

    return table, number, room.filled(bars + 1, firsts, I64)


def in_order(table: Ints, number: Floats, bars: int) -> tuple[Ints, Floats]:
    """The events of some bars from the first, as they happen."""
    inside = np.flatnonzero((table[:, 0] >= 0) & (table[:, 0] < bars))
    order = inside[np.argsort(_when(table[inside]), kind="stable")]
    return np.ascontiguousarray(table[order]), np.ascontiguousarray(number[order])


def _when(table: Ints) -> Ints:
    """A number that grows with the bar, and within it with the kind, of each event."""
    return table[:, 0] * (1 + TARGETS) + table[:, 1]


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


def _option_rows(table: Table, options: Sequence[tuple[Floats, Floats] | None], instruments: int) -> Ints:
    """Rows of implied volatility and of the forward of an option's expiry; -1 where there is no option."""
    rows = np.full((instruments, 2), -1, I64)
    for i, series in enumerate(options):
        if series is not None:
            rows[i] = [table.place(each) for each in series]
    return rows


def _borrow_rows(table: Table, borrow: Sequence[Sequence[Floats | None]], accounts: int, assets: int) -> Ints:
    """Rows of each account's hourly rates; -1 where none is known."""
    none: list[Sequence[Floats | None]] = [[None] * assets] * accounts
    return np.array([[-1 if rate is None else table.place(rate) for rate in rates] for rates in borrow or none], I64)


def _of_market(history: History) -> tuple[Ints, Floats]:
    """Funding (the rate, and what one contract is worth at the stamp's mark and at its index, without sign), then
    deliveries: columns of `Event`, and their numbers.
    """
    bar, i = history.funding_bar.astype(I64), history.funding_instrument.astype(I64)
    worth = np.zeros((3, len(bar)))
    worth[0] = history.funding_rate
    for k in np.unique(i):
        mine = np.flatnonzero(i == k)
        prices = (history.funding_price[mine], index_prices(history, int(k), bar[mine]))
        worth[1:, mine] = [np.abs(value_of(history, int(k), price)) for price in prices]
    ends, gone = history.delivery_bar.astype(I64), history.delivery_instrument.astype(I64)
    funding = np.column_stack([bar, np.full_like(bar, FUNDING), i, np.full_like(bar, -1)])
    delivery = np.column_stack([ends, np.full_like(ends, DELIVERY), gone, np.full_like(ends, -1)])
    paid = np.column_stack([history.delivery_price, np.zeros((len(ends), 2))])
    return np.vstack([funding, delivery]), np.vstack([worth.T, paid])


def index_prices(history: History, i: int, bars: Ints) -> Floats:
    """Price of the instrument's base at the opens of bars by the indices: in the asset it settles in, in USD if
    inverse.
    """
    instrument, assets, take = history.instruments[i], history.assets, history.room.take
    base: Floats = take(history.index_open[assets.index(instrument.base)], bars)
    if instrument.kind == "inverse":
        return base
    return base / take(history.index_open[assets.index(instrument.settle)], bars)


def _stops(table: Ints, rules_at: Ints, history: History, by_day: bool, banded: bool) -> Ints:
    """For each bar, the first bar from it on at which contracts or rules may change; as many as there are if none.

    `banded`: most rows of targets find positions near enough and change nothing: the stretch looks for those that do.
    """
    bars, room = len(history.time), history.room
    stops = [table[np.isin(table[:, 1], [kind for kind in ENDS_STRETCH if not (banded and kind == TARGETS)]), 0]]
    for part in room.parts(bars):
        at = slice(max(0, part.start - 1), part.stop)
        stops.append(at.start + 1 + np.flatnonzero((rules_at[:, at][:, 1:] != rules_at[:, at][:, :-1]).any(axis=0)))
        if by_day:
            stops.append(at.start + 1 + np.flatnonzero(np.diff(history.time[at] // DAY_US)))
    known = np.append(np.unique(np.concatenate(stops)), bars)

    def next_ones(part: slice) -> Ints:
        begin, end = np.searchsorted(known, (part.start, part.stop - 1))
        ahead = known[begin : end + 1]
        return np.repeat(ahead, np.diff(np.minimum(ahead, part.stop - 1), prepend=part.start - 1))

    return room.filled(bars, next_ones, I64)
