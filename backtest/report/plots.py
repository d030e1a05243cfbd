"""The run as a picture: what the account was worth, what of it counted, and how near the venue's levels it came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from backtest.report.record import RunRecord
from backtest.report.statistics import forced_moments

INK = {"equity": "#1f4e79", "collateral": "#e08e2b", "ratio": "#2f7d4f", "level": "#b3261e", "grid": "#e7e7e7"}
MODE_INK = ("#1f4e79", "#e08e2b", "#2f7d4f", "#8a3b8f", "#b3261e", "#5b6770")
POINTS = 4000  # a picture has no more columns than this; extremes of what is left out are kept
CEILING = 100.0  # ratios above are drawn here: an account that far from its level is safe, however far


def figure(record: RunRecord, account: int = 0) -> go.Figure:
    """Equity and collateral equity above; the lowest margin ratio of each bar, with the venue's levels, below."""
    rows = thinned(record.of("account", account))
    picture = _two_panels(f"{record.config.name}: {record.account_names[account]} ({record.modes[account]})")
    _line(picture, 1, rows["time"], rows["equity"], "Equity", INK["equity"])
    _line(picture, 1, rows["time"], rows["collateral_equity"], "Collateral equity", INK["collateral"])
    _line(picture, 2, rows["time"], _drawn(rows["worst_ratio"]), "Margin ratio (lowest of the bar)", INK["ratio"])
    for ratio, action in record.levels_of(account):
        _level(picture, ratio, action)
    _mark_liquidations(picture, record, account)
    return picture


def compare_figure(record: RunRecord) -> go.Figure:
    """Every account of a run over the others: equity above, margin ratio below."""
    return compare_figures({name: (record, k) for k, name in enumerate(record.account_names)}, record.config.name)


def compare_figures(runs: Mapping[str, tuple[RunRecord, int]], title: str = "Margin modes side by side") -> go.Figure:
    """Accounts of any runs, by label, in one picture."""
    picture = _two_panels(title)
    for number, (label, (record, account)) in enumerate(runs.items()):
        rows, ink = thinned(record.of("account", account)), MODE_INK[number % len(MODE_INK)]
        _line(picture, 1, rows["time"], rows["equity"], label, ink)
        _line(picture, 2, rows["time"], _drawn(rows["worst_ratio"]), label, ink, legend=False)
        _mark_liquidations(picture, record, account, ink, label)
    first, account = next(iter(runs.values()))
    _level(picture, next(ratio for ratio, action in first.levels_of(account) if action == "liquidate"), "liquidate")
    return picture


def thinned(rows: pd.DataFrame, points: int = POINTS) -> pd.DataFrame:
    """At most about `points` rows; from each stretch its last row, and the row with the lowest ratio."""
    if len(rows) <= points:
        return rows
    stretch = np.arange(len(rows)) * (points // 2) // len(rows)
    lowest = rows["worst_ratio"].reset_index(drop=True).groupby(stretch).idxmin().to_numpy()
    last = np.flatnonzero(np.diff(stretch, append=stretch[-1] + 1))
    kept: pd.DataFrame = rows.iloc[np.union1d(lowest, last)]
    return kept


def to_html(picture: go.Figure, script: bool | str = True) -> str:
    """A picture as a piece of a page, the same bytes every time; `script` puts the drawing library in the page."""
    name = f"plot-{crc32(str(picture.layout.title.text).encode()):x}"
    text: str = picture.to_html(full_html=False, include_plotlyjs=script, div_id=name)
    return text


def _two_panels(title: str) -> go.Figure:
    picture = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.62, 0.38], vertical_spacing=0.06)
    picture.update_layout(
        title={"text": title, "x": 0.01}, template="plotly_white", height=640, hovermode="x unified",
        margin={"l": 70, "r": 130, "t": 60, "b": 40},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "right", "x": 1.0},
    )  # fmt: skip
    picture.update_yaxes(title_text="USD", tickformat="~s", gridcolor=INK["grid"], row=1, col=1)
    ticks = [0.5, 1, 1.5, 2, 3, 5, 10, 20, 50, 100]
    picture.update_yaxes(title_text="margin ratio", type="log", tickvals=ticks, gridcolor=INK["grid"], row=2, col=1)
    return picture


def _drawn(ratios: pd.Series) -> Any:
    """Ratios inside the drawing: no requirement (infinite) is a gap, far off is the ceiling, below 0.1 the floor."""
    finite = ratios.to_numpy(dtype=np.float64)
    return np.where(np.isfinite(finite), np.clip(finite, 0.1, CEILING), np.nan)


def _line(picture: go.Figure, row: int, times: Any, values: Any, name: str, ink: str, legend: bool = True) -> None:
    trace = go.Scatter(
        x=np.asarray(pd.DatetimeIndex(times).tz_localize(None)), y=np.asarray(values), name=name, mode="lines",
        line={"color": ink, "width": 1.4}, showlegend=legend, legendgroup=name,
    )  # fmt: skip
    picture.add_trace(trace, row=row, col=1)


def _level(picture: go.Figure, ratio: float, action: str) -> None:
    words = f"{action.replace('_', ' ')} {ratio:g}"
    ink, dash = (INK["level"], "solid") if action == "liquidate" else ("#999999", "dot")
    picture.add_hline(y=ratio, row=2, col=1, line={"color": ink, "width": 1, "dash": dash})
    picture.add_annotation(
        text=words, x=1.0, xref="x2 domain", xanchor="left", y=np.log10(ratio), yref="y2", showarrow=False,
        font={"size": 11, "color": ink},
    )  # fmt: skip


def _mark_liquidations(
    picture: go.Figure, record: RunRecord, account: int, ink: str = INK["level"], label: str = ""
) -> None:
    """A cross on the equity line at every bar in which the venue took something; the legend names unlabelled ones."""
    forced, rows = forced_moments(record, account), record.of("account", account)
    if forced.empty:
        return
    times = pd.DatetimeIndex(forced["time"])
    at = np.maximum(pd.DatetimeIndex(rows["time"]).searchsorted(times, side="right") - 1, 0)
    marker = {"symbol": "x", "size": 9, "color": ink}
    trace = go.Scatter(
        x=np.asarray(times.tz_localize(None)), y=rows["equity"].to_numpy()[at], mode="markers", marker=marker,
        name=f"{label} liquidation".strip().capitalize(), showlegend=not label, legendgroup=label,
        text=list(forced["rung"]), hovertemplate="%{text}: %{y:,.0f}",
    )  # fmt: skip
    picture.add_trace(trace, row=1, col=1)
