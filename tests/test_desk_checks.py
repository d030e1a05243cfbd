"""What a desk works out by hand first: ladders of two venues on a few prices, a crash hour by hour, a book's ratio.

Expected numbers are arithmetic on typed prices, on the raw files and on the venues' pages; none is from a run.
"""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from real_history import STEP, Hold

import backtest
from backtest import Result
from backtest.market.importers.tidy import import_tidy

HOUR = pd.Timedelta(hours=1)
SIGMA = math.log(1.01)  # a day, of closes that are now a price, now 1 % above it


def gaps(folder: Path, venue: str, symbol: str, start: str, prices: list[float], volume: float) -> Path:
    """Forty days that close at the first price and 1 % above it in turn, then an hour of each price, without a wick."""
    day_by_day = [prices[0] * (1.01 if day % 2 else 1.0) for day in range(40, 0, -1) for _ in range(24)]
    closes = [*day_by_day, *prices]
    time = pd.date_range(pd.Timestamp(start, tz="UTC") - 40 * 24 * HOUR, periods=len(closes), freq=HOUR)
    bars = pd.DataFrame({"time": time, **dict.fromkeys(("open", "high", "low", "close"), closes), "volume": volume})
    for name in (symbol, symbol.split(":")[0]):
        import_tidy(bars, folder, venue, name, "bars-1h")
    import_tidy(bars.drop(columns="volume"), folder, venue, symbol, "mark-1h")
    import_tidy(pd.DataFrame({"time": time[::8], "funding_rate": 0.0}), folder, venue, symbol, "funding")
    return folder


def held(store: Path, venue: str, margin: str, symbol: str, contracts: float, usdt: float, leverage: float, start: str,
         hours: int) -> Result:  # fmt: skip
    """Bought at the second hour's open without slippage, then left to the venue."""
    return backtest.run({
        "name": "gaps", "execution": {"slippage_bps": 0, "volume_share": 1.0},
        "data": {"store": str(store), "start": start, "end": str(pd.Timestamp(start) + hours * HOUR)},
        "account": [{
            "venue": venue, "margin": margin, "leverage": {"default": leverage}, "deposit": {"USDT": usdt},
        }],
        "strategy": {"class": Hold, "params": {"contracts": {symbol: contracts}}},
    })  # fmt: skip


def paid(result: Result, kind: str) -> list[float]:
    """Rows of one kind of the ledger."""
    ledger = result.ledger
    return [float(amount) for amount in ledger.loc[ledger["kind"] == kind, "amount"]]


def worsened(mark: float, coins: float, daily: float) -> float:
    """A forced sale's price: half a spread of 2 bp and sigma sqrt(Q / V) below the mark."""
    return mark * (1 - 0.0001 - SIGMA * math.sqrt(coins / daily))


def test_okx_gives_up_two_tiers_at_the_taker_rate_and_the_maintenance_rate_of_what_it_closes(tmp_path: Path) -> None:
    """100 BTC are 10,000 contracts, the third tier, 0.75 %. At 56,480 of 400,000 less a fee of 3,000 there are 45,000
    left against (0.75 % + 0.05 %) x 5,648,000 = 45,184; the first tier and the fee would ask 0.45 % = 25,416, so two
    tiers are given up: 90 BTC go, for 0.05 % of what they bring and 0.75 % of their mark. At 56,200 the ten that are
    left are of the first tier, and are taken over at the price that leaves nothing.
    """
    symbol, prices = "BTC/USDT:USDT", [60_000.0, 60_000.0, 60_000.0, 56_480.0, 56_480.0, 56_200.0, 56_200.0]
    store = gaps(tmp_path, "okx", symbol, "2026-09-01", prices, 1e6)
    result = held(store, "okx", "cross", symbol, 100.0, 400_000.0, 20.0, "2026-09-01", 7)
    sold = worsened(56_480.0, 90.0, 24e6)
    left = 397_000 - 90 * (60_000 - sold) - 0.0005 * 90 * sold - 0.0075 * 90 * 56_480
    assert result.incidents["rung"].tolist() == ["two tiers down", "takeover"]
    assert result.incidents["collateral"].tolist() == pytest.approx([45_000, left - 10 * (60_000 - 56_200)])
    assert result.incidents["maintenance"].tolist() == pytest.approx([45_184, 0.0045 * 10 * 56_200])
    assert result.fills["contracts"].tolist() == [100.0, -90.0, -10.0]
    assert result.fills["price"].tolist() == pytest.approx([60_000, sold, 60_000 - left / 10])
    assert paid(result, "liquidation_fee") == pytest.approx([-0.0005 * 90 * sold], abs=STEP)
    assert paid(result, "insurance") == pytest.approx([-38_124.0])
    assert result.equity.iloc[4] == pytest.approx(left - 10 * (60_000 - 56_480))
    assert result.equity.iloc[-1] == pytest.approx(0.0, abs=STEP)


def test_bybit_cuts_an_isolated_position_to_a_tier_it_can_keep_and_takes_it_over_when_its_margin_is_gone(
    tmp_path: Path,
) -> None:
    """12,000 LTC on 120,000; closing fee 0.055 % x 90 a coin. At 91.5 18,000 are left against 3.5 % x 1,098,000 -
    15,000 + 594 = 24,024. At 1,000,000 maintenance would be 20,000 and a fee, more than there is; at 800,000 it is
    14,000 and a fee: 8,743.1 coins are kept and all of the margin. At 88 it is all lost, and no more; the fund bears
    the rest.
    """
    symbol, prices = "LTC/USDT:USDT", [100.0, 100.0, 100.0, 91.5, 91.5, 88.0, 88.0]
    store = gaps(tmp_path, "bybit", symbol, "2026-06-01", prices, 200_000.0)
    result = held(store, "bybit", "isolated", symbol, 12_000.0, 200_000.0, 10.0, "2026-06-01", 7)
    sold = worsened(91.5, 3_256.9, 4.8e6)
    margin = 120_000 - 3_256.9 * (100 - sold)
    bankrupt = 100 - margin / 8_743.1
    assert result.incidents["rung"].tolist() == ["tier down", "takeover"]
    assert result.incidents["collateral"].tolist() == pytest.approx([18_000, margin - 8_743.1 * 12])
    assert result.incidents["maintenance"].iloc[0] == pytest.approx(24_024)
    assert result.fills["contracts"].tolist() == pytest.approx([12_000.0, -3_256.9, -8_743.1])
    assert result.fills["price"].tolist() == pytest.approx([100, sold, bankrupt])
    between = result.account.iloc[4]
    assert between["maintenance_margin"] == pytest.approx(0.025 * 8_743.1 * 91.5 - 6_000 + 8_743.1 * 0.0495)
    assert between["initial_margin"] == pytest.approx(8_743.1 * (10 + 0.0495))
    assert result.incidents["amount_usd"].iloc[1] == pytest.approx(8_743.1 * (bankrupt - 88))
    assert result.equity.iloc[-1] == pytest.approx(200_000 - 0.00055 * 1_200_000 - 120_000)
