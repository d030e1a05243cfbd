"""The C programs of the benchmark, compiled where the machine can, and called on the columns of a history."""

from __future__ import annotations

import csv
import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

import backtest.venues
from backtest.market.history import History
from tests.benchmark.market import DAY_US
from tests.benchmark.reference import CASH

SOURCE = Path(__file__).with_name("limit.c")
FLAGS = ["-O3", "-march=native", "-shared", "-fPIC"]
RATIOS = {"USDT": 0.9999, "BTC": 0.95, "ETH": 0.95, "BNB": 0.95}  # multi-asset collateral in 2024; others count nothing
ROWS = ("spot_open", "spot_close", "index_low", "index_high", "future_open", "mark_open", "mark_low", "mark_high",
        "mark_close", "rate")  # fmt: skip
PATH = ("equity", "collateral_equity", "maintenance_margin", "worst_ratio")
WIDEST = 12  # as in the program
BRACKETS = np.dtype([("first", "i8"), ("floor", "f8", WIDEST + 1), ("rate", "f8", WIDEST), ("deduction", "f8", WIDEST)])


def compiler() -> str | None:
    """The machine's C compiler, if it has one."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


@cache
def library() -> ctypes.CDLL:
    """The programs, compiled into a temporary folder that goes with the process."""
    found = compiler()
    assert found is not None, "no C compiler on this machine"
    folder = tempfile.TemporaryDirectory(prefix="limit-")
    target = Path(folder.name) / "limit.so"
    subprocess.run([found, *FLAGS, "-o", str(target), str(SOURCE), "-lm"], check=True)
    loaded = ctypes.CDLL(str(target))
    for name in ("carry", "sweep", "top_funding"):
        getattr(loaded, name).restype = ctypes.c_long
    folder.cleanup()  # it is mapped by now
    return loaded


class Limit:
    """A history's columns as the C programs take them, and room for the path they write."""

    def __init__(self, history: History) -> None:
        self.bars, self.day = len(history.time), DAY_US // history.interval_us
        coins = [instrument.base for instrument in history.instruments if instrument.kind == "spot"]
        self.coins, self.columns = len(coins), [self._columns(history, k, len(coins)) for k in range(len(coins))]
        self._rows = [row for columns in self.columns for row in columns]
        self.pointers = (ctypes.c_void_p * len(self._rows))(*(row.ctypes.data for row in self._rows))
        listed = [brackets(f"{coin}/USDT:USDT", history.time) for coin in coins]
        self.many = np.array([len(each) for each in listed], np.int64)
        self.tables = np.zeros((len(coins), int(self.many.max())), BRACKETS)
        for k, each in enumerate(listed):
            self.tables[k, : len(each)] = each
        self.ratio = np.array([RATIOS.get(asset, 0.0) for asset in ("USDT", *coins)])
        self.path = np.zeros((len(PATH), self.bars))
        self._path = (ctypes.c_void_p * len(PATH))(*(row.ctypes.data for row in self.path))
        self.fills = 0

    def _columns(self, history: History, spot: int, coins: int) -> list[np.ndarray]:
        """The rows of one coin, in the order in which the programs number them."""
        future, asset = spot + coins, 1 + spot
        rate = np.zeros(self.bars)
        mine = history.funding_instrument == future
        rate[history.funding_bar[mine]] = history.funding_rate[mine]
        return [
            history.open[spot], history.close[spot], history.index_low[asset], history.index_high[asset],
            history.open[future], history.mark_open[future], history.mark_low[future], history.mark_high[future],
            history.mark_close[future], rate,
        ]  # fmt: skip

    def carry(self, hedge: float = 1.0, band: float = 0.01) -> float:
        """Final equity of Carry; the path is in `path`."""
        fills = ctypes.c_double()
        failed = library().carry(
            self.pointers, ctypes.c_long(self.bars), ctypes.c_long(self.day), ctypes.c_double(hedge),
            ctypes.c_double(band), self._at(self.tables), ctypes.c_long(self.many[0]), self._at(self.ratio),
            ctypes.c_double(CASH), self._path, ctypes.byref(fills),
        )  # fmt: skip
        return self._lived(failed, fills)

    def sweep(self, hedges: np.ndarray, bands: np.ndarray) -> np.ndarray:
        """Final equities of Carry for every hedge and band [hedge, band], on one core."""
        last = np.zeros((len(hedges), len(bands)))
        failed = library().sweep(
            self.pointers, ctypes.c_long(self.bars), ctypes.c_long(self.day), self._at(hedges),
            ctypes.c_long(len(hedges)), self._at(bands), ctypes.c_long(len(bands)), self._at(self.tables),
            ctypes.c_long(self.many[0]), self._at(self.ratio), ctypes.c_double(CASH), self._path, self._at(last),
        )  # fmt: skip
        assert failed < 0, f"margin failed in bar {failed}"
        return last

    def top_funding(self) -> float:
        """Final equity of TopFunding; the path is in `path`."""
        fills = ctypes.c_double()
        failed = library().top_funding(
            self.pointers, ctypes.c_long(self.coins), ctypes.c_long(self.bars), ctypes.c_long(self.day),
            self._at(self.tables), self._at(self.many), ctypes.c_long(self.tables.shape[1]), self._at(self.ratio),
            ctypes.c_double(CASH), self._path, ctypes.byref(fills),
        )  # fmt: skip
        return self._lived(failed, fills)

    def _lived(self, failed: int, fills: ctypes.c_double) -> float:
        assert failed < 0, f"margin failed in bar {failed}"
        self.fills = int(fills.value)
        return float(self.path[0, -1])

    @staticmethod
    def _at(array: np.ndarray) -> ctypes.c_void_p:
        return ctypes.c_void_p(array.ctypes.data)


def brackets(symbol: str, time_us: np.ndarray) -> np.ndarray:
    """The brackets of a perpetual in force over a span, read from the venue's file: first bar, floors, rates,
    deductions."""
    rows = csv_rows()[symbol]
    opens = time_us.astype("datetime64[us]")
    days = sorted(rows)
    held = [day for day in days if np.datetime64(day) <= opens[0]][-1:]
    assert held, f"no brackets of {symbol} on the first day"
    found = held + [day for day in days if opens[0] < np.datetime64(day) <= opens[-1]]
    tables = np.zeros(len(found), BRACKETS)
    for table, day in zip(tables, found, strict=True):
        table["first"], table["floor"] = np.searchsorted(opens, np.datetime64(day)), np.inf
        for column, values in zip(("floor", "rate", "deduction"), zip(*rows[day], strict=True), strict=True):
            table[column][: len(values)] = values
        table["floor"][0] = -1.0  # nothing held is in the first
    return tables


@cache
def csv_rows() -> dict[str, dict[str, list[tuple[float, float, float]]]]:
    """(floor, rate, deduction) by symbol and first day."""
    found: dict[str, dict[str, list[tuple[float, float, float]]]] = {}
    path = Path(backtest.venues.__file__).with_name("binance_brackets.csv")
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            bracket = float(row["floor"]), float(row["maintenance_rate"]), float(row["deduction"])
            found.setdefault(row["symbol"], {}).setdefault(row["valid_from"], []).append(bracket)
    return found
