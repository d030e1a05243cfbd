"""The end of a ladder: what is left goes to the fund.

What is taken over at the bankruptcy price leaves its owner nothing, and costs him no more than that. Where the fee to
close is a part of the margin, it is paid out of it.
"""

from __future__ import annotations

from backtest.engine.exchange import call_loans, is_sold
from backtest.engine.fills import trade
from backtest.engine.forced import note
from backtest.engine.rungs import close_all
from backtest.kernel import kernel
from backtest.ledger.kinds import INSURANCE
from backtest.ledger.post import post
from backtest.margin.moment import mark_here
from backtest.margin.tiers import value_of_contract
from backtest.margin.wallets import list_held, require_now
from backtest.state import (
    BACKSTOP, BY_LIQUIDATION, COLLATERAL, FEE_TO_CLOSE, INVERSE, MAINTENANCE, NOTHING, POSITIONS, TAKER,
)  # fmt: skip
from backtest.units import units


@kernel
def surrender(book, rules, tape, account, wallet, bar, point, rung):
    """Everything the wallet holds goes to the fund: positions and what is left of their collateral, or lacks of it.

    One position goes at its bankruptcy price, several at the mark and the collateral after them. A wallet of several
    assets is sold out instead, and later rungs sell coins and settle debts; only a backstop takes those too.
    """
    require_now(book, rules, tape, wallet, account, bar)
    collateral, maintenance = book.need[COLLATERAL, 0], book.need[MAINTENANCE, 0]
    if rules.settle[rules.shape[account], wallet] < 0 and rung != BACKSTOP:
        close_all(book, rules, tape, account, wallet, bar, point)
        return
    position, price = lone_position(book, account, wallet), 0.0
    if position >= 0:
        price = bankruptcy_price(book, rules, tape, account, wallet, position, bar)
    if price > 0.0:
        fee_rate = closing_fee(rules, tape, account, position, bar)
        hand_over(book, rules, tape, account, position, price, fee_rate, bar, point)
    else:
        seize(book, rules, tape, account, wallet, bar, point)
    hand_over_cash(book, rules, tape, account, wallet, bar)
    note(book, bar, account, wallet, rung, position, collateral, maintenance, 0.0, price, point, -collateral)


@kernel
def lone_position(book, account, wallet):
    """The only position of a wallet that has contracts; -1 if there are several or none."""
    found = NOTHING
    for k in range(book.held[account, wallet, POSITIONS, 0]):
        position = book.held[account, wallet, POSITIONS, 1 + k]
        if book.contracts[position, account] != 0:
            if found >= 0:
                return NOTHING
            found = position
    return found


@kernel
def closing_fee(rules, tape, account, position, bar):
    """Rate of the fee of a takeover at the bankruptcy price: the taker's where that is a part of the margin, else 0."""
    at = tape.rules_at[rules.shape[account], bar]
    return rules.fee[at, rules.instrument[position], TAKER] if rules.term[at, FEE_TO_CLOSE] != 0 else 0.0


@kernel
def bankruptcy_price(book, rules, tape, account, wallet, position, bar):
    """Price at which closing the wallet's only position, and the fee of that, leaves nothing; 0 where no price does, or
    other coins stand behind it.
    """
    i, shape = rules.instrument[position], rules.shape[account]
    if rules.settle[shape, wallet] < 0:
        return 0.0
    balance = book.balance[wallet, rules.settlement[i], account]
    contracts, fee = book.contracts[position, account], closing_fee(rules, tape, account, position, bar)
    charged = fee * abs(contracts) if rules.kind[i] != INVERSE else -fee * abs(contracts)
    value = (book.cost[position, account] - balance) / (contracts - charged)
    if value == 0.0:
        return 0.0
    return max(0.0, -rules.size[i] / value if rules.kind[i] == INVERSE else value / rules.size[i])


@kernel
def hand_over(book, rules, tape, account, position, price, fee_rate, bar, point):
    """The fund takes a position at a price."""
    contracts = -book.contracts[position, account]
    trade(book, rules, tape, bar, account, position, contracts, price, fee_rate, BY_LIQUIDATION, point, NOTHING)


@kernel
def seize(book, rules, tape, account, wallet, bar, point):
    """Positions go at the mark. What an isolated one has left is taken before: closing it would release that."""
    for k in range(book.contracts.shape[0]):
        if rules.position_wallet[rules.shape[account], k] == wallet and book.contracts[k, account] != 0:
            i = rules.instrument[k]
            mark = mark_here(book, rules, i)
            if rules.isolates[rules.shape[account], wallet] >= 0:
                profit = units(book.contracts[k, account] * value_of_contract(rules, i, mark)) - book.cost[k, account]
                left = book.balance[wallet, rules.settlement[i], account] + profit
                post(book, bar, account, wallet, rules.settlement[i], INSURANCE, -left, k, NOTHING)
            hand_over(book, rules, tape, account, k, mark, 0.0, bar, point)


@kernel
def hand_over_cash(book, rules, tape, account, wallet, bar):
    """What counted as collateral goes to the fund, and what is owed is the fund's."""
    shape = rules.shape[account]
    at = tape.rules_at[shape, bar]
    call_loans(book, rules, account, wallet, bar)
    for asset in range(book.balance.shape[1]):
        balance = book.balance[wallet, asset, account]
        if balance < 0 or rules.settle[shape, wallet] >= 0 or is_sold(rules, shape, at, asset):
            post(book, bar, account, wallet, asset, INSURANCE, -balance, NOTHING, NOTHING)
    list_held(book, rules, account)
