"""The sentences margin rules are made of: each one loop over a span.

A leaf never sums across the span and never looks at a neighbour, so its result cannot depend on how a history is cut
into stretches, on vector width, or on whether it was compiled. Every rule in this folder is a list of these.
"""

from __future__ import annotations

import numpy as np

from backtest.kernel import kernel
from backtest.span import held, owned, price
from backtest.state import (
    BORROW_INITIAL, BORROW_MAINTENANCE, BY_QUANTITY, DEBT_BUFFER, DEBT_FEE, DEBT_IN_MAINTENANCE, DEBTS_ARE_LOANS, FLOOR,
    HAIRCUT_IN_INITIAL, HERE, OFFSET, RATE,
)  # fmt: skip


@kernel
def take_balance(out, running, balance, span):
    """out = balance, in units of the asset."""
    for j in range(len(out)):
        out[j] = owned(running, balance, span, j)


@kernel
def add_balance(out, running, balance, span):
    """out += balance, in units of the asset."""
    for j in range(len(out)):
        out[j] += owned(running, balance, span, j)


@kernel
def add_profit(out, contracts, cost, value, span):
    """out += unrealised profit: what the contracts are worth less what they cost, in the settlement asset."""
    for j in range(len(out)):
        out[j] += held(contracts, span, j) * price(value, span, j) - held(cost, span, j)


@kernel
def add_initial(out, contracts, value, span, buys, sells, share):
    """out += share x the larger notional the position could reach through its resting orders on either side."""
    for j in range(len(out)):
        notional = held(contracts, span, j) * abs(price(value, span, j))
        out[j] += share * max(abs(notional + buys), abs(notional - sells))


@kernel
def at_entry(contracts, cost, span, j):
    """Signed notional at the price paid: a position's cost, whose own sign an inverse contract turns."""
    paid = abs(held(cost, span, j))
    return paid if held(contracts, span, j) > 0.0 else -paid


@kernel
def add_initial_at_entry(out, contracts, cost, span, buys, sells, share):
    """The same at the price paid, whatever the mark does."""
    for j in range(len(out)):
        notional = at_entry(contracts, cost, span, j)
        out[j] += share * max(abs(notional + buys), abs(notional - sells))


@kernel
def add_initial_and_fees(out, contracts, cost, value, span, buys, sells, share, buy_fee, sell_fee, paid):
    """The same with the fees that resting orders bring along, of the side that asks for more; `paid`: at entry."""
    for j in range(len(out)):
        notional = held(contracts, span, j) * abs(price(value, span, j))
        if paid:
            notional = at_entry(contracts, cost, span, j)
        out[j] += max(share * abs(notional + buys) + buy_fee * buys, share * abs(notional - sells) + sell_fee * sells)


@kernel
def add_resting_share(out, contracts, value, span, buys, sells, share):
    """out += share x what resting orders could add to the notional, where a position's own requirement has them not."""
    for j in range(len(out)):
        notional = held(contracts, span, j) * abs(price(value, span, j))
        out[j] += share * (max(abs(notional + buys), abs(notional - sells)) - abs(notional))


@kernel
def row_of(table, amount):
    """Row of a tier table that holds an amount: floor < amount <= cap."""
    row = HERE
    for k in range(1, table.shape[1]):
        row += amount > table[FLOOR, k]
    return row


@kernel
def bracketed(notional, table):
    """rate x notional - deduction, by the tier that holds the notional."""
    row = row_of(table, notional)
    return table[RATE, row] * notional + table[OFFSET, row]


@kernel
def many_outside(n, contracts, value, span, low, high):
    """How many notionals of a span do not lie in low < notional <= high."""
    many = 0
    for j in range(n):
        notional = abs(held(contracts, span, j) * price(value, span, j))
        many += (notional <= low) | (notional > high)
    return many


@kernel
def add_tiered(out, contracts, value, span, table):
    """out += rate x notional - deduction, by the tier that holds the notional."""
    first = abs(held(contracts, span, 0) * price(value, span, 0))
    row = row_of(table, first)
    low = table[FLOOR, row] if row > 0 else -1.0
    high = table[FLOOR, row + 1] if row + 1 < table.shape[1] else np.inf
    rate, offset = table[RATE, row], table[OFFSET, row]
    if many_outside(len(out), contracts, value, span, low, high) == 0:
        for j in range(len(out)):
            out[j] += rate * abs(held(contracts, span, j) * price(value, span, j)) + offset
    else:
        add_across(out, contracts, value, span, table, row)


@kernel
def add_across(out, contracts, value, span, table, row):
    """The same where not all of the span lies in tier `row`: most often it goes to and fro over one edge of it."""
    edge = table[FLOOR, row + 1] if row + 1 < table.shape[1] else np.inf
    lower = row if many_outside(len(out), contracts, value, span, -1.0, edge) > 0 else row - 1
    low = table[FLOOR, lower] if lower > 0 else -1.0
    high = table[FLOOR, lower + 2] if lower + 2 < table.shape[1] else np.inf
    if many_outside(len(out), contracts, value, span, low, high) == 0:
        add_either(out, contracts, value, span, table[:, lower], table[:, lower + 1])
    else:
        for j in range(len(out)):
            out[j] += bracketed(abs(held(contracts, span, j) * price(value, span, j)), table)


@kernel
def add_either(out, contracts, value, span, lower, upper):
    """The same where two tiers that meet hold it all."""
    edge = upper[FLOOR]
    low_rate, low_offset, high_rate, high_offset = lower[RATE], lower[OFFSET], upper[RATE], upper[OFFSET]
    for j in range(len(out)):
        notional = abs(held(contracts, span, j) * price(value, span, j))
        above = notional > edge
        out[j] += (high_rate if above else low_rate) * notional + (high_offset if above else low_offset)


@kernel
def add_tiered_otherwise(out, contracts, cost, value, span, table, others, by_contracts, flat, at_entry):
    """The same where the table is read otherwise: brackets by number of contracts (`others`: of the same family), a
    rate that holds for the whole size, or notional at the price paid.
    """
    for j in range(len(out)):
        notional = abs(held(cost, span, j)) if at_entry else abs(held(contracts, span, j) * price(value, span, j))
        size = abs(held(contracts, span, j)) + others if by_contracts else notional
        row = row_of(table, size)
        out[j] += table[RATE, row] * notional + (0.0 if flat else table[OFFSET, row])


@kernel
def add_sloped_inverse(out, contracts, value, span, base, per_coin):
    """out += q x (base + per coin x q), q what the contracts are worth in the coin at mark."""
    for j in range(len(out)):
        coins = abs(held(contracts, span, j) * price(value, span, j))
        out[j] += coins * (base + per_coin * coins)


@kernel
def add_sloped_linear(out, contracts, size, coin, cash, span, base, per_coin):
    """out += q x (base + per coin x q) x index, q the contracts' coins; `coin` and `cash` are indexes in USD."""
    for j in range(len(out)):
        coins = abs(held(contracts, span, j)) * size
        out[j] += coins * (base + per_coin * coins) * (price(coin, span, j) / price(cash, span, j))


@kernel
def add_share_of_cost(out, cost, span, share):
    """out += share x notional at entry."""
    for j in range(len(out)):
        out[j] += share * abs(held(cost, span, j))


@kernel
def add_share_of_notional(out, contracts, value, span, share):
    """out += share x notional at mark."""
    for j in range(len(out)):
        out[j] += share * abs(held(contracts, span, j) * price(value, span, j))


@kernel
def add_notional(out, contracts, value, span, usd):
    """out += signed notional in USD; `usd` is the settlement asset's price."""
    for j in range(len(out)):
        out[j] += held(contracts, span, j) * abs(price(value, span, j)) * price(usd, span, j)


@kernel
def add_gross(out, contracts, value, span, usd):
    """out += absolute notional in USD."""
    for j in range(len(out)):
        out[j] += abs(held(contracts, span, j) * price(value, span, j)) * price(usd, span, j)


@kernel
def add_share_of_debt(out, running, balance, span, share):
    """out += share x what is owed (the balance of a loan wallet is negative)."""
    for j in range(len(out)):
        out[j] += -owned(running, balance, span, j) * share


@kernel
def counted(amount, table, share):
    """USD that an amount of USD counts for: its tiered ratio if owned, in full if owed."""
    if amount <= 0.0:
        return amount
    row = row_of(table, amount)
    return (table[RATE, row] * amount + table[OFFSET, row]) * share


@kernel
def add_collateral(out, net, gain_price, debt_price, span, table, share, debt_buffer):
    """out += what the net amount of one asset counts for: gains cut by their ratio, debts in full and more.

    Where everything is owned and counts by one tier the same product is taken for all, as in `add_tiered`.
    """
    row = row_of(table, net[0] * price(gain_price, span, 0))
    low = table[FLOOR, row] if row > 0 else 0.0
    high = table[FLOOR, row + 1] if row + 1 < table.shape[1] else np.inf
    strays = 0
    for j in range(len(out)):
        amount = net[j] * price(gain_price, span, j)
        strays += (amount <= low) | (amount > high)
    if strays == 0:
        rate, offset = table[RATE, row], table[OFFSET, row]
        for j in range(len(out)):
            out[j] += (rate * (net[j] * price(gain_price, span, j)) + offset) * share
        return
    for j in range(len(out)):
        x = net[j]
        if x > 0.0:
            out[j] += counted(x * price(gain_price, span, j), table, share)
        else:
            out[j] += x * price(debt_price, span, j) * (1.0 + debt_buffer)


@kernel
def worth_counted(x, usd, table, share, by_quantity):
    """USD that x coins, owned, count for: by the tiers of their number or of their value."""
    if by_quantity:
        return counted(x, table, share) * usd
    return counted(x * usd, table, share)


@kernel
def add_collateral_otherwise(
    out, initial, maintenance, net, gain_price, debt_price, span, table, share, coin, term, due
):
    """Collateral where the venue counts otherwise: tiers by number of coins, haircuts that raise initial margin instead
    of lowering collateral, debts that raise maintenance instead, or debts that bear a loan's margins.
    """
    for j in range(len(out)):
        x = net[j]
        if x > 0.0:
            usd = price(gain_price, span, j)
            worth = worth_counted(x, usd, table, share, coin[BY_QUANTITY] > 0.0)
            if term[HAIRCUT_IN_INITIAL] != 0 and worth > 0.0:  # a coin that is no collateral counts for nothing
                out[j] += x * usd * share
                initial[j] += x * usd * share - worth
            else:
                out[j] += worth
        elif x < 0.0:
            debt = -x * price(debt_price, span, j)
            if term[DEBT_IN_MAINTENANCE] != 0:
                initial[j] += debt
                maintenance[j] += debt
            else:
                out[j] -= debt * (1.0 + coin[DEBT_BUFFER])
            if term[DEBTS_ARE_LOANS] != 0:
                initial[j] += debt * coin[BORROW_INITIAL]
                maintenance[j] += debt * (coin[BORROW_MAINTENANCE] + due[DEBT_FEE] * (1.0 + coin[BORROW_MAINTENANCE]))


@kernel
def add_fixed(out, needed, sum_usd):
    """out += a fixed sum wherever anything is needed at all."""
    for j in range(len(out)):
        out[j] += sum_usd if needed[j] > 0.0 else 0.0


@kernel
def add_priced(out, amount, usd, span, factor):
    """out += amount x price x factor."""
    for j in range(len(out)):
        out[j] += amount[j] * price(usd, span, j) * factor
