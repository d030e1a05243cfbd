"""Result folders on disk: written aside, then put in place of the old one, and never in place of what is not ours."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backtest.errors import InputError
from backtest.report.record import FRAMES

RUN, COMPARISON, SWEEP = "run", "comparison", "sweep"
DERIVED = ("returns", "explain", "prices")
"""Frames beside those of the record: daily returns, the parts of the profit by bar, marks and indexes by bar."""
INDEX = {RUN: "manifest.json", COMPARISON: "comparison.json", SWEEP: "sweep.json"}
_KEYS = {
    RUN: ("accounts", "config", "versions"),
    COMPARISON: ("orders", "signals", "verdict"),
    SWEEP: ("config", "sweep", "trials", "versions"),
}
_COMMON = {"report.html", "picture.png", ".DS_Store"}  # the last is left by looking at the folder on a Mac
_FILES = {
    RUN: {*_COMMON, "manifest.json", "stats.json", *(f"{name}.parquet" for name in (*FRAMES, *DERIVED))},
    COMPARISON: {*_COMMON, "comparison.json"},
    SWEEP: {"sweep.json", "points.parquet", "windows.parquet", "points", "curves", "report.html", ".lock", ".DS_Store"},
}
PARTIAL, OLD = ".partial-", ".old-"  # in the names of what was being written, and replaced, when it was stopped
_LONGEST = 255  # bytes of a file name


def check_target(folder: str | Path, kind: str = RUN) -> Path:
    """Where a folder would be written, links followed. InputError where it cannot be, or would take what is not ours.

    Good to ask before a long run: nothing is written, and what is asked for again when the folder is.
    """
    if any(len(os.fsencode(part)) > _LONGEST for part in Path(folder).parts):
        raise InputError(f"{folder}: a name in it is longer than {_LONGEST} bytes; choose a shorter one with --out")
    try:
        target = Path(folder).resolve()
        there = target.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, a ring of links, a zero byte
        raise InputError(f"{folder}: cannot be a result folder ({_reason(error)}); choose another with --out") from None
    here = Path.cwd().resolve()
    if target == here or target in here.parents:
        raise InputError(f"{folder}: is the folder you are in, or holds it; choose one of its own with --out")
    if there:
        _check_ours(Path(folder), target, kind)
    _check_writable(Path(folder), target)
    return target


def _check_ours(named: Path, target: Path, kind: str) -> None:
    """Only a folder that was written here may go, and only with nothing else in it."""
    if not target.is_dir():
        raise InputError(f"{named}: is a file, not a folder; choose another with --out")
    try:
        if not any(target.iterdir()):
            return
        if not is_ours(target, kind):
            raise InputError(
                f"{named}: exists and is no {kind} folder of ours; choose another with --out, or remove it"
            )
        others = sorted(strangers(target, kind))
    except OSError as error:
        raise InputError(f"{named}: cannot be looked into ({_reason(error)}); choose another with --out") from None
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise InputError(
            f"{named}: holds what no {kind} wrote: {', '.join(others[:3])}{more}; move it away, or choose another "
            "folder with --out"
        )


def is_ours(folder: Path, kind: str) -> bool:
    """Whether a run or comparison of this program wrote the folder: by the keys of its index."""
    try:
        index: Any = json.loads((folder / INDEX[kind]).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(index, dict) or any(key not in index for key in _KEYS[kind]):
        return False
    return kind != RUN or (isinstance(index["versions"], dict) and "backtest" in index["versions"])


def kind_of(folder: Path) -> str | None:
    """Whether a run, a comparison or a sweep wrote the folder; None where none of them did."""
    return next((kind for kind in INDEX if is_ours(folder, kind)), None)


READERS = {RUN: "a run: load", COMPARISON: "a comparison: load_comparison", SWEEP: "a sweep: load_sweep"}


def cure_of(folder: Path, otherwise: str) -> str:
    """What to do about a folder that is not of the kind it was taken for: the function that reads it, if any does."""
    kind = kind_of(folder)
    return otherwise if kind is None else f"it is of {READERS[kind]} reads it"


def strangers(folder: Path, kind: str) -> Iterator[str]:
    """What lies in one of our folders and is not ours; a comparison holds a run's folder a mode."""
    for each in folder.iterdir():
        if kind == COMPARISON and each.is_dir() and not each.is_symlink() and is_ours(each, RUN):
            yield from (f"{each.name}/{name}" for name in strangers(each, RUN))
        elif kind == SWEEP and (PARTIAL in each.name or each.name in ("points", "curves")):
            continue  # parts, which the sweep that goes on reads or takes away
        elif each.name not in _FILES[kind] or each.is_dir():
            yield each.name


def _check_writable(named: Path, target: Path) -> None:
    """The folder, or the nearest one above it that exists, must take new files."""
    above = next(each for each in (target.parent, *target.parent.parents) if each.exists())
    for each in (above, target) if target.exists() else (above,):
        if not each.is_dir():
            raise InputError(f"{named}: {each} is a file, not a folder; choose another with --out")
        if not os.access(each, os.W_OK | os.X_OK):
            raise InputError(f"{named}: {each} may not be written to; choose another with --out")


@contextmanager
def written(folder: str | Path, kind: str) -> Iterator[Path]:
    """A folder to write into, aside; it takes its place once all is written, and is gone if anything goes wrong."""
    target = check_target(folder, kind)
    aside = target.with_name(f".{target.name[:40]}{PARTIAL}{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        yield aside
        _swap(aside, target)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({_reason(error)}); choose another with --out") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _swap(aside: Path, target: Path) -> None:
    """Put the new folder in place of the old one; if that fails the old one is put back."""
    old = target.with_name(f".{target.name[:40]}{OLD}{os.getpid()}")
    try:
        if target.exists():
            os.replace(target, old)
        os.replace(aside, target)
    finally:
        if old.exists() and not target.exists():
            os.replace(old, target)
        shutil.rmtree(old, ignore_errors=True)


def write_page(path: str | Path, text: str) -> Path:
    """Write one page whole or not at all. InputError where it cannot be."""
    with written_file(path, "page", "report.html") as aside:
        aside.write_text(text, encoding="utf-8")
    return Path(path)


@contextmanager
def written_file(path: str | Path, what: str, such_as: str) -> Iterator[Path]:
    """A file to write into, aside; it takes its place once it is whole. InputError where it cannot be written."""
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{target}: is a folder; name the {what} to write, such as {target / such_as}")
    aside = target.with_name(f".{target.name[:40]}{PARTIAL}{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        os.replace(aside, target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({_reason(error)}); name another {what}") from error
    finally:
        if os.path.lexists(aside):
            aside.unlink()


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
