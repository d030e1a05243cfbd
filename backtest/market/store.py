"""The store: one folder of Parquet files with what the market did, and the only way in and out of it.

A venue is a folder, an instrument a folder in it, a series a file (or a folder of files, one a month). Prices are read
as they lie; what is missing stays missing, and a file that cannot be trusted (cut short, out of order, not in UTC) is
refused by name rather than read in part.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from backtest.errors import InputError, in_a_line, nearest
from backtest.market.schema import (
    Instrument,
    folder_of,
    kind_of,
    missing_columns,
    parse_symbol,
    split_series,
    symbol_of,
)

Columns = dict[str, npt.NDArray[Any]]

TIME = pa.timestamp("us", tz="UTC")
INSTRUMENTS = "instruments.parquet"
ROWS_PER_GROUP = 131_072  # three months of minutes: a short span of a long series reads little

_UTC = {"UTC", "Etc/UTC", "GMT", "+00:00"}
_PER_US = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}
_TIMES = {"listing_us": "listing", "expiry_us": "expiry", "delisting_us": "delisting"}


class Store:
    """A folder `<venue>/<symbol>/<series>.parquet` with `<venue>/instruments.parquet` beside the symbols."""

    def __init__(self, path: str | Path) -> None:
        """Open a store for reading. InputError where the folder is absent, or no venue in it has instruments."""
        self.path = Path(path)
        if not self.path.is_dir():
            beside = [each.name for each in self.path.parent.iterdir() if each.is_dir()] if self._near() else []
            hint = f"{nearest(self.path.name, beside)}; or " if beside else ""
            raise InputError(
                f"no store at {self.path}; {hint}make one: `backtest data sample {self.path}` writes the sample, "
                "`backtest data import` your own files"
            )
        if not self.venues():
            raise InputError(
                f"{self.path} is not a store: no folder in it has {INSTRUMENTS}; import data, or make the sample store"
            )

    def _near(self) -> bool:
        return self.path.parent.is_dir()

    def venues(self) -> list[str]:
        """Names of the venues stored."""
        return sorted(each.parent.name for each in self.path.glob(f"*/{INSTRUMENTS}"))

    def instruments(self, venue: str) -> dict[str, Instrument]:
        """Contract terms by symbol. InputError for a venue that is not stored, with the nearest one."""
        if venue not in self.venues():
            raise InputError(f"{self.path} has no venue {venue!r}; {nearest(venue, self.venues())}")
        return read_instruments(self.path / venue / INSTRUMENTS)

    def symbols(self, venue: str) -> list[str]:
        """Everything that has a folder at a venue: instruments, index pairs and assets with borrow rates."""
        folder = self.path / venue
        return sorted(symbol_of(each.name) for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []

    def series(self, venue: str, symbol: str) -> list[str]:
        """Names of the series stored of a symbol, sorted; empty where there are none."""
        folder = self.path / venue / folder_of(symbol)
        files = {each.stem for each in folder.glob("*.parquet")}
        return sorted(files | {each.name for each in folder.glob("*/") if any(each.glob("*.parquet"))})

    def read(
        self, venue: str, symbol: str, series: str, start_us: int | None = None, end_us: int | None = None
    ) -> Columns | None:
        """Columns of a series in [start_us, end_us): times as int64 microseconds, the others float64; None if absent.

        InputError for a name that is no series, and for files that are unreadable, not in UTC, out of order, or short
        of columns.
        """
        paths = self._paths(venue, symbol, series)
        if not paths:
            return None
        columns = join([_span(read_file(path, start_us, end_us), start_us, end_us) for path in paths])
        absent = missing_columns(series, list(columns))
        if absent:
            raise InputError(f"{paths[0]}: no column {absent[0]!r}; {nearest(absent[0], columns)}")
        _check_order(columns["time"], str(paths[0]) if len(paths) == 1 else str(paths[0].parent))
        return columns

    def need(self, venue: str, symbol: str, series: str) -> Columns:
        """As `read`, but InputError where the series is absent, naming the nearest symbol or series that is stored."""
        columns = self.read(venue, symbol, series)
        if columns is None:
            raise InputError(self._absent(venue, symbol, series))
        return columns

    def metadata(self, venue: str, symbol: str, series: str) -> dict[str, str]:
        """What the file says of itself: source, notes, import. InputError where absent."""
        path = self._existing(venue, symbol, series)[0]
        found: Mapping[bytes, bytes] = open_file(path).schema_arrow.metadata or {}
        return {key.decode(): value.decode() for key, value in found.items() if key != b"ARROW:schema"}

    def paths(self, venue: str, symbol: str, series: str) -> list[Path]:
        """The files of a series, oldest month first. InputError where absent."""
        return self._existing(venue, symbol, series)

    def files(self) -> list[Path]:
        """Every Parquet file of the store, relative to it, sorted."""
        return sorted(each.relative_to(self.path) for each in self.path.rglob("*.parquet"))

    def digest(self, venue: str, symbol: str, series: str) -> str:
        """SHA-256 of a series' file, in hex; of a folder of months, over the names and digests of its files."""
        paths = self._existing(venue, symbol, series)
        if len(paths) == 1 and paths[0].stem == series:
            return _sha256(paths[0])
        lines = "".join(f"{_sha256(path)}  {path.name}\n" for path in paths)
        return hashlib.sha256(lines.encode()).hexdigest()

    def _existing(self, venue: str, symbol: str, series: str) -> list[Path]:
        paths = self._paths(venue, symbol, series)
        if not paths:
            raise InputError(self._absent(venue, symbol, series))
        return paths

    def _paths(self, venue: str, symbol: str, series: str) -> list[Path]:
        split_series(series)
        return series_paths(self.path, venue, symbol, series)

    def _absent(self, venue: str, symbol: str, series: str) -> str:
        """What to say of a series that is not stored: the first part of its name that is wrong, and the nearest."""
        if venue not in self.venues():
            return f"{self.path} has no venue {venue!r}; {nearest(venue, self.venues())}"
        if symbol not in self.symbols(venue):
            return f"{self.path} has nothing of {symbol!r} at {venue}; {nearest(symbol, self.symbols(venue))}"
        return f"{self.path} has no {series} of {symbol} at {venue}; {nearest(series, self.series(venue, symbol))}"


def series_paths(store: str | Path, venue: str, symbol: str, series: str) -> list[Path]:
    """The files of one series; none if absent. InputError where a file and a folder of months are both there."""
    folder = Path(store) / venue / folder_of(symbol)
    single, months = folder / f"{series}.parquet", sorted((folder / series).glob("*.parquet"))
    if not single.is_file():
        return months
    if months:
        raise InputError(f"{single} lies beside a folder of the same series ({len(months)} files); keep one of the two")
    return [single]


def open_file(path: Path) -> Any:
    """A Parquet file, opened. InputError naming it where it is cut short, not Parquet, or has a column twice."""
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read as Parquet ({in_a_line(error)}); import it again") from None
    twice = next((name for k, name in enumerate(names) if name in names[:k]), None)
    if twice is not None:
        raise InputError(f"{path}: two columns are called {twice!r}; keep one")
    return file


def read_file(
    path: Path, start_us: int | None = None, end_us: int | None = None, names: Sequence[str] | None = None
) -> Columns:
    """Columns of one file (all, or `names`), in file order; with a span, only the row groups that touch it are read.

    Times of any unit become int64 microseconds, everything else float64 (missing: NaN). InputError for a corrupt file,
    no `time` column, times without zone or in another than UTC, missing times, and words where numbers belong.
    """
    file = open_file(path)
    there = file.schema_arrow.names
    for name in ("time", *(names or ())):
        if name not in there:
            raise InputError(f"{path}: no column {name!r}; {nearest(name, there)}")
    unit = _unit(path, "time", file.schema_arrow.field("time").type)
    groups = [k for k in range(file.metadata.num_row_groups) if _touches(file, k, unit, start_us, end_us)]
    try:
        table = file.read_row_groups(groups, columns=there if names is None else list(names))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is damaged inside ({in_a_line(error)}); import it again") from None
    return {name: _as_array(path, name, table.column(name)) for name in table.column_names}


def _touches(file: Any, group: int, unit: str, start_us: int | None, end_us: int | None) -> bool:
    """Whether a row group may hold rows of the span; without statistics, it may."""
    column = file.schema_arrow.names.index("time")
    statistics = file.metadata.row_group(group).column(column).statistics
    if statistics is None or not statistics.has_min_max or (start_us is None and end_us is None):
        return True
    times, over = _PER_US[unit]
    lowest, highest = statistics.min_raw * times // over, statistics.max_raw * times // over
    return not ((start_us is not None and highest < start_us) or (end_us is not None and lowest >= end_us))


def _unit(path: Path, name: str, kind: Any) -> str:
    if not pa.types.is_timestamp(kind):
        raise InputError(f"{path}: column {name!r} is {kind}, not a time; write timestamp[us, UTC]")
    if kind.tz not in _UTC:
        zone = f"in {kind.tz}" if kind.tz else "without a zone"
        raise InputError(f"{path}: column {name!r} is {zone}; a store's times are UTC: write timestamp[us, UTC]")
    return str(kind.unit)


def _as_array(path: Path, name: str, column: Any) -> npt.NDArray[Any]:
    if not pa.types.is_timestamp(column.type):
        try:
            return np.ascontiguousarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
        except pa.ArrowException:
            raise InputError(f"{path}: column {name!r} is {column.type}, not a number") from None
    _unit(path, name, column.type)
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise InputError(f"{path}: column {name!r} has no value in row {row + 1}; every row needs its time")
    values = column.cast(TIME, safe=False).cast(pa.int64()).to_numpy()
    return np.ascontiguousarray(values, dtype=np.int64)


def _span(columns: Columns, start_us: int | None, end_us: int | None) -> Columns:
    """Rows in [start_us, end_us)."""
    if start_us is None and end_us is None:
        return columns
    time = columns["time"]
    keep = np.ones(len(time), dtype=np.bool_)
    if start_us is not None:
        keep &= time >= start_us
    if end_us is not None:
        keep &= time < end_us
    return {name: values[keep] for name, values in columns.items()}


def join(parts: Sequence[Columns]) -> Columns:
    """Pieces of a series, one after the other; a column that a piece lacks is NaN there."""
    if len(parts) == 1:
        return parts[0]
    names = list(dict.fromkeys(name for part in parts for name in part))
    return {name: np.concatenate([_piece(part, name) for part in parts]) for name in names}


def _piece(part: Columns, name: str) -> npt.NDArray[Any]:
    if name in part:
        return part[name]
    if _is_time(name):
        return part["time"]
    return np.full(len(part["time"]), np.nan)


def _check_order(time: npt.NDArray[Any], where: str) -> None:
    wrong = np.flatnonzero(np.diff(time) <= 0)
    if not len(wrong):
        return
    row = int(wrong[0]) + 1
    stamp = np.datetime64(int(time[row]), "us")
    word = "twice" if time[row] == time[row - 1] else "out of order"
    raise InputError(f"{where}: row {row + 1} ({stamp} UTC) is {word}; times must rise: import the series again")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_series(
    path_of_store: str | Path,
    venue: str,
    symbol: str,
    series: str,
    columns: Mapping[str, npt.NDArray[Any]],
    metadata: Mapping[str, str],
) -> Path:
    """Write one series whole, replacing what was there in one step; returns its path.

    `time` (and any column ending in `_time`): int64 microseconds UTC, `time` strictly rising; the others numbers.
    InputError for columns that the series must have and has not, of unequal length, or out of order.
    """
    name = f"{symbol} {series}"
    absent = missing_columns(series, list(columns))
    if absent:
        raise InputError(f"{name}: no column {absent[0]!r}; {nearest(absent[0], columns)}")
    for column, values in columns.items():
        if len(values) != len(columns["time"]):
            raise InputError(f"{name}: {len(values)} rows of {column!r}, but {len(columns['time'])} times")
    _check_order(np.asarray(columns["time"]), name)
    path = Path(path_of_store) / venue / folder_of(symbol) / f"{series}.parquet"
    if path.with_suffix("").is_dir():
        raise InputError(f"{path.with_suffix('')} is a folder of months; remove it before {path.name} is written")
    table = pa.table({column: _as_arrow(column, values) for column, values in columns.items()})
    # Times as differences, prices with bytes of a kind side by side: a third to two thirds of the usual size. Packed
    # harder (zstd) files are a seventh smaller and take twice as long to read.
    packing = {column: "DELTA_BINARY_PACKED" if _is_time(column) else "BYTE_STREAM_SPLIT" for column in columns}
    packed = {"use_dictionary": False, "column_encoding": packing}
    _write(path, table.replace_schema_metadata(dict(metadata)), **packed)
    return path


def _is_time(column: str) -> bool:
    return column == "time" or column.endswith("_time")


def _as_arrow(name: str, values: npt.NDArray[Any]) -> Any:
    if _is_time(name):
        return pa.array(np.asarray(values, dtype=np.int64)).cast(TIME)
    return pa.array(np.asarray(values, dtype=np.float64))


def _write(path: Path, table: Any, **packed: Any) -> None:
    """Written aside, then put in place: a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.aside")
    try:
        pq.write_table(table, aside, compression="lz4", row_group_size=ROWS_PER_GROUP, **packed)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_instruments(path_of_store: str | Path, venue: str, instruments: Sequence[Instrument]) -> Path:
    """Write a venue's contract terms, replacing what was there; returns the path. InputError for one named twice."""
    ordered = sorted(instruments, key=lambda each: each.symbol)
    for one, other in pairwise(ordered):
        if one.symbol == other.symbol:
            raise InputError(f"{venue}: two instruments are called {one.symbol!r}")
    columns = {
        _TIMES.get(field.name, field.name): [getattr(each, field.name) for each in ordered]
        for field in fields(Instrument)
    }
    path = Path(path_of_store) / venue / INSTRUMENTS
    _write(path, pa.table({name: pa.array(values, type=_term_type(name)) for name, values in columns.items()}))
    return path


def _term_type(name: str) -> Any:
    if name in _TIMES.values():
        return TIME
    return pa.float64() if name in ("contract_size", "tick", "lot", "min_notional") else pa.string()


def read_instruments(path: Path) -> dict[str, Instrument]:
    """Contract terms by symbol. InputError where the file is unreadable, lacks a column, or a term is impossible."""
    try:
        table = open_file(path).read()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is damaged inside ({in_a_line(error)}); import it again") from None
    columns: dict[str, list[Any]] = {}
    for field in fields(Instrument):
        name = _TIMES.get(field.name, field.name)
        if name not in table.column_names:
            raise InputError(f"{path}: no column {name!r}; {nearest(name, table.column_names)}")
        column = table.column(name)
        if name in _TIMES.values():
            _unit(path, name, column.type)
            column = column.cast(TIME, safe=False).cast(pa.int64())
        columns[field.name] = column.to_pylist()
    rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    found: dict[str, Instrument] = {}
    for number, row in enumerate(rows, start=1):
        try:
            terms = _terms_of(row)
        except InputError as error:
            raise InputError(f"{path}: row {number}: {error}") from None
        if terms.symbol in found:
            raise InputError(f"{path}: row {number}: {terms.symbol!r} is there twice; keep one")
        found[terms.symbol] = terms
    return found


def _terms_of(row: dict[str, Any]) -> Instrument:
    """Contract terms that their own symbol does not contradict."""
    for name in ("symbol", "kind", "base", "quote", "settle", "source"):
        if not isinstance(row[name], str):
            raise InputError(f"{row['symbol']}: {name} is {row[name]!r}; it must be text")
    base, quote, settle, _ = parse_symbol(row["symbol"])
    said = {"base": base, "quote": quote, "settle": settle or quote, "kind": kind_of(row["symbol"])}
    for name, value in said.items():
        if row[name] != value:
            raise InputError(f"{row['symbol']}: {name} is {row[name]!r}, but the symbol says {value!r}")
    return Instrument(**row)
