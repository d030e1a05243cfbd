"""SPAN: sixteen scenarios of price and volatility, a charge for spreads across expiries, a least sum for short options.

    risk        = max(scan risk + calendar charge - credit for other commodities, short option minimum)
    requirement = risk - net option value, not below zero

The grid is in scan ranges, as SPAN prints it: a move of 1 is `scan_range` of price, a shock of 1 `volatility_range` of
the option's volatility. The two extreme rows move twice as far and count a third. The calendar charge matches
composite deltas of opposite sign from the near expiry to the far, at a rate of the far leg's price. The net option
value is taken off because SPAN's collateral does not hold the options' value; where equity does, add that part back.
Composite delta is today's here; a clearing house weighs it over moves with weights that were not found.

Source: www.cme.com/clearing/rmspan/span/components.html; nseclearing.in SPAN parameters (2024-07-04).
"""

from __future__ import annotations

from backtest.kernel import entry, kernel
from backtest.margin.portfolio.profit import delta_of, next_expiry, option_usd, profit_usd
from backtest.margin.portfolio.unit import (
    CELL_MOVE, CELL_PROFIT, CELL_VOLATILITY, FIRST_PART, GRID_MOVE, GRID_VOLATILITY, GRID_WEIGHT, IS_OPTION, IS_SPOT,
    LEG_COINS, LEG_FORWARD, LEG_INDEX, LEG_KIND, LEG_PRICE, LEG_USD, LEG_VOLATILITY, LEG_YEARS, UNIT_DELTA,
    UNIT_INITIAL, UNIT_MAINTENANCE,
)  # fmt: skip
from backtest.state import I64

# Ranges and rates are fractions: of price, of volatility, of the far leg's price, of the index by coin sold short.
NAMES: tuple[str, ...] = ("scan_range", "volatility_range", "calendar_rate", "short_option_minimum", "initial_factor")
SCAN_RANGE, VOLATILITY_RANGE, CALENDAR_RATE, SHORT_OPTION_RATE, INITIAL_FACTOR = (I64(k) for k in range(5))
LADDERS: tuple[str, ...] = ()
DELTA_IN, PARTS_IN = "coin", "USD"
PARTS: tuple[str, ...] = (
    "scan_risk", "calendar_charge", "short_option_minimum", "net_option_value", "commodity_credit", "delta_left",
)  # fmt: skip
SCAN_RISK, CALENDAR, SHORT_OPTION_MINIMUM, OPTION_VALUE, CREDIT, DELTA_LEFT = (FIRST_PART + I64(k) for k in range(6))

# A row of the table of inter-commodity spreads: the two units, how much delta of each makes one spread, the credit.
SPREAD_FIRST, SPREAD_SECOND, SPREAD_FIRST_DELTA, SPREAD_SECOND_DELTA, SPREAD_CREDIT = (I64(k) for k in range(5))

THIRD = 1.0 / 3.0
# Price move and volatility move in ranges, and the share of the result that counts; the custom of CME.
SIXTEEN = (
    (0.0, 1.0, 1.0), (0.0, -1.0, 1.0),
    (THIRD, 1.0, 1.0), (THIRD, -1.0, 1.0), (-THIRD, 1.0, 1.0), (-THIRD, -1.0, 1.0),
    (2 * THIRD, 1.0, 1.0), (2 * THIRD, -1.0, 1.0), (-2 * THIRD, 1.0, 1.0), (-2 * THIRD, -1.0, 1.0),
    (1.0, 1.0, 1.0), (1.0, -1.0, 1.0), (-1.0, 1.0, 1.0), (-1.0, -1.0, 1.0),
    (2.0, 0.0, 0.33), (-2.0, 0.0, 0.33),
)  # fmt: skip


@entry
def ask_span(charge, cell, leg, many, number, grid, band):
    """charge_span for Python."""
    charge_span(charge, cell, leg, many, number, grid, band)


@entry
def ask_credits(charges, units, spread, initial_factor):
    """credit_commodities for Python, and the requirements of the units after it."""
    credit_commodities(charges, spread)
    for k in range(units):
        require_span(charges[k], initial_factor)


@kernel
def charge_span(charge, cell, leg, many, number, grid, band):
    """Fill charge and cell of one commodity, in USD, before any credit; spot is no part of it."""
    for part in range(len(charge)):
        charge[part] = 0.0
    charge[SCAN_RISK] = scan_risk(cell, leg, many, number, grid)
    add_calendar(charge, leg, many, number[CALENDAR_RATE])
    for k in range(many):
        if leg[LEG_KIND, k] == IS_OPTION:
            short = max(-leg[LEG_COINS, k], 0.0)
            charge[SHORT_OPTION_MINIMUM] += number[SHORT_OPTION_RATE] * short * leg[LEG_INDEX, k] * leg[LEG_USD, k]
            charge[OPTION_VALUE] += option_usd(leg, k)
    require_span(charge, number[INITIAL_FACTOR])


@kernel
def require_span(charge, initial_factor):
    """The requirement out of its parts."""
    risk = max(charge[SCAN_RISK] + charge[CALENDAR] - charge[CREDIT], charge[SHORT_OPTION_MINIMUM])
    charge[UNIT_MAINTENANCE] = max(risk - charge[OPTION_VALUE], 0.0)
    charge[UNIT_INITIAL] = initial_factor * charge[UNIT_MAINTENANCE]


@kernel
def require_beside_value(charge, initial_factor):
    """The requirement of an account whose equity counts its options: their value is not taken off once more."""
    risk = max(charge[SCAN_RISK] + charge[CALENDAR] - charge[CREDIT], charge[SHORT_OPTION_MINIMUM])
    charge[UNIT_MAINTENANCE] = risk
    charge[UNIT_INITIAL] = initial_factor * risk


@kernel
def scan_risk(cell, leg, many, number, grid):
    """Largest loss of the scenarios, each at its share; every result into cell."""
    worst = 0.0
    for s in range(grid.shape[1]):
        move, shock, total = grid[GRID_MOVE, s] * number[SCAN_RANGE], grid[GRID_VOLATILITY, s], 0.0
        for k in range(many):
            if leg[LEG_KIND, k] != IS_SPOT:
                volatility = leg[LEG_VOLATILITY, k] * max(1.0 + shock * number[VOLATILITY_RANGE], 0.0)
                total += profit_usd(leg, k, move, volatility)
        cell[CELL_MOVE, s], cell[CELL_VOLATILITY, s] = move, shock * number[VOLATILITY_RANGE]
        cell[CELL_PROFIT, s] = total * grid[GRID_WEIGHT, s]
        worst = max(worst, -cell[CELL_PROFIT, s])
    return worst


@kernel
def add_calendar(charge, leg, many, rate):
    """Expiries from near to far: what is carried from nearer ones meets delta of the other sign; the rest carries on.

    What is carried has one sign only, so its sum is all that has to be remembered.
    """
    carried, years = 0.0, next_expiry(leg, many, -1.0)
    while years >= 0.0:
        delta, price = 0.0, 0.0
        for k in range(many):
            if leg[LEG_KIND, k] != IS_SPOT and leg[LEG_YEARS, k] == years:
                delta += delta_of(leg, k)
                price = leg[LEG_FORWARD, k] if leg[LEG_KIND, k] == IS_OPTION else leg[LEG_PRICE, k]
                price *= leg[LEG_USD, k]
        if carried * delta < 0.0:
            charge[CALENDAR] += min(abs(carried), abs(delta)) * rate * price
        carried += delta
        years = next_expiry(leg, many, years)
    charge[UNIT_DELTA] = carried
    charge[DELTA_LEFT] = carried


# --- between commodities


@kernel
def credit_commodities(charges, spread):
    """Credit opposite deltas of two units, spread by spread; the units' requirements are to be asked again.

    charges [unit, CHARGES] of all units; spread [many, 5]: the two units (-1: no spread), how much delta of each makes
    one spread, the credit as a share of the legs' risk. Spreads are formed in the table's order, from the delta that
    earlier ones left.
    """
    for s in range(len(spread)):
        first, second = int(spread[s, SPREAD_FIRST]), int(spread[s, SPREAD_SECOND])
        one, other = charges[first], charges[second]
        if first >= 0 and one[DELTA_LEFT] * other[DELTA_LEFT] < 0.0:
            many = min(
                abs(one[DELTA_LEFT]) / spread[s, SPREAD_FIRST_DELTA],
                abs(other[DELTA_LEFT]) / spread[s, SPREAD_SECOND_DELTA],
            )
            credit_leg(one, many * spread[s, SPREAD_FIRST_DELTA], spread[s, SPREAD_CREDIT])
            credit_leg(other, many * spread[s, SPREAD_SECOND_DELTA], spread[s, SPREAD_CREDIT])


@kernel
def credit_leg(charge, delta, rate):
    """Credit the scan risk that belongs to that much of the unit's net delta, and use the delta up."""
    charge[CREDIT] += rate * charge[SCAN_RISK] * delta / abs(charge[UNIT_DELTA])
    left = max(abs(charge[DELTA_LEFT]) - delta, 0.0)
    charge[DELTA_LEFT] = left if charge[DELTA_LEFT] > 0.0 else -left
