"""What is known of an account before a run begins: its venue's rules over the span, and its owner's choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backtest.engine.shape import Shape

if TYPE_CHECKING:
    from backtest.venues.schema import Mode, RuleSet


@dataclass(frozen=True)
class Plan:
    """One account of a run: its layout, its mode at the venue, the rule sets of the span, and its owner's choices."""

    name: str
    preset: str
    mode: Mode
    shape: Shape
    sets: tuple[RuleSet, ...]
    leverage: dict[str, float]
    off: frozenset[str] = frozenset()  # assets switched off as collateral
    slippage: float = 0.0
    volume_share: float = np.inf
    guard_ratio: float = 0.0
    guard_use: float = np.inf
    top_up: tuple[float, float, float] = (0.0, 0.0, 0.0)  # trigger, target, cap
    refill: tuple[float, float, float] = (0.0, 0.0, 0.0)  # trigger, target, cost as a fraction
    refill_sells: bool = False
    refill_delay_us: int = 0
    transfer_cost: float = 0.0
    transfer_delay_us: int = 0
    path: str = "low_then_high"
    unbound: bool = False
    cuts: bool = True
    auto_transfer: bool = True
    borrows: bool = False
    two_sided: bool = False  # hedge mode: a long and a short position on one instrument
    touch: bool = False

    def leverage_of(self, symbol: str) -> float:
        """Leverage an instrument is held with."""
        return self.leverage.get(symbol, self.leverage.get("default", 1.0))
