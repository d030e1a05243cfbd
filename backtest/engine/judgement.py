"""May this order stand? The account as it was, the account as it would be, and the rules that may say no.

Conditions are asked in a fixed order and the first that applies is the reason: balance, the parent of an isolated
position, the venue's reduce-only level, the tier's leverage, initial margin, the account's own guards. What lowers the
requirement passes, whatever the state; and no rule refuses what leaves its own wallet or position as it was.
"""

from __future__ import annotations

import numpy as np

from backtest.engine.fills import free_steps, lacks
from backtest.kernel import kernel
from backtest.ledger.kinds import BUY, SELL
from backtest.margin.leaves import row_of
from backtest.margin.positions import size_in_brackets
from backtest.margin.moment import notional_here
from backtest.margin.orders import reserved_spot
from backtest.margin.wallets import require_now
from backtest.state import (
    ASKS_INITIAL, AUTO_TRANSFER, BACKS_NOTHING, BORROWS, COLLATERAL, FILL_ROWS, GUARD_RATIO, GUARD_USE, GUARDED_RATIO,
    GUARDED_USE, HERE, I64, INITIAL, LEDGER_ROWS, MAINTENANCE, MAX_LEVERAGE, NO_BALANCE, NO_MARGIN, NO_REASON, ONE,
    REDUCE_ONLY_AT, RESTRICTED, TIER_LEVERAGE, TIERS, UNBOUND,
)  # fmt: skip
from backtest.units import STEP

AWAY, BACK = ONE, HERE
SLACK = 1e-9  # USD: rounding that worsens nothing


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
    """Copy one account's balances, totals, contracts, costs and principals to the saved row or back; its length."""
    n = I64(0)
    for wallet in range(book.balance.shape[0]):
        n = copy_column(book.balance[wallet], book.saved, n, account, way)
    for kind in range(book.total.shape[0]):
        n = copy_column(book.total[kind], book.saved, n, account, way)
    n = copy_column(book.contracts, book.saved, n, account, way)
    n = copy_column(book.cost, book.saved, n, account, way)
    return copy_column(book.principal, book.saved, n, account, way)


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
def saved_balance(book, wallet, asset):
    """A balance as it was when the account was saved."""
    return book.saved[wallet * book.balance.shape[1] + asset]


@kernel
def saved_total(book, kind, asset):
    """A total of the ledger as it was when the account was saved."""
    assets = book.balance.shape[1]
    return book.saved[(book.balance.shape[0] + kind) * assets + asset]


@kernel
def saved_contracts(book, position):
    """Contracts as they were when the account was saved."""
    return book.saved[(book.balance.shape[0] + book.total.shape[0]) * book.balance.shape[1] + position]


# The account's totals before an order, kept in the spare row: initial, maintenance, lowest ratio, utilization.
BEFORE, WAS_INITIAL, WAS_MAINTENANCE, WAS_RATIO = ONE, 0, 1, 2
NOW = np.int64(2)


@kernel
def note_before(book, rules, tape, account, bar):
    """Remember the state before an order: the account's totals, what each wallet lacks, what spot orders reserve."""
    sum_account(book, rules, tape, account, bar)
    for k in range(4):
        book.spare[BEFORE, k] = book.spare[NOW, k]
    for wallet in range(book.balance.shape[0]):
        book.gap[HERE, wallet] = book.gap[ONE, wallet]
    for asset in range(book.balance.shape[1]):
        paid, sold = reserved_spot(book, rules, account, asset)
        book.reserve[asset] = paid + sold


@kernel
def sum_account(book, rules, tape, account, bar):
    """spare[NOW] = initial and maintenance margin over all wallets, lowest ratio, collateral; of the moment. And what
    each shared wallet lacks: gap[ONE].
    """
    initial, maintenance, ratio, collateral = 0.0, 0.0, np.inf, 0.0
    for wallet in range(book.balance.shape[0]):
        if rules.model[rules.shape[account], wallet] != BACKS_NOTHING:
            require_now(book, rules, tape, wallet, account, bar)
            if is_shared(rules, account, wallet):
                book.gap[ONE, wallet] = lacks(book, rules, account, wallet, tape.rules_at[rules.shape[account], bar])
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
    if overdrawn(book, rules, tape, account, bar):
        return NO_BALANCE
    if parent_overdrawn(book, rules, account):
        return NO_MARGIN
    sum_account(book, rules, tape, account, bar)
    if eases(book, account):
        return NO_REASON
    if book.spare[BEFORE, WAS_RATIO] <= rules.level[tape.rules_at[rules.shape[account], bar], REDUCE_ONLY_AT]:
        return RESTRICTED
    if above_tier(book, rules, tape, account, bar):
        return TIER_LEVERAGE
    if short_of_margin(book, rules, tape, account, bar):
        return NO_MARGIN
    guard = rules.choice[account, GUARD_RATIO]
    if guard > 0.0 and book.spare[NOW, WAS_RATIO] < guard:
        return GUARDED_RATIO
    if book.spare[NOW, WAS_INITIAL] > rules.choice[account, GUARD_USE] * book.spare[NOW, 3]:
        return GUARDED_USE
    return NO_REASON


@kernel
def eases(book, account):
    """Whether the requirement fell, or stayed while the ratio did not; coins bought on the way must not cost it."""
    before, now = book.spare[BEFORE], book.spare[NOW]
    if now[WAS_INITIAL] > before[WAS_INITIAL] or now[WAS_MAINTENANCE] > before[WAS_MAINTENANCE]:
        return False
    if now[WAS_RATIO] >= before[WAS_RATIO]:
        return True
    if now[WAS_MAINTENANCE] == before[WAS_MAINTENANCE]:
        return False
    for asset in range(book.balance.shape[1]):
        if delivered(book, account, asset):
            return False
    return True


@kernel
def overdrawn(book, rules, tape, account, bar):
    """Whether an order left less than nothing of what it delivers or reserves, after all that spot orders reserve.

    Losses of coin-settled futures may take a unified wallet's balance below zero; that is a debt, not an overdraft.
    """
    shape = rules.shape[account]
    wallet = rules.spot_wallet[shape]
    for asset in range(book.balance.shape[1]):
        paid, sold = reserved_spot(book, rules, account, asset)
        reserved = paid + sold
        if reserved > book.reserve[asset] or delivered(book, account, asset):
            short = reserved - book.balance[wallet, asset, account] * STEP
            if short > 0.5 * STEP and reserved > 0.0:
                short -= reachable(book, rules, tape, account, asset, bar, paid)
            if short > 0.5 * STEP:
                return True
    return False


@kernel
def reachable(book, rules, tape, account, asset, bar, paid):
    """Units that spot orders could still fetch when they fill: a loan, or, of what purchases will pay, free balance of
    the futures wallet. Coins are sold from the spot wallet alone.
    """
    shape = rules.shape[account]
    spot, cash = rules.spot_wallet[shape], rules.cash_wallet[shape, asset]
    if rules.switch[account, BORROWS] != 0 and rules.loan_wallet[shape] >= 0 and tape.borrow_row[account, asset] >= 0:
        return np.inf
    if cash >= 0 and cash != spot and rules.switch[account, AUTO_TRANSFER] != 0:
        return min(paid, free_steps(book, rules, tape, bar, account, cash, asset) * STEP)
    return 0.0


@kernel
def delivered(book, account, asset):
    """Whether the trial's spot trades gave away some of an asset, by the ledger's totals since it began."""
    change = I64(0)
    for kind in (BUY, SELL):
        change += book.total[kind, asset, account] - saved_total(book, kind, asset)
    return change < 0


@kernel
def parent_overdrawn(book, rules, account):
    """Whether the margin of an isolated position was taken out of a wallet that had not as much."""
    shape = rules.shape[account]
    for wallet in range(book.balance.shape[0]):
        if rules.isolates[shape, wallet] >= 0:
            parent, asset = rules.parent[shape, wallet], rules.settle[shape, wallet]
            left = book.balance[parent, asset, account]
            if left < 0 and left < saved_balance(book, parent, asset):
                if has_opened(book, rules.isolates[shape, wallet], account):
                    return True
    return False


@kernel
def has_opened(book, position, account):
    """Whether the order opened some of a position: it is larger than it was, or on the other side."""
    before, now = saved_contracts(book, position), book.contracts[position, account]
    return now != 0 and ((now > 0) != (before > 0) or abs(now) > abs(before))


@kernel
def above_tier(book, rules, tape, account, bar):
    """Whether a position the order made larger is more than its tier allows at the leverage the account chose."""
    at = tape.rules_at[rules.shape[account], bar]
    for position in range(book.contracts.shape[0]):
        i = rules.instrument[position]
        grown = abs(book.contracts[position, account]) > abs(saved_contracts(book, position))
        wallet = rules.position_wallet[rules.shape[account], position]
        if grown and rules.model[rules.shape[account], wallet] == TIERS:
            notional = notional_here(book, rules, account, position) * STEP
            row = row_of(rules.tier[at, i], size_in_brackets(book, rules, position, at, account, notional))
            if rules.leverage[account, i] > rules.tier[at, i, MAX_LEVERAGE, row]:
                return True
    return False


@kernel
def short_of_margin(book, rules, tape, account, bar):
    """Whether the order left a shared wallet with less than it is asked for, and further from it than before
    (isolated ones were funded at opening).
    """
    if rules.term[tape.rules_at[rules.shape[account], bar], ASKS_INITIAL] == 0:
        return False
    for wallet in range(book.balance.shape[0]):
        if is_shared(rules, account, wallet):
            gap = book.gap[ONE, wallet]
            if gap > 0.0 and gap > book.gap[HERE, wallet] + SLACK:
                return True
    return False


@kernel
def is_shared(rules, account, wallet):
    """Whether a wallet backs positions and is none's own."""
    shape = rules.shape[account]
    return rules.model[shape, wallet] != BACKS_NOTHING and rules.isolates[shape, wallet] < 0
