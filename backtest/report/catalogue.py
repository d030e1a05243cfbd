"""What was run before: every run, comparison and sweep under a folder, a row each, the newest last.

A row is read from the small files that a result begins with, so hundreds of them are listed at once. Where a result is
not whole - a file is missing or cut off, or it was stopped while it was written - its row says so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backtest.errors import InputError, in_a_line
from backtest.report.folder import (
    COMPARISON,
    DERIVED,
    INDEX,
    OLD,
    PARTIAL,
    RUN,
    SWEEP,
    is_ours,
)  # fmt: skip
from backtest.report.record import FRAMES

STATS, POINTS = "stats.json", "points.parquet"
PARQUET_ENDS = b"PAR1"


@dataclass(frozen=True)
class Entry:
    """One result. `folder`: below the one that was asked for; `start` and `end`: days, the end not in it; `modes`: its
    margin modes; `many`: accounts of a run, modes of a comparison, points of a sweep; `verdict`: what became of them in
    a word or two; `total_return`: percent, the least and the most of them; `lowest_ratio`: of all; both None where none
    is finite; `damaged`: what is wrong with it, and little else is known then.
    """

    folder: str
    kind: str
    written: datetime
    name: str = ""
    start: str = ""
    end: str = ""
    modes: list[str] = field(default_factory=list)
    many: int = 0
    verdict: str = ""
    total_return: tuple[float, float] | None = None
    lowest_ratio: float | None = None
    damaged: str | None = None


class Damaged(Exception):
    """What keeps a result from being read."""


def entries(folder: str | Path) -> list[Entry]:
    """Every result in a folder and in those under it, the newest last. InputError where there is no such folder."""
    root = Path(folder)
    if not root.is_dir():
        what = "is a file" if root.exists() else "there is no such folder"
        raise InputError(f"{root}: {what}; name a folder that holds results (a run writes into results/<name>)")
    found = [_entry(place, kind, _shown(place, root)) for place, kind in _places(root)]
    return sorted(found, key=lambda entry: (entry.written, entry.folder))


def _shown(place: Path, root: Path) -> str:
    return root.name or str(root) if place == root else str(place.relative_to(root))


def _places(root: Path) -> Iterator[tuple[Path, str]]:
    """Folders of results with their kinds; nothing is looked for inside of one, nor in hidden folders."""
    for here, names, files in os.walk(root):
        place = Path(here)
        kind = _kind(place, files)
        if kind is not None:
            yield place, kind
            names.clear()
        yield from ((place / name, RUN) for name in names if _left_over(name))
        names[:] = sorted(name for name in names if not name.startswith("."))


def _kind(place: Path, files: Iterable[str]) -> str | None:
    """What a folder holds, or held before it lost its first file; None where what is in it is not ours."""
    there = set(files)
    for kind, index in INDEX.items():
        if index in there:
            return kind if is_ours(place, kind) or not _is_json(place / index) else None
    return RUN if {STATS, "account.parquet"} <= there else None


def _left_over(name: str) -> bool:
    return name.startswith(".") and (PARTIAL in name or OLD in name)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _entry(place: Path, kind: str, shown: str) -> Entry:
    """The row of one folder."""
    try:
        if _left_over(place.name):
            raise Damaged("being written, or left over from a run that was stopped while it was")
        return _READERS[kind](place, shown)
    except Damaged as error:
        return Entry(shown, kind, _written(place), damaged=str(error))
    except OSError as error:
        where = Path(error.filename).name if error.filename else "a file of it"
        return Entry(shown, kind, _written(place), damaged=f"{where} cannot be read ({error.strerror})")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        words = f"{INDEX[kind]} cannot be understood ({type(error).__name__}: {error})"
        return Entry(shown, kind, _written(place), damaged=words)


def _written(place: Path, index: str = "") -> datetime:
    """When a result was written, by its first file; by its folder where that is gone."""
    path = place / index
    return datetime.fromtimestamp((path if path.exists() else place).stat().st_mtime, UTC)


def _run(place: Path, shown: str) -> Entry:
    journal, figures = _table(place / INDEX[RUN]), _table(place / STATS).get("figures")
    if not isinstance(figures, dict) or not all(isinstance(column, dict) for column in figures.values()):
        raise Damaged(f"{STATS} holds no figures by account")
    _check_frames(place, (*FRAMES, *DERIVED))
    return Entry(
        shown, RUN, _written(place, INDEX[RUN]), journal["name"], *_span(journal["config"]),
        [account["mode"] for account in journal["accounts"]], **_became(list(figures.values())),
    )  # fmt: skip


def _comparison(place: Path, shown: str) -> Entry:
    said = _table(place / INDEX[COMPARISON])
    modes = list(said["signals"])
    for mode in modes:
        if not is_ours(place / mode, RUN):
            raise Damaged(f"the run of {mode} is missing or cannot be read")
        _check_frames(place / mode, (*FRAMES, *DERIVED), f"{mode}/")
    config = _table(place / modes[0] / INDEX[RUN])["config"]
    became = _became(list(said["signals"].values()))
    return Entry(shown, COMPARISON, _written(place, INDEX[COMPARISON]), said["name"], *_span(config), modes, **became)


def _sweep(place: Path, shown: str) -> Entry:
    journal = _table(place / INDEX[SWEEP])
    modes = list(dict.fromkeys(account["margin"] for account in journal["config"]["account"]))
    told = Entry(
        shown, SWEEP, _written(place, INDEX[SWEEP]), journal["name"], *_span(journal["config"]), modes,
        journal["trials"], "not finished",
    )  # fmt: skip
    if journal.get("result") is None:
        return told
    _check_frames(place, ("points",))
    return Entry(**{**vars(told), **_points(place / POINTS, told.many)})


_READERS = {RUN: _run, COMPARISON: _comparison, SWEEP: _sweep}


def _points(path: Path, trials: int) -> dict[str, Any]:
    """What became of a sweep's points, in a split of its rows: a point has one in every window."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    labels = ("Survived", "Total Return [%]", "Lowest Margin Ratio")
    try:
        there = pq.read_schema(path).names
        if "status" not in there:
            raise Damaged(f"{path.name} has no column 'status'")
        rows = pq.read_table(path, columns=["status", *(label for label in labels if label in there)]).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise Damaged(f"{path.name} cannot be read ({in_a_line(error)})") from error
    lived = [row for row in rows if row["status"] == "ok"]
    became = _became(lived)
    failed = len(rows) - len(lived)
    verdict = became["verdict"] if len(rows) == trials else became["verdict"].replace(" survived", " rows survived")
    return {**became, "many": trials, "verdict": verdict + (f", {failed} failed" if failed else "")}


def _became(columns: list[dict[str, Any]]) -> dict[str, Any]:
    """Of figures by account, mode or point: how many survived, their returns from least to most, the lowest ratio."""
    returns, ratios = (_numbers(columns, label) for label in ("Total Return [%]", "Lowest Margin Ratio"))
    return {
        "many": len(columns),
        "verdict": _verdict([str(figures.get("Survived")) for figures in columns]),
        "total_return": (min(returns), max(returns)) if returns else None,
        "lowest_ratio": min(ratios, default=None),
    }


def _verdict(survived: list[str]) -> str:
    """In a word where there is one account; of several, how many lived."""
    lived = sum(word == "yes" for word in survived)
    if len(survived) != 1:
        return f"{lived} of {len(survived)} survived"
    return "survived" if lived else "undecided" if survived[0].startswith("undecided") else "liquidated"


def _numbers(columns: list[dict[str, Any]], label: str) -> list[float]:
    """One figure of all columns, where it is a finite number; saved figures hold others as words."""
    values = [figures.get(label) for figures in columns]
    return [float(value) for value in values if isinstance(value, int | float) and abs(value) < float("inf")]


def _span(config: dict[str, Any]) -> tuple[str, str]:
    """The days of a config."""
    return str(config["data"]["start"])[:10], str(config["data"]["end"])[:10]


def _table(path: Path) -> dict[str, Any]:
    try:
        said: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise Damaged(f"{path.name} {'cannot be read' if path.exists() else 'is missing'}") from None
    except ValueError:
        raise Damaged(f"{path.name} is cut off or no JSON") from None
    if not isinstance(said, dict):
        raise Damaged(f"{path.name} holds a {type(said).__name__}, not a table")
    return said


def _check_frames(place: Path, names: Iterable[str], before: str = "") -> None:
    """Every frame must be there to its end."""
    for name in names:
        path = place / f"{name}.parquet"
        if not path.is_file():
            raise Damaged(f"{before}{path.name} is missing")
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - len(PARQUET_ENDS)))
            if file.read() != PARQUET_ENDS:
                raise Damaged(f"{before}{path.name} is cut off")
