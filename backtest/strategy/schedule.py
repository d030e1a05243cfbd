"""When a strategy is asked: at every close, at closes that fall on an interval, at funding stamps, or only after
events.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from backtest.errors import InputError, nearest
from backtest.market.history import History
from backtest.market.schema import INTERVALS
from backtest.strategy.strategy import EVENT_KINDS


def wake_bars(schedule: str | tuple[str, ...], history: History) -> tuple[npt.NDArray[np.bool_], tuple[str, ...]]:
    """Bars at whose close `on_bar` is asked, bool [bar], and the event kinds that are passed on as they happen.

    InputError for a schedule that means nothing, or an interval shorter than the bars.
    """
    bars = len(history.time)
    if not isinstance(schedule, str | tuple):
        raise InputError(f"schedule: {schedule!r} is a {type(schedule).__name__}; write text, or a tuple of events")
    if isinstance(schedule, tuple):
        if not schedule:
            raise InputError(f"schedule: an empty tuple would never ask; valid events: {', '.join(EVENT_KINDS)}")
        for kind in schedule:
            if kind not in EVENT_KINDS:
                raise InputError(f"schedule: no event {kind!r}; {nearest(str(kind), EVENT_KINDS)}")
        return np.zeros(bars, bool), schedule
    if schedule == "every bar":
        return np.ones(bars, bool), ()
    if schedule == "funding":
        wakes = np.zeros(bars, bool)
        wakes[history.funding_bar[history.funding_bar > 0] - 1] = True
        return wakes, ()
    if schedule not in INTERVALS:
        raise InputError(
            f"schedule: {schedule!r} means nothing; valid: 'every bar', 'funding', an interval "
            f"({', '.join(INTERVALS)}), or a tuple of events"
        )
    wakes = np.zeros(bars, bool)
    wakes[bars_closing(schedule, history)] = True
    return wakes, ()


def bars_closing(interval: str, history: History) -> npt.NDArray[np.int64]:
    """Numbers of the bars whose close falls on an interval. InputError for one shorter than the bars."""
    step = INTERVALS[interval]
    if step < history.interval_us:
        raise InputError(f"schedule: {interval} is shorter than the run's bars")
    first, last = int(history.time[0]), int(history.time[-1])
    opens = np.arange(-(-(first + history.interval_us) // step) * step, last + history.interval_us + 1, step)
    opens -= history.interval_us
    bars = np.searchsorted(history.time, opens)
    found: npt.NDArray[np.int64] = bars[history.time[bars] == opens]
    history.room.give_back()
    return found
