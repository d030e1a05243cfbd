"""One point of a sweep, lived: its figures, or why there are none.

What the rules or a config refuse is a row, what a strategy or the program did wrong is a row as well: neither is the
end of a sweep.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.engine.tape import layout_of
from backtest.errors import InputError, StrategyError
from backtest.report.points import FAILED, OK, REFUSED
from backtest.report.result import Result
from backtest.report.statistics import by_label
from backtest.research.points import Base, Point
from backtest.research.run import Prepared, live
from backtest.strategy.hooks import in_words

CHECKED_WHOLE = 50  # of so many points, one table is checked for looking ahead at every cut, and the others at one each

Place = tuple[int, str, int]
"""Window, part of it, point: what names a row."""
Curve = tuple[str, npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""Account, bar opens (microseconds UTC), equity at their closes (USD)."""


@dataclass(frozen=True)
class Task:
    """A point to be lived: in a window of a split (`part` "train" or "test"), or on all of the data (window 0, "")."""

    window: int
    part: str
    point: int
    values: Point
    history: str = ""

    @property
    def place(self) -> Place:
        """What names its row."""
        return self.window, self.part, self.point


@dataclass(frozen=True)
class Row:
    """What became of a task: `figures` by label where it is ok, else the error in words."""

    place: Place
    status: str
    error: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    curves: list[Curve] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Trials:
    """All that is needed to live any point of a sweep. `curve_us`: distance of the equity kept, 0 for none."""

    base: Base
    histories: Mapping[str, Prepared]
    curve_us: int = 0

    def lay_out(self) -> None:
        """Lay every history's series out for the engine: whoever is given them reads them where they lie."""
        for prepared in self.histories.values():
            layout_of(prepared.history)

    def live(self, task: Task) -> Row:
        """The row of a task; whatever goes wrong is in it."""
        started = time.perf_counter()
        try:
            config = self.base.at(task.values)
            result = live(replace(self.histories[task.history], config=config, turn=turn_of(task.point)))
            figures, curves = figures_of(result), curves_of(result, self.curve_us)
            return Row(task.place, OK, "", figures, curves, time.perf_counter() - started)
        except InputError as error:
            status, words = REFUSED, str(error)
        except StrategyError as error:
            status, words = FAILED, str(error)
        except Exception as error:
            status, words = FAILED, in_words(error)
        return Row(task.place, status, words, seconds=time.perf_counter() - started)


def turn_of(point: int) -> int | None:
    """At which cut alone a point's table is checked for looking ahead; None: at all, as a run's."""
    return point if point % CHECKED_WHOLE else None


def figures_of(result: Result) -> dict[str, Any]:
    """Figures by label; with several accounts by `label (account)`."""
    record = result.record
    alone = len(record.account_names) == 1
    return {
        label if alone else f"{label} ({account})": value
        for k, account in enumerate(record.account_names)
        for label, value in by_label(record, k).items()
    }


def curves_of(result: Result, every_us: int) -> list[Curve]:
    """Equity at the closes that fall on a multiple of some time, and at the last one."""
    if not every_us:
        return []
    record, found = result.record, []
    for k, name in enumerate(record.account_names):
        times, values = list[npt.NDArray[np.int64]](), list[npt.NDArray[np.float64]]()
        for rows in record.parts("account", k):
            kept = (rows["time"] + record.history.interval_us) % every_us == 0
            kept[-1] |= rows["time"][-1] == record.history.time[-1]
            times.append(rows["time"][kept])
            values.append(rows["equity"][kept])
        found.append((name, np.concatenate(times), np.concatenate(values)))
    return found
