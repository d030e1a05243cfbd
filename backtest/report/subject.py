"""One account of a result, as the figures and tables of its page look at it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.report.columns import naive
from backtest.report.record import FORCED, FRAMES, RunRecord
from backtest.report.standing import Standing

if TYPE_CHECKING:
    from backtest.report.result import Result

Floats = npt.NDArray[np.float64]
LOST = (*FORCED, "bankrupt")
MOST_MOMENTS = 8


class Ratios:
    """The lowest margin ratio of each bar of an account, read a stretch at a time."""

    def __init__(self, record: RunRecord, account: int) -> None:
        self._record, self._account = record, account

    def __len__(self) -> int:
        return self._record.bars_of(self._account)

    def __getitem__(self, bars: slice) -> Floats:
        self._record.room.give_back()
        ratios: Floats = self._record.stretch(self._account, bars)["worst_ratio"]
        return ratios


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
        return self.record.columns("account", self.account)["time"].view("datetime64[us]")

    def row(self, bar: int) -> pd.Series:
        """One bar of the account frame."""
        found: pd.Series = self.record.stretch(self.account, slice(bar, bar + 1)).frame(FRAMES["account"]).iloc[0]
        return found

    def column(self, name: str) -> Floats:
        """One column of the account frame."""
        values: Floats = self.record.columns("account", self.account)[name].astype(np.float64, copy=False)
        return values

    @property
    def ratios(self) -> Ratios:
        """The lowest margin ratio of each bar."""
        return Ratios(self.record, self.account)

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
        lowest, bar, first = np.inf, None, 0
        for rows in self.record.parts("account", self.account):
            ratios = rows["worst_ratio"]
            at = int(np.nanargmin(ratios))
            if ratios[at] < lowest:
                lowest, bar = float(ratios[at]), first + at
            first += len(rows)
        return bar

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
