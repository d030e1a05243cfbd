"""What a loan costs: simple interest by the started hour, owed in the borrowed asset.

Interest runs on what was borrowed, not on interest. The first hour is charged when the loan is taken, then one at
every full clock hour (Binance FAQ 360041505471). What a unified wallet owes pays for the day at 00:00 UTC. Rates are a
series on the tape, by account; without one nothing can be borrowed.
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.ledger.kinds import INTEREST_PAID
from backtest.ledger.post import post
from backtest.state import I64, NOTHING
from backtest.units import units


@kernel
def hourly_rate(tape, account, asset, bar):
    """The asset's borrow rate for an hour, at a bar."""
    return tape.series[tape.borrow_row[account, asset], bar]


@kernel
def charge_first_hour(book, tape, bar, account, loans, asset, borrowed):
    """A new loan pays its first started hour at once."""
    due = units(borrowed * hourly_rate(tape, account, asset, bar))
    post(book, bar, account, loans, asset, INTEREST_PAID, -due, NOTHING, NOTHING)


@kernel
def interest_due(tape, account, asset, bar, balance, hours):
    """Interest on a negative balance over some hours, as a (negative) change in steps; 0 where nothing is owed."""
    if balance >= 0 or tape.borrow_row[account, asset] < 0:
        return I64(0)
    return -units(-balance * hourly_rate(tape, account, asset, bar) * hours)
