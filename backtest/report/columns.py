"""Rows of a table held by column: a figure asks for the one column it needs, and no frame is made for it.

A column is made when it is first asked for, and kept. Texts are numbers into a short list of words, so that rows of a
kind are found by comparing numbers. A frame is these same columns put together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from backtest.market.store import TIME

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Words:
    """A column of texts: for each row the number of its word among those `known`."""

    known: Array
    at: Ints

    @staticmethod
    def of(texts: Array) -> Words:
        """The words of an array of texts; what is missing is a word of its own."""
        at, known = pd.factorize(texts, use_na_sentinel=False)
        return Words(np.asarray(known, dtype=object), at.astype(np.int64))

    @staticmethod
    def same(word: str, rows: int) -> Words:
        """One word in every row."""
        return Words(np.array([word], dtype=object), np.zeros(rows, np.int64))

    @cached_property
    def texts(self) -> Array:
        """The word of each row."""
        texts: Array = self.known[self.at]
        return texts

    def text(self, row: int) -> str:
        """The word of one row."""
        return str(self.known[self.at[row]])

    @cached_property
    def present(self) -> list[str]:
        """The words that occur, in the order they first do."""
        at = self.at % len(self.known) if len(self.known) else self.at  # -1 is the last word
        there = np.flatnonzero(np.bincount(at, minlength=len(self.known)))
        if len(there) > 1:
            there = there[np.argsort([int((at == k).argmax()) for k in there])]
        return list(dict.fromkeys(self.known[there].tolist()))

    def among(self, *words: str) -> Bools:
        """Whether each row's word is one of these."""
        wanted = np.array([word in words for word in self.known.tolist()], dtype=np.bool_)
        return wanted[self.at] if len(wanted) else np.zeros(len(self.at), np.bool_)

    def called(self, names: Mapping[str, str], otherwise: str) -> Words:
        """The same rows under other words."""
        return Words(np.array([names.get(word, otherwise) for word in self.known.tolist()], dtype=object), self.at)

    def where(self, rows: Ints | slice) -> Words:
        """The rows of these numbers."""
        return Words(self.known, self.at[rows])


Column = Array | Words


class Columns:
    """Rows of a table. `makers` give its columns by name; `time` is microseconds UTC."""

    def __init__(self, rows: int, makers: Mapping[str, Callable[[], Column]]) -> None:
        self._rows, self._makers = rows, makers
        self._made: dict[str, Column] = {}

    @staticmethod
    def of(frame: pd.DataFrame) -> Columns:
        """The columns of a frame."""
        return Columns(len(frame), {name: _of_series(frame, name) for name in frame.columns})

    @staticmethod
    def given(rows: int, columns: Mapping[str, Column]) -> Columns:
        """Columns that there are already."""
        return Columns(rows, {name: partial(_itself, column) for name, column in columns.items()})

    @staticmethod
    def below(parts: Sequence[Columns]) -> Columns:
        """Tables of the same columns, one below the other."""
        if len(parts) == 1:
            return parts[0]
        names = parts[0]._makers
        return Columns(sum(map(len, parts)), {name: _joined(parts, name) for name in names})

    def __len__(self) -> int:
        return self._rows

    def __contains__(self, name: str) -> bool:
        return name in self._makers

    def column(self, name: str) -> Column:
        """A column as it is kept."""
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __getitem__(self, name: str) -> Array:
        """A column's values by row: numbers, or texts."""
        column = self.column(name)
        return column.texts if isinstance(column, Words) else column

    def words(self, name: str) -> Words:
        """A column of texts, to be told apart by number."""
        column = self.column(name)
        if not isinstance(column, Words):
            column = self._made[name] = Words.of(column)
        return column

    def among(self, name: str, *words: str) -> Bools:
        """Whether each row's text is one of these."""
        return self.words(name).among(*words)

    def where(self, rows: Bools | Ints | slice) -> Columns:
        """Some of the rows: those marked, those of these numbers, or a slice of them."""
        if not isinstance(rows, slice):
            rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.int64, copy=False)
        many = len(range(self._rows)[rows]) if isinstance(rows, slice) else len(rows)
        return Columns(many, {name: _taken(self, name, rows) for name in self._makers})

    def frame(self, names: Iterable[str]) -> pd.DataFrame:
        """The columns of these names as a frame; times are stamps in UTC."""
        return pd.DataFrame({name: times_of(self["time"]) if name == "time" else self[name] for name in names})

    def table(self, names: Iterable[str]) -> pa.Table:
        """The columns of these names as a file holds them, as of a frame of them."""
        return pa.table({name: _stored(name, self.column(name)) for name in names})


def _itself(column: Column) -> Column:
    return column


def _stored(name: str, column: Column) -> pa.Array:
    if isinstance(column, Words):
        words = pa.array(column.known.tolist(), pa.large_string())
        return pa.DictionaryArray.from_arrays(pa.array(column.at), words).cast(pa.large_string())
    return pa.array(column, TIME) if name == "time" else pa.array(column)


def times_of(times_us: Ints) -> pd.DatetimeIndex:
    """Microseconds UTC as the stamps of a frame."""
    return pd.to_datetime(times_us, unit="us", utc=True)


def microseconds(times: Any) -> Ints:
    """Times of a frame as int64 microseconds UTC."""
    times_us: Ints = naive(times).astype("datetime64[us]").astype(np.int64)
    return times_us


def naive(times: Any) -> Any:
    """Times without their zone, which is UTC: numpy's own, where an array of zoned ones is one of objects."""
    stamps = pd.DatetimeIndex(times)
    return np.asarray(stamps if stamps.tz is None else stamps.tz_convert("UTC").tz_localize(None))


def _of_series(frame: pd.DataFrame, name: str) -> Callable[[], Column]:
    return lambda: microseconds(frame[name]) if name == "time" else frame[name].to_numpy()


def _taken(whole: Columns, name: str, rows: Ints | slice) -> Callable[[], Column]:
    def take() -> Column:
        column = whole.column(name)
        return column.where(rows) if isinstance(column, Words) else column[rows]

    return take


def _joined(parts: Sequence[Columns], name: str) -> Callable[[], Column]:
    def join() -> Column:
        words = [column for column in (part.column(name) for part in parts) if isinstance(column, Words)]
        if len(words) == len(parts) and all(each.known is words[0].known for each in words):
            return Words(words[0].known, np.concatenate([each.at for each in words]))
        return np.concatenate([part[name] for part in parts])

    return join
