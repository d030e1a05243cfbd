"""The margin ratio on one line of text, for screens and logs: how near the venue's level an account came, and when.

Time is cut into as many cells as the line is wide. A cell shows the lowest ratio of its stretch on a logarithmic scale
that begins at the level: the lowest block is a stretch at or below it. Where the venue took something there is a cross.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from backtest.market.room import PART

Floats = npt.NDArray[np.float64]


class Stretches(Protocol):
    """Values by bar, an array or what gives one for a stretch of them."""

    def __len__(self) -> int: ...
    def __getitem__(self, bars: slice, /) -> Floats: ...


BLOCKS, PLAIN = "▁▂▃▄▅▆▇█×·", "_.,-=+*#x "
"""Eight heights, a cross, and a stretch in which nothing was required; the second for screens without such letters."""
HEIGHTS, CROSS, NOTHING = 8, 8, 9
FARTHEST = 1000.0  # times the level: beyond, it is far, however far


@dataclass(frozen=True)
class Sparkline:
    """`text`: a letter a cell. `low`: the cell of the lowest ratio, None where nothing was ever required. `crosses`:
    the cells in which the venue took something.
    """

    text: str
    low: int | None
    crosses: tuple[int, ...]


def sparkline(
    ratios: Stretches, level: float, taken: Sequence[int], width: int, top: float | None = None, plain: bool = False
) -> Sparkline:
    """The lowest ratios [bar] of an account over at most `width` cells. `level`: the ratio at which its venue
    liquidates; `taken`: bars in which it took something; `top`: how many times the level the highest block is
    (None: as these ratios need; lines with the same one can be compared); `plain`: ASCII alone.
    """
    letters = PLAIN if plain else BLOCKS
    cells = min(width, len(ratios))
    if cells < 1:
        return Sparkline("", None, ())
    starts = np.arange(cells) * len(ratios) // cells
    ends = np.append(starts[1:], len(ratios))
    edges = zip(starts.tolist(), ends.tolist(), strict=True)
    lows = np.array([np.fmin(np.inf, np.fmin.reduce(ratios[first:last])) for first, last in edges])
    drawn = heights(lows / level, top or top_of(ratios, level))
    crosses = np.unique(np.searchsorted(starts, np.asarray(taken, dtype=np.int64), side="right") - 1)
    drawn[crosses] = CROSS
    low = int(lows.argmin()) if np.isfinite(lows.min()) else None
    return Sparkline("".join(letters[k] for k in drawn), low, tuple(int(cell) for cell in crosses))


def top_of(ratios: Stretches, level: float) -> float:
    """How many times the level the highest ratio is, from twice (or a wiggle would fill the line) to `FARTHEST`."""
    some = (ratios[first : first + PART] for first in range(0, len(ratios), PART))
    known = max((each[np.isfinite(each)].max(initial=0.0) for each in some), default=0.0)
    return float(np.clip(known / level, 2.0, FARTHEST))


def heights(times: Floats, top: float) -> npt.NDArray[np.int64]:
    """A height for each multiple of the level: 0 at or below it, else 1 to 7 by its share of the way to `top`; where
    nothing was required (infinite), `NOTHING`.
    """
    above = HEIGHTS - 1
    share = np.log(np.clip(times, 1.0, top)) / np.log(top)
    risen = 1 + np.minimum(above - 1, np.floor(above * share + 1e-9).astype(np.int64))
    return np.where(np.isinf(times), NOTHING, np.where(times <= 1.0, 0, risen))
