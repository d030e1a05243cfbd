"""The liquidation price as the venue's screen shows it: rounded, with its ticks, frozen terms and unit mixes.

Nothing but a sentence a venue: what is exact is solved in `solve`, this is what the customer compares it with. Sources
are the "Liquidation price" pages of each venue's rule book. A venue without a sentence here shows the exact price,
rounded to its tick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

NONE = "--"


@dataclass(frozen=True)
class Asked:
    """What a venue looks at: the exact price (None: there is none), the position, and its wallet's totals in USD."""

    venue: str
    mode: str
    exact: float | None
    long: bool
    isolated: bool
    mark: float
    coins: float  # size in base coins (inverse: in contracts' dollars)
    tick: float | None
    inverse: bool
    collateral_usd: float
    maintenance_usd: float


def shown(asked: Asked) -> str:
    """The liquidation price as the venue displays it; `--` where it shows none."""
    if asked.venue == "bybit":
        return _bybit(asked)
    if asked.venue == "okx":
        return _okx(asked)
    return _rounded(asked.exact, asked.tick)


def _bybit(asked: Asked) -> str:
    """Portfolio margin shows none. Cross linear: mark -/+ (total margin balance - total MM) / size, both totals in USD
    whatever the contract settles in, and the maintenance of now. Isolated: the exact price.
    """
    if asked.mode == "portfolio":
        return NONE
    if asked.isolated or asked.inverse:
        return _rounded(asked.exact, asked.tick)
    away = (asked.collateral_usd - asked.maintenance_usd) / asked.coins
    return _rounded(asked.mark - away if asked.long else asked.mark + away, asked.tick)


def _okx(asked: Asked) -> str:
    """Not rounded; an isolated long is shown one tick further up (inferred from live positions; of isolated shorts no
    reading is known, they are left exact).
    """
    if asked.exact is None:
        return NONE
    more = (asked.tick or 0.0) if asked.isolated and asked.long else 0.0
    return repr(asked.exact + more)


def _rounded(price: float | None, tick: float | None) -> str:
    """To the tick; a price at or below zero is none."""
    if price is None or price <= 0.0 or not math.isfinite(price):
        return NONE
    step = tick or usual_tick(price)
    digits = min(max(0, -math.floor(math.log10(step) + 1e-9)), 15)
    return f"{round(price / step) * step:.{digits}f}"


def usual_tick(price: float) -> float:
    """Where the contract's tick is not given: cents, or five digits of what costs less."""
    return float(min(0.01, 10.0 ** (math.floor(math.log10(price)) - 4)))
