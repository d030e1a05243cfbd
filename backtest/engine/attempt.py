"""Trying the waiting orders, at a bar's open or where one finds its price: what cannot be filled at all is refused
without asking margin, the rest is a trial, and what it leaves over waits, is cut, or ends with a reason.

Orders placed together are one group, judged on the state after all of them: no leg stays naked by a refusal.
"""

from __future__ import annotations

from backtest.engine.judgement import judge, note_before, save
from backtest.engine.matching import fills_at_open, is_due
from backtest.engine.order_size import quote_notional, reduces, wanted, wrong_side
from backtest.engine.orders import end_order, settle_orders
from backtest.engine.trial import in_group, largest_share, share_of_volume, trial
from backtest.kernel import kernel
from backtest.margin.moment import last_here
from backtest.margin.orders import rest_orders
from backtest.margin.wallets import list_held
from backtest.state import (
    BELOW_LOT, CUTS, FILLED, FORCED, LIMIT, LIVE_ORDERS, MARKET, MIN_NOTIONAL, MOMENT, NOTHING, NOT_TRADABLE,
    NO_REASON, NO_VOLUME, OPEN, O_BEFORE, O_CONTRACTS, O_FILLED, O_FLAGS, O_GROUP, O_KIND, O_POSITION, O_SEEN, O_TRIED,
    PART_FILLED, POST_ONLY, PRICE, REDUCE_ONLY, REFUSED, TAKES, TO_TARGET, TRIGGERED, TWO_SIDED, WOULD_CROSS,
    WOULD_OPEN,
)  # fmt: skip


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
    limit, buys = book.order_price[order, PRICE], book.order[order, O_CONTRACTS] > 0
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

    A market order in a group takes the whole group with it: no leg stays naked. One that can only reduce and has found
    its price with nothing to reduce ends alone: left waiting, it would close a later position.
    """
    worst = NO_REASON
    for m in range(book.count[LIVE_ORDERS]):
        order = book.live[m]
        if in_group(book, account, bar, group, order):
            now = order == met or (met < 0 and fills_at_open(book, rules, tape, account, bar, order))
            now = now and not has_opener(book, rules, account, bar, group, order)
            reason = unfit(book, rules, tape, account, bar, order, now)
            spent = book.order[order, O_FLAGS] & REDUCE_ONLY != 0 and wanted(book, rules, account, order) == 0
            if reason == NO_REASON and now and spent:
                end_unfilled(book, order, WOULD_OPEN, bar)
            elif (reason == BELOW_LOT or reason == MIN_NOTIONAL) and book.order[order, O_FLAGS] & TO_TARGET:
                end_order(book, order, FILLED, NO_REASON, bar)  # as near to its target as an order can bring it
            elif reason != NO_REASON and (met < 0 or order == met):
                worst = reason
    if worst != NO_REASON:
        end_met(book, account, bar, group, worst, met)


@kernel
def has_opener(book, rules, account, bar, group, order):
    """Whether another waiting order of the group could open what this one closes; in hedge mode one of its side."""
    position, buys = book.order[order, O_POSITION], book.order[order, O_CONTRACTS] > 0
    for m in range(book.count[LIVE_ORDERS]):
        other = book.live[m]
        if other != order and in_group(book, account, bar, group, other):
            opens = book.order[other, O_FLAGS] & REDUCE_ONLY == 0
            if rules.switch[account, TWO_SIDED] != 0:
                against = (book.order[other, O_CONTRACTS] > 0) != buys
                opens = opens and against and book.order[other, O_POSITION] == position
            if opens:
                return True
    return False


@kernel
def unfit(book, rules, tape, account, bar, order, now):
    """Why an order cannot be filled at all, or NO_REASON; `now`: its time has come, and nothing of its group that could
    open what it closes waits with it.
    """
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
        return WOULD_OPEN if now else NO_REASON
    if waits or reduces(book, rules, account, position, contracts):
        return NO_REASON
    if quote_notional(rules, i, contracts, last_here(book, rules, i)) < rules.min_notional[i]:
        return MIN_NOTIONAL
    return NO_REASON


@kernel
def close_group(book, rules, account, bar, group, reason, met):
    """After a trial that stood: what is done is over; a limit waits for its rest, unless it took from the book beside a
    market order, and a stop that was triggered and found no volume for the next open.
    """
    beside = has_market_order(book, account, bar, group)
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
            elif kind != LIMIT or (beside and reason != NO_REASON):
                end_unfilled(book, order, reason, bar)


@kernel
def has_market_order(book, account, bar, group):
    """Whether a market order of the group is being filled: what fills with it is one trade, and is cut as one."""
    for m in range(book.count[LIVE_ORDERS]):
        if book.order[book.live[m], O_KIND] == MARKET and in_group(book, account, bar, group, book.live[m]):
            return True
    return False


@kernel
def end_met(book, account, bar, group, reason, met):
    """At the open the whole group is refused; on the way the order that met its price alone."""
    if met < 0:
        end_group(book, account, bar, group, reason)
    else:
        end_unfilled(book, met, reason, bar)


@kernel
def end_group(book, account, bar, group, reason):
    """Every waiting order of the group is refused for one reason, or what is left of it."""
    for m in range(book.count[LIVE_ORDERS]):
        order = book.live[m]
        if in_group(book, account, bar, group, order):
            end_unfilled(book, order, reason, bar)


@kernel
def end_unfilled(book, order, reason, bar):
    """The order is over before it was filled whole: refused, or part filled if something of it was."""
    end_order(book, order, PART_FILLED if book.order[order, O_FILLED] != 0 else REFUSED, reason, bar)
