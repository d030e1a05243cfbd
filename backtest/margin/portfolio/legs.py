"""What a portfolio-margin page looks at: the futures, options and free coins of one unit, at one moment, as legs."""

from __future__ import annotations

import numpy as np

from backtest.kernel import kernel
from backtest.margin.collateral import many_held, nth_held, side_of
from backtest.margin.portfolio.unit import (
    IS_FUTURE, IS_OPTION, IS_SPOT, LEG_CALL, LEG_COINED, LEG_COINS, LEG_FORWARD, LEG_INDEX, LEG_KIND, LEG_POSITION,
    LEG_PRICE, LEG_SETTLE, LEG_STRIKE, LEG_USD, LEG_VOLATILITY, LEG_YEARS,
)  # fmt: skip
from backtest.span import dated, first_account, held, price
from backtest.state import CALL, HERE, INVERSE, ONE, POSITIONS, STRIKE


@kernel
def list_legs(book, rules, tape, prices, wallet, unit, coins, span, point, j):
    """Fill `book.leg` with the legs of one unit at element j of the span; `coins` are free (or owed). How many."""
    many = 0
    for k in range(many_held(book, wallet, POSITIONS, span)):
        position = nth_held(book, wallet, POSITIONS, span, k)
        if rules.base[rules.instrument[position]] == unit and book.contracts[position, first_account(span)] != 0:
            write_position(book.leg[:, many], book, rules, tape, prices, position, unit, span, point, j)
            many += 1
    if coins != 0.0:
        write_spot(book.leg[:, many], tape, prices, unit, coins, span, point, j)
        many += 1
    return many


@kernel
def write_position(leg, book, rules, tape, prices, position, unit, span, point, j):
    """One future or option as a leg."""
    i = rules.instrument[position]
    value = price(prices[tape.value_row[point, i, side_of(book, position, span)]], span, j)
    contracts = held(book.contracts[position], span, j)
    index = price(prices[tape.index_row[point, unit, 0]], span, j)
    cash = price(prices[tape.index_row[point, rules.settlement[i], 0]], span, j)
    coined = rules.settlement[i] == unit
    usd = 1.0 if coined else cash
    leg[LEG_KIND] = IS_OPTION if rules.option[i, STRIKE] > 0.0 else IS_FUTURE
    leg[LEG_COINS] = contracts * (abs(value) if rules.kind[i] == INVERSE else rules.size[i])
    leg[LEG_PRICE] = rules.size[i] / abs(value) if rules.kind[i] == INVERSE else value / rules.size[i]
    leg[LEG_INDEX] = index / usd
    leg[LEG_USD] = usd
    leg[LEG_YEARS] = max(0.0, rules.expiry[i] - dated(tape.years, span, j)) if rules.expiry[i] > 0.0 else 0.0
    leg[LEG_STRIKE] = rules.option[i, STRIKE]
    leg[LEG_CALL] = rules.option[i, CALL]
    leg[LEG_COINED] = 1.0 if coined else 0.0
    leg[LEG_SETTLE] = np.float64(rules.settlement[i])
    leg[LEG_POSITION] = np.float64(position)
    leg[LEG_FORWARD], leg[LEG_VOLATILITY] = leg[LEG_PRICE], 0.0
    if rules.option[i, STRIKE] > 0.0:
        volatility, forward = tape.option_row[i, HERE], tape.option_row[i, ONE]
        leg[LEG_VOLATILITY] = dated(tape.series[volatility], span, j)
        leg[LEG_FORWARD] = dated(tape.series[forward], span, j) if forward >= 0 else leg[LEG_INDEX]


@kernel
def write_spot(leg, tape, prices, unit, coins, span, point, j):
    """Free coins as a leg, quoted in USD."""
    index = price(prices[tape.index_row[point, unit, 0]], span, j)
    for row in range(len(leg)):
        leg[row] = 0.0
    leg[LEG_KIND], leg[LEG_COINS], leg[LEG_POSITION] = IS_SPOT, coins, -1.0
    leg[LEG_PRICE] = leg[LEG_INDEX] = leg[LEG_FORWARD] = index
    leg[LEG_USD], leg[LEG_SETTLE] = 1.0, np.float64(unit)
