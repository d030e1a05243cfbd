"""One account of a result, as the figures and tables of its page look at it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.report.columns import naive
from backtest.report.record import FORCED
from backtest.report.standing import Standing

if TYPE_CHECKING:
    from backtest.report.result import Result

Floats = npt.NDArray[np.float64]
LOST = (*FORCED, "bankrupt")
MOST_MOMENTS = 8


class Subject:
    """One account: its frames, its times, and the bars that are worth a close look."""

    def __init__(self, result: Result, account: int | str = 0) -> None:
        self.result, self.record = result, result.record
        self.account = result.record.number_of(account)
        self.name, self.mode = result.record.account_names[self.account], result.record.modes[self.account]

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The account bar by bar."""
        return self.record.of("account", self.account).reset_index(drop=True)

    @cached_property
    def times(self) -> Any:
        """Opens of its bars, naive UTC, as drawing libraries take them."""
        return naive(self.rows["time"])

    def column(self, name: str) -> Floats:
        """One column of the account frame."""
        values: Floats = self.rows[name].to_numpy(dtype=np.float64)
        return values

    def bars_of(self, times: Any) -> npt.NDArray[np.int64]:
        """The bar that holds each time."""
        at: npt.NDArray[np.int64] = np.searchsorted(self.times, naive(times), side="right").astype(np.int64)
        return np.maximum(at - 1, 0)

    @cached_property
    def parts(self) -> pd.DataFrame:
        """The parts of its profit by bar, as many rows as the account frame; `time` and `account` beside them."""
        parts = self.result.parts_by_bar
        return parts[parts["account"] == self.name].reset_index(drop=True)

    def earned(self, *parts: str) -> Floats:
        """What parts came to by each bar's close, USD, on the bars of the account frame."""
        total: Floats = np.cumsum(self.parts[list(parts)].to_numpy(dtype=np.float64).sum(axis=1))
        at = np.searchsorted(naive(self.parts["time"]), self.times, side="right") - 1
        values: Floats = total[np.maximum(at, 0)]
        return values

    @cached_property
    def fills(self) -> pd.DataFrame:
        """Its trades."""
        return self.record.of("fills", self.account)

    @cached_property
    def incidents(self) -> pd.DataFrame:
        """What the venue did out of the ordinary."""
        return self.record.of("incidents", self.account)

    @cached_property
    def forced(self) -> pd.DataFrame:
        """The incidents in which something was taken, or all was lost."""
        rows = self.incidents
        return rows[rows["rung"].isin(LOST)] if len(rows) else rows

    @cached_property
    def standing(self) -> Standing:
        """The account as it stood at any bar."""
        return self.result.standing(self.account)

    @cached_property
    def worst_bar(self) -> int | None:
        """The bar of the lowest margin ratio; None where nothing was ever required."""
        lowest = self.column("worst_ratio")
        at = int(np.nanargmin(lowest)) if len(lowest) else 0
        return at if len(lowest) and np.isfinite(lowest[at]) else None

    @cached_property
    def moments(self) -> list[int]:
        """Bars to be drawn with every bar around them: the worst, and the first forced ones."""
        forced = sorted({int(bar) for bar in self.bars_of(self.forced["time"])}) if len(self.forced) else []
        worst = [] if self.worst_bar is None else [self.worst_bar]
        return sorted({*worst, *forced[: MOST_MOMENTS - 1]})

    @property
    def liquidation_level(self) -> float:
        """The ratio at which the venue liquidates, at the end of the run."""
        levels = [ratio for ratio, action in self.record.levels_of(self.account) if action == "liquidate"]
        return max(levels, default=1.0)

    @cached_property
    def title(self) -> str:
        """Run, account and mode."""
        mode = "" if self.name == self.mode else f" ({self.mode})"
        return f"{self.record.config.name}: {self.name}{mode}"
