"""Dederi's futures in its portfolio margin: a fair price out of the basis, and a contingency on the index.

The future is revalued under moves of 15 % each way in steps of 3 % from that price. Source:
wiki.dederi.io/RiskControlRules/portfolio_margin; the form of the price is inferred from the page's example.
"""

from __future__ import annotations

import math

MOVES = tuple(0.03 * k for k in range(-5, 6))


def fair_price(index: float, basis: float, days: float) -> float:
    """Price of a future `days` from expiry; `basis` a fraction a year."""
    return index * math.exp(basis * days / 365.0)


def contingency(coins: float, index: float, rate: float = 0.006) -> float:
    """Charge on a future position beside its scenarios, USD."""
    return rate * abs(coins) * index
