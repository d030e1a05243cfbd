"""The margin calculator: an account as a snapshot, and its venue's own numbers for it.

    answer = backtest.margin("account.toml")
    answer.positions          # notional, margins, liquidation price of each
    answer.account            # equity, collateral, margins, ratio, the venue's ratio
    answer.move({"BTC": -0.3}).account.margin_ratio
    answer.liquidation("BTC") # the price of BTC at which the account is liquidated

A snapshot is what is held now (`calculator.snapshot` says how it is written). It becomes a book, rules and a tape as
the engine has them, and every margin number is asked of the functions that a backtest asks on every bar.
"""

from __future__ import annotations

from backtest.calculator.answer import Answer, margin
from backtest.calculator.ccxt_account import from_ccxt
from backtest.calculator.compare import compare_modes, compare_venues
from backtest.calculator.snapshot import Snapshot, read_snapshot

__all__ = ["Answer", "Snapshot", "compare_modes", "compare_venues", "from_ccxt", "margin", "read_snapshot"]
