"""What a picture of a run shows, before anyone draws it: equity above; below, how near the venue's levels it came.

`picture` draws these panels as a still PNG; a page has figures of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.report.columns import microseconds, naive
from backtest.report.ink import INK, mode_ink
from backtest.report.levels import apart_on_log
from backtest.report.record import RunRecord
from backtest.report.statistics import forced_moments
from backtest.report.thin import STRETCHES, kept

FLOOR, CEILING = 0.1, 1000.0  # ratios beyond are drawn here: that far from the level it is safe, or lost, however far
TICKS = {FLOOR: "≤ 0.1", **{tick: f"{tick:g}" for tick in (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)}}
TICKS[CEILING] = "≥ 1000"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """One line of a panel, over naive UTC times; NaN is a gap."""

    label: str
    ink: str
    times: Any
    values: Floats
    width: float = 1.3


@dataclass(frozen=True)
class Level:
    """A margin ratio at which the venue acts, and what it does there."""

    ratio: float
    action: str

    @property
    def words(self) -> str:
        """Action and ratio."""
        return f"{self.action.replace('_', ' ')} {self.ratio:g}"

    @property
    def liquidates(self) -> bool:
        """Whether this is the one that matters most."""
        return self.action == "liquidate"

    @property
    def ink(self) -> str:
        """Red where it liquidates."""
        return INK["level"] if self.liquidates else INK["other"]


@dataclass(frozen=True)
class Crosses:
    """The bars in which the venue took something, on an equity line; `label` names the line among several."""

    label: str
    ink: str
    times: Any
    values: Floats
    rungs: list[str]


@dataclass(frozen=True)
class Panels:
    """Everything that is drawn: equity lines and crosses above, ratio lines and levels below."""

    title: str
    money: Sequence[Line]
    ratios: Sequence[Line]
    levels: Sequence[Level]
    crosses: Sequence[Crosses]

    @property
    def ratio_range(self) -> tuple[float, float]:
        """Bounds of the ratio axis: all lines and levels, with some air."""
        drawn = np.concatenate([*(line.values for line in self.ratios), [level.ratio for level in self.levels]])
        return 0.8 * float(np.nanmin(drawn)), 1.25 * float(np.nanmax(drawn))

    def label_heights(self, apart: float) -> list[float]:
        """A ratio a level at which its words stand, none nearer to the next than this share of the (log) axis."""
        low, high = np.log10(self.ratio_range)
        return apart_on_log([level.ratio for level in self.levels], apart * float(high - low))


def panels(record: RunRecord) -> Panels:
    """A run of one account, or the accounts of a run over one another."""
    if len(record.account_names) == 1:
        return account_panels(record, 0)
    return mode_panels({name: (record, k) for k, name in enumerate(record.account_names)}, record.config.name)


def account_panels(record: RunRecord, account: int) -> Panels:
    """Equity and collateral equity; the lowest margin ratio of each bar, with all of the venue's levels."""
    rows = thinned(record, account)
    times = naive(rows["time"])
    name, mode = record.account_names[account], record.modes[account]
    return Panels(
        title=f"{record.config.name}: {name}" + ("" if name == mode else f" ({mode})"),
        money=[
            Line("Equity", INK["equity"], times, rows["equity"].to_numpy()),
            Line("Collateral equity", INK["collateral"], times, rows["collateral_equity"].to_numpy()),
        ],
        ratios=[Line("Margin ratio (lowest of the bar)", INK["ratio"], times, within(rows["worst_ratio"].to_numpy()))],
        levels=[Level(*level) for level in record.levels_of(account)],
        crosses=crosses(record, account, INK["level"]),
    )


def mode_panels(runs: Mapping[str, tuple[RunRecord, int]], title: str) -> Panels:
    """Accounts of any runs, by label; of the levels those that liquidate. Lines that coincide show by their width."""
    money, ratios, marks, levels = [], [], [], list[Level]()
    widths = np.linspace(2.6, 1.1, len(runs))
    for number, (label, (record, account)) in enumerate(runs.items()):
        rows, ink, width = thinned(record, account), mode_ink(label, number), widths[number]
        times = naive(rows["time"])
        money.append(Line(label, ink, times, rows["equity"].to_numpy(), width))
        ratios.append(Line(label, ink, times, within(rows["worst_ratio"].to_numpy()), width))
        marks += crosses(record, account, ink, label)
        levels += [level for level in (Level(*each) for each in record.levels_of(account)) if level.liquidates]
    return Panels(title, money, ratios, list(dict.fromkeys(levels)), marks)


def crosses(record: RunRecord, account: int, ink: str, label: str = "") -> list[Crosses]:
    """One cross a bar and wallet in which the venue took something; none where it never did."""
    forced = forced_moments(record, account)
    if forced.empty:
        return []
    rows = record.columns("account", account)
    at = np.maximum(np.searchsorted(rows["time"], microseconds(forced["time"]), side="right") - 1, 0)
    return [Crosses(label, ink, naive(forced["time"]), record.room.take(rows["equity"], at), list(forced["rung"]))]


DRAWN = ("time", "equity", "collateral_equity", "worst_ratio")


def thinned(record: RunRecord, account: int) -> pd.DataFrame:
    """The bars of an account that are drawn."""
    bars, found = record.bars_of(account), list[pd.DataFrame]()
    for rows in record.parts("account", account):
        series = [rows["equity"], rows["collateral_equity"], within(rows["worst_ratio"])]
        drawn = kept(series, stretches=-(-STRETCHES * len(rows) // bars)) if bars > 4 * STRETCHES else np.arange(bars)
        found.append(rows.where(drawn).frame(DRAWN))
    return found[0] if len(found) == 1 else pd.concat(found, ignore_index=True)


def within(ratios: Floats) -> Floats:
    """Ratios inside the drawing: no requirement (infinite) is a gap, far off is the ceiling or the floor."""
    return np.where(np.isfinite(ratios), np.clip(ratios, FLOOR, CEILING), np.nan)
