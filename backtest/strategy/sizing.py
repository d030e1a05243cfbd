"""How much: the hedge that past prices suggest, and sizes in whole lots.

Everything here takes prices that have happened and nothing else, so it can be asked at any close.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.errors import InputError

Floats = npt.NDArray[np.float64]
LEAST_RETURNS = 30


def beta(coin: Floats, other: Floats) -> float:
    """Slope of one price's log returns on another's: USD of `other` that move as one USD of `coin`.

    `coin`, `other`: prices of the same bars, oldest first. NaN with fewer than 30 returns, or where `other` stood
    still. InputError for prices of different bars.
    """
    if len(coin) != len(other):
        raise InputError(f"beta: {len(coin)} prices against {len(other)}; both must be of the same bars")
    moves, others = np.diff(np.log(coin)), np.diff(np.log(other))
    if len(moves) < LEAST_RETURNS or others.var() == 0.0:
        return float("nan")
    return float(np.cov(moves, others)[0, 1] / others.var(ddof=1))


def rolling_beta(coin: pd.Series, other: pd.Series, bars: int) -> pd.Series:
    """`beta` at every close, over the `bars` returns up to it; NaN before there are as many. For tables of targets."""
    if bars < LEAST_RETURNS:
        raise InputError(f"rolling_beta: {bars} returns say nothing; take at least {LEAST_RETURNS}")
    moves, others = np.log(coin).diff(), np.log(other).diff()
    slope: pd.Series = moves.rolling(bars).cov(others) / others.rolling(bars).var().replace(0.0, np.nan)
    return slope


def whole_lots(contracts: float, lot: float) -> float:
    """A size in whole lots, towards zero. A size that is whole but for the last bits of a float stays whole."""
    if not lot > 0.0:
        raise InputError(f"whole_lots: a lot is more than 0 contracts, not {lot!r}")
    return float(np.copysign(np.floor(abs(contracts) / lot + 1e-9) * lot, contracts))
