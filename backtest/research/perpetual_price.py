"""What a perpetual is worth against spot if rates stay as they are: the price at which holding it earns nothing.

A perpetual pays the premium kappa times a year plus an interest component, and ties up no coins. Source: Ackerer,
Hugonnier, Jermann, Perpetual futures pricing, Mathematical Finance 2026 (arXiv 2310.11771); constant rates.
"""

from __future__ import annotations


def perpetual_over_spot(kappa: float, interest: float, quote_rate: float, base_rate: float) -> float:
    """Price of a linear perpetual over spot.

    kappa: how often a year the whole premium is paid (1095 if every 8 hours); interest: the funding formula's interest
    component; rates of the quote and the base currency; all by year. Needs kappa + base_rate > quote_rate.
    """
    carry = kappa + base_rate - quote_rate
    assert carry > 0.0, "a perpetual that pays the premium too slowly has no price"
    return (kappa - interest) / carry
