"""Everything a run yields, as plain frames: the account bar by bar, and every fill, order, payment and incident.

Frames are labelled as bars are, by their OPEN time in UTC; what a bar's row says was true at its close. Amounts are in
the asset named beside them, dollar amounts are valued at the bar's close index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.errors import InputError, nearest

if TYPE_CHECKING:
    from backtest.config import RunConfig
    from backtest.market.history import History

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FRAMES: dict[str, tuple[str, ...]] = {
    "account": (
        "time", "account", "equity", "collateral_equity", "initial_margin", "maintenance_margin", "margin_ratio",
        "worst_ratio", "worst_wallet", "ratio_close", "ratio_low_then_high", "ratio_each_worst", "utilization",
        "cash_usd", "liquidation_level",
    ),
    "wallets": ("time", "account", "wallet", "collateral", "initial_margin", "maintenance_margin", "headroom"),
    "ledger": ("time", "bar", "account", "wallet", "asset", "kind", "amount", "steps", "instrument", "order"),
    "fills": (
        "time", "bar", "account", "symbol", "side", "contracts", "price", "mark", "notional_usd", "cause", "point",
        "fee", "fee_asset", "realised", "settle", "order",
    ),
    "orders": (
        "time", "account", "id", "symbol", "side", "kind", "contracts", "price", "trigger", "state", "reason", "filled",
        "group", "residual_delta_usd",
    ),
    "incidents": (
        "time", "account", "wallet", "rung", "symbol", "side", "collateral", "maintenance", "ratio", "contracts",
        "price", "amount_usd", "note",
    ),
    "funding": ("time", "account", "symbol", "side", "contracts", "price", "rate", "amount", "asset", "flag"),
    "positions": ("time", "account", "symbol", "side", "contracts", "cost"),
}  # fmt: skip
"""The columns of every frame, in order. `side`: "long" or "short" in hedge mode, else empty."""

FORCED = (
    "reduce", "close", "sell collateral", "takeover", "liquidate", "tier down", "two tiers down", "slice", "step",
    "repay", "backstop", "offset pairs",
)  # fmt: skip
"""Rungs at which the venue took something from the account: these count as liquidation."""


@dataclass
class RunRecord:
    """One run's frames (columns: `FRAMES`), with what it was asked and what it was shown.

    `rules` holds, an account, the rule sets in force in time order; `levels`, an account, the margin ratios at which
    the venue acted at the end and what it does there ("liquidate" at 1 where not given).
    """

    config: RunConfig
    history: History
    rules: tuple[Any, ...]
    account_names: list[str]
    modes: list[str]
    account: pd.DataFrame
    wallets: pd.DataFrame
    ledger: pd.DataFrame
    fills: pd.DataFrame
    orders: pd.DataFrame
    incidents: pd.DataFrame
    funding: pd.DataFrame
    positions: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    started: str = ""
    seconds: float = 0.0
    levels: Sequence[Sequence[tuple[float, str]]] = ()
    explained: dict[int, pd.DataFrame] = field(default_factory=dict, compare=False, repr=False)
    """By account, the parts of its profit bar by bar, once they were asked for (`explain_by_bar`)."""

    def of(self, frame: str, account: int) -> pd.DataFrame:
        """One account's rows of a frame; accounts may be told apart by name or by number."""
        rows: pd.DataFrame = getattr(self, frame)
        if rows.empty or len(self.account_names) == 1:
            return rows
        by_number = pd.api.types.is_integer_dtype(rows["account"])
        mine = (rows["account"] == (account if by_number else self.account_names[account])).to_numpy()
        first, many = int(mine.argmax()), int(np.count_nonzero(mine))
        block = slice(first, first + many)
        return rows.iloc[block] if mine[block].all() else rows[mine]  # what lies together need not be copied

    def number_of(self, account: int | str) -> int:
        """The number of an account given by name or number, from 0. InputError names the nearest."""
        if isinstance(account, int):
            if not 0 <= account < len(self.account_names):
                many = len(self.account_names)
                raise InputError(f"no account {account} in this run; it has {many}, numbered from 0")
            return account
        if account not in self.account_names:
            raise InputError(f"no account {account!r} in this run; {nearest(account, self.account_names)}")
        return self.account_names.index(account)

    def levels_of(self, account: int) -> list[tuple[float, str]]:
        """The venue's levels, (ratio, what it does there), highest first."""
        given = list(self.levels[account]) if account < len(self.levels) else []
        return sorted(((float(ratio), str(action)) for ratio, action in given or [(1.0, "liquidate")]), reverse=True)

    @cached_property
    def assets(self) -> dict[str, int]:
        """Rows of the index by asset code."""
        return {asset: row for row, asset in enumerate(self.history.assets)}

    @cached_property
    def instruments(self) -> dict[str, int]:
        """Rows of the prices by symbol."""
        return {instrument.symbol: row for row, instrument in enumerate(self.history.instruments)}

    def index(self, asset: str, at: str = "close") -> Floats:
        """USD per unit of an asset [bar] at the open, low, high or close. InputError without an index of it."""
        if asset == "USD" and asset not in self.assets:
            return np.ones(len(self.history.time))
        if asset not in self.assets:
            raise InputError(f"this run has no index of {asset!r}; {nearest(asset, self.assets)}")
        prices: Floats = getattr(self.history, f"index_{at}")[self.assets[asset]]
        return prices

    def bars(self, rows: pd.DataFrame) -> Ints:
        """The bar of each row, from its time; rows from before the first bar belong to it."""
        if "bar" in rows.columns:
            given: Ints = rows["bar"].to_numpy(dtype=np.int64)
            return np.maximum(given, 0)
        times_us = microseconds(rows["time"])
        if np.array_equal(times_us, self.history.time):
            return np.arange(len(times_us))  # a row a bar, as one account's path is
        at: Ints = np.searchsorted(self.history.time, times_us, side="right").astype(np.int64)
        return np.maximum(at - 1, 0)

    def flows_usd(self, ledger: pd.DataFrame, at: str = "close") -> Floats:
        """Each ledger row's amount in USD, at its bar's index."""
        bars, amounts = self.bars(ledger), ledger["amount"].to_numpy(dtype=np.float64)
        values = np.zeros(len(ledger))
        names = ledger["asset"].to_numpy()
        for asset in pd.unique(ledger["asset"]):
            mine = names == asset
            values[mine] = amounts[mine] * self.index(str(asset), at)[bars[mine]]
        return values

    def first_deposits(self, account: int) -> pd.DataFrame:
        """Ledger rows of what the account started with."""
        ledger = self.of("ledger", account)
        return ledger[_is_first(ledger)]

    def since_start(self, account: int) -> pd.DataFrame:
        """Ledger rows after the first deposits."""
        ledger = self.of("ledger", account)
        return ledger[~_is_first(ledger)]

    def later_flows(self, account: int) -> pd.DataFrame:
        """Ledger rows of money that came in or went out after the start."""
        rows = self.since_start(account)
        return rows[rows["kind"].isin(("deposit", "withdrawal"))]

    def start_equity(self, account: int) -> float:
        """The first deposits in USD at the index of the first open."""
        rows = self.first_deposits(account)
        return float(self.flows_usd(rows, "open").sum()) if len(rows) else 0.0


class LivedRecord(RunRecord):
    """The record of a run just lived through: each frame is made when it is first asked for.

    `makers` make the frames by name out of the record; everything else is given as to `RunRecord`.
    """

    def __init__(self, makers: Mapping[str, Callable[[RunRecord], pd.DataFrame]] | None = None, **given: Any) -> None:
        self.__dict__.update(
            {"notes": [], "started": "", "seconds": 0.0, "levels": (), "explained": {}, **given, "makers": makers or {}}
        )

    def __getattr__(self, name: str) -> Any:
        maker = self.__dict__.get("makers", {}).get(name)
        if maker is None:
            raise AttributeError(name)
        self.__dict__[name] = maker(self)
        return self.__dict__[name]


def _is_first(ledger: pd.DataFrame) -> pd.Series:
    return (ledger["kind"] == "deposit") & (ledger["bar"] <= 0)


def microseconds(times: pd.Series) -> Ints:
    """Times of a frame as int64 microseconds UTC."""
    times_us: Ints = naive(times).astype("datetime64[us]").astype(np.int64)
    return times_us


def naive(times: Any) -> Any:
    """Times without their zone, which is UTC: numpy's own, where an array of zoned ones is one of objects."""
    stamps = pd.DatetimeIndex(times)
    return np.asarray(stamps if stamps.tz is None else stamps.tz_convert("UTC").tz_localize(None))


def summed(bars: Ints, amounts: Floats, length: int) -> Floats:
    """Amounts added up bar by bar."""
    return np.bincount(bars, weights=amounts, minlength=length).astype(np.float64)


def empty(frame: str) -> pd.DataFrame:
    """A frame of the record without rows."""
    return pd.DataFrame({column: pd.Series(dtype="float64") for column in FRAMES[frame]})
