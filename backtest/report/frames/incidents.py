"""Everything out of the ordinary: what the venue did, and the levels that the margin ratio fell to."""

from __future__ import annotations

import numpy as np
import pandas as pd

from backtest.engine.session import Session
from backtest.report.frames.names import Names, frame_of, in_order
from backtest.report.frames.path import level_of
from backtest.report.record import RunRecord
from backtest.state import (
    INCIDENT_ROWS,
    N_ACCOUNT,
    N_AMOUNT,
    N_BAR,
    N_COLLATERAL,
    N_CONTRACTS,
    N_INSIDE,
    N_MAINTENANCE,
    N_POINT,
    N_POSITION,
    N_PRICE,
    N_RUNG,
    N_WALLET,
    POINT_NAMES,
    RUNG_NAMES,
)  # fmt: skip


def all_crossings(session: Session, record: RunRecord) -> list[pd.DataFrame]:
    """What each account's ratio fell to."""
    return [crossings(session, record.of("account", k), k) for k in range(len(session.plans))]


CROSSED = {"warn": "warn", "reduce_only": "reduce only"}
"""Levels that are told of as incidents when the ratio falls to them, and the words for it."""


def crossings(session: Session, account: pd.DataFrame, k: int) -> pd.DataFrame:
    """Bars whose lowest ratio fell to a level at which the venue warns or restricts; one a fall.

    Of an account that nobody liquidates, also those at which it would have been.
    """
    worst, found = account["worst_ratio"].to_numpy(), []
    told = {**CROSSED, "liquidate": "breach"} if session.plans[k].unbound else CROSSED
    for action, rung in told.items():
        level = level_of(session, k, action)
        below = (level > 0.0) & (worst <= level)
        rows = account[below & ~np.concatenate([[False], below[:-1]])]
        found.append(
            frame_of(
                "incidents",
                {
                    "time": rows["time"],
                    "account": rows["account"],
                    "wallet": rows["worst_wallet"],
                    "rung": rung,
                    "symbol": "",
                    "side": "",
                    "collateral": rows["collateral_equity"],
                    "maintenance": rows["maintenance_margin"],
                    "ratio": rows["worst_ratio"],
                    "contracts": 0.0,
                    "price": 0.0,
                    "amount_usd": 0.0,
                    "note": "lowest ratio of the bar; collateral and maintenance of the account at its close",
                },
            )
        )
    return pd.concat(found, ignore_index=True)


def incidents_frame(session: Session, names: Names) -> pd.DataFrame:
    """Everything the engine did out of the ordinary, with the numbers it saw."""
    rows = session.book.incident[: session.book.count[INCIDENT_ROWS]]
    whole = rows.astype(np.int64)
    order = in_order(whole, N_BAR, N_ACCOUNT)
    rows, whole = rows[order], whole[order]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(rows[:, N_MAINTENANCE] > 0, rows[:, N_COLLATERAL] / rows[:, N_MAINTENANCE], np.nan)
    wallet = names.wallet[whole[:, N_ACCOUNT], whole[:, N_WALLET]]
    notes = [place_of(*row) for row in whole[:, [N_POINT, N_INSIDE]].tolist()]
    return frame_of(
        "incidents",
        {
            "time": names.time[whole[:, N_BAR]],
            "account": names.account[whole[:, N_ACCOUNT]],
            "wallet": wallet,
            "rung": np.array(RUNG_NAMES, dtype=object)[whole[:, N_RUNG]],
            "symbol": names.symbol[whole[:, N_POSITION]],
            "side": names.side(whole[:, N_ACCOUNT], whole[:, N_POSITION]),
            "collateral": rows[:, N_COLLATERAL],
            "maintenance": rows[:, N_MAINTENANCE],
            "ratio": ratio,
            "contracts": rows[:, N_CONTRACTS],
            "price": rows[:, N_PRICE],
            "amount_usd": rows[:, N_AMOUNT],
            "note": np.array(notes, dtype=object),
        },
    )


def in_time(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Incidents of several accounts and kinds by time, each kind in its own order."""
    some = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(some, ignore_index=True).sort_values("time", kind="stable", ignore_index=True)


def place_of(point: int, inside_us: int) -> str:
    """Where in its bar something happened, in words."""
    if not inside_us:
        return f"on the way to the bar's {POINT_NAMES[point]}"
    at = pd.Timestamp(inside_us, unit="us", tz="UTC")
    return f"on the way to the {POINT_NAMES[point]} of the finer bar of {at:%H:%M}"
