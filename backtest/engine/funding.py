"""Funding: what longs pay shorts at a stamp, on the position held coming into it.

payment = contracts x value of a contract x rate; a positive rate is paid by longs. The contract is valued at the mark,
or at the index where the venue pays on its oracle price: each account by the rules of its own venue. An order filled
at the stamp does not collect it. An isolated position pays from its own wallet, or first from the one it was opened
from. Source: Binance, "Funding" (notional at mark); Hyperliquid, "Funding" (notional at the oracle price); Bybit,
"Funding" (available balance first).
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.margin.orders import held_by_orders
from backtest.state import E_BAR, FUNDING_FROM_FREE, I64, ONE
from backtest.units import units


@kernel
def funding_due(book, rules, tape, event, position, account):
    """Change of the wallet in steps. `number[event]`: rate, |value of a contract| at the stamp's mark, at its index."""
    contracts = book.contracts[position, account]
    if contracts == 0:
        return I64(0)
    at = tape.rules_at[rules.shape[account], tape.event[event, E_BAR]]
    worth = tape.number[event, ONE + rules.funding_at[at, rules.instrument[position]]]
    return -units(contracts * worth * tape.number[event, 0])


@kernel
def parent_of(rules, shape, wallet):
    """The wallet an isolated one was opened from; of a shared one, itself."""
    return rules.parent[shape, wallet] if rules.isolates[shape, wallet] >= 0 else wallet


@kernel
def funding_by_wallet(book, rules, tape, event, position, account, balance):
    """Changes in steps of the wallet an isolated position was opened from, which holds `balance`, and of the position's
    own; a shared wallet bears it all itself.
    """
    due, shape = funding_due(book, rules, tape, event, position, account), rules.shape[account]
    if rules.isolates[shape, rules.position_wallet[shape, position]] < 0:
        return I64(0), due
    free = from_free(book, rules, tape, account, position, tape.event[event, E_BAR], due, balance)
    return free, due - free


@kernel
def from_free(book, rules, tape, account, position, bar, due, balance):
    """Of an isolated position's funding, what goes over the balance of the wallet it was opened from: all that is
    received, and of a payment as much as no order holds; nothing where the venue books it on the position.
    """
    shape = rules.shape[account]
    if rules.term[tape.rules_at[shape, bar], FUNDING_FROM_FREE] == 0:
        return I64(0)
    if due >= 0:
        return due
    parent = rules.parent[shape, rules.position_wallet[shape, position]]
    asset = rules.settlement[rules.instrument[position]]
    free = balance - held_by_orders(book, rules, tape, parent, asset, account, bar)
    return -min(-due, max(I64(0), free))
