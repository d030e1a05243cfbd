"""Funding: what longs pay shorts at a stamp, on the position held coming into it.

payment = contracts x value of a contract x rate; a positive rate is paid by longs. The contract is valued at the mark,
or at the index where the venue pays on its oracle price: each account by the rules of its own venue. An order filled
at the stamp does not collect it. An isolated position pays from its own wallet. Source: Binance, "Funding" (notional
at mark); Hyperliquid, "Funding" (notional at the oracle price).
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.state import E_BAR, I64, ONE
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
