"""What a strategy is shown of one closed bar after the other: prices, and its accounts' desks.

Showing has to be quick, since a strategy may ask to see every minute of years. One Bar and one set of desks are moved
from close to close for as long as the strategy keeps neither: whatever it keeps stays as it was, and a new one takes
its place. Names it looks at bar after bar are moved along, the others are read when they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from sys import getrefcount

import numpy as np
import numpy.typing as npt

from backtest.engine.session import Session
from backtest.strategy.bar import Bar
from backtest.strategy.desk import Desk, Desks
from backtest.strategy.hooks import asking, refuse_orders
from backtest.strategy.lookup import Lookup
from backtest.strategy.market import Market
from backtest.strategy.strategy import Strategy

Moving = list[tuple[Lookup, str, list[float]]]  # names that are looked at bar after bar, with their series
Asked = tuple[int, set[tuple[int, str]]]  # at which of the bars ahead, and which names of which lookup


def references(objects: Sequence[object]) -> int:
    """The most references that one of some objects has. Who keeps an object adds one: where there are as many as when
    it was made, nobody does, and it can be moved to another bar unseen.
    """
    return max((getrefcount(each) for each in objects), default=0)


def counts_references() -> bool:
    """Whether this Python tells by an object's references that somebody keeps it; where it does not, every bar is shown
    as one of its own.
    """
    each = object()
    alone = getrefcount(each)
    kept = [each]
    return getrefcount(each) == alone + len(kept)


COUNTS = counts_references()
ONCE = references([object()]) + 1  # of what stands in a list of what was handed out, and where it was found


class Walk:
    """A strategy's way through the closes of a session."""

    def __init__(self, strategy: Strategy, session: Session, market: Market, known: Market) -> None:
        self.strategy, self.session, self.market, self.known = strategy, session, market, known
        self._free = inf, inf  # references to the bar and to the desks that are no strategy's
        self._make(0)
        self._other = self.bar, self.desks
        self._make(0)

    def _make(self, number: int) -> None:
        """A Bar and desks that nobody has seen yet."""
        self.bar = Bar(self.market, number)
        self.desks = Desks({plan.name: Desk(self.session, k, self.bar) for k, plan in enumerate(self.session.plans)})
        self.known.move_along(self.bar)
        bar, desks = self._free
        self._free = min(bar, getrefcount(self.bar)), min(desks, getrefcount(self.desks))

    def _turn(self, number: int) -> None:
        """From what the strategy keeps to what it was shown before: by now it may have let go of that."""
        shown = self.bar, self.desks
        self.bar, self.desks = self._other
        self._other = shown
        del shown
        self.known.move_along(self.bar)
        if self._is_kept():
            self._make(number)
        else:
            self.bar._move_to(number)

    def _is_kept(self, here: int = 0) -> bool:
        """Whether the strategy keeps anything of what it was shown. `here`: how many variables of the caller do."""
        bar, desks = self._free
        return (
            not COUNTS
            or getrefcount(self.bar) - len(self.bar._lookups) - here > bar  # a lookup reads through its bar
            or getrefcount(self.desks) - here > desks
            or references(self.bar._lent) > ONCE
        )

    def step(self, number: int) -> None:
        """Show the bar of a number, which has closed."""
        if self._is_kept():
            self._turn(number)
        else:
            self.bar._move_to(number)

    def ask(self) -> None:
        """Ask `on_bar` at the bar that is shown."""
        with asking(self.strategy, "on_bar", self._opened):
            answer: object = self.strategy.on_bar(self.bar, self.desks)  # type: ignore[func-returns-value]
            if answer is not None:
                refuse_orders(answer)

    def ask_along(self, ahead: list[int]) -> None:
        """Show every bar ahead, in which nothing but prices has happened, and ask `on_bar`, until the list is empty."""
        with asking(self.strategy, "on_bar", self._opened):
            self._go_along(ahead)

    def _go_along(self, ahead: list[int]) -> None:
        """As `step` and `ask` at every bar, as quickly as it can be done: this is where a strategy spends its time."""
        strategy, session = self.strategy, self.session
        bars = slice(ahead[0], ahead[-1] + 1) if ahead[-1] - ahead[0] + 1 == len(ahead) else np.array(ahead)
        closes = (session.history.time[bars] + session.history.interval_us).tolist()
        moving: Moving = []
        asked: Asked = (-1, set())
        for each in [object()]:
            once = getrefcount(each) + 1
        self.step(ahead[0])
        bar, desks, lent = self.bar, self.desks, self.bar._lent
        bar_free, desks_free = getrefcount(bar), getrefcount(desks)
        for k, number in enumerate(ahead):
            session.bar = bar.number = number
            bar.closes_us = closes[k]
            for prices, name, column in moving:
                prices[name] = column[k]
            answer: object = strategy.on_bar(bar, desks)  # type: ignore[func-returns-value]
            if answer is not None:
                refuse_orders(answer)
            if bar._asked:
                asked = self._sort(asked, k, moving, bars)
            if COUNTS and getrefcount(bar) == bar_free and getrefcount(desks) == desks_free:
                for each in lent:
                    if getrefcount(each) != once:
                        break
                else:
                    continue
            each = None
            if self._is_kept(here=1):  # if not, a lookup was new
                self._turn(number)
                bar, desks, lent, moving = self.bar, self.desks, self.bar._lent, []
            bar_free, desks_free = getrefcount(bar), getrefcount(desks)

    def _sort(self, before: Asked, k: int, moving: Moving, bars: slice | npt.NDArray[np.int64]) -> Asked:
        """What was read at the k-th bar ahead moves along from now on if it was read at the one before too, and is
        forgotten if not.
        """
        at, names = before
        asked = self.bar._asked
        for prices, name in asked:
            if at == k - 1 and (id(prices), name) in names:
                moving.append((prices, name, self.bar._column(prices.series, name, bars)))
            else:
                del prices[name]
        found = k, {(id(prices), name) for prices, name in asked}
        asked.clear()
        return found

    def _opened(self) -> int:
        """Open of the bar that is shown."""
        return int(self.session.history.time[self.bar.number])
