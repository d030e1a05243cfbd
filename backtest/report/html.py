"""Figures as people read them, in words and as a small table: for screens, notebooks and pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

LONGEST = 1e12  # from here on a number is told by its power of ten


def words(value: Any) -> str:
    """One figure as a reader wants it: thousands parted, four digits where small, times without seconds."""
    if value is None or value is pd.NaT:
        return "–"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, bool | np.bool_ | str):
        return str(value)
    if isinstance(value, int | np.integer):
        return f"{int(value):,}"
    if isinstance(value, float | np.floating):
        return _number(float(value))
    return str(value)


def _number(value: float) -> str:
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if abs(value) >= LONGEST:
        return f"{value:.3g}"  # a good day, told as a year
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= 0.01 else f"{value:.3g}"


def counted(many: int, what: str) -> str:
    """So many of something: `1 row`, `2 rows`."""
    return f"{many:,} {what}{'' if many == 1 else 's'}"


def figures_table(figures: pd.DataFrame) -> str:
    """Labels down the side, one column an account (or mode)."""
    head = "" if figures.shape[1] == 1 else _row("th", ["", *map(str, figures.columns)])
    rows = [_labelled(str(label), figures.loc[label].tolist()) for label in figures.index]
    return f"<table>{head}{''.join(rows)}</table>"


def frame_table(frame: pd.DataFrame) -> str:
    """A frame's rows under its columns, without its index; numbers and times as `words` has them."""
    rows = [
        "<tr>" + "".join(f"<td>{escape(words(value))}</td>" for value in values) + "</tr>"
        for values in frame.itertuples(index=False, name=None)
    ]
    return f"<table>{_row('th', [str(name) for name in frame.columns])}{''.join(rows)}</table>"


def _labelled(label: str, values: Sequence[Any]) -> str:
    cells = "".join(f'<td class="n">{escape(words(value))}</td>' for value in values)
    return f"<tr><th>{escape(label)}</th>{cells}</tr>"


def _row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
