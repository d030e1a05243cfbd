"""Names by number, as every frame shows them: accounts, wallets, assets, symbols, sides, times."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.engine.session import SIDES, Session
from backtest.report.record import FRAMES

Ints = npt.NDArray[np.int64]


class Names:
    """Names by number: accounts, wallets, assets, symbols, times."""

    def __init__(self, session: Session) -> None:
        self._time_us = session.history.time
        self.account = np.array([plan.name for plan in session.plans], dtype=object)
        self.asset = np.array(session.history.assets, dtype=object)
        self.symbol = np.array([i.symbol for i in session.history.instruments] * 2 + [""], dtype=object)
        futures = [i.kind != "spot" for i in session.history.instruments]
        none = np.full(2 * len(futures) + 1, "", dtype=object)
        both = np.array([side if future else "" for side in SIDES for future in futures] + [""], dtype=object)
        self._side = [both if plan.two_sided else none for plan in session.plans]
        widest = max(len(plan.shape.names) for plan in session.plans)
        rows = [plan.shape.names + [""] * (widest + 1 - len(plan.shape.names)) for plan in session.plans]
        self.wallet = np.array(rows, dtype=object)

    @cached_property
    def time(self) -> pd.DatetimeIndex:
        """Opens of the bars."""
        return pd.to_datetime(self._time_us, unit="us", utc=True)

    def side(self, accounts: Ints, positions: Ints) -> npt.NDArray[np.object_]:
        """Sides of positions by row, -1 being none."""
        return np.array([self._side[k][p] for k, p in zip(accounts, positions, strict=True)], dtype=object)


def frame_of(name: str, columns: dict[str, Any]) -> pd.DataFrame:
    """A frame of the record, its columns in their order."""
    return pd.DataFrame({column: columns[column] for column in FRAMES[name]})


def in_order(rows: Ints, bar: Any, account: Any) -> Ints:
    """Canonical order: bar, account, then as written."""
    return np.lexsort((np.arange(len(rows)), rows[:, account], rows[:, bar]))
