"""Liquidation: what the venue does when a wallet's collateral no longer covers its maintenance margin.

The ladder of the account's mode is climbed rung by rung - cancel orders, reduce, sell collateral, takeover, or the
venue's own: see `engine.rungs_by_bracket`, `engine.rungs_by_share` - and margin is asked again after each; every rung
that did something is an incident row with the numbers it saw. What is still owed at the end is made good by the
insurance fund, or stays the user's debt where the venue says so.
"""

from __future__ import annotations

from backtest.engine.exchange import sell_collateral
from backtest.engine.fills import addable_steps
from backtest.engine.forced import force, heaviest, note, restored, sound
from backtest.engine.orders import end_order, settle_orders
from backtest.engine.reduction import reduce_positions
from backtest.engine.rungs import close_all
from backtest.engine.rungs_by_bracket import tier_down, two_tiers_down
from backtest.engine.rungs_by_share import slice_positions, step_down
from backtest.kernel import kernel
from backtest.ledger.kinds import ALLOCATE, INSURANCE, USER_DEBT
from backtest.ledger.post import move, post
from backtest.margin.moment import index_here
from backtest.margin.wallets import list_held, require_now
from backtest.state import (
    BANKRUPT, BY_VENUE, CANCELLED, CANCEL_ORDERS, CLOSE, CLOSE_ALL, COLLATERAL, I64, LIVE_ORDERS, MAINTENANCE, NOTHING,
    NO_RUNG, OWES, O_ACCOUNT, O_POSITION, O_STATE, POSITIONS, REDUCE, REPAY_DEBTS, SELL_COLLATERAL, SLICE_DOWN,
    STEP_DOWN, TAKE_OVER, TIER_DOWN, TOPPED_UP, TOP_UP_CAP, TOP_UP_TARGET, TOP_UP_TRIGGER, TWO_TIERS_DOWN, WAITING,
)  # fmt: skip
from backtest.units import STEP, units


@kernel
def liquidate(book, rules, tape, account, wallet, bar, point):
    """Climb the ladder until the wallet is sound again, and at the ratio up to which the venue goes on selling."""
    top_up(book, rules, tape, account, wallet, bar, point)
    shape = rules.shape[account]
    if sound(book, rules, tape, account, wallet, bar):
        return
    for k in range(rules.ladder.shape[1]):
        rung = rules.ladder[shape, k]
        if rung == NO_RUNG or restored(book, rules, tape, account, wallet, bar):
            return
        if rung == TAKE_OVER and sound(book, rules, tape, account, wallet, bar):
            return
        if rung == CANCEL_ORDERS:
            cancel_orders(book, rules, account, wallet, bar, point)
        elif rung == REDUCE:
            reduce_positions(book, rules, tape, account, wallet, bar, point)
        elif rung == SELL_COLLATERAL or rung == REPAY_DEBTS:
            repay_debts(book, rules, tape, account, wallet, bar, point, rung)
        elif rung == CLOSE_ALL:
            close_all(book, rules, tape, account, wallet, bar, point)
        elif rung == TIER_DOWN:
            tier_down(book, rules, tape, account, wallet, bar, point)
        elif rung == TWO_TIERS_DOWN:
            two_tiers_down(book, rules, tape, account, wallet, bar, point)
        elif rung == SLICE_DOWN:
            slice_positions(book, rules, tape, account, wallet, bar, point)
        elif rung == STEP_DOWN:
            step_down(book, rules, tape, account, wallet, bar, point)
        elif rung == TAKE_OVER:
            take_over(book, rules, tape, account, wallet, bar, point)


@kernel
def top_up_due(book, rules, tape, account, wallet, bar):
    """Steps an isolated position's safety net would move in at the moment; 0 if it is not due or nothing is free."""
    shape = rules.shape[account]
    position = rules.isolates[shape, wallet]
    if position < 0 or rules.choice[account, TOP_UP_TRIGGER] <= 0.0:
        return I64(0)
    asset = rules.settle[shape, wallet]
    require_now(book, rules, tape, wallet, account, bar)
    collateral, maintenance = book.need[COLLATERAL, 0], book.need[MAINTENANCE, 0]
    if maintenance <= 0.0 or collateral > rules.choice[account, TOP_UP_TRIGGER] * maintenance:
        return I64(0)
    wish = units(
        (rules.choice[account, TOP_UP_TARGET] * maintenance - collateral) / index_here(book, rules, asset) / STEP
    )
    room = units(rules.choice[account, TOP_UP_CAP] / STEP) - book.topped_up[position, account]
    spare = addable_steps(book, rules, tape, bar, account, rules.parent[shape, wallet], asset)
    return max(I64(0), min(wish, min(room, spare)))


@kernel
def top_up(book, rules, tape, account, wallet, bar, point):
    """Draw free balance of the position's asset until its ratio is at the target; never coins."""
    amount = top_up_due(book, rules, tape, account, wallet, bar)
    if amount > 0:
        shape = rules.shape[account]
        position = rules.isolates[shape, wallet]
        require_now(book, rules, tape, wallet, account, bar)
        collateral, maintenance = book.need[COLLATERAL, 0], book.need[MAINTENANCE, 0]
        move(book, bar, account, rules.parent[shape, wallet], wallet, rules.settle[shape, wallet], ALLOCATE, amount)
        book.topped_up[position, account] += amount
        list_held(book, rules, account)
        usd = amount * STEP * index_here(book, rules, rules.settle[shape, wallet])
        note(book, bar, account, wallet, TOPPED_UP, position, collateral, maintenance, 0.0, 0.0, point, usd)


@kernel
def cancel_orders(book, rules, account, wallet, bar, point):
    """Every waiting order that leans on the wallet is cancelled."""
    some, shape = False, rules.shape[account]
    for k in range(book.count[LIVE_ORDERS]):
        order = book.live[k]
        leans = rules.position_wallet[shape, book.order[order, O_POSITION]] == wallet
        if book.order[order, O_ACCOUNT] == account and book.order[order, O_STATE] == WAITING and leans:
            end_order(book, order, CANCELLED, BY_VENUE, bar)
            some = True
    if some:
        collateral, maintenance = book.need[COLLATERAL, 0], book.need[MAINTENANCE, 0]
        settle_orders(book, rules, account)
        note(book, bar, account, wallet, CANCEL_ORDERS, NOTHING, collateral, maintenance, 0.0, 0.0, point, 0.0)


@kernel
def repay_debts(book, rules, tape, account, wallet, bar, point, rung):
    """Sell collateral to repay what the wallet owes, at the venue's conversion cost: before a position is touched at
    some venues (`rung` REPAY_DEBTS), after at others.
    """
    collateral, maintenance = book.need[COLLATERAL, 0], book.need[MAINTENANCE, 0]
    sold = sell_collateral(book, rules, tape, account, wallet, bar)
    if sold > 0.0:
        note(book, bar, account, wallet, rung, NOTHING, collateral, maintenance, 0.0, 0.0, point, sold)


@kernel
def take_over(book, rules, tape, account, wallet, bar, point):
    """The rest goes to the fund at the bankruptcy price: what the wallet still owes is made good, or stays the user's
    debt.
    """
    require_now(book, rules, tape, wallet, account, bar)
    collateral, maintenance = book.need[COLLATERAL, 0], book.need[MAINTENANCE, 0]
    while book.held[account, wallet, POSITIONS, 0] > 0:
        position = heaviest(book, rules, tape, account, wallet, bar)
        if position < 0:
            break
        force(book, rules, tape, account, wallet, position, -book.contracts[position, account], bar, point)
    sell_collateral(book, rules, tape, account, wallet, bar)
    paid = make_good(book, rules, tape, account, wallet, bar)
    note(book, bar, account, wallet, TAKE_OVER, NOTHING, collateral, maintenance, 0.0, 0.0, point, paid)


@kernel
def make_good(book, rules, tape, account, wallet, bar):
    """A wallet's negative balances are paid by the insurance fund or, where the venue says so, stay the user's debt,
    apart from the wallet. Returns USD paid.
    """
    owes = rules.term[tape.rules_at[rules.shape[account], bar], OWES] != 0
    debts, paid, owed_usd = rules.debt_wallet[rules.shape[account]], 0.0, 0.0
    for asset in range(book.balance.shape[1]):
        owed = -book.balance[wallet, asset, account]
        if owed > 0 and owes:
            move(book, bar, account, debts, wallet, asset, USER_DEBT, owed)
            owed_usd += owed * STEP * index_here(book, rules, asset)
        elif owed > 0:
            post(book, bar, account, wallet, asset, INSURANCE, owed, NOTHING, NOTHING)
            paid += owed * STEP * index_here(book, rules, asset)
    list_held(book, rules, account)
    if owed_usd > 0.0:
        note(book, bar, account, wallet, BANKRUPT, NOTHING, -owed_usd, 0.0, 0.0, 0.0, CLOSE, owed_usd)
    return paid
