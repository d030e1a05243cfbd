"""What was paid: every change of a balance, and of the funding among them the rate and the price."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from backtest.engine.session import Session
from backtest.engine.tape import index_prices
from backtest.ledger.kinds import FUNDED, KIND_NAMES
from backtest.report.columns import Columns
from backtest.report.frames.names import Names, in_order, listed
from backtest.state import (
    E_KIND,
    F_ACCOUNT,
    F_BAR,
    F_CONTRACTS,
    F_POSITION,
    FILL_ROWS,
    FUNDING,
    L_ACCOUNT,
    L_AMOUNT,
    L_ASSET,
    L_BAR,
    L_INSTRUMENT,
    L_KIND,
    L_ORDER,
    L_WALLET,
    LEDGER_ROWS,
)  # fmt: skip
from backtest.units import amount_of

Ints = npt.NDArray[np.int64]


def ledger_columns(session: Session, names: Names) -> Columns:
    """Every change of every balance, in canonical order."""
    rows = session.book.ledger[: session.book.count[LEDGER_ROWS]]
    rows = rows[in_order(rows, L_BAR, L_ACCOUNT)]
    return names.by_bar(
        rows[:, L_BAR],
        {
            "account": lambda: names.account(rows[:, L_ACCOUNT]),
            "wallet": lambda: names.wallet(rows[:, L_ACCOUNT], rows[:, L_WALLET]),
            "asset": lambda: names.asset(rows[:, L_ASSET]),
            "kind": lambda: listed(KIND_NAMES, rows[:, L_KIND]),
            "amount": lambda: amount_of(rows[:, L_AMOUNT]),
            "steps": lambda: rows[:, L_AMOUNT],
            "instrument": lambda: names.symbol(rows[:, L_INSTRUMENT]),
            "order": lambda: names.order(paid_by(rows)),
        },
    )


def paid_by(rows: Ints) -> Ints:
    """The order that caused each row; of funding none, where the row names the event that was paid."""
    return np.where(rows[:, L_KIND] == FUNDED, -1, rows[:, L_ORDER])


def funding_columns(session: Session, names: Names) -> Columns:
    """Every funding payment, with the rate and the price it was paid on: mark, or index where the venue says so. What
    came from two wallets is one payment.
    """
    history, rows = session.history, session.book.ledger[: session.book.count[LEDGER_ROWS]]
    rows = rows[rows[:, L_KIND] == FUNDED]
    rows = whole_payments(rows[in_order(rows, L_BAR, L_ACCOUNT)])
    settled = np.flatnonzero(session.tape.event[:, E_KIND] == FUNDING)  # in the history's own order
    at = np.searchsorted(settled, rows[:, L_ORDER])
    return names.by_bar(
        rows[:, L_BAR],
        {
            "time": lambda: history.funding_time[at],
            "account": lambda: names.account(rows[:, L_ACCOUNT]),
            "symbol": lambda: names.symbol(rows[:, L_INSTRUMENT]),
            "side": lambda: names.side(rows[:, L_ACCOUNT], rows[:, L_INSTRUMENT]),
            "contracts": lambda: amount_of(held_before(session, rows)),
            "price": lambda: np.where(on_index(session, rows), indices_of(session, rows), history.funding_price[at]),
            "rate": lambda: history.funding_rate[at],
            "amount": lambda: amount_of(rows[:, L_AMOUNT]),
            "asset": lambda: names.asset(rows[:, L_ASSET]),
            "flag": lambda: history.funding_flag[at],
        },
    )


def whole_payments(rows: Ints) -> Ints:
    """Rows of the ledger in order, those of one account's position at one event added up."""
    same = (np.diff(rows[:, [L_BAR, L_ACCOUNT, L_INSTRUMENT, L_ORDER]], axis=0) == 0).all(axis=1)
    if not same.any():
        return rows
    firsts = np.flatnonzero(np.append(True, ~same))
    whole = rows[firsts]
    whole[:, L_AMOUNT] = np.add.reduceat(rows[:, L_AMOUNT], firsts)
    return whole


def on_index(session: Session, rows: Ints) -> npt.NDArray[np.bool_]:
    """Whether each funding row was paid on the index, by the account's own venue."""
    rules, sets = session.rules, np.zeros(len(rows), np.int64)
    for account in np.unique(rows[:, L_ACCOUNT]).tolist():
        mine = rows[:, L_ACCOUNT] == account
        sets[mine] = session.history.room.take(session.tape.rules_at[account], rows[mine, L_BAR])
    paid: npt.NDArray[np.bool_] = rules.funding_at[sets, rules.instrument[rows[:, L_INSTRUMENT]]] != 0
    return paid


def indices_of(session: Session, rows: Ints) -> npt.NDArray[np.float64]:
    """The index price of each row's contract at its bar's open."""
    instrument, found = session.rules.instrument[rows[:, L_INSTRUMENT]], np.zeros(len(rows))
    for i in np.unique(instrument).tolist():
        mine = instrument == i
        found[mine] = index_prices(session.history, i, rows[mine, L_BAR])
    return found


def held_before(session: Session, rows: Ints) -> Ints:
    """Contracts held coming into the bar of each ledger row, by the fills of earlier bars."""
    fills = session.book.fill[: session.book.count[FILL_ROWS]]
    held = np.zeros(len(rows), np.int64)
    for account in range(len(session.plans)):
        for i in range(len(session.book.contracts)):
            mine = (rows[:, L_ACCOUNT] == account) & (rows[:, L_INSTRUMENT] == i)
            done = fills[(fills[:, F_ACCOUNT] == account) & (fills[:, F_POSITION] == i)]
            done = done[np.argsort(done[:, F_BAR], kind="stable")]
            total = np.concatenate([[0], np.cumsum(done[:, F_CONTRACTS])])
            held[mine] = total[np.searchsorted(done[:, F_BAR], rows[mine, L_BAR], side="left")]
    return held
