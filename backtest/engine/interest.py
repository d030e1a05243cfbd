"""What a loan costs: simple interest by the started hour, owed in the borrowed asset.

Interest runs on what was borrowed, not on interest. The first hour is charged when the loan is taken, then one at
every full clock hour (Binance FAQ 360041505471). What a unified wallet owes pays for the day at 00:00 UTC (Binance), or
by the hour: there a coin's loans, balance and open profit are one equity, and what it is below zero is owed (OKX,
"Collateral and equity"; Bybit, "Borrowing-repayment"). Rates are a series on the tape, by account; without one nothing
can be borrowed.
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.ledger.kinds import INTEREST_PAID
from backtest.ledger.post import post
from backtest.state import (
    BACKS_NOTHING, E_BAR, I64, INTEREST_HOURLY, NOTHING, OPEN, POSITIONS,
)  # fmt: skip
from backtest.units import units


@kernel
def hourly_rate(tape, account, asset, bar):
    """The asset's borrow rate for an hour, at a bar."""
    return tape.series[tape.borrow_row[account, asset], bar]


@kernel
def charge_first_hour(book, rules, tape, bar, account, loans, asset, borrowed):
    """A new loan pays its first started hour at once, where interest is of loans."""
    if is_hourly(rules, tape, rules.shape[account], bar):
        return
    due = units(borrowed * hourly_rate(tape, account, asset, bar))
    post(book, bar, account, loans, asset, INTEREST_PAID, -due, NOTHING, NOTHING)


@kernel
def is_hourly(rules, tape, shape, bar):
    """Whether what a coin's whole equity is below zero pays by the hour."""
    return rules.term[tape.rules_at[shape, bar], INTEREST_HOURLY] != 0


@kernel
def hours_owed(rules, tape, event, shape, wallet):
    """Hours of interest an event charges a wallet: loans by the hour, what a unified wallet owes by the day; where
    interest is of a coin's equity, that of the unified wallet by the hour, and the loans in it.
    """
    whole = is_hourly(rules, tape, shape, tape.event[event, E_BAR])
    if wallet == rules.loan_wallet[shape]:
        return 0.0 if whole else tape.number[event, 0]
    if rules.model[shape, wallet] != BACKS_NOTHING and rules.settle[shape, wallet] < 0:
        return tape.number[event, 0 if whole else 1]
    return 0.0


@kernel
def interest_on(book, rules, tape, account, wallet, asset, bar, balance, hours):
    """Interest that an event at a bar charges an asset of a wallet: on the principal of a loan, on what any other
    wallet owes of it.
    """
    shape = rules.shape[account]
    loans = rules.loan_wallet[shape]
    if wallet == loans:
        return interest_due(tape, account, asset, bar, -1.0 * book.principal[asset, account], hours)
    equity = 1.0 * balance
    if is_hourly(rules, tape, shape, bar):
        equity += open_profit(book, rules, tape, account, wallet, asset, bar)
        equity += book.balance[loans, asset, account] if loans >= 0 else 0.0
    return interest_due(tape, account, asset, bar, equity, hours)


@kernel
def open_profit(book, rules, tape, account, wallet, asset, bar):
    """What a wallet's positions that are settled in an asset have gained, in steps, at the marks of a bar's open."""
    profit = 0.0
    for k in range(book.held[account, wallet, POSITIONS, 0]):
        position = book.held[account, wallet, POSITIONS, 1 + k]
        i = rules.instrument[position]
        if rules.settlement[i] == asset:
            worth = book.contracts[position, account] * tape.series[tape.value_row[OPEN, i, 0], bar]
            profit += worth - book.cost[position, account]
    return profit


@kernel
def interest_due(tape, account, asset, bar, balance, hours):
    """Interest on a negative balance over some hours, as a (negative) change in steps; 0 where nothing is owed."""
    if balance >= 0 or tape.borrow_row[account, asset] < 0:
        return I64(0)
    return -units(-balance * hourly_rate(tape, account, asset, bar) * hours)
