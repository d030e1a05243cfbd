"""Deribit portfolio margin: the worst cell of a risk matrix of the coin, plus charges for what the matrix cannot see.

A pair (the coin against USD: inverse contracts; against USDC: linear ones) is revalued under nine price moves with
three volatilities and under eight extreme moves whose results are scaled down to the size of the range. A cell that
is a gain counts for `pnl_offset` of it only; an extreme cell is pulled towards zero by a dampener that makes small
books vanish there. Futures of different expiries do not net in the roll shock. Options are revalued with Black 1976.

EVERYTHING HERE COUNTS IN THE COIN: the charge, its parts and the cells. Linear profit is USD over the index. Spot
is collateral of its own and no part of the matrix; market-maker protection and resting orders are added to initial
margin by the caller and never enter maintenance.

Source: docs.deribit.com private/simulate (example of 2024-06-17, reproduced cell by cell) and public/pme/get_params;
the archived pages www.deribit.com/docs/category/uncategorized (2018, A) and /pages/docs/portfoliomargin (about
2019-2022, B) for the contingencies, which are 0 today. No published number tests: the delta shock (put together here
from its parameters' names), the growth of the roll shock with time, how the two pairs of one coin add up (here: cell
by cell after each pair's offset) and A's vega contingency (here: of the change in value under the first cell's shock).
"""

from __future__ import annotations

import math

import numpy as np

from backtest.kernel import entry, kernel
from backtest.margin.portfolio.revalue import DAYS, delta_of, next_expiry, option_at
from backtest.margin.portfolio.unit import (
    CELL_MOVE, CELL_PROFIT, CELL_VOLATILITY, FIRST_PART, GRID_MOVE, GRID_ROWS, GRID_VOLATILITY, GRID_WEIGHT, IS_FUTURE,
    IS_OPTION, IS_SPOT, LEG_COINED, LEG_COINS, LEG_INDEX, LEG_KIND, LEG_PRICE, LEG_STRIKE, LEG_USD, LEG_VOLATILITY,
    LEG_YEARS, UNIT_DELTA, UNIT_INITIAL, UNIT_MAINTENANCE,
)  # fmt: skip
from backtest.state import I64

# Rates are fractions; *_usd amounts of USD; powers those of 30 / days to expiry, short below 30 days. A volatility is
# a fraction a year. shock_in_points: 1 where a shock is added to the volatility (archived), 0 where it multiplies it.
NAMES: tuple[str, ...] = (
    "price_range", "min_volatility", "short_vega_power", "long_vega_power", "shock_in_points", "extended_factor",
    "extended_dampener_usd", "pnl_offset", "max_offset_usd", "min_move", "move_risk", "delta_threshold_usd",
    "max_delta_shock", "delta_shock_slope", "correlation_contingency", "option_contingency", "short_option_contingency",
    "future_contingency", "vega_contingency", "mm_factor",
)  # fmt: skip
(
    PRICE_RANGE,
    MIN_VOLATILITY,
    SHORT_VEGA_POWER,
    LONG_VEGA_POWER,
    SHOCK_IN_POINTS,
    EXTENDED_FACTOR,
    DAMPENER_USD,
    PNL_OFFSET,
    MAX_OFFSET_USD,
    MIN_MOVE,
    MOVE_RISK,
    DELTA_THRESHOLD_USD,
    MAX_DELTA_SHOCK,
    DELTA_SHOCK_SLOPE,
    CORRELATION,
    OPTION_CONTINGENCY,
    SHORT_OPTION_CONTINGENCY,
    FUTURE_CONTINGENCY,
    VEGA_CONTINGENCY,
    MM_FACTOR,
) = (I64(k) for k in range(20))
LADDERS: tuple[str, ...] = ()
PARTS: tuple[str, ...] = ("worst_case", "roll_shock", "delta_shock", "correlation_contingency", "contingency")
WORST_CASE, ROLL_SHOCK, DELTA_SHOCK, CORRELATION_PART, CONTINGENCY_PART = (FIRST_PART + I64(k) for k in range(5))

BUCKETS = 4  # each side of today's price
EXTENDED_MOVES = (-0.66, -0.33, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0)
EDGE = 1.0 + 1e-9  # a move this far beyond the range is an extreme one


def deribit_grid(price_range: float, up: float, down: float) -> np.ndarray:
    """The 35 scenarios [GRID_ROWS, 35]: nine moves with volatility up, kept and down; eight extreme ones, up."""
    steps = [price_range * k / BUCKETS for k in range(-BUCKETS, BUCKETS + 1)]
    cells = [(move, shock, 1.0) for shock in (up, 0.0, -down) for move in steps]
    cells += [(move, up, 1.0) for move in EXTENDED_MOVES]
    grid: np.ndarray = np.array(cells).T
    assert len(grid) == GRID_ROWS
    return grid


@entry
def ask_deribit(charge, cell, leg, many, number, grid, band):
    """charge_deribit for Python."""
    charge_deribit(charge, cell, leg, many, number, grid, band)


@kernel
def charge_deribit(charge, cell, leg, many, number, grid, band):
    """Fill charge and cell of one coin, in the coin: initial is the risk matrix, maintenance mm_factor of it."""
    for part in range(len(charge)):
        charge[part] = 0.0
    fill_cells(charge, cell, leg, many, number, grid)
    for coined in range(2):
        add_shocks(charge, leg, many, number, coined)
        add_contingencies(charge, leg, many, number, grid[GRID_VOLATILITY, 0], coined)
    charge[CORRELATION_PART] = number[CORRELATION] * abs(charge[UNIT_DELTA])
    matrix = 0.0
    for part in range(FIRST_PART, FIRST_PART + 5):
        matrix += charge[part]
    charge[UNIT_INITIAL] = matrix
    charge[UNIT_MAINTENANCE] = number[MM_FACTOR] * matrix


# --- the matrix


@kernel
def fill_cells(charge, cell, leg, many, number, grid):
    """Every scenario's result of both pairs, and the worst of them."""
    worst = 0.0
    for s in range(grid.shape[1]):
        cell[CELL_MOVE, s], cell[CELL_VOLATILITY, s] = grid[GRID_MOVE, s], grid[GRID_VOLATILITY, s]
        cell[CELL_PROFIT, s] = 0.0
        if grid[GRID_WEIGHT, s] > 0.0:
            for coined in range(2):
                cell[CELL_PROFIT, s] += pair_cell(leg, many, number, grid, s, coined)
            worst = min(worst, cell[CELL_PROFIT, s])
    charge[WORST_CASE] = -worst


@kernel
def pair_cell(leg, many, number, grid, s, coined):
    """One pair's result under scenario s, in coins: summed, a gain offset in part, an extreme one dampened."""
    move, reach = grid[GRID_MOVE, s], number[PRICE_RANGE]
    total, index = 0.0, 0.0
    for k in range(many):
        if in_pair(leg, k, coined):
            index = index_usd(leg, k)
            total += profit_coins(leg, k, move, shocked_volatility(leg, k, grid[GRID_VOLATILITY, s], number))
    if index <= 0.0:
        return 0.0
    edge = math.copysign(reach, move)
    extreme = abs(move) > reach * EDGE
    if extreme:
        total *= number[EXTENDED_FACTOR] * (reach / abs(move))
        if coined:
            total *= (1.0 + move) / (1.0 + edge)
    total *= grid[GRID_WEIGHT, s]
    if total > 0.0:
        total = min(total * number[PNL_OFFSET], number[MAX_OFFSET_USD] / index)
    if extreme:
        value = index * (1.0 + edge) if coined else index
        pull = (abs(move) / reach - 1.0) * number[DAMPENER_USD] / value
        total -= math.copysign(min(abs(total), pull), total)
    return total


@kernel
def in_pair(leg, k, coined):
    """Whether leg k is a contract of the inverse (1) or of the linear pair (0)."""
    return leg[LEG_KIND, k] != IS_SPOT and (leg[LEG_COINED, k] > 0.0) == (coined > 0)


@kernel
def index_usd(leg, k):
    """USD for one coin."""
    return leg[LEG_INDEX, k] * leg[LEG_USD, k]


@kernel
def profit_coins(leg, k, move, volatility):
    """Profit of leg k under a move, in coins: an inverse contract's at the new price, a linear one's at today's."""
    coins, coined = leg[LEG_COINS, k], leg[LEG_COINED, k]
    if leg[LEG_KIND, k] == IS_OPTION:
        change = option_at(leg, k, move, volatility, coined) - option_at(leg, k, 0.0, leg[LEG_VOLATILITY, k], coined)
        return coins * change if coined > 0.0 else coins * change / leg[LEG_INDEX, k]
    if coined > 0.0:
        return coins * (1.0 - 1.0 / (1.0 + move))
    return coins * leg[LEG_PRICE, k] * move / leg[LEG_INDEX, k]


@kernel
def shocked_volatility(leg, k, shock, number):
    """An option's volatility under a shock that grows towards expiry; an upward one has a floor."""
    volatility, days = leg[LEG_VOLATILITY, k], leg[LEG_YEARS, k] * DAYS
    if days <= 0.0 or shock == 0.0:
        return volatility
    power = number[SHORT_VEGA_POWER] if days < 30.0 else number[LONG_VEGA_POWER]
    scaled = shock * (30.0 / days) ** power
    after = volatility + scaled if number[SHOCK_IN_POINTS] > 0.0 else volatility * (1.0 + scaled)
    return max(after, number[MIN_VOLATILITY] if shock > 0.0 else 0.0)


# --- beside the matrix


@kernel
def add_shocks(charge, leg, many, number, coined):
    """Roll shock: of each expiry's delta, however they net. Delta shock: of a pair's net delta, if it is very large."""
    years, net, index = next_expiry(leg, many, -1.0), 0.0, 0.0
    while years >= 0.0:
        delta = 0.0
        for k in range(many):
            if in_pair(leg, k, coined) and leg[LEG_YEARS, k] == years:
                index = index_usd(leg, k)
                delta += delta_of(leg, k)
        net += delta
        charge[ROLL_SHOCK] += abs(delta) * max(number[MIN_MOVE], math.exp(number[MOVE_RISK] * years) - 1.0)
        years = next_expiry(leg, many, years)
    charge[UNIT_DELTA] += net
    if index > 0.0:
        beyond = max(abs(net) - number[DELTA_THRESHOLD_USD] / index, 0.0)
        charge[DELTA_SHOCK] += abs(net) * min(number[DELTA_SHOCK_SLOPE] * beyond, number[MAX_DELTA_SHOCK])


@kernel
def add_contingencies(charge, leg, many, number, shock, coined):
    """The archived charges: on options held, on net short options by strike, on futures and vega that offset."""
    long, short, long_vega, short_vega, due = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(many):
        if in_pair(leg, k, coined):
            coins = leg[LEG_COINS, k]
            if leg[LEG_KIND, k] == IS_FUTURE:
                long, short = long + max(coins, 0.0), short + max(-coins, 0.0)
            else:
                due += number[OPTION_CONTINGENCY] * abs(coins)
                vega = profit_coins(leg, k, 0.0, shocked_volatility(leg, k, shock, number))
                long_vega, short_vega = long_vega + max(vega, 0.0), short_vega + max(-vega, 0.0)
                if first_of_strike(leg, k, coined):
                    due += number[SHORT_OPTION_CONTINGENCY] * net_short_at(leg, many, leg[LEG_STRIKE, k], coined)
    due += number[FUTURE_CONTINGENCY] * min(long, short)
    due += number[VEGA_CONTINGENCY] * min(long_vega, short_vega)
    charge[CONTINGENCY_PART] += due


@kernel
def first_of_strike(leg, k, coined):
    """Whether no option before leg k has its strike."""
    for before in range(k):
        if (
            in_pair(leg, before, coined)
            and leg[LEG_KIND, before] == IS_OPTION
            and leg[LEG_STRIKE, before] == leg[LEG_STRIKE, k]
        ):
            return False
    return True


@kernel
def net_short_at(leg, many, strike, coined):
    """Options of a strike, calls and puts together, by which short ones outnumber long ones."""
    net = 0.0
    for k in range(many):
        if in_pair(leg, k, coined) and leg[LEG_KIND, k] == IS_OPTION and leg[LEG_STRIKE, k] == strike:
            net += leg[LEG_COINS, k]
    return max(-net, 0.0)
