"""dYdX v4 in brief: its cap on funding and the order size at which it measures the premium.

Margin there is a fixed fraction of notional, so the liquidation price is `margin.liquidation_price` with one bracket.
Source: github.com/dydxprotocol/v4-documentation (3e475b73); the impact notional is inferred from its numbers.
"""

from __future__ import annotations


def funding_cap(initial: float, maintenance: float) -> float:
    """Largest funding rate over 8 hours: six times the gap between the margin fractions."""
    return 6.0 * (initial - maintenance)


def impact_notional(initial: float) -> float:
    """USDC of the order that the premium is measured with: what 500 USDC of initial margin carry."""
    return 500.0 / initial
