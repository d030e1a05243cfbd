"""Delivery: an expired contract becomes money at the venue's average price, less its fee, before any order."""

from __future__ import annotations

from backtest.engine.fills import trade
from backtest.kernel import kernel
from backtest.state import BY_DELIVERY, DELIVERY_FEE, E_SUBJECT, NOTHING, OPEN


@kernel
def deliver(book, rules, tape, event, account, bar):
    """Close every position of the expired instrument at the delivery price (`number[event, 0]`)."""
    i, shape = tape.event[event, E_SUBJECT], rules.shape[account]
    fee = rules.fee[tape.rules_at[shape, bar], i, DELIVERY_FEE]
    for position in range(len(rules.instrument)):
        if rules.instrument[position] == i and book.contracts[position, account] != 0:
            contracts = -book.contracts[position, account]
            trade(
                book,
                rules,
                tape,
                bar,
                account,
                position,
                contracts,
                tape.number[event, 0],
                fee,
                BY_DELIVERY,
                OPEN,
                NOTHING,
            )
