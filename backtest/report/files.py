"""The files of a result: frames as Parquet, figures as JSON, written so that they read back as they were."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from backtest.errors import InputError, in_a_line
from backtest.market.room import PART
from backtest.report.manifest import plain
from backtest.report.saved import AGAIN, check_frame

TIMES = ("Start", "End", "Max Drawdown At", "Lowest Margin Ratio At")
"""Figures that are times."""


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """A frame as Parquet, times as microseconds UTC; the same frame gives the same bytes."""
    write_frames([frame], path)


def write_frames(frames: Iterable[pd.DataFrame | pa.Table], path: Path) -> None:
    """A frame as Parquet, given in parts, one or more: each is written before the next is asked for. However it is
    parted, the same rows give the same bytes.
    """
    writer, waiting = None, None
    try:
        for frame in frames:
            table = frame if isinstance(frame, pa.Table) else _as_table(frame)
            if writer is None:
                writer = _writer(path, table.schema)
            waiting = table if waiting is None else pa.concat_tables([waiting, table])
            whole = len(waiting) // PART * PART
            _write_groups(writer, waiting.slice(0, whole))
            waiting = waiting.slice(whole)
        if writer is not None and waiting is not None:
            _write_groups(writer, waiting)
    finally:
        if writer is not None:
            writer.close()


def _write_groups(writer: pq.ParquetWriter, table: pa.Table) -> None:
    """Rows in groups of the same size, each in one piece: pages end where pieces do."""
    for first in range(0, len(table), PART):
        writer.write_table(table.slice(first, PART).combine_chunks(), row_group_size=PART)


def _as_table(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(_storable(frame), preserve_index=False).replace_schema_metadata(None)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    numbers = [field.name for field in schema if pa.types.is_floating(field.type)]
    words = [field.name for field in schema if pa.types.is_large_string(field.type) or pa.types.is_string(field.type)]
    # Amounts seldom repeat: a dictionary of them is work for nothing, while their leading bytes are alike.
    return pq.ParquetWriter(path, schema, compression="lz4", use_dictionary=words, use_byte_stream_split=numbers)


def _storable(frame: pd.DataFrame) -> pd.DataFrame:
    """Times in microseconds; columns of mixed things, and empty ones of words, as words."""
    frame = frame.copy()
    for column in frame.columns:
        values = frame[column]
        if isinstance(values.dtype, pd.DatetimeTZDtype):
            frame[column] = values.dt.tz_convert("UTC").dt.as_unit("us")
        elif values.dtype == object and values.empty:  # of all columns without a kind, which are words
            frame[column] = values.astype("str")
        elif values.dtype == object and values.map(type).nunique() > 1:
            frame[column] = values.map(lambda value: None if pd.isna(value) else str(value))
    return frame


def read_frame(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A frame as it was written. InputError where it is not there, cannot be read, or lacks a column."""
    if not path.is_file():
        raise InputError(f"{path}: is missing; {AGAIN}")
    try:
        frame: pd.DataFrame = pq.read_table(path).to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({in_a_line(error)}); {AGAIN}") from error
    check_frame(frame, columns, path)
    return frame


def read_json(path: Path) -> dict[str, Any]:
    """The table in a result's file. InputError where it is none."""
    try:
        parsed: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({in_a_line(error)}); {AGAIN}") from error
    if not isinstance(parsed, dict):
        raise InputError(f"{path}: is a {type(parsed).__name__}, not a table; {AGAIN}")
    return parsed


def write_json(value: dict[str, Any], path: Path) -> None:
    """A table as JSON."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def as_json_columns(figures: pd.DataFrame) -> dict[str, Any]:
    """Figures by column and label as JSON can hold them: times and durations as text, infinite ratios as words."""
    return {
        str(name): plain({str(label): _as_text(value) for label, value in column.items()})
        for name, column in figures.items()
    }


def _as_text(value: Any) -> Any:
    if value is pd.NaT:
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return str(value) if isinstance(value, pd.Timedelta) else value


def revived(column: dict[str, Any]) -> pd.Series:
    """Saved figures as they were: times, durations and infinite ratios again."""
    values: dict[str, Any] = {}
    for label, value in column.items():
        if label in TIMES and value is not None:
            value = pd.Timestamp(value)
        elif label == "Duration":
            value = pd.Timedelta(value)
        elif value in ("inf", "-inf", "nan"):
            value = float(value)
        values[label] = value
    return pd.Series(values, dtype=object)
