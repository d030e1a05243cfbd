"""What one leg gains when its coin moves and volatility is shocked: the line every scenario table is made of."""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.margin.portfolio.black76 import option_delta, option_value
from backtest.margin.portfolio.unit import (
    IS_OPTION, IS_SPOT, LEG_CALL, LEG_COINED, LEG_COINS, LEG_FORWARD, LEG_INDEX, LEG_KIND, LEG_PRICE, LEG_STRIKE,
    LEG_USD, LEG_VOLATILITY, LEG_YEARS,
)  # fmt: skip


@kernel
def usd_profit(leg, k, base, move, volatility):
    """USD gained by leg k if its coin's price goes from `base` (quote currency) to base x (1 + move).

    A future or coin gains coins x base x move, an inverse one too, once its coins are priced after the move. An option
    is revalued on its moved forward at the shocked `volatility`, less what the same formula says before.
    """
    if leg[LEG_KIND, k] != IS_OPTION:
        return leg[LEG_COINS, k] * base * move * leg[LEG_USD, k]
    forward, strike, years, call = leg[LEG_FORWARD, k], leg[LEG_STRIKE, k], leg[LEG_YEARS, k], leg[LEG_CALL, k]
    after = option_value(forward * (1.0 + move), strike, years, volatility, call, 0.0)
    before = option_value(forward, strike, years, leg[LEG_VOLATILITY, k], call, 0.0)
    return leg[LEG_COINS, k] * (after - before) * leg[LEG_USD, k]


@kernel
def profit_usd(leg, k, move, volatility):
    """The same where the leg's own mark moves, not an index."""
    return usd_profit(leg, k, leg[LEG_PRICE, k], move, volatility)


@kernel
def coin_profit(leg, k, move, volatility):
    """Coins gained by an inverse leg: q x (1 - 1 / (1 + move)); of an option the change of its premium in the coin."""
    if leg[LEG_KIND, k] != IS_OPTION:
        return leg[LEG_COINS, k] * (1.0 - 1.0 / (1.0 + move))
    forward, strike, years, call = leg[LEG_FORWARD, k], leg[LEG_STRIKE, k], leg[LEG_YEARS, k], leg[LEG_CALL, k]
    after = option_value(forward * (1.0 + move), strike, years, volatility, call, 1.0)
    before = option_value(forward, strike, years, leg[LEG_VOLATILITY, k], call, 1.0)
    return leg[LEG_COINS, k] * (after - before)


@kernel
def usd_delta(leg, k):
    """USD that leg k moves with its coin, at mark."""
    if leg[LEG_KIND, k] != IS_OPTION:
        return leg[LEG_COINS, k] * leg[LEG_PRICE, k] * leg[LEG_USD, k]
    forward, strike, years, call = leg[LEG_FORWARD, k], leg[LEG_STRIKE, k], leg[LEG_YEARS, k], leg[LEG_CALL, k]
    delta = option_delta(forward, strike, years, leg[LEG_VOLATILITY, k], call)
    return leg[LEG_COINS, k] * delta * leg[LEG_INDEX, k] * leg[LEG_USD, k]


@kernel
def unit_delta(leg, many, hedge):
    """USD that a unit moves with its coin, with so many of its coins as the spot that hedges."""
    total = 0.0
    for k in range(many):
        if leg[LEG_KIND, k] == IS_SPOT:
            total += hedge * leg[LEG_INDEX, k] * leg[LEG_USD, k]
        else:
            total += usd_delta(leg, k)
    return total


@kernel
def delta_of(leg, k):
    """Coins that leg k moves like."""
    if leg[LEG_KIND, k] != IS_OPTION:
        return leg[LEG_COINS, k]
    forward, strike, years, call = leg[LEG_FORWARD, k], leg[LEG_STRIKE, k], leg[LEG_YEARS, k], leg[LEG_CALL, k]
    return leg[LEG_COINS, k] * option_delta(forward, strike, years, leg[LEG_VOLATILITY, k], call)


@kernel
def option_usd(leg, k):
    """USD value of option leg k at its premium, negative if short; 0 for anything else."""
    if leg[LEG_KIND, k] != IS_OPTION:
        return 0.0
    premium = leg[LEG_PRICE, k] * (leg[LEG_INDEX, k] if leg[LEG_COINED, k] > 0.0 else 1.0)
    return leg[LEG_COINS, k] * premium * leg[LEG_USD, k]


@kernel
def next_expiry(leg, many, after):
    """The nearest expiry in years beyond `after` among contracts; -1 if there is none."""
    found = -1.0
    for k in range(many):
        years = leg[LEG_YEARS, k]
        if leg[LEG_KIND, k] != IS_SPOT and years > after and (found < 0.0 or years < found):
            found = years
    return found


@kernel
def shocked(volatility, shock, years, power, least_days):
    """Volatility x (1 + shock x (30 / days to expiry)^power), never below 0; 0 days are left as they are."""
    days = max(years * 365.0, least_days)
    if days <= 0.0:
        return volatility
    return max(volatility * (1.0 + shock * (30.0 / days) ** power), 0.0)
