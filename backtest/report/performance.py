"""What an account's bars come to, gone through from the first to the last: growth, drawdown, lowest ratios, margins.

Of a history larger than memory only some bars are looked at at once; what is left of them is a handful of numbers, and
a close and a growth a day.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from backtest.market.schema import DAY_US
from backtest.report.columns import Columns
from backtest.report.record import Floats, Ints, RunRecord, summed

PATHS = {"close": "ratio_close", "low_then_high": "ratio_low_then_high", "each_worst": "ratio_each_worst"}


@dataclass
class Path:
    """What is left of an account's recorded bars, gone through from the first to the last; money in the numeraire."""

    unit: float = 1.0  # USD per numeraire at the last close
    equity: float = float("nan")  # at the last close
    flowed: float = 0.0  # what came in on the way, less what went out
    growth: float = 1.0  # what one unit paid in at the start became; flows are taken out, and after ruin it stays 0
    drawdown: float = 0.0
    drawdown_us: int = 0  # the bar at whose close it was deepest
    most: float = 1.0  # the highest growth
    bar: int = -1  # the last one
    bars: int = 0
    end_us: int = 0
    lowest: float = float("nan")  # margin ratio
    lowest_us: int = 0
    lowest_wallet: str = ""
    utilization: float = float("nan")
    haircut: float = 0.0  # summed over the bars
    worst_haircut: float = -np.inf
    needed: float = 0.0  # initial margin, summed over the bars
    needing: int = 0  # bars with any
    most_needed: float = -np.inf
    by_path: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PATHS, float("nan")))
    days: list[tuple[Ints, Floats]] = field(default_factory=list)  # closes that a midnight may have come after; growth


@dataclass
class Performance:
    """One account's equity, its growth without later deposits, and its daily returns."""

    record: RunRecord
    account: int

    @cached_property
    def ledger(self) -> Columns:
        """The account's ledger."""
        return self.record.columns("ledger", self.account)

    @property
    def numeraire(self) -> str:
        """What money is counted in."""
        return self.record.config.report.numeraire

    @property
    def start_us(self) -> int:
        """The first open."""
        return int(self.record.history.time[0])

    @cached_property
    def start(self) -> float:
        """The first deposits at the first open, in the numeraire."""
        return self.record.start_equity(self.account) / float(self.record.index(self.numeraire, "open")[0])

    @cached_property
    def _flows(self) -> tuple[Ints, Floats]:
        """Bars in which money came in (out: negative), and how much, at the index of the bar's open, in the
        numeraire.
        """
        rows = self.record.later_flows(self.account)
        bars = self.record.bars(rows)
        unit = self.record.room.take(self.record.index(self.numeraire, "open"), bars)
        return bars, self.record.flows_usd(rows, "open") / unit

    @cached_property
    def path(self) -> Path:
        """The recorded bars, gone through."""
        path = Path(equity=self.start)
        for rows in self.record.parts("account", self.account):
            self._go_on(path, rows)
        return path

    def _go_on(self, path: Path, rows: Columns) -> None:
        """Some bars more."""
        bars, closes = self.record.bars(rows), rows["time"] + self.record.history.interval_us
        unit = self.record.index(self.numeraire)[bars]
        equity, flows = rows["equity"] / unit, self._flows_over(path, bars)
        before = np.concatenate(([path.equity], equity[:-1])) + flows
        with np.errstate(divide="ignore", invalid="ignore"):
            grown = np.where(before > 0, equity / before, 0.0)
        growth: Floats = np.cumprod(np.concatenate(([path.growth], np.maximum(grown, 0.0)))).astype(np.float64)
        fall, at = deepest(growth[1:], path.most)
        if fall > path.drawdown:
            path.drawdown, path.drawdown_us = fall, int(rows["time"][at])
        path.most = max(path.most, float(growth.max()))
        path.days.append(_by_midnight(closes, growth[1:]))
        _note_margins(path, rows, unit)
        path.unit, path.equity, path.growth = float(unit[-1]), float(equity[-1]), float(growth[-1])
        path.flowed += float(flows.sum())
        path.bars, path.end_us = path.bars + len(rows), int(closes[-1])

    def _flows_over(self, path: Path, bars: Ints) -> Floats:
        """Money that came in over each of these bars; what came after the last one recorded counts in it."""
        at, values = self._flows
        last = path.bars + len(bars) == self.record.bars_of(self.account)
        mine = (at > path.bar) & ((at <= bars[-1]) | last)
        path.bar = int(bars[-1])
        into = np.minimum(np.searchsorted(bars, at[mine]), len(bars) - 1)
        return summed(into.astype(np.int64), values[mine], len(bars))

    @cached_property
    def daily(self) -> pd.Series:
        """Returns from 00:00 to 00:00 UTC, labelled by their day (no zone); whole days only, none after ruin."""
        times = np.concatenate([[self.start_us], *(closes for closes, _ in self.path.days)])
        growth = np.concatenate([[1.0], *(values for _, values in self.path.days)])
        first, last = -(-self.start_us // DAY_US), self.path.end_us // DAY_US
        midnights = np.arange(first, last + 1, dtype=np.int64)
        sampled = growth[np.searchsorted(times, midnights * DAY_US, side="right") - 1]
        whole = sampled[:-1] > 0
        returns = sampled[1:][whole] / sampled[:-1][whole] - 1.0
        days = pd.DatetimeIndex(midnights[:-1][whole].astype("datetime64[D]").astype("datetime64[us]"), name="time")
        return pd.Series(returns, index=days, name="returns")

    @property
    def profit(self) -> float:
        """End equity less start equity and what came in since."""
        return self.path.equity - self.start - self.path.flowed

    def paid(self, *kinds: str) -> float:
        """Ledger rows of some kinds, at their bars' close index, in the numeraire."""
        rows = self.ledger.where(self.ledger.among("kind", *kinds))
        if not len(rows):
            return 0.0
        unit = self.record.room.take(self.record.index(self.numeraire), self.record.bars(rows))
        return float((self.record.flows_usd(rows) / unit).sum())


def _by_midnight(closes: Ints, growth: Floats) -> tuple[Ints, Floats]:
    """Of some closes and what one unit had become there, those that may be the last at or before a midnight."""
    day = closes // DAY_US
    kept = (closes % DAY_US == 0) | np.append(day[1:] != day[:-1], True)
    return closes[kept], growth[kept]


def _note_margins(path: Path, rows: Columns, unit: Floats) -> None:
    """Lowest ratios, haircuts and margins of some bars more."""
    ratios = rows["worst_ratio"]
    at = int(ratios.argmin())
    if not path.bars or ratios[at] < path.lowest:
        path.lowest, path.lowest_us = float(ratios[at]), int(rows["time"][at])
        path.lowest_wallet = rows.words("worst_wallet").text(at)
    for name, column in PATHS.items():
        path.by_path[name] = float(np.fmin(path.by_path[name], np.fmin.reduce(rows[column])))
    path.utilization = float(np.fmax(path.utilization, np.fmax.reduce(rows["utilization"])))
    haircut, needed = (rows["equity"] - rows["collateral_equity"]) / unit, rows["initial_margin"] / unit
    path.haircut, path.worst_haircut = (
        path.haircut + float(haircut.sum()),
        max(path.worst_haircut, float(haircut.max())),
    )
    some = needed[needed > 0]
    path.needed, path.needing = path.needed + float(some.sum()), path.needing + len(some)
    path.most_needed = max(path.most_needed, float(needed.max()))


def drawdown(growth: Floats, most: float = 1.0) -> float:
    """Largest fall from an earlier high, as a fraction; `most`: the highest before."""
    return deepest(growth, most)[0]


def deepest(growth: Floats, most: float = 1.0) -> tuple[float, int]:
    """The same, and where of these it ends; the first of equal ones."""
    path = np.concatenate(([most], growth))
    falls = 1.0 - path / np.maximum.accumulate(path)
    at = int(falls.argmax())
    return float(falls[at]), max(0, at - 1)
