"""One bar lived through point by point: prices move, orders whose price is met fill, wallets that fail are liquidated.

The default path goes from the open to the low, to the high, to the close, all prices together; `each_worst` takes every
leg to its own worst at once, `close` straight to the close. Orders fill on the way to the low and to the high whatever
the reading; margin is asked where the reading goes.
"""

from __future__ import annotations

import numpy as np

from backtest.engine.events import run_balances
from backtest.engine.liquidation import liquidate, top_up_due
from backtest.engine.matching import next_on_leg
from backtest.engine.attempt import fill_on_the_way
from backtest.engine.record import is_kept, lower_headroom, record
from backtest.kernel import kernel
from backtest.margin.row_leaves import fill_with, is_sound, lower_to_ratio
from backtest.margin.moment import set_moment
from backtest.margin.wallets import require_now
from backtest.state import (
    ASSETS, BACKS_NOTHING, CLOSE, COLLATERAL, EACH, HERE, HIGH, I64, INITIAL, LIQUIDATE_AT, LOW, LOWEST, MAINTENANCE,
    NOTHING, ONE, OPEN, OPENED, OPENED_WALLET, PATH, PATH_EACH, PATH_LOW_HIGH, POSITIONS, RATIO_CLOSE, RATIO_EACH,
    RATIO_HIGH, RATIO_LOW, RATIO_OPEN, UNBOUND, WORST_WALLET,
)  # fmt: skip

STEPS = 16  # in which the way from a first forced sale to the next point of a bar is walked
NEXT, STEP_LEFT = HERE, ONE  # of a wallet that was acted on: where it is next looked at, and how far that is each time


@kernel
def leans(book, rules, account, wallet):
    """Whether anything could be required of the wallet: it holds positions or owes."""
    shape = rules.shape[account]
    if rules.model[shape, wallet] == BACKS_NOTHING:
        return False
    if book.held[account, wallet, POSITIONS, 0] > 0:
        return True
    if rules.loan_wallet[shape] >= 0 and book.held[account, wallet, ASSETS, 0] > 0:
        return True
    for asset in range(book.balance.shape[1]):
        if book.balance[wallet, asset, account] < 0:
            return True
    return False


@kernel
def has_orders_on_the_way(book, rules, tape, account, bar):
    """Whether an order of the account fills between the bar's open and its low or high."""
    down, _ = next_on_leg(book, rules, tape, account, bar, OPEN, LOW)
    up, _ = next_on_leg(book, rules, tape, account, bar, LOW, HIGH)
    return down >= 0 or up >= 0


@kernel
def live_bar(book, rules, tape, account, bar):
    """From the open to the close. Of an account that nobody liquidates, only orders are looked at."""
    path, bound = rules.switch[account, PATH], rules.switch[account, UNBOUND] == 0
    if bound:
        visit(book, rules, tape, account, bar, OPEN, OPEN, 1.0, 1.0)
    if bound and path == PATH_EACH:
        visit(book, rules, tape, account, bar, OPEN, EACH, 0.0, 1.0)
    watches = bound and path == PATH_LOW_HIGH
    filled = walk(book, rules, tape, account, bar, OPEN, LOW, watches)
    filled |= walk(book, rules, tape, account, bar, LOW, HIGH, watches)
    if bound and path == PATH_EACH and filled:
        visit(book, rules, tape, account, bar, EACH, EACH, 1.0, 1.0)
    if watches:
        visit(book, rules, tape, account, bar, HIGH, CLOSE, 0.0, 1.0)
    elif bound:
        visit(book, rules, tape, account, bar, CLOSE if filled else OPEN, CLOSE, 1.0 if filled else 0.0, 1.0)


@kernel
def walk(book, rules, tape, account, bar, source, target, watches):
    """From one point of the bar to the next, through every order met on the way. Returns whether any was."""
    start, filled = 0.0, False
    while True:
        k, share = next_on_leg(book, rules, tape, account, bar, source, target)
        end = 1.0 if k < 0 else max(start, share)
        note_moment(book, rules, tape, account, bar, source, target, end, RATIO_LOW, True)
        if watches:
            visit(book, rules, tape, account, bar, source, target, start, end)
        if k < 0:
            return filled
        k, share = next_on_leg(book, rules, tape, account, bar, source, target)  # a liquidation may have cancelled it
        if k >= 0 and share <= end:
            set_moment(book, rules, tape, account, bar, source, target, end)
            fill_on_the_way(book, rules, tape, account, bar, k)
            note_moment(book, rules, tape, account, bar, source, target, end, RATIO_LOW, True)
            filled = True
        start = end


@kernel
def live_with_orders(book, rules, tape, account, bar):
    """One bar in which orders fill on the way: its lowest ratios are those of the moments it was lived through."""
    for row in (RATIO_OPEN, RATIO_CLOSE, RATIO_LOW, RATIO_HIGH, RATIO_EACH, LOWEST):
        book.need[row, 0] = np.inf
    book.need[RATIO_OPEN, 0] = book.need[LOWEST, 0] = book.need[OPENED, 0]
    book.need[WORST_WALLET, 0] = book.need[OPENED_WALLET, 0]
    for wallet in range(book.balance.shape[0]):
        if is_kept(book):
            book.headroom[wallet, account, bar] = book.opened[wallet]
    each = rules.switch[account, PATH] == PATH_EACH
    note_moment(book, rules, tape, account, bar, OPEN, OPEN, 1.0, RATIO_OPEN, True)
    note_moment(book, rules, tape, account, bar, EACH, EACH, 1.0, RATIO_EACH, each)
    live_bar(book, rules, tape, account, bar)
    note_moment(book, rules, tape, account, bar, EACH, EACH, 1.0, RATIO_EACH, each)
    note_moment(book, rules, tape, account, bar, CLOSE, CLOSE, 1.0, RATIO_CLOSE, True)
    run_balances(book, rules, tape, account, bar, bar + 1)
    record(book, rules, tape, account, bar, bar + 1)


@kernel
def note_moment(book, rules, tape, account, bar, source, target, share, row, on_path):
    """Lower one of the bar's ratios, and where the reading goes there its headroom, to what holds at a moment."""
    set_moment(book, rules, tape, account, bar, source, target, share)
    for wallet in range(book.balance.shape[0]):
        if leans(book, rules, account, wallet):
            require_now(book, rules, tape, wallet, account, bar)
            lower_to_ratio(book.need[row, :1], book.need[COLLATERAL, :1], book.need[MAINTENANCE, :1])
            if on_path:
                name_worst(
                    book.need[WORST_WALLET, :1],
                    book.need[LOWEST, :1],
                    book.need[COLLATERAL, :1],
                    book.need[MAINTENANCE, :1],
                    wallet,
                )
                lower_headroom(book, rules, tape, account, wallet, bar, bar + 1)


@kernel
def note_opening(book, rules, tape, account, bar, asks):
    """The lowest ratio with which a bar opens, its wallet, and the headroom of each, before anything is done about it;
    +inf unless asked. Returns whether something must be done about any.
    """
    book.need[OPENED, 0], book.need[OPENED_WALLET, 0] = np.inf, -1.0
    failed = False
    level = rules.level[tape.rules_at[rules.shape[account], bar], LIQUIDATE_AT]
    for wallet in range(book.balance.shape[0]):
        book.opened[wallet] = np.inf
        if asks and leans(book, rules, account, wallet):
            require_now(book, rules, tape, wallet, account, bar)
            need = max(book.need[INITIAL, 0], level * book.need[MAINTENANCE, 0])
            book.opened[wallet] = book.need[COLLATERAL, 0] - need
            name_worst(
                book.need[OPENED_WALLET, :1],
                book.need[OPENED, :1],
                book.need[COLLATERAL, :1],
                book.need[MAINTENANCE, :1],
                wallet,
            )
            failed |= fails_as_asked(book, rules, tape, account, wallet, bar)
    return failed


@kernel
def name_worst(named, lowest, collateral, maintenance, wallet):
    """Remember the wallet with the lowest ratio so far on the chosen path, and that ratio."""
    for j in range(len(named)):
        if maintenance[j] > 0.0 and collateral[j] / maintenance[j] < lowest[j]:
            named[j] = wallet
            lowest[j] = collateral[j] / maintenance[j]


@kernel
def visit(book, rules, tape, account, bar, source, target, start, end):
    """Go from one share of the way between two points to another, liquidating wallets in the order in which they fail.

    A wallet is first acted on where it fails. What that leaves is just sound there and would fail again a tick
    further on, so what is left of the way is walked in steps for that wallet: STEPS in all.
    """
    fill_with(book.pace[NEXT], start)
    fill_with(book.pace[STEP_LEFT], 0.0)
    for _ in range((STEPS + 4) * book.balance.shape[0]):
        wallet, share = first_to_fail(book, rules, tape, account, bar, source, target, start, end)
        if wallet < 0:
            return
        set_moment(book, rules, tape, account, bar, source, target, share)
        liquidate(book, rules, tape, account, wallet, bar, target)
        if book.pace[STEP_LEFT, wallet] == 0.0:
            book.pace[STEP_LEFT, wallet] = (end - share) / (STEPS - 1)
        book.pace[NEXT, wallet] = min(end, share + book.pace[STEP_LEFT, wallet])
        start = share
    assert failing(book, rules, tape, account, bar) < 0


@kernel
def first_to_fail(book, rules, tape, account, bar, source, target, start, end):
    """Of the wallets that fail at the end of a way, the one that fails first on it, and where, no sooner than its pace
    says; (-1, end) if none.
    """
    first, earliest = NOTHING, end
    moved = True
    for wallet in range(book.balance.shape[0]):
        if not leans(book, rules, account, wallet):
            continue
        if moved:
            set_moment(book, rules, tape, account, bar, source, target, end)
            moved = False
        if fails(book, rules, tape, account, wallet, bar):
            moved = True
            share = where_it_fails(book, rules, tape, account, wallet, bar, source, target, start, end)
            share = max(share, book.pace[NEXT, wallet])
            if first < 0 or share < earliest:
                first, earliest = I64(wallet), share
    return first, earliest


@kernel
def fails(book, rules, tape, account, wallet, bar):
    """Whether something must be done about a wallet at the moment: it is unsound, or its top-up is due and can be
    paid.
    """
    require_now(book, rules, tape, wallet, account, bar)
    return fails_as_asked(book, rules, tape, account, wallet, bar)


@kernel
def fails_as_asked(book, rules, tape, account, wallet, bar):
    """The same of a wallet of which need[] has been asked."""
    level = rules.level[tape.rules_at[rules.shape[account], bar], LIQUIDATE_AT]
    if not is_sound(book.need[COLLATERAL, 0], book.need[MAINTENANCE, 0], level):
        return True
    return top_up_due(book, rules, tape, account, wallet, bar) > 0


@kernel
def failing(book, rules, tape, account, bar):
    """First wallet that fails at the moment; -1 if all are sound."""
    for wallet in range(book.balance.shape[0]):
        if leans(book, rules, account, wallet) and fails(book, rules, tape, account, wallet, bar):
            return I64(wallet)
    return NOTHING


@kernel
def where_it_fails(book, rules, tape, account, wallet, bar, source, target, start, end):
    """Share of the way at which the wallet is first found failing, by halving; `start` if it fails there already."""
    set_moment(book, rules, tape, account, bar, source, target, start)
    if fails(book, rules, tape, account, wallet, bar):
        return start
    good, bad = start, end
    for _ in range(40):
        middle = 0.5 * (good + bad)
        set_moment(book, rules, tape, account, bar, source, target, middle)
        if fails(book, rules, tape, account, wallet, bar):
            bad = middle
        else:
            good = middle
    return bad
