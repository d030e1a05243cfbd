"""What a European option is worth and how it moves: the formula of `margin.portfolio.black76`, asked from here.

A premium is per base coin, in the quote currency where the option settles in it, in the coin itself where it settles
in the coin (the dollar premium over the forward).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from backtest.engine.weigh import price_option

Floats = npt.NDArray[np.float64]
HIGHEST = 50.0  # of volatilities looked for, a fraction a year


def premium(forward: float, strike: float, years: float, volatility: float, call: int, coined: bool) -> float:
    """Premium a coin of a call (+1) or put (-1). At or after expiry, or without volatility, what it would deliver."""
    return float(greeks(forward, strike, years, volatility, call, coined)[0])


def greeks(forward: float, strike: float, years: float, volatility: float, call: int, coined: bool) -> Floats:
    """Premium a coin, then delta, gamma, vega (of 1.00 of volatility) and theta (of a day) in the quote currency."""
    out = np.zeros(5)
    price_option(out, forward, strike, max(years, 0.0), volatility, float(call), float(coined))
    return out


def implied(price: float, forward: float, strike: float, years: float, call: int, coined: bool) -> float | None:
    """The volatility at which an option is worth its price; None where none gives it."""

    def beyond(volatility: float) -> float:
        return premium(forward, strike, years, volatility, call, coined) - price

    if years <= 0.0 or beyond(1e-6) > 0.0 or beyond(HIGHEST) < 0.0:
        return None
    return float(brentq(beyond, 1e-6, HIGHEST, xtol=1e-12))
