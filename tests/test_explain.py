"""Whatever is traded at whatever prices, the parts of the profit sum to the change in equity, and nothing is left."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_report import COIN, PERP, SPOT, account_frame, fill, history, ledger, made, position

from backtest.market.schema import Instrument
from backtest.report.explain import explain

STEP = 1e-8


def worth(instrument: Instrument, price: float) -> float:
    """One contract in its settlement asset."""
    return -instrument.contract_size / price if instrument.kind == "inverse" else instrument.contract_size * price


class Account:
    """A few lines of bookkeeping in whole steps: balances, one position an instrument, and what is written down."""

    def __init__(self) -> None:
        self.balance = {"BTC": 200_000_000, "USDT": 5_000_000_000_000}
        self.held = {PERP.symbol: 0.0, COIN.symbol: 0.0}
        self.cost = {PERP.symbol: 0, COIN.symbol: 0}
        self.ledger: list[tuple[int, str, str, float, str]] = []
        self.fills: list[dict[str, Any]] = []
        self.positions: list[dict[str, Any]] = []
        for asset, steps in self.balance.items():
            self.ledger.append((0, asset, "deposit", steps * STEP, ""))

    def post(self, bar: int, asset: str, kind: str, steps: int, symbol: str) -> None:
        self.balance[asset] += steps
        self.ledger.append((bar, asset, kind, steps * STEP, symbol))

    def buy_spot(self, bar: int, amount: float, price: float, mark: float) -> None:
        self.post(bar, "USDT", "buy", -round(amount * price / STEP), SPOT.symbol)
        self.post(bar, "BTC", "buy", round(amount / STEP), SPOT.symbol)
        self.fills.append(fill(bar, SPOT.symbol, amount, price, mark))

    def trade(self, bar: int, instrument: Instrument, contracts: float, price: float, mark: float) -> None:
        """Close everything that is held, then open `contracts`; rounding each amount of money once."""
        symbol = instrument.symbol
        old = self.held[symbol]
        if old:
            paid = round(-old * worth(instrument, price) / STEP)
            self.post(bar, instrument.settle, "realised", -paid - self.cost[symbol], symbol)
            self.fills.append(fill(bar, symbol, -old, price, mark))
        self.held[symbol], self.cost[symbol] = contracts, round(contracts * worth(instrument, price) / STEP)
        self.fills.append(fill(bar, symbol, contracts, price, mark))
        self.positions.append(position(bar, symbol, contracts, self.cost[symbol] * STEP))

    def equity(self, index: dict[str, float], marks: dict[str, float]) -> float:
        total = sum(steps * STEP * index[asset] for asset, steps in self.balance.items())
        for instrument in (PERP, COIN):
            value = self.held[instrument.symbol] * worth(instrument, marks[instrument.symbol])
            total += (value - self.cost[instrument.symbol] * STEP) * index[instrument.settle]
        return total


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_parts_sum_to_the_change_in_equity_for_any_trades(seed: int) -> None:
    rng, bars = np.random.default_rng(seed), 6
    btc = 40_000 * np.exp(np.cumsum(rng.normal(0, 0.1, bars)))
    usdt = 1 + rng.normal(0, 0.01, bars)
    marks = np.stack([btc / usdt, btc / usdt * (1 + rng.normal(0, 0.01, bars)), btc * (1 + rng.normal(0, 0.01, bars))])
    past = history((SPOT, PERP, COIN), marks.tolist(), btc.tolist(), usdt.tolist(), [40_000.0, *btc[:-1]])
    account, equity = Account(), []
    for bar in range(bars):
        for row, instrument in enumerate((SPOT, PERP, COIN)):
            mark = marks[row, bar] * (1 + rng.normal(0, 0.02))
            price = mark * (1 + rng.normal(0, 0.001))
            if row == 0:
                account.buy_spot(bar, round(rng.uniform(0.001, 0.1), 5), price, mark)
            else:
                account.trade(bar, instrument, float(rng.integers(-20, 20)), price, mark)
        account.post(bar, "USDT", "funding", int(rng.integers(-(10**9), 10**9)), PERP.symbol)
        account.post(bar, "BTC", "fee", -int(rng.integers(0, 10**4)), COIN.symbol)
        account.post(bar, "USDT", "deposit" if bar else "interest", int(rng.integers(0, 10**9)), "")
        index = {"BTC": btc[bar], "USDT": usdt[bar]}
        equity.append(account.equity(index, {PERP.symbol: marks[1, bar], COIN.symbol: marks[2, bar]}))
    frames = {
        "account": account_frame(equity), "ledger": ledger(*account.ledger), "fills": pd.DataFrame(account.fills),
        "positions": pd.DataFrame(account.positions),
    }  # fmt: skip
    record = made(dataclasses.replace(past), frames)
    parts = explain(record)
    assert parts["residual"] == pytest.approx(0.0, abs=1e-6)
    assert parts.sum() == pytest.approx(equity[-1] - record.start_equity(0), abs=1e-6)
