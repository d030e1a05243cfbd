"""A trial: orders placed together are filled, the account's margin is asked, and if a rule says no everything is put
back as it was. No rule refuses an order that lowers the requirement.
"""

from __future__ import annotations

import numpy as np

from backtest.engine.fills import trade
from backtest.engine.judgement import judge, restore, save
from backtest.engine.matching import fill_price, takes, waits_for
from backtest.engine.order_size import in_lots, quote_notional, reduces, wanted
from backtest.kernel import kernel
from backtest.margin.orders import rest_orders
from backtest.margin.wallets import list_held
from backtest.state import (
    BY_ORDER, FORCED, LIMIT, LIVE_ORDERS, MAKER, NO_REASON, NO_VOLUME, OPEN, O_BEFORE, O_FILLED, O_FLAGS, O_GROUP,
    O_KIND, O_POSITION, O_TRIED, TAKER, VOLUME_SHARE,
)  # fmt: skip
from backtest.units import STEP, units


@kernel
def in_group(book, account, bar, group, order):
    """Whether a waiting order belongs to the account's group."""
    return book.order[order, O_GROUP] == group and waits_for(book, account, bar, order)


@kernel
def price_of(book, rules, tape, account, bar, order, met):
    """Price at which an order fills at the moment; NaN if it does not, or has nothing left to fill."""
    contracts = wanted(book, rules, account, order)
    if contracts == 0:
        return np.nan
    return fill_price(book, rules, tape, account, bar, order, met, contracts > 0)


@kernel
def share_of_volume(book, rules, tape, account, bar, group, met):
    """Largest share of the group that what is left of the bar's volumes takes; -1 if nothing of it fills now."""
    share, some = 1.0, False
    for m in range(book.count[LIVE_ORDERS]):
        order = book.live[m]
        if in_group(book, account, bar, group, order):
            if not np.isnan(price_of(book, rules, tape, account, bar, order, met)):
                some = True
                book.order[order, O_TRIED] = bar
                if book.order[order, O_FLAGS] & FORCED == 0:
                    i = rules.instrument[book.order[order, O_POSITION]]
                    room = rules.choice[account, VOLUME_SHARE] * tape.series[tape.volume_row[0, i], bar] / STEP
                    room = max(0.0, room - book.taken[i])
                    share = min(share, room / abs(wanted(book, rules, account, order)))
    return share if some else -1.0


@kernel
def trial(book, rules, tape, account, bar, group, share, met, point):
    """Fill a share of every order of the group that fills now, ask the rules, put everything back if one says no. What
    could fill only after another of the group did has its own turn.
    """
    save(book, account)
    moved, naked = False, False
    for m in range(book.count[LIVE_ORDERS]):
        order = book.live[m]
        if in_group(book, account, bar, group, order):
            book.order[order, O_BEFORE] = book.order[order, O_FILLED]
            price = price_of(book, rules, tape, account, bar, order, met)
            if not np.isnan(price) and book.order[order, O_TRIED] == bar:
                filled = fill_share(book, rules, tape, account, bar, order, price, share, point)
                moved |= filled
                naked |= not filled
    reason = NO_VOLUME
    if moved and not naked:
        rest_orders(book, rules, account)
        list_held(book, rules, account)
        reason = judge(book, rules, tape, account, bar)
    if reason != NO_REASON:
        undo_trial(book, rules, account, bar, group)
    return reason


@kernel
def fill_share(book, rules, tape, account, bar, order, price, share, point):
    """Trade the share of one order, in whole lots; False where that is nothing."""
    position = book.order[order, O_POSITION]
    i = rules.instrument[position]
    contracts = wanted(book, rules, account, order)
    if share < 1.0:
        contracts = in_lots(units(contracts * share), rules.lot[i])
        opens = not reduces(book, rules, account, position, contracts)
        if opens and quote_notional(rules, i, contracts, price) < rules.min_notional[i]:
            return False
    if contracts == 0:
        return False
    rates = rules.fee[tape.rules_at[rules.shape[account], bar], i]
    takes_now = point == OPEN and takes(book, rules, tape, order, bar)
    maker = book.order[order, O_KIND] == LIMIT and not takes_now
    fee = rates[MAKER] if maker else rates[TAKER]
    trade(book, rules, tape, bar, account, position, contracts, price, fee, BY_ORDER, point, order)
    book.order[order, O_FILLED] += contracts
    return True


@kernel
def largest_share(book, rules, tape, account, bar, group, share, met, point):
    """Largest share of the group that every rule accepts, by halving; 0 if none."""
    good, bad = 0.0, share
    for _ in range(24):
        middle = 0.5 * (good + bad)
        if trial(book, rules, tape, account, bar, group, middle, met, point) == NO_REASON:
            good = middle
            undo_trial(book, rules, account, bar, group)
        else:
            bad = middle
    return good


@kernel
def undo_trial(book, rules, account, bar, group):
    """Put a trial back: refused, or only asked."""
    restore(book, account)
    for m in range(book.count[LIVE_ORDERS]):
        order = book.live[m]
        if in_group(book, account, bar, group, order):
            book.order[order, O_FILLED] = book.order[order, O_BEFORE]
    rest_orders(book, rules, account)
    list_held(book, rules, account)
