"""Where the words of levels stand beside a log axis, so that those of near levels do not lie on one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def apart_on_log(values: Sequence[float], step: float) -> list[float]:
    """Heights, in the order of the values: each at its value, or as much higher as keeps it `step` (of log10) above the
    one below it.
    """
    heights, last = [0.0] * len(values), -np.inf
    for k in sorted(range(len(values)), key=values.__getitem__):
        last = max(float(np.log10(values[k])), last + step)
        heights[k] = 10**last
    return heights
