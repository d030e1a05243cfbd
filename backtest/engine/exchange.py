"""Auto-exchange: collateral becomes the currency that is owed, at the index less the venue's conversion haircut.

In a multi-asset wallet an asset that falls below the venue's threshold, and every debt at liquidation, is covered
by selling what the wallet owns, pro rata by value: 5,000 USDC owed costs 5,000 / 0.975 = 5,128.20 of BTC at a
haircut of 2.5 %. Source: Binance FAQ f80415bea812.
"""

from __future__ import annotations

from backtest.engine.fills import repay
from backtest.kernel import kernel
from backtest.ledger.kinds import CONVERSION_COST, CONVERTED
from backtest.ledger.post import post
from backtest.margin.moment import index_here
from backtest.margin.wallets import list_held
from backtest.state import CONVERSION, HERE, NOTHING, OVERDRAFT, RATE
from backtest.units import STEP, units


@kernel
def owned_after_haircut(book, rules, tape, account, wallet, bar):
    """USD that everything the wallet owns (and lets be sold) would fetch."""
    shape = rules.shape[account]
    at, total = tape.rules_at[shape, bar], 0.0
    for asset in range(book.balance.shape[1]):
        if book.balance[wallet, asset, account] > 0:
            worth = book.balance[wallet, asset, account] * STEP * index_here(book, rules, asset)
            if is_sold(rules, shape, at, asset):
                total += worth * (1.0 - rules.coin[at, asset, CONVERSION])
    return total


@kernel
def is_sold(rules, shape, at, asset):
    """Whether the venue may sell an asset: only what counts as collateral, and is not switched off."""
    return rules.counts[shape, asset] > 0.0 and rules.ratio[at, asset, RATE, HERE] > 0.0


@kernel
def call_loans(book, rules, account, wallet, bar):
    """Margin loans fall due: they become what the wallet itself owes."""
    loans = rules.loan_wallet[rules.shape[account]]
    if loans >= 0 and wallet == rules.spot_wallet[rules.shape[account]]:
        for asset in range(book.balance.shape[1]):
            if book.balance[loans, asset, account] < 0:
                repay(book, bar, account, wallet, loans, asset, -book.balance[loans, asset, account])
        list_held(book, rules, account)


@kernel
def cover(book, rules, tape, account, wallet, debt, bar):
    """Sell what is owned, pro rata by value, to cover one negative balance. Returns USD of collateral sold."""
    shape = rules.shape[account]
    at, owed = tape.rules_at[shape, bar], -book.balance[wallet, debt, account]
    fetch = owned_after_haircut(book, rules, tape, account, wallet, bar)
    if owed <= 0 or fetch <= 0.0:
        return 0.0
    owed_usd = owed * STEP * index_here(book, rules, debt)
    share, sold = min(1.0, owed_usd / fetch), 0.0
    bought = owed if share < 1.0 else units(owed * (fetch / owed_usd))
    for asset in range(book.balance.shape[1]):
        if book.balance[wallet, asset, account] > 0 and is_sold(rules, shape, at, asset):
            amount = units(book.balance[wallet, asset, account] * share)
            cost = units(amount * rules.coin[at, asset, CONVERSION])
            post(book, bar, account, wallet, asset, CONVERTED, cost - amount, NOTHING, NOTHING)
            post(book, bar, account, wallet, asset, CONVERSION_COST, -cost, NOTHING, NOTHING)
            sold += amount * STEP * index_here(book, rules, asset)
    post(book, bar, account, wallet, debt, CONVERTED, min(owed, bought), NOTHING, NOTHING)
    return sold


@kernel
def sell_collateral(book, rules, tape, account, wallet, bar):
    """Cover every negative balance of the wallet, margin loans included. Returns USD of collateral sold."""
    sold = 0.0
    call_loans(book, rules, account, wallet, bar)
    for asset in range(book.balance.shape[1]):
        sold += cover(book, rules, tape, account, wallet, asset, bar)
    if sold > 0.0:
        list_held(book, rules, account)
    return sold


@kernel
def overdrawn_usd(book, rules, tape, account, wallet, asset, bar):
    """Whether a balance is below the venue's auto-exchange threshold at the moment."""
    limit = rules.coin[tape.rules_at[rules.shape[account], bar], asset, OVERDRAFT]
    return book.balance[wallet, asset, account] * STEP * index_here(book, rules, asset) < -limit


@kernel
def exchange_overdrafts(book, rules, tape, account, wallet, bar):
    """Cover the balances that are below their thresholds. Returns USD of collateral sold."""
    sold = 0.0
    for asset in range(book.balance.shape[1]):
        if overdrawn_usd(book, rules, tape, account, wallet, asset, bar):
            sold += cover(book, rules, tape, account, wallet, asset, bar)
    if sold > 0.0:
        list_held(book, rules, account)
    return sold
