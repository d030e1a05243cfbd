"""How much an instrument moved and traded a day, as one could have known it: a forced order's price impact rests on it.

Only whole UTC days before the bar's own day count, at most thirty of them: nothing of the day being traded leaks in.
"""

from __future__ import annotations

import numpy as np

from backtest.market.grid import DAY_US, Bools, Floats, Grid, Ints, Laid, Rows

WINDOW_DAYS = 30
DEFAULT_VOLATILITY = 0.05  # of a day; a round number on the high side for a coin without history


def trailing(rows: Rows, laid: Laid, grid: Grid) -> tuple[Floats, Floats, Bools]:
    """Daily volatility and daily volume [bar] (volume in the rows' unit), and where they are known [bar].

    Volatility is the root mean square of daily log returns (no mean is taken out: over a month it is noise). With fewer
    than two past whole days: 5 %, and the past bars' mean volume scaled to a day, else 1.
    """
    first_day = int(min(rows.time[0], grid.start_us) // DAY_US)
    day_count = int(grid.time[-1] // DAY_US) - first_day + 1
    closes, volumes = _whole_days(rows, first_day, day_count, DAY_US // grid.interval_us)
    returns = np.concatenate([[np.nan], np.diff(np.log(closes))])
    square, square_count = _past_sums(returns**2)
    volume, volume_count = _past_sums(volumes)
    day_of_bar: Ints = grid.time // DAY_US - first_day
    with np.errstate(divide="ignore", invalid="ignore"):
        day_volatility, day_volume = np.sqrt(square / square_count), volume / volume_count
    known = ((square_count > 0) & (volume_count > 1))[day_of_bar]
    volatility = np.where(known, day_volatility[day_of_bar], DEFAULT_VOLATILITY)
    traded = np.where(known, day_volume[day_of_bar], _past_bars(laid, grid))
    return volatility, np.where(traded > 0, traded, 1.0), known


def _whole_days(rows: Rows, first_day: int, day_count: int, bars_a_day: int) -> tuple[Floats, Floats]:
    """Close and volume of each day, NaN where a bar of the day is missing."""
    edges = np.searchsorted(rows.time, (first_day + np.arange(day_count + 1, dtype=np.int64)) * DAY_US)
    whole = np.diff(edges) == bars_a_day
    closes = np.where(whole, rows.close[np.maximum(edges[1:] - 1, 0)], np.nan)
    running = np.concatenate([[0.0], np.cumsum(rows.volume)])
    return closes, np.where(whole, running[edges[1:]] - running[edges[:-1]], np.nan)


def _past_sums(values: Floats) -> tuple[Floats, Floats]:
    """For each day: sum and count of the known values of the thirty days before it."""
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0.0], np.cumsum(known.astype(np.float64))])
    end = np.arange(len(values))
    start = np.maximum(end - WINDOW_DAYS, 0)
    return np.maximum(sums[end] - sums[start], 0.0), counts[end] - counts[start]


def _past_bars(laid: Laid, grid: Grid) -> Floats:
    """Mean volume of the bars before each one, scaled to a day; 0 for the first."""
    count = np.arange(grid.bars)
    past = np.concatenate([[0.0], np.cumsum(laid.volume)[:-1]])
    return past / np.maximum(count, 1) * (DAY_US / grid.interval_us)
