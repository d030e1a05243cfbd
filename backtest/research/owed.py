"""What an account owed and nobody says what that costs: balances below zero, and where the venue counts open losses as
borrowed, those beyond the balance as well.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from backtest.engine.session import Session
from backtest.report.frames.trades import position_changes
from backtest.report.steps import Steps
from backtest.research.accounts import owes_by_the_hour
from backtest.state import L_ACCOUNT, L_AMOUNT, L_ASSET, L_BAR, L_WALLET, LEDGER_ROWS
from backtest.units import STEP, amount_of

Ints = npt.NDArray[np.int64]


def debts_without_rate(session: Session, k: int) -> list[str]:
    """Assets of which a wallet of the account has been below zero, and of which no borrow rate is known."""
    plan, assets, found = session.plans[k], session.history.assets, set[int]()
    ledger = session.book.ledger[: session.book.count[LEDGER_ROWS]]
    ledger = ledger[ledger[:, L_ACCOUNT] == k]
    unknown = np.flatnonzero(session.tape.borrow_row[k] < 0).tolist()
    hourly = owes_by_the_hour(plan)
    for wallet, model in enumerate(plan.shape.model):
        if model and plan.shape.settle[wallet] < 0:
            rows = ledger[ledger[:, L_WALLET] == wallet]
            paid = by_asset(rows)
            for asset in unknown:
                mine = paid.get(asset, rows[:0])
                below = np.cumsum(mine[:, L_AMOUNT]).min(initial=0) < 0
                if below or (hourly and owed_openly(session, k, wallet, asset, mine)):
                    found.add(asset)
    return [assets[asset] for asset in sorted(found)]


def by_asset(rows: Ints) -> dict[int, Ints]:
    """Rows of the ledger by the asset that they are of."""
    rows = rows[np.argsort(rows[:, L_ASSET], kind="stable")]
    firsts = np.flatnonzero(np.diff(rows[:, L_ASSET], prepend=-1))
    return {int(each[0, L_ASSET]): each for each in np.split(rows, firsts)[1:]}


def owed_openly(session: Session, k: int, wallet: int, asset: int, paid: Ints) -> bool:
    """Whether open losses took an asset of a wallet below zero at a close. `paid`: its rows of the ledger."""
    profits = list(open_profits(session, k, wallet, asset))
    return bool(profits) and falls_below_zero(
        session, Steps.summed(paid[:, L_BAR], amount_of(paid[:, L_AMOUNT])), profits
    )


def open_profits(session: Session, k: int, wallet: int, asset: int) -> Iterator[tuple[int, Steps, Steps]]:
    """Of a wallet's positions settled in an asset: the instrument, its contracts and what they cost, bar by bar."""
    changes, instruments = position_changes(session), session.history.instruments
    changes = changes[changes[:, 1] == k]
    for position in np.unique(changes[:, 2]).tolist():
        i = position % len(instruments)
        leans = session.plans[k].shape.position_wallet[i] == wallet
        if leans and instruments[i].settle == session.history.assets[asset]:
            mine = changes[changes[:, 2] == position]
            bars, contracts, cost = mine[:, 0], amount_of(mine[:, 3]), amount_of(mine[:, 4])
            yield i, Steps.summed(bars, contracts), Steps.summed(bars, cost)


def falls_below_zero(session: Session, balance: Steps, profits: list[tuple[int, Steps, Steps]]) -> bool:
    """Whether a balance and open profits together are below zero at a close."""
    history = session.history
    for part in history.room.parts(len(history.time)):
        bars = np.arange(part.start, part.stop)
        total = balance.after(bars)
        for i, contracts, cost in profits:
            worth = history.instruments[i].worth(history.mark_close[i][part])
            total = total + contracts.after(bars) * worth - cost.after(bars)
        if total.min() < -STEP:
            return True
    return False
