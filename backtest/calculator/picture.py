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
        axes.set_xticks(range(grid.shape[1]), [f"{100 * move:+.4g}%" for move in grid.columns])
        axes.set_yticks(range(grid.shape[0]), [f"{100 * move:+.4g}%" for move in grid.index])
        axes.set_xlabel(str(grid.columns.name))
        axes.set_ylabel(str(grid.index.name))
        axes.set_title(title or "Margin ratio after two moves")
        if grid.size <= 200:
            for (row, column), value in np.ndenumerate(grid.to_numpy(float)):
                axes.text(column, row, "-" if np.isinf(value) else f"{value:.2f}", ha="center", va="center", fontsize=8)
        figure.colorbar(image, ax=axes, label=f"margin ratio (liquidation at {level:g})")
        figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})


def heat_map(grid: pd.DataFrame, level: float = 1.0) -> go.Figure:
    """The same as a plotly figure."""
    return go.Figure(
        go.Heatmap(
            z=np.clip(grid.to_numpy(float), 0.0, MOST * level), x=list(grid.columns), y=list(grid.index), zmin=0.0,
            zmax=MOST * level, zmid=level, colorscale="RdYlGn", text=grid.round(3).astype(str).to_numpy(),
            hovertemplate=f"{grid.index.name} %{{y:+.1%}}, {grid.columns.name} %{{x:+.1%}}: %{{text}}<extra></extra>",
        ),
        layout={"xaxis": {"title": str(grid.columns.name)}, "yaxis": {"title": str(grid.index.name)}},
    )  # fmt: skip
