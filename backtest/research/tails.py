"""What the tail model may know: past moves of every coin's index and every future's basis, day by day.

Filtered historical simulation asks what a past move would be at today's volatility: r x sigma today / sigma then, with
sigma exponentially weighted and known before the move it scales. The stressed share keeps the moves as they were.
Source: Hull and White, Incorporating volatility updating into the historical simulation method, 1998 (general
knowledge, no text of it was read); decay 0.94 a day is RiskMetrics' custom.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from backtest.engine.plan import Plan
from backtest.engine.tape import PastMoves
from backtest.margin.procyclicality import FLOOR_YEARS
from backtest.market.history import History
from backtest.market.schema import DAY_US
from backtest.venues.schema import RuleSet

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Lookback(NamedTuple):
    """What of the past a rule set may see: how long a window, in moves over how many days, and whether at today's
    volatility.
    """

    window_days: int
    horizon_days: int
    filtered: bool
    decay: float


def tail_of(plans: Sequence[Plan], history: History) -> PastMoves | None:
    """What the rule sets of tail margin may know, each by its own lookback; None if nobody asks.

    A move is one non-overlapping horizon of whole days: the index's relative change by asset, the change of
    mark / index - 1 by future. A bar may use those that ended at or before its own day's start, no older than the
    window. If past moves are filtered, each day's scaled window stands behind the moves as they were.
    """
    asked = [lookback_of(plan, rule_set) for plan in plans for rule_set in plan.sets]
    kinds = list(dict.fromkeys(each for each in asked if each is not None))
    if not kinds:
        return None
    first_of_day, found, start = days_of(history), list[tuple[Floats, Ints]](), 0
    for kind in kinds:
        moves, by_day = known_by_day(history, first_of_day, kind)
        found.append((moves, by_day + start))
        start += len(moves)
    room, bars = history.room, len(history.time)
    by_day, rows = np.array([each for _, each in found]), room.zeros((len(kinds), 5, bars), np.int64)
    for part in room.parts(bars):
        days = np.searchsorted(first_of_day, np.arange(part.start, part.stop), side="right") - 1
        rows[:, :, part] = by_day[:, :, days]
    kind_of = np.array([-1 if each is None else kinds.index(each) for each in asked], np.int64)
    return PastMoves(np.vstack([moves for moves, _ in found]), rows, kind_of)


def lookback_of(plan: Plan, rule_set: RuleSet) -> Lookback | None:
    """What a rule set of an account may see; None where margin is not by tail."""
    if plan.mode.requirement != "tail" or rule_set.scenario is None or rule_set.scenario.tail is None:
        return None
    tail = rule_set.scenario.tail
    return Lookback(tail.window_days, tail.horizon_days, tail.filtered, tail.decay if tail.filtered else 0.0)


def known_by_day(history: History, first_of_day: Ints, asked: Lookback) -> tuple[Floats, Ints]:
    """Moves [row, asset + instrument], and which rows of them each day may use: see `PastMoves.rows`."""
    ends = first_of_day[:: asked.horizon_days]
    index = np.array([history.room.take(row, ends) for row in history.index_open])
    basis = basis_of(history, ends, index)
    moves = np.ascontiguousarray(np.vstack([index[:, 1:] / index[:, :-1] - 1.0, basis[:, 1:] - basis[:, :-1]]).T)
    past: Ints = np.searchsorted(ends, first_of_day, side="right") - 1
    first, last = np.maximum(0, past - asked.window_days // asked.horizon_days), past
    long_run = np.maximum(0, past - FLOOR_YEARS * 365 // asked.horizon_days)
    if asked.filtered:
        moves, first, last = filtered_windows(moves, first, last, asked.decay)
    return moves, np.vstack([first, last, np.zeros_like(past), long_run, past]).astype(np.int64)


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
