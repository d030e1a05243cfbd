"""The run as a picture that answers the pointer: the panels drawn for a page."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from backtest.report.panels import GRID, TICKS, Crosses, Level, Line, Panels, panels
from backtest.report.record import RunRecord


def figure(record: RunRecord) -> go.Figure:
    """A run: of one account with all of the venue's levels, of several over one another."""
    return drawn(panels(record))


def drawn(what: Panels) -> go.Figure:
    """The panels, one below the other over the same time."""
    picture = _two_panels(what)
    for line in what.money:
        _line(picture, 1, line)
    for line in what.ratios:
        _line(picture, 2, line, legend=line.label not in [other.label for other in what.money])
    for level, height in zip(what.levels, what.label_heights(0.07), strict=True):
        _level(picture, level, height)
    for marks in what.crosses:
        _crosses(picture, marks)
    return picture


def to_html(picture: go.Figure, script: bool | str = True) -> str:
    """A picture as a piece of a page, the same bytes every time; `script` puts the drawing library in the page."""
    name = f"plot-{crc32(str(picture.layout.title.text).encode()):x}"
    text: str = picture.to_html(full_html=False, include_plotlyjs=script, div_id=name)
    return text


def _two_panels(what: Panels) -> go.Figure:
    picture = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.58, 0.42], vertical_spacing=0.06)
    picture.update_layout(
        title={"text": what.title, "x": 0.01}, template="plotly_white", height=680, hovermode="x unified",
        margin={"l": 70, "r": 130, "t": 60, "b": 40},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "right", "x": 1.0},
    )  # fmt: skip
    picture.update_yaxes(title_text="USD", tickformat="~s", gridcolor=GRID, row=1, col=1)
    picture.update_yaxes(
        title_text="margin ratio", type="log", range=list(np.log10(what.ratio_range)), tickvals=list(TICKS),
        ticktext=list(TICKS.values()), gridcolor=GRID, row=2, col=1,
    )  # fmt: skip
    return picture


def _line(picture: go.Figure, row: int, line: Line, legend: bool = True) -> None:
    trace = go.Scatter(
        x=line.times, y=line.values, name=line.label, mode="lines", line={"color": line.ink, "width": line.width},
        showlegend=legend, legendgroup=line.label,
    )  # fmt: skip
    picture.add_trace(trace, row=row, col=1)


def _level(picture: go.Figure, level: Level, height: float) -> None:
    dash = "solid" if level.liquidates else "dot"
    picture.add_hline(y=level.ratio, row=2, col=1, line={"color": level.ink, "width": 1, "dash": dash})
    picture.add_annotation(
        text=level.words, x=1.0, xref="x2 domain", xanchor="left", y=np.log10(height), yref="y2", showarrow=False,
        font={"size": 11, "color": level.ink},
    )  # fmt: skip


def _crosses(picture: go.Figure, marks: Crosses) -> None:
    """The legend names those of the only line; those of several have their line's colour."""
    trace = go.Scatter(
        x=marks.times, y=marks.values, mode="markers", marker={"symbol": "x", "size": 9, "color": marks.ink},
        name=f"{marks.label} liquidation".strip().capitalize(), showlegend=not marks.label, legendgroup=marks.label,
        text=marks.rungs, hovertemplate="%{text}: %{y:,.0f}",
    )  # fmt: skip
    picture.add_trace(trace, row=1, col=1)
