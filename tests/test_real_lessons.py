"""What real history taught: crashes that no wick of a made-up candle reaches, and what the books say after them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from real_history import Hold, bars, brackets, config, hourly_marks, maintenance, on_grid, rates, utc

import backtest
from backtest.config import load_config
from backtest.market.importers.layout import import_layout

ROOT = Path(__file__).resolve().parent.parent
ETH = "ETH/USDT:USDT"


def test_what_a_crash_leaves_of_a_long_was_covered_by_its_collateral_at_the_bar_s_low(
    real_store: Path, market_data: Path, reference_data: Path
) -> None:
    """60 ETH long on 30,000 dollars under the first portfolio margin: liquidation at 1.2 times maintenance, no fee. The
    low of 2022-11-09 23:00 takes all of the equity; however much is sold on the way, the rest must be sound there.
    """
    result = backtest.run(
        config(real_store, "2022-11-07", "2022-11-10T12:00:00Z", {"USDT": 30_000}, Hold, {"contracts": {ETH: 60.0}},
               margin="portfolio", leverage=20)
    )  # fmt: skip
    hour = utc("2022-11-09 23:00")
    assert result.account.set_index("time").loc[hour, "worst_ratio"] < 0
    low = hourly_marks(market_data, "ETHUSDT", hour, hour + pd.Timedelta(hours=1))["low"].iloc[0]
    left = result.positions.set_index("time").loc[hour]
    cash = result.ledger[result.ledger["time"] <= hour]["amount"].sum()
    table = brackets(reference_data, ETH, "2022-11-09")
    needed = maintenance(table, left["contracts"] * low) if left["contracts"] else 0.0
    assert cash + left["contracts"] * low - left["cost"] >= 1.2 * needed or left["contracts"] == 0.0


def test_a_deposit_of_the_least_capital_lives_through_the_same_trade(real_store: Path) -> None:
    """50 ETH long through 2025-10-10 21:00: 34,518 dollars are said to be enough, and are liquidated."""

    def held_on(usdt: float) -> backtest.Result:
        return backtest.run(
            config(real_store, "2025-10-10T12:00:00Z", "2025-10-11T12:00:00Z", {"USDT": usdt}, Hold,
                   {"contracts": {ETH: 50.0}}, leverage=50)
        )  # fmt: skip

    least = held_on(200_000.0).stats["Least Capital"]
    assert held_on(1.001 * least).stats["Liquidations"] == 0


def test_an_account_opened_before_may_2023_and_ruined_in_june_owes_nothing_under_the_second_portfolio_margin(
    real_store: Path,
) -> None:
    """By the venue's own table losses beyond the collateral are the user's until 2023-05-01, and reimbursed after."""
    result = backtest.run(
        config(real_store, "2023-04-28", "2023-08-19", {"USDT": 8_000}, Hold, {"contracts": {ETH: 30.0}},
               margin="portfolio", leverage=20)
    )  # fmt: skip
    assert result.liquidations["time"].iloc[0] > utc("2023-05-01")
    assert result.equity.iloc[-1] >= 0.0


def test_dollars_that_a_delivered_future_left_owing_pay_the_venue_s_rate_or_the_result_says_that_they_do_not(
    real_store: Path,
) -> None:
    """The basis trade owes 118,000 dollars from 2021-10-30 on, at a venue whose table has a rate of 0.001 % an hour."""
    settings = load_config(ROOT / "configs" / "history_basis_trade.toml").resolved()
    settings["data"]["store"] = str(real_store)
    result = backtest.run(settings)
    owed = result.ledger.query("asset == 'USD'").groupby("time")["amount"].sum().cumsum()
    assert owed.min() < -100_000
    assert result.stats["Interest"] < 0 or any("interest" in note for note in result.record.notes)


def test_a_coin_margined_long_is_never_sold_above_its_liquidation_price(real_store: Path, market_data: Path) -> None:
    """LP = CM (B MMR + B) / (WB + CM B / EP), FAQ ceccfcfb. In the hour of 2022-06-13 23:00 the price is passed; the
    forced order may fill there or below, but fills above (by 1.2 % in the hour of 2021-05-19 12:00).
    """
    contracts, face = 800.0, 100.0
    result = backtest.run(
        config(real_store, "2022-06-09", "2022-06-20", {"BTC": 1.0}, Hold, {"contracts": {"BTC/USD:BTC": contracts}},
               leverage=20)
    )  # fmt: skip
    traded = on_grid(bars(market_data, "cm/BTCUSD_PERP-1h"), utc("2022-06-09"), utc("2022-06-20"))
    entry, died = traded["open"].iloc[1], result.liquidations["time"].iloc[0]
    rate = rates(market_data, "cm/BTCUSD_PERP")[utc("2022-06-09 01:01") : died]
    before = traded["close"].reindex(rate.index - pd.Timedelta(hours=1)).set_axis(rate.index)
    wallet = 1.0 - contracts * face / entry * 0.0004 - (contracts * face / before * rate).sum()
    price = face * contracts * 1.004 / (wallet + face * contracts / entry)
    assert traded.loc[died, "low"] < price < traded.loc[died, "open"]
    assert result.fills["mark"].iloc[1] == pytest.approx(price, rel=1e-7)


def test_every_funding_row_shows_its_own_rate_where_several_settle_inside_one_bar(
    real_store: Path, market_data: Path
) -> None:
    result = backtest.run(
        config(real_store, "2022-03-01", "2022-03-10", {"USDT": 100_000}, Hold, {"contracts": {"BTC/USDT:USDT": -1.0}},
               interval="1d", leverage=1, funding={"inside": "approximate"})
    )  # fmt: skip
    rows = result.funding
    assert np.abs(rows["amount"] + rows["contracts"] * rows["price"] * rows["rate"]).max() < 1e-7


def test_a_basis_that_was_wide_on_a_friday_is_still_taken_on_monday(real_store: Path) -> None:
    """On Friday 2021-10-08 October is 19 % a year dear, on Sunday 18 %; on Saturday it does not trade."""
    settings = load_config(ROOT / "configs" / "history_basis_trade.toml").resolved()
    settings["data"].update(store=str(real_store), start="2021-10-08T00:00:00Z", end="2021-10-20T00:00:00Z")
    result = backtest.run(settings)
    assert "BTC/USD:USD-211029" in set(result.fills["symbol"])


def test_a_basis_trade_buys_as_many_coins_as_it_sells_contracts(real_store: Path) -> None:
    """A contract is a tenth of a bitcoin: 100,000 dollars in coins are 2.03, of which 20 contracts hedge 2.0."""
    settings = load_config(ROOT / "configs" / "history_basis_trade.toml").resolved()
    settings["data"].update(store=str(real_store), end="2021-10-20T00:00:00Z")
    settings["account"][0]["deposit"] = {"USDT": 200_000}
    legs = backtest.run(settings).fills.set_index("symbol")["contracts"]
    assert legs["BTC/USDT"] == pytest.approx(-0.1 * legs["BTC/USD:USD-211029"], abs=0.01)


def test_the_basis_trade_runs_on_the_store_that_a_user_imports_whole(market_data: Path, tmp_path: Path) -> None:
    """Futures that do not trade at the turn of the year have a hole at the run's end, not an end of their own."""
    import_layout(market_data, tmp_path)
    settings = load_config(ROOT / "configs" / "history_basis_trade.toml").resolved()
    settings["data"]["store"] = str(tmp_path)
    result = backtest.run(settings)
    assert list(result.fills["cause"]).count("delivery") == 3
    assert result.positions.groupby("symbol")["contracts"].last().eq(0.0).all()
