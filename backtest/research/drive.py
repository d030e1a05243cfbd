"""A strategy at the wheel: history is lived up to the next bar it wants to be asked at, it writes orders, and on it
goes.

A table of targets needs no wheel: its rows become events of the tape, and the engine runs through in one go.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.engine.session import Session
from backtest.engine.tape import Event as TapeEvent
from backtest.market.history import History
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
    TARGETS,
)  # fmt: skip
from backtest.strategy.bar import Bar
from backtest.strategy.desk import Desk, Desks
from backtest.strategy.hooks import asking, overrides
from backtest.strategy.market import Market
from backtest.strategy.prefix import checked_targets
from backtest.strategy.schedule import wake_bars
from backtest.strategy.strategy import Event, Strategy
from backtest.units import STEP

Progress = Callable[[int, int], None]
CHUNK = 4096
KIND_OF_CAUSE = {int(BY_ORDER): "fill", int(BY_DELIVERY): "delivery", int(BY_LIQUIDATION): "liquidation"}


def target_rows(strategy: Strategy, history: History) -> tuple[list[TapeEvent], npt.NDArray[np.float64] | None]:
    """Tape events and rows of contracts wished, for a strategy that is a table; nothing for a callback."""
    targets = checked_targets(strategy, history)
    if targets is None:
        return [], None
    known = [instrument.symbol for instrument in history.instruments]
    values = targets.frame.reindex(columns=known).to_numpy(dtype=np.float64)
    rows = np.flatnonzero(np.isfinite(values).any(axis=1))
    table = np.where(np.isfinite(values[rows]), values[rows], LEAVE)
    together = float(targets.together)
    events = [
        TapeEvent(int(bar) + 1, int(TARGETS), k, -1, together)
        for k, bar in enumerate(rows)
        if bar + 1 < len(history.time)
    ]
    return events, np.ascontiguousarray(table) if len(table) else None


def drive(strategy: Strategy, session: Session, progress: Progress | None = None) -> None:
    """Live through the whole history, asking the strategy where its schedule says."""
    history = session.history
    bars = len(history.time)
    if overrides(type(strategy), "targets"):
        for last in [*range(CHUNK, bars, CHUNK), bars]:
            session.advance(last)
            _tell(progress, last, bars)
        return
    wakes, kinds = wake_bars(strategy.schedule, history)
    market, opens = Market(history), int(history.time[0])
    known = market.as_of(opens)  # a strategy may keep it, so it moves along
    with asking(strategy, "start", opens, "before the bar of"):
        strategy.start(known)
    wants_events = bool(kinds) or overrides(type(strategy), "on_event")
    news = _News(session)
    stops = range(bars) if wants_events or wakes.all() else [int(bar) for bar in np.flatnonzero(wakes)]
    for bar in stops:
        session.advance(bar + 1)
        closed = Bar(market, bar)
        known.move_to(closed.closes_us)
        desks = desks_at(session, closed)
        for event in news.since_last() if wants_events else ():
            if not kinds or event.kind in kinds:
                with asking(strategy, "on_event", int(history.time[bar])):
                    strategy.on_event(event, desks)  # type: ignore[arg-type]
        if wakes[bar]:
            with asking(strategy, "on_bar", int(history.time[bar])):
                strategy.on_bar(closed, desks)  # type: ignore[arg-type]
        if bar % 512 == 0:
            _tell(progress, bar + 1, bars)
    session.advance(bars)
    _tell(progress, bars, bars)


def _tell(progress: Progress | None, done: int, bars: int) -> None:
    if progress is not None:
        progress(done, bars)


def desks_at(session: Session, closed: Bar) -> Desks:
    """Every account's desk at the close of a bar."""
    return Desks({plan.name: Desk(session, k, closed) for k, plan in enumerate(session.plans)})


class _News:
    """Fills and refusals since the strategy was last told, as events."""

    def __init__(self, session: Session) -> None:
        self.session, self.fills, self.told = session, 0, -1

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
                float(row[F_CONTRACTS]) * STEP,
                float(price[0]),
                position_side=self._side(row[F_ACCOUNT], row[F_POSITION]),
            )
            for row, price in zip(rows, prices, strict=True)
        ]
        orders = book.order[: book.count[ORDER_ROWS]]
        over = orders[(orders[:, O_STATE] == REFUSED) & (orders[:, O_DONE_BAR] > self.told)]
        self.told = self.session.bar
        return found + [
            Event(
                "refusal",
                self._time(row[O_DONE_BAR]),
                self._symbol(row[O_POSITION]),
                float(row[O_CONTRACTS]) * STEP,
                float("nan"),
                REASON_NAMES[row[O_REASON]],
                self._side(row[O_ACCOUNT], row[O_POSITION]),
            )
            for row in over
        ]

    def _time(self, bar: int) -> pd.Timestamp:
        return pd.Timestamp(int(self.session.history.time[bar]), unit="us", tz="UTC")

    def _symbol(self, position: int) -> str:
        return self.session.history.instruments[position % len(self.session.symbols)].symbol

    def _side(self, account: int, position: int) -> str:
        return self.session.side_of(int(account), int(position)) or ""
