"""Drift's weights: how much of a deposit counts, how much of a debt, and how both worsen with size.

Large positions are harder to sell, so a size premium (`imf`, times the root of the size) lowers the weight of assets
and raises that of liabilities; the same form gives the margin ratio of a perpetual. Initial weights also shrink once
the whole market's deposits exceed a limit. Live weights are on chain and not known here. Source:
github.com/drift-labs/protocol-v2 (0ae3e3b1) and drift-protocol-v2-docs (f1021e41).
"""

from __future__ import annotations

import math


def asset_weight(weight: float, imf: float, size: float) -> float:
    """Share of an asset of that size (tokens) that counts; `weight` is its base weight, initial or maintenance."""
    return min(weight, 1.1 / (1.0 + imf * math.sqrt(size)))


def liability_weight(weight: float, imf: float, size: float) -> float:
    """Multiple at which a debt of that size (tokens) counts; with a margin ratio for weight: that of a perpetual."""
    return max(weight, 0.8 * weight + imf * math.sqrt(size))


def scaled_initial_weight(weight: float, deposits: float, price: float, starts_at: float) -> float:
    """Initial weight once all deposits together (tokens x price, USD) exceed the value at which scaling starts."""
    value = deposits * price
    return weight * min(1.0, starts_at / value) if value > 0.0 else weight


def fill_weight(initial: float, maintenance: float) -> float:
    """Weight asked for when an order fills."""
    return 0.5 * (initial + maintenance)


def profit_weight(profit: float, imf: float) -> float:
    """Share of unrealised profit (USD) that counts."""
    return asset_weight(1.0, imf, max(profit, 0.0))
