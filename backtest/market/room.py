"""Where the bars of a run lie: in memory, or, where a history is larger than that should be, in files beside it.

A file is written and read as memory is, so nothing that reckons with bars has to know which of the two it is. What
differs is how much of it is held at once: pages that were lived through are given back to the system, and come again
from the file if anybody asks for them. Nothing is ever read as a zero that was not written as one.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from backtest.errors import InputError

Array = npt.NDArray[Any]
PART = 32_768  # bars looked at together where many are gone through: three months of minutes
TAKEN = 256  # values picked out of a series at once: each brings the pages around it along
SMALL = 1 << 16  # bytes: what is smaller is kept in memory
UNKNOWN = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)  # the file system cannot keep room ahead
_PLACING = threading.RLock()  # accounts may be lived side by side over one table
_LISTING = threading.Lock()  # and make room while another gives some back


class Room:
    """Room in memory. `chunk`: after how many bars what was lived through is given back; 0: never."""

    chunk = 0

    def zeros(self, shape: tuple[int, ...], dtype: Any = np.float64, sure: int | None = None) -> Array:
        """An array of zeros; pages that nobody writes take no room. `sure`: of the first axis, as much as will be
        written for sure (all of it); of the rest, `reserve` what is.
        """
        return np.zeros(shape, dtype)

    def reserve(self, rows: Array, row: int) -> Array:
        """The row of an array of `zeros`, which may be written from now on."""
        return rows[row]  # type: ignore[no-any-return]

    def give_back(self) -> None:
        """Hold no page of any array any more; they are read again when asked for."""

    def settle(self) -> None:
        """What was written is only read from here on."""

    def parts(self, length: int, part: int = PART) -> Iterator[slice]:
        """Bars 0 to `length` a part at a time; what a part touched is given back before the next."""
        for first in range(0, length, part):
            yield slice(first, min(first + part, length))
            self.give_back()

    def filled(self, length: int, values: Callable[[slice], Any], dtype: Any = np.float64) -> Array:
        """An array by bar, filled part by part."""
        array = self.zeros((length,), dtype)
        for part in self.parts(length):
            array[part] = values(part)
        return array

    def take(self, array: Array, at: npt.NDArray[np.int64]) -> Array:
        """Values of a series at these bars."""
        return array[at]


MEMORY = Room()


class Scratch(Room):
    """Room in files without a name, which are gone when nobody holds their arrays, or the process ends."""

    def __init__(self, chunk: int, small: int = SMALL, folder: str | None = None) -> None:
        """`chunk` in bars; arrays of fewer than `small` bytes stay in memory; the files lie in `folder`, else where
        `TMPDIR` says, else in the system's place for large ones. InputError where the system cannot.
        """
        self.chunk, self.small, self.folder = chunk, small, folder or usual_folder()
        self._maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._files: weakref.WeakKeyDictionary[mmap.mmap, int] = weakref.WeakKeyDictionary()  # not reserved as a whole
        if not can_stream():
            raise InputError(
                "[data] stream: this system cannot give memory back; leave it out, or run on Linux or macOS"
            )

    def zeros(self, shape: tuple[int, ...], dtype: Any = np.float64, sure: int | None = None) -> Array:
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if size <= self.small:
            return np.zeros(shape, dtype)
        try:
            mapped = self._mapped(size, size if sure is None else size // shape[0] * sure)
        except OSError as error:
            raise self._refusal(error) from error
        mapped.madvise(mmap.MADV_RANDOM)  # while it is written: else a page brings many others along, of every series
        with _LISTING:
            self._maps.add(mapped)
        return np.frombuffer(mapped, dtype).reshape(shape)

    def _mapped(self, size: int, sure: int) -> mmap.mmap:
        """A file of so many bytes as memory, the first of them reserved."""
        with tempfile.TemporaryFile(prefix="backtest-", dir=self.folder) as file:
            os.ftruncate(file.fileno(), size)
            self._reserve(file.fileno(), 0, sure)
            mapped = mmap.mmap(file.fileno(), size)
            if sure < size:
                self._files[mapped] = number = os.dup(file.fileno())
                weakref.finalize(mapped, os.close, number)
        return mapped

    def reserve(self, rows: Array, row: int) -> Array:
        found: Any = rows
        while isinstance(found, np.ndarray):
            found = found.base
        mapped, size = getattr(found, "obj", None), rows[row].nbytes
        file = self._files.get(mapped) if isinstance(mapped, mmap.mmap) else None
        if file is not None:
            try:
                self._reserve(file, row * size, size)
            except OSError as error:
                raise self._refusal(error) from error
        return rows[row]  # type: ignore[no-any-return]

    def _reserve(self, file: int, first: int, size: int) -> None:
        """Have the disk keep room for what will be written: a page that found none would end the process."""
        self.must_hold(size)
        if size and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file, first, size)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    self.must_hold(size + 1)
                if error.errno not in UNKNOWN:
                    raise

    def _refusal(self, error: OSError) -> InputError:
        """In words: no file, or no more of it, is to be had."""
        if error.errno == errno.EMFILE:
            cure = "let the shell have more files open (ulimit -n), or run fewer accounts at once"
        else:
            cure = "name another folder in the environment variable TMPDIR"
        return InputError(f"no file for the run's bars can be made in {self.folder} ({error.strerror}); {cure}")

    def _mappings(self) -> list[mmap.mmap]:
        with _LISTING:
            return list(self._maps)

    def take(self, array: Array, at: npt.NDArray[np.int64]) -> Array:
        taken = np.empty(len(at), array.dtype)
        for some in self.parts(len(at), TAKEN):
            taken[some] = array[at[some]]
        return taken

    def give_back(self) -> None:
        for mapped in self._mappings():
            mapped.madvise(mmap.MADV_DONTNEED)
        pa.default_memory_pool().release_unused()  # what files were read with

    def settle(self) -> None:
        """Pages that the system had to let go come again many at a time."""
        for mapped in self._mappings():
            mapped.madvise(mmap.MADV_NORMAL)

    def must_hold(self, size: int) -> None:
        """InputError where the disk has not as many bytes free."""
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise InputError(
                f"the run lays out {in_bytes(size)} of bars in {self.folder}, where {in_bytes(free)} are free; "
                "name a folder of a larger disk in the environment variable TMPDIR, or take a shorter span"
            )


def in_bytes(size: int) -> str:
    """A size in GB, or, where it is none, in MB."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def can_stream() -> bool:
    """Whether the system takes memory back that lies in a file."""
    return hasattr(mmap.mmap, "madvise")


def usual_folder() -> str:
    """Where large files lie for a while: the usual temporary folder is often memory itself."""
    large = "/var/tmp"
    return os.environ.get("TMPDIR") or (large if os.access(large, os.W_OK) else tempfile.gettempdir())


class Table:
    """Series as rows, those of the history first; further ones find a place behind them, each once."""

    def __init__(self, room: Room, rows: int, spare: int, bars: int) -> None:
        self.room, self.used = room, rows
        self.rows = room.zeros((rows + spare, bars), sure=rows)
        self._like: dict[tuple[float, ...], list[int]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """What travels to another process: the rows there are, which nobody copies again to read them."""
        return {**self.__dict__, "room": MEMORY, "rows": self.rows[: self.used]}

    def number(self, array: Array) -> int | None:
        """The row that an array is; None where it lies elsewhere."""
        length, offset = self.rows.shape[1] * 8, array.ctypes.data - self.rows.ctypes.data
        inside = array.dtype == np.float64 and array.shape == self.rows.shape[1:] and array.flags.c_contiguous
        return offset // length if inside and length and 0 <= offset < self.used * length else None

    def place(self, array: Array) -> int:
        """The row of a series: that of one that says the same bar by bar, else its own, or a new one."""
        with _PLACING:
            row = self._place(array)
        self.room.give_back()
        return row

    def make(self, values: Callable[[slice], Array]) -> int:
        """The row of a series that is reckoned part by part."""
        with _PLACING:
            bars = self.rows.shape[1]
            said = [float(values(slice(bar, bar + 1))[0]) for bar in range(bars)[_samples(bars)]]
            return self._row_of(said, None, values)

    def _place(self, array: Array) -> int:
        own = self.number(array)
        return self._row_of(array[_samples(len(array))].tolist(), own, lambda part: array[part])

    def _row_of(self, samples: list[float], own: int | None, values: Callable[[slice], Array]) -> int:
        """The row that says what `values` say: one that is there, `own`, or a new one that they are written to."""
        alike = self._like.setdefault(tuple(samples), [])
        for row in alike:
            if row == own or self._says(row, values):
                return row
        if own is None:
            own = self._spare_row()
            for part in self.room.parts(self.rows.shape[1]):
                self.rows[own, part] = values(part)
        alike.append(own)
        return own

    def _spare_row(self) -> int:
        """A row nobody has."""
        if self.used == len(self.rows):
            rows = self.room.zeros((2 * len(self.rows) + 64, self.rows.shape[1]))
            for row in range(self.used):
                for part in self.room.parts(rows.shape[1]):
                    rows[row, part] = self.rows[row, part]
            self.rows = rows
        self.room.reserve(self.rows, self.used)
        self.used += 1
        return self.used - 1

    def _says(self, row: int, values: Callable[[slice], Array]) -> bool:
        return all(np.array_equal(self.rows[row, part], values(part)) for part in self.room.parts(self.rows.shape[1]))


def _samples(bars: int) -> slice:
    """Some bars by which series are told apart before they are compared in full."""
    return slice(None, None, max(1, bars // 8))
