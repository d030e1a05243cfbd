"""Orders, what was filled of them, and what was held after."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.engine.session import Session
from backtest.ledger.kinds import SETTLED
from backtest.report.frames.names import Names, frame_of, in_order
from backtest.state import (
    CAUSE_NAMES,
    F_ACCOUNT,
    F_BAR,
    F_CAUSE,
    F_CONTRACTS,
    F_COST,
    F_FEE,
    F_FEE_ASSET,
    F_ORDER,
    F_POINT,
    F_POSITION,
    F_REALISED,
    FILL_ROWS,
    L_ACCOUNT,
    L_AMOUNT,
    L_BAR,
    L_INSTRUMENT,
    L_KIND,
    LEDGER_ROWS,
    O_ACCOUNT,
    O_BAR,
    O_CONTRACTS,
    O_FILLED,
    O_GROUP,
    O_KIND,
    O_POSITION,
    O_REASON,
    O_STATE,
    ORDER_KINDS,
    ORDER_ROWS,
    POINT_NAMES,
    REASON_NAMES,
    STATE_NAMES,
)  # fmt: skip
from backtest.units import STEP

Ints = npt.NDArray[np.int64]


def fills_frame(session: Session, names: Names) -> pd.DataFrame:
    """Every trade, in canonical order."""
    count = session.book.count[FILL_ROWS]
    order = in_order(session.book.fill[:count], F_BAR, F_ACCOUNT)
    rows, prices = session.book.fill[:count][order], session.book.fill_price[:count][order]
    instruments, assets = session.history.instruments, session.assets
    bars, positions = rows[:, F_BAR], rows[:, F_POSITION] % len(instruments)
    sizes = np.array([i.contract_size for i in instruments])[positions]
    inverse = np.array([i.kind == "inverse" for i in instruments])[positions]
    quotes = np.array([assets.get(i.quote, -1) for i in instruments])[positions]
    usd = np.where(quotes < 0, 1.0, session.history.index_close[quotes, bars])
    contracts = rows[:, F_CONTRACTS] * STEP
    return frame_of(
        "fills",
        {
            "time": names.time[bars],
            "bar": bars,
            "account": names.account[rows[:, F_ACCOUNT]],
            "symbol": names.symbol[positions],
            "side": names.side(rows[:, F_ACCOUNT], rows[:, F_POSITION]),
            "contracts": contracts,
            "price": prices[:, 0],
            "mark": prices[:, 1],
            "notional_usd": np.abs(contracts) * sizes * np.where(inverse, 1.0, prices[:, 0] * usd),
            "cause": np.array(CAUSE_NAMES, dtype=object)[rows[:, F_CAUSE]],
            "point": np.array(POINT_NAMES, dtype=object)[rows[:, F_POINT]],
            "fee": rows[:, F_FEE] * STEP,
            "fee_asset": names.asset[rows[:, F_FEE_ASSET]],
            "realised": rows[:, F_REALISED] * STEP,
            "settle": np.array([i.settle for i in instruments], dtype=object)[positions],
            "order": rows[:, F_ORDER],
        },
    )


def orders_frame(session: Session, names: Names, fills: pd.DataFrame) -> pd.DataFrame:
    """Every order and what became of it, as placed. `residual_delta_usd`: what the fills of orders placed together left
    of each other, signed notional; NaN for an order placed alone.
    """
    rows = session.book.order[: session.book.count[ORDER_ROWS]]
    prices = session.book.order_price[: len(rows)]
    return frame_of(
        "orders",
        {
            "time": names.time[np.maximum(rows[:, O_BAR], 0)],
            "account": names.account[rows[:, O_ACCOUNT]],
            "id": np.arange(len(rows)),
            "symbol": names.symbol[rows[:, O_POSITION]],
            "side": names.side(rows[:, O_ACCOUNT], rows[:, O_POSITION]),
            "kind": np.array(ORDER_KINDS, dtype=object)[rows[:, O_KIND]],
            "contracts": rows[:, O_CONTRACTS] * STEP,
            "price": np.where(prices[:, 0] > 0, prices[:, 0], np.nan),
            "trigger": np.where(prices[:, 1] > 0, prices[:, 1], np.nan),
            "state": np.array(STATE_NAMES, dtype=object)[rows[:, O_STATE]],
            "reason": np.array(REASON_NAMES, dtype=object)[rows[:, O_REASON]],
            "filled": rows[:, O_FILLED] * STEP,
            "group": rows[:, O_GROUP],
            "residual_delta_usd": residual_deltas(rows[:, O_GROUP], fills),
        },
    )


def residual_deltas(groups: Ints, fills: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Signed notional of all fills of each order's group, USD; NaN where the group is one order."""
    by_order = fills[fills["order"] >= 0]
    signed = by_order["notional_usd"] * np.sign(by_order["contracts"])
    left = signed.groupby(groups[by_order["order"]]).sum()
    many = pd.Series(groups).groupby(groups).transform("size").to_numpy()
    return np.where(many > 1, pd.Series(groups).map(left).fillna(0.0).to_numpy(), np.nan)


def positions_frame(session: Session, names: Names) -> pd.DataFrame:
    """Contracts and cost after each bar in which a futures position changed, or its profit was settled."""
    count = session.book.count[FILL_ROWS]
    fills = session.book.fill[:count][in_order(session.book.fill[:count], F_BAR, F_ACCOUNT)]
    spot = np.array([i.kind == "spot" for i in session.history.instruments] * 2)
    fills = fills[~spot[fills[:, F_POSITION]]]
    table = pd.DataFrame(
        {
            "bar": fills[:, F_BAR],
            "account": fills[:, F_ACCOUNT],
            "position": fills[:, F_POSITION],
            "contracts": fills[:, F_CONTRACTS],
            "cost": fills[:, F_COST],
        }
    )
    rows = session.book.ledger[: session.book.count[LEDGER_ROWS]]
    rows = rows[rows[:, L_KIND] == SETTLED]
    settled = {"bar": rows[:, L_BAR], "account": rows[:, L_ACCOUNT], "position": rows[:, L_INSTRUMENT]}
    if len(rows):
        table = pd.concat([table, pd.DataFrame({**settled, "contracts": 0, "cost": rows[:, L_AMOUNT]})])
    by = ["bar", "account", "position"]
    changes = table.groupby(by, sort=True, as_index=False).sum()
    running = changes.groupby(["account", "position"])[["contracts", "cost"]].cumsum()
    return frame_of(
        "positions",
        {
            "time": names.time[changes["bar"].to_numpy()],
            "account": names.account[changes["account"].to_numpy()],
            "symbol": names.symbol[changes["position"].to_numpy()],
            "side": names.side(changes["account"].to_numpy(), changes["position"].to_numpy()),
            "contracts": running["contracts"].to_numpy() * STEP,
            "cost": running["cost"].to_numpy() * STEP,
        },
    )
