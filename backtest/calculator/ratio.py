"""How near an account is to its level: the margin ratio of its worst wallet, and what the venue does at it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from backtest.calculator.book import Placed
from backtest.calculator.solve import leaning
from backtest.margin.row_leaves import DUST
from backtest.state import W_COLLATERAL, W_MAINTENANCE

Floats = npt.NDArray[np.float64]


def lowest_ratios(placed: Placed, marks: Floats, indexes: Floats) -> Floats:
    """Margin ratio [n] of the worst wallet at n sets of prices: marks [instrument, n], indexes [asset, n]; infinite
    where nothing is required.
    """
    return _lowest(placed, placed.weigh(marks, indexes).need)


def state_at(placed: Placed, need: Floats) -> str:
    """What the venue does where the account needs that much, [1, wallet, 5]: the action of the lowest level reached at
    which it acts.
    """
    ratio = float(_lowest(placed, need)[0])
    failing = any(need[0, w, W_COLLATERAL] < -DUST for w in leaning(placed))
    reached = [level.action for level in placed.rule_set.levels if level.acts and ratio <= level.ratio]
    return "liquidate" if failing else reached[-1] if reached else "free"


def _lowest(placed: Placed, need: Floats) -> Floats:
    mine = need[:, placed.backing]
    held = mine[:, :, W_MAINTENANCE] > 0.0
    ratios = np.where(held, mine[:, :, W_COLLATERAL] / np.where(held, mine[:, :, W_MAINTENANCE], 1.0), np.inf)
    return np.asarray(ratios.min(axis=1, initial=np.inf))
