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
from backtest.calculator.book import Placed, rules_of, wallet_of
from backtest.calculator.instruments import assets_of, instruments_of
from backtest.calculator.move import at_prices
from backtest.calculator.snapshot import Snapshot
from backtest.calculator.translate import dollars_at, translated
from backtest.errors import InputError
from backtest.units import STEPS_PER_UNIT
from backtest.venues.brackets import highest_leverage
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
    if (venue, mode) == (own.venue, own.mode):
        return (answer.account, []) if rules == own.rules else _by_other_rules(own, rules)
    snapshot, notes = portable(answer, venue, mode, rules)
    return margin(snapshot).account, notes


def _by_other_rules(own: Snapshot, rules: dict[str, Any]) -> tuple[pd.Series, list[str]]:
    """The account in its own mode, every position in the wallet it is in, by the venue's rules instead of its own."""
    given, capped = _with_leverage(own, {**own.model_dump(), "rules": rules})
    return margin(own.with_(**given)).account, ["by the venue's rules, without the account's [rules]", *capped]


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
    given, notes = translated(given, dollars)
    given, capped = _with_leverage(snapshot, given)
    found = snapshot.with_(**given)
    found, short = _isolated(found, given) if mode == "isolated" else (found, [])
    return found, [*notes, *capped, *short]


def _positions_and_wallets(
    answer: Answer, priced: Mapping[str, Any], mode: str
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Positions, each with its own wallet's margin if it has one and the mode isolates; and what else there is of each
    asset in all wallets, loans apart.
    """
    placed, wallets = answer.placed, {}
    shape, book = placed.plan.shape, placed.book.balance[:, :, 0].copy()
    if shape.loans >= 0:
        book[shape.loans] = 0
    positions = []
    for row, position in zip(priced["positions"], answer.snapshot.positions, strict=True):
        wallet = wallet_of(placed, placed.number(position))
        changed: dict[str, Any] = {"isolated": False, "margin": None}
        if mode == "isolated" and shape.isolates[wallet] >= 0:
            changed = {"isolated": True, "margin": int(book[wallet, shape.settle[wallet]]) / _per_unit(placed)}
            book[wallet, shape.settle[wallet]] = 0
        positions.append({**row, **changed})
    for asset, steps in zip(placed.assets, book.sum(axis=0).tolist(), strict=True):
        if steps:
            wallets[asset] = steps / _per_unit(placed)
    return positions, wallets


def _per_unit(placed: Placed) -> int:
    return STEPS_PER_UNIT * placed.fineness


def _with_leverage(own: Snapshot, given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The account written anew with no leverage above what the venue opens a contract with, and which were lowered."""
    draft = own.with_(**given)
    instruments = instruments_of(draft)
    mode, rule_set = rules_of(draft, instruments, assets_of(draft, instruments))
    if mode.requirement != "tiers":
        return given, []
    notes, leverage, positions = [], dict(given["leverage"]), given["positions"]
    for i, instrument in enumerate(instruments):
        highest, symbol = highest_leverage(rule_set, i), instrument.symbol
        asked = [draft.leverage_of(p) for p in draft.positions if p.symbol == symbol]
        if highest is not None and max(asked, default=leverage.get("default", 1.0)) > highest:
            notes.append(f"{symbol} at {highest:g}x, the most there")
            leverage[symbol] = highest
            positions = [{**row, "leverage": None} if row["symbol"] == symbol else row for row in positions]
    return {**given, "leverage": leverage, "positions": positions}, notes


def _isolated(draft: Snapshot, given: Mapping[str, Any]) -> tuple[Snapshot, list[str]]:
    """Every position in a wallet of its own; one that has none yet takes its notional at entry over its leverage."""
    instruments = {instrument.symbol: instrument for instrument in instruments_of(draft)}
    wallets, positions = dict(given["wallets"]), []
    for row, position in zip(given["positions"], draft.positions, strict=True):
        changed = {}
        if position.margin is None:
            instrument = instruments[position.symbol]
            worth = instrument.worth(position.entry or draft.prices[position.symbol])
            own = abs(position.signed(instrument.contract_size) * worth) / draft.leverage_of(position)
            changed = {"isolated": True, "margin": own}
            wallets[instrument.settle] = wallets.get(instrument.settle, 0.0) - own
        positions.append({**row, **changed})
    short = [f"the positions' margins take {-x:,.2f} {a} more than there is" for a, x in wallets.items() if x < 0]
    return draft.with_(wallets=wallets, positions=positions), short
