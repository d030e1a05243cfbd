"""The points of a sweep as a table: a row a point, its settings, what became of it, and every statistic."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from backtest.research.points import Point
from backtest.research.settings import value_at
from backtest.research.trials import Row

PLACE = ("window", "part", "point")
TIME = pa.timestamp("us", tz="UTC")


class PointTable:
    """Arrow tables of rows. The settings of all points are known from the start, so their columns never change kind."""

    def __init__(self, points: Sequence[Point], paths: Sequence[str], resolved: Mapping[str, Any], split: bool) -> None:
        """`resolved`: the sweep's own run, whose value stands where a point leaves a setting alone."""
        self.paths, self.split = list(paths), split
        usual = {path: value_at(resolved, path) for path in paths}
        self.settings = pa.table({path: column([p.get(path, usual[path]) for p in points]) for path in paths})

    def of(self, rows: Sequence[Row]) -> pa.Table:
        """Rows as a table, in the order given."""
        columns = {name: pa.array([row.place[k] for row in rows]) for k, name in enumerate(PLACE)}
        chosen = self.settings.take(columns["point"])
        columns |= {path: chosen[path].combine_chunks() for path in self.paths}
        columns |= {"status": pa.array([row.status for row in rows]), "error": pa.array([row.error for row in rows])}
        labels = list(dict.fromkeys(label for row in rows for label in row.figures))
        columns |= {label: column([row.figures.get(label) for row in rows]) for label in labels}
        columns["seconds"] = pa.array([row.seconds for row in rows], pa.float64())
        return pa.table(columns)

    def joined(self, parts: Sequence[pa.Table]) -> pa.Table:
        """All parts by window, part (train before test) and point: one table, whatever order they came in."""
        if not parts:
            return self.of([])
        whole = pa.concat_tables(parts, promote_options="permissive")
        lead = [*PLACE, *self.paths, "status", "error"]
        order = [*lead, *(name for name in whole.column_names if name not in (*lead, "seconds")), "seconds"]
        by = [("window", "ascending"), ("part", "descending"), ("point", "ascending")]
        return whole.select(order).sort_by(by).combine_chunks()

    def shown(self, whole: pa.Table) -> pd.DataFrame:
        """The table as a frame; without a split its columns of windows say nothing and are left out."""
        frame: pd.DataFrame = self.trimmed(whole).to_pandas()
        return frame

    def trimmed(self, whole: pa.Table) -> pa.Table:
        """The columns that are shown."""
        table = whole if self.split else whole.drop_columns(["window", "part"])
        return table.replace_schema_metadata(None)


def frame_table(frame: pd.DataFrame) -> pa.Table:
    """A frame as a table, times in microseconds."""
    return pa.table({name: column([None if each is pd.NA else each for each in frame[name]]) for name in frame})


def curve_table(rows: Sequence[Row]) -> pa.Table | None:
    """Equity kept of some rows, a row a close; None where none was."""
    pieces = [(row.place, *curve) for row in rows for curve in row.curves]
    if not pieces:
        return None
    many = [len(times) for _, _, times, _ in pieces]
    columns = {name: pa.array(np.repeat([place[k] for place, *_ in pieces], many)) for k, name in enumerate(PLACE)}
    columns["account"] = pa.array(np.repeat([account for _, account, *_ in pieces], many))
    columns["time"] = pa.array(np.concatenate([times for _, _, times, _ in pieces])).cast(TIME)
    columns["equity"] = pa.array(np.concatenate([equity for *_, equity in pieces]))
    return pa.table(columns)


def column(values: Sequence[Any]) -> pa.Array:
    """Values of one kind as a column; of several kinds, or of lists and tables, as words."""
    values = [None if value is pd.NaT else value for value in values]
    kinds = {_kind(value) for value in values if value is not None}
    if kinds <= {"whole", "number"} or len(kinds) == 1:
        kind = "number" if len(kinds) == 2 else next(iter(kinds), "none")
        if kind == "none":
            return pa.nulls(len(values))
        if kind != "words":
            return pa.array([None if v is None else _PLAIN[kind](v) for v in values], _TYPES[kind], from_pandas=False)
    return pa.array([None if value is None else in_words(value) for value in values], pa.string())


_TYPES = {"yes or no": pa.bool_(), "whole": pa.int64(), "number": pa.float64(), "time": TIME, "span": pa.duration("us")}
_PLAIN: dict[str, Any] = {
    "yes or no": bool,
    "whole": int,
    "number": float,
    "time": lambda value: value.value // 1000,  # told in nanoseconds
    "span": lambda value: value.value // 1000,
}


def _kind(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes or no"
    if isinstance(value, int | np.integer):
        return "whole"
    if isinstance(value, float | np.floating):
        return "number"
    if isinstance(value, pd.Timestamp):
        return "time"
    return "span" if isinstance(value, pd.Timedelta) else "words"


def in_words(value: Any) -> str:
    """A setting as text: lists and tables as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, type):
        return f"{value.__module__}:{value.__qualname__}"
    return json.dumps(value, default=str) if isinstance(value, list | dict) else str(value)
