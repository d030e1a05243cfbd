"""Sweeps as if they had been lived: a row a point with figures written down, for the tests of their pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from backtest.config import load_config
from backtest.research.points import paths_of, points_of
from backtest.research.sweep_result import SweepResult
from backtest.research.table import PointTable
from backtest.research.trials import Row

ROOT = Path(__file__).resolve().parent.parent
BAND, MARGIN = "strategy.params.band", "account.margin"
GRID = {"grid": {BAND: [0.02, 0.05, 0.1], MARGIN: ["multi_asset", "portfolio"]}}


def config(sweep: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """The hedged long of the sample over some days of June 2024, with something to try."""
    return {
        "name": "tried",
        "data": {"store": str(ROOT / "data/sample"), "start": "2024-06-01", "end": "2024-06-09"},
        "prices": {"gaps": "hold"}, "rules": {"outside": "nearest"},
        "account": [{"margin": "portfolio", "leverage": 5, "deposit": {"USDT": 30_000, "ETH": 40}}],
        "strategy": {"class": "strategies.hedged_long:HedgedLong", "params": {"hedge_share": 1.0, "band": 0.05}},
        "sweep": sweep, **changed,
    }  # fmt: skip


def found(figures: list[dict[str, Any] | str], sweep: dict[str, Any] | None = None, name: str = "tried") -> SweepResult:
    """A sweep whose points came out so, in their order: figures, or the words of a failure."""
    loaded = load_config(config(sweep or GRID))
    assert loaded.sweep is not None
    points = points_of(loaded.sweep)
    assert len(points) == len(figures)
    rows = [
        Row((0, "", k), "failed", each) if isinstance(each, str) else Row((0, "", k), "ok", "", each, seconds=1.0)
        for k, each in enumerate(figures)
    ]
    paths = paths_of(points)
    table = PointTable(points, paths, loaded.resolved(), split=False)
    frame = table.shown(table.joined([table.of(rows)]))
    return SweepResult(name, frame, None, pd.DataFrame(), len(points), paths, None, loaded.resolved(), loaded.sweep)


def six() -> SweepResult:
    """Bands of 2, 5 and 10 % under two margin modes: one was liquidated, one undecided, one failed.

    Sharpe:   multi_asset 1.0, 2.0, none     portfolio 3.0, -1.0, 0.5 (bands of 2, 5, 10 %)
    """
    return found([
        figures(1.0, 5.0, 20.0), figures(3.0, 15.0, 30.0), figures(2.0, 10.0, 10.0),
        figures(-1.0, -50.0, 60.0, survived="no: 2024-06-03 04:00", liquidations=2),
        "ZeroDivisionError: division by zero (careless.py, line 4)",
        figures(0.5, 2.0, 5.0, survived="undecided inside the bar (2024-06-05 00:00)", ratio=np.inf),
    ])  # fmt: skip


def figures(
    sharpe: float, gain: float, fall: float, survived: str = "yes", ratio: float = 1.5, liquidations: int = 0
) -> dict[str, Any]:
    """A point's figures."""
    return {
        "Total Return [%]": gain, "Sharpe": sharpe, "Max Drawdown [%]": fall, "Lowest Margin Ratio": ratio,
        "Least Capital": 12_345.67, "Liquidations": liquidations, "Survived": survived,
    }  # fmt: skip


def many(points: int, statistics: int = 45) -> SweepResult:
    """So many points drawn from two ranges, with so many figures of no meaning and all digits."""
    random = np.random.default_rng(3)
    ranges = {BAND: [0.01, 0.2], "strategy.params.hedge_share": [0.1, 1.0]}
    names = ["Sharpe", "Total Return [%]", "Max Drawdown [%]", "Lowest Margin Ratio"]
    names += [f"figure {k}" for k in range(statistics - len(names))]
    drawn = random.normal(size=(points, statistics))
    rows = [dict(zip(names, map(float, each), strict=True)) | {"Survived": "yes"} for each in drawn]
    return found(rows, {"random": {"n": points, "seed": 1, "ranges": ranges}})
