"""Where the money came from: the parts of the profit as steps that lead to it, and month by month upon one another."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from backtest.report.explain import PARTS
from backtest.report.figures.panel import plain
from backtest.report.ink import INK, PART_INK
from backtest.report.months import LEAST_SHOWN, by_period
from backtest.report.subject import Floats, Subject

TOTAL, ASIDE = "change in equity", "haircut, aside"


def waterfall_figure(subject: Subject) -> go.Figure:
    """Every part that came to anything, the change in equity they sum to, and aside, what the venue did not count of
    the account on average and at worst: a haircut is no loss.
    """
    sums = subject.parts[list(PARTS)].sum()
    told = [part for part in PARTS if abs(sums[part]) >= LEAST_SHOWN]
    cut = subject.column("equity") - subject.column("collateral_equity")
    steps = go.Waterfall(
        orientation="h", y=[*told, TOTAL], x=[*(float(sums[part]) for part in told), float(sums.sum())],
        measure=[*(["relative"] * len(told)), "total"], name="Parts",
        increasing={"marker": {"color": PART_INK["funding"]}}, decreasing={"marker": {"color": INK["level"]}},
        totals={"marker": {"color": INK["equity"]}}, connector={"line": {"color": INK["other"], "width": 1}},
        text=[f"{value:+,.0f}" for value in (*(sums[part] for part in told), sums.sum())],
        hovertemplate="%{y}: %{delta:+,.2f} USD<extra></extra>", **_LABELLED,
    )  # fmt: skip
    aside = go.Bar(
        orientation="h", y=["haircut, average", "haircut, worst"], x=[float(cut.mean()), float(cut.max())], name=ASIDE,
        marker={"color": "rgba(0,0,0,0)", "line": {"color": INK["collateral"], "width": 1.5},
                "pattern": {"shape": "/", "fgcolor": INK["collateral"], "size": 6}},
        text=[f"{value:,.0f}" for value in (cut.mean(), cut.max())],
        hovertemplate="%{y}: %{x:,.2f} USD of equity that did not count as margin; no loss<extra></extra>", **_LABELLED,
    )  # fmt: skip
    picture = go.Figure([steps, aside])
    picture.update_layout(
        title={"text": f"{plain(subject.title)}: where the money came from", "x": 0.01}, template="plotly_white",
        height=400, showlegend=False, margin={"l": 130, "r": 24, "t": 60, "b": 40},
        xaxis={"tickformat": "~s", "zeroline": True, "range": reach(sums[told].to_numpy(), cut)},
        yaxis={"autorange": "reversed", "type": "category", "automargin": True},
    )  # fmt: skip
    return picture


_LABELLED: dict[str, object] = {
    "textposition": "outside", "cliponaxis": False, "showlegend": False, "constraintext": "none",
    "textfont": {"size": 11},
}  # fmt: skip


def reach(parts: Floats, cut: Floats) -> list[float]:
    """Bounds of the axis: every step on the way to the sum, and the haircut, with room for words at either end."""
    ends = np.concatenate([[0.0], np.cumsum(parts), [float(cut.max())]])
    low, high = float(ends.min()), float(ends.max())
    room = 0.22 * (high - low) or 1.0
    return [low - room, high + room]


def months_of(subject: Subject) -> pd.DataFrame:
    """Parts by month, of those that ever came to anything; a row a month (its first moment)."""
    sums = by_period(subject.parts, "month")
    return sums[[part for part in PARTS if sums[part].abs().max() >= LEAST_SHOWN]]


def months_figure(subject: Subject) -> go.Figure:
    """The parts of each month stacked upon one another, and a mark at their sum."""
    months = months_of(subject)
    labels = [f"{month:%Y-%m}" for month in months.index]
    bars = [
        go.Bar(
            x=labels, y=months[part].to_numpy(), name=part, marker={"color": PART_INK[part]},
            hovertemplate=f"{part}: %{{y:+,.2f}} USD<extra></extra>",
        )
        for part in months
    ]  # fmt: skip
    sums = np.asarray(months.sum(axis=1), dtype=np.float64)
    net = go.Scatter(
        x=labels, y=sums, name="sum", mode="markers", hovertemplate="sum: %{y:+,.2f} USD<extra></extra>",
        marker={"symbol": "line-ew", "size": 12, "line": {"color": INK["other"], "width": 2.5}},
    )  # fmt: skip
    picture = go.Figure([*bars, net])
    picture.update_layout(
        title={"text": f"{plain(subject.title)}: by month", "x": 0.01}, template="plotly_white", barmode="relative",
        height=400, hovermode="x unified", margin={"l": 64, "r": 20, "t": 60, "b": 60}, bargap=0.25,
        yaxis={"title": {"text": "USD"}, "tickformat": "~s", "zeroline": True},
        xaxis={"type": "category", "nticks": 12, "tickangle": -35},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "right", "x": 1.0},
    )  # fmt: skip
    return picture
