"""Drift: what a deposit counts for and what a debt asks, by their size.

A large deposit counts for less and a large debt asks for more, by a premium on the square root of the size. Source:
github.com/drift-labs/protocol-v2 (commit 0ae3e3b1), its tests of margin weights.
"""

from __future__ import annotations

from math import sqrt

PREMIUM_CAP = 1.1  # numerator of the discounted asset weight
BASE_SHARE = 0.8  # part of a liability weight that the size premium is added to


def asset_weight(weight: float, premium: float, size: float) -> float:
    """min(w, 1.1 / (1 + imf x sqrt(size))); `size` in tokens (for unrealised profit: in USD)."""
    return min(weight, PREMIUM_CAP / (1.0 + premium * sqrt(size)))


def liability_weight(weight: float, premium: float, size: float) -> float:
    """max(w, 0.8 x w + imf x sqrt(size)); `size` in tokens. A perpetual's margin ratio has the same form."""
    return max(weight, BASE_SHARE * weight + premium * sqrt(size))


def fill_weight(initial: float, maintenance: float) -> float:
    """Weight while an order fills: the mean of initial and maintenance."""
    return 0.5 * (initial + maintenance)


def scaled_initial_weight(weight: float, deposits_usd: float, start_usd: float) -> float:
    """w x min(1, start / deposits): an asset that everyone deposits counts for less from `start_usd` on."""
    return weight if deposits_usd <= start_usd else weight * start_usd / deposits_usd
