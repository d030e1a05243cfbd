"""Orders: the one door through which a strategy changes an account.

An order is written down by `place`, looked at from the next bar's open on, and ends filled, cut, refused with a
reason, or cancelled. `fill_orders` goes through the waiting ones, oldest first; orders placed together are one
group and are judged on the state after all of them. Judging is a trial: the fills are made, the account's margin is
asked, and if a rule says no everything is put back as it was. No rule refuses an order that lowers the requirement.
"""

from __future__ import annotations

import numpy as np

from backtest.engine.fills import trade
from backtest.engine.judgement import judge, note_before, rest_orders, restore, save
from backtest.kernel import entry, kernel
from backtest.margin.wallets import last_here, list_held
from backtest.state import (
    BELOW_LOT, BY_LAST, BY_ORDER, BY_STRATEGY, CANCELLED, CUTS, DEAD, EXPIRED, FILLED, FORCED, HERE, HIGH, LIMIT,
    LIVE_ORDERS, LOW, MAKER, MARKET, MIN_NOTIONAL, NO_REASON, NO_VOLUME, NOT_TRADABLE, O_ACCOUNT, O_BAR, O_BEFORE,
    O_CONTRACTS, O_DONE_BAR, O_FILLED, O_FLAGS, O_GROUP, O_KIND, O_POSITION, O_REASON, O_SEEN, O_STATE, ONE, OPEN,
    ORDER_ROWS, PART_FILLED, POST_ONLY, REDUCE_ONLY, REFUSED, SLIPPAGE, SPOT, STOP, TAKER, TO_TARGET, TOUCH, TWO_SIDED,
    VOLUME_SHARE, WAITING, WOULD_CROSS, WOULD_OPEN,
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
    """Every waiting order of the account placed before this bar, oldest first; a group at its first member."""
    some = False
    for k in range(book.count[LIVE_ORDERS]):
        order = book.live[k]
        if is_due(book, rules, tape, account, bar, order):
            attempt(book, rules, tape, account, bar, k)
            some = True
    if some:
        settle_orders(book, rules, account)


@kernel
def attempt(book, rules, tape, account, bar, k):
    """Try the group that the k-th waiting order belongs to."""
    group = book.order[book.live[k], O_GROUP]
    first_sight(book, rules, tape, account, bar, group, k)
    refuse_unfit(book, rules, tape, account, bar, group, k)
    share = share_of_volume(book, rules, tape, account, bar, group, k)
    if share < 0.0:
        return
    note_before(book, rules, tape, account, bar)
    reason = trial(book, rules, tape, account, bar, group, k, share)
    if reason != NO_REASON and rules.switch[account, CUTS] != 0:
        best = largest_share(book, rules, tape, account, bar, group, k, share)
        if best > 0.0:
            trial(book, rules, tape, account, bar, group, k, best)
            close_group(book, rules, account, bar, group, k, reason)
            return
    if reason == NO_REASON:
        close_group(book, rules, account, bar, group, k, NO_VOLUME if share < 1.0 else NO_REASON)
    elif reason == NO_VOLUME:
        close_group(book, rules, account, bar, group, k, reason)
    else:
        end_group(book, account, bar, group, k, reason)


@kernel
def in_group(book, account, bar, group, order):
    """Whether a waiting order belongs to the account's group."""
    return (
        book.order[order, O_GROUP] == group
        and book.order[order, O_ACCOUNT] == account
        and book.order[order, O_STATE] == WAITING
        and book.order[order, O_BAR] < bar
    )


@kernel
def first_sight(book, rules, tape, account, bar, group, k):
    """A limit order seen for the first time: post-only must not cross, and its reserve must be affordable."""
    for m in range(k, book.count[LIVE_ORDERS]):
        order = book.live[m]
        if (
            in_group(book, account, bar, group, order)
            and book.order[order, O_KIND] == LIMIT
            and book.order[order, O_SEEN] == 0
        ):
            i = rules.instrument[book.order[order, O_POSITION]]
            limit, buys = book.order_price[order, HERE], book.order[order, O_CONTRACTS] > 0
            crosses = last_here(book, rules, i) <= limit if buys else last_here(book, rules, i) >= limit
            if crosses and book.order[order, O_FLAGS] & POST_ONLY:
                end_order(book, order, REFUSED, WOULD_CROSS, bar)
            elif book.order[order, O_FLAGS] & FORCED == 0:
                note_before(book, rules, tape, account, bar)
                save(book, account)
                book.order[order, O_SEEN] = 1
                rest_orders(book, rules, account)
                list_held(book, rules, account)
                reason = judge(book, rules, tape, account, bar)
                if reason != NO_REASON:
                    end_order(book, order, REFUSED, reason, bar)
                    rest_orders(book, rules, account)
                    list_held(book, rules, account)
            book.order[order, O_SEEN] = 1


@kernel
def refuse_unfit(book, rules, tape, account, bar, group, k):
    """Refusals that need no margin: nothing tradable, under a lot, under the minimum, reduce-only that would open.

    A market order in a group takes the whole group with it: no leg stays naked.
    """
    worst = NO_REASON
    for m in range(k, book.count[LIVE_ORDERS]):
        order = book.live[m]
        if in_group(book, account, bar, group, order):
            reason = unfit(book, rules, tape, account, bar, order)
            if reason == BELOW_LOT and book.order[order, O_FLAGS] & TO_TARGET:
                end_order(book, order, FILLED, NO_REASON, bar)  # already at its target
            elif reason != NO_REASON:
                worst = reason
    if worst != NO_REASON:
        end_group(book, account, bar, group, k, worst)


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
        return BELOW_LOT
    if rules.switch[account, TWO_SIDED] != 0 and wrong_side(book, rules, account, position, contracts):
        return WOULD_OPEN
    if reduces(book, rules, account, position, contracts):
        return NO_REASON
    if book.order[order, O_FLAGS] & REDUCE_ONLY:
        return WOULD_OPEN
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
    each = rules.size[i] if rules.kind[i] == 2 else rules.size[i] * price
    return abs(contracts) * STEP * each


@kernel
def reduces(book, rules, account, position, contracts):
    """Whether a futures order only closes what is there (a spot sale always does)."""
    if rules.kind[rules.instrument[position]] == SPOT:
        return contracts < 0
    held = book.contracts[position, account]
    return held != 0 and (held > 0) != (contracts > 0) and abs(contracts) <= abs(held)


@kernel
def wanted(book, rules, account, order):
    """Signed steps of contracts an order still asks for, in whole lots, toward zero."""
    position = book.order[order, O_POSITION]
    i = rules.instrument[position]
    contracts = book.order[order, O_CONTRACTS] - book.order[order, O_FILLED]
    if book.order[order, O_FLAGS] & FORCED:
        return contracts
    if book.order[order, O_FLAGS] & TO_TARGET:
        contracts = book.order[order, O_CONTRACTS] - position_of(book, rules, account, position)
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
def fill_price(book, rules, tape, account, bar, order):
    """Price at which the order fills in this bar; NaN if it does not."""
    i = rules.instrument[book.order[order, O_POSITION]]
    kind, flags = book.order[order, O_KIND], book.order[order, O_FLAGS]
    if flags & FORCED:
        return book.order_price[order, HERE]
    if tape.tradable[i, bar] == 0:
        return np.nan
    buys = wanted(book, rules, account, order) > 0
    slip = 1.0 + rules.choice[account, SLIPPAGE] if buys else 1.0 - rules.choice[account, SLIPPAGE]
    if kind == MARKET:
        return last_here(book, rules, i) * slip
    if kind == LIMIT:
        return (
            book.order_price[order, HERE] if trades_through(book, rules, tape, account, bar, order, i, buys) else np.nan
        )
    if not triggered(book, rules, tape, bar, order, i, buys, kind):
        return np.nan
    trigger, opened = book.order_price[order, ONE], last_here(book, rules, i)
    return (max(trigger, opened) if buys else min(trigger, opened)) * slip


@kernel
def trades_through(book, rules, tape, account, bar, order, i, buys):
    """A limit fills only if the bar trades past it by one tick (or touches it, where the account says so)."""
    beyond = 0.0 if rules.switch[account, TOUCH] != 0 else rules.tick[i]
    limit = book.order_price[order, HERE]
    if buys:
        return tape.series[tape.last_row[LOW, i, 0], bar] <= limit - beyond
    return tape.series[tape.last_row[HIGH, i, 0], bar] >= limit + beyond


@kernel
def triggered(book, rules, tape, bar, order, i, buys, kind):
    """A stop triggers when price runs against its side, a take-profit when it runs with it."""
    by_last = book.order[order, O_FLAGS] & BY_LAST
    high = tape.series[tape.last_row[HIGH, i, 0] if by_last else tape.mark_row[HIGH, i, 0], bar]
    low = tape.series[tape.last_row[LOW, i, 0] if by_last else tape.mark_row[LOW, i, 0], bar]
    rising = buys == (kind == STOP)
    return high >= book.order_price[order, ONE] if rising else low <= book.order_price[order, ONE]


@kernel
def share_of_volume(book, rules, tape, account, bar, group, k):
    """Largest share of the group that the bars' volumes take; -1 if nothing of it fills in this bar."""
    share, some = 1.0, False
    for m in range(k, book.count[LIVE_ORDERS]):
        order = book.live[m]
        if in_group(book, account, bar, group, order) and not np.isnan(
            fill_price(book, rules, tape, account, bar, order)
        ):
            some = True
            contracts = abs(wanted(book, rules, account, order))
            if book.order[order, O_FLAGS] & FORCED == 0 and contracts > 0:
                i = rules.instrument[book.order[order, O_POSITION]]
                room = rules.choice[account, VOLUME_SHARE] * tape.series[tape.volume_row[0, i], bar] / STEP
                share = min(share, room / contracts)
    return share if some else -1.0


@kernel
def trial(book, rules, tape, account, bar, group, k, share):
    """Fill a share of every fillable order of the group, ask the rules, and put everything back if one says no."""
    save(book, account)
    moved = False
    for m in range(k, book.count[LIVE_ORDERS]):
        order = book.live[m]
        if in_group(book, account, bar, group, order):
            book.order[order, O_BEFORE] = book.order[order, O_FILLED]
            price = fill_price(book, rules, tape, account, bar, order)
            if not np.isnan(price):
                moved |= fill_share(book, rules, tape, account, bar, order, price, share)
    if not moved:
        return NO_VOLUME
    rest_orders(book, rules, account)
    list_held(book, rules, account)
    reason = judge(book, rules, tape, account, bar)
    if reason != NO_REASON:
        undo_trial(book, rules, account, bar, group, k)
    return reason


@kernel
def fill_share(book, rules, tape, account, bar, order, price, share):
    """Trade the share of one order, in whole lots."""
    position = book.order[order, O_POSITION]
    i = rules.instrument[position]
    contracts = wanted(book, rules, account, order)
    if share < 1.0:
        contracts = in_lots(units(contracts * share), rules.lot[i])
    if contracts == 0:
        return False
    rates = rules.fee[tape.rules_at[rules.shape[account], bar], i]
    fee = rates[MAKER] if book.order[order, O_KIND] == LIMIT else rates[TAKER]
    trade(book, rules, tape, bar, account, position, contracts, price, fee, BY_ORDER, OPEN, order)
    book.order[order, O_FILLED] += contracts
    return True


@kernel
def largest_share(book, rules, tape, account, bar, group, k, share):
    """Largest share of the group that every rule accepts, by halving; 0 if none."""
    good, bad = 0.0, share
    for _ in range(24):
        middle = 0.5 * (good + bad)
        if trial(book, rules, tape, account, bar, group, k, middle) == NO_REASON:
            good = middle
            undo_trial(book, rules, account, bar, group, k)
        else:
            bad = middle
    return good


@kernel
def undo_trial(book, rules, account, bar, group, k):
    """Put a trial back: refused, or only asked."""
    restore(book, account)
    for m in range(k, book.count[LIVE_ORDERS]):
        order = book.live[m]
        if in_group(book, account, bar, group, order):
            book.order[order, O_FILLED] = book.order[order, O_BEFORE]
    rest_orders(book, rules, account)
    list_held(book, rules, account)


@kernel
def close_group(book, rules, account, bar, group, k, reason):
    """After a trial that stood: what is done is over; a resting limit keeps waiting for its rest, a stop for its
    trigger.
    """
    for m in range(k, book.count[LIVE_ORDERS]):
        order = book.live[m]
        if in_group(book, account, bar, group, order):
            filled, kind = book.order[order, O_FILLED], book.order[order, O_KIND]
            if kind == LIMIT:
                if wanted(book, rules, account, order) == 0:
                    end_order(book, order, FILLED, NO_REASON, bar)
            elif filled != 0 and reason == NO_REASON:
                end_order(book, order, FILLED, NO_REASON, bar)
            elif kind == MARKET or filled != 0:
                end_order(book, order, PART_FILLED if filled != 0 else REFUSED, reason, bar)


@kernel
def end_group(book, account, bar, group, k, reason):
    """Every waiting order of the group is refused for one reason."""
    for m in range(k, book.count[LIVE_ORDERS]):
        order = book.live[m]
        if in_group(book, account, bar, group, order):
            end_order(book, order, REFUSED, reason, bar)


@kernel
def is_due(book, rules, tape, account, bar, order):
    """Whether a bar has something to do with an order of the account: fill it, or look at it for the first time."""
    if book.order[order, O_ACCOUNT] != account or book.order[order, O_STATE] != WAITING:
        return False
    if book.order[order, O_BAR] >= bar:
        return False
    if book.order[order, O_KIND] == MARKET or book.order[order, O_SEEN] == 0:
        return True
    return could_fill(book, rules, tape, account, bar, order, rules.instrument[book.order[order, O_POSITION]])


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


@kernel
def could_fill(book, rules, tape, account, bar, order, i):
    """Whether a resting order's price is reached in a bar."""
    if tape.tradable[i, bar] == 0:
        return False
    buys, kind = book.order[order, O_CONTRACTS] > 0, book.order[order, O_KIND]
    if kind == LIMIT:
        return trades_through(book, rules, tape, account, bar, order, i, buys)
    return triggered(book, rules, tape, bar, order, i, buys, kind)
