"""Paradex portfolio margin: the worst of 24 weighted scenarios, at least a minimum for delta, plus two provisions.

    initial     = max(scan risk, minimum for delta) + funding provision + fee provision
    maintenance = half of the maximum              + funding provision + fee provision

A scenario moves spot and volatility together; far moves count at a weight. The minimum for delta charges net delta at
one factor and each pair of coins hedged against one another at a smaller one, so that a hedged book is never free.

The page prints no formula of the provisions. Here: perpetuals' funding over the next 8 hours as `funding_rate` (a
fraction of notional a funding interval, signed: longs pay if positive, what would be received counts for nothing), and
`fee_rate` of the gross notional. Source: docs.paradex.trade/risk/portfolio-margin (2026-08-20); the minimum's form is
inferred from its published factors.
"""

from __future__ import annotations

from backtest.kernel import entry, kernel
from backtest.margin.portfolio.profit import delta_of, profit_usd, shocked
from backtest.margin.portfolio.unit import (
    CELL_MOVE, CELL_PROFIT, CELL_VOLATILITY, FIRST_PART, GRID_MOVE, GRID_VOLATILITY, GRID_WEIGHT, IS_FUTURE, IS_SPOT,
    LEG_COINS, LEG_INDEX, LEG_KIND, LEG_PRICE, LEG_USD, LEG_VOLATILITY, LEG_YEARS, UNIT_DELTA, UNIT_INITIAL,
    UNIT_MAINTENANCE,
)  # fmt: skip
from backtest.state import I64

# Factors and rates are fractions of notional; days_floor the least days to expiry that a shock is scaled by.
NAMES: tuple[str, ...] = (
    "unhedged_factor", "hedged_factor", "funding_rate", "fee_rate", "vega_power", "days_floor", "min_shock_up",
    "maintenance_share",
)  # fmt: skip
(UNHEDGED, HEDGED, FUNDING_RATE, FEE_RATE, VEGA_POWER, DAYS_FLOOR, MIN_SHOCK_UP, MAINTENANCE_SHARE) = (
    I64(k) for k in range(8)
)
LADDERS: tuple[str, ...] = ()
DELTA_IN, PARTS_IN = "coin", "USD"
PARTS: tuple[str, ...] = ("scan_risk", "min_delta_risk", "funding_provision", "fee_provision")
SCAN_RISK, MIN_DELTA_RISK, FUNDING_PROVISION, FEE_PROVISION = (FIRST_PART + I64(k) for k in range(4))


@entry
def ask_paradex(charge, cell, leg, many, number, grid, band):
    """charge_paradex for Python."""
    charge_paradex(charge, cell, leg, many, number, grid, band)


@kernel
def charge_paradex(charge, cell, leg, many, number, grid, band):
    """Fill charge and cell of one coin, in USD; spot is no part of it."""
    for part in range(len(charge)):
        charge[part] = 0.0
    charge[SCAN_RISK] = scan_risk(cell, leg, many, number, grid)
    add_delta_and_provisions(charge, leg, many, number)
    net = max(charge[SCAN_RISK], charge[MIN_DELTA_RISK])
    provisions = charge[FUNDING_PROVISION] + charge[FEE_PROVISION]
    charge[UNIT_INITIAL] = net + provisions
    charge[UNIT_MAINTENANCE] = number[MAINTENANCE_SHARE] * net + provisions


@kernel
def scan_risk(cell, leg, many, number, grid):
    """Largest weighted loss; every scenario's weighted result into cell."""
    worst = 0.0
    for s in range(grid.shape[1]):
        move, shock, total = grid[GRID_MOVE, s], grid[GRID_VOLATILITY, s], 0.0
        for k in range(many):
            if leg[LEG_KIND, k] != IS_SPOT:
                total += profit_usd(leg, k, move, scenario_volatility(leg, k, shock, number))
        cell[CELL_MOVE, s], cell[CELL_VOLATILITY, s] = move, shock
        cell[CELL_PROFIT, s] = total * grid[GRID_WEIGHT, s]
        worst = max(worst, -cell[CELL_PROFIT, s])
    return worst


@kernel
def scenario_volatility(leg, k, shock, number):
    """An option's volatility under a shock; after an upward one it is `min_shock_up` at least."""
    after = shocked(leg[LEG_VOLATILITY, k], shock, leg[LEG_YEARS, k], number[VEGA_POWER], number[DAYS_FLOOR])
    return max(after, number[MIN_SHOCK_UP]) if shock > 0.0 else after


@kernel
def add_delta_and_provisions(charge, leg, many, number):
    """Net and gross delta at their factors on spot; funding of perpetuals and the fees to close."""
    net, gross, index, pays = 0.0, 0.0, 0.0, 0.0
    for k in range(many):
        if leg[LEG_KIND, k] != IS_SPOT:
            delta, index = delta_of(leg, k), leg[LEG_INDEX, k] * leg[LEG_USD, k]
            net, gross = net + delta, gross + abs(delta)
            if leg[LEG_KIND, k] == IS_FUTURE and leg[LEG_YEARS, k] == 0.0:
                pays += leg[LEG_COINS, k] * index * number[FUNDING_RATE]
            charge[FEE_PROVISION] += number[FEE_RATE] * abs(leg[LEG_COINS, k]) * fee_price(leg, k, index)
    charge[UNIT_DELTA] = net
    charge[MIN_DELTA_RISK] = index * (abs(net) * number[UNHEDGED] + 0.5 * (gross - abs(net)) * number[HEDGED])
    charge[FUNDING_PROVISION] = max(pays, 0.0)


@kernel
def fee_price(leg, k, index):
    """USD of notional a coin: the mark of a future, the index for an option."""
    return leg[LEG_PRICE, k] * leg[LEG_USD, k] if leg[LEG_KIND, k] == IS_FUTURE else index
