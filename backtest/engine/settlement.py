"""Settlement: an open position's profit becomes cash at the mark, and an expired contract becomes money altogether.

Most venues realise profit when a position closes. Some do it in between: at every funding stamp, or once a day. The
contracts stay, what they have earned so far at the mark goes to the wallet, and the mark is what they cost from then
on; equity does not notice. Delivery is at the venue's average price, less its fee, before any order. Source: Bybit,
"USDC Perpetual Session Settlement"; OKX, cross expiry futures, and Deribit, daily at 08:00 UTC.
"""

from __future__ import annotations

from backtest.engine.fills import trade
from backtest.kernel import kernel
from backtest.ledger.kinds import SETTLED
from backtest.ledger.post import post
from backtest.margin.tiers import value_of_contract
from backtest.margin.wallets import list_held
from backtest.state import BY_DELIVERY, DELIVERY_FEE, E_SUBJECT, NOTHING, OPEN
from backtest.units import units


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


@kernel
def settle_profit(book, rules, tape, event, account, bar):
    """Pay the profit of every position of the instrument at the mark (`number[event, 0]`); cost becomes its worth."""
    i, shape = tape.event[event, E_SUBJECT], rules.shape[account]
    value = value_of_contract(rules, i, tape.number[event, 0])
    for position in range(len(rules.instrument)):
        if rules.instrument[position] == i and book.contracts[position, account] != 0:
            worth = units(book.contracts[position, account] * value)
            profit = worth - book.cost[position, account]
            wallet = rules.position_wallet[shape, position]
            post(book, bar, account, wallet, rules.settlement[i], SETTLED, profit, position, NOTHING)
            book.cost[position, account] = worth
    list_held(book, rules, account)
