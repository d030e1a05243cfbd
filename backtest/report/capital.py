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
    first, lowest = record.first_deposits(account), dict[str, float]()
    paid_in = record.flows_usd(first, "open")
    for rows in record.parts("wallets", account):
        spare, wallets = rows["headroom"] - _came_in(record, account, rows), rows.words("wallet")
        for wallet in wallets.present:
            least = float(np.fmin.reduce(spare[wallets.among(wallet)]))
            lowest[wallet] = float(np.fmin(lowest.get(wallet, least), least))
    if not lowest:
        return float(paid_in.sum())
    began = first.words("wallet")
    # a wallet that backs nothing has no headroom to spare
    needed = [
        float(paid_in[began.among(wallet)].sum()) - lowest.get(wallet, 0.0)
        for wallet in sorted({*lowest, *began.present})
    ]
    return max(0.0, float(np.sum(needed)))


def _came_in(record: RunRecord, account: int, rows: Columns) -> Floats:
    """Later deposits less withdrawals of each row's wallet up to its bar, USD at the time."""
    flows, came = record.later_flows(account), np.zeros(len(rows))
    if len(flows):
        at, wallets = record.bars(rows), rows.words("wallet")
        for value, bar, wallet in zip(record.flows_usd(flows), record.bars(flows), flows["wallet"], strict=True):
            came[(at >= bar) & wallets.among(wallet)] += value
    return came
