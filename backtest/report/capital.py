"""Least capital: the smallest deposit of the same kind with which the same fills would have met every requirement."""

from __future__ import annotations

import numpy as np

from backtest.report.columns import Columns
from backtest.report.record import Floats, RunRecord


def least_capital(record: RunRecord, account: int) -> float:
    """The smallest deposit, USD, with which the same fills would have met every requirement on the way.

    Σ wallets [start equity - min over bars (collateral - max(initial, level x maintenance))], the minimum along the
    bar's path; later flows count against the wallet they came to. Nothing below 0: an account that needed nothing needs
    no capital. Spot alone, which no margin rule watches, needs what was paid in.
    """
    rows, first = record.columns("wallets", account), record.first_deposits(account)
    paid_in = record.flows_usd(first, "open")
    if not len(rows):
        return float(paid_in.sum())
    began = first.words("wallet")
    spare, wallets = rows["headroom"] - _came_in(record, account, rows), rows.words("wallet")
    least = [
        float(paid_in[began.among(wallet)].sum()) - _lowest(spare[wallets.among(wallet)])
        for wallet in sorted({*wallets.present, *began.present})
    ]
    return max(0.0, float(np.sum(least)))


def _lowest(spare: Floats) -> float:
    """The least headroom of a wallet; one that backs nothing has none to spare."""
    return float(np.fmin.reduce(spare)) if len(spare) else 0.0


def _came_in(record: RunRecord, account: int, rows: Columns) -> Floats:
    """Later deposits less withdrawals of each row's wallet up to its bar, USD at the time."""
    flows, came = record.later_flows(account), np.zeros(len(rows))
    if len(flows):
        at, wallets = record.bars(rows), rows.words("wallet")
        for value, bar, wallet in zip(record.flows_usd(flows), record.bars(flows), flows["wallet"], strict=True):
            came[(at >= bar) & wallets.among(wallet)] += value
    return came
