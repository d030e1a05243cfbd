"""The points of a sweep as its page and figures look at them: settings as axes, figures as numbers, who lived.

A setting with few values has a place a value. One that was drawn from a range, with a value a point, is cut into
groups of about as many points each, so that a map of it says something.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.errors import InputError, nearest
from backtest.report.html import words

OK, FAILED, REFUSED = "ok", "failed", "refused"
"""What became of a point: it has figures, its strategy or the program failed, the rules or the config refused it."""
TRAIN, TEST = "train", "test"
"""Parts of a window: on the first points are chosen, on the second the choice is judged."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MOST_PLACES = 24  # of an axis; with more values they are grouped
GROUPS = 10
WINDOW, FILLS = "window", "Fills"


@dataclass(frozen=True)
class Axis:
    """A setting over the rows: the place of each row, the words of each place, its numbers where it has any."""

    name: str
    places: Ints
    labels: tuple[str, ...]
    grouped: bool
    values: Floats | None


class Points:
    """The rows a sweep chose among: all of one without a split, those on the train parts of one with windows."""

    def __init__(self, frame: pd.DataFrame, settings: Sequence[str]) -> None:
        """`frame`: a sweep's `points`; `settings`: the columns of it that were tried."""
        split = "part" in frame
        self.frame = frame
        self.rows = frame[frame["part"] == TRAIN] if split else frame
        self.settings = [*settings, *([WINDOW] if split and self.rows[WINDOW].nunique() > 1 else [])]
        self.tried = list(settings)

    @property
    def moved(self) -> list[str]:
        """Settings with more than one value; all of them where none has."""
        found = [name for name in self.settings if self.rows[name].nunique(dropna=False) > 1]
        return found or self.settings

    @cached_property
    def figures(self) -> list[str]:
        """Columns that are a number and no setting."""
        aside = {*self.settings, "point", WINDOW, "part", "status", "error"}
        return [name for name in self.frame if name not in aside and _numeric(self.frame[name])]

    def values(self, figure: str) -> Floats:
        """A figure of every row; NaN where the point has none. InputError for what is none, with the nearest."""
        if figure not in self.figures:
            raise InputError(f"no statistic {figure!r} in the points; {nearest(figure, self.figures)}")
        found: Floats = self.rows[figure].to_numpy(dtype=np.float64, na_value=np.nan)
        return found

    def axis(self, setting: str) -> Axis:
        """A setting as an axis. InputError for what was not tried, with the nearest."""
        if setting not in self.settings:
            raise InputError(f"{setting!r} was not tried; {nearest(setting, self.settings)}")
        column = self.rows[setting]
        if not _numeric(column):
            places, found = pd.factorize(column.map(_text))
            return Axis(setting, places.astype(np.int64), tuple(map(str, found)), False, None)
        values: Floats = column.to_numpy(dtype=np.float64, na_value=np.nan)
        distinct, places = np.unique(values, return_inverse=True)
        if len(distinct) <= MOST_PLACES:
            return Axis(setting, places.astype(np.int64), tuple(_short(each) for each in distinct), False, values)
        return _in_groups(setting, values)

    def lived(self) -> pd.DataFrame:
        """The rows with figures."""
        return self.rows[self.rows["status"] == OK]

    def ends(self) -> dict[str, int]:
        """How many rows ended how: survived, liquidated, undecided, failed, refused."""
        lived = self.lived()
        told = [lived[name].astype(str) for name in lived if name == "Survived" or str(name).startswith("Survived (")]
        dead = np.any([each.str.startswith("no") for each in told], axis=0) if told else np.zeros(len(lived), bool)
        open_ = np.any([each.str.startswith("undecided") for each in told], axis=0) & ~dead if told else dead
        status = self.rows["status"].value_counts()
        return {
            "survived": int((~dead & ~open_).sum()), "liquidated": int(dead.sum()), "undecided": int(open_.sum()),
            "failed": int(status.get(FAILED, 0)), "refused": int(status.get(REFUSED, 0)),
        }  # fmt: skip


def traded(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that filled anything: one that never did has the least drawdown and asks for no capital, and is no
    choice. All of them where none did.
    """
    fills = [name for name in rows if name == FILLS or str(name).startswith(f"{FILLS} (")]
    some = rows[fills].sum(axis=1) > 0
    return rows[some] if some.any() else rows


def cells(points: Points, x: Axis, y: Axis, figure: str) -> tuple[Floats, Ints]:
    """Mean of a figure over the rows of each cell [y, x], and of how many rows it is; NaN where there are none."""
    values = points.values(figure)
    has = ~np.isnan(values)
    shape, at = (len(y.labels), len(x.labels)), (y.places[has], x.places[has])
    sums, many = np.zeros(shape), np.zeros(shape, dtype=np.int64)
    np.add.at(sums, at, values[has])
    np.add.at(many, at, 1)
    with np.errstate(invalid="ignore"):
        return np.where(many > 0, sums / np.maximum(many, 1), np.nan), many


def drawn(values: Floats, most: int) -> Ints:
    """Rows to draw of many: the highest and lowest values and evenly those between; without a value none."""
    order = np.argsort(values, kind="stable")[: int((~np.isnan(values)).sum())]
    if len(order) <= most:
        return np.sort(order)
    return np.sort(order[np.linspace(0, len(order) - 1, most).round().astype(np.int64)])


def short_names(settings: Sequence[str]) -> dict[str, str]:
    """Paths by the fewest last words that tell them apart: `strategy.params.band` is `band`."""
    found = {}
    for path in settings:
        parts = path.split(".")
        tails = (".".join(parts[-many:]) for many in range(1, len(parts) + 1))
        others = [other for other in settings if other != path]
        found[path] = next((t for t in tails if not any(o == t or o.endswith(f".{t}") for o in others)), path)
    return found


def _in_groups(setting: str, values: Floats) -> Axis:
    """Groups of about as many rows, told by their least and greatest value; rows without one are the last."""
    edges = np.unique(np.nanquantile(values, np.linspace(0.0, 1.0, GROUPS + 1)))
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    places[np.isnan(values)] = len(edges) - 1
    _, places = np.unique(places, return_inverse=True)
    labels = []
    for group in range(int(places.max()) + 1):
        mine = values[places == group]
        labels.append("–" if np.isnan(mine).any() else f"{mine.min():.3g} to {mine.max():.3g}")
    return Axis(setting, places.astype(np.int64), tuple(labels), True, values)


def _numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _text(value: object) -> str:
    return "–" if value is None or value is pd.NA or value != value else words(value)


def _short(value: float) -> str:
    if np.isnan(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
