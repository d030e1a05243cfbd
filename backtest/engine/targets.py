"""Rows of targets: the engine sizes them at a close and follows them, exactly as a strategy asked there would.

A size may be told in contracts, in coins, in USD or as a share of the account's equity. With a band, a row is followed
only where a position has strayed too far from what it wishes, so a stretch goes on through the rows before that.
"""

from __future__ import annotations

import numpy as np

from backtest.engine.events import concerns
from backtest.engine.order_size import position_at
from backtest.engine.orders import place
from backtest.kernel import kernel
from backtest.state import (
    BLOCK, CLOSE, E_BAR, E_KIND, E_SUBJECT, INVERSE, IN_COINS, IN_CONTRACTS, IN_EQUITY, LEAVE, MARKET, NOTHING,
    ORDER_ROWS, O_BAR, P_EQUITY, TARGETS, TO_TARGET,
)  # fmt: skip
from backtest.units import HEADROOM, STEP, STEPS_PER_UNIT, units

LEAST_PATIENCE = 32  # bars looked at together at least; what lies beyond the next order is looked at in vain


@kernel
def follow_targets(book, rules, tape, account, bar):
    """Rows that become market orders at the open of `bar`, sized at the close before it, one group a row. Returns
    whether the ledger holds every size.
    """
    for event in range(tape.event_at[bar], tape.event_at[bar + 1]):
        if is_row_of(tape, event, account) and is_followed(book, rules, tape, account, event, NOTHING):
            together = tape.number[event, 0] > 0.0
            group = book.count[ORDER_ROWS]
            for i in range(len(rules.kind)):
                if wishes(tape, event, i):
                    size = wished(book, rules, tape, account, event, i)
                    if not abs(size) <= HEADROOM:
                        return False
                    own = group if together else book.count[ORDER_ROWS]
                    steps = units(size * STEPS_PER_UNIT)
                    place(book, bar - 1, account, i, MARKET, TO_TARGET, own, steps, 0.0, 0.0)
    return True


@kernel
def first_stray(book, rules, tape, account, first, last):
    """First bar after `first` at whose open a row is to be followed; `last` if none is. The bars before `last` are
    recorded.
    """
    if len(tape.stray) > 0:
        for event in range(tape.event_at[first + 1], tape.event_at[last]):
            if is_row_of(tape, event, account):
                bar = tape.event[event, E_BAR]
                if is_followed(book, rules, tape, account, event, bar - 1 - first):
                    return bar
    return last


@kernel
def patience(book, tape, bar):
    """Bars worth looking at together from `bar` on: where rows have bands, as many as lay between the last two orders,
    or twice as many as have passed since.
    """
    count = book.count[ORDER_ROWS]
    if len(tape.stray) == 0 or count == 0:
        return BLOCK
    last = book.order[count - 1, O_BAR]
    before = last
    for order in range(count - 1, -1, -1):
        if book.order[order, O_BAR] < last:
            before = book.order[order, O_BAR]
            break
    return min(max(last - before, 2 * (bar - last), LEAST_PATIENCE), BLOCK)


@kernel
def is_row_of(tape, event, account):
    """Whether an event is a row of targets for the account."""
    return tape.event[event, E_KIND] == TARGETS and concerns(tape, event, account)


@kernel
def wishes(tape, event, i):
    """Whether a row says anything of an instrument."""
    return tape.target[tape.event[event, E_SUBJECT], i] != LEAVE


@kernel
def is_followed(book, rules, tape, account, event, j):
    """Whether a row leads to orders, by what is held at bar j of the stretch before it (NOTHING: by the books).

    Shares of an equity that is not above zero are no sizes.
    """
    if tape.number[event, 1] == IN_EQUITY and not equity_before(book, tape, account, event) > 0.0:
        return False
    if len(tape.stray) == 0:
        return True
    for i in range(len(rules.kind)):
        if wishes(tape, event, i) and tape.stray[i] < np.inf:
            aim = wished(book, rules, tape, account, event, i)
            if strays(position_at(book, rules, account, i, j), aim, tape.stray[i], rules.lot[i]):
                return True
    return False


@kernel
def strays(held, aim, share, lot):
    """Whether so many steps held are further from an aim than a share of it, and a whole lot would bring them nearer.

    A fee taken in coins leaves less than a lot behind, which no order can sell: that must not turn the band off.
    """
    if abs(np.rint(aim * STEPS_PER_UNIT) - held) < lot:
        return False
    if aim == 0.0:
        return held != 0
    return abs(held * STEP / aim - 1.0) > share


@kernel
def equity_before(book, tape, account, event):
    """Equity at the close before an event."""
    return book.path[P_EQUITY, account, tape.event[event, E_BAR] - 1]


@kernel
def wished(book, rules, tape, account, event, i):
    """Contracts that a row wishes of an instrument, at the close before it; as `Desk.contracts_of` reckons them."""
    size, unit = tape.target[tape.event[event, E_SUBJECT], i], tape.number[event, 1]
    close = tape.event[event, E_BAR] - 1
    if unit == IN_CONTRACTS:
        return size
    if unit == IN_EQUITY:
        size *= equity_before(book, tape, account, event)
    if unit != IN_COINS:
        size /= tape.series[tape.index_row[CLOSE, rules.base[i], 0], close]
    if rules.kind[i] == INVERSE:
        size *= tape.series[tape.mark_row[CLOSE, i, 0], close]
    return size / rules.size[i]
