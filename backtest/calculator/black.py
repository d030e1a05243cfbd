"""What a European option is worth: Black-76 on the forward of its expiry, without interest.

A premium is per base coin, in the quote currency where the option settles in it, in the coin itself where it settles
in the coin (the dollar premium over the forward).
"""

from __future__ import annotations

import math

from scipy.optimize import brentq

HIGHEST = 50.0  # of volatilities looked for, a fraction a year


def premium(forward: float, strike: float, years: float, volatility: float, call: int, coined: bool) -> float:
    """Premium a coin of a call (+1) or put (-1). At or after expiry, or without volatility, what it would deliver."""
    spread = volatility * math.sqrt(max(years, 0.0))
    if spread <= 0.0:
        worth = max(0.0, call * (forward - strike))
    else:
        above = math.log(forward / strike) / spread + spread / 2
        worth = call * (forward * _normal(call * above) - strike * _normal(call * (above - spread)))
    return worth / forward if coined else worth


def implied(price: float, forward: float, strike: float, years: float, call: int, coined: bool) -> float | None:
    """The volatility at which an option is worth its price; None where none gives it."""

    def beyond(volatility: float) -> float:
        return premium(forward, strike, years, volatility, call, coined) - price

    if years <= 0.0 or beyond(1e-6) > 0.0 or beyond(HIGHEST) < 0.0:
        return None
    return float(brentq(beyond, 1e-6, HIGHEST, xtol=1e-12))


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))
