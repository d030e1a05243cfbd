"""Random books lived into by orders, and typed into the calculator as they then stand: the same numbers from both, at
every venue and in every mode.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from fake_port import history_of
from test_round_trip import AT, book, modes

import backtest
from backtest.config import load_config
from backtest.engine.session import Session
from backtest.research.accounts import plan_of
from backtest.research.run import open_session
from backtest.strategy import Order
from backtest.venues.table import moment_us

pytestmark = pytest.mark.jit_off


def lived(typed: dict[str, Any]) -> Session:
    """The book's positions, ordered on four times its money and filled at their entries; then the marks are its own."""
    symbols = {p["symbol"]: [p["entry"], p["entry"], p["mark"], p["mark"]] for p in typed["positions"]}
    sizes = {symbol: {**terms, "lot": 1e-8} for symbol, terms in typed["instruments"].items()}
    history = history_of(
        symbols, index={asset: [price] * 4 for asset, price in typed["prices"].items()}, terms=sizes,
        start_us=moment_us(date.fromisoformat(AT)),
    )  # fmt: skip
    config = load_config({
        "name": "lived", "data": {"store": "none", "start": AT, "end": "2026-10-02"},
        "account": [{
            "venue": typed["venue"], "margin": typed["mode"], "leverage": 4.0,
            "deposit": {asset: 4 * amount for asset, amount in typed["wallets"].items() if asset in history.assets},
        }],
        "strategy": {"class": "strategies.hedged_long:HedgedLong"}, "execution": {"slippage_bps": 0},
        "rules": {"outside": "nearest"},
    })  # fmt: skip
    session = open_session(config, history, [plan_of(config, config.account[0], history)])
    session.advance(1)
    session.submit(0, [Order(p["symbol"], round(p["contracts"], 8)) for p in typed["positions"]])
    session.advance(3)
    return session


def snapshot(typed: dict[str, Any], session: Session) -> dict[str, Any]:
    """The account as it stands at the last close, typed in."""
    isolated = typed["mode"] == "isolated"
    positions = []
    for p in typed["positions"]:
        now: dict[str, Any] = {
            "symbol": p["symbol"], "contracts": session.contracts(0, p["symbol"]),
            "entry": session.entry_price(0, p["symbol"]), "mark": p["mark"],
        }  # fmt: skip
        settle = p["symbol"].split(":")[1]
        if isolated and now["contracts"]:
            now["margin"] = session.balance(0, settle, p["symbol"])
        positions.append(now)
    wallets = {asset: session.balance(0, asset) for asset in session.history.assets}
    for p in positions:
        wallets[p["symbol"].split(":")[1]] -= p.get("margin", 0.0)
    return {
        **typed, "positions": [p for p in positions if p["contracts"]], "outside": "nearest",
        "wallets": {asset: amount for asset, amount in wallets.items() if amount},
        "prices": {asset: price for asset, price in typed["prices"].items() if asset in session.history.assets},
    }  # fmt: skip


@pytest.mark.parametrize("venue, mode", modes())
def test_a_run_and_the_calculator_ask_the_same_of_random_books(venue: str, mode: str) -> None:
    held = 0
    for seed in range(5):
        typed = book(venue, mode, seed)
        session = lived(typed)
        now = snapshot(typed, session)
        if not now["positions"]:
            continue
        held += 1
        answer = backtest.margin(now).account
        for name in ("equity", "collateral_equity", "initial_margin", "maintenance_margin"):
            assert answer[name] == pytest.approx(getattr(session, name)(0), rel=1e-9, abs=1e-6), (seed, name)
    assert held > 0, "no book was ever held"
