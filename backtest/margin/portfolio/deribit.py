"""Deribit portfolio margin: the risk matrix, and the extended matrix beyond it.

    worst case   of the pair's summed cells, gains cut to their offset, extreme moves damped
    roll shock   of every expiry's delta, a share by its distance; a perpetual pays the least
    margin     = worst case + roll shock (+ contingencies of the archived rules)
    initial    = margin                    maintenance = mm_factor x margin

The standard matrix moves the price by k/4 of its range, k = -4..4, at volatilities up, same and down; the extended one
by -66 to +500 % at volatility up, each cell scaled to the edge of the range:

    cell = profit(x) x extended_factor x (R / |x|) x (1 + x) / (1 + sign(x) x R)

so that a future alone shows its edge cell there. A cell of the grid is extended where its move lies outside the range.
Cells count in the coin for contracts paid in it: a move x of q coins gains q x (1 - 1 / (1 + x)). Contracts paid in
dollars are a pair of their own, in coins at the index; whether the two pairs net is in no source. Charges are in coins.

Not computed, as their parameters are named but no formula was found: the delta shock (above 20 million USD of delta)
and the correlation contingency. Orders and market-maker protection add to the initial margin, never to maintenance.
Source: docs.deribit.com, private/simulate and public/pme/get_params; archived pages www.deribit.com/docs.
"""

from __future__ import annotations

from math import exp

from backtest.kernel import kernel
from backtest.margin.portfolio.profit import coin_profit, delta_of, shocked, usd_delta, usd_profit
from backtest.margin.portfolio.unit import (
    CELL_MOVE, CELL_PROFIT, CELL_VOLATILITY, FIRST_PART, GRID_MOVE, GRID_VOLATILITY, GRID_WEIGHT, IS_OPTION, IS_SPOT,
    LEG_COINED, LEG_COINS, LEG_INDEX, LEG_KIND, LEG_STRIKE, LEG_USD, LEG_VOLATILITY, LEG_YEARS, UNIT_DELTA,
    UNIT_INITIAL, UNIT_MAINTENANCE,
)  # fmt: skip
from backtest.state import I64

NAMES = (
    "price_range",
    "vol_up",
    "vol_down",
    "min_volatility",
    "short_vega_power",
    "long_vega_power",
    "extended_factor",
    "extended_dampener_usd",
    "min_annualised_move",
    "annualised_move_risk",
    "pnl_offset",
    "delta_shock_threshold",
    "max_delta_shock",
    "option_contingency",
    "future_contingency",
    "mm_factor",
)
(
    PRICE_RANGE,
    VOL_UP,
    VOL_DOWN,
    MIN_VOLATILITY,
    SHORT_POWER,
    LONG_POWER,
    EXTENDED_FACTOR,
    DAMPENER,
    LEAST_MOVE,
    MOVE_RISK,
    PNL_OFFSET,
    DELTA_THRESHOLD,
    MAX_DELTA_SHOCK,
    OPTION_CONTINGENCY,
    FUTURE_CONTINGENCY,
    MM_FACTOR,
) = (I64(k) for k in range(16))
LADDERS: tuple[str, ...] = ()
DELTA_IN, PARTS_IN = "USD", "coin"
PARTS = ("worst_case", "roll_shock", "option_contingency", "future_contingency")
WORST, ROLL, OPTIONS, FUTURES = (FIRST_PART + I64(k) for k in range(4))
MONTH = 30.0 / 365.0  # below it volatility is shocked with the short power


@kernel
def charge_deribit(charge, cell, leg, many, number, grid, band):
    """Charge one coin's pairs, in coins."""
    charge[UNIT_DELTA] = charge[WORST] = charge[ROLL] = charge[OPTIONS] = charge[FUTURES] = 0.0
    for s in range(grid.shape[1]):
        cell[CELL_MOVE, s], cell[CELL_VOLATILITY, s] = grid[GRID_MOVE, s], grid[GRID_VOLATILITY, s]
        cell[CELL_PROFIT, s] = 0.0
    for coined in (1.0, 0.0):
        if has_pair(leg, many, coined):
            charge[WORST] += worst_case(cell, leg, many, coined, number, grid)
            charge[ROLL] += roll_shock(leg, many, coined, number)
            charge[OPTIONS] += number[OPTION_CONTINGENCY] * net_short_options(leg, many, coined)
            charge[FUTURES] += number[FUTURE_CONTINGENCY] * offsetting_futures(leg, many, coined)
    for k in range(many):
        if leg[LEG_KIND, k] != IS_SPOT:
            charge[UNIT_DELTA] += usd_delta(leg, k)
    margin = charge[WORST] + charge[ROLL] + charge[OPTIONS] + charge[FUTURES]
    charge[UNIT_INITIAL] = margin
    charge[UNIT_MAINTENANCE] = number[MM_FACTOR] * margin


@kernel
def in_pair(leg, k, coined):
    """Whether leg k is a derivative paid in the coin (1) or in dollars (0)."""
    return leg[LEG_KIND, k] != IS_SPOT and leg[LEG_COINED, k] == coined


@kernel
def has_pair(leg, many, coined):
    """Whether the unit has anything of the pair."""
    for k in range(many):
        if in_pair(leg, k, coined):
            return True
    return False


@kernel
def leg_cell(leg, k, move, shock, number):
    """Coins that one leg gains in one cell, scaled to the edge of the range where the move lies beyond it."""
    power = number[SHORT_POWER] if leg[LEG_YEARS, k] < MONTH else number[LONG_POWER]
    volatility = leg[LEG_VOLATILITY, k]
    if shock != 0.0 and leg[LEG_KIND, k] == IS_OPTION:
        volatility = shocked(volatility, shock, leg[LEG_YEARS, k], power, 1.0)
        volatility = max(volatility, number[MIN_VOLATILITY]) if shock > 0.0 else volatility
    coined = leg[LEG_COINED, k] > 0.0
    if coined:
        profit = coin_profit(leg, k, move, volatility)
    else:
        profit = usd_profit(leg, k, leg[LEG_INDEX, k], move, volatility) / (leg[LEG_INDEX, k] * leg[LEG_USD, k])
    reach = number[PRICE_RANGE]
    if abs(move) <= reach * (1.0 + 1e-9):
        return profit
    scaled = profit * number[EXTENDED_FACTOR] * (reach / abs(move))
    return scaled * (1.0 + move) / (1.0 + (reach if move > 0.0 else -reach)) if coined else scaled


@kernel
def worst_case(cell, leg, many, coined, number, grid):
    """The largest loss of the summed cells, in coins; the table keeps their sum over the pairs."""
    worst = 0.0
    for s in range(grid.shape[1]):
        move, total = grid[GRID_MOVE, s], 0.0
        index = 0.0
        for k in range(many):
            if in_pair(leg, k, coined):
                total += leg_cell(leg, k, move, grid[GRID_VOLATILITY, s], number)
                index = leg[LEG_INDEX, k] * leg[LEG_USD, k]
        total = damped(total * grid[GRID_WEIGHT, s], move, coined, index, number)
        cell[CELL_PROFIT, s] += total
        worst = max(worst, -total)
    return worst


@kernel
def damped(total, move, coined, index, number):
    """A sum of gains counts by its offset; beyond the range every sum is pulled towards zero."""
    if total > 0.0:
        total *= number[PNL_OFFSET]
    reach = number[PRICE_RANGE]
    if abs(move) > reach * (1.0 + 1e-9) and index > 0.0:
        edge = 1.0 + (reach if move > 0.0 else -reach) if coined > 0.0 else 1.0
        pull = (max(abs(move) / reach, 1.0) - 1.0) * number[DAMPENER] / (edge * index)
        if abs(total) <= pull:
            return 0.0
        return total - pull if total > 0.0 else total + pull
    return total


@kernel
def roll_shock(leg, many, coined, number):
    """Of every expiry's net coins, the annual move for the years left, at least the smallest one."""
    total = 0.0
    for k in range(many):
        if in_pair(leg, k, coined) and is_first(leg, k, coined):
            coins = 0.0
            for other in range(k, many):
                if in_pair(leg, other, coined) and leg[LEG_YEARS, other] == leg[LEG_YEARS, k]:
                    coins += delta_of(leg, other)
            share = max(number[LEAST_MOVE], exp(number[MOVE_RISK] * leg[LEG_YEARS, k]) - 1.0)
            total += abs(coins) * share
    return total


@kernel
def is_first(leg, k, coined):
    """Whether no earlier leg of the pair expires with leg k."""
    for other in range(k):
        if in_pair(leg, other, coined) and leg[LEG_YEARS, other] == leg[LEG_YEARS, k]:
            return False
    return True


@kernel
def net_short_options(leg, many, coined):
    """Options sold net at each strike and expiry, in coins, calls and puts together (archived rules)."""
    total = 0.0
    for k in range(many):
        if in_pair(leg, k, coined) and leg[LEG_KIND, k] == IS_OPTION:
            net, first = 0.0, True
            for other in range(many):
                same = in_pair(leg, other, coined) and leg[LEG_STRIKE, other] == leg[LEG_STRIKE, k]
                if same and leg[LEG_KIND, other] == IS_OPTION:
                    first = first and other >= k
                    net += leg[LEG_COINS, other]
            if first:
                total += max(0.0, -net)
    return total


@kernel
def offsetting_futures(leg, many, coined):
    """Coins of futures that other futures of the pair offset (archived rules)."""
    bought, sold = 0.0, 0.0
    for k in range(many):
        if in_pair(leg, k, coined) and leg[LEG_KIND, k] != IS_OPTION:
            bought += max(0.0, leg[LEG_COINS, k])
            sold += max(0.0, -leg[LEG_COINS, k])
    return min(bought, sold)
