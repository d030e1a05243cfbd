"""Options under standard margin: what is bought is paid and asks nothing, what is written asks for its own rule.

Only Deribit prints one (coin-settled, a contract of one coin, mark in the coin; U the underlying, OTM how far out of
the money the strike lies; flat, least and share stand in the venue's table of options):

    short call   initial max(flat - OTM / U, least) + mark       maintenance share + mark
    short put    the same, at least its maintenance              maintenance max(share, share x mark) + mark

A linear option asks the same shares of the underlying's price. Source: rules of Deribit, "Options, standard margin".
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.span import first_account, held, price
from backtest.state import (
    CALL, NET_INITIAL, NET_MAINTENANCE, STRIKE, WRITTEN_FLAT, WRITTEN_LEAST, WRITTEN_MAINTENANCE,
)  # fmt: skip


@kernel
def add_short_option(book, rules, tape, prices, position, at, value, span, point, n):
    """NET_INITIAL and NET_MAINTENANCE += what a written option asks, in its settlement asset."""
    i = rules.instrument[position]
    if book.contracts[position, first_account(span)] < 0:
        strike, call, written = rules.option[i, STRIKE], rules.option[i, CALL], rules.written[at]
        coin = prices[tape.index_row[point, rules.base[i], 0]]
        cash = prices[tape.index_row[point, rules.settlement[i], 0]]
        for j in range(n):
            underlying = price(coin, span, j) / price(cash, span, j)  # settlement asset a coin: 1 if paid in the coin
            strikes = strike * underlying / price(coin, span, j) if rules.settlement[i] == rules.base[i] else strike
            mark = price(value, span, j) / rules.size[i] / underlying  # share of the underlying
            out_of_money = max(0.0, call * (strikes / underlying - 1.0))
            coins = abs(held(book.contracts[position], span, j)) * rules.size[i] * underlying
            initial = max(written[WRITTEN_FLAT] - out_of_money, written[WRITTEN_LEAST]) + mark
            maintenance = written[WRITTEN_MAINTENANCE] + mark
            if call < 0.0:
                maintenance = max(written[WRITTEN_MAINTENANCE], written[WRITTEN_MAINTENANCE] * mark) + mark
                initial = max(initial, maintenance)
            book.need[NET_INITIAL, j] += coins * initial
            book.need[NET_MAINTENANCE, j] += coins * maintenance
