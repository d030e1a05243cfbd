"""What a run hands on: its returns to quantstats and vectorbt as they are, its fills to a vectorbt Portfolio."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_report import COIN, PERP, SPOT, account_frame, cash, fill, history, ledger, made

import backtest
from backtest.errors import InputError
from backtest.report.record import FRAMES
from backtest.report.result import Result
from backtest.strategy import Bar, Desk

# Returns


@pytest.fixture
def four_days() -> Result:
    """100 -> 110 -> 99 -> 99 -> 118.8: +10 %, -10 %, 0, +20 %."""
    return Result(cash([110.0, 99.0, 99.0, 118.8]))


SHARPE = 0.05 * 365**0.5 / (0.05 / 3) ** 0.5
"""Mean 0.05; squares of deviations .0025 .0225 .0025 .0225 = 0.05, a third of it the variance; a year of 365 days."""


def test_quantstats_takes_the_returns_as_they_are(four_days: Result) -> None:
    import quantstats as qs

    returns = four_days.returns
    assert qs.stats.comp(returns) == pytest.approx(0.188)
    assert qs.stats.sharpe(returns, periods=365) == pytest.approx(SHARPE)
    assert qs.stats.sharpe(returns, periods=365) == pytest.approx(four_days.stats["Sharpe"])
    assert qs.stats.max_drawdown(returns) == pytest.approx(-0.10)
    assert qs.stats.volatility(returns, periods=365) == pytest.approx((0.05 / 3) ** 0.5 * 365**0.5)


def test_vectorbt_takes_the_returns_as_they_are(four_days: Result) -> None:
    import vectorbt  # noqa: F401  puts `vbt` on every Series

    theirs = four_days.returns.vbt.returns(freq="1D", year_freq="365D")
    assert theirs.total() == pytest.approx(0.188)
    assert theirs.sharpe_ratio() == pytest.approx(SHARPE)
    assert theirs.max_drawdown() == pytest.approx(-0.10)


@pytest.fixture(scope="module")
def carried(sample_store: Path) -> Result:
    """40 ETH and 30,000 USDT, the ETH sold short, through the depeg of USDT in May 2023."""
    from strategies.hedged_long import HedgedLong

    return backtest.run(
        {
            "name": "carried",
            "data": {"store": str(sample_store), "start": "2023-05-01", "end": "2023-05-20"},
            "prices": {"gaps": "hold"},
            "account": [{"margin": "portfolio", "leverage": 5, "deposit": {"USDT": 30_000, "ETH": 40}}],
            "strategy": {"class": HedgedLong, "params": {"band": 0.0}},
        }
    )


def test_returns_of_an_hourly_run_are_daily_and_give_its_own_figures_elsewhere(carried: Result) -> None:
    import quantstats as qs
    import vectorbt  # noqa: F401

    returns, stats = carried.returns, carried.stats
    assert isinstance(returns, pd.Series) and isinstance(returns.index, pd.DatetimeIndex)
    assert len(returns) == 19 and returns.index.tz is None and returns.name == "main"
    by_midnight = carried.equity.iloc[23::24].to_numpy() / stats["Start Equity"]
    from_start = (by_midnight / np.maximum.accumulate(np.maximum(by_midnight, 1.0))).min() - 1.0
    from_first_close = (by_midnight / np.maximum.accumulate(by_midnight)).min() - 1.0
    theirs = returns.vbt.returns(freq="1D", year_freq="365D")
    for total in (qs.stats.comp(returns), theirs.total()):
        assert 100 * total == pytest.approx(stats["Total Return [%]"])
    for sharpe in (qs.stats.sharpe(returns, periods=365), theirs.sharpe_ratio()):
        assert sharpe == pytest.approx(stats["Sharpe"])
    assert qs.stats.max_drawdown(returns) == pytest.approx(from_start)
    assert theirs.max_drawdown() == pytest.approx(from_first_close)  # vectorbt's first high is the end of the first day
    assert -100 * from_start <= stats["Max Drawdown [%]"]  # ours is looked for at every bar


# A vectorbt Portfolio


def in_dollars(result: Result) -> pd.Series:
    """Equity in the portfolio's cash: at the index of USDT."""
    index = result.prices.set_index("name").loc["USDT"].set_index("time")["close"]
    return result.equity / index


class BuyAndSell(backtest.Strategy):
    """A coin is bought and sold again the day after, two coins in turn."""

    schedule = "1d"

    def symbols(self, instruments: Mapping[str, Any]) -> list[str]:
        return ["BTC/USDT", "ETH/USDT"]

    def start(self, market: Any) -> None:
        self.asked = 0

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        symbol = ("BTC/USDT", "ETH/USDT")[self.asked // 2 % 2]
        desk.target(symbol, usd=0.0 if self.asked % 2 else 40_000.0)
        self.asked += 1


@pytest.fixture(scope="module")
def unlevered(sample_store: Path) -> Result:
    return backtest.run(
        {
            "name": "unlevered",
            "data": {"store": str(sample_store), "start": "2023-08-01", "end": "2023-08-31"},
            "prices": {"gaps": "hold", "routes": {"USDT": 1.0}},
            "account": [{"margin": "cross", "deposit": {"spot": {"USDT": 100_000}}}],
            "strategy": {"class": BuyAndSell},
        }
    )


def test_unlevered_spot_is_worth_the_same_at_every_close_in_vectorbt(unlevered: Result) -> None:
    theirs = unlevered.to_vectorbt()
    assert theirs.value().to_numpy() == pytest.approx(unlevered.equity.to_numpy(), rel=1e-9)
    assert theirs.value().index.equals(unlevered.equity.index)
    assert 100 * theirs.total_return() == pytest.approx(unlevered.stats["Total Return [%]"], rel=1e-9)


def test_every_fill_is_an_order_of_vectorbt_at_its_price(unlevered: Result) -> None:
    fills, theirs = unlevered.fills, unlevered.to_vectorbt().orders.records_readable
    assert len(fills) > 10
    for coin in ("BTC", "ETH"):
        mine, orders = fills[fills["symbol"] == f"{coin}/USDT"], theirs[theirs["Column"] == coin]
        assert orders["Price"].tolist() == mine["price"].tolist()
        assert orders["Timestamp"].tolist() == mine["time"].tolist()
        assert orders["Side"].tolist() == np.where(mine["contracts"] > 0, "Buy", "Sell").tolist()


def test_a_run_with_perpetuals_is_worth_the_same_with_its_funding_and_coins(carried: Result) -> None:
    theirs, ours = carried.to_vectorbt(), in_dollars(carried)
    assert theirs.value().to_numpy() == pytest.approx(ours.to_numpy(), rel=1e-9)
    trades = theirs.trades.records_readable.set_index("Column")
    funding = carried.funding["amount"].sum()
    assert funding > 0.0
    assert trades.at["USDT", "PnL"] == pytest.approx(funding)  # nothing else was paid without a fill
    shorts = carried.fills[carried.fills["symbol"] == "ETH/USDT:USDT"]
    mark = carried.prices[carried.prices["name"] == "ETH/USDT:USDT"]["close"].iloc[-1]
    profit = (shorts["contracts"] * (mark - shorts["price"])).sum() - shorts["fee"].sum()
    assert theirs.trades.records_readable.query("Column == 'ETH/USDT:USDT'")["PnL"].sum() == pytest.approx(profit)


def test_a_saved_run_gives_the_same_portfolio(carried: Result, tmp_path: Path) -> None:
    again = backtest.load(carried.save(tmp_path / "run"))
    assert again.to_vectorbt().value().tolist() == carried.to_vectorbt().value().tolist()


def by_hand(fills: list[dict[str, Any]], rows: list[Any], equity: list[float], usdt: float = 1.0) -> Result:
    """Three days: BTC at 100, 120, 90; USDT worth so much all along."""
    days = [100.0, 120.0, 90.0]
    past = history((SPOT, PERP, COIN), [days, days, days], [day * usdt for day in days], [usdt] * 3, [100.0 * usdt] * 3)
    frames = {
        "account": account_frame(equity),
        "ledger": ledger(*rows),
        "fills": pd.DataFrame(fills, columns=FRAMES["fills"]),
    }
    return Result(made(past, frames))


def test_a_fee_in_coin_is_paid_in_coin() -> None:
    # 2 BTC bought at 100 for 200 of 1,000 USDT, 0.01 of them the fee: 800 + 1.99 x 120, 800 + 1.99 x 90
    bought = fill(0, "BTC/USDT", 2.0, 100.0, 100.0) | {"fee": 0.01, "fee_asset": "BTC"}
    rows = [
        (0, "USDT", "deposit", 1000.0, ""), (0, "BTC", "buy", 2.0, "BTC/USDT"), (0, "USDT", "buy", -200.0, "BTC/USDT"),
        (0, "BTC", "fee", -0.01, "BTC/USDT"),
    ]  # fmt: skip
    theirs = by_hand([bought], rows, [999.0, 1038.8, 979.1]).to_vectorbt()
    assert theirs.value().tolist() == pytest.approx([999.0, 1038.8, 979.1])
    order = theirs.orders.records_readable.iloc[0]
    assert (order["Size"], order["Price"], order["Fees"]) == pytest.approx((1.99, 100.0, 1.0))


def test_funding_and_interest_are_payments_and_not_a_trade_of_the_future() -> None:
    # 2 BTC sold short at 100, fee 0.2; at 120 a loss of 40, funding of 3 received; at 90 a gain of 20, interest of 1
    sold = fill(0, "BTC/USDT:USDT", -2.0, 100.0, 100.0) | {"fee": 0.2}
    rows = [
        (0, "USDT", "deposit", 1000.0, ""), (0, "USDT", "fee", -0.2, "BTC/USDT:USDT"),
        (1, "USDT", "funding", 3.0, "BTC/USDT:USDT"), (2, "USDT", "interest", -1.0, ""),
    ]  # fmt: skip
    theirs = by_hand([sold], rows, [999.8, 962.8, 1021.8]).to_vectorbt()
    assert theirs.value().tolist() == pytest.approx([1000 - 0.2, 1000 - 0.2 - 40 + 3, 1000 - 0.2 + 20 + 3 - 1])
    trades = theirs.trades.records_readable
    assert trades[trades["Column"] == "BTC/USDT:USDT"]["PnL"].tolist() == pytest.approx([20 - 0.2])
    assert trades[trades["Column"] == "USDT"]["PnL"].sum() == pytest.approx(3 - 1)


def test_the_portfolio_counts_in_its_cash_and_not_in_dollars() -> None:
    # 1,000 USDT of half a dollar each are 500 dollars, and 1,000 of the cash
    result = by_hand([], [(0, "USDT", "deposit", 1000.0, "")], [500.0] * 3, 0.5)
    assert result.to_vectorbt().value().tolist() == [1000.0] * 3


def test_contracts_that_pay_in_coin_are_refused_by_name() -> None:
    rows = [(0, "BTC", "deposit", 1.0, "")]
    with pytest.raises(InputError, match="BTC/USD:BTC was traded: vectorbt has no contracts that pay in coin"):
        by_hand([fill(0, "BTC/USD:BTC", -1.0, 100.0, 100.0)], rows, [100.0, 120.0, 90.0]).to_vectorbt()


# Other processes


@pytest.mark.parametrize("copied", [lambda run: pickle.loads(pickle.dumps(run)), copy.copy, copy.deepcopy])
def test_a_run_that_goes_to_another_process_or_is_copied_tells_the_same(
    carried: Result, copied: Callable[[Result], Result]
) -> None:
    other = copied(carried)
    assert len(carried.fills) > 0
    for name in FRAMES:
        pd.testing.assert_frame_equal(getattr(other.record, name), getattr(carried.record, name))
    pd.testing.assert_frame_equal(other.figures, carried.figures)
    pd.testing.assert_frame_equal(other.explain("month"), carried.explain("month"))
    assert other.manifest == carried.manifest
