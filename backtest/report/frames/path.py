"""Account and wallets bar by bar: what they were worth at each close, what was required, and how near it came."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.engine.session import Session
from backtest.report.columns import Columns
from backtest.report.frames.names import Names, at_closes
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
from backtest.units import amount_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def account_columns(session: Session, names: Names, k: int, part: slice) -> Columns:
    """One account over some bars, at the close."""
    path, many = session.book.path[:, k, part], part.stop - part.start
    chosen = {"close": P_CLOSE, "low_then_high": P_LOW_HIGH, "each_worst": P_EACH}[session.plans[k].path]
    return at_closes(
        part,
        {
            "time": lambda: names.time_us[part],
            "account": lambda: names.account(np.full(many, k)),
            "equity": lambda: path[P_EQUITY],
            "collateral_equity": lambda: of_wallets(session, k, W_COLLATERAL, part),
            "initial_margin": lambda: of_wallets(session, k, W_INITIAL, part),
            "maintenance_margin": lambda: of_wallets(session, k, W_MAINTENANCE, part),
            "margin_ratio": lambda: close_ratio(session, k, part),
            "worst_ratio": lambda: path[chosen],
            "worst_wallet": lambda: names.wallet(k, path[P_WALLET].astype(np.int64)),
            "ratio_close": lambda: path[P_CLOSE],
            "ratio_low_then_high": lambda: path[P_LOW_HIGH],
            "ratio_each_worst": lambda: path[P_EACH],
            "utilization": lambda: utilization(
                of_wallets(session, k, W_INITIAL, part), of_wallets(session, k, W_COLLATERAL, part)
            ),
            "cash_usd": lambda: cash(session, names, k, part),
            "liquidation_level": lambda: level_of(session, k, "liquidate", part),
        },
    )


def of_wallets(session: Session, k: int, column: Any, part: slice) -> Floats:
    """A column of the wallets' path, all that back something added up in their order, over some bars."""
    rows = [session.book.wallet_path[column, w, k, part] for w in backing(session, k)]
    total: Floats = rows[0] if rows else np.zeros(part.stop - part.start)
    for row in rows[1:]:
        total = total + row
    return total


def utilization(initial: Floats, collateral: Floats) -> Floats:
    """Initial margin as a share of collateral; 0 where nothing is required, infinite where nothing is left."""
    with np.errstate(divide="ignore", invalid="ignore"):
        used = np.where(collateral > 0, initial / collateral, np.inf)
    return np.where(initial > 0, used, 0.0)


def level_of(session: Session, k: int, action: str, part: slice) -> Floats:
    """The margin ratio at or below which the venue acts so, by bar; 0 where it has no such level."""
    sets = session.plans[k].sets
    ratios = [max((level.ratio for level in s.levels if level.action == action), default=0.0) for s in sets]
    at = session.tape.rules_at[k]
    levels: Floats = np.array(ratios)[at[part] - at[0]]
    return levels


def close_ratio(session: Session, k: int, part: slice) -> Floats:
    """Lowest collateral / maintenance of a wallet at each close; inf without requirement."""
    collateral, _, maintenance = session.book.wallet_path[:, :, k, part]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(maintenance > 0, collateral / maintenance, np.inf)
    lowest: Floats = ratios.min(axis=0)
    return lowest


def cash(session: Session, names: Names, k: int, part: slice) -> Floats:
    """USD of stablecoin balances over all wallets at each close, from the ledger."""
    worth = np.zeros(part.stop - part.start)
    for a, asset in enumerate(session.history.assets):
        if asset.startswith("USD") or asset.endswith("USD"):
            bars, steps = names.once(("cash", k, a), lambda a=a: _paid(session, k, a))  # type: ignore[misc]
            first, last = np.searchsorted(bars, (part.start, part.stop)).tolist()
            here = np.zeros(len(worth), np.int64)
            np.add.at(here, bars[first:last] - part.start, steps[first:last])
            before = int(steps[:first].sum())
            worth += amount_of(before + np.cumsum(here)) * session.history.index_close[a, part]
    return worth


def _paid(session: Session, k: int, a: int) -> tuple[Ints, Ints]:
    """Bar and steps of everything an account was paid in an asset, by bar."""
    ledger = session.book.ledger[: session.book.count[LEDGER_ROWS]]
    rows = ledger[(ledger[:, L_ACCOUNT] == k) & (ledger[:, L_ASSET] == a)]
    rows = rows[np.argsort(rows[:, L_BAR], kind="stable")]
    return rows[:, L_BAR].copy(), rows[:, L_AMOUNT].copy()


def backing(session: Session, k: int) -> list[int]:
    """The wallets of an account that back something."""
    return [w for w, model in enumerate(session.plans[k].shape.model) if model]


def wallet_columns(session: Session, names: Names, k: int, w: int, part: slice) -> Columns:
    """A wallet that backs something over some bars, at the close; USD. `headroom`: the least, on the bar's path, of
    collateral - max(initial, level x maintenance).
    """
    path, many = session.book.wallet_path[:, w, k, part], part.stop - part.start
    return at_closes(
        part,
        {
            "time": lambda: names.time_us[part],
            "account": lambda: names.account(np.full(many, k)),
            "wallet": lambda: names.wallet(k, np.full(many, w)),
            "collateral": lambda: path[W_COLLATERAL],
            "initial_margin": lambda: path[W_INITIAL],
            "maintenance_margin": lambda: path[W_MAINTENANCE],
            "headroom": lambda: session.book.headroom[w, k, part],
        },
    )
