"""A strategy as a table: contracts wished, by bar and symbol. Row i may use what closed by bar i and is traded at bar
i+1.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from backtest.errors import InputError


@dataclass(frozen=True)
class Targets:
    """`frame`: index bar open times (UTC), columns symbols, values contracts (spot: coins), NaN: leave it alone.

    `together`: the orders of a row stand or fall as one.
    """

    frame: pd.DataFrame
    together: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.frame, pd.DataFrame):
            raise InputError(
                f"Targets: {type(self.frame).__name__} is no table; give a DataFrame with bar opens as index and a "
                "column a symbol (of a Series: series.to_frame())"
            )
        if not isinstance(self.together, bool):
            raise InputError(f"Targets: together = {self.together!r}; write True or False")
