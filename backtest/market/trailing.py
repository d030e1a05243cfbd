"""How much an instrument moved and traded a day, as one could have known it: a forced order's price impact rests on it.

Only whole UTC days before the bar's own day count, at most thirty of them: nothing of the day being traded leaks in.
"""

from __future__ import annotations

import numpy as np

from backtest.market.grid import Bools, Floats, Grid, Ints, Laid, Rows
from backtest.market.schema import DAY_US

WINDOW_DAYS = 30
DEFAULT_VOLATILITY = 0.05  # of a day; a round number on the high side for a coin without history


class Trailing:
    """Daily volatility and daily volume of one instrument, part after part; parts end with a day.

    Volatility is the root mean square of daily log returns (no mean is taken out: over a month it is noise). With fewer
    than two past whole days: 5 %, and the past bars' mean volume scaled to a day, else 1.
    """

    def __init__(self, first_us: int, grid: Grid) -> None:
        """`first_us`: the first row stored that counts."""
        self.grid, self.first_day = grid, int(min(first_us, grid.start_us) // DAY_US)
        self._closes, self._volumes = np.zeros(0), np.zeros(0)  # of each day so far
        self._total = 0.0  # volume of the rows so far
        self._laid, self._bars = 0.0, 0  # volume of the bars so far, and how many

    def part(self, fresh: Rows, laid: Laid, part: slice) -> tuple[Floats, Floats, Bools]:
        """Volatility and volume [bar] (volume in the rows' unit), and where they are known [bar].

        `fresh`: the rows that no earlier part had.
        """
        time = self.grid.time[part]
        self._add_days(fresh, int(time[-1] // DAY_US) + 1)
        returns = np.concatenate([[np.nan], np.diff(np.log(self._closes))])
        square, square_count = _past_sums(returns**2)
        volume, volume_count = _past_sums(self._volumes)
        day_of_bar: Ints = time // DAY_US - self.first_day
        with np.errstate(divide="ignore", invalid="ignore"):
            day_volatility, day_volume = np.sqrt(square / square_count), volume / volume_count
        known = ((square_count > 0) & (volume_count > 1))[day_of_bar]
        volatility = np.where(known, day_volatility[day_of_bar], DEFAULT_VOLATILITY)
        traded = np.where(known, day_volume[day_of_bar], self._past_bars(laid))
        return volatility, np.where(traded > 0, traded, 1.0), known

    def _add_days(self, fresh: Rows, end_day: int) -> None:
        """Close and volume of each day up to one, NaN where a bar of the day is missing."""
        begin = self.first_day + len(self._closes)
        edges = np.searchsorted(fresh.time, np.arange(begin, end_day + 1, dtype=np.int64) * DAY_US)
        whole = np.diff(edges) == DAY_US // self.grid.interval_us
        closes = np.append(fresh.close, np.nan)[edges[1:] - 1]
        running = np.cumsum(np.concatenate([[self._total], fresh.volume]))
        self._total = float(running[-1])
        volumes = np.where(whole, running[edges[1:]] - running[edges[:-1]], np.nan)
        self._closes = np.concatenate([self._closes, np.where(whole, closes, np.nan)])
        self._volumes = np.concatenate([self._volumes, volumes])

    def _past_bars(self, laid: Laid) -> Floats:
        """Mean volume of the bars before each one, scaled to a day; 0 for the first."""
        count = np.arange(self._bars, self._bars + len(laid.volume))
        past = np.cumsum(np.concatenate([[self._laid], laid.volume]))
        self._laid, self._bars = float(past[-1]), self._bars + len(laid.volume)
        return past[:-1] / np.maximum(count, 1) * (DAY_US / self.grid.interval_us)


def _past_sums(values: Floats) -> tuple[Floats, Floats]:
    """For each day: sum and count of the known values of the thirty days before it."""
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0.0], np.cumsum(known.astype(np.float64))])
    end = np.arange(len(values))
    start = np.maximum(end - WINDOW_DAYS, 0)
    return np.maximum(sums[end] - sums[start], 0.0), counts[end] - counts[start]
