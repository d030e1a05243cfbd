"""A look inside a bar: the account that opened it lives through its finer bars instead of its low and high.

Nothing but prices happens there: funding, orders and transfers of the bar were dealt with at its open. The same rules
margin and liquidate, on a tape of the finer bars; what they wrote down is then dated to the bar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from backtest.engine.book import grow
from backtest.engine.advance import advance
from backtest.engine.tape import PastMoves, make_tape
from backtest.state import (
    F_BAR, FILL_ROWS, INCIDENT_ROWS, L_BAR, LEDGER_ROWS, N_BAR, N_INSIDE, O_ACCOUNT, O_DONE_BAR, O_STATE, ORDER_ROWS,
    P_CLOSE, P_EACH, P_LOW_HIGH, P_WALLET, PATH, WAITING, Book, Rules, Tape,
)  # fmt: skip

if TYPE_CHECKING:
    from backtest.market.history import History

ROOM = 8192  # rows kept free for what may happen inside one bar
DATED = ((LEDGER_ROWS, "ledger", L_BAR), (FILL_ROWS, "fill", F_BAR), (INCIDENT_ROWS, "incident", N_BAR))
LOWEST = (P_CLOSE, P_LOW_HIGH, P_EACH)  # by the number of the path

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Inside:
    """One bar that was looked into: whose, which, and by bars of what length."""

    account: int
    bar: int
    interval_us: int


def with_room(book: Book) -> Book:
    """The book, with rows to spare."""
    used = max(int(book.count[counter]) for counter, _, _ in DATED)
    return book if used + ROOM < len(book.ledger) else grow(book, used + 2 * ROOM)


def inner_tape(fine: History, tape: Tape, bar: int) -> Tape:
    """A tape of the finer bars under the rules of their bar."""
    many = len(fine.time)
    tail = PastMoves(tape.tail_move, np.tile(tape.tail_rows[:, :, [bar]], (1, 1, many)), tape.tail_kind)
    return make_tape(fine, np.ascontiguousarray(np.tile(tape.rules_at[:, [bar]], (1, many))), tail=tail)


def look_inside(book: Book, rules: Rules, tape: Tape, fine: History | None, account: int, bar: int) -> None:
    """Live one account through the bar it has opened: on finer bars where there are any, else on the bar itself."""
    if fine is None:
        tape.finer[bar] = 0
        advance(book, rules, tape, bar + 1, bar + 1, account, bar)
    else:
        before, waited = [int(book.count[counter]) for counter, _, _ in DATED], waiting_of(book, account)
        many = len(fine.time)
        inner = with_path(book, many)
        advance(inner, rules, inner_tape(fine, tape, bar), many, many, account, 0)
        date_rows(book, before, waited, fine, bar)
        take_path(book, inner, rules, account, bar)
    book.cursor[account] = bar + 1


def with_path(book: Book, bars: int) -> Book:
    """The same books, with a path of their own for so many bars."""
    recorded = bars if book.path.shape[2] else 0
    paths = ("path", "wallet_path", "headroom")
    return book._replace(**{name: np.zeros((*getattr(book, name).shape[:-1], recorded)) for name in paths})


def date_rows(book: Book, before: list[int], waited: Ints, fine: History, bar: int) -> None:
    """What was written down inside the bar belongs to it; incidents keep the time of their finer bar."""
    incidents = book.incident[before[2] : book.count[INCIDENT_ROWS]]
    incidents[:, N_INSIDE] = fine.time[incidents[:, N_BAR].astype(np.int64)]
    for start, (counter, name, column) in zip(before, DATED, strict=True):
        getattr(book, name)[start : book.count[counter], column] = bar
    over = waited[book.order[waited, O_STATE] != WAITING]
    book.order[over, O_DONE_BAR] = bar


def take_path(book: Book, inner: Book, rules: Rules, account: int, bar: int) -> None:
    """The bar ends as its last finer bar does; its lowest ratios are the lowest inside it."""
    if not book.path.shape[2]:
        return
    book.path[:, account, bar] = inner.path[:, account, -1]
    for row in LOWEST:
        book.path[row, account, bar] = inner.path[row, account].min()
    lowest = int(inner.path[LOWEST[int(rules.switch[account, PATH])], account].argmin())
    book.path[P_WALLET, account, bar] = inner.path[P_WALLET, account, lowest]
    book.wallet_path[:, :, account, bar] = inner.wallet_path[:, :, account, -1]
    book.headroom[:, account, bar] = inner.headroom[:, account].min(axis=1)


def waiting_of(book: Book, account: int) -> Ints:
    """Orders of the account that wait."""
    orders = book.order[: book.count[ORDER_ROWS]]
    return np.flatnonzero((orders[:, O_ACCOUNT] == account) & (orders[:, O_STATE] == WAITING))
