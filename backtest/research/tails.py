"""What the tail model may know: past moves of every coin's index and every future's basis, day by day."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from backtest.engine.tables import Plan
from backtest.engine.tape import DAY_US
from backtest.market.history import History

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def tail_of(plans: Sequence[Plan], history: History) -> tuple[Floats, Ints] | None:
    """Moves [row, asset + instrument] over past horizons, and the rows [2, bar] known at each bar; None if nobody asks.

    A row is one non-overlapping horizon of whole days: the index's relative move by asset, the change of
    mark / index - 1 by future. A bar may use the rows that ended at or before its own day's start, no older than
    the window.
    """
    rules = next((s.scenario.tail for p in plans if p.mode.requirement == "tail" for s in p.sets if s.scenario), None)
    if rules is None:
        return None
    day = history.time // DAY_US
    first_of_day = np.flatnonzero(np.diff(day, prepend=day[0] - 1))
    ends = first_of_day[:: int(rules.horizon_days)]
    index, basis = history.index_open[:, ends], basis_of(history)[:, ends]
    moves = np.vstack([index[:, 1:] / index[:, :-1] - 1.0, basis[:, 1:] - basis[:, :-1]]).T
    known = (
        np.searchsorted(
            ends, first_of_day[np.searchsorted(first_of_day, np.arange(len(day)), side="right") - 1], side="right"
        )
        - 1
    )
    oldest = np.maximum(0, known - int(rules.window_days // rules.horizon_days))
    return np.ascontiguousarray(moves), np.ascontiguousarray(np.vstack([oldest, known]).astype(np.int64))


def basis_of(history: History) -> Floats:
    """mark / index - 1 at each open, by instrument; 0 for spot."""
    rows = np.zeros_like(history.mark_open)
    for i, instrument in enumerate(history.instruments):
        if instrument.kind != "spot":
            base = history.index_open[history.assets.index(instrument.base)]
            quote = history.index_open[history.assets.index(instrument.settle)] if instrument.kind == "linear" else 1.0
            rows[i] = history.mark_open[i] * quote / base - 1.0
    return rows
