"""Everything out of the ordinary: what the venue did, and the levels that the margin ratio fell to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.engine.session import Session
from backtest.report.columns import Columns, Words
from backtest.report.frames.names import Names, in_order, listed
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

Floats = npt.NDArray[np.float64]

CROSSED = {"warn": "warn", "reduce_only": "reduce only"}
"""Levels that are told of as incidents when the ratio falls to them, and the words for it."""


def incident_columns(session: Session, names: Names, record: RunRecord) -> Columns:
    """What the engine did and what each account's ratio fell to, by time; each kind in its own order."""
    accounts = range(len(session.plans))
    fallen = [each for k in accounts for each in crossings(session, names, record, k)]
    found = Columns.below([engine_incidents(session, names), *fallen])
    return found.where(np.argsort(found["time"], kind="stable"))


def crossings(session: Session, names: Names, record: RunRecord, k: int) -> list[Columns]:
    """Bars whose lowest ratio fell to a level at which the venue warns or restricts; one a fall.

    Of an account that nobody liquidates, also those at which it would have been.
    """
    told = {**CROSSED, "liquidate": "breach"} if session.plans[k].unbound else CROSSED
    below, found = dict.fromkeys(told, False), {action: list[Columns]() for action in told}
    for rows in record.parts("account", k):
        part = slice(int(rows["bar"][0]), int(rows["bar"][-1]) + 1)
        for action, rung in told.items():
            level = level_of(session, k, action, part)
            under = (level > 0.0) & (rows["worst_ratio"] <= level)
            first = under & ~np.concatenate([[below[action]], under[:-1]])
            below[action] = bool(under[-1])
            if first.any() or not found[action]:
                found[action].append(_fallen(names, rows.where(first), rung))
    return [Columns.below(parts) for parts in found.values()]


def _fallen(names: Names, rows: Columns, rung: str) -> Columns:
    many, note = len(rows), "lowest ratio of the bar; collateral and maintenance of the account at its close"
    return names.by_bar(
        rows["bar"],
        {
            "account": lambda: rows.words("account"),
            "wallet": lambda: rows.words("worst_wallet"),
            "rung": lambda: Words.same(rung, many),
            "symbol": lambda: Words.same("", many),
            "side": lambda: Words.same("", many),
            "collateral": lambda: rows["collateral_equity"],
            "maintenance": lambda: rows["maintenance_margin"],
            "ratio": lambda: rows["worst_ratio"],
            "contracts": lambda: np.zeros(many),
            "price": lambda: np.zeros(many),
            "amount_usd": lambda: np.zeros(many),
            "note": lambda: Words.same(note, many),
        },
    )


def engine_incidents(session: Session, names: Names) -> Columns:
    """Everything the engine did out of the ordinary, with the numbers it saw."""
    rows = session.book.incident[: session.book.count[INCIDENT_ROWS]]
    whole = rows.astype(np.int64)
    order = in_order(whole, N_BAR, N_ACCOUNT)
    rows, whole = rows[order], whole[order]
    places = whole[:, [N_POINT, N_INSIDE]].tolist()
    return names.by_bar(
        whole[:, N_BAR],
        {
            "account": lambda: names.account(whole[:, N_ACCOUNT]),
            "wallet": lambda: names.wallet(whole[:, N_ACCOUNT], whole[:, N_WALLET]),
            "rung": lambda: listed(RUNG_NAMES, whole[:, N_RUNG]),
            "symbol": lambda: names.symbol(whole[:, N_POSITION]),
            "side": lambda: names.side(whole[:, N_ACCOUNT], whole[:, N_POSITION]),
            "collateral": lambda: rows[:, N_COLLATERAL],
            "maintenance": lambda: rows[:, N_MAINTENANCE],
            "ratio": lambda: ratios(rows[:, N_COLLATERAL], rows[:, N_MAINTENANCE]),
            "contracts": lambda: rows[:, N_CONTRACTS],
            "price": lambda: rows[:, N_PRICE],
            "amount_usd": lambda: rows[:, N_AMOUNT],
            "note": lambda: Words.of(np.array([place_of(*place) for place in places], dtype=object)),
        },
    )


def ratios(collateral: Floats, maintenance: Floats) -> Floats:
    """Collateral over maintenance margin; NaN without a requirement."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(maintenance > 0, collateral / maintenance, np.nan)


def place_of(point: int, inside_us: int) -> str:
    """Where in its bar something happened, in words."""
    if not inside_us:
        return f"on the way to the bar's {POINT_NAMES[point]}"
    at = pd.Timestamp(inside_us, unit="us", tz="UTC")
    return f"on the way to the {POINT_NAMES[point]} of the finer bar of {at:%H:%M}"
