"""What one leg gains when its coin moves and volatility is shocked: the line every scenario table is made of."""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.margin.portfolio.black76 import option_delta, option_value
from backtest.margin.portfolio.unit import (
    IS_OPTION, LEG_CALL, LEG_COINED, LEG_COINS, LEG_FORWARD, LEG_INDEX, LEG_KIND, LEG_PRICE, LEG_STRIKE, LEG_USD,
    LEG_VOLATILITY, LEG_YEARS,
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
    if leg[LEG_COINED, k] > 0.0:
        before *= 1.0 + move  # a premium in coins: both are priced after the move
    return leg[LEG_COINS, k] * (after - before) * leg[LEG_USD, k]


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
def shocked(volatility, shock, years, power, floor):
    """Implied volatility after a relative shock that grows as expiry nears: v x (1 + shock x (30 / days)^power).

    `power` 0: the shock as it is. A shock up is never below `floor`.
    """
    days = max(1.0, years * 365.0)
    after = volatility * (1.0 + shock * (30.0 / days) ** power)
    return max(after, floor) if shock > 0.0 else max(0.0, after)
