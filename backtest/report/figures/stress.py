"""Margin ratios over two moves as a heat map, one bar at a time, chosen with a slider."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from backtest.report.figures.panel import plain
from backtest.report.ink import INK
from backtest.report.stress import Stress, StressMap
from backtest.report.subject import Floats

LOW, HIGH = -0.7, 1.4  # decades below and above the level: 0.2 times it and 25 times it
SCALE = [
    [0.0, "#9c1f1a"], [-LOW / (HIGH - LOW) - 0.001, "#f2b9ae"], [-LOW / (HIGH - LOW), "#f3f1ea"],
    [0.55, "#bcd5ee"], [1.0, "#2862a8"],
]  # fmt: skip
TICKS = (0.2, 0.5, 1, 2, 5, 10, 25)


def stress_figure(stress: Stress, title: str = "") -> go.Figure:
    """A map a bar, the worst bar's seen first; red is at or below the level, and a dash needs no margin at all."""
    maps = [_map(stress, each, number == stress.worst) for number, each in enumerate(stress.maps)]
    picture = go.Figure(maps)
    steps = [
        {"method": "update", "label": f"{each.time:%Y-%m-%d}", "args": [
            {"visible": [k == number for k in range(len(maps))]}, {"title.text": f"{plain(title)}: {each.label}"}]}
        for number, each in enumerate(stress.maps)
    ]  # fmt: skip
    shown = f": {stress.maps[stress.worst].label}" if stress.maps else ""
    wide = 0.4 / max(1, len(stress.second_moves))
    half = (stress.second_moves[-1] - stress.second_moves[0]) * wide / 0.8 or 0.05
    picture.update_layout(
        title={"text": f"{plain(title)}{shown}", "x": 0.01, "font": {"size": 14}}, template="plotly_white", height=520,
        margin={"l": 74, "r": 20, "t": 60, "b": 60},
        xaxis={"title": {"text": f"move of {stress.second}"}, "tickvals": stress.second_moves.tolist(),
               "ticktext": _percent(stress.second_moves)},
        yaxis={"title": {"text": f"move of {stress.first}"}, "tickvals": stress.first_moves.tolist(),
               "ticktext": _percent(stress.first_moves)},
        shapes=[{"type": "rect", "x0": -half, "x1": half, "y0": -0.05, "y1": 0.05, "line": {"width": 2,
                 "color": INK["other"]}}],
        sliders=[{"active": stress.worst, "steps": steps, "pad": {"t": 46}}] if len(maps) > 1 else [],
    )  # fmt: skip
    return picture


def _map(stress: Stress, each: StressMap, seen: bool) -> go.Heatmap:
    words = np.vectorize(ratio_words, otypes=[object])(each.ratios)
    return go.Heatmap(
        z=decades(each), x=stress.second_moves, y=stress.first_moves, text=words, texttemplate="%{text}", zmin=LOW,
        zmax=HIGH, colorscale=SCALE, visible=seen, name=each.label, xgap=1, ygap=1, hoverongaps=False,
        colorbar={"title": {"text": "× level", "side": "top"}, "thickness": 12, "outlinewidth": 0,
                  "tickvals": [float(np.log10(tick)) for tick in TICKS], "ticktext": [f"{tick:g}" for tick in TICKS]},
        hovertemplate=f"{plain(stress.first)} %{{y:+.0%}}, {plain(stress.second)} %{{x:+.0%}}: ratio %{{text}}"
        "<extra></extra>",
    )  # fmt: skip


def decades(each: StressMap) -> Floats:
    """Ratios as powers of ten of the level, within the scale's ends; no requirement is a gap."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(each.ratios > 0.0, np.log10(each.ratios / each.level), LOW)
    return np.where(np.isfinite(each.ratios), np.clip(found, LOW, HIGH), np.nan)


def ratio_words(ratio: float) -> str:
    """A ratio in the room of a cell."""
    if not np.isfinite(ratio):
        return "–"
    if ratio < 0.0:
        return "< 0"
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"


def _percent(moves: Floats) -> list[str]:
    return [f"{move:+.0%}" if move else "0" for move in moves]
