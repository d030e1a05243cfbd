"""TIMS, the customer portfolio margin of US brokers: the worst of ten equidistant points each side of today's price.

Profits and losses offset within a class (all that stands on one coin, spot too) and nowhere else; each contract bears
a minimum. Options are repriced at an unchanged volatility, not taken at their intrinsic value. Ranges by class: 15 %
each way for single shares, 10 % for broad indices, 8 % down and 6 % up for the largest; a coin has none of its own, so
a table that uses this page assumes one. Source: FINRA rule 4210(g); OCC RBH/CPM user guide 1.13 (2021); the ranges and
the minimum of 0.375 USD x multiplier are general knowledge, not read in a primary text.
"""

from __future__ import annotations

from backtest.kernel import entry, kernel
from backtest.margin.portfolio.profit import delta_of, profit_usd
from backtest.margin.portfolio.unit import (
    CELL_MOVE, CELL_PROFIT, CELL_VOLATILITY, FIRST_PART, IS_SPOT, LEG_COINS, LEG_KIND, LEG_VOLATILITY, UNIT_DELTA,
    UNIT_INITIAL, UNIT_MAINTENANCE,
)  # fmt: skip
from backtest.state import I64

# Ranges are fractions, both positive; the minimum is USD for each coin a contract is on (0.375 a share at OCC).
NAMES: tuple[str, ...] = ("range_down", "range_up", "minimum_usd", "initial_factor")
RANGE_DOWN, RANGE_UP, MINIMUM_USD, INITIAL_FACTOR = (I64(k) for k in range(4))
LADDERS: tuple[str, ...] = ()
DELTA_IN, PARTS_IN = "coin", "USD"
PARTS: tuple[str, ...] = ("worst_loss", "contract_minimum")
WORST_LOSS, CONTRACT_MINIMUM = (FIRST_PART + I64(k) for k in range(2))

POINTS = 10  # each side
CELLS = 2 * POINTS


@entry
def ask_tims(charge, cell, leg, many, number, grid, band):
    """charge_tims for Python."""
    charge_tims(charge, cell, leg, many, number, grid, band)


@kernel
def charge_tims(charge, cell, leg, many, number, grid, band):
    """Fill charge and the first 20 columns of cell of one class, in USD. The page makes its own grid of points."""
    for part in range(len(charge)):
        charge[part] = 0.0
    for s in range(CELLS):
        step = s + 1 - POINTS if s >= POINTS else s - POINTS
        move = step / POINTS * (number[RANGE_UP] if step > 0 else number[RANGE_DOWN])
        cell[CELL_MOVE, s], cell[CELL_VOLATILITY, s], cell[CELL_PROFIT, s] = move, 0.0, 0.0
        for k in range(many):
            cell[CELL_PROFIT, s] += profit_usd(leg, k, move, leg[LEG_VOLATILITY, k])
        charge[WORST_LOSS] = max(charge[WORST_LOSS], -cell[CELL_PROFIT, s])
    for k in range(many):
        charge[UNIT_DELTA] += delta_of(leg, k)
        if leg[LEG_KIND, k] != IS_SPOT:
            charge[CONTRACT_MINIMUM] += number[MINIMUM_USD] * abs(leg[LEG_COINS, k])
    charge[UNIT_MAINTENANCE] = max(charge[WORST_LOSS], charge[CONTRACT_MINIMUM])
    charge[UNIT_INITIAL] = number[INITIAL_FACTOR] * charge[UNIT_MAINTENANCE]
