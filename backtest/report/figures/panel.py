"""A panel over the run's time, and panels one below the other over the same time.

A page shows each panel in a frame of its own, zoomed together; a notebook gets them stacked in one figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go

from backtest.report.ink import GRID, INK
from backtest.report.levels import apart_on_log

SMALL = 11


@dataclass(frozen=True)
class Panel:
    """One drawing over time: its traces, its vertical axis, the levels across it, and a sentence on how to read it.

    `levels`: (value, label, colour, dash).
    `keeps`: values that stay in view when a reader zooms in; `top`: the axis ends there.
    """

    key: str
    title: str
    says: str
    traces: Sequence[Any]
    axis: dict[str, Any] = field(default_factory=dict)
    levels: Sequence[tuple[float, str, str, str]] = ()
    keeps: Sequence[float] = ()
    top: float | None = None
    height: int = 210


def line(name: str, ink: str, times: Any, values: Any, unit: str = "USD", digits: int = 0, **more: Any) -> go.Scatter:
    """A line of a panel; `unit` and `digits` say how its values are told."""
    told = f"%{{y:,.{digits}{'%' if unit == '%' else 'f'}}}" + ("" if unit == "%" else f" {unit}")
    style = {"color": ink, "width": more.pop("width", 1.4), "dash": more.pop("dash", "solid")}
    shape, keyed = more.pop("shape", "linear"), more.pop("key", True)
    more.setdefault("hovertemplate", f"{plain(name)}: {told}<extra></extra>")
    return go.Scatter(
        x=times, y=values, name=name, mode="lines", line={**style, "shape": shape}, connectgaps=False,
        meta={"unit": unit, "digits": digits, "key": keyed}, **more,
    )  # fmt: skip


def marks(name: str, ink: str, symbol: str, times: Any, values: Any, text: Sequence[str], **more: Any) -> go.Scatter:
    """Marks on a panel, each with its own words."""
    size, keyed = more.pop("size", 9), more.pop("key", True)
    return go.Scatter(
        x=times, y=values, name=name, mode="markers", text=list(text), hovertemplate="%{text}<extra></extra>",
        marker={"symbol": symbol, "size": size, "color": ink, "line": {"color": "rgba(255,255,255,.75)", "width": 1}},
        meta={"marks": True, "key": keyed}, **more,
    )  # fmt: skip


def stacked(panels: Sequence[Panel], title: str = "", template: str = "plotly_white") -> go.Figure:
    """The panels one below the other over one time axis, with the labels of their levels beside them. `template`: of
    plotly's looks; "none" for a page, which has its own, costs least.
    """
    tall = [panel.height for panel in panels]
    gap = 34.0 / (sum(tall) + 34.0 * len(tall))
    room = 1.0 - gap * (len(panels) - 1)
    traces: list[Any] = []
    layout: dict[str, Any] = {"shapes": [], "annotations": []}
    top = 1.0
    for number, panel in enumerate(panels, start=1):
        bottom = max(0.0, top - room * panel.height / sum(tall))
        traces += _placed(panel, number)
        _add(layout, panel, number, (bottom, top), alone=len(panels) == 1)
        top = bottom - gap
    layout |= {
        "title": {"text": plain(title), "x": 0.01} if title else None, "template": template, "hovermode": "x unified",
        "hoversubplots": "axis", "height": sum(tall) + 34 * len(tall) + (90 if title else 40), "dragmode": "zoom",
        "margin": {"l": 64, "r": 110, "t": 70 if title else 10, "b": 34},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "right", "x": 1.0},
        "xaxis": {"type": "date", "anchor": f"y{len(panels)}" if len(panels) > 1 else "y", "gridcolor": GRID},
    }  # fmt: skip
    return go.Figure(traces, layout)


def _placed(panel: Panel, number: int) -> list[Any]:
    """The panel's traces on its own vertical axis."""
    own = {"xaxis": "x", "yaxis": "y" if number == 1 else f"y{number}"}
    return [type(trace)({**trace.to_plotly_json(), **own}) for trace in panel.traces]


def _add(layout: dict[str, Any], panel: Panel, number: int, domain: tuple[float, float], alone: bool) -> None:
    """One panel's vertical axis and levels; the label of an axis is the panel's title."""
    name = "" if number == 1 else str(number)
    label = {} if alone else {"title": {"text": panel.title, "font": {"size": SMALL}}}
    axis = {"domain": list(domain), "anchor": "x", "gridcolor": GRID, "zeroline": False, **label, **panel.axis}
    layout[f"yaxis{name}"] = axis
    log = panel.axis.get("type") == "log"
    for (value, words, ink, dash), height in zip(panel.levels, label_heights(panel), strict=True):
        layout["shapes"].append({
            "type": "line", "x0": 0, "x1": 1, "xref": "x domain", "y0": value, "y1": value, "yref": f"y{name}",
            "name": "level", "line": {"color": ink, "width": 1, "dash": dash},
        })  # fmt: skip
        layout["annotations"].append({
            "text": words, "x": 1.0, "xref": "x domain", "xanchor": "left", "yref": f"y{name}", "showarrow": False,
            "y": float(np.log10(height)) if log else height, "font": {"size": SMALL, "color": ink}, "name": "level",
        })  # fmt: skip


def label_heights(panel: Panel, apart: float = 0.09) -> list[float]:
    """Where each level's words stand, in the levels' order: on a log axis none nearer to the next than this share."""
    reach = panel.axis.get("range")
    if panel.axis.get("type") != "log" or reach is None:
        return [value for value, *_ in panel.levels]
    return apart_on_log([value for value, *_ in panel.levels], apart * (reach[1] - reach[0]))


def plain(text: str) -> str:
    """Text that is drawn as it stands: the drawing library reads tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def level_line(value: float, words: str, liquidates: bool) -> tuple[float, str, str, str]:
    """A level of the venue's, red where it liquidates."""
    return (value, words, INK["level"] if liquidates else INK["other"], "solid" if liquidates else "dot")
