"""Everything a run yields, as plain frames: the account bar by bar, and every fill, order, payment and incident.

Frames are labelled as bars are, by their OPEN time in UTC; what a bar's row says was true at its close. Amounts are in
the asset named beside them, dollar amounts are valued at the bar's close index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from backtest.errors import InputError, nearest
from backtest.market.room import MEMORY, Room
from backtest.report.columns import Columns

if TYPE_CHECKING:
    from backtest.config import RunConfig
    from backtest.market.history import History

Bools = npt.NDArray[np.bool_]
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
    "reduce", "close", "sell collateral", "takeover", "tier down", "two tiers down", "slice", "step",
    "repay", "backstop", "offset pairs",
)  # fmt: skip
"""Rungs at which the venue took something from the account: these count as liquidation."""


@dataclass
class RunRecord:
    """One run's frames (columns: `FRAMES`), with what it was asked and what it was shown.

    `rules` holds, an account, the rule sets in force in time order; `levels`, an account, the margin ratios at which
    the venue acted at the end and what it does there ("liquidate" at 1 where not given); `stored`: its history was
    read from the config's store.
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
    stored: bool = True
    seconds: float = 0.0
    levels: Sequence[Sequence[tuple[float, str]]] = ()
    explained: dict[int, dict[str, Floats]] = field(default_factory=dict, compare=False, repr=False)
    """By account, the parts of its profit bar by bar, once they were asked for (`parts_of`)."""

    def of(self, frame: str, account: int) -> pd.DataFrame:
        """One account's rows of a frame; accounts may be told apart by name or by number."""
        rows: pd.DataFrame = getattr(self, frame)
        if rows.empty or len(self.account_names) == 1:
            return rows
        by_number = pd.api.types.is_integer_dtype(rows["account"])
        mine = (rows["account"] == (account if by_number else self.account_names[account])).to_numpy()
        return rows.iloc[block(mine)]

    def columns(self, frame: str, account: int) -> Columns:
        """One account's rows of a frame by column: what figures are made of."""
        return Columns.of(self.of(frame, account))

    @property
    def room(self) -> Room:
        """Where the bars of the run lie."""
        return MEMORY if self.history is None else self.history.room

    def bars_of(self, account: int) -> int:
        """How many bars of an account were recorded."""
        return len(self.columns("account", account))

    def stretch(self, account: int, rows: slice) -> Columns:
        """Some of the recorded bars of an account."""
        return self.columns("account", account).where(rows)

    def parts(self, frame: str, account: int) -> Iterator[Columns]:
        """One account's rows of a frame that has a row a bar ("account", "wallets"), some bars after others: figures
        of it are added up so, in memory as in files.
        """
        whole = self.columns(frame, account)
        for part in self.room.parts(len(whole)):
            yield whole.where(part)

    def frames(self, frame: str) -> Iterator[pd.DataFrame | pa.Table]:
        """All rows of a frame, some after others, as frames or as tables; one without rows where there are none."""
        yield getattr(self, frame)

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
            return np.broadcast_to(np.float64(1.0), len(self.history.time))
        if asset not in self.assets:
            raise InputError(f"this run has no index of {asset!r}; {nearest(asset, self.assets)}")
        prices: Floats = getattr(self.history, f"index_{at}")[self.assets[asset]]
        return prices

    def bars(self, rows: Columns) -> Ints:
        """The bar of each row, from its time; rows from before the first bar belong to it."""
        if "bar" in rows:
            return np.maximum(rows["bar"].astype(np.int64, copy=False), 0)
        if np.array_equal(rows["time"], self.history.time):
            return np.arange(len(rows))  # a row a bar, as one account's path is
        at: Ints = np.searchsorted(self.history.time, rows["time"], side="right").astype(np.int64)
        return np.maximum(at - 1, 0)

    def flows_usd(self, ledger: Columns, at: str = "close") -> Floats:
        """Each ledger row's amount in USD, at its bar's index."""
        bars, amounts = self.bars(ledger), ledger["amount"].astype(np.float64, copy=False)
        values, assets = np.zeros(len(ledger)), ledger.words("asset")
        for asset in assets.present:
            mine = assets.among(asset)
            values[mine] = amounts[mine] * self.room.take(self.index(asset, at), bars[mine])
        return values

    def first_deposits(self, account: int) -> Columns:
        """Ledger rows of what the account started with."""
        ledger = self.columns("ledger", account)
        return ledger.where(is_first(ledger))

    def since_start(self, account: int) -> Columns:
        """Ledger rows after the first deposits."""
        ledger = self.columns("ledger", account)
        return ledger.where(~is_first(ledger))

    def later_flows(self, account: int) -> Columns:
        """Ledger rows of money that came in or went out after the start."""
        rows = self.since_start(account)
        return rows.where(rows.among("kind", "deposit", "withdrawal"))

    def start_equity(self, account: int) -> float:
        """The first deposits in USD at the index of the first open."""
        rows = self.first_deposits(account)
        return float(self.flows_usd(rows, "open").sum()) if len(rows) else 0.0


def defaults() -> dict[str, Any]:
    """What a record says where it was not told."""
    found = {}
    for each in fields(RunRecord):
        if each.default is not MISSING:
            found[each.name] = each.default
        elif each.default_factory is not MISSING:
            found[each.name] = each.default_factory()
    return found


Cut = Callable[[slice], Columns]
"""Columns of some bars."""


class LivedRecord(RunRecord):
    """The record of a run just lived through: each column is made when it is first asked for, and so is each frame,
    of these columns.

    `makers` make the columns by frame out of the record; of the frames that have rows by bar, `by_bar` gives those of
    an account as cuts, one below the other. Everything else is given as to `RunRecord`.
    """

    def __init__(
        self,
        makers: Mapping[str, Callable[[LivedRecord], Columns]] | None = None,
        by_bar: Mapping[str, Callable[[int], Sequence[Cut]]] | None = None,
        **given: Any,
    ) -> None:
        self.makers, self.by_bar, self._made = makers or {}, by_bar or {}, dict[tuple[str, int | None], Columns]()
        self.__dict__.update({**defaults(), **given})

    def __getattr__(self, name: str) -> Any:
        if name not in self.__dict__.get("makers", {}):
            raise AttributeError(name)
        self.__dict__[name] = self.made(name).frame(FRAMES[name])
        return self.__dict__[name]

    def __reduce__(self) -> tuple[partial[RunRecord], tuple[()]]:
        """In another process it is its frames; what they are made of lies in the engine's books."""
        return partial(RunRecord, **{each.name: getattr(self, each.name) for each in fields(RunRecord)}), ()

    def made(self, frame: str) -> Columns:
        """All accounts' rows of a frame by column."""
        if (frame, None) not in self._made:
            self._made[frame, None] = self.makers[frame](self)
        return self._made[frame, None]

    def all_of(self, frame: str) -> list[Columns]:
        """The rows of a frame by bar, a table each account, or each of its wallets."""
        whole = slice(0, len(self.history.time))
        return [cut(whole) for k in range(len(self.account_names)) for cut in self.by_bar[frame](k)]

    def columns(self, frame: str, account: int) -> Columns:
        """One account's rows of a frame by column."""
        rows = self.made(frame)
        if len(self.account_names) == 1:
            return rows
        if (frame, account) not in self._made:
            self._made[frame, account] = rows.where(block(rows.among("account", self.account_names[account])))
        return self._made[frame, account]

    def bars_of(self, account: int) -> int:
        return len(self.history.time)

    def stretch(self, account: int, rows: slice) -> Columns:
        return self.by_bar["account"](account)[0](rows)

    def parts(self, frame: str, account: int) -> Iterator[Columns]:
        for cut in self.by_bar[frame](account):
            for part in self.room.parts(len(self.history.time)):
                yield cut(part)

    def frames(self, frame: str) -> Iterator[pd.DataFrame | pa.Table]:
        some = False
        for k in range(len(self.account_names)) if frame in self.by_bar else ():
            for rows in self.parts(frame, k):
                some = True
                yield rows.table(FRAMES[frame])
        if not some:
            yield from super().frames(frame)


def is_first(ledger: Columns) -> Bools:
    """Rows of what an account started with."""
    return ledger.among("kind", "deposit") & (ledger["bar"] <= 0)


def block(mine: Bools) -> slice | Bools:
    """The rows marked, as a slice where they lie together: what lies together need not be copied."""
    first, many = int(mine.argmax()) if len(mine) else 0, int(np.count_nonzero(mine))
    together = slice(first, first + many)
    return together if mine[together].all() else mine


def summed(bars: Ints, amounts: Floats, length: int) -> Floats:
    """Amounts added up bar by bar."""
    return np.bincount(bars, weights=amounts, minlength=length).astype(np.float64, copy=False)


def empty(frame: str) -> pd.DataFrame:
    """A frame of the record without rows."""
    return pd.DataFrame({column: pd.Series(dtype="float64") for column in FRAMES[frame]})
