"""One leg under one scenario: what it would gain or lose, and its delta, before any venue adds anything up.

In USD a coin-margined and a linear contract earn the same for the same coins: q x (1 - 1/(1 + x)) coins at the new
price are q x mark x x dollars. The pages that count in dollars need not tell them apart; Deribit's, which counts
coin-margined contracts in the coin, does that itself.
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.margin.portfolio.black76 import option_value
from backtest.margin.portfolio.unit import (
    IS_OPTION, LEG_CALL, LEG_COINED, LEG_COINS, LEG_FORWARD, LEG_INDEX, LEG_KIND, LEG_PRICE, LEG_STRIKE, LEG_USD,
    LEG_VOLATILITY, LEG_YEARS,
)  # fmt: skip

DAYS = 365.0
BUMP = 1e-4  # relative move of the forward, up and down, over which an option's delta is measured


@kernel
def option_at(leg, k, move, volatility, coined):
    """Value of one coin of option leg k with its forward moved: in the quote currency, or the coin if `coined`."""
    return option_value(
        leg[LEG_FORWARD, k] * (1.0 + move), leg[LEG_STRIKE, k], leg[LEG_YEARS, k], volatility, leg[LEG_CALL, k], coined
    )


@kernel
def profit_usd(leg, k, move, volatility):
    """Profit of leg k in USD if prices move by `move` and, for an option, volatility becomes `volatility`."""
    if leg[LEG_KIND, k] == IS_OPTION:
        change = option_at(leg, k, move, volatility, 0.0) - option_at(leg, k, 0.0, leg[LEG_VOLATILITY, k], 0.0)
        return leg[LEG_COINS, k] * change * leg[LEG_USD, k]
    return leg[LEG_COINS, k] * leg[LEG_PRICE, k] * leg[LEG_USD, k] * move


@kernel
def delta_of(leg, k):
    """Delta of leg k in coins."""
    if leg[LEG_KIND, k] != IS_OPTION:
        return leg[LEG_COINS, k]
    volatility = leg[LEG_VOLATILITY, k]
    rise = option_at(leg, k, BUMP, volatility, 0.0) - option_at(leg, k, -BUMP, volatility, 0.0)
    return leg[LEG_COINS, k] * rise / (2.0 * BUMP * leg[LEG_FORWARD, k])


@kernel
def option_usd(leg, k):
    """USD value of option leg k at its premium, negative if short; 0 for anything else."""
    if leg[LEG_KIND, k] != IS_OPTION:
        return 0.0
    premium = leg[LEG_PRICE, k] * (leg[LEG_INDEX, k] if leg[LEG_COINED, k] > 0.0 else 1.0)
    return leg[LEG_COINS, k] * premium * leg[LEG_USD, k]


@kernel
def shocked(volatility, shock, years, power, days_floor):
    """Volatility x (1 + shock x (30 / days to expiry)^power), never below 0; 0 days are left as they are."""
    days = max(years * DAYS, days_floor)
    if days <= 0.0:
        return volatility
    return max(volatility * (1.0 + shock * (30.0 / days) ** power), 0.0)


@kernel
def next_expiry(leg, many, after):
    """The nearest expiry in years beyond `after` among contracts; -1 if there is none."""
    found = -1.0
    for k in range(many):
        years = leg[LEG_YEARS, k]
        if leg[LEG_KIND, k] > 0.0 and years > after and (found < 0.0 or years < found):
            found = years
    return found
