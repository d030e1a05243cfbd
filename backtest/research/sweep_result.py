"""What a sweep found: its rows, the best of them and what that is worth, as frames, figures and a page.

A finished sweep's folder is read again by `load_sweep`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import ValidationError

from backtest.config.sweep import Sweep
from backtest.errors import InputError, in_a_line, nearest
from backtest.report.better import way
from backtest.report.files import read_json
from backtest.report.folder import SWEEP, cure_of, is_ours, write_page
from backtest.report.html import counted
from backtest.report.points import OK, TRAIN, Points, traded
from backtest.report.result import revived_config
from backtest.research.kept import JOURNAL, kept_curves
from backtest.research.point_config import packed_configs
from backtest.research.points import Point, paths_of, points_of
from backtest.research.table import PLACE, in_words
from backtest.research.walk_forward import best_row, takes_lowest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

AFRESH = "remove the folder and sweep again"
WINDOW = ("window", "train_start", "test_start", "test_end", "point", "statistic", "in_sample", "out_of_sample")
"""Columns of the windows that are read by name."""


@dataclass
class SweepResult:
    """What a sweep found. `points`: a row a point (with a split a row a window, part and point), with its settings,
    `status`, `error`, every figure, and the `seconds` it took; `windows`: a row a window of the split, None without
    one; `curves`: equity by point and time, where it was kept; `trials`: how many points there were to choose from;
    `config`: the run under all points, as plain values; `swept`: what was tried.
    """

    name: str
    points: pd.DataFrame
    windows: pd.DataFrame | None
    curves: pd.DataFrame
    trials: int
    settings: list[str]
    folder: Path | None
    config: dict[str, Any]
    swept: Sweep

    @property
    def lived(self) -> int:
        """How many rows have figures."""
        return int((self.points["status"] == OK).sum())

    @property
    def statistic(self) -> str:
        """What points are chosen by: the split's statistic, else Sharpe or, with several accounts, the first's."""
        if self.swept.split is not None:
            return self.swept.split.statistic
        found = [str(name) for name in self.points if str(name).startswith("Sharpe (")]
        return found[0] if found and "Sharpe" not in self.points else "Sharpe"

    def __repr__(self) -> str:
        return f"<SweepResult {self.name}: {self.lived} of {len(self.points)} rows lived, {self.trials} points>"

    def _repr_html_(self) -> str:
        from backtest.report.cells import sweep_cell

        return sweep_cell(self, words_of(self))

    def lowest_is_best(self, statistic: str) -> bool:
        """Whether less of a statistic is better: as the split says of its own, else of drawdowns, capital and such."""
        split = self.swept.split
        return takes_lowest(split) if split is not None and split.statistic == statistic else way(statistic) < 0

    def best(self, statistic: str = "Sharpe", lowest: bool | None = None) -> pd.Series:
        """The row with the best value of a statistic (with `lowest`, the lowest or the highest), and of how many
        `trials` it is the best.

        With a split, of all windows' train parts; `windows` says what became of each choice. InputError for what is no
        statistic, or where no point lived.
        """
        low = self.lowest_is_best(statistic) if lowest is None else lowest
        found = best_row(Points(self.points, self.settings).rows, statistic, low)
        if found is None:
            raise InputError(f"no point of {self.name!r} has a value of {statistic!r}; see `points` for the errors")
        return pd.concat([found, pd.Series({"trials": self.trials})])

    def table(self, index: str, columns: str, statistic: str) -> pd.DataFrame:
        """A statistic over two settings, for a heat map. InputError for what is no column of `points`."""
        for name in (index, columns, statistic):
            if name not in self.points:
                raise InputError(f"no column {name!r} in the points; {nearest(name, self.points.columns)}")
        return self.points.pivot_table(index=index, columns=columns, values=statistic, aggfunc="mean")

    def leaders(self, statistic: str = "Sharpe", many: int = 10) -> pd.DataFrame:
        """The rows with the best values of a statistic, of those that traded, the best first; none where no point
        lived.
        """
        if statistic not in self.points:
            return self.points.head(0)
        lived, low = traded(self.points[self.points["status"] == OK]), self.lowest_is_best(statistic)
        return lived.sort_values(statistic, ascending=low).head(many)

    def plot_heatmap(self, x: str, y: str | None = None, statistic: str | None = None) -> go.Figure:
        """Means of a statistic over the points of each pair of values of two settings; with a split, over the train
        parts of all windows. `y` None: over `x` alone. InputError for what was not tried or is no statistic.
        """
        from backtest.report.figures.sweep import heatmap_figure

        by = statistic or self.statistic
        return heatmap_figure(Points(self.points, self.settings), x, y, by, f"{self.name}: {by}")

    def plot_parallel(self, statistic: str | None = None, beside: Sequence[str] | None = None) -> go.Figure:
        """Every point as a line through its settings, a statistic (which colours it) and others `beside` it; with a
        split, the train parts of all windows. InputError for what is no statistic.
        """
        from backtest.report.figures.sweep import parallel_figure

        by = statistic or self.statistic
        return parallel_figure(Points(self.points, self.settings), by, beside, f"{self.name}: {by}")

    def report(self, path: str | Path | None = None, statistic: str | None = None, lowest: bool | None = None) -> Path:
        """Write the sweep's page, and say where it is. `path` None: report.html in the sweep's folder.

        `statistic`, `lowest`: what the best point is chosen by; None: as in the split, else by Sharpe, and of a
        statistic its better value.
        InputError where it cannot be written, or for what is no statistic.
        """
        from backtest.report.sweep_page import sweep_page

        if path is None and self.folder is None:
            raise InputError(f"the sweep {self.name!r} has no folder; name the page to write, such as 'report.html'")
        by = statistic or self.statistic
        low = self.lowest_is_best(by) if lowest is None else lowest
        page = sweep_page(self, words_of(self, by, low), by, low)
        return write_page(path or Path(str(self.folder)) / "report.html", page)

    def configs(self) -> dict[str, Any]:
        """The config of every row of `points` as TOML, packed as `packed_configs` says."""
        tried = json.loads(json.dumps(points_of(self.swept), default=_as_written))
        if self.windows is None:
            return packed_configs(self.config, [tried[k] for k in self.points["point"]], self.settings)
        spans = {int(row["window"]): row for row in self.windows.to_dict("records")}
        rows = [
            {**tried[point], **_span(spans[window], part)}
            for window, part, point in self.points[["window", "part", "point"]].itertuples(index=False, name=None)
        ]
        return packed_configs(self.config, rows, [*self.settings, "data.start", "data.end"])


def _as_written(value: Any) -> str:
    """What JSON has no word for, as a config would have it: times, and classes given as such."""
    return str(value.isoformat()) if hasattr(value, "isoformat") else in_words(value)


def _span(window: Any, part: str) -> Point:
    """The span of one part of a window, as a config has it."""
    first, last = ("train_start", "test_start") if part == TRAIN else ("test_start", "test_end")
    return {"data.start": window[first].isoformat(), "data.end": window[last].isoformat()}


def words_of(result: SweepResult, statistic: str | None = None, lowest: bool | None = None) -> str:
    """The sweep in a paragraph: how many points, which was best, what that is worth, and what became of the others."""
    statistic = statistic or result.statistic
    points = Points(result.points, result.settings)
    failed = result.points[result.points["status"] != OK]
    words = [f"{counted(result.trials, 'point')} tried."]
    ends = points.ends()
    if ends["liquidated"] or ends["undecided"]:
        of = counted(len(points.lived()), "row" if result.windows is not None else "point")
        words.append(f"Of {of} that ran, liquidated: {ends['liquidated']:,}; undecided: {ends['undecided']:,}.")
    idle = len(points.lived()) - len(traded(points.lived()))
    if idle:
        what = counted(idle, "row" if result.windows is not None else "point")
        words.append(f"Never filled anything, and left out of the choice: {what}.")
    if len(failed):
        words.append(
            f"Without figures: {counted(len(failed), 'row')}, the first: {failed['error'].iloc[0].rstrip('.')}."
        )
    if result.windows is not None:
        words.append(_of_windows(result.windows))
    elif len(failed) < len(result.points) and statistic in result.points:
        best = result.best(statistic, lowest)
        chosen_by = ", ".join(f"{name} = {_to_six(best[name])}" for name in result.settings)
        equal = int((traded(points.lived())[statistic] == best[statistic]).sum()) - 1
        alike = f" (no better than {counted(equal, 'other')})" if equal > 0 else ""
        words.append(
            f"Best by {statistic}: {best[statistic]:.2f} with {chosen_by}{alike}. It is the best of {result.trials:,} "
            "on the very span they were tried on; [sweep.split] judges it on another."
        )
    return " ".join(words)


def _of_windows(windows: pd.DataFrame) -> str:
    """What the windows' choices were worth, on average."""
    inside, outside = windows["in_sample"], windows["out_of_sample"]
    if inside.isna().all():
        return "In no window could a point be chosen."
    both = inside.notna() & outside.notna()
    words = f"Chosen in {inside.notna().sum()} of {len(windows)} windows by {windows['statistic'].iloc[0]}"
    if not both.any():
        return f"{words}; in none has the span after it a value."
    of = "" if both.all() else f" over the {both.sum()} that have both"
    return (
        f"{words}: {inside[both].mean():.2f} on the span they were chosen on, {outside[both].mean():.2f} on the span "
        f"after it, on average{of}."
    )


def _to_six(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def load_sweep(folder: str | Path) -> SweepResult:
    """A finished sweep. InputError where the folder is none, it was stopped before its end, or a file is damaged."""
    path = Path(folder)
    if not (path / JOURNAL).is_file():
        cure = cure_of(path, "name the folder that `sweep` printed")
        raise InputError(f"{path}: no sweep there (it has no {JOURNAL}); {cure}")
    if not is_ours(path, SWEEP):
        raise InputError(f"{path / JOURNAL}: is no journal of a sweep; name the folder that `sweep` printed")
    journal = read_json(path / JOURNAL)
    if journal.get("result") is None or not (path / "points.parquet").is_file():
        raise InputError(f"{path}: the sweep was stopped before its end; the command that began it goes on")
    try:
        swept = Sweep.model_validate(journal["sweep"])
        tried = points_of(swept)
        name, trials, config = str(journal["name"]), int(journal["trials"]), dict(journal["config"])
        revived_config(config)  # as good as told: the page names its parts
    except (ValidationError, KeyError, TypeError, ValueError) as error:
        kind = "" if isinstance(error, ValidationError | InputError) else f"{type(error).__name__}: "
        said = f"{kind}{in_a_line(error)}"
        raise InputError(f"{path / JOURNAL}: cannot be understood ({said}); {AFRESH}") from error
    settings, split = paths_of(tried), swept.split is not None
    points = _frame(path / "points.parquet", [*(PLACE if split else PLACE[2:]), "status", "error", *settings])
    windows = _frame(path / "windows.parquet", WINDOW).astype({"point": "Int64"}) if split else None
    strange = sorted(set(points["point"]) - set(range(len(tried))))
    if strange:
        raise InputError(f"{path / 'points.parquet'}: has a point {strange[0]} of {len(tried)}, from 0; {AFRESH}")
    return SweepResult(name, points, windows, kept_curves(path, split), trials, settings, path, config, swept)


def _frame(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A table of the sweep's. InputError where it is missing, no table, or lacks a column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found: pd.DataFrame = pq.read_table(path).to_pandas()
    except FileNotFoundError:
        raise InputError(f"{path}: is missing; {AFRESH}") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read ({in_a_line(error)}); {AFRESH}") from error
    missing = next((name for name in columns if name not in found), None)
    if missing is not None:
        raise InputError(f"{path}: has no column {missing!r}; {AFRESH}")
    return found
