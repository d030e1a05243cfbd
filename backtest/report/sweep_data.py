"""What the script of a sweep's page draws and tells from: the rows of all points, packed small."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from backtest.report.better import way
from backtest.report.figures.panel import plain
from backtest.report.figures.sweep import MOST_LINES, SCALES, figures_beside, ticks
from backtest.report.html import words
from backtest.report.page import packed, typed
from backtest.report.points import OK, TEST, Ints, Points, drawn, short_names

MOST_NUMBERS = 400_000  # in one page: some two megabytes of it
MOST_EXACT = 150_000  # with all their digits
MOST_FAILED = 500


def rows_kept(points: Points, statistic: str) -> Ints:
    """Rows of the frame a page has room for: all, or the best, the worst and evenly those between, and test parts.

    InputError for what is no statistic, with the nearest.
    """
    frame = points.frame
    most = MOST_NUMBERS // max(1, sum(frame[name].nunique() > 1 for name in points.figures))
    if not len(points.lived()):
        return np.arange(min(len(frame), most))
    values = points.values(statistic)
    if len(frame) <= most:
        return np.arange(len(frame))
    at = frame.index.get_indexer(points.rows.index)
    chosen = [
        at[drawn(values, most)],
        np.flatnonzero((frame["status"] != OK).to_numpy())[:MOST_FAILED],
    ]
    if "part" in frame:
        chosen.append(np.flatnonzero((frame["part"] == TEST).to_numpy()))
    return np.unique(np.concatenate(chosen))


def packed_rows(points: Points, configs: Mapping[str, Any], kept: Ints, statistic: str, best: int) -> str:
    """The script element that holds the rows. `configs`: of all rows of the sweep, of which `kept` are here."""
    frame = points.frame
    exact = len(frame) * len(points.figures) <= MOST_EXACT
    aside = {"point", "window", "part", *points.figures, *points.settings}
    told = {
        "statistics": [
            {"shown": plain(name), "name": name, "way": way(name), "whole": _counted(frame[name])}
            for name in points.figures
        ],
        "figures": [
            typed(frame[name].to_numpy(np.float64, na_value=np.nan), "f8" if exact else "f4") for name in points.figures
        ],
        "texts": {str(name): _coded(words(each) for each in frame[name]) for name in frame if name not in aside},
        "settings": _settings(points),
        "moved": [points.settings.index(name) for name in points.moved],
        "beside": [points.figures.index(name) for name in figures_beside(points, statistic)],
        "tried": typed(points.rows.index.to_numpy(), "i4"),
        "point": typed(frame["point"].to_numpy(), "i4"),
        "window": typed(frame["window"].to_numpy(), "i4") if "window" in frame else None,
        "part": list(frame["part"]) if "part" in frame else None,
        "configs": {"text": configs["text"], "values": [
            {"words": each["words"], "at": typed(np.array(each["at"])[kept], "i4")} for each in configs["values"]]},
        "scales": {str(key): scale for key, scale in SCALES.items()},
        "best": best, "lines": MOST_LINES, "ok": OK,
    }  # fmt: skip
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f'<script type="text/plain" id="packed-rows">{packed(text)}</script>\n'


def _settings(points: Points) -> list[dict[str, Any]]:
    """Every setting as an axis, over the rows that were tried."""
    names, found = short_names(points.settings), []
    for name in points.settings:
        axis = points.axis(name)
        said = ticks(axis, names)
        numbers = axis.values is not None and bool(np.isfinite(axis.values).all())
        found.append({
            "name": name, "shown": said["title"]["text"], "ticks": said["ticktext"], "places": typed(axis.places, "i4"),
            "values": typed(axis.values) if axis.values is not None and numbers else None, "grouped": axis.grouped,
        })  # fmt: skip
    return found


def _counted(column: pd.Series) -> bool:
    """Whether a figure counts things: its values are whole numbers."""
    values = column.to_numpy(np.float64, na_value=np.nan)
    values = values[np.isfinite(values)]
    return bool((values == np.round(values)).all())


def _coded(texts: Iterable[str]) -> dict[str, Any]:
    """Texts as the distinct ones and, a row each, which of them."""
    places: dict[str, int] = {}
    at = [places.setdefault(text, len(places)) for text in texts]
    return {"words": list(places), "at": typed(np.array(at), "i4")}
