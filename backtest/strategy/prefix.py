"""The prefix check: a table of targets, made again from truncated history, must not change in the part both know.

A strategy whose past moves when the future is taken away has looked ahead, and its backtest is worth nothing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from backtest.errors import InputError
from backtest.market.history import History
from backtest.strategy.market import Market
from backtest.strategy.strategy import Strategy
from backtest.strategy.targets import Targets

CUTS = (0.13, 0.31, 0.5, 0.68, 0.87)


def checked_targets(strategy: Strategy, history: History) -> Targets | None:
    """The strategy's targets, or None if it is a callback. InputError names bar, symbol and both values if it looked
    ahead.
    """
    targets = strategy.targets(Market(history))
    if targets is None:
        return None
    frame = aligned(targets.frame, history)
    for cut in sorted({int(len(history.time) * share) for share in CUTS if 2 < len(history.time) * share}):
        shorter = history.between(int(history.time[0]), int(history.time[cut]))
        again = type(strategy)(**strategy.params.model_dump()).targets(Market(shorter))
        compare_past(strategy, frame, aligned(again.frame, shorter) if again else None, cut)
    return Targets(frame, targets.together)


def compare_past(strategy: Strategy, whole: pd.DataFrame, part: pd.DataFrame | None, cut: int) -> None:
    """InputError at the first cell in which the two tables differ before the cut."""
    if part is None:
        raise InputError(f"{type(strategy).__name__} gives targets on all of history and none on its first {cut} bars")
    for symbol in whole.columns:
        one, other = whole[symbol].to_numpy()[:cut], part[symbol].to_numpy() if symbol in part else np.full(cut, np.nan)
        same = np.isclose(one, other, rtol=1e-12, atol=0.0, equal_nan=True)
        if not same.all():
            bar = int(np.argmin(same))
            raise InputError(
                f"{type(strategy).__name__} looks ahead: its target of {symbol} at {whole.index[bar]:%Y-%m-%d %H:%M} is {one[bar]:g} "
                f"knowing all of history and {other[bar]:g} knowing it up to {whole.index[cut]:%Y-%m-%d %H:%M}; "
                "row i may only use what closed by bar i"
            )


def aligned(frame: pd.DataFrame, history: History) -> pd.DataFrame:
    """The table on the run's bars; NaN where it says nothing. InputError for unknown symbols, stray or repeated times.
    """
    known = [instrument.symbol for instrument in history.instruments]
    for symbol in frame.columns:
        if symbol not in known:
            raise InputError(f"targets: {symbol!r} is not in this run; valid: {', '.join(known)}")
    if not isinstance(frame.index, pd.DatetimeIndex) or frame.index.tz is None:
        raise InputError("targets: the index must be bar open times in UTC (use market.time)")
    if frame.index.has_duplicates:
        raise InputError(f"targets: {frame.index[frame.index.duplicated()][0]} stands there twice")
    times = pd.to_datetime(history.time, unit="us", utc=True)
    stray = frame.index.difference(times)
    if len(stray):
        raise InputError(f"targets: {stray[0]} is not the open of a bar of this run")
    values = frame.reindex(times).astype(float)
    if np.isinf(values.to_numpy()).any():
        raise InputError("targets: an infinite size; write NaN to leave a position alone")
    return values
