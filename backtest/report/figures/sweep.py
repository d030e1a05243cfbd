"""The points of a sweep drawn: a statistic over two settings, every point as a line, windows in and out of sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from backtest.report.better import way
from backtest.report.figures.panel import plain
from backtest.report.html import words
from backtest.report.ink import INK
from backtest.report.points import TEST, Axis, Floats, Points, cells, drawn, short_names

BAD, MIDDLE, GOOD = "#c4552d", "#c3c7cc", "#2862a8"
SCALES: dict[int, list[list[Any]]] = {
    1: [[0.0, BAD], [0.5, MIDDLE], [1.0, GOOD]],
    -1: [[0.0, GOOD], [0.5, MIDDLE], [1.0, BAD]],
    0: [[0.0, "#d8cfe8"], [1.0, "#5d4a9c"]],
}
"""Colours by the way a figure is better: blue is better, rust is worse, violet is neither."""
MOST_LINES = 2_000
BESIDE = ("Total Return [%]", "Max Drawdown [%]", "Lowest Margin Ratio", "Least Capital")
MOST_TOLD = 400  # cells of a map with their numbers in them
LONGEST = 26  # letters of a setting's value on an axis


def heatmap_figure(points: Points, x: str, y: str | None, statistic: str, title: str = "") -> go.Figure:
    """Means of a statistic over the rows of each cell. `y` None: over one setting alone."""
    across = points.axis(x)
    up = points.axis(y) if y is not None else nothing(len(points.rows))
    means, many = cells(points, across, up, statistic)
    names = short_names(points.settings)
    shown = np.where(np.isfinite(means), means, np.nan)
    trace = go.Heatmap(
        z=shown, x=list(range(len(across.labels))), y=list(range(len(up.labels))), customdata=many,
        text=[[words(mean) for mean in row] for row in means.tolist()],
        texttemplate="%{text}" if means.size <= MOST_TOLD else "",
        colorscale=SCALES[way(statistic)], xgap=1, ygap=1, hoverongaps=False,
        colorbar={"thickness": 12, "outlinewidth": 0, "tickformat": "~g"},
        hovertemplate="%{text}, mean of %{customdata} rows<extra></extra>",
    )  # fmt: skip
    picture = go.Figure(trace)
    picture.update_layout(
        title={"text": plain(title), "x": 0.01} if title else None, template="plotly_white",
        height=max(220, min(640, 120 + 44 * len(up.labels))),
        margin={"l": 70, "r": 20, "t": 60 if title else 16, "b": 74},
        xaxis=ticks(across, names), yaxis=ticks(up, names),
    )  # fmt: skip
    return picture


def nothing(rows: int) -> Axis:
    """An axis with one place, for what has no second setting."""
    return Axis("", np.zeros(rows, dtype=np.int64), ("",), False, None)


def ticks(axis: Axis, names: dict[str, str]) -> dict[str, Any]:
    """A setting's values as the ticks of an axis of whole numbers."""
    return {
        "title": {"text": plain(names.get(axis.name, axis.name))}, "tickvals": list(range(len(axis.labels))),
        "ticktext": [plain(cut(label)) for label in axis.labels], "showgrid": False, "zeroline": False,
        "automargin": True,
    }  # fmt: skip


def cut(label: str) -> str:
    """A value in the room of an axis."""
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"


def parallel_figure(points: Points, statistic: str, beside: Sequence[str] | None = None, title: str = "") -> go.Figure:
    """Every point as a line through its settings and figures, coloured by a statistic; drag along an axis to choose.

    At most 2,000 lines: the best, the worst, and evenly those between. Infinite ratios stand at the top of their axis.
    """
    values = points.values(statistic)
    rows = drawn(values, MOST_LINES)
    figures = figures_beside(points, statistic) if beside is None else [statistic, *beside]
    names = short_names(points.settings)
    axes = [_setting(points.axis(name), names, rows) for name in points.moved]
    axes += [{"label": plain(name), "values": within(points.values(name)[rows])} for name in dict.fromkeys(figures)]
    trace = go.Parcoords(
        dimensions=axes, customdata=rows, labelangle=-16, labelside="top",
        line={"color": within(values[rows]), "colorscale": SCALES[way(statistic)], "showscale": False},
        unselected={"line": {"color": INK["other"], "opacity": 0.12}},
    )  # fmt: skip
    picture = go.Figure(trace)
    picture.update_layout(
        title={"text": plain(title), "x": 0.01} if title else None, template="plotly_white", height=420,
        margin={"l": 70, "r": 60, "t": 130 if title else 92, "b": 24},
    )  # fmt: skip
    return picture


def figures_beside(points: Points, statistic: str) -> list[str]:
    """The statistic, and what a reader wants to see beside it."""
    return list(dict.fromkeys([statistic, *(name for name in BESIDE if name in points.figures)]))


def _setting(axis: Axis, names: dict[str, str], rows: Any) -> dict[str, Any]:
    """A setting as an axis of lines: numbers as they are where they are many, else a place a value."""
    label = plain(names[axis.name])
    if axis.values is not None and (axis.grouped or len(axis.labels) > 1) and np.isfinite(axis.values).all():
        told = {} if axis.grouped else {"tickvals": np.unique(axis.values), "ticktext": list(axis.labels)}
        return {"label": label, "values": axis.values[rows], **told}
    text = [plain(cut(each)) for each in axis.labels]
    return {"label": label, "values": axis.places[rows], "tickvals": list(range(len(text))), "ticktext": text}


def within(values: Floats) -> Floats:
    """Infinite values at the greatest (or least) finite one: no axis is long enough."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    return np.nan_to_num(values, nan=low, posinf=high, neginf=low)


def windows_figure(windows: pd.DataFrame) -> go.Figure:
    """The statistic of each window's choice, where it was chosen and on the span after it."""
    statistic = str(windows["statistic"].iloc[0])
    at = [f"{start:%Y-%m-%d}" for start in windows["test_start"]]
    bars = [
        go.Bar(
            x=at, y=windows[column].to_numpy(np.float64), name=name, marker={"color": ink},
            hovertemplate=f"{name} %{{x}}: %{{y:,.3f}}<extra></extra>",
        )
        for column, name, ink in (
            ("in_sample", "in sample", INK["other"]), ("out_of_sample", "out of sample", INK["equity"]),
        )
    ]  # fmt: skip
    picture = go.Figure(bars)
    picture.update_layout(
        template="plotly_white", height=300, barmode="group", bargap=0.35,
        margin={"l": 64, "r": 20, "t": 16, "b": 40}, yaxis={"title": {"text": plain(statistic)}, "zeroline": True},
        xaxis={"type": "category", "title": {"text": f"start of the {TEST} window"}},
    )  # fmt: skip
    return picture
