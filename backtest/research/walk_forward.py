"""Chosen on the past, judged on what came after: the windows of a split, and the point that each of them chooses.

A point that was best on a span says little of the next one: it was chosen for what happened there. In each window all
points are lived on `train`, the best of them once more on `test`, which begins where `train` ends, with a fresh account
and without any memory of before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from backtest.config import Data
from backtest.config.sweep import CENTURY_DAYS, Split
from backtest.config.types import duration_us, in_words
from backtest.errors import InputError, nearest
from backtest.report.better import way
from backtest.report.points import OK, TEST, TRAIN, traded
from backtest.research.points import Point

SPAN_PATHS = ("data.start", "data.end")


@dataclass(frozen=True)
class Window:
    """One split: bars that open in [start, middle) choose, those in [middle, end) judge. Times in UTC."""

    start: datetime
    middle: datetime
    end: datetime

    def span_of(self, part: str) -> Point:
        """The settings that make a run one of its parts."""
        first, last = (self.start, self.middle) if part == TRAIN else (self.middle, self.end)
        return {"data.start": first, "data.end": last}


def windows_of(split: Split, data: Data) -> list[Window]:
    """Every window that fits into the data. InputError where none does."""
    train = _length(split.train)
    rest = data.end - data.start - train
    test = _length(split.test) if split.test else rest
    if rest <= timedelta(0) or test > rest:
        raise InputError(
            f"sweep.split: train = {split.train!r}{f' and test = {split.test!r}' if split.test else ''} do not fit "
            f"into the data, {in_words(data.start)} to {in_words(data.end)}; shorten them"
        )
    step = _length(split.step) if split.step else test
    many = 1 if split.kind == "holdout" else (rest - test) // step + 1
    starts = [data.start + k * step for k in range(many)]
    return [Window(start, start + train, start + train + test) for start in starts]


def _length(text: str) -> timedelta:
    return timedelta(microseconds=duration_us(text, CENTURY_DAYS))


def check_split(paths: Sequence[str]) -> None:
    """InputError where points move the very span that is split."""
    for path in paths:
        if path in SPAN_PATHS:
            raise InputError(
                f"sweep: {path!r} cannot be tried with [sweep.split], which sets it; leave one of them out"
            )


def takes_lowest(split: Split) -> bool:
    """Whether the lowest value of the split's statistic is the best."""
    return split.choose == "lowest" if split.choose is not None else way(split.statistic) < 0


def best_row(rows: pd.DataFrame, statistic: str, lowest: bool) -> pd.Series | None:
    """The row with the highest (or lowest) value of a statistic, of those that traded; of equal ones the first; None
    where none has any.

    InputError, with the nearest, for what is no statistic or no number.
    """
    lived = traded(rows[rows["status"] == OK])
    if lived.empty:
        return None
    numbers = [name for name in rows.columns if pd.api.types.is_numeric_dtype(rows[name])]
    if statistic not in numbers:
        raise InputError(f"no statistic {statistic!r} to choose by; {nearest(statistic, numbers)}")
    values = lived[statistic].astype(float)
    values = values[values.notna()]
    if values.empty:
        return None
    return rows.loc[values.idxmin() if lowest else values.idxmax()]


def chosen(rows: pd.DataFrame, windows: Sequence[Window], split: Split) -> dict[int, int]:
    """Point by window, for windows with a point that could be lived."""
    found = {}
    for number in range(len(windows)):
        best = best_row(_part(rows, number, TRAIN), split.statistic, takes_lowest(split))
        if best is not None:
            found[number] = int(best["point"])
    return found


def window_frame(
    rows: pd.DataFrame, windows: Sequence[Window], split: Split, paths: Sequence[str], trials: int
) -> pd.DataFrame:
    """A row a window: its times, the point chosen with its settings, the statistic in and out of sample, and of how
    many trials it was the best.
    """
    picks, lines = chosen(rows, windows, split), []
    for number, window in enumerate(windows):
        line: dict[str, Any] = {
            "window": number,
            "train_start": pd.Timestamp(window.start),
            "test_start": pd.Timestamp(window.middle),
            "test_end": pd.Timestamp(window.end),
            "point": picks.get(number),
        }
        inside, outside = (_row(_part(rows, number, part), picks.get(number)) for part in (TRAIN, TEST))
        line |= {path: None if inside is None else inside[path] for path in paths}
        line |= {
            "statistic": split.statistic,
            "in_sample": _value(inside, split),
            "out_of_sample": _value(outside, split),
        }
        line |= {"status": "no point" if outside is None else outside["status"], "trials": trials}
        lines.append(line)
    return pd.DataFrame(lines).astype({"point": "Int64"})


def _part(rows: pd.DataFrame, window: int, part: str) -> pd.DataFrame:
    return rows[(rows["window"] == window) & (rows["part"] == part)]


def _row(rows: pd.DataFrame, point: int | None) -> pd.Series | None:
    mine = rows[rows["point"] == point]
    return None if mine.empty else mine.iloc[0]


def _value(row: pd.Series | None, split: Split) -> float:
    return np.nan if row is None or row["status"] != OK else float(row[split.statistic])
