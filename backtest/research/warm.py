"""The core compiled ahead of the first run, by using it once: an invented market of some hours, a strategy that asks
for everything a strategy may ask for, an account typed into the calculator.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files

import numpy as np

from backtest.calculator import margin
from backtest.calculator.book import history_of
from backtest.market.history import History
from backtest.market.schema import HOUR_US, Instrument
from backtest.research.run import run
from backtest.strategy import Desk, Order, Strategy
from backtest.strategy.bar import Bar

START_US, HOURS = 1_704_067_200_000_000, 4  # from 2024-01-01
SPOT, PERPETUAL = "BTC/USDT", "BTC/USDT:USDT"


def warm() -> float:
    """Compile, or find compiled, whatever runs and the calculator call. Returns the seconds it took."""
    began = time.perf_counter()
    run(_asked(), data=_market())
    margin(str(files("backtest.calculator") / "account.toml")).account  # noqa: B018 - worked out when it is read
    return time.perf_counter() - began


class Everything(Strategy):
    """Uses the desk in every way once."""

    schedule = "1h"

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        """Both legs."""
        return [SPOT, PERPETUAL]

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        """A purchase, an order that is taken back, a transfer, and the question how much more would go."""
        desk.buy(SPOT, 0.01)
        desk.cancel(desk.sell(PERPETUAL, 0.01, kind="limit", price=2.0 * bar.mark[PERPETUAL]))
        desk.transfer("USDT", 1.0, "spot", "usdm")
        desk.max_size(Order(PERPETUAL, contracts=-1.0))


def _asked() -> dict[str, object]:
    """A run in cross margin: the mode with most wallets."""
    return {
        "name": "warm",
        "data": {"store": "none", "start": "2024-01-01", "end": "2024-01-02", "interval": "1h"},
        "account": [{"venue": "binance", "margin": "cross", "deposit": {"USDT": 10_000.0}}],
        "strategy": {"class": Everything},
    }


def _market() -> History:
    """Hours in which nothing moves."""
    terms = (1.0, 0.01, 1e-5, 0.0, None, None, None, "invented")
    pair = tuple(
        Instrument(symbol, kind, "BTC", "USDT", "USDT", *terms)
        for symbol, kind in ((SPOT, "spot"), (PERPETUAL, "linear"))
    )
    marks, indexes = np.full((2, HOURS), 40_000.0), np.array([[1.0] * HOURS, [40_000.0] * HOURS])
    still = history_of(START_US, pair, ("USDT", "BTC"), marks, indexes)
    return replace(still, time=START_US + HOUR_US * np.arange(HOURS, dtype=np.int64))
