"""Liquidation: what the venue does when a wallet's collateral no longer covers its maintenance margin.

The ladder of the account's mode is climbed rung by rung - cancel orders, reduce, sell collateral, takeover - and
margin is asked again after each; every rung that did something is an incident row with the numbers it saw. A forced
order fills at the traded price of the moment, worse by half the spread and by Y x daily volatility x sqrt(size /
daily volume). What is still owed at the end is made good by the insurance fund, or stays the user's debt where the
venue says so.
"""

from __future__ import annotations

import numpy as np

from backtest.engine.exchange import sell_collateral
from backtest.engine.fills import free_steps, trade
from backtest.engine.judgement import restore, save
from backtest.engine.orders import end_order, settle_orders
from backtest.kernel import kernel
from backtest.ledger.kinds import ALLOCATE, INSURANCE, LIQUIDATION, USER_DEBT
from backtest.ledger.post import move, post
from backtest.margin.tiers import value_of_contract
from backtest.margin.leaves import is_sound
from backtest.margin.moment import index_here, last_here, notional_here
from backtest.margin.wallets import list_held, require_now
from backtest.state import (
    BANKRUPT, BY_LIQUIDATION, BY_VENUE, CANCELLED, CANCEL_ORDERS, CLOSE, COLLATERAL, HALF_SPREAD, I64, INCIDENT_ROWS,
    LIQUIDATE_AT, LIQUIDATION_FEE, LIVE_ORDERS, MAINTENANCE, NOTHING, NO_RUNG, N_ACCOUNT, N_AMOUNT, N_BAR, N_COLLATERAL,
    N_CONTRACTS, N_MAINTENANCE, N_POINT, N_POSITION, N_PRICE, N_RUNG, N_WALLET, OWES, O_ACCOUNT, O_POSITION, O_STATE,
    POSITIONS, REDUCE, SELL_COLLATERAL, TAKE_OVER, TOPPED_UP, TOP_UP_CAP, TOP_UP_TARGET, TOP_UP_TRIGGER, WAITING,
)  # fmt: skip
from backtest.units import STEP, units


@kernel
def sound(book, rules, tape, account, wallet, bar):
    """Whether the wallet's collateral is above the venue's level at the moment; without requirement, whether it is not
    under water. Fills need[COLLATERAL], need[MAINTENANCE].
    """
    require_now(book, rules, tape, wallet, account, bar)
    level = rules.level[tape.rules_at[rules.shape[account], bar], LIQUIDATE_AT]
    return is_sound(book.need[COLLATERAL, 0], book.need[MAINTENANCE, 0], level)


@kernel
def note(book, bar, account, wallet, rung, position, collateral, maintenance, contracts, price, point, amount):
    """Append an incident: which rung, on what, and the numbers it saw."""
    row = book.count[INCIDENT_ROWS]
    assert row < book.incident.shape[0]
    book.incident[row, N_BAR] = bar
    book.incident[row, N_ACCOUNT] = account
    book.incident[row, N_WALLET] = wallet
    book.incident[row, N_RUNG] = rung
    book.incident[row, N_POSITION] = position
    book.incident[row, N_COLLATERAL] = collateral
    book.incident[row, N_MAINTENANCE] = maintenance
    book.incident[row, N_CONTRACTS] = contracts
    book.incident[row, N_PRICE] = price
    book.incident[row, N_POINT] = point
    book.incident[row, N_AMOUNT] = amount
    book.count[INCIDENT_ROWS] = row + 1


@kernel
def liquidate(book, rules, tape, account, wallet, bar, point):
    """Climb the ladder until the wallet is sound again."""
    top_up(book, rules, tape, account, wallet, bar, point)
    shape = rules.shape[account]
    for k in range(rules.ladder.shape[1]):
        rung = rules.ladder[shape, k]
        if rung == NO_RUNG or sound(book, rules, tape, account, wallet, bar):
            return
        if rung == CANCEL_ORDERS:
            cancel_orders(book, rules, account, wallet, bar, point)
        elif rung == REDUCE:
            reduce_positions(book, rules, tape, account, wallet, bar, point)
        elif rung == SELL_COLLATERAL:
            repay_debts(book, rules, tape, account, wallet, bar, point)
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
    spare = free_steps(book, rules, tape, bar, account, rules.parent[shape, wallet], asset)
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
        note(book, bar, account, wallet, TOPPED_UP, position, collateral, maintenance, 0.0, 0.0, point, amount * STEP)


@kernel
def cancel_orders(book, rules, account, wallet, bar, point):
    """Every waiting order that leans on the wallet is cancelled."""
    many, shape = 0, rules.shape[account]
    for k in range(book.count[LIVE_ORDERS]):
        order = book.live[k]
        leans = rules.position_wallet[shape, book.order[order, O_POSITION]] == wallet
        if book.order[order, O_ACCOUNT] == account and book.order[order, O_STATE] == WAITING and leans:
            end_order(book, order, CANCELLED, BY_VENUE, bar)
            many += 1
    if many > 0:
        collateral, maintenance = book.need[COLLATERAL, 0], book.need[MAINTENANCE, 0]
        settle_orders(book, rules, account)
        note(book, bar, account, wallet, CANCEL_ORDERS, NOTHING, collateral, maintenance, 0.0, 0.0, point, 1.0 * many)


@kernel
def reduce_positions(book, rules, tape, account, wallet, bar, point):
    """Cut positions, the largest first, each by no more than makes the wallet sound again."""
    while book.held[account, wallet, POSITIONS, 0] > 0:
        if sound(book, rules, tape, account, wallet, bar):
            return
        position = heaviest(book, rules, tape, account, wallet, bar)
        if position < 0:
            return
        collateral, maintenance = book.need[COLLATERAL, 0], book.need[MAINTENANCE, 0]
        contracts = smallest_cut(book, rules, tape, account, wallet, position, bar, point)
        price = force(book, rules, tape, account, wallet, position, contracts, bar, point)
        note(book, bar, account, wallet, REDUCE, position, collateral, maintenance, contracts * STEP, price, point, 0.0)


@kernel
def heaviest(book, rules, tape, account, wallet, bar):
    """Position of the wallet with the largest notional at the moment; -1 if none. Leaves need[] as asked of the
    wallet.
    """
    best, largest = NOTHING, 0.0
    for k in range(book.held[account, wallet, POSITIONS, 0]):
        position = book.held[account, wallet, POSITIONS, 1 + k]
        notional = notional_here(book, rules, account, position) * STEP
        usd = notional * index_here(book, rules, rules.settlement[rules.instrument[position]])
        if usd > largest:
            best, largest = position, usd
    return best


@kernel
def smallest_cut(book, rules, tape, account, wallet, position, bar, point):
    """Fewest contracts whose forced sale makes the wallet sound, in lots; all of them if nothing less does."""
    lot = rules.lot[rules.instrument[position]]
    held = book.contracts[position, account]
    enough, lots = abs(held) // lot, I64(0)
    while enough - lots > 1:
        middle = (lots + enough) // 2
        contracts = -middle * lot if held > 0 else middle * lot
        save(book, account)
        force(book, rules, tape, account, wallet, position, contracts, bar, point)
        enough_so = sound(book, rules, tape, account, wallet, bar)
        restore(book, account)
        list_held(book, rules, account)
        if enough_so:
            enough = middle
        else:
            lots = middle
    contracts = enough * lot
    save(book, account)
    force(book, rules, tape, account, wallet, position, -contracts if held > 0 else contracts, bar, point)
    enough_so = sound(book, rules, tape, account, wallet, bar)
    restore(book, account)
    list_held(book, rules, account)
    if not enough_so or contracts == 0:
        return -held
    return -contracts if held > 0 else contracts


@kernel
def forced_price(book, rules, tape, account, i, contracts, bar):
    """Traded price of the moment, worsened by half the spread and the square-root impact of the size."""
    at = tape.rules_at[rules.shape[account], bar]
    volatility = tape.series[tape.volume_row[2, i], bar]
    daily = tape.series[tape.volume_row[1, i], bar]
    impact = rules.impact[at] * volatility * np.sqrt(abs(contracts) * STEP / daily) if daily > 0.0 else 0.0
    worse = min(0.99, rules.fee[at, i, HALF_SPREAD] + impact)
    return last_here(book, rules, i) * (1.0 + worse if contracts > 0 else 1.0 - worse)


@kernel
def force(book, rules, tape, account, wallet, position, contracts, bar, point):
    """A forced order, and the venue's clearance fee on what it closed. Returns its price."""
    i, shape = rules.instrument[position], rules.shape[account]
    rates = rules.fee[tape.rules_at[shape, bar], i]
    price = forced_price(book, rules, tape, account, i, contracts, bar)
    notional = abs(contracts * value_of_contract(rules, i, price))
    fee = units(notional * rates[LIQUIDATION_FEE])
    whole = contracts == -book.contracts[position, account]
    if whole and rules.isolates[shape, wallet] >= 0:
        post(book, bar, account, wallet, rules.settlement[i], LIQUIDATION, -fee, position, NOTHING)
        trade(book, rules, tape, bar, account, position, contracts, price, 0.0, BY_LIQUIDATION, point, NOTHING)
    else:
        trade(book, rules, tape, bar, account, position, contracts, price, 0.0, BY_LIQUIDATION, point, NOTHING)
        post(book, bar, account, wallet, rules.settlement[i], LIQUIDATION, -fee, position, NOTHING)
        list_held(book, rules, account)
    return price


@kernel
def repay_debts(book, rules, tape, account, wallet, bar, point):
    """Sell collateral to repay what the wallet owes, at the venue's conversion cost."""
    collateral, maintenance = book.need[COLLATERAL, 0], book.need[MAINTENANCE, 0]
    sold = sell_collateral(book, rules, tape, account, wallet, bar)
    if sold > 0.0:
        note(book, bar, account, wallet, SELL_COLLATERAL, NOTHING, collateral, maintenance, 0.0, 0.0, point, sold)


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
