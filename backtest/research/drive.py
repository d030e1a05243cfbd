"""A strategy at the wheel: history is lived up to the next bar it wants to be asked at, it writes orders, and on it
goes.

Being asked is mostly for nothing, so the session lives a block of bars ahead, as far as only prices happen, and the
strategy is asked at one close after the other. Its first request throws away the rest of the block; how long the next
one is goes by how long it had asked for nothing.

A table of targets needs no wheel: its rows become events of the tape, and the engine runs through in one go.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.engine.session import Session
from backtest.engine.tape import TargetRows
from backtest.errors import InputError
from backtest.market.history import History
from backtest.research.walk import Walk
from backtest.state import (
    BY_DELIVERY,
    BY_LIQUIDATION,
    BY_ORDER,
    F_ACCOUNT,
    F_BAR,
    F_CAUSE,
    F_CONTRACTS,
    F_POSITION,
    FILL_ROWS,
    LEAVE,
    O_ACCOUNT,
    O_CONTRACTS,
    O_DONE_BAR,
    O_POSITION,
    O_REASON,
    O_STATE,
    ORDER_ROWS,
    REASON_NAMES,
    REFUSED,
    WAITING,
)  # fmt: skip
from backtest.strategy.hooks import asking, overrides, refuse_orders
from backtest.strategy.market import Market
from backtest.strategy.prefix import checked_targets
from backtest.strategy.schedule import wake_bars
from backtest.strategy.strategy import Event, Strategy
from backtest.strategy.targets import UNITS
from backtest.units import amount_of

Progress = Callable[[int, int], None]
CHUNK = 4096
TOLD = 512  # bars between two words on progress
LONGEST = 512  # closes of a block
KIND_OF_CAUSE = {int(BY_ORDER): "fill", int(BY_DELIVERY): "delivery", int(BY_LIQUIDATION): "liquidation"}


def target_rows(strategy: Strategy, history: History, turn: int | None = None) -> TargetRows | None:
    """The rows of a strategy that is a table, each for the bar after its own; None for a callback. `turn`: of the
    prefix check.
    """
    found = checked_targets(strategy, history, turn)
    if found is None:
        return None
    targets, said = found
    symbols = [instrument.symbol for instrument in history.instruments]
    size = np.full((len(said.bars), len(symbols)), LEAVE)
    size[:, [symbols.index(symbol) for symbol in said.symbols]] = np.where(np.isnan(said.values), LEAVE, said.values)
    stray = [] if targets.band is None else [targets.band_of(symbol) for symbol in symbols]
    return TargetRows(said.bars + 1, size, UNITS.index(targets.unit), targets.together, np.array(stray, np.float64))


def drive(strategy: Strategy, session: Session, progress: Progress | None = None) -> None:
    """Live through the whole history, asking the strategy where its schedule says."""
    history = session.history
    bars = len(history.time)
    if overrides(type(strategy), "targets"):
        for last in [*range(CHUNK, bars, CHUNK), bars]:
            session.advance(last)
            _tell(progress, last, bars)
        return
    market, opens = Market(history), int(history.time[0])
    known = market.as_of(opens)  # a strategy may keep it, so it moves along
    with asking(strategy, "start", opens, "before the bar of"):
        strategy.start(known)
    schedule = strategy.schedule
    wakes, kinds = wake_bars(schedule, history)
    listens = bool(kinds) or overrides(type(strategy), "on_event")
    stops = range(bars) if listens or wakes.all() else np.flatnonzero(wakes).tolist()
    walk, news = Walk(strategy, session, market, known), _News(session)
    at, many, idle = 0, 1, 0  # the next stop, how many of them in one block, and how many since the last request
    while at < len(stops):
        bar, asked = stops[at], session.requests
        ahead = ahead_of(session, stops, at, many)
        if progress is not None:  # told when the strategy has got there, so there the block ends
            ahead = min(ahead, bar - bar % TOLD + TOLD + 1)
        session.advance(bar + 1, ahead)
        session.ahead[:] = asked_of(wakes, bar + 1, session.lived)
        walk.step(bar)
        for event in news.since_last() if listens else ():
            if not kinds or event.kind in kinds:
                with asking(strategy, "on_event", int(history.time[bar])):
                    refuse_orders(strategy.on_event(event, walk.desks))  # type: ignore[func-returns-value]
        if wakes[bar]:
            walk.ask()
        if bar % TOLD == 0:
            _tell(progress, bar + 1, bars)
        if session.ahead:
            walk.ask_along(session.ahead)
        if strategy.schedule is not schedule and strategy.schedule != schedule:
            raise InputError(
                f"{type(strategy).__name__} changes its schedule on the way, from {schedule!r} to "
                f"{strategy.schedule!r}; it is read once, after `start`: be asked more often and look at the time"
            )
        end = bisect_left(stops, session.lived, at)
        if end - at > 1 and stops[end - 1] % TOLD == 0:
            _tell(progress, stops[end - 1] + 1, bars)
        idle += end - at
        if session.requests > asked:
            many, idle = min(idle, LONGEST), 0
        else:
            many = min(2 * many, LONGEST)
        at = end
    session.advance(bars)
    _tell(progress, bars, bars)


def ahead_of(session: Session, stops: Sequence[int], at: int, many: int) -> int:
    """How far the session may try to live on beyond a stop, so that a strategy can be asked at `many` of them before
    the engine is; 0 where the next of them is too far, or money is likely to move before it.
    """
    many = min(many, len(stops) - at)
    if many < 2:
        return 0
    bar, after, events = stops[at], stops[at + 1], session.tape.event_at
    if after > bar + 1 and (after - bar >= LONGEST or events[bar + 1] < events[after + 1]):
        return 0
    return stops[at + many - 1] + 1


def asked_of(wakes: npt.NDArray[np.bool_], first: int, last: int) -> Sequence[int]:
    """Bars first..last-1 at whose close `on_bar` is asked."""
    if first == last or wakes[first:last].all():
        return range(first, last)
    found: list[int] = (np.flatnonzero(wakes[first:last]) + first).tolist()
    return found


def _tell(progress: Progress | None, done: int, bars: int) -> None:
    if progress is not None:
        progress(done, bars)


class _News:
    """Fills and refusals since the strategy was last told, as events."""

    def __init__(self, session: Session) -> None:
        self.session, self.fills, self.orders = session, 0, 0
        self.waiting = np.zeros(0, np.int64)  # orders that were not over when the strategy was last told

    def since_last(self) -> list[Event]:
        """Events of the bars that closed since, in order: fills, then refusals."""
        book, count = self.session.book, int(self.session.book.count[FILL_ROWS])
        rows, prices = book.fill[self.fills : count], book.fill_price[self.fills : count]
        self.fills = count
        found = [
            Event(
                KIND_OF_CAUSE.get(int(row[F_CAUSE]), "liquidation"),
                self._time(row[F_BAR]),
                self._symbol(row[F_POSITION]),
                amount_of(int(row[F_CONTRACTS])),
                float(price[0]),
                position_side=self._side(row[F_ACCOUNT], row[F_POSITION]),
            )
            for row, price in zip(rows, prices, strict=True)
        ]
        return found + [
            Event(
                "refusal",
                self._time(row[O_DONE_BAR]),
                self._symbol(row[O_POSITION]),
                amount_of(int(row[O_CONTRACTS])),
                float("nan"),
                REASON_NAMES[row[O_REASON]],
                self._side(row[O_ACCOUNT], row[O_POSITION]),
            )
            for row in self._refused()
        ]

    def _refused(self) -> npt.NDArray[np.int64]:
        """Rows of the orders that have been refused since."""
        book, count = self.session.book, int(self.session.book.count[ORDER_ROWS])
        open_then = np.concatenate((self.waiting, np.arange(self.orders, count)))
        self.orders, state = count, book.order[open_then, O_STATE]
        self.waiting = open_then[state == WAITING]
        refused: npt.NDArray[np.int64] = book.order[open_then[state == REFUSED]]
        return refused

    def _time(self, bar: int) -> pd.Timestamp:
        return pd.Timestamp(int(self.session.history.time[bar]), unit="us", tz="UTC")

    def _symbol(self, position: int) -> str:
        return self.session.history.instruments[position % len(self.session.symbols)].symbol

    def _side(self, account: int, position: int) -> str:
        return self.session.side_of(int(account), int(position)) or ""
