"""Hold coins for a share of equity, short as many of their perpetuals, and bring both legs back when one strays.

The carry as a table: the shares are the same at every row, and the engine reckons the coins at the row's close and
trades only where a leg is out of its band. Nobody is asked on the way, so many shares and bands are tried quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pydantic import Field

from backtest import Strategy, Targets
from backtest.strategy import Market, Params

if TYPE_CHECKING:
    from backtest.market.schema import Instrument


class BalancedCarryParams(Params):
    """`share` of equity in coins, in equal parts; `hedge` perpetuals short a coin."""

    bases: tuple[str, ...] = Field(("BTC",), min_length=1)
    quote: str = "USDT"
    share: float = Field(0.6, gt=0, lt=2)
    hedge: float = Field(1.0, ge=0, le=2)
    band: float = Field(0.05, ge=0, lt=1)  # how far a leg may stray, as a share of its size
    schedule: str = "1d"  # how often that is looked at


class BalancedCarry(Strategy):
    """See the file."""

    Params = BalancedCarryParams
    params: BalancedCarryParams

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        """Both legs of every coin."""
        return [*self.coins(), *self.perpetuals()]

    def coins(self) -> list[str]:
        """The spot pairs."""
        return [f"{base}/{self.params.quote}" for base in self.params.bases]

    def perpetuals(self) -> list[str]:
        """The perpetuals, in the same order."""
        return [f"{pair}:{self.params.quote}" for pair in self.coins()]

    def targets(self, market: Market) -> Targets:
        """A row at every close of the schedule at which all legs traded."""
        p, rows = self.params, market.closing(self.params.schedule)
        traded = np.logical_and.reduce([market.tradable(leg).loc[rows] for leg in self.symbols({})])
        each = p.share / len(p.bases)
        shares = {**dict.fromkeys(self.coins(), each), **dict.fromkeys(self.perpetuals(), -p.hedge * each)}
        return Targets(pd.DataFrame(shares, index=rows[traded]), unit="equity", band=p.band)
