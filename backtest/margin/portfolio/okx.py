"""OKX portfolio margin: a unit is a coin, all its swaps, futures and options together, with the spot in use.

    MMR = max( max(MR1, MR2, MR6) + MR3 + MR4 + MR5 + MR9, MR7 )        IMR = 1.3 x MMR

    MR1  spot shock        worst result over seven prices and three volatilities
    MR4  basis             a share of each expiry's delta, by its distance; a perpetual pays its own share
    MR6  extreme move      half of what a move of twice MR1's limit would lose
    MR7  minimum charge    what closing every derivative would cost, dearer with size
    MR9  stablecoins       what is hedged between contracts of different dollars, by scale

MR1 and MR6 move the index, deltas, MR4 and MR7 are at mark. MR2, MR3 and MR5 belong to options and no formula of them
was found: they are 0, and a book of options is charged too little. Of MR4 only a lone perpetual's share is published;
a dated future is taken to pay the annual move for the part of a year it has left, at least a perpetual's share. MR7 is
read as a cost of every leg. Amounts in USD. Source: OKX announcement of 2025-01-02, help page on portfolio margin mode;
rates from the API's response example of account/position-builder.
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.margin.portfolio.profit import unit_delta, usd_delta, usd_profit
from backtest.margin.portfolio.unit import (
    BAND_RATE, BAND_UP_TO, CELL_MOVE, CELL_PROFIT, CELL_VOLATILITY, FIRST_PART, GRID_MOVE, GRID_VOLATILITY, IS_SPOT,
    LEG_COINED, LEG_COINS, LEG_INDEX, LEG_KIND, LEG_SETTLE, LEG_USD, LEG_VOLATILITY, LEG_YEARS, UNIT_DELTA,
    UNIT_INITIAL, UNIT_MAINTENANCE,
)  # fmt: skip
from backtest.state import I64

NAMES = ("mr4_annualised", "mr4_perpetual_rate", "mr6_move", "mr6_share", "mr7_rate", "initial_factor")
ANNUAL_MOVE, PERPETUAL_RATE, EXTREME_MOVE, EXTREME_SHARE, CLOSING_RATE, INITIAL_FACTOR = (I64(k) for k in range(6))
LADDERS = ("mr7", "mr9")
CLOSING, STABLE = (I64(k) for k in range(2))
DELTA_IN, PARTS_IN = "USD", "USD"
PARTS = ("mr1", "mr2", "mr3", "mr4", "mr5", "mr6", "mr7", "mr9", "spot_in_use")
MR1, MR2, MR3, MR4, MR5, MR6, MR7, MR9, IN_USE = (FIRST_PART + I64(k) for k in range(9))


@kernel
def charge_okx(charge, cell, leg, many, number, grid, band):
    """Charge one unit, in USD."""
    used = spot_in_use(leg, many)
    charge[IN_USE] = used
    charge[UNIT_DELTA] = unit_delta(leg, many, used)
    charge[MR1] = spot_shock(cell, leg, many, used, grid)
    charge[MR6] = extreme_move(cell, leg, many, used, grid, number)
    charge[MR2] = charge[MR3] = charge[MR5] = 0.0
    charge[MR4] = basis_move(leg, many, number)
    charge[MR7] = closing_cost(leg, many, number, band[CLOSING])
    charge[MR9] = stable_risk(leg, many, band[STABLE]) if band.shape[0] > 1 else 0.0
    risks = max(charge[MR1], charge[MR2], charge[MR6]) + charge[MR3] + charge[MR4] + charge[MR5] + charge[MR9]
    charge[UNIT_MAINTENANCE] = max(risks, charge[MR7])
    charge[UNIT_INITIAL] = number[INITIAL_FACTOR] * charge[UNIT_MAINTENANCE]


@kernel
def spot_in_use(leg, many):
    """Coins of the free balance that hedge an opposite delta of the derivatives."""
    free, derivatives = 0.0, 0.0
    for k in range(many):
        if leg[LEG_KIND, k] == IS_SPOT:
            free += leg[LEG_COINS, k]
        else:
            derivatives += usd_delta(leg, k) / (leg[LEG_INDEX, k] * leg[LEG_USD, k])
    return max(0.0, min(free, -derivatives))


@kernel
def result_of(leg, many, used, move, points):
    """USD gained by the unit in one scenario; volatility moves by points."""
    total = 0.0
    for k in range(many):
        if leg[LEG_KIND, k] == IS_SPOT:
            total += used * leg[LEG_INDEX, k] * leg[LEG_USD, k] * move
        else:
            total += usd_profit(leg, k, leg[LEG_INDEX, k], move, max(0.0, leg[LEG_VOLATILITY, k] + points))
    return total


@kernel
def spot_shock(cell, leg, many, used, grid):
    """MR1: the worst of the grid, without sign; 0 where nothing of it loses."""
    worst = 0.0
    for s in range(grid.shape[1]):
        profit = result_of(leg, many, used, grid[GRID_MOVE, s], grid[GRID_VOLATILITY, s])
        cell[CELL_MOVE, s], cell[CELL_VOLATILITY, s] = grid[GRID_MOVE, s], grid[GRID_VOLATILITY, s]
        cell[CELL_PROFIT, s] = profit
        worst = max(worst, -profit)
    return worst


@kernel
def extreme_move(cell, leg, many, used, grid, number):
    """MR6: a share of the worse of two moves that are twice the grid's limit; they follow the grid in the table."""
    worst = 0.0
    for side in range(2):
        move = number[EXTREME_MOVE] if side == 1 else -number[EXTREME_MOVE]
        profit = result_of(leg, many, used, move, 0.0)
        s = grid.shape[1] + side
        cell[CELL_MOVE, s], cell[CELL_VOLATILITY, s], cell[CELL_PROFIT, s] = move, 0.0, profit
        worst = max(worst, -profit)
    return number[EXTREME_SHARE] * worst


@kernel
def basis_move(leg, many, number):
    """MR4: of every expiry's net delta, a share."""
    total = 0.0
    for k in range(many):
        if leg[LEG_KIND, k] != IS_SPOT and is_first_of_expiry(leg, k):
            delta = 0.0
            for other in range(k, many):
                if leg[LEG_KIND, other] != IS_SPOT and leg[LEG_YEARS, other] == leg[LEG_YEARS, k]:
                    delta += usd_delta(leg, other)
            share = number[PERPETUAL_RATE]
            if leg[LEG_YEARS, k] > 0.0:
                share = max(share, number[ANNUAL_MOVE] * leg[LEG_YEARS, k])
            total += share * abs(delta)
    return total


@kernel
def is_first_of_expiry(leg, k):
    """Whether no earlier derivative of the unit expires with leg k."""
    for other in range(k):
        if leg[LEG_KIND, other] != IS_SPOT and leg[LEG_YEARS, other] == leg[LEG_YEARS, k]:
            return False
    return True


@kernel
def closing_cost(leg, many, number, ladder):
    """MR7: the rate of closing every derivative, band by band dearer."""
    raw = 0.0
    for k in range(many):
        if leg[LEG_KIND, k] != IS_SPOT:
            raw += number[CLOSING_RATE] * abs(usd_delta(leg, k))
    return by_bands(raw, ladder)


@kernel
def by_bands(amount, ladder):
    """Each band's part of an amount times the band's rate."""
    total, floor = 0.0, 0.0
    for b in range(ladder.shape[1]):
        up_to = ladder[BAND_UP_TO, b]
        total += max(0.0, min(amount, up_to) - floor) * ladder[BAND_RATE, b]
        if amount <= up_to:
            return total
        floor = up_to
    return total


@kernel
def stable_risk(leg, many, ladder):
    """MR9: what deltas of contracts paid in different dollars hedge of each other, by scale; coin-margined ones count
    as dollars of the index. Second-hand; only the row of a dollar at par is known.
    """
    total, left = 0.0, 0.0
    for k in range(many):
        if leg[LEG_KIND, k] != IS_SPOT and is_first_of_dollar(leg, k):
            delta = 0.0
            for other in range(k, many):
                if leg[LEG_KIND, other] != IS_SPOT and same_dollar(leg, k, other):
                    delta += usd_delta(leg, other)
            if delta * left < 0.0:
                total += by_bands(min(abs(delta), abs(left)), ladder)
            left += delta
    return total


@kernel
def same_dollar(leg, k, other):
    """Whether two legs are paid in the same dollar."""
    if leg[LEG_COINED, k] != leg[LEG_COINED, other]:
        return False
    return leg[LEG_COINED, k] > 0.0 or leg[LEG_SETTLE, k] == leg[LEG_SETTLE, other]


@kernel
def is_first_of_dollar(leg, k):
    """Whether no earlier derivative of the unit is paid in the dollar of leg k."""
    for other in range(k):
        if leg[LEG_KIND, other] != IS_SPOT and same_dollar(leg, other, k):
            return False
    return True
