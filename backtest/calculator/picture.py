"""The grid of two moves as a heat map of the margin ratio: as a still picture, or one that answers to the mouse."""

from __future__ import annotations

from pathlib import Path

import matplotlib.style
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

SIZE, DPI = (8.0, 6.0), 100
MOST = 3.0  # ratios above this many levels share the deepest green
READABLE = 200  # cells at most whose numbers are written in


def write_heat_map(grid: pd.DataFrame, path: Path, level: float = 1.0, title: str = "") -> None:
    """A grid of margin ratios as PNG: white at the liquidation level, red below, green above."""
    values = np.clip(grid.to_numpy(float), 0.0, MOST * level)
    with matplotlib.style.context("default"):
        figure = Figure(figsize=SIZE, dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        image = axes.imshow(
            values, origin="lower", aspect="auto", cmap="RdYlGn", norm=TwoSlopeNorm(level, 0.0, MOST * level)
        )
        axes.set_xticks(range(grid.shape[1]), _labels(grid.columns))
        axes.set_yticks(range(grid.shape[0]), _labels(grid.index))
        axes.set_xlabel(str(grid.columns.name))
        axes.set_ylabel(str(grid.index.name))
        axes.set_title(title or "Margin ratio after two moves")
        if grid.size <= READABLE:
            for (row, column), value in np.ndenumerate(grid.to_numpy(float)):
                axes.text(column, row, _ratio(value), ha="center", va="center", fontsize=8)
        figure.colorbar(image, ax=axes, label=f"margin ratio (liquidation at {level:g})")
        figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})


def heat_map(grid: pd.DataFrame, level: float = 1.0) -> go.Figure:
    """The same as a plotly figure, with the ratios written in where they can be read."""
    down, across = _labels(grid.index), _labels(grid.columns)
    return go.Figure(
        go.Heatmap(
            z=np.clip(grid.to_numpy(float), 0.0, MOST * level), x=across, y=down, zmin=0.0, zmax=MOST * level,
            zmid=level, colorscale="RdYlGn", text=[[_ratio(value) for value in row] for row in grid.to_numpy(float)],
            texttemplate="%{text}" if grid.size <= READABLE else "", colorbar={"title": {"text": "margin ratio"}},
            hovertemplate=f"{grid.index.name} %{{y}}, {grid.columns.name} %{{x}}: %{{text}}<extra></extra>",
        ),
        layout={
            "margin": {"t": 30},
            "xaxis": {"title": f"move of {grid.columns.name}", "type": "category"},
            "yaxis": {"title": f"move of {grid.index.name}", "type": "category"},
        },
    )  # fmt: skip


def _labels(moves: pd.Index) -> list[str]:
    return [f"{100 * move:+.4g}%" for move in moves]


def _ratio(value: float) -> str:
    return "-" if np.isinf(value) else f"{value:.2f}"
