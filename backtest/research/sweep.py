"""Many points of one run: a strategy's, an account's or a venue's settings tried one after another or side by side.

The market is read once. Every point is a run like any other, on an account of its own; what became of it is one row of
a frame: its settings, its figures or why there are none. Rows are written as they come, so that a sweep which was
stopped goes on where it was; and they are the same whoever lived them, in whatever order.

The best of many points is the best on this span: `best` says of how many. `[sweep.split]` judges it on another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from backtest.config import RunConfig, load_config
from backtest.config_types import duration_us
from backtest.errors import InputError, nearest
from backtest.report.manifest import versions
from backtest.research.histories import Histories
from backtest.research.kept import Kept, opened, write_journal, write_table
from backtest.research.points import Base, Point, check_points, paths_of, points_of
from backtest.research.table import PointTable
from backtest.research.trials import OK, REFUSED, TEST, TRAIN, Row, Task, Trials
from backtest.research.walk_forward import Window, best_row, check_split, chosen, window_frame, windows_of
from backtest.research.workers import local_rows

if TYPE_CHECKING:
    from backtest.market.history import History

Progress = Callable[[int, int], None]
ENGINES = ("local", "ray")


@dataclass
class SweepResult:
    """What a sweep found. `points`: a row a point (with a split a row a window, part and point), with its settings,
    `status`, `error`, every figure, and the `seconds` it took; `windows`: a row a window of the split, None without
    one; `curves`: equity by point and time, where it was kept; `trials`: how many points there were to choose from.
    """

    name: str
    points: pd.DataFrame
    windows: pd.DataFrame | None
    curves: pd.DataFrame
    trials: int
    settings: list[str]
    folder: Path | None = None

    def __repr__(self) -> str:
        lived = int((self.points["status"] == OK).sum())
        return f"<SweepResult {self.name}: {lived} of {len(self.points)} rows lived, {self.trials} points>"

    def _repr_html_(self) -> str:
        shown = [*self.settings, "status", "Total Return [%]", "Sharpe", "Max Drawdown [%]", "Lowest Margin Ratio"]
        rows = self.points[[name for name in shown if name in self.points]]
        return str(rows.to_html(max_rows=40))

    def best(self, statistic: str = "Sharpe", lowest: bool = False) -> pd.Series:
        """The row with the highest (or lowest) value of a statistic, and of how many `trials` it is the best.

        With a split, of all windows' train parts; `windows` says what became of each choice. InputError for what is no
        statistic, or where no point lived.
        """
        rows = self.points if self.windows is None else self.points[self.points["part"] == TRAIN]
        found = best_row(rows, statistic, lowest)
        if found is None:
            raise InputError(f"no point of {self.name!r} has a value of {statistic!r}; see `points` for the errors")
        return pd.concat([found, pd.Series({"trials": self.trials})])

    def table(self, index: str, columns: str, statistic: str) -> pd.DataFrame:
        """A statistic over two settings, for a heat map. InputError for what is no column of `points`."""
        for name in (index, columns, statistic):
            if name not in self.points:
                raise InputError(f"no column {name!r} in the points; {nearest(name, self.points.columns)}")
        return self.points.pivot_table(index=index, columns=columns, values=statistic, aggfunc="mean")

    def summary(self, statistic: str = "Sharpe") -> pd.DataFrame:
        """The best points by a statistic, ten at most, as figures: one column a point."""
        if statistic not in self.points:
            return pd.DataFrame()
        rows = self.points[self.points["status"] == OK].sort_values(statistic, ascending=False).head(10)
        return rows.set_index("point").T


def sweep(
    config: str | Path | Mapping[str, Any] | RunConfig,
    *,
    out: str | Path | None = None,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    data: History | None = None,
    progress: Progress | None = None,
) -> SweepResult:
    """Live every point of a config's `[sweep]`.

    `out`: a folder for the rows; an interrupted sweep goes on from what lies there, a finished one is read. `workers`:
    processes side by side. `engine`: "local", or "ray" on a cluster at `address` (None: one of this machine's own).
    `data`: a history already aligned, instead of the config's store. `progress(done, of)` after every row.
    InputError for anything wrong in the config, or where `out` holds the rows of something else. What is wrong with one
    point is in its row.
    """
    loaded = load_config(config)
    if loaded.sweep is None:
        raise InputError(
            f"{loaded.name}: nothing to try; add [sweep.grid], [[sweep.list]] or [sweep.random] to the config"
        )
    if engine not in ENGINES:
        raise InputError(f"engine = {engine!r}; {nearest(engine, ENGINES)}")
    if workers < 1:
        raise InputError(f"workers = {workers}; write 1 or more")
    points, split = points_of(loaded.sweep), loaded.sweep.split
    check_points(points, loaded)
    windows = [] if split is None else windows_of(split, loaded.data)
    if split is not None:
        check_split(paths_of(points))
    job = _Job(loaded, points, windows, Histories(data), workers, engine, address, progress)
    with job.folder(out) as kept:
        job.live(job.tasks(), kept)
        if split is not None:
            picks = chosen(job.table.shown(kept.whole()), windows, split)
            job.live([job.task(number, TEST, point) for number, point in picks.items()], kept)
        return job.result(kept, None if out is None else Path(out))


class _Job:
    """One sweep while it goes on."""

    def __init__(
        self,
        config: RunConfig,
        points: list[Point],
        windows: Sequence[Window],
        histories: Histories,
        workers: int,
        engine: str,
        address: str | None,
        progress: Progress | None,
    ) -> None:
        self.config, self.points, self.windows, self.histories = config, points, windows, histories
        self.workers, self.engine, self.address, self.progress = workers, engine, address, progress
        self.paths, self.base = paths_of(points), Base(config)
        self.table = PointTable(points, self.paths, config.resolved(), bool(windows))
        self.many = len(points) * len(windows) + len(windows) if windows else len(points)
        self._refused: list[Row] = []

    def task(self, window: int, part: str, point: int) -> Task:
        """A point in a window, with the span that the window sets."""
        span = self.windows[window].span_of(part) if part else {}
        return Task(window, part, point, {**self.points[point], **span})

    def tasks(self) -> list[Task]:
        """What is lived before anything can be chosen."""
        numbers = range(len(self.points))
        if not self.windows:
            return [self.task(0, "", k) for k in numbers]
        return [self.task(window, TRAIN, k) for window in range(len(self.windows)) for k in numbers]

    @contextmanager
    def folder(self, out: str | Path | None) -> Iterator[Kept]:
        """Where rows are kept; what was lived is written whatever ends the sweep."""
        place = nullcontext(None) if out is None else opened(Path(out), self.journal())
        with place as folder:
            kept = Kept(self.table, folder)
            try:
                yield kept
            finally:
                kept.flush()

    def journal(self) -> dict[str, Any]:
        """What is swept, on which inputs; another sweep's rows are told apart by it."""
        assert self.config.sweep is not None
        for task in self.tasks():
            self._place(task)
        return {
            "name": self.config.name,
            "config": self.config.resolved(),
            "sweep": self.config.sweep.model_dump(mode="json", by_alias=True),
            "trials": len(self.points),
            "inputs": self.histories.files(),
            "versions": versions(),
            "result": None,
        }

    def live(self, tasks: Sequence[Task], kept: Kept) -> None:
        """Live the tasks that have no row yet; the first one here, so that workers find everything compiled."""
        done = kept.done
        placed = [each for each in map(self._place, (task for task in tasks if task.place not in done)) if each]
        refused = [row for row in self._refused if row.place not in done]
        self._refused, count = [], len(done)
        every = duration_us(self.config.sweep.curves) if self.config.sweep and self.config.sweep.curves else 0
        trials = Trials(self.base, self.histories.prepared, every)
        for row in self._rows(placed, trials, refused):
            kept.add(row)
            count += 1
            if self.progress is not None:
                self.progress(count, self.many)

    def _rows(self, tasks: Sequence[Task], trials: Trials, refused: Sequence[Row]) -> Iterator[Row]:
        yield from refused
        if not tasks:
            return
        if self.engine == "ray":
            from backtest.research.cluster import ray_rows

            yield from ray_rows(tasks, trials, self.workers, self.address)
            return
        if self.workers > 1:
            yield trials.live(tasks[0])
            tasks = tasks[1:]
        yield from local_rows(tasks, trials, self.workers)

    def _place(self, task: Task) -> Task | None:
        """The task with the key of its history; None where it has none: then it is a refused row."""
        try:
            key = self.histories.key_of(self.base.at(task.values))
        except InputError as error:
            self._refused = [row for row in self._refused if row.place != task.place]
            self._refused.append(Row(task.place, REFUSED, str(error)))
            return None
        return Task(task.window, task.part, task.point, task.values, key)

    def result(self, kept: Kept, folder: Path | None) -> SweepResult:
        """The rows as frames; in a folder also points.parquet and windows.parquet."""
        whole = kept.whole()
        frame = self.table.shown(whole)
        windows = None
        if self.windows:
            split = self.config.sweep.split if self.config.sweep else None
            assert split is not None
            windows = window_frame(frame, self.windows, split, self.paths, len(self.points))
        if folder is not None:
            import pyarrow as pa

            write_table(whole, folder / "points.parquet")
            if windows is not None:
                write_table(pa.Table.from_pandas(windows, preserve_index=False), folder / "windows.parquet")
            counted = {str(status): int(many) for status, many in frame["status"].value_counts().items()}
            write_journal(folder, {**self.journal(), "result": counted})
        return SweepResult(self.config.name, frame, windows, kept.curves(), len(self.points), self.paths, folder)


def words_of(result: SweepResult, statistic: str = "Sharpe") -> str:
    """The sweep in a paragraph: how many points, which was best, and what that is worth."""
    failed = result.points[result.points["status"] != OK]
    words = [f"{result.trials} points tried."]
    if len(failed):
        words.append(f"{len(failed)} rows have no figures, the first: {failed['error'].iloc[0]}")
    if result.windows is not None:
        inside, outside = result.windows["in_sample"].mean(), result.windows["out_of_sample"].mean()
        words.append(
            f"Chosen in {len(result.windows)} windows by {result.windows['statistic'].iloc[0]}: {inside:.2f} on the "
            f"span they were chosen on, {outside:.2f} on the span after it, on average."
        )
    elif len(failed) < len(result.points) and statistic in result.points:
        best = result.best(statistic)
        chosen_by = ", ".join(f"{name} = {best[name]}" for name in result.settings)
        words.append(
            f"Best by {statistic}: {best[statistic]:.2f} with {chosen_by}. It is the best of {result.trials} on the "
            "very span they were tried on; [sweep.split] judges it on another."
        )
    return " ".join(words)
