"""Names by number, as every frame shows them: accounts, wallets, assets, symbols, sides; and the times of its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.engine.session import Session
from backtest.engine.statement import SIDES
from backtest.report.columns import Column, Columns, Words
from backtest.state import E_KIND, O_ACCOUNT, O_BAR, ORDER_ROWS, TARGETS

Ints = npt.NDArray[np.int64]


class Names:
    """Columns of names out of columns of the engine's numbers; -1 is none."""

    def __init__(self, session: Session) -> None:
        self.time_us, self.room = session.history.time, session.history.room
        self._kept: dict[Any, Any] = {}
        self._orders = session.book.order[: session.book.count[ORDER_ROWS]]
        self._by_table = bool((session.tape.event[:, E_KIND] == TARGETS).any())
        symbols = [i.symbol for i in session.history.instruments]
        self._account, self._asset = _words(plan.name for plan in session.plans), _words(session.history.assets)
        self._symbol = _words([*symbols, *symbols, ""])
        futures = [i.kind != "spot" for i in session.history.instruments]
        none = [""] * (2 * len(futures) + 1)
        both = [*(side if future else "" for side in SIDES for future in futures), ""]
        self._sides, self._side = (
            len(none),
            _words(name for plan in session.plans for name in (both if plan.two_sided else none)),
        )
        widest = max(len(plan.shape.names) for plan in session.plans)
        rows = [plan.shape.names + [""] * (widest + 1 - len(plan.shape.names)) for plan in session.plans]
        self._wallets, self._wallet = widest + 1, _words(name for row in rows for name in row)

    def once(self, name: Any, make: Callable[[], Any]) -> Any:
        """What is looked for once and asked for often."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def order(self, orders: Ints) -> Ints:
        """Numbers of orders, -1 none. Those of a table of targets are numbered by bar, then account: the engine writes
        down one account after the other, for as many bars as it is let live at once.
        """
        if not self._by_table or not (orders >= 0).any():
            return orders
        places = np.argsort(self.order_rows())
        return np.where(orders >= 0, places[orders], orders)

    def order_rows(self) -> Ints:
        """The engine's rows of orders, in the order of their numbers."""
        if not self._by_table:
            return np.arange(len(self._orders))
        return in_order(self._orders, O_BAR, O_ACCOUNT)

    def account(self, accounts: Ints) -> Words:
        """Accounts by name."""
        return Words(self._account, accounts)

    def asset(self, assets: Ints) -> Words:
        """Assets by code."""
        return Words(self._asset, assets)

    def symbol(self, positions: Ints) -> Words:
        """What positions are in."""
        return Words(self._symbol, positions)

    def side(self, accounts: Ints | int, positions: Ints) -> Words:
        """Sides of positions in hedge mode."""
        return Words(self._side, accounts * self._sides + positions % self._sides)

    def wallet(self, accounts: Ints | int, wallets: Ints) -> Words:
        """Wallets of accounts."""
        return Words(self._wallet, accounts * self._wallets + wallets % self._wallets)

    def by_bar(self, bars: Ints, makers: dict[str, Callable[[], Column]]) -> Columns:
        """Rows of these bars, labelled by their opens."""
        return Columns(len(bars), {"bar": lambda: bars, "time": lambda: self.room.take(self.time_us, bars), **makers})


def at_closes(part: slice, makers: dict[str, Callable[[], Column]]) -> Columns:
    """Rows of a stretch of bars, one each; `time` is among the makers."""
    return Columns(part.stop - part.start, {"bar": lambda: np.arange(part.start, part.stop), **makers})


def _words(names: Any) -> npt.NDArray[np.object_]:
    return np.array(list(names), dtype=object)


def listed(names: tuple[str, ...], numbers: Ints) -> Words:
    """Words of a list of the engine's, by number."""
    return Words(_words(names), numbers)


def in_order(rows: Ints, bar: Any, account: Any) -> Ints:
    """Canonical order: bar, account, then as written."""
    return np.lexsort((np.arange(len(rows)), rows[:, account], rows[:, bar]))
