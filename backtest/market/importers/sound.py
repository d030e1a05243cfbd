"""What an importer refuses: names that cannot be a folder's, times that are none, prices that no market has printed."""

from __future__ import annotations

import re
import time as clock
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.errors import InputError
from backtest.market.schema import INTERVALS, MINUTE_US, OHLC, SECOND_US, parse_symbol, split_series
from backtest.market.store import Columns

FIRST_US = 1_230_768_000_000_000  # 2009-01-01: no coin is older

_NEVER_NEGATIVE = ("volume", "hourly_rate", "open_interest")
_NEEDED = (*OHLC, *_NEVER_NEGATIVE, "funding_rate")  # of those that a series has, every row has them
_MANY = 10  # bars in a row that each have a hole behind them: then it is another bar length
_VENUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_ASSET = re.compile(r"[^\W_a-z]+")


def check_subject(venue: str, symbol: str, series: str) -> None:
    """InputError for a venue or symbol that cannot name a folder, or is not what such a series is of."""
    if _VENUE.fullmatch(venue) is None:
        raise InputError(f"venue {venue!r} cannot name a folder; write letters, digits, - and _, such as 'binance'")
    kind, _ = split_series(series)
    if kind == "borrow":
        if _ASSET.fullmatch(symbol) is None:
            raise InputError(f"{symbol!r} is no asset; borrow rates are of one, such as 'USDT'")
        return
    base, quote, settle, _ = parse_symbol(symbol)
    if kind == "index" and settle is not None:
        raise InputError(f"{symbol!r} is a contract; an index is of a pair: write '{base}/{quote}'")
    if kind in ("funding", "premium") and settle is None:
        raise InputError(f"{symbol!r} is a spot pair, which has no {kind}; did you mean '{symbol}:{quote}'?")


def check_rows(columns: Columns, series: str, where: str) -> None:
    """What no market can have printed, told by row: times, bars off their grid, prices. InputError for the first."""
    kind, interval = split_series(series)
    time = columns["time"]
    _check_span(time, where)
    if interval is not None:
        _check_grid(time, interval, kind, where)
    for name, values in columns.items():
        if name in _NEVER_NEGATIVE or (name in (*OHLC, "mark_price") and kind != "premium"):
            zero = name in _NEVER_NEGATIVE
            words = f"{name} cannot be below zero" if zero else f"{name} must be above zero"
            _refuse(values < 0 if zero else values <= 0, values, where, words)
        if name in _NEEDED:
            _refuse(np.isnan(values), values, where, f"{name} is missing; leave out rows without it")
        if values.dtype.kind == "f":
            _refuse(np.isinf(values), values, where, f"{name} must be a finite number")
    if {"high", "low"} <= columns.keys():
        high, low = columns["high"], columns["low"]
        _refuse(high < low, high, where, "the high is below the low; are the columns mixed up?")


def _refuse(bad: npt.NDArray[Any], values: npt.NDArray[Any], where: str, words: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"{where}: row {row + 1} is {values[row]}: {words}")


def _check_span(time: npt.NDArray[Any], where: str) -> None:
    """Days counted from 1900 and dates without dashes read as Unix times of the seventies, or of years to come."""
    tomorrow = (clock.time_ns() // 1_000) + 24 * 60 * MINUTE_US
    bad = (time < FIRST_US) | (time > tomorrow)
    if bad.any():
        row = int(np.argmax(bad))
        years = "before 2009" if time[row] < FIRST_US else "in the future"
        raise InputError(
            f"{where}: the time of row {row + 1} is {stamp(time[row])} UTC, {years}; write Unix "
            "times in s, ms, us or ns, or dates as 2024-01-31"
        )


def stamp(time_us: int) -> np.datetime64:
    """A time to be read, to the second unless it is off one."""
    return np.datetime64(int(time_us), "us") if time_us % SECOND_US else np.datetime64(int(time_us) // SECOND_US, "s")


def _check_grid(time: npt.NDArray[Any], interval: str, kind: str, where: str) -> None:
    steps = np.diff(np.unique(time))
    least = int(steps.min()) if len(steps) else 0
    apart = next((text for text, us in INTERVALS.items() if us == least and text != interval), None)
    off = time % INTERVALS[interval] != 0
    if off.any():
        row = int(np.argmax(off))
        wrong = f"row {row + 1} ({stamp(time[row])} UTC) does not open on a whole {interval}"
    elif apart is not None and least > INTERVALS[interval] and len(steps) >= _MANY:
        wrong = f"no two rows are {interval} apart"
    else:
        return
    cure = "bars are labelled by their open, in UTC" if apart is None else f"import them as {kind}-{apart}"
    raise InputError(f"{where}: {wrong}; {'' if apart is None else f'rows are {apart} apart: '}{cure}")
