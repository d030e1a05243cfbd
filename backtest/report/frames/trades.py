"""Orders, what was filled of them, and what was held after."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.engine.session import Session
from backtest.ledger.kinds import SETTLED
from backtest.report.columns import Columns
from backtest.report.frames.names import Names, in_order, listed
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
    POINT_NAMES,
    REASON_NAMES,
    STATE_NAMES,
)  # fmt: skip
from backtest.units import amount_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def fill_columns(session: Session, names: Names) -> Columns:
    """Every trade, in canonical order."""
    count = session.book.count[FILL_ROWS]
    order = in_order(session.book.fill[:count], F_BAR, F_ACCOUNT)
    rows, prices = session.book.fill[:count][order], session.book.fill_price[:count][order]
    instruments = session.history.instruments
    positions = rows[:, F_POSITION] % len(instruments)
    return names.by_bar(
        rows[:, F_BAR],
        {
            "account": lambda: names.account(rows[:, F_ACCOUNT]),
            "symbol": lambda: names.symbol(positions),
            "side": lambda: names.side(rows[:, F_ACCOUNT], rows[:, F_POSITION]),
            "contracts": lambda: amount_of(rows[:, F_CONTRACTS]),
            "price": lambda: prices[:, 0],
            "mark": lambda: prices[:, 1],
            "notional_usd": lambda: notionals(session, rows, prices[:, 0]),
            "cause": lambda: listed(CAUSE_NAMES, rows[:, F_CAUSE]),
            "point": lambda: listed(POINT_NAMES, rows[:, F_POINT]),
            "fee": lambda: amount_of(rows[:, F_FEE]),
            "fee_asset": lambda: names.asset(rows[:, F_FEE_ASSET]),
            "realised": lambda: amount_of(rows[:, F_REALISED]),
            "settle": lambda: listed(tuple(i.settle for i in instruments), positions),
            "order": lambda: names.order(rows[:, F_ORDER]),
        },
    )


def notionals(session: Session, rows: Ints, price: Floats) -> Floats:
    """What each fill was worth, USD, at the close index of its quote currency."""
    instruments = session.history.instruments
    bars, positions = rows[:, F_BAR], rows[:, F_POSITION] % len(instruments)
    sizes = np.array([i.contract_size for i in instruments])[positions]
    inverse = np.array([i.kind == "inverse" for i in instruments])[positions]
    quotes = np.array([session.assets.get(i.quote, -1) for i in instruments])[positions]
    usd = np.ones(len(rows))
    for quote in np.unique(quotes[quotes >= 0]).tolist():
        mine = quotes == quote
        usd[mine] = session.history.room.take(session.history.index_close[quote], bars[mine])
    worth: Floats = np.abs(amount_of(rows[:, F_CONTRACTS])) * sizes * np.where(inverse, 1.0, price * usd)
    return worth


def order_columns(session: Session, names: Names, fills: Columns) -> Columns:
    """Every order and what became of it, as placed. `residual_delta_usd`: what the fills of orders placed together left
    of each other, signed notional; NaN for an order placed alone.
    """
    placed = names.order_rows()
    rows, prices = session.book.order[placed], session.book.order_price[placed]
    groups = names.order(rows[:, O_GROUP])
    return names.by_bar(
        np.maximum(rows[:, O_BAR], 0),
        {
            "account": lambda: names.account(rows[:, O_ACCOUNT]),
            "id": lambda: np.arange(len(rows)),
            "symbol": lambda: names.symbol(rows[:, O_POSITION]),
            "side": lambda: names.side(rows[:, O_ACCOUNT], rows[:, O_POSITION]),
            "kind": lambda: listed(ORDER_KINDS, rows[:, O_KIND]),
            "contracts": lambda: amount_of(rows[:, O_CONTRACTS]),
            "price": lambda: np.where(prices[:, 0] > 0, prices[:, 0], np.nan),
            "trigger": lambda: np.where(prices[:, 1] > 0, prices[:, 1], np.nan),
            "state": lambda: listed(STATE_NAMES, rows[:, O_STATE]),
            "reason": lambda: listed(REASON_NAMES, rows[:, O_REASON]),
            "filled": lambda: amount_of(rows[:, O_FILLED]),
            "group": lambda: groups,
            "residual_delta_usd": lambda: residual_deltas(groups, fills),
        },
    )


def residual_deltas(groups: Ints, fills: Columns) -> Floats:
    """Signed notional of all fills of each order's group, USD; NaN where the group is one order."""
    by_order = fills.where(fills["order"] >= 0)
    signed = pd.Series(by_order["notional_usd"] * np.sign(by_order["contracts"]))
    left = signed.groupby(groups[by_order["order"]]).sum()
    many = pd.Series(groups).groupby(groups).transform("size").to_numpy()
    return np.where(many > 1, pd.Series(groups).map(left).fillna(0.0).to_numpy(), np.nan)


def position_columns(session: Session, names: Names) -> Columns:
    """Contracts and cost after each bar in which a futures position changed, or its profit was settled."""
    changes = position_changes(session)
    by, rows = np.lexsort((changes[:, 2], changes[:, 1], changes[:, 0])), np.empty((0, 5), np.int64)
    if len(changes):
        changes = changes[by]
        firsts = np.flatnonzero((np.diff(changes[:, :3], axis=0, prepend=-1) != 0).any(axis=1))
        rows = np.hstack((changes[firsts, :3], np.add.reduceat(changes[:, 3:], firsts)))
    for account, position in np.unique(rows[:, 1:3], axis=0):
        mine = (rows[:, 1] == account) & (rows[:, 2] == position)
        rows[mine, 3:] = np.cumsum(rows[mine, 3:], axis=0)
    return names.by_bar(
        rows[:, 0],
        {
            "account": lambda: names.account(rows[:, 1]),
            "symbol": lambda: names.symbol(rows[:, 2]),
            "side": lambda: names.side(rows[:, 1], rows[:, 2]),
            "contracts": lambda: amount_of(rows[:, 3]),
            "cost": lambda: amount_of(rows[:, 4]),
        },
    )


def position_changes(session: Session) -> Ints:
    """Bar, account, position, and by how much fills and settlements changed its contracts and its cost, in steps."""
    fills = session.book.fill[: session.book.count[FILL_ROWS]]
    spot = np.array([i.kind == "spot" for i in session.history.instruments] * 2)
    fills = fills[~spot[fills[:, F_POSITION]]]
    ledger = session.book.ledger[: session.book.count[LEDGER_ROWS]]
    settled = ledger[ledger[:, L_KIND] == SETTLED]
    paid = settled[:, [L_BAR, L_ACCOUNT, L_INSTRUMENT, L_AMOUNT, L_AMOUNT]]
    paid[:, 3] = 0
    return np.concatenate((fills[:, [F_BAR, F_ACCOUNT, F_POSITION, F_CONTRACTS, F_COST]], paid))
