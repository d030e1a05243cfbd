"""Account and wallets bar by bar: what they were worth at each close, what was required, and how near it came."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.engine.session import Session
from backtest.report.columns import Columns
from backtest.report.frames.names import Names
from backtest.state import (
    L_ACCOUNT,
    L_AMOUNT,
    L_ASSET,
    L_BAR,
    LEDGER_ROWS,
    P_CLOSE,
    P_EACH,
    P_EQUITY,
    P_LOW_HIGH,
    P_WALLET,
    W_COLLATERAL,
    W_INITIAL,
    W_MAINTENANCE,
)  # fmt: skip
from backtest.units import STEP

Floats = npt.NDArray[np.float64]


def account_columns(session: Session, names: Names, k: int) -> Columns:
    """One account, bar by bar, at the close."""
    path, bars = session.book.path[:, k], np.arange(len(session.history.time))
    chosen = {"close": P_CLOSE, "low_then_high": P_LOW_HIGH, "each_worst": P_EACH}[session.plans[k].path]
    return names.by_bar(
        bars,
        {
            "time": lambda: names.time_us,
            "account": lambda: names.account(np.full(len(bars), k)),
            "equity": lambda: path[P_EQUITY],
            "collateral_equity": lambda: of_wallets(session, k, W_COLLATERAL),
            "initial_margin": lambda: of_wallets(session, k, W_INITIAL),
            "maintenance_margin": lambda: of_wallets(session, k, W_MAINTENANCE),
            "margin_ratio": lambda: close_ratio(session, k),
            "worst_ratio": lambda: path[chosen],
            "worst_wallet": lambda: names.wallet(k, path[P_WALLET].astype(np.int64)),
            "ratio_close": lambda: path[P_CLOSE],
            "ratio_low_then_high": lambda: path[P_LOW_HIGH],
            "ratio_each_worst": lambda: path[P_EACH],
            "utilization": lambda: utilization(of_wallets(session, k, W_INITIAL), of_wallets(session, k, W_COLLATERAL)),
            "cash_usd": lambda: cash(session, k),
            "liquidation_level": lambda: level_of(session, k, "liquidate"),
        },
    )


def of_wallets(session: Session, k: int, column: Any) -> Floats:
    """A column of the wallets' path, all that back something added up in their order, by bar."""
    rows = [session.book.wallet_path[column, w, k] for w, model in enumerate(session.plans[k].shape.model) if model]
    total: Floats = rows[0] if rows else np.zeros(len(session.history.time))
    for row in rows[1:]:
        total = total + row
    return total


def utilization(initial: Floats, collateral: Floats) -> Floats:
    """Initial margin as a share of collateral; 0 where nothing is required, infinite where nothing is left."""
    with np.errstate(divide="ignore", invalid="ignore"):
        used = np.where(collateral > 0, initial / collateral, np.inf)
    return np.where(initial > 0, used, 0.0)


def level_of(session: Session, k: int, action: str) -> Floats:
    """The margin ratio at or below which the venue acts so, by bar; 0 where it has no such level."""
    sets = session.plans[k].sets
    ratios = [max((level.ratio for level in s.levels if level.action == action), default=0.0) for s in sets]
    at = session.tape.rules_at[k]
    levels: Floats = np.array(ratios)[at - at[0]]
    return levels


def close_ratio(session: Session, k: int) -> Floats:
    """Lowest collateral / maintenance of a wallet at each close; inf without requirement."""
    collateral, _, maintenance = session.book.wallet_path[:, :, k]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(maintenance > 0, collateral / maintenance, np.inf)
    lowest: Floats = ratios.min(axis=0)
    return lowest


def cash(session: Session, k: int) -> Floats:
    """USD of stablecoin balances over all wallets at each close, from the ledger."""
    ledger, bars = session.book.ledger[: session.book.count[LEDGER_ROWS]], len(session.history.time)
    worth = np.zeros(bars)
    for a, asset in enumerate(session.history.assets):
        if asset.startswith("USD") or asset.endswith("USD"):
            rows = ledger[(ledger[:, L_ACCOUNT] == k) & (ledger[:, L_ASSET] == a)]
            steps = np.zeros(bars, np.int64)
            np.add.at(steps, rows[:, L_BAR], rows[:, L_AMOUNT])
            worth += np.cumsum(steps) * STEP * session.history.index_close[a]
    return worth


def wallet_columns(session: Session, names: Names) -> Columns:
    """Every wallet that backs something, bar by bar, at the close; USD. `headroom`: the least, on the bar's path, of
    collateral - max(initial, level x maintenance).
    """
    backing = [(k, w) for k, plan in enumerate(session.plans) for w, model in enumerate(plan.shape.model) if model]
    # spot alone backs nothing: no wallet at all, but still the columns
    return Columns.below([_wallet(session, names, k, w) for k, w in backing] or [_wallet(session, names, 0, 0, 0)])


def _wallet(session: Session, names: Names, k: int, w: int, rows: int | None = None) -> Columns:
    path, bars = session.book.wallet_path[:, w, k, :rows], np.arange(len(session.history.time))[:rows]
    return names.by_bar(
        bars,
        {
            "time": lambda: names.time_us[:rows],
            "account": lambda: names.account(np.full(len(bars), k)),
            "wallet": lambda: names.wallet(k, np.full(len(bars), w)),
            "collateral": lambda: path[W_COLLATERAL],
            "initial_margin": lambda: path[W_INITIAL],
            "maintenance_margin": lambda: path[W_MAINTENANCE],
            "headroom": lambda: session.book.headroom[w, k, :rows],
        },
    )
