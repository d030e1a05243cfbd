"""A strategy as a table: contracts wished, by bar and symbol. Row i may use what closed by bar i and is traded at bar
i+1.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Targets:
    """`frame`: index bar open times (UTC), columns symbols, values contracts (spot: coins), NaN: leave it alone.

    `together`: the orders of a row stand or fall as one.
    """

    frame: pd.DataFrame
    together: bool = True
