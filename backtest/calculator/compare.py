"""The same account under every mode of its venue, and at every venue: what each would ask for the same book.

Wallets are added up by asset first, since no two modes keep them apart alike; an isolated position keeps its wallet,
any other takes its notional at entry over its leverage out of the settlement asset. A venue that knows a contract only
in another dollar is asked in that one, and its row's `note` says so. Where a mode or venue cannot hold the account, its
row says `why_not`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from backtest.calculator.answer import Answer, margin
from backtest.calculator.book import Placed
from backtest.calculator.move import at_prices
from backtest.calculator.snapshot import Position, Snapshot, read_snapshot
from backtest.calculator.translate import dollars_at, translated
from backtest.errors import InputError
from backtest.units import STEPS_PER_UNIT
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
        row: dict[str, Any] = {"venue": venue, "mode": mode, **dict.fromkeys(SHOWN), "note": "", "why_not": ""}
        try:
            account, notes = _asked(answer, venue, mode, rules)
            row |= {name: account[name] for name in SHOWN} | {"note": "; ".join(notes)}
        except InputError as error:
            row["why_not"] = str(error)
        rows.append(row)
    return pd.DataFrame(rows, columns=["venue", "mode", *SHOWN, "note", "why_not"])


def _asked(answer: Answer, venue: str, mode: str, rules: dict[str, Any]) -> tuple[pd.Series, list[str]]:
    """The account's figures in a mode of a venue, and what a reader of them must know; where it stands, its own."""
    own = answer.snapshot
    if (venue, mode, rules) == (own.venue, own.mode, own.rules):
        return answer.account, []
    snapshot, notes = portable(answer, venue, mode, rules)
    return margin(snapshot).account, notes


def portable(answer: Answer, venue: str, mode: str, rules: dict[str, Any]) -> tuple[Snapshot, list[str]]:
    """The account as another mode or venue would hold it, and how it was written anew to be so."""
    snapshot, placed = answer.snapshot, answer.placed
    held = {p.symbol for p in snapshot.positions} | {order.symbol for order in snapshot.orders}
    instruments = [instrument for instrument in placed.instruments if instrument.symbol in held]
    dollars = dollars_at(load(venue), mode, snapshot.at_us, instruments, snapshot.outside)
    priced = at_prices(placed, placed.marks, placed.indexes).model_dump()
    positions, wallets = _positions_and_wallets(answer, priced, mode)
    unheld = {instrument.symbol for instrument in placed.instruments} - held
    terms = {
        i.symbol: {**priced["instruments"].get(i.symbol, {}), "contract_size": i.contract_size} for i in instruments
    }
    given = {
        **priced, "venue": venue, "mode": mode, "rules": rules, "positions": positions, "wallets": wallets,
        "model": snapshot.model if venue == snapshot.venue else None, "instruments": terms,
        "prices": {key: price for key, price in priced["prices"].items() if key not in unheld},
        "leverage": {key: value for key, value in priced["leverage"].items() if key not in unheld},
    }  # fmt: skip
    given, told = translated(given, dollars)
    return read_snapshot(given), [*told, *_short(mode, given["wallets"])]


def _positions_and_wallets(
    answer: Answer, priced: Mapping[str, Any], mode: str
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Positions as the mode isolates them or not, and what is left of each asset where all wallets are one."""
    placed, wallets = answer.placed, _sums(answer.placed)
    positions = []
    for row, position in zip(priced["positions"], answer.snapshot.positions, strict=True):
        changed: dict[str, Any] = {"isolated": False, "margin": None}
        if mode == "isolated":
            settle = placed.instruments[int(placed.rules.instrument[placed.number(position)])].settle
            changed = {"isolated": True, "margin": _own_margin(answer, position)}
            wallets[settle] = wallets.get(settle, 0.0) - changed["margin"]
        positions.append({**row, **changed})
    return positions, wallets


def _sums(placed: Placed) -> dict[str, float]:
    """What is there of each asset in all wallets; loans are no balance."""
    book, found = placed.book.balance[:, :, 0].copy(), {}
    if placed.plan.shape.loans >= 0:
        book[placed.plan.shape.loans] = 0
    for asset, steps in zip(placed.assets, book.sum(axis=0).tolist(), strict=True):
        if steps:
            found[asset] = steps / (STEPS_PER_UNIT * placed.fineness)
    return found


def _own_margin(answer: Answer, position: Position) -> float:
    """What an isolated position's wallet holds; where it has none, its notional at entry over its leverage."""
    placed, number = answer.placed, answer.placed.number(position)
    i, wallet = int(placed.rules.instrument[number]), int(placed.rules.position_wallet[0, number])
    if placed.rules.isolates[0, wallet] >= 0:
        return int(placed.book.balance[wallet, placed.rules.settlement[i], 0]) / (STEPS_PER_UNIT * placed.fineness)
    instrument = placed.instruments[i]
    worth = instrument.worth(position.entry or float(placed.marks[i]))
    return abs(position.signed(instrument.contract_size) * worth) / answer.snapshot.leverage_of(position)


def _short(mode: str, wallets: Mapping[str, float]) -> list[str]:
    """Where isolated margins take more out of the shared wallet than is there."""
    if mode != "isolated":
        return []
    return [
        f"the positions' margins take {-x:,.2f} {asset} more than there is" for asset, x in wallets.items() if x < 0
    ]
