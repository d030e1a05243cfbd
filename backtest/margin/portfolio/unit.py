"""A risk unit as every portfolio-margin page sees it: the legs of one coin, the numbers of its table, what is charged.

A page is one function `charge_<venue>(charge, cell, leg, many, number, grid, band)` that reads the first `many` columns
of `leg` and writes:

    charge  [CHARGES]          the unit's maintenance and initial margin, then the parts the page names
    cell    [CELL_ROWS, wide]  the scenario table: price move, volatility shock, profit or loss of each scenario

    number  [NUMBERS]          the table's numbers for the coin, at the places the page names
    grid    [GRID_ROWS, wide]  its scenarios: relative price move, volatility shock, share of the result that counts
    band    [ladders, 2, wide] ladders of the table: up to which amount (inf: above all), which rate or multiplier

Amounts are in USD, or in the coin where the page's DELTA_IN (of UNIT_DELTA) and PARTS_IN (of its parts and cells) say
so. No page knows wallets, orders or collateral.
"""

from __future__ import annotations

from backtest.state import I64

# Rows of the table of legs; a column is one position (or the free spot balance) of the unit.
#   LEG_COINS   signed base coins: the balance; contracts x size; of inverse contracts USD notional / mark
#   LEG_PRICE   mark in the quote currency (USD for inverse); of an option its premium a coin, in what it settles in
#   LEG_INDEX   index of the coin in the quote currency          LEG_USD      USD per unit of the quote currency
#   LEG_FORWARD price of the future of an option's expiry        LEG_YEARS    to expiry; 0: perpetual or spot
#   LEG_CALL    1 call, -1 put, 0 no option                      LEG_VOLATILITY  implied, a fraction a year
#   LEG_COINED  1 where profit is paid in the coin itself (inverse), else 0
#   LEG_SETTLE  number of the asset that profit is paid in       LEG_POSITION number of the position; -1: spot balance
(
    LEG_KIND,
    LEG_COINS,
    LEG_PRICE,
    LEG_INDEX,
    LEG_USD,
    LEG_FORWARD,
    LEG_YEARS,
    LEG_STRIKE,
    LEG_CALL,
    LEG_VOLATILITY,
    LEG_COINED,
    LEG_SETTLE,
    LEG_POSITION,
) = (I64(k) for k in range(13))
LEG_ROWS = 13
IS_SPOT, IS_FUTURE, IS_OPTION = 0.0, 1.0, 2.0  # what stands in LEG_KIND

GRID_MOVE, GRID_VOLATILITY, GRID_WEIGHT = (I64(k) for k in range(3))
GRID_ROWS = 3
CELL_MOVE, CELL_VOLATILITY, CELL_PROFIT = (I64(k) for k in range(3))
CELL_ROWS = 3
EXTRA_CELLS = 32  # room for scenarios that a page adds to its table's
BAND_UP_TO, BAND_RATE = (I64(k) for k in range(2))

UNIT_MAINTENANCE, UNIT_INITIAL, UNIT_DELTA = (I64(k) for k in range(3))  # then the page's own parts, from FIRST_PART on
FIRST_PART = I64(3)
CHARGES = 24
NUMBERS = 24
