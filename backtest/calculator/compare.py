"""The same account under every mode of its venue, and at every venue: what each would ask for the same book.

Wallets are added up by asset first, since no two modes keep them apart alike; an isolated position takes its notional
at entry over its leverage out of the settlement asset. Where a mode or venue cannot hold the account, its row says why.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from backtest.calculator.answer import Answer, margin
from backtest.calculator.book import balances_of, instruments_of
from backtest.calculator.snapshot import Snapshot
from backtest.errors import InputError
from backtest.venues.load import load, names

SHOWN = (
    "equity", "collateral_equity", "initial_margin", "maintenance_margin", "available", "margin_ratio",
    "liquidation_level", "venue_ratio", "utilization", "leverage",
)  # fmt: skip


def compare_modes(answer: Answer) -> pd.DataFrame:
    """One row a mode of the account's venue, at its date."""
    snapshot = answer.snapshot
    modes = load(snapshot.venue).modes(snapshot.at_us, snapshot.counterfactual)
    return _table(answer, [(snapshot.venue, mode) for mode in modes], snapshot.rules)


def compare_venues(answer: Answer) -> pd.DataFrame:
    """One row a venue and mode, at the account's date, each by its own rules; the account's [rules] are left out."""
    at_us = answer.snapshot.at_us
    pairs = [(name, mode) for name in names() for mode in load(name).modes(at_us)]
    return _table(answer, pairs, {})


def _table(answer: Answer, pairs: list[tuple[str, str]], rules: dict[str, Any]) -> pd.DataFrame:
    rows = []
    for venue, mode in pairs:
        try:
            account = margin(portable(answer, venue, mode, rules)).account
            rows.append({"venue": venue, "mode": mode, **{name: account[name] for name in SHOWN}, "why_not": ""})
        except InputError as error:
            rows.append({"venue": venue, "mode": mode, **dict.fromkeys(SHOWN), "why_not": str(error)})
    return pd.DataFrame(rows, columns=["venue", "mode", *SHOWN, "why_not"])


def portable(answer: Answer, venue: str, mode: str, rules: dict[str, Any]) -> Snapshot:
    """The account with its wallets added up, as another mode would hold it."""
    from backtest.calculator.move import at_prices

    snapshot = answer.snapshot
    priced = at_prices(answer.placed, answer.placed.marks, answer.placed.indexes)
    sums: dict[str, float] = {}
    for _, asset, amount in balances_of(snapshot):
        sums[asset] = sums.get(asset, 0.0) + amount
    instruments = {i.symbol: i for i in instruments_of(snapshot)}
    positions = []
    for position in priced.positions:
        instrument, symbol = instruments[position.symbol], position.symbol
        if position.isolated and position.margin is not None:
            sums[instrument.settle] = sums.get(instrument.settle, 0.0) + position.margin
        changed: dict[str, Any] = {"isolated": False, "margin": None}
        if mode == "isolated":
            entry = position.entry or priced.prices[symbol]
            cost = abs(position.signed(instrument.contract_size) * instrument.worth(entry))
            own = cost / snapshot.leverage_of(position)
            changed = {"isolated": True, "margin": own}
            sums[instrument.settle] = sums.get(instrument.settle, 0.0) - own
        positions.append({**position.model_dump(), **changed})
    return priced.with_(venue=venue, mode=mode, wallets=sums, positions=positions, rules=rules)
