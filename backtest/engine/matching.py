"""When in a bar an order fills, and at what price.

At the open fill: market orders, limits and triggers that the open is already beyond, and stops triggered before. The
rest fills on the way: prices go from the open to the low, then to the high, so buys below and stops under the market
come first, sales above and stops over it after. A limit that the open it arrives at is already beyond takes what is
there, for no worse than its price, bar after bar if need be. One that waits fills at its price, and only where the bar
trades past it by a tick (or touches it, where the account says so). What was triggered goes to the market: a
take-profit fills at the price traded then, a stop at the worse of that and its trigger.
"""

from __future__ import annotations

import numpy as np

from backtest.kernel import kernel
from backtest.margin.moment import last_here
from backtest.state import (
    BY_LAST, CLOSE, FORCED, HERE, HIGH, I64, LIMIT, LIVE_ORDERS, LOW, MARKET, NOTHING, OPEN, O_ACCOUNT, O_BAR,
    O_CONTRACTS, O_FLAGS, O_KIND, O_POSITION, O_SEEN, O_STATE, O_TRIED, PRICE, SLIPPAGE, STOP, TAKES, TAKE_PROFIT,
    TOUCH, TRIGGER, TRIGGERED, WAITING,
)  # fmt: skip

NEVER = 2.0  # a share of the way beyond its end


@kernel
def waits_for(book, account, bar, order):
    """Whether an order of the account, placed before the bar, still waits in it."""
    return (
        book.order[order, O_ACCOUNT] == account
        and book.order[order, O_STATE] == WAITING
        and book.order[order, O_BAR] < bar
    )


@kernel
def is_immediate(book, order):
    """Whether an order fills at the next open whatever the price: at the market, or triggered before."""
    return book.order[order, O_KIND] == MARKET or book.order[order, O_FLAGS] & (FORCED | TRIGGERED) != 0


@kernel
def falls_to(book, order):
    """Whether an order waits for the price to fall: buys at a limit and take-profits that buy, stops that sell."""
    buys = book.order[order, O_CONTRACTS] > 0
    return (not buys) if book.order[order, O_KIND] == STOP else buys


@kernel
def level_of(book, order):
    """The price an order waits for."""
    return book.order_price[order, PRICE if book.order[order, O_KIND] == LIMIT else TRIGGER]


@kernel
def beyond(book, rules, account, order):
    """How far past its price a bar must trade for an order to fill."""
    if book.order[order, O_KIND] != LIMIT or rules.switch[account, TOUCH] != 0:
        return 0.0
    return rules.tick[rules.instrument[book.order[order, O_POSITION]]]


@kernel
def watched(book, rules, tape, bar, order, point):
    """The price an order looks at, at a point of a bar: traded for limits, the mark (or traded) for triggers."""
    i = rules.instrument[book.order[order, O_POSITION]]
    if book.order[order, O_KIND] == LIMIT or book.order[order, O_FLAGS] & BY_LAST != 0:
        return tape.series[tape.last_row[point, i, HERE], bar]
    return tape.series[tape.mark_row[point, i, HERE], bar]


@kernel
def reached(book, rules, tape, account, bar, order, point):
    """Whether an order's price is reached at a point of a bar."""
    price, level = watched(book, rules, tape, bar, order, point), level_of(book, order)
    if falls_to(book, order):
        return price <= level - beyond(book, rules, account, order)
    return price >= level + beyond(book, rules, account, order)


@kernel
def takes(book, rules, tape, order, bar):
    """Whether a limit order takes what is there at a bar's open: the market was beyond its price when it came, and at
    every close since. Once it was not, the rest of the order lies in the book.
    """
    if book.order[order, O_FLAGS] & TAKES == 0:
        return False
    i, limit = rules.instrument[book.order[order, O_POSITION]], book.order_price[order, PRICE]
    closes, buys = tape.series[tape.last_row[CLOSE, i, HERE]], book.order[order, O_CONTRACTS] > 0
    for b in range(book.order[order, O_BAR] + 1, bar):
        if not (closes[b] < limit if buys else closes[b] > limit):
            return False
    return True


@kernel
def is_tradable(book, rules, tape, bar, order):
    """Whether the order's instrument trades in the bar."""
    return tape.tradable[rules.instrument[book.order[order, O_POSITION]], bar] != 0


@kernel
def fills_at_open(book, rules, tape, account, bar, order):
    """Whether an order fills at a bar's open."""
    if is_immediate(book, order):
        return True
    return is_tradable(book, rules, tape, bar, order) and reached(book, rules, tape, account, bar, order, OPEN)


@kernel
def is_due(book, rules, tape, account, bar, order):
    """Whether a bar has something to do with an order of the account: fill it, or look at it for the first time."""
    if not waits_for(book, account, bar, order):
        return False
    if is_immediate(book, order) or book.order[order, O_SEEN] == 0:
        return True
    if not is_tradable(book, rules, tape, bar, order):
        return False
    return reached(book, rules, tape, account, bar, order, LOW if falls_to(book, order) else HIGH)


@kernel
def share_of_leg(book, rules, tape, account, bar, order, source, target):
    """Share of the way from one point to the next at which an order's price is met; NEVER if it is not on this leg.

    One look a bar: what was tried at the open, or before on the way, waits for the next bar.
    """
    if not waits_for(book, account, bar, order) or book.order[order, O_TRIED] == bar or is_immediate(book, order):
        return NEVER
    if falls_to(book, order) != (target == LOW) or not is_tradable(book, rules, tape, bar, order):
        return NEVER
    if not reached(book, rules, tape, account, bar, order, target):
        return NEVER
    start = watched(book, rules, tape, bar, order, source)
    end = watched(book, rules, tape, bar, order, target)
    if start == end:
        return 1.0
    return min(1.0, max(0.0, (start - level_of(book, order)) / (start - end)))


@kernel
def next_on_leg(book, rules, tape, account, bar, source, target):
    """The order met first on a leg, the oldest of several, by its place among the waiting ones; and where. (-1, NEVER)
    if none.
    """
    best, first = NOTHING, NEVER
    for k in range(book.count[LIVE_ORDERS]):
        share = share_of_leg(book, rules, tape, account, bar, book.live[k], source, target)
        if share < first:
            best, first = I64(k), share
    return best, first


@kernel
def fill_price(book, rules, tape, account, bar, order, met, buys):
    """Price at which an order fills at the moment; NaN if it does not. `met`: the order whose price was met on the way,
    -1 at the open.
    """
    i = rules.instrument[book.order[order, O_POSITION]]
    if book.order[order, O_FLAGS] & FORCED:
        return book.order_price[order, PRICE]
    if not is_tradable(book, rules, tape, bar, order):
        return np.nan
    if order != met and (met >= 0 or not fills_at_open(book, rules, tape, account, bar, order)):
        return np.nan
    slip = 1.0 + rules.choice[account, SLIPPAGE] if buys else 1.0 - rules.choice[account, SLIPPAGE]
    market, limit = last_here(book, rules, i) * slip, book.order_price[order, PRICE]
    if book.order[order, O_KIND] == LIMIT:
        if met >= 0 or not takes(book, rules, tape, order, bar):
            return limit
        return min(limit, market) if buys else max(limit, market)
    if is_immediate(book, order) or book.order[order, O_KIND] == TAKE_PROFIT:
        return market
    trigger = book.order_price[order, TRIGGER] * slip
    return max(trigger, market) if buys else min(trigger, market)
