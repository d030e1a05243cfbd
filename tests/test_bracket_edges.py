"""Every edge of every bracket of every venue, from both sides: the cap belongs to the lower bracket, a hair above it
the next one holds, and where rates are marginal nothing jumps.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from portfolio_unit import UNCOMPILED

from backtest.margin.leaves import bracketed
from backtest.venues.load import load, names
from backtest.venues.schema import Tier

pytestmark = UNCOMPILED


def table_of(tiers: tuple[Tier, ...]) -> np.ndarray:
    """Floor, rate, minus deduction, leverage, as the engine holds them."""
    return np.array([[tier.floor, tier.rate, -tier.deduction, tier.max_leverage] for tier in tiers]).T


@pytest.mark.parametrize("venue", [name for name in names() if load(name).brackets.by_key])
def test_every_edge_is_met_from_both_sides(venue: str) -> None:
    brackets, edges = load(venue).brackets, 0
    flat = not any(tier.deduction for rows in brackets.by_key.values() for row in rows for tier in row.values["tiers"])
    for rows in brackets.by_key.values():
        for row in rows:
            for low, high in pairwise(row.values["tiers"]):
                cap, edges = high.floor, edges + 1
                above = cap * (1 + 1e-9)
                at_cap, beyond = (bracketed(size, table_of(row.values["tiers"])) for size in (cap, above))
                assert at_cap == pytest.approx(low.rate * cap - low.deduction, rel=1e-12)
                assert beyond == pytest.approx(high.rate * above - high.deduction, rel=1e-12)
                if not flat:
                    assert beyond == pytest.approx(at_cap, rel=1e-6)
    if venue in ("binance", "bybit", "okx"):
        assert edges > 20
