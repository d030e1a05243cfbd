"""Account and wallets bar by bar: what they were worth at each close, what was required, and how near it came."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.engine.session import Session
from backtest.report.frames.names import Names, frame_of
from backtest.report.record import FRAMES
from backtest.state import (
    L_ACCOUNT,
    L_AMOUNT,
    L_ASSET,
    L_BAR,
    LEDGER_ROWS,
    P_CLOSE,
    P_COLLATERAL,
    P_EACH,
    P_EQUITY,
    P_INITIAL,
    P_LOW_HIGH,
    P_MAINTENANCE,
    P_WALLET,
)  # fmt: skip
from backtest.units import STEP


def account_frame(session: Session, names: Names, k: int) -> pd.DataFrame:
    """One account, bar by bar, at the close."""
    path = session.book.path[:, k]
    chosen = {"close": P_CLOSE, "low_then_high": P_LOW_HIGH, "each_worst": P_EACH}[session.plans[k].path]
    with np.errstate(divide="ignore", invalid="ignore"):
        used = np.where(path[P_COLLATERAL] > 0, path[P_INITIAL] / path[P_COLLATERAL], np.inf)
        use = np.where(path[P_INITIAL] > 0, used, 0.0)
    return frame_of(
        "account",
        {
            "time": names.time,
            "account": names.account[k],
            "equity": path[P_EQUITY],
            "collateral_equity": path[P_COLLATERAL],
            "initial_margin": path[P_INITIAL],
            "maintenance_margin": path[P_MAINTENANCE],
            "margin_ratio": close_ratio(session, k),
            "worst_ratio": path[chosen],
            "worst_wallet": names.wallet[k][path[P_WALLET].astype(np.int64)],
            "ratio_close": path[P_CLOSE],
            "ratio_low_then_high": path[P_LOW_HIGH],
            "ratio_each_worst": path[P_EACH],
            "utilization": use,
            "cash_usd": cash(session, k),
            "liquidation_level": level_of(session, k, "liquidate"),
        },
    )


def level_of(session: Session, k: int, action: str) -> npt.NDArray[np.float64]:
    """The margin ratio at or below which the venue acts so, by bar; 0 where it has no such level."""
    sets = session.plans[k].sets
    ratios = [max((level.ratio for level in s.levels if level.action == action), default=0.0) for s in sets]
    at = session.tape.rules_at[k]
    levels: npt.NDArray[np.float64] = np.array(ratios)[at - at[0]]
    return levels


def close_ratio(session: Session, k: int) -> npt.NDArray[np.float64]:
    """Lowest collateral / maintenance of a wallet at each close; inf without requirement."""
    collateral, _, maintenance = session.book.wallet_path[:, :, k]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(maintenance > 0, collateral / maintenance, np.inf)
    lowest: npt.NDArray[np.float64] = ratios.min(axis=0)
    return lowest


def cash(session: Session, k: int) -> npt.NDArray[np.float64]:
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


def wallets_frame(session: Session, names: Names) -> pd.DataFrame:
    """Every wallet that backs something, bar by bar, at the close; USD. `headroom`: the least, on the bar's path, of
    collateral - max(initial, level x maintenance).
    """
    parts = []
    for k, plan in enumerate(session.plans):
        for w, name in enumerate(plan.shape.names):
            if plan.shape.model[w]:
                collateral, initial, maintenance = session.book.wallet_path[:, w, k]
                parts.append(
                    frame_of(
                        "wallets",
                        {
                            "time": names.time,
                            "account": plan.name,
                            "wallet": name,
                            "collateral": collateral,
                            "initial_margin": initial,
                            "maintenance_margin": maintenance,
                            "headroom": session.book.headroom[w, k],
                        },
                    )
                )
    # spot alone backs nothing: no wallet at all, but still the columns
    return pd.concat(parts, ignore_index=True) if parts else frame_of("wallets", {key: [] for key in FRAMES["wallets"]})
