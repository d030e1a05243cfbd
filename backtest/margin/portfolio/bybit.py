"""Bybit portfolio margin: a coin's contracts, options and spot hedge under eleven prices, the worst volatility at each.

    maintenance = largest loss over the prices + contingency          initial = factor x maintenance

A spot hedge gains |hedge| x index x |move| where it gains; where it would lose it shows 0. Only as many coins hedge as
the derivatives' delta leaves open the other way; owed coins hedge a long. Shocks of volatility are relative to the
implied one, an assumption: the published sample's own ones could not be rebuilt.

Contingency has five parts. Of futures: the sum of |coins| x rate x index. Of options: coins of a contract sold net
x rate x index. Of vega: the option coins that expiries offset of each other x days apart x rate x index (second-hand;
that the hedged quantity counts coins is an assumption, the one in which the amount is money). Of futures' delta: what
futures of different expiry offset of each other x years apart x a rate of basis risk (second-hand; the published figure
of a perpetual could not be rebuilt). Near expiries offset first, those on one side in proportion, an assumption too.
Between dollars: nothing was found, 0. Amounts in USD.
Source: Docs v5/asset/portfolio-margin and its response example; Bybit Learn on the grid of 2025-01-10.
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.margin.portfolio.profit import delta_of, next_expiry, profit_usd, unit_delta, usd_delta
from backtest.margin.portfolio.unit import (
    CELL_MOVE, CELL_PROFIT, CELL_VOLATILITY, FIRST_PART, GRID_MOVE, GRID_VOLATILITY, GRID_WEIGHT, IS_FUTURE, IS_OPTION,
    IS_SPOT, LEG_CALL, LEG_COINS, LEG_INDEX, LEG_KIND, LEG_STRIKE, LEG_USD, LEG_VOLATILITY, LEG_YEARS, UNIT_DELTA,
    UNIT_INITIAL, UNIT_MAINTENANCE,
)  # fmt: skip
from backtest.state import I64

NAMES = ("future_contingency", "option_contingency", "vega_contingency", "delta_contingency", "initial_factor")
FUTURE_RATE, OPTION_RATE, VEGA_RATE, BASIS_RATE, INITIAL_FACTOR = (I64(k) for k in range(5))
DAYS = 365.0  # a year, of expiries
LADDERS: tuple[str, ...] = ()
DELTA_IN, PARTS_IN = "USD", "USD"
PARTS = (
    "max_loss",
    "future_contingency",
    "option_contingency",
    "option_vega_contingency",
    "future_delta_contingency",
    "usdt_usdc_contingency",
    "hedge_spot_size",
)
MAX_LOSS, OF_FUTURES, OF_OPTIONS, OF_VEGA, OF_DELTA, OF_DOLLARS, HEDGE = (FIRST_PART + I64(k) for k in range(7))


@kernel
def charge_bybit(charge, cell, leg, many, number, grid, band):
    """Charge one unit, in USD."""
    charge[HEDGE] = hedge_spot(leg, many)
    charge[UNIT_DELTA] = unit_delta(leg, many, charge[HEDGE])
    charge[MAX_LOSS] = largest_loss(cell, leg, many, charge[HEDGE], grid)
    charge[OF_FUTURES] = future_contingency(leg, many, number[FUTURE_RATE])
    charge[OF_OPTIONS] = option_contingency(leg, many, number[OPTION_RATE])
    charge[OF_VEGA] = spread_of_expiries(leg, many, IS_OPTION) * DAYS * number[VEGA_RATE]
    charge[OF_DELTA] = spread_of_expiries(leg, many, IS_FUTURE) * number[BASIS_RATE]
    charge[OF_DOLLARS] = 0.0
    contingency = charge[OF_FUTURES] + charge[OF_OPTIONS] + charge[OF_VEGA] + charge[OF_DELTA] + charge[OF_DOLLARS]
    charge[UNIT_MAINTENANCE] = charge[MAX_LOSS] + contingency
    charge[UNIT_INITIAL] = number[INITIAL_FACTOR] * charge[UNIT_MAINTENANCE]


@kernel
def hedge_spot(leg, many):
    """Coins, owned or owed, that hedge an opposite delta of the derivatives; signed."""
    free, derivatives = 0.0, 0.0
    for k in range(many):
        if leg[LEG_KIND, k] == IS_SPOT:
            free += leg[LEG_COINS, k]
        else:
            derivatives += delta_of(leg, k)
    if free * derivatives >= 0.0:
        return 0.0
    used = min(abs(free), abs(derivatives))
    return used if free > 0.0 else -used


@kernel
def hedge_profit(hedge, index, move):
    """USD a spot hedge shows at one price: what it gains, never what it would lose."""
    return max(0.0, hedge * index * move)


@kernel
def largest_loss(cell, leg, many, hedge, grid):
    """The largest loss of all prices at all volatilities, which is that of every price at its worst one."""
    worst = 0.0
    for s in range(grid.shape[1]):
        move, shock, total = grid[GRID_MOVE, s], grid[GRID_VOLATILITY, s], 0.0
        for k in range(many):
            if leg[LEG_KIND, k] == IS_SPOT:
                total += hedge_profit(hedge, leg[LEG_INDEX, k] * leg[LEG_USD, k], move)
            else:
                total += profit_usd(leg, k, move, max(0.0, leg[LEG_VOLATILITY, k] * (1.0 + shock)))
        cell[CELL_MOVE, s], cell[CELL_VOLATILITY, s] = move, shock
        cell[CELL_PROFIT, s] = total * grid[GRID_WEIGHT, s]
        worst = max(worst, -cell[CELL_PROFIT, s])
    return worst


@kernel
def future_contingency(leg, many, rate):
    """Every future and perpetual: |coins| x rate x index."""
    total = 0.0
    for k in range(many):
        if leg[LEG_KIND, k] != IS_SPOT and leg[LEG_KIND, k] != IS_OPTION:
            total += abs(leg[LEG_COINS, k]) * rate * leg[LEG_INDEX, k] * leg[LEG_USD, k]
    return total


@kernel
def option_contingency(leg, many, rate):
    """Contracts sold net, over the dollars they are paid in: coins x rate x index. A bought put covers no sold call."""
    total = 0.0
    for k in range(many):
        if leg[LEG_KIND, k] == IS_OPTION:
            net, first = 0.0, True
            for other in range(many):
                if leg[LEG_KIND, other] == IS_OPTION and same_contract(leg, k, other):
                    first = first and other >= k
                    net += leg[LEG_COINS, other]
            if first:
                total += max(0.0, -net) * rate * leg[LEG_INDEX, k] * leg[LEG_USD, k]
    return total


@kernel
def same_contract(leg, k, other):
    """Whether two options have strike, expiry and side in common."""
    alike = leg[LEG_STRIKE, k] == leg[LEG_STRIKE, other] and leg[LEG_YEARS, k] == leg[LEG_YEARS, other]
    return alike and leg[LEG_CALL, k] == leg[LEG_CALL, other]


@kernel
def spread_of_expiries(leg, many, kind):
    """USD x years that expiries of one kind of contract offset of each other, near to far."""
    total, carried, since = 0.0, 0.0, 0.0
    years = next_expiry(leg, many, -1.0)
    while years >= 0.0:
        amount = net_of_expiry(leg, many, kind, years)
        if carried * amount < 0.0:
            total += min(abs(carried), abs(amount)) * (years - since)
        since = mean_expiry(carried, since, amount, years)
        carried += amount
        years = next_expiry(leg, many, years)
    return total


@kernel
def net_of_expiry(leg, many, kind, years):
    """USD of one expiry, net: of futures the delta, of options the coins at the index (calls and puts gain alike)."""
    total = 0.0
    for k in range(many):
        if leg[LEG_KIND, k] == kind and leg[LEG_YEARS, k] == years:
            if kind == IS_OPTION:
                total += leg[LEG_COINS, k] * leg[LEG_INDEX, k] * leg[LEG_USD, k]
            else:
                total += usd_delta(leg, k)
    return total


@kernel
def mean_expiry(carried, since, amount, years):
    """When what is left to offset expires, on average, once `amount` of expiry `years` has joined `carried`."""
    if carried * amount < 0.0:
        return years if abs(amount) > abs(carried) else since
    both = carried + amount
    return (carried * since + amount * years) / both if both != 0.0 else since
