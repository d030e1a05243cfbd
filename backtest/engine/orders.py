"""Orders: the one door through which a strategy changes an account.

An order is written down by `place`, looked at from the next bar's open on, and ends filled, cut, refused with a
reason, or cancelled. `fill_orders` goes through the waiting ones, oldest first; orders placed together are one
group and are judged on the state after all of them. Judging is a trial: the fills are made, the account's margin is
asked, and if a rule says no everything is put back as it was. No rule refuses an order that lowers the requirement.
"""

from __future__ import annotations

import numpy as np

from backtest.engine.fills import trade
from backtest.engine.judgement import judge, note_before, restore, save
from backtest.engine.matching import fill_price, is_due, waits_for
from backtest.kernel import entry, kernel
from backtest.margin.moment import last_here
from backtest.margin.orders import rest_orders
from backtest.margin.wallets import list_held
from backtest.state import (
    BELOW_LOT, BY_ORDER, BY_STRATEGY, CANCELLED, CUTS, DEAD, EXPIRED, FILLED, FORCED, HERE, I64, INVERSE, LIMIT,
    LIVE_ORDERS, MAKER, MARKET, MIN_NOTIONAL, MOMENT, NO_REASON, NO_VOLUME, NOT_TRADABLE, NOTHING, O_ACCOUNT, O_BAR,
    O_BEFORE, O_CONTRACTS, O_DONE_BAR, O_FILLED, O_FLAGS, O_GROUP, O_KIND, O_POSITION, O_REASON, O_SEEN, O_STATE,
    O_TRIED, ONE, OPEN, ORDER_ROWS, PART_FILLED, POST_ONLY, REDUCE_ONLY, REFUSED, SPOT, TAKER, TAKES, TO_TARGET,
    TRIGGERED, TWO_SIDED, VOLUME_SHARE, WAITING, WOULD_CROSS, WOULD_OPEN,
)  # fmt: skip
from backtest.units import STEP, units


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
    book.order_price[order, HERE] = price
    book.order_price[order, ONE] = trigger
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
def fill_orders(book, rules, tape, account, bar):
    """Every waiting order the bar has something to do with at its open, oldest first; a group at its first member."""
    some = False
    for k in range(book.count[LIVE_ORDERS]):
        if is_due(book, rules, tape, account, bar, book.live[k]):
            attempt(book, rules, tape, account, bar, k, NOTHING, OPEN)
            some = True
    if some:
        settle_orders(book, rules, account)


@kernel
def fill_on_the_way(book, rules, tape, account, bar, k):
    """Fill the k-th waiting order at the moment its price was met."""
    order = book.live[k]
    book.order[order, O_TRIED] = bar
    attempt(book, rules, tape, account, bar, k, order, MOMENT)
    settle_orders(book, rules, account)


@kernel
def attempt(book, rules, tape, account, bar, k, met, point):
    """Try the group that the k-th waiting order belongs to, at the open or where the order `met` found its price."""
    group = book.order[book.live[k], O_GROUP]
    first_sight(book, rules, tape, account, bar, group)
    refuse_unfit(book, rules, tape, account, bar, group, met)
    share = share_of_volume(book, rules, tape, account, bar, group, met)
    if share < 0.0:
        return
    note_before(book, rules, tape, account, bar)
    reason = trial(book, rules, tape, account, bar, group, share, met, point)
    if reason != NO_REASON and reason != NO_VOLUME and rules.switch[account, CUTS] != 0:
        best = largest_share(book, rules, tape, account, bar, group, share, met, point)
        if best > 0.0:
            trial(book, rules, tape, account, bar, group, best, met, point)
            close_group(book, rules, account, bar, group, reason, met)
            return
    if reason == NO_REASON:
        close_group(book, rules, account, bar, group, NO_VOLUME if share < 1.0 else NO_REASON, met)
    elif reason == NO_VOLUME:
        close_group(book, rules, account, bar, group, reason, met)
    else:
        end_met(book, account, bar, group, reason, met)


@kernel
def in_group(book, account, bar, group, order):
    """Whether a waiting order belongs to the account's group."""
    return book.order[order, O_GROUP] == group and waits_for(book, account, bar, order)


@kernel
def first_sight(book, rules, tape, account, bar, group):
    """A limit order seen for the first time: post-only must not cross, and its reserve must be affordable. One leg
    refused takes the whole group with it: no leg stays naked.
    """
    refused = NO_REASON
    for m in range(book.count[LIVE_ORDERS]):
        order = book.live[m]
        if in_group(book, account, bar, group, order) and book.order[order, O_SEEN] == 0:
            if book.order[order, O_KIND] == LIMIT and book.order[order, O_FLAGS] & FORCED == 0:
                reason = look_at_limit(book, rules, tape, account, bar, order)
                refused = reason if refused == NO_REASON else refused
            book.order[order, O_SEEN] = 1
    if refused != NO_REASON:
        end_group(book, account, bar, group, refused)
        rest_orders(book, rules, account)
        list_held(book, rules, account)


@kernel
def look_at_limit(book, rules, tape, account, bar, order):
    """Why a limit order may not rest, or NO_REASON. One that crosses the open takes what is there, as a taker."""
    i = rules.instrument[book.order[order, O_POSITION]]
    limit, buys = book.order_price[order, HERE], book.order[order, O_CONTRACTS] > 0
    opened = last_here(book, rules, i)
    if opened <= limit if buys else opened >= limit:
        if book.order[order, O_FLAGS] & POST_ONLY:
            return WOULD_CROSS
        book.order[order, O_FLAGS] |= TAKES
    small = quote_notional(rules, i, book.order[order, O_CONTRACTS], limit) < rules.min_notional[i]
    if small and not reduces(book, rules, account, book.order[order, O_POSITION], book.order[order, O_CONTRACTS]):
        return MIN_NOTIONAL
    note_before(book, rules, tape, account, bar)
    save(book, account)
    book.order[order, O_SEEN] = 1
    rest_orders(book, rules, account)
    list_held(book, rules, account)
    return judge(book, rules, tape, account, bar)


@kernel
def refuse_unfit(book, rules, tape, account, bar, group, met):
    """Refusals that need no margin: nothing tradable, under a lot, under the minimum, reduce-only that would open.

    A market order in a group takes the whole group with it: no leg stays naked.
    """
    worst = NO_REASON
    for m in range(book.count[LIVE_ORDERS]):
        order = book.live[m]
        if in_group(book, account, bar, group, order):
            reason = unfit(book, rules, tape, account, bar, order)
            if (reason == BELOW_LOT or reason == MIN_NOTIONAL) and book.order[order, O_FLAGS] & TO_TARGET:
                end_order(book, order, FILLED, NO_REASON, bar)  # as near to its target as an order can bring it
            elif reason != NO_REASON:
                worst = reason
    if worst != NO_REASON:
        end_met(book, account, bar, group, worst, met)


@kernel
def unfit(book, rules, tape, account, bar, order):
    """Why an order cannot be filled at all, or NO_REASON."""
    position = book.order[order, O_POSITION]
    i = rules.instrument[position]
    waits = book.order[order, O_KIND] != MARKET
    if book.order[order, O_FLAGS] & FORCED:
        return NO_REASON
    if tape.tradable[i, bar] == 0:
        return NO_REASON if waits else NOT_TRADABLE
    contracts = wanted(book, rules, account, order)
    if contracts == 0:
        if book.order[order, O_FLAGS] & REDUCE_ONLY:
            return NO_REASON if waits else WOULD_OPEN
        return BELOW_LOT
    if rules.switch[account, TWO_SIDED] != 0 and wrong_side(book, rules, account, position, contracts):
        return WOULD_OPEN
    if waits or reduces(book, rules, account, position, contracts):
        return NO_REASON
    if quote_notional(rules, i, contracts, last_here(book, rules, i)) < rules.min_notional[i]:
        return MIN_NOTIONAL
    return NO_REASON


@kernel
def wrong_side(book, rules, account, position, contracts):
    """In hedge mode a long position never goes short by an order, nor a short one long."""
    after = book.contracts[position, account] + contracts
    return after < 0 if position < len(rules.kind) else after > 0


@kernel
def quote_notional(rules, i, contracts, price):
    """Notional in the quote currency, as exchanges state their minimum."""
    each = rules.size[i] if rules.kind[i] == INVERSE else rules.size[i] * price
    return abs(contracts) * STEP * each


@kernel
def reduces(book, rules, account, position, contracts):
    """Whether a futures order only closes what is there, or a spot sale empties the wallet of a coin."""
    held = position_of(book, rules, account, position)
    if rules.kind[rules.instrument[position]] == SPOT:
        return contracts < 0 and held + contracts < rules.lot[rules.instrument[position]]
    return held != 0 and (held > 0) != (contracts > 0) and abs(contracts) <= abs(held)


@kernel
def wanted(book, rules, account, order):
    """Signed steps of contracts an order still asks for, in whole lots, toward zero; a reduce-only one no more than is
    there to close.
    """
    position = book.order[order, O_POSITION]
    i = rules.instrument[position]
    contracts = book.order[order, O_CONTRACTS] - book.order[order, O_FILLED]
    if book.order[order, O_FLAGS] & FORCED:
        return contracts
    held = position_of(book, rules, account, position)
    if book.order[order, O_FLAGS] & TO_TARGET:
        contracts = book.order[order, O_CONTRACTS] - held
    if book.order[order, O_FLAGS] & REDUCE_ONLY:
        if held == 0 or (held > 0) == (contracts > 0):
            return I64(0)
        contracts = max(contracts, -held) if held > 0 else min(contracts, -held)
    return in_lots(contracts, rules.lot[i])


@kernel
def in_lots(contracts, lot):
    """Whole lots, toward zero."""
    return (contracts // lot) * lot if contracts >= 0 else -((-contracts // lot) * lot)


@kernel
def position_of(book, rules, account, position):
    """Steps held: contracts of a future; of spot, the coins in the spot wallet less those owed."""
    i = rules.instrument[position]
    if rules.kind[i] != SPOT:
        return book.contracts[position, account]
    shape = rules.shape[account]
    owned = book.balance[rules.spot_wallet[shape], rules.base[i], account]
    if rules.loan_wallet[shape] >= 0:
        owned += book.balance[rules.loan_wallet[shape], rules.base[i], account]
    return owned


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
    """Fill a share of every order of the group that fills now, ask the rules, put everything back if one says no."""
    save(book, account)
    moved, naked = False, False
    for m in range(book.count[LIVE_ORDERS]):
        order = book.live[m]
        if in_group(book, account, bar, group, order):
            book.order[order, O_BEFORE] = book.order[order, O_FILLED]
            price = price_of(book, rules, tape, account, bar, order, met)
            if not np.isnan(price):
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
    maker = book.order[order, O_KIND] == LIMIT and book.order[order, O_FLAGS] & TAKES == 0
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


@kernel
def close_group(book, rules, account, bar, group, reason, met):
    """After a trial that stood: what is done is over; a limit waits for its rest, and a stop that was triggered and
    found no volume for the next open.
    """
    for m in range(book.count[LIVE_ORDERS]):
        order = book.live[m]
        mine = order == met if met >= 0 else book.order[order, O_TRIED] == bar
        if mine and in_group(book, account, bar, group, order):
            filled, kind = book.order[order, O_FILLED], book.order[order, O_KIND]
            book.taken[rules.instrument[book.order[order, O_POSITION]]] += abs(filled - book.order[order, O_BEFORE])
            book.order[order, O_BEFORE] = filled
            whole = wanted(book, rules, account, order) == 0 or (kind != LIMIT and reason == NO_REASON)
            if whole and filled != 0:
                end_order(book, order, FILLED, NO_REASON, bar)
            elif kind != LIMIT and kind != MARKET and reason == NO_VOLUME:
                book.order[order, O_FLAGS] |= TRIGGERED
            elif kind != LIMIT:
                end_order(book, order, PART_FILLED if filled != 0 else REFUSED, reason, bar)


@kernel
def end_group(book, account, bar, group, reason):
    """Every waiting order of the group is refused for one reason."""
    for m in range(book.count[LIVE_ORDERS]):
        order = book.live[m]
        if in_group(book, account, bar, group, order):
            end_order(book, order, REFUSED, reason, bar)


@kernel
def end_met(book, account, bar, group, reason, met):
    """At the open the whole group is refused; on the way the order that met its price alone."""
    if met < 0:
        end_group(book, account, bar, group, reason)
    else:
        filled = book.order[met, O_FILLED]
        end_order(book, met, PART_FILLED if filled != 0 else REFUSED, reason, bar)


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
