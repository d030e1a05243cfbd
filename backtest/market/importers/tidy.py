"""Your own tables: Parquet, CSV or a pandas frame with a column of times and columns of prices, into any series.

Columns are named, never guessed: `{"open": "Open"}` says that our `open` is the file's `Open`; columns not mapped must
have our names. Unix times may be in seconds, milliseconds, microseconds or nanoseconds; written times without a zone
are in `tz`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtest.errors import InputError, in_a_line, nearest
from backtest.market.importers import ASSUMED, Imported, ensure_instrument, microseconds, ready, with_settled
from backtest.market.importers.sound import check_rows, check_subject
from backtest.market.schema import OHLC, missing_columns, split_series
from backtest.market.store import Columns

if TYPE_CHECKING:
    import pandas as pd

_OPTIONAL = {"funding": ("mark_price", "interval_hours")}
_UNCLEAR_DATE = r"\s*\d{1,2}[/.-]\d{1,2}[/.-]\d{2}"
_ASSETS = ("index", "borrow")  # series of a pair or an asset, which is not an instrument


def import_tidy(
    source: str | Path | pd.DataFrame,
    store: str | Path,
    venue: str,
    symbol: str,
    series: str,
    columns: Mapping[str, str] | None = None,
    tz: str = "UTC",
    merge: bool = False,
) -> Imported:
    """Import one table as one series of a symbol; a symbol that the store does not know gets assumed contract terms.

    `columns`: our name → the table's; `tz`: the zone of written times that have none. InputError for a file that cannot
    be read, columns that are not there (with the nearest), times and numbers that are none, and contradicting rows.
    """
    check_subject(venue, symbol, series)
    frame, name = _frame(source)
    mapped = _mapped(frame, series, dict(columns or {}), name)
    values: Columns = {"time": _times(frame, mapped.pop("time"), tz, name)}
    values |= {ours: _numbers(frame, theirs, name) for ours, theirs in mapped.items()}
    if series == "funding":
        values = with_settled(values)
    check_rows(values, series, name)
    done = ready(store, venue, symbol, series, [values], name, merge).write()
    if split_series(series)[0] in _ASSETS:
        return done
    terms = ensure_instrument(store, venue, symbol)
    if terms.source != ASSUMED:
        return done
    size = f", {terms.contract_size:g} USD a contract" if terms.kind == "inverse" else ""
    assumed = f"contract terms assumed from the prices: tick {terms.tick:g}, lot {terms.lot:g}{size}"
    return replace(done, note="; ".join(filter(None, [done.note, assumed])))


def _frame(source: str | Path | pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The table, and what to call it. A frame's index of times becomes its column `time`."""
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        has_index = isinstance(source.index, pd.DatetimeIndex) and "time" not in source.columns
        return (source.rename_axis("time").reset_index() if has_index else source), "a frame"
    if not isinstance(source, str | Path):
        raise InputError(
            f"a {type(source).__name__} is no table; give a pandas frame, or the path of a .parquet or .csv"
        )
    path = Path(source)
    if path.suffix not in (".csv", ".gz", ".parquet"):
        raise InputError(f"{path}: no importer for {path.suffix or 'files without an ending'}; give .parquet or .csv")
    if not path.is_file():
        beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(f"no file {path}; {nearest(path.name, beside)}")
    try:
        return (pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)), path.name
    except Exception as error:  # a damaged file raises what its unpacker raises
        raise InputError(f"{path} cannot be read: {in_a_line(error)}") from None


def _mapped(frame: pd.DataFrame, series: str, given: dict[str, str], name: str) -> dict[str, str]:
    """Our columns of a series → the table's."""
    there = [str(column) for column in frame.columns]
    known = ["time", *OHLC, "volume", "funding_rate", "hourly_rate", "open_interest", *_OPTIONAL["funding"]]
    for ours, theirs in given.items():
        if ours not in known:
            raise InputError(f"the column map: {series} has no column {ours!r}; {nearest(ours, known)}")
        if theirs not in there:
            raise InputError(f"{name} has no column {theirs!r}; {nearest(theirs, there)}")
    ours_there = {ours: ours for ours in known if ours in there} | given
    for theirs in ours_there.values():
        if there.count(theirs) > 1:
            raise InputError(f"{name} has {there.count(theirs)} columns called {theirs!r}; keep one")
    absent = missing_columns(series, list(ours_there))
    if absent:
        needs, given_as = ", ".join(map(repr, absent)), " ".join(f"--column THEIRS={ours}" for ours in absent)
        raise InputError(
            f"{name}: {series} needs {needs}, and the table has {', '.join(there)}; say which "
            f"{'it is' if len(absent) == 1 else 'they are'}: {given_as} (in Python columns={{{absent[0]!r}: THEIRS}})"
        )
    return {ours: theirs for ours, theirs in ours_there.items() if ours in _wanted(series, ours_there)}


def _wanted(series: str, there: Mapping[str, str]) -> set[str]:
    """The columns a series keeps of those there are; a table may hold more."""
    kind, _ = split_series(series)
    fixed: dict[str, tuple[str, ...]] = {
        "bars": (*OHLC, "volume"),
        "funding": ("funding_rate", *_OPTIONAL["funding"]),
        "borrow": ("hourly_rate",),
        "open-interest": ("open_interest",),
    }
    return {"time", *fixed.get(kind, OHLC)} & set(there)


def _times(frame: pd.DataFrame, column: str, tz: str, name: str) -> npt.NDArray[np.int64]:
    """A column of times as microseconds UTC, whatever it is written in."""
    import pandas as pd

    values = frame[column]
    if values.isna().any():
        raise InputError(f"{name}: row {int(np.argmax(values.isna().to_numpy())) + 1} has no time")
    if pd.api.types.is_numeric_dtype(values):
        return microseconds(values.to_numpy())
    if not pd.api.types.is_datetime64_any_dtype(values):
        unclear = values.astype(str).str.match(_UNCLEAR_DATE).to_numpy()
        if unclear.any():
            row = int(np.argmax(unclear))
            raise InputError(
                f"{name}: row {row + 1} of column {column!r} is {values.iloc[row]!r}, and nobody can tell its day from "
                "its month; write dates as year-month-day, such as 2024-01-31"
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it had to guess; what it cannot read, it refuses
            moments = pd.DatetimeIndex(pd.to_datetime(values))
        aware = moments if moments.tz is not None else moments.tz_localize(tz)
    except Exception as error:  # pandas and the zone data raise several kinds
        raise InputError(f"{name}: column {column!r} does not hold times in {tz}: {in_a_line(error)}") from None
    return np.asarray(aware.tz_convert("UTC").as_unit("us").asi8, dtype=np.int64)


def _numbers(frame: pd.DataFrame, column: str, name: str) -> npt.NDArray[Any]:
    import pandas as pd

    numbers = pd.to_numeric(frame[column], errors="coerce")
    bad = (numbers.isna() & frame[column].notna()).to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"{name}: row {row + 1} of column {column!r} is {frame[column].iloc[row]!r}, not a number")
    return np.asarray(numbers.to_numpy(), dtype=np.float64)
