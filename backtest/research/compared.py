"""A saved comparison in the hand again: both tables, and the run behind every mode, from its folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from backtest.errors import InputError
from backtest.report.files import read_json, revived
from backtest.report.folder import COMPARISON, cure_of, is_ours
from backtest.report.result import load
from backtest.report.saved import AGAIN
from backtest.research.compare import Comparison

INDEX = "comparison.json"


def load_comparison(folder: str | Path) -> Comparison:
    """A saved comparison; the replay behind its `orders` is not saved, and None.

    InputError where the folder is none, lacks a mode's run, or has a file that cannot be read.
    """
    path = Path(folder)
    if not (path / INDEX).is_file():
        cure = cure_of(path, "name the folder that `compare` printed")
        raise InputError(f"{path}: no comparison there (it has no {INDEX}); {cure}")
    said = read_json(path / INDEX)
    if not is_ours(path, COMPARISON):
        raise InputError(f"{path / INDEX}: is no comparison's; name the folder that `compare` printed")
    try:
        orders, signals = (_table(said[name]) for name in ("orders", "signals"))
        name, verdict, notes = str(said["name"]), str(said["verdict"]), [str(note) for note in said["notes"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path / INDEX}: cannot be understood ({error}); {AGAIN}") from error
    return Comparison(name, orders, signals, verdict, notes, None, {mode: load(path / mode) for mode in signals})


def _table(columns: dict[str, dict[str, object]]) -> pd.DataFrame:
    """A column a mode, as it was."""
    return pd.DataFrame({mode: revived(column) for mode, column in columns.items()})


def write_pages(folder: str | Path) -> Path:
    """Write the pages of a saved comparison again, its own and every mode's, and say where the first is."""
    comparison = load_comparison(folder)
    for mode, result in comparison.runs.items():
        result.report(Path(folder) / mode / "report.html")
    return comparison.report(Path(folder) / "report.html", pages=True)
