"""A strategy as a table: sizes wished, by bar and symbol. Row i may use what closed by bar i and is traded at bar i+1.

Sizes are told as `desk.target` takes them, or as shares of equity, and are reckoned at the close of their row from what
the account is then. So a table sees prices and its account, and asks for no Python while the engine runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import pandas as pd

from backtest.errors import InputError, is_number, nearest

UNITS = ("contracts", "base", "usd", "equity")  # in the order of the state's numbers


@dataclass(frozen=True)
class Targets:
    """`frame`: index bar open times (UTC), columns symbols, values sizes, NaN: leave it alone.

    `unit`: what sizes are in: "contracts" (spot: coins), "base" coins, "usd", or shares of the account's "equity"
    (nothing is traded while that is not above 0); USD are turned into coins by the index, as by `desk.target`, so a
    coin that has no price yet can only be wished 0.
    `band`: follow a row only where a position that it names is further from its size than this share of it (below 1),
    and by a lot or more: less than a lot, such as the rest that a fee in coins leaves of a sale, no order can trade. By
    symbol where only some are to be looked at; None: follow every row.
    `together`: the orders of a row stand or fall as one.
    """

    frame: pd.DataFrame
    together: bool = True
    unit: str = "contracts"
    band: float | Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.frame, pd.DataFrame):
            raise InputError(
                f"Targets: {type(self.frame).__name__} is no table; give a DataFrame with bar opens as index and a "
                "column a symbol (of a Series: series.to_frame())"
            )
        if not isinstance(self.together, bool):
            raise InputError(f"Targets: together = {self.together!r}; write True or False")
        if not isinstance(self.unit, str) or self.unit not in UNITS:
            raise InputError(f"Targets: unit = {self.unit!r}; {nearest(str(self.unit), UNITS)}")
        if isinstance(self.band, Mapping):
            for symbol, share in self.band.items():
                if symbol not in self.frame.columns:
                    known = map(str, self.frame.columns)
                    raise InputError(f"Targets: band of {symbol!r}, which is no column; {nearest(symbol, known)}")
                _must_be_share(share, f"band of {symbol}")
            if not self.band:
                raise InputError("Targets: an empty band would follow no row; leave it out, or name a symbol")
        elif self.band is not None:
            _must_be_share(self.band, "band")

    def band_of(self, symbol: str) -> float:
        """How far a position may stray, as a share of its size; inf: as far as it likes."""
        if isinstance(self.band, Mapping):
            return float(self.band.get(symbol, inf))
        return inf if self.band is None else float(self.band)


def _must_be_share(share: Any, what: str) -> None:
    if not is_number(share) or not 0.0 <= share < inf:
        raise InputError(f"Targets: {what} = {share!r}; write a share of the size from 0 up, such as 0.02")
    if share >= 1.0:
        raise InputError(
            f"Targets: {what} = {share!r}; no position at all is only 1 away from its size, so none would be opened; "
            "write a share below 1, such as 0.02"
        )
