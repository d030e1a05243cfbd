"""May this order stand? The account as it was, the account as it would be, and the rules that may say no.

Conditions are asked in a fixed order and the first that applies is the reason: balance, loan, the venue's reduce-
only level, the tier's leverage, initial margin, the account's own guards. What lowers the requirement passes,
whatever the state.
"""

from __future__ import annotations

import numpy as np

from backtest.kernel import kernel
from backtest.ledger.kinds import BUY, SELL
from backtest.margin.leaves import row_of
from backtest.margin.tiers import value_of_contract
from backtest.margin.wallets import require_now
from backtest.state import (
    ASKS_INITIAL, BACKS_NOTHING, COLLATERAL, FILL_ROWS, GUARD_RATIO, GUARD_USE, GUARDED_RATIO, GUARDED_USE, HERE, I64,
    INITIAL, LEDGER_ROWS, LIMIT, LIVE_ORDERS, MAINTENANCE, MAX_LEVERAGE, NO_BALANCE, NO_MARGIN, NO_REASON, O_ACCOUNT,
    O_CONTRACTS, O_FILLED, O_KIND, O_POSITION, O_SEEN, O_STATE, ONE, OPEN_LOSS, REDUCE_ONLY_AT, RESTRICTED, SPOT,
    TIER_LEVERAGE, TIERS, UNBOUND, WAITING,
)  # fmt: skip
from backtest.units import STEP

AWAY, BACK = ONE, HERE


@kernel
def save(book, account):
    """Remember one account, so that a trial can be put back."""
    n = copy_account(book, account, AWAY)
    book.saved[n] = book.count[LEDGER_ROWS]
    book.saved[n + 1] = book.count[FILL_ROWS]


@kernel
def restore(book, account):
    """Put the remembered account back; rows written since are taken out."""
    n = copy_account(book, account, BACK)
    book.count[LEDGER_ROWS] = book.saved[n]
    book.count[FILL_ROWS] = book.saved[n + 1]


@kernel
def copy_account(book, account, way):
    """Copy balances, totals, contracts and costs of one account to (or from) the saved row; returns its length."""
    n = I64(0)
    for wallet in range(book.balance.shape[0]):
        n = copy_column(book.balance[wallet], book.saved, n, account, way)
    for kind in range(book.total.shape[0]):
        n = copy_column(book.total[kind], book.saved, n, account, way)
    n = copy_column(book.contracts, book.saved, n, account, way)
    return copy_column(book.cost, book.saved, n, account, way)


@kernel
def copy_column(table, saved, n, account, way):
    """Copy one account's column of a table to saved[n:] or back; returns the next free place."""
    for k in range(table.shape[0]):
        if way == AWAY:
            saved[n + k] = table[k, account]
        else:
            table[k, account] = saved[n + k]
    return n + table.shape[0]


@kernel
def rest_orders(book, rules, account):
    """What resting limit orders reserve: notional of buys and of sells per position (stops hold nothing until
    triggered).
    """
    for position in range(book.contracts.shape[0]):
        book.resting[HERE, position, account] = 0.0
        book.resting[ONE, position, account] = 0.0
    for k in range(book.count[LIVE_ORDERS]):
        order = book.live[k]
        if is_resting(book, account, order):
            position = book.order[order, O_POSITION]
            i = rules.instrument[position]
            if rules.kind[i] == SPOT:
                continue  # a spot order reserves what it would deliver: see `reserved_spot`
            contracts = book.order[order, O_CONTRACTS] - book.order[order, O_FILLED]
            notional = abs(contracts * STEP * value_of_contract(rules, i, book.order_price[order, HERE]))
            book.resting[HERE if contracts > 0 else ONE, position, account] += notional


@kernel
def is_resting(book, account, order):
    """A limit order of the account that has been accepted and waits."""
    return (
        book.order[order, O_ACCOUNT] == account
        and book.order[order, O_STATE] == WAITING
        and book.order[order, O_KIND] == LIMIT
        and book.order[order, O_SEEN] != 0
    )


# The account's totals before an order, kept in the spare row: initial, maintenance, lowest ratio, utilization.
BEFORE, WAS_INITIAL, WAS_MAINTENANCE, WAS_RATIO = ONE, 0, 1, 2
NOW = np.int64(2)


@kernel
def note_before(book, rules, tape, account, bar):
    """Ask the account's totals and remember them as the state before the order."""
    sum_account(book, rules, tape, account, bar)
    for k in range(4):
        book.spare[BEFORE, k] = book.spare[NOW, k]


@kernel
def sum_account(book, rules, tape, account, bar):
    """spare[NOW] = initial and maintenance margin over all wallets, lowest ratio, collateral; of the moment."""
    initial, maintenance, ratio, collateral = 0.0, 0.0, np.inf, 0.0
    for wallet in range(book.balance.shape[0]):
        if rules.model[rules.shape[account], wallet] != BACKS_NOTHING:
            require_now(book, rules, tape, wallet, account, bar)
            initial += book.need[INITIAL, 0]
            maintenance += book.need[MAINTENANCE, 0]
            collateral += book.need[COLLATERAL, 0]
            if book.need[MAINTENANCE, 0] > 0.0:
                ratio = min(ratio, book.need[COLLATERAL, 0] / book.need[MAINTENANCE, 0])
    book.spare[NOW, 0] = initial
    book.spare[NOW, 1] = maintenance
    book.spare[NOW, 2] = ratio
    book.spare[NOW, 3] = collateral


@kernel
def judge(book, rules, tape, account, bar):
    """First rule that refuses the state after an order, or NO_REASON."""
    if rules.switch[account, UNBOUND] != 0:
        return NO_REASON
    if overdrawn(book, rules, account):
        return NO_BALANCE
    sum_account(book, rules, tape, account, bar)
    if eases(book.spare[BEFORE], book.spare[NOW]):
        return NO_REASON
    if book.spare[BEFORE, WAS_RATIO] <= rules.level[tape.rules_at[rules.shape[account], bar], REDUCE_ONLY_AT]:
        return RESTRICTED
    if above_tier(book, rules, tape, account, bar):
        return TIER_LEVERAGE
    if short_of_margin(book, rules, tape, account, bar):
        return NO_MARGIN
    sum_account(book, rules, tape, account, bar)
    if book.spare[NOW, WAS_RATIO] < rules.choice[account, GUARD_RATIO]:
        return GUARDED_RATIO
    if book.spare[NOW, WAS_INITIAL] > rules.choice[account, GUARD_USE] * book.spare[NOW, 3]:
        return GUARDED_USE
    return NO_REASON


@kernel
def eases(before, now):
    """Whether the requirement fell, or stayed while the ratio did not."""
    if now[WAS_INITIAL] > before[WAS_INITIAL] or now[WAS_MAINTENANCE] > before[WAS_MAINTENANCE]:
        return False
    return now[WAS_MAINTENANCE] < before[WAS_MAINTENANCE] or now[WAS_RATIO] >= before[WAS_RATIO]


@kernel
def overdrawn(book, rules, account):
    """Whether a spot trade left less than nothing of what it delivered, resting spot orders included.

    Losses of coin-settled futures may take a unified wallet's balance below zero; that is a debt, not an overdraft.
    """
    wallet = rules.spot_wallet[rules.shape[account]]
    for asset in range(book.balance.shape[1]):
        reserved = reserved_spot(book, rules, account, asset)
        if book.balance[wallet, asset, account] * STEP - reserved < -0.5 * STEP:
            if reserved > 0.0 or delivered(book, account, asset):
                return True
    return False


@kernel
def delivered(book, account, asset):
    """Whether the trial's spot trades gave away some of an asset, by the ledger's totals since it began."""
    totals = book.balance.shape[0] * book.balance.shape[1]
    assets, change = book.balance.shape[1], I64(0)
    for kind in (BUY, SELL):
        change += book.total[kind, asset, account] - book.saved[totals + kind * assets + asset]
    return change < 0


@kernel
def reserved_spot(book, rules, account, asset):
    """Units of an asset that resting spot orders would deliver."""
    total = 0.0
    for k in range(book.count[LIVE_ORDERS]):
        order = book.live[k]
        i = rules.instrument[book.order[order, O_POSITION]]
        if rules.kind[i] == SPOT and is_resting(book, account, order):
            contracts = (book.order[order, O_CONTRACTS] - book.order[order, O_FILLED]) * STEP
            if contracts > 0 and rules.settlement[i] == asset:
                total += contracts * book.order_price[order, HERE]
            elif contracts < 0 and rules.base[i] == asset:
                total -= contracts
    return total


@kernel
def above_tier(book, rules, tape, account, bar):
    """Whether a position is larger than its tier allows at the leverage the account chose."""
    at = tape.rules_at[rules.shape[account], bar]
    for position in range(book.contracts.shape[0]):
        i = rules.instrument[position]
        if (
            book.contracts[position, account] != 0
            and rules.model[rules.shape[account], rules.position_wallet[rules.shape[account], position]] == TIERS
        ):
            notional = abs(book.contracts[position, account] * STEP * book.here[i, 0])
            row = row_of(rules.tier[at, i], notional)
            if rules.leverage[account, i] > rules.tier[at, i, MAX_LEVERAGE, row]:
                return True
    return False


@kernel
def short_of_margin(book, rules, tape, account, bar):
    """Whether a shared wallet holds less than initial margin and open-order loss ask (isolated ones were funded at
    opening).
    """
    shape = rules.shape[account]
    if rules.term[tape.rules_at[shape, bar], ASKS_INITIAL] == 0:
        return False
    for wallet in range(book.balance.shape[0]):
        if rules.model[shape, wallet] != BACKS_NOTHING and rules.isolates[shape, wallet] < 0:
            require_now(book, rules, tape, wallet, account, bar)
            if book.need[COLLATERAL, 0] < book.need[INITIAL, 0] + book.need[OPEN_LOSS, 0]:
                return True
    return False
