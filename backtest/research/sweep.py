"""Many points of one run: a strategy's, an account's or a venue's settings tried one after another or side by side.

The market is read once. Every point is a run like any other, on an account of its own; what became of it is one row of
a frame: its settings, its figures or why there are none. Rows are written as they come, so that a sweep which was
stopped goes on where it was; and they are the same whoever lived them, in whatever order.

The best of many points is the best on this span: `best` says of how many. `[sweep.split]` judges it on another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from backtest.config import RunConfig, load_config
from backtest.config.sweep import Sweep
from backtest.config.types import duration_us
from backtest.errors import InputError, nearest
from backtest.kernel import source_digest
from backtest.report.manifest import versions
from backtest.report.points import OK, REFUSED, TEST, TRAIN
from backtest.research.cluster import need_ray, ray_rows
from backtest.research.histories import Histories
from backtest.research.kept import Kept, opened, write_journal, write_table
from backtest.research.points import Base, check_points, paths_of, points_of, source_digests, strategies_of
from backtest.research.streaming import is_streamed
from backtest.research.sweep_result import SweepResult
from backtest.research.table import PointTable, frame_table
from backtest.research.trials import Row, Task, Trials
from backtest.research.walk_forward import check_split, chosen, window_frame, windows_of
from backtest.research.workers import local_rows

if TYPE_CHECKING:
    from backtest.market.history import History

Progress = Callable[[int, int], None]
ENGINES = ("local", "ray")
FIRST_HERE = 8  # points at most that are lived here before the workers', until one was lived to its end


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
    if engine == "ray":
        need_ray()
    elif address is not None:
        raise InputError(f"address = {address!r} is of a ray cluster; write engine = 'ray', or leave it out")
    if is_streamed(loaded) and (workers > 1 or engine == "ray"):
        raise InputError(
            f"[data] stream = {loaded.data.stream!r}: files of one history are no two processes' to write; "
            "sweep with workers = 1 on this machine, or leave stream out"
        )
    job = _Job(loaded, loaded.sweep, Histories(data), workers, engine, address, progress)
    with job.folder(out) as kept:
        job.live(job.tasks, job.refused, kept)
        if loaded.sweep.split is not None:
            picks = chosen(job.table.shown(kept.whole()), job.windows, loaded.sweep.split)
            job.live(*job.planned([job.task(number, TEST, point) for number, point in picks.items()]), kept)
        return job.result(kept, None if out is None else Path(out))


class _Job:
    """One sweep while it goes on. InputError for settings that are none, and where not one point can be run."""

    def __init__(
        self,
        config: RunConfig,
        swept: Sweep,
        histories: Histories,
        workers: int,
        engine: str,
        address: str | None,
        progress: Progress | None,
    ) -> None:
        self.config, self.swept, self.histories = config, swept, histories
        self.workers, self.engine, self.address, self.progress = workers, engine, address, progress
        self.points = points_of(swept)
        self.paths, self.base = paths_of(self.points), Base(config)
        check_points(self.points, config)
        self.windows = [] if swept.split is None else windows_of(swept.split, config.data)
        if swept.split is not None:
            check_split(self.paths)
        self.table = PointTable(self.points, self.paths, config.resolved(), bool(self.windows))
        self.many = len(self.points) * len(self.windows) + len(self.windows) if self.windows else len(self.points)
        self.tasks, self.refused = self.planned(self._first())
        if not self.tasks:
            raise InputError(f"sweep: no point can be run; the first: {self.refused[0].error}")

    def task(self, window: int, part: str, point: int) -> Task:
        """A point in a window, with the span that the window sets."""
        span = self.windows[window].span_of(part) if part else {}
        return Task(window, part, point, {**self.points[point], **span})

    def _first(self) -> Iterator[Task]:
        """What is lived before anything can be chosen."""
        places = [(window, TRAIN) for window in range(len(self.windows))] or [(0, "")]
        return (self.task(window, part, k) for window, part in places for k in range(len(self.points)))

    def planned(self, tasks: Iterable[Task]) -> tuple[list[Task], list[Row]]:
        """Tasks with the keys of their histories, which are read here; a row for each that is no run."""
        kept: list[Task] = []
        refused: list[Row] = []
        for task in tasks:
            try:
                kept.append(replace(task, history=self.histories.key_of(self.base.at(task.values))))
            except InputError as error:
                refused.append(Row(task.place, REFUSED, str(error)))
        return kept, refused

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
        return {
            "name": self.config.name,
            "config": self.config.resolved(),
            "sweep": self.swept.model_dump(mode="json", by_alias=True),
            "trials": len(self.points),
            "data": {" ".join(list(row.values())[:3]): row["sha256"] for row in self._files},
            "strategies": source_digests(strategies_of(self.points, self.config)),
            "versions": {**versions(), "kernels": source_digest()},
            "result": None,
        }

    @cached_property
    def _files(self) -> list[dict[str, str]]:
        """The data that the points are lived on; that of test windows is the same, cut otherwise."""
        return self.histories.files()

    def live(self, tasks: Sequence[Task], refused: Sequence[Row], kept: Kept) -> None:
        """Live the tasks that have no row yet."""
        done = kept.done
        left = [task for task in tasks if task.place not in done]
        count, checked = len(done), False
        for row in chain((row for row in refused if row.place not in done), self._rows(left)):
            if row.status == OK and not checked:
                self._check_statistic(row)
                checked = True
            kept.add(row)
            count += 1
            if self.progress is not None:
                self.progress(count, self.many)

    def _rows(self, tasks: Sequence[Task]) -> Iterator[Row]:
        """Rows as they come; where others live them the first one is lived here, so that they find all compiled."""
        trials = Trials(self.base, self.histories.prepared, self._every_us)
        alone, lived = self.engine == "local" and self.workers == 1, 0
        for task in () if alone else tasks[:FIRST_HERE]:
            row, lived = trials.live(task), lived + 1
            yield row
            if row.status == OK:
                break
        if self.engine == "ray":
            yield from ray_rows(tasks[lived:], trials, self.workers, self.address)
        else:
            yield from local_rows(tasks[lived:], trials, self.workers)

    @property
    def _every_us(self) -> int:
        return duration_us(self.swept.curves) if self.swept.curves else 0

    def _check_statistic(self, row: Row) -> None:
        """InputError for a statistic to choose by that a run has not, before all points were lived for it."""
        split = self.swept.split
        numbers = [label for label, value in row.figures.items() if isinstance(value, int | float)]
        if split is not None and split.statistic not in numbers:
            raise InputError(f"sweep.split.statistic = {split.statistic!r}: {nearest(split.statistic, numbers)}")

    def result(self, kept: Kept, folder: Path | None) -> SweepResult:
        """The rows as frames; in a folder also points.parquet and windows.parquet."""
        whole = self.table.trimmed(kept.whole())
        frame: pd.DataFrame = whole.to_pandas()
        windows = None
        if self.swept.split is not None:
            windows = window_frame(frame, self.windows, self.swept.split, self.paths, len(self.points))
        if folder is not None:
            write_table(whole, folder / "points.parquet")
            if windows is not None:
                write_table(frame_table(windows), folder / "windows.parquet")
            counted = {str(status): int(many) for status, many in frame["status"].value_counts().items()}
            write_journal(folder, {**self.journal(), "result": counted})
        return SweepResult(
            self.config.name, frame, windows, kept.curves(), len(self.points), self.paths, folder,
            self.config.resolved(), self.swept,
        )  # fmt: skip
