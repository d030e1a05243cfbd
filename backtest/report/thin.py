"""Which rows of a long series are drawn: no screen shows a year of minutes, but every high and low must be on it.

Time is cut into equal stretches; of each the first and last rows are drawn, and those with the least and the greatest
value of every series. Around the moments a reader will look at closely (the worst bar, a liquidation) every row is.
Nothing that is computed is thinned: this is for the eye alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

STRETCHES = 700  # a wide screen's columns, about
NEAR = 90  # rows drawn whole on either side of a moment


def kept(series: Sequence[Floats], moments: Sequence[int] = (), stretches: int = STRETCHES) -> Ints:
    """Rows to draw of series [row] that share their times, ascending; NaN is a gap, and the edges of gaps are kept.

    All rows where there are at most four a stretch.
    """
    rows = len(series[0])
    if rows <= 4 * stretches:
        return np.arange(rows)
    starts = np.unique(np.arange(stretches + 1) * rows // stretches)
    found = [starts[:-1], starts[1:] - 1]
    for values in series:
        found += _extremes(np.asarray(values, dtype=np.float64), starts)
    for moment in moments:
        found.append(np.arange(max(0, moment - NEAR), min(rows, moment + NEAR + 1)))
    return np.unique(np.concatenate(found))


def _extremes(values: Floats, starts: Ints) -> list[Ints]:
    """In every stretch the rows of the least and greatest value, and the first on either side of a gap."""
    gap = np.isnan(values)
    low, high = np.where(gap, np.inf, values), np.where(gap, -np.inf, values)
    stretch = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    least, most = np.minimum.reduceat(low, starts[:-1]), np.maximum.reduceat(high, starts[:-1])
    found = [_first(stretch, (low == least[stretch]) & ~gap), _first(stretch, (high == most[stretch]) & ~gap)]
    edges = np.flatnonzero(gap[1:] != gap[:-1])
    if len(edges):
        edge = np.zeros(len(values), dtype=bool)
        edge[edges] = edge[edges + 1] = True
        found += [_first(stretch, edge & gap), _first(stretch, edge & ~gap)]
    return found


def _first(stretch: Ints, chosen: npt.NDArray[np.bool_]) -> Ints:
    """The first chosen row of every stretch that has one."""
    rows = np.flatnonzero(chosen)
    _, at = np.unique(stretch[rows], return_index=True)
    return rows[at]
