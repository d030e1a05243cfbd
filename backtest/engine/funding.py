"""Funding: what longs pay shorts at a stamp, on the position held coming into it.

payment = contracts x value of a contract at the mark x rate; a positive rate is paid by longs. An order filled at
the stamp does not collect it. An isolated position pays from its own wallet. Source: Binance, "Funding" (notional
at mark).
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.state import I64
from backtest.units import units


@kernel
def funding_due(book, tape, event, position, account):
    """Change of the wallet in steps. `number[event]` is (rate, |value of a contract| at the stamp's mark)."""
    contracts = book.contracts[position, account]
    if contracts == 0:
        return I64(0)
    return -units(contracts * tape.number[event, 1] * tape.number[event, 0])
