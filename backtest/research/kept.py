"""The rows of a sweep as they come: in memory, and in a folder from which an interrupted sweep goes on.

`<out>/sweep.json` says what is swept, and on which inputs, before the first point is lived. Rows follow as parts
(`points/part-00001.parquet`, equity in `curves` under the same number), each whole or absent: what a part holds is
done, what none holds is lived again. The last word is `points.parquet`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from backtest.errors import InputError, in_a_line
from backtest.report.differences import Difference, unequal
from backtest.report.folder import PARTIAL, SWEEP, check_target, written_file
from backtest.research.table import PLACE, PointTable, curve_table
from backtest.research.trials import Place, Row

JOURNAL = "sweep.json"
SHORTEST_S, LONGEST_S = 2.0, 60.0  # between two parts, a twentieth of the time so far in between
MOST_ROWS = 5_000
SAID = 6  # differences told, of more


class Kept:
    """Rows collected; with a folder, written there part by part, after those that lie there already."""

    def __init__(self, table: PointTable, folder: Path | None) -> None:
        self._table, self._folder = table, folder
        self._rows: list[Row] = []
        self._parts: list[pa.Table] = []
        self._curves: list[pa.Table] = []
        self._number = 0
        self._started = self._flushed = time.monotonic()
        if folder is not None:
            self._take_up(folder)

    def _take_up(self, folder: Path) -> None:
        """Read the parts that are there; curves without their points belong to rows that are not done."""
        for name in ("points", "curves"):
            (folder / name).mkdir(exist_ok=True)
        numbers = set()
        for path in sorted((folder / "points").glob("part-*.parquet")):
            self._parts.append(_part_of_points(path))
            numbers.add(path.name)
            self._number = int(path.stem.removeprefix("part-"))
        for path in (folder / "curves").glob("part-*.parquet"):
            if path.name not in numbers:
                path.unlink()
        for path in [*folder.glob(f".*{PARTIAL}*"), *folder.glob(f"*/.*{PARTIAL}*")]:
            path.unlink()

    @property
    def done(self) -> set[Place]:
        """Places of the rows that parts hold."""
        return {
            place for part in self._parts for place in zip(*(part[name].to_pylist() for name in PLACE), strict=True)
        }

    def add(self, row: Row) -> None:
        """Keep a row; from time to time the rows since the last part become one."""
        self._rows.append(row)
        now = time.monotonic()
        pause = min(max(SHORTEST_S, (now - self._started) / 20.0), LONGEST_S)
        if now - self._flushed >= pause or len(self._rows) >= MOST_ROWS:
            self.flush()

    def flush(self) -> None:
        """Make the rows since the last part one; curves first, so that no row is done without its own."""
        if not self._rows:
            return
        self._number += 1
        part, curves = self._table.of(self._rows), curve_table(self._rows)
        if self._folder is not None:
            if curves is not None:
                write_table(curves, self._folder / "curves" / f"part-{self._number:05d}.parquet")
            write_table(part, self._folder / "points" / f"part-{self._number:05d}.parquet")
        elif curves is not None:
            self._curves.append(curves)
        self._parts.append(part)
        self._rows, self._flushed = [], time.monotonic()

    def whole(self) -> pa.Table:
        """All rows as one table, sorted."""
        self.flush()
        return self._table.joined(self._parts)

    def curves(self) -> pd.DataFrame:
        """All equity kept, by window, part, point, account and time; empty where none was."""
        if self._folder is not None:
            return kept_curves(self._folder, self._table.split)
        return _sorted_curves(self._curves, self._table.split)


def kept_curves(folder: Path, split: bool) -> pd.DataFrame:
    """The equity that a sweep's folder holds; with a `split` its windows and parts are columns."""
    return _sorted_curves([_read_part(path) for path in sorted((folder / "curves").glob("part-*.parquet"))], split)


def _sorted_curves(tables: Sequence[pa.Table], split: bool) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame({name: [] for name in (*PLACE, "account", "time", "equity")})
    place = PLACE if split else PLACE[2:]
    whole = pa.concat_tables(tables).select([*place, "account", "time", "equity"])
    frame: pd.DataFrame = whole.to_pandas()
    return frame.sort_values([*place, "account", "time"], kind="stable", ignore_index=True)


def write_table(table: pa.Table, path: Path) -> None:
    """A table as Parquet, whole or absent. InputError where it cannot be written."""
    with written_file(path, "folder", path.name) as aside:
        pq.write_table(table, aside, compression="zstd")


def _read_part(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path}: cannot be read ({in_a_line(error)}); remove it, and its points are lived again"
        ) from error


def _part_of_points(path: Path) -> pa.Table:
    """A part of rows. InputError where it is none: by its name, or for lack of what says which points they are of."""
    if not path.stem.removeprefix("part-").isdecimal():
        raise InputError(f"{path}: a part is called part-00001.parquet, and so on; move this file elsewhere")
    part = _read_part(path)
    lacking = [name for name in PLACE if name not in part.column_names]
    if lacking:
        raise InputError(f"{path}: has no column {lacking[0]!r}; remove it, and its points are lived again")
    return part


@contextmanager
def opened(folder: Path, journal: Mapping[str, Any]) -> Iterator[Path]:
    """A sweep's folder, with its journal in it, that no other process writes to meanwhile.

    InputError where it is not ours, another sweep is at it, or it holds the rows of a sweep of something else: with
    what differs.
    """
    check_target(folder, SWEEP)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        path = folder / JOURNAL
        if path.exists():
            check_same(path, journal)
        else:
            write_journal(folder, journal)
        yield folder


def write_journal(folder: Path, journal: Mapping[str, Any]) -> None:
    """Write sweep.json."""
    with written_file(folder / JOURNAL, "folder", JOURNAL) as aside:
        aside.write_text(json.dumps(journal, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def check_same(path: Path, journal: Mapping[str, Any]) -> None:
    """InputError where the sweep whose rows lie there is not this one; `result` alone may differ."""
    there = json.loads(path.read_text(encoding="utf-8"))
    now = json.loads(json.dumps(journal))
    found = unequal({**there, "result": None}, {**now, "result": None})
    told = [_told(each) for each in found]
    if told:
        more = [f"and {len(told) - SAID} more"] if len(told) > SAID else []
        lines = "\n".join([*told[:SAID], *more])
        raise InputError(
            f"{path.parent}: holds the points of another sweep; remove it, or choose another folder with --out. "
            f"There, and now:\n{lines}"
        )


def _told(each: Difference) -> str:
    """What differs: the two values, and of a strategy's file that it is another one now."""
    if each.key.startswith("strategies.") and None not in (each.a, each.b):
        return f"the file of {each.key.removeprefix('strategies.')} has changed"
    return f"{each.key}: {_short(each.a)}, {_short(each.b)}"


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:117]}..."


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder to this process alone; the system lets go of the lock when the process ends, however it does."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of the process: its workers do not inherit it
        except OSError:
            raise InputError(f"{folder}: another sweep is writing there; wait for it, or choose --out") from None
        yield
