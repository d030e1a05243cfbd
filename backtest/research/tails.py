"""What the tail model may know: past moves of every coin's index and every future's basis, day by day.

Filtered historical simulation asks what a past move would be at today's volatility: r x sigma today / sigma then, with
sigma exponentially weighted and known before the move it scales. The stressed share keeps the moves as they were.
Source: Hull and White, Incorporating volatility updating into the historical simulation method, 1998 (general
knowledge, no text of it was read); decay 0.94 a day is RiskMetrics' custom.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from backtest.engine.tables import Plan
from backtest.engine.tape import DAY_US
from backtest.margin.procyclicality import FLOOR_YEARS
from backtest.market.history import History

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def tail_of(plans: Sequence[Plan], history: History) -> tuple[Floats, Ints] | None:
    """Moves [row, asset + instrument] over past horizons, and rows [4, bar] of them by bar; None if nobody asks.

    A row is one non-overlapping horizon of whole days: the index's relative move by asset, the change of
    mark / index - 1 by future. A bar may use the rows that ended at or before its own day's start, no older than
    the window: rows 0 and 1 say from where to where, row 2 how many horizons had ended, row 3 where the long run
    begins. If past moves are filtered, each day's scaled window stands behind the moves as they were.
    """
    rules = next((s.scenario.tail for p in plans if p.mode.requirement == "tail" for s in p.sets if s.scenario), None)
    if rules is None:
        return None
    room, bars = history.room, len(history.time)
    first_of_day = days_of(history)
    ends = first_of_day[:: int(rules.horizon_days)]
    index = np.array([room.take(row, ends) for row in history.index_open])
    basis = basis_of(history, ends, index)
    moves = np.vstack([index[:, 1:] / index[:, :-1] - 1.0, basis[:, 1:] - basis[:, :-1]]).T
    known: Ints = np.searchsorted(ends, first_of_day, side="right") - 1
    oldest = np.maximum(0, known - int(rules.window_days // rules.horizon_days))
    past, long_run = known, np.maximum(0, known - int(FLOOR_YEARS * 365 // rules.horizon_days))
    if rules.filtered:
        moves, oldest, known = filtered_windows(moves, oldest, known, rules.decay)
    by_day = np.vstack([oldest, known, past, long_run]).astype(np.int64)
    rows = room.zeros((4, bars), np.int64)
    for part in room.parts(bars):
        rows[:, part] = by_day[:, np.searchsorted(first_of_day, np.arange(part.start, part.stop), side="right") - 1]
    return np.ascontiguousarray(moves), rows


def days_of(history: History) -> Ints:
    """The first bar of each day (UTC)."""
    found, before = [np.zeros(1, np.int64)], int(history.time[0]) // DAY_US
    for part in history.room.parts(len(history.time)):
        day = history.time[part] // DAY_US
        found.append(part.start + np.flatnonzero(np.diff(day, prepend=before)))
        before = int(day[-1])
    return np.concatenate(found)


def filtered_windows(moves: Floats, oldest: Ints, known: Ints, decay: float) -> tuple[Floats, Ints, Ints]:
    """The moves, below them every window scaled to its own last day; and where each bar's window then lies."""
    sigma, blocks, start = volatilities(moves, decay), [moves], len(moves)
    first, last = np.zeros_like(oldest), np.zeros_like(known)
    for low, high in sorted({(int(low), int(high)) for low, high in zip(oldest, known, strict=True)}):
        at = (oldest == low) & (known == high)
        blocks.append(filtered(moves[low:high], sigma[low:high], sigma[max(high, 0)]))
        first[at], last[at] = start, start + len(blocks[-1])
        start += len(blocks[-1])
    return np.vstack(blocks), first, last


def filtered(moves: Floats, then: Floats, now: Floats) -> Floats:
    """Moves [row, column] at volatility `then` [row, column], as they would be at volatility `now` [column]."""
    return moves * np.divide(now, then, out=np.ones_like(then), where=then > 0.0)


def volatilities(moves: Floats, decay: float, seed_rows: int = 20) -> Floats:
    """Volatility [row + 1, column] known before each move and, last, after them all; exponentially weighted.

    It starts at the root mean square of the first `seed_rows` moves: those rows alone see a little ahead of themselves,
    never ahead of a bar that uses them, as the model waits for as many rows.
    """
    variance = np.empty((len(moves) + 1, moves.shape[1]))
    variance[0] = np.mean(moves[:seed_rows] ** 2, axis=0) if len(moves) else 0.0
    for row, move in enumerate(moves):
        variance[row + 1] = decay * variance[row] + (1.0 - decay) * move**2
    return np.sqrt(variance)


def basis_of(history: History, bars: Ints, index: Floats) -> Floats:
    """mark / index - 1 at the opens of these bars, by instrument; 0 for spot. `index` [asset, bar]: those there."""
    rows = np.zeros((len(history.instruments), len(bars)))
    for i, instrument in enumerate(history.instruments):
        if instrument.kind != "spot":
            base = index[history.assets.index(instrument.base)]
            quote = index[history.assets.index(instrument.settle)] if instrument.kind == "linear" else 1.0
            rows[i] = history.room.take(history.mark_open[i], bars) * quote / base - 1.0
    return rows
