"""What the futures a run held were worth above their coins: the basis at each close, and what it comes to a year.

A short of a dated future against its coin earns the basis it was sold at, whatever the price does, for on the day of
delivery there is none left. Sold at 2 % with a quarter to go that is about 8 % a year, before fees and before the
margin that lies idle beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from backtest.config.types import duration_us
from backtest.market.schema import parse_symbol
from backtest.report.columns import naive

if TYPE_CHECKING:
    from backtest.report.result import Result

COLUMNS = ("time", "symbol", "mark", "index", "basis", "days", "annualised")
YEAR_DAYS = 365.0


def basis_of(result: Result) -> pd.DataFrame:
    """Every future, a row a bar at whose close it was held (columns `COLUMNS`).

    `mark` and `index` in the contract's quote currency; `basis` = mark / index - 1, a fraction; `days` from the close
    to delivery and `annualised` = basis x 365 / days, both NaN for a perpetual.
    """
    closes = result.prices.pivot(index="time", columns="name", values="close")
    bar = pd.Timedelta(duration_us(result.record.config.data.interval), unit="us")
    rows = [
        _of_one(closes[_held(mine, closes.index)], str(symbol), bar)
        for symbol, mine in result.positions.groupby("symbol", sort=True)
        if parse_symbol(str(symbol))[2] is not None
    ]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=list(COLUMNS))


def _held(positions: pd.DataFrame, times: pd.DatetimeIndex) -> np.ndarray:
    """Whether any account held a symbol on either side at each close."""
    held = np.zeros(len(times), dtype=bool)
    sides = ["account", "side"] if "side" in positions else ["account"]
    for _, mine in positions.groupby(sides):
        last = np.searchsorted(naive(mine["time"]), naive(times), side="right") - 1
        held |= (last >= 0) & (mine["contracts"].to_numpy(dtype=np.float64)[np.maximum(last, 0)] != 0.0)
    return held


def _of_one(closes: pd.DataFrame, symbol: str, bar: pd.Timedelta) -> pd.DataFrame:
    base, quote, _, expiry_us = parse_symbol(symbol)
    rows = pd.DataFrame({"time": closes.index, "symbol": symbol, "mark": closes[symbol].to_numpy()})
    rows["index"] = closes[base].to_numpy() / (closes[quote].to_numpy() if quote in closes else 1.0)
    rows["basis"] = rows["mark"] / rows["index"] - 1.0
    rows["days"] = np.nan
    if expiry_us is not None:
        rows["days"] = (pd.Timestamp(expiry_us, unit="us", tz="UTC") - rows["time"] - bar) / pd.Timedelta(days=1)
    rows["annualised"] = rows["basis"] * YEAR_DAYS / rows["days"].where(rows["days"] > 0.0)
    return rows[list(COLUMNS)]
