"""A comparison's figures that are not over time: the capital each mode needed, and what each account earned on what."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from backtest.report.explain import PARTS
from backtest.report.ink import INK, PART_INK, mode_ink
from backtest.report.months import LEAST_SHOWN
from backtest.report.subject import Subject


def capital_figure(orders: pd.DataFrame) -> go.Figure:
    """Least capital of every mode, USD, in the mode's colour."""
    least = orders.loc["Least Capital"].astype(float)
    modes = [str(mode) for mode in least.index]
    bars = go.Bar(
        y=modes, x=least.to_numpy(), orientation="h", text=[f"{value:,.0f}" for value in least], textposition="outside",
        marker={"color": [mode_ink(mode, k) for k, mode in enumerate(modes)]}, cliponaxis=False, showlegend=False,
        hovertemplate="%{y}: %{x:,.0f} USD<extra></extra>", name="Least capital",
    )  # fmt: skip
    picture = go.Figure(bars)
    picture.update_layout(
        template="plotly_white", height=320, margin={"l": 130, "r": 60, "t": 16, "b": 40},
        xaxis={"tickformat": "~s", "rangemode": "tozero", "range": [0, 1.18 * float(least.max())]},
        yaxis={"autorange": "reversed", "type": "category", "automargin": True},
    )  # fmt: skip
    return picture


def parts_figure(subjects: Mapping[str, Subject]) -> go.Figure:
    """The parts of each account's profit upon one another, and a mark at their sum."""
    sums = pd.DataFrame({mode: subject.parts[list(PARTS)].sum() for mode, subject in subjects.items()})
    modes = list(sums.columns)
    bars = [
        go.Bar(
            x=modes, y=sums.loc[part].to_numpy(), name=part, marker={"color": PART_INK[part]},
            hovertemplate=f"%{{x}}, {part}: %{{y:+,.0f}} USD<extra></extra>",
        )
        for part in PARTS
        if sums.loc[part].abs().max() >= LEAST_SHOWN
    ]  # fmt: skip
    net = go.Scatter(
        x=modes, y=np.asarray(sums.sum(), dtype=np.float64), name="change in equity", mode="markers",
        marker={"symbol": "line-ew", "size": 22, "line": {"color": INK["other"], "width": 2.5}},
        hovertemplate="%{x}: %{y:+,.0f} USD<extra></extra>",
    )  # fmt: skip
    picture = go.Figure([*bars, net])
    picture.update_layout(
        template="plotly_white", height=320, barmode="relative", margin={"l": 64, "r": 12, "t": 16, "b": 60},
        yaxis={"tickformat": "~s", "zeroline": True}, xaxis={"type": "category", "tickangle": -25},
    )  # fmt: skip
    return picture
