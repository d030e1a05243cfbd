"""What a desk works out by hand first: ladders of two venues on a few prices, a crash hour by hour, a book's ratio.

Expected numbers are arithmetic on typed prices, on the raw files and on the venues' pages; none is from a run.
"""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from real_history import (
    STEP,
    Hold,
    bars,
    brackets,
    config,
    hourly_marks,
    maintenance,
    mark_before,
    on_grid,
    rates,
    tier_of,
    utc,
)

import backtest
from backtest import Result
from backtest.market.importers.layout import import_layout
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
    impact = 90 * (sold - 56_480) + 10 * (60_000 - left / 10 - 56_200)
    cost = impact - 0.0005 * 90 * sold - 38_124
    assert (result.stats["Liquidation Cost"], result.explain()["liquidation"]) == pytest.approx((cost, cost))
    assert result.explain()["insurance and write-off"] == 0.0
    assert result.equity.iloc[-1] == pytest.approx(0.0, abs=STEP)


def test_bybit_cuts_an_isolated_position_to_a_tier_it_can_keep_and_takes_it_over_when_its_margin_is_gone(
    tmp_path: Path,
) -> None:
    """12,000 LTC on a tenth, 120,000, and the fee to close, 0.055 % x 90 a coin: 594. At 91.5 18,594 are left against
    3.5 % x 1,098,000 - 15,000 + 594 = 24,024. At 1,000,000 maintenance would be 20,000 and a fee, more than there is;
    at 800,000 it is 14,000 and a fee: 8,743.1 coins are kept and all of the margin. At 88 it is all lost, the fee of
    the takeover with it, and no more; the fund bears the rest.
    """
    symbol, prices = "LTC/USDT:USDT", [100.0, 100.0, 100.0, 91.5, 91.5, 88.0, 88.0]
    store = gaps(tmp_path, "bybit", symbol, "2026-06-01", prices, 200_000.0)
    result = held(store, "bybit", "isolated", symbol, 12_000.0, 200_000.0, 10.0, "2026-06-01", 7)
    sold = worsened(91.5, 3_256.9, 4.8e6)
    margin = 120_594 - 3_256.9 * (100 - sold) - 0.00055 * 3_256.9 * sold  # a forced order pays the taker rate
    bankrupt = (100 - margin / 8_743.1) / (1 - 0.00055)  # what is left there is the fee
    assert result.incidents["rung"].tolist() == ["tier down", "takeover"]
    assert result.incidents["collateral"].tolist() == pytest.approx([18_594, margin - 8_743.1 * 12])
    assert result.incidents["maintenance"].iloc[0] == pytest.approx(24_024)
    assert result.fills["contracts"].tolist() == pytest.approx([12_000.0, -3_256.9, -8_743.1])
    assert result.fills["price"].tolist() == pytest.approx([100, sold, bankrupt])
    between = result.account.iloc[4]
    assert between["maintenance_margin"] == pytest.approx(0.025 * 8_743.1 * 91.5 - 6_000 + 8_743.1 * 0.0495)
    assert between["initial_margin"] == pytest.approx(8_743.1 * (10 + 0.0495))
    assert result.incidents["amount_usd"].iloc[1] == pytest.approx(8_743.1 * 12 - margin)
    assert result.fills["fee"].iloc[-1] == pytest.approx(0.00055 * 8_743.1 * bankrupt)
    assert result.equity.iloc[-1] == pytest.approx(200_000 - 0.00055 * 1_200_000 - 120_594)


def test_a_new_isolated_position_at_bybit_brings_the_fee_to_close_along_and_goes_bankrupt_where_the_page_says() -> None:
    """12,000 LTC at 100, 10x: 120,000 and 12,000 x 90 x 0.055 % = 594. The page's price is 100 - (IM - MM) / size with
    the fee in both, MM = 3.5 % of the mark less 15,000: 100 - (120,000 - 0.035 P 12,000 + 15,000) / 12,000 = P, so
    P = (100 - 11.25) / 0.965. It is bankrupt at 90: what is left, 594, is the fee of closing there.
    """
    answer = backtest.margin({
        "venue": "bybit", "mode": "isolated", "at": "2026-06-01", "leverage": 10, "wallets": {"USDT": 1_000.0},
        "positions": [{"symbol": "LTC/USDT:USDT", "contracts": 12_000.0, "entry": 100.0, "mark": 100.0}],
        "prices": {"USDT": 1.0, "LTC": 100.0},
    })  # fmt: skip
    position = answer.positions.iloc[0]
    assert position["initial_margin"] == pytest.approx(120_594)
    assert position["liquidation_price"] == pytest.approx((100 - 11.25) / 0.965)


# A book of two coins and a dated future


def coin_margin(legs: list[tuple[float, float]], reach: float, offset: float, least: float, risk: float) -> float:
    """Deribit's risk-matrix margin in coins of [coins, years to delivery]: the worst edge of the table (a move x is
    worth 1 - 1 / (1 + x) a coin), and |coins| times the annualised move of each expiry, of a perpetual the least.
    """
    edges = [sum(coins for coins, _ in legs) * (1 - 1 / (1 + x)) for x in (-reach, reach)]
    worst = -min(edge * offset if edge > 0 else edge for edge in edges)
    return worst + sum(abs(coins) * max(least, math.exp(risk * years) - 1) for coins, years in legs)


def test_deribit_s_margin_of_two_coins_and_a_dated_future_and_the_bitcoin_price_that_ends_it() -> None:
    """Parameters of the exchange's answers of 2024-06-17 (BTC) and 2026-02-15 (ETH). Extreme moves are pulled back by
    100,000 dollars of coins and more, below the table's edge. BTC falls with its contracts, ETH stays.
    """
    years = (pd.Timestamp("2024-09-27 08:00") - pd.Timestamp("2024-07-01")) / pd.Timedelta(days=365)

    def by_hand(moved: float) -> tuple[float, float]:
        """Equity and the sum of both coins' margin, USD, with BTC at `moved` times its price."""
        index, perpetual, dated = 62_950 * moved, 63_000 * moved, 65_000 * moved
        btc = 40 + 6e6 * (1 / 62_000 - 1 / perpetual) - 2e6 * (1 / 66_000 - 1 / dated)
        eth = 500 - 1.5e6 * (1 / 3_500 - 1 / 3_400)
        asked = index * coin_margin([(6e6 / perpetual, 0.0), (-2e6 / dated, years)], 0.16, 0.0, 0.01, 0.075)
        return btc * index + eth * 3_395, asked + 3_395 * coin_margin([(-1.5e6 / 3_400, 0.0)], 0.18, 0.6, 0.005, 0.05)

    legs = {"BTC/USD:BTC": (600_000, 62_000, 63_000, 10), "BTC/USD:BTC-240927": (-200_000, 66_000, 65_000, 10),
            "ETH/USD:ETH": (-1_500_000, 3_500, 3_400, 1)}  # fmt: skip
    answer = backtest.margin({
        "venue": "deribit", "mode": "portfolio", "at": "2024-07-01", "leverage": 10,
        "wallets": {"BTC": 40.0, "ETH": 500.0}, "prices": {"BTC": 62_950, "ETH": 3_395},
        "positions": [
            {"symbol": s, "contracts": n, "entry": entry, "mark": mark} for s, (n, entry, mark, _) in legs.items()
        ],
        "instruments": {symbol: {"contract_size": size} for symbol, (*_, size) in legs.items()},
    })  # fmt: skip
    equity, asked = by_hand(1.0)
    account = answer.account
    assert (account["equity"], account["initial_margin"]) == pytest.approx((equity, asked))
    assert account["margin_ratio"] == pytest.approx(equity / (0.8 * asked))
    found = answer.liquidation("BTC")
    assert found is not None
    equity, asked = by_hand(found.price / 62_950)
    assert equity == pytest.approx(0.8 * asked, rel=1e-9) and found.move < -0.5
    assert answer.liquidation("ETH") is None


def test_a_large_balance_under_pm_pro_counts_by_its_steps_of_dollars_today_and_at_its_end() -> None:
    """40 million DOGE since 2025-09-16: 3 million dollars at 100 %, 3 at 95 %, the rest at 90 %. Their short of
    10,004,000 asks 5 % less 116,280; five times as large, at its end, 25 % less 8,366,280 (brackets of 2025-06-26).
    """
    answer = backtest.margin({
        "venue": "binance", "mode": "portfolio_pro", "at": "2025-10-10", "leverage": 5,
        "wallets": {"DOGE": 40e6, "USDT": 50_000}, "prices": {"DOGE": 0.25, "USDT": 1.0},
        "positions": [{"symbol": "DOGE/USDT:USDT", "contracts": -40e6, "entry": 0.24, "mark": 0.2501}],
    })  # fmt: skip

    def by_hand(price: float, rate: float, deduction: float) -> tuple[float, float]:
        mark = 0.2501 / 0.25 * price
        counted = 3e6 + 0.95 * 3e6 + 0.9 * (40e6 * price - 6e6)
        return counted + 50_000 + 40e6 * (0.24 - mark), rate * 40e6 * mark - deduction

    account, found = answer.account, answer.liquidation("DOGE")
    assert by_hand(0.25, 0.05, 116_280) == pytest.approx((9_096_000, 383_920))
    assert (account["collateral_equity"], account["maintenance_margin"]) == pytest.approx((9_096_000, 383_920))
    assert found is not None and 1.25 < found.price < 2.5  # from 50 to 100 million dollars
    collateral, maintenance = by_hand(found.price, 0.25, 8_366_280)
    assert collateral == pytest.approx(1.05 * maintenance, rel=1e-9)


# The crash of August 2024


def test_portfolio_margin_hour_by_hour_through_the_fifth_of_august_2024(
    market_data: Path, reference_data: Path, tmp_path: Path
) -> None:
    """250 ETH and 300 USDT, all of the ETH short; the fee is 404. On the way from 3,230 to 2,111 the short leaves the
    bracket above 600,000 dollars (0.65 % less 950) for 0.5 % less 50, and comes back. Coins count 95 %; a balance below
    zero is no margin loan and asks for nothing.
    """
    symbol = "ETH/USDT:USDT"
    import_layout(market_data, tmp_path, only=["ETH/USDT", symbol])
    result = backtest.run(
        config(tmp_path, "2024-08-01", "2024-08-08", {"ETH": 250, "USDT": 300}, Hold, {"contracts": {symbol: -250.0}},
               margin="portfolio")
    )  # fmt: skip

    first, end = utc("2024-08-01 01:00"), utc("2024-08-08")
    spot, traded = (on_grid(bars(market_data, f"{market}/ETHUSDT-1h"), first, end) for market in ("spot", "um"))
    mark, entry = hourly_marks(market_data, "ETHUSDT", first, end), traded["open"].iloc[0]
    rate = rates(market_data, "um/ETHUSDT")
    rate = rate[(rate.index > first) & (rate.index < end)]
    funding = (250 * mark_before(market_data, "ETHUSDT", rate.index) * rate).round(8)
    cash = 300 - 0.0005 * 250 * entry + funding.cumsum().reindex(mark.index).ffill().fillna(0.0)
    table = brackets(reference_data, symbol, "2024-08-05")

    def at(coin: pd.Series, price: pd.Series) -> tuple[pd.Series, pd.Series]:
        dollars, coins = cash + 250 * (entry - price), 250 * coin
        return dollars + 0.95 * coins, price.map(lambda each: maintenance(table, 250 * each))

    account = result.account.set_index("time").loc[first:]
    collateral, needed = at(spot["close"], mark["close"])
    assert {tier_of(table, 250 * each) for each in mark["close"]} == {(0.0065, 950.0), (0.005, 50.0)}
    assert cash.min() == cash.iloc[0] < -100
    assert account["collateral_equity"].to_numpy() == pytest.approx(collateral.to_numpy(), rel=1e-11)
    equity = collateral + 0.05 * 250 * spot["close"]
    assert account["equity"].to_numpy() == pytest.approx(equity.to_numpy(), rel=1e-11)
    assert account["maintenance_margin"].to_numpy() == pytest.approx(needed.to_numpy(), rel=1e-11)
    body = spot[["open", "close"]]
    points = [at(spot["open"], mark["open"]), at(body.min(axis=1), mark["low"]), at(body.max(axis=1), mark["high"])]
    path = pd.concat([c / m for c, m in [*points, (collateral, needed)]], axis=1).min(axis=1)
    assert account["worst_ratio"].to_numpy() == pytest.approx(path.to_numpy(), rel=1e-11)
    assert result.funding.set_index("time")["amount"].to_numpy() == pytest.approx(funding[funding != 0].to_numpy())
