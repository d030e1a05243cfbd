"""Orders: the one door through which a strategy changes an account.

An order is written down by `place`, looked at from the next bar's open on, and ends filled, cut, refused with a
reason, or cancelled. What is tried with it in between is `engine.attempt`.
"""

from __future__ import annotations

from backtest.engine.matching import is_due
from backtest.kernel import entry, kernel
from backtest.margin.orders import rest_orders
from backtest.margin.wallets import list_held
from backtest.state import (
    BY_STRATEGY, CANCELLED, DEAD, EXPIRED, LIVE_ORDERS, NOTHING, ORDER_ROWS, O_ACCOUNT, O_BAR, O_CONTRACTS,
    O_DONE_BAR, O_FLAGS, O_GROUP, O_KIND, O_POSITION, O_REASON, O_STATE, O_TRIED, PRICE, TRIGGER, WAITING,
)  # fmt: skip


@entry
def place(book, bar, account, position, kind, flags, group, contracts, price, trigger):
    """Write an order down at the close of `bar`; it is judged from the next bar's open on. Returns its id."""
    order = book.count[ORDER_ROWS]
    assert order < book.order.shape[0]
    book.order[order, O_BAR] = bar
    book.order[order, O_ACCOUNT] = account
    book.order[order, O_POSITION] = position
    book.order[order, O_KIND] = kind
    book.order[order, O_FLAGS] = flags
    book.order[order, O_GROUP] = group
    book.order[order, O_STATE] = WAITING
    book.order[order, O_CONTRACTS] = contracts
    book.order[order, O_TRIED] = NOTHING
    book.order_price[order, PRICE] = price
    book.order_price[order, TRIGGER] = trigger
    book.count[ORDER_ROWS] = order + 1
    book.live[book.count[LIVE_ORDERS]] = order
    book.count[LIVE_ORDERS] += 1
    return order


@kernel
def end_order(book, order, state, reason, bar):
    """The order is over: how, why and when."""
    book.order[order, O_STATE] = state
    book.order[order, O_REASON] = reason
    book.order[order, O_DONE_BAR] = bar


@entry
def cancel_order(book, rules, order, bar):
    """The strategy takes an order back; one that is over stays as it is."""
    if book.order[order, O_STATE] == WAITING:
        end_order(book, order, CANCELLED, BY_STRATEGY, bar)
        tidy_live(book)
        rest_orders(book, rules, book.order[order, O_ACCOUNT])
        list_held(book, rules, book.order[order, O_ACCOUNT])


@kernel
def tidy_live(book):
    """Drop the orders that are over from the list of waiting ones."""
    kept = 0
    for k in range(book.count[LIVE_ORDERS]):
        if book.order[book.live[k], O_STATE] == WAITING:
            book.live[kept] = book.live[k]
            kept += 1
    book.count[LIVE_ORDERS] = kept


@kernel
def cancel_dead(book, rules, tape, account, bar):
    """Orders on an instrument that has expired by now are over."""
    some = False
    for k in range(book.count[LIVE_ORDERS]):
        order = book.live[k]
        i = rules.instrument[book.order[order, O_POSITION]]
        if book.order[order, O_ACCOUNT] == account and 0.0 < rules.expiry[i] <= tape.years[bar]:
            end_order(book, order, EXPIRED, DEAD, bar)
            some = True
    if some:
        settle_orders(book, rules, account)


@kernel
def settle_orders(book, rules, account):
    """After orders ended: the waiting list, what they reserve, and the held lists."""
    tidy_live(book)
    rest_orders(book, rules, account)
    list_held(book, rules, account)


@kernel
def any_due(book, rules, tape, account, bar):
    """Whether the bar has something to do with any order of the account."""
    for k in range(book.count[LIVE_ORDERS]):
        if is_due(book, rules, tape, account, bar, book.live[k]):
            return True
    return False


@kernel
def next_fill(book, rules, tape, account, bar, last):
    """First bar after `bar` in which a waiting order of the account would fill or be seen; `last` if none does."""
    for k in range(book.count[LIVE_ORDERS]):
        order = book.live[k]
        if book.order[order, O_ACCOUNT] == account:
            for b in range(bar + 1, last):
                if is_due(book, rules, tape, account, b, order):
                    last = b
                    break
    return last
