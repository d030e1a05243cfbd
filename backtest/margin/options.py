"""Options under standard margin: what is bought is paid and asks nothing, what is written asks for its own rule.

Only Deribit prints one (coin-settled, a contract of one coin, mark in the coin; U the underlying, OTM how far out of
the money the strike lies):

    short call   initial max(0.15 - OTM / U, 0.10) + mark        maintenance 0.075 + mark
    short put    the same, at least its maintenance              maintenance max(0.075, 0.075 x mark) + mark

A linear option asks the same shares of the underlying's price. Venues without a rule of their own are held to this
one, and say so. Source: rules of Deribit, "Options, standard margin".
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.span import first_account, held, price
from backtest.state import CALL, NET_INITIAL, NET_MAINTENANCE, STRIKE

FLAT_INITIAL, LEAST_INITIAL, MAINTENANCE_RATE = 0.15, 0.10, 0.075


@kernel
def add_short_option(book, rules, tape, prices, position, at, value, span, point, n):
    """NET_INITIAL and NET_MAINTENANCE += what a written option asks, in its settlement asset."""
    i = rules.instrument[position]
    if book.contracts[position, first_account(span)] < 0:
        strike, call = rules.option[i, STRIKE], rules.option[i, CALL]
        coin = prices[tape.index_row[point, rules.base[i], 0]]
        cash = prices[tape.index_row[point, rules.settlement[i], 0]]
        for j in range(n):
            underlying = price(coin, span, j) / price(cash, span, j)  # settlement asset a coin: 1 if paid in the coin
            strikes = strike * underlying / price(coin, span, j) if rules.settlement[i] == rules.base[i] else strike
            mark = price(value, span, j) / rules.size[i] / underlying  # share of the underlying
            out_of_money = max(0.0, call * (strikes / underlying - 1.0))
            coins = abs(held(book.contracts[position], span, j)) * rules.size[i] * underlying
            initial = max(FLAT_INITIAL - out_of_money, LEAST_INITIAL) + mark
            maintenance = MAINTENANCE_RATE + mark
            if call < 0.0:
                maintenance = max(MAINTENANCE_RATE, MAINTENANCE_RATE * mark) + mark
                initial = max(initial, maintenance)
            book.need[NET_INITIAL, j] += coins * initial
            book.need[NET_MAINTENANCE, j] += coins * maintenance
