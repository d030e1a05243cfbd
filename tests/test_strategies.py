"""The strategies: what each asks for, in contracts worked out by hand, and that the examples live."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_port import HOUR_US, FakePort, desk_at, history_of

import backtest
from backtest.config import load_config
from backtest.errors import InputError
from backtest.market.history import History
from backtest.market.importers.layout import import_layout
from backtest.research.run import prepare
from backtest.strategy import Market, Strategy, load_strategy
from strategies.balanced_carry import BalancedCarry
from strategies.basis_trade import BasisTrade
from strategies.funding_carry import FundingCarry, FundingCarryTargets
from strategies.hedged_long import HedgedLong

ROOT = Path(__file__).resolve().parent.parent
SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"
SOON, LATE = "BTC/USDT:USDT-240329", "BTC/USDT:USDT-240628"
EXPIRY = 1_711_699_200_000_000  # 2024-03-29 08:00 UTC


def ask(strategy: Strategy, history: History, port: FakePort, bars: Any) -> list[tuple[str, float]]:
    """What the strategy orders at these closes."""
    if bars[0] == 0:
        strategy.start(Market(history, prices=False))
    before = len(port.orders())
    for number in bars:
        bar, desk = desk_at(history, number, port)
        strategy.on_bar(bar, desk)
    return port.orders()[before:]


# Hedged long


def test_fifty_thousand_dollars_of_coins_are_bought_and_half_of_them_sold_short_together() -> None:
    history, port = history_of({SPOT: [50_000] * 3, PERP: [50_000] * 3}), FakePort()
    strategy = HedgedLong(spot=SPOT, hedge_symbol=PERP, hold_usd=50_000, hedge_share=0.5)
    assert ask(strategy, history, port, [0]) == [(SPOT, 1.0), (PERP, -0.5)]
    assert [together for _, together in port.submitted] == [True]
    assert ask(strategy, history, port, [1, 2]) == []


def test_deposited_coins_are_hedged_as_they_are() -> None:
    history, port = history_of({SPOT: [50_000], PERP: [50_000]}), FakePort(coins={"BTC": 3.0})
    assert ask(HedgedLong(spot=SPOT, hedge_symbol=PERP), history, port, [0]) == [(PERP, -3.0)]


def test_coins_above_the_wished_holding_are_hedged_too() -> None:
    history, port = history_of({SPOT: [50_000] * 2, PERP: [50_000] * 2}), FakePort(coins={"BTC": 3.0})
    strategy = HedgedLong(spot=SPOT, hedge_symbol=PERP, hold_base=1.0)
    assert ask(strategy, history, port, [0, 1]) == [(PERP, -3.0)]


def test_a_hedge_inside_its_band_is_left_alone_and_outside_it_is_set_anew() -> None:
    history, port = history_of({SPOT: [100] * 3, PERP: [100] * 3}), FakePort(coins={"BTC": 10.0})
    strategy = HedgedLong(spot=SPOT, hedge_symbol=PERP, band=0.05)
    ask(strategy, history, port, [0])
    port.coins["BTC"] = 10.4  # 0.4 of 10.4 are 3.8 %
    assert ask(strategy, history, port, [1]) == []
    port.coins["BTC"] = 10.6  # 0.6 of 10.6 are 5.7 %
    assert ask(strategy, history, port, [2]) == [(PERP, -10.6)]


def test_the_hedge_is_dropped_while_the_short_pays_more_than_the_ceiling_and_comes_back() -> None:
    # -0.0002 per 8 hours: the short pays 0.0002 x 1095 = 21.9 % a year
    paid = [(PERP, 8, 0.0001), (PERP, 16, -0.0002), (PERP, 24, -0.0002), (PERP, 32, 0.0001)]
    history, port = history_of({SPOT: [100] * 40, PERP: [100] * 40}, funding=paid), FakePort(coins={"BTC": 1.0})
    strategy = HedgedLong(spot=SPOT, hedge_symbol=PERP, funding_ceiling=0.2, funding_window=1)
    assert ask(strategy, history, port, [0, 7]) == [(PERP, -1.0)]
    assert ask(strategy, history, port, [15]) == [(PERP, 0.0)]
    assert ask(strategy, history, port, [23]) == []
    assert ask(strategy, history, port, [31]) == [(PERP, -1.0)]


def test_funding_that_the_short_receives_never_drops_the_hedge() -> None:
    paid = [(PERP, 8, 0.01), (PERP, 16, 0.01)]
    history, port = history_of({SPOT: [100] * 20, PERP: [100] * 20}, funding=paid), FakePort(coins={"BTC": 1.0})
    strategy = HedgedLong(spot=SPOT, hedge_symbol=PERP, funding_ceiling=0.01)
    assert ask(strategy, history, port, [0, 7, 15]) == [(PERP, -1.0)]


def test_a_coin_with_a_beta_of_two_is_hedged_by_twice_its_value_of_the_other() -> None:
    steps = np.cumsum(np.tile([0.01, -0.02, 0.03, -0.02], 15))  # ends where it began
    eth, btc = 100 * np.exp(2 * steps), 1000 * np.exp(steps)
    history = history_of({"ETH/USDT": eth, SPOT: btc, PERP: btc})
    port = FakePort(coins={"ETH": 10.0})
    strategy = HedgedLong(spot="ETH/USDT", hedge_symbol=PERP, hedge="beta", beta_bars=40)
    strategy.start(Market(history, prices=False))
    orders = ask(strategy, history, port, [59])
    # 10 ETH of 100 USD, twice that value in coins of 1000 USD
    assert orders == [(PERP, pytest.approx(-2.0))]


def test_two_sizes_of_a_holding_are_refused() -> None:
    with pytest.raises(InputError, match="not both"):
        HedgedLong(hold_usd=5.0, hold_base=5.0)


# Basis trade


def quarter(premium: list[float], later: list[float] | None = None, end: int = 0, **kwargs: Any) -> History:
    """Hours around the close 36.5 days, a tenth of a year, before expiry: a coin of 100 USD and a future above it.

    `end`: so many hours before expiry instead, counted from the last bar's close.
    """
    before = end if end else 876
    start = EXPIRY - before * HOUR_US - (len(premium) if end else 1) * HOUR_US
    prices = {SPOT: [100.0] * len(premium), SOON: [100.0 + p for p in premium]}
    if later:
        prices[LATE] = [100.0 + p for p in later]
    return history_of(prices, start_us=start, terms={SOON: {"expiry_us": EXPIRY}}, **kwargs)


def test_a_future_one_percent_dear_a_tenth_of_a_year_before_expiry_is_ten_percent_a_year_and_is_sold() -> None:
    port = FakePort(worth=1000.0)
    strategy = BasisTrade(entry_annualised=0.099, equity_share=0.5)
    assert ask(strategy, quarter([1.0]), port, [0]) == [(SPOT, 5.0), (SOON, -5.0)]
    assert port.submitted[0][1]


def test_a_future_that_is_not_dear_enough_is_left_alone() -> None:
    assert ask(BasisTrade(entry_annualised=0.101), quarter([1.0]), FakePort(), [0]) == []


def test_the_trade_is_left_when_the_basis_is_gone() -> None:
    port = FakePort(worth=1000.0)
    strategy = BasisTrade(entry_annualised=0.09, exit_annualised=0.02, equity_share=0.5)
    assert ask(strategy, quarter([1.0, 0.3, 0.1]), port, [0, 1]) == [(SPOT, 5.0), (SOON, -5.0)]
    assert ask(strategy, quarter([1.0, 0.3, 0.1]), port, [2]) == [(SOON, 0.0), (SPOT, 0.0)]


def test_without_an_exit_the_trade_is_held_and_the_coins_are_sold_at_delivery() -> None:
    history, port = quarter([0.5, 0.0, 0.0]), FakePort(worth=1000.0, coins={"BTC": 2.0})
    strategy = BasisTrade(entry_annualised=0.01, equity_share=0.5, roll_days=0)
    assert ask(strategy, history, port, [0, 1, 2]) == [(SPOT, 7.0), (SOON, -5.0)]
    ends = history_of(
        {SPOT: [100.0], SOON: [100.0]}, start_us=EXPIRY - HOUR_US, terms={SOON: {"expiry_us": EXPIRY}}
    )  # closes at expiry
    bar, desk = desk_at(ends, 0, port)
    strategy.on_bar(bar, desk)
    assert port.orders()[2:] == [(SPOT, 2.0)]  # the two coins that were there stay


def test_a_roll_exchanges_the_future_and_keeps_the_coins() -> None:
    history, port = quarter([1.0, 1.0], later=[5.0, 5.0], end=12), FakePort(worth=1000.0)
    strategy = BasisTrade(entry_annualised=0.09, equity_share=0.5, min_days=0, roll_days=1)
    assert ask(strategy, history, port, [0]) == [(SPOT, 5.0), (SOON, -5.0)]
    assert ask(strategy, history, port, [1]) == [(SOON, 0.0), (LATE, -5.0)]
    assert port.submitted[1][1]


def test_a_roll_into_a_future_that_is_not_dear_does_not_happen() -> None:
    history, port = quarter([1.0, 1.0], later=[0.5, 0.5], end=12), FakePort(worth=1000.0)
    strategy = BasisTrade(entry_annualised=0.09, equity_share=0.5, min_days=0)
    assert len(ask(strategy, history, port, [0, 1])) == 2


def test_a_refused_roll_leaves_the_old_hedge_watched() -> None:
    history, port = quarter([1.0, 1.0, 1.0], later=[5.0] * 3, end=12), FakePort(worth=1000.0, refuse={LATE})
    strategy = BasisTrade(entry_annualised=0.09, equity_share=0.5, min_days=0)
    ask(strategy, history, port, [0, 1, 2])
    assert port.held[SOON] == -5.0 and port.coins["BTC"] == 5.0


def test_a_refused_entry_is_not_tried_at_every_close() -> None:
    history, port = quarter([1.0] * 5), FakePort(worth=1000.0, refuse={SOON})
    assert len(ask(BasisTrade(entry_annualised=0.09), history, port, range(5))) == 2


def test_coins_do_not_stay_when_their_future_was_liquidated() -> None:
    history, port = quarter([1.0] * 4), FakePort(worth=1000.0)
    strategy = BasisTrade(entry_annualised=0.09, equity_share=0.5)
    ask(strategy, history, port, [0])
    port.held[SOON] = 0.0
    assert ask(strategy, history, port, [1, 2, 3]) == [(SPOT, 0.0)]


def test_nothing_is_decided_while_an_order_waits() -> None:
    waiting = {"id": 0, "symbol": SPOT, "kind": "market", "contracts": 1.0, "target": True}
    port = FakePort(waiting=[{**waiting, "price": None, "trigger": None}])
    assert ask(BasisTrade(entry_annualised=0.01), quarter([1.0]), port, [0]) == []


@pytest.mark.parametrize(("rate_known", "orders"), [(False, []), (True, [(SPOT, -5.0), (SOON, 5.0)])])
def test_a_cheap_future_is_bought_against_borrowed_coins_where_a_rate_is_known(rate_known: bool, orders: Any) -> None:
    port = FakePort(worth=1000.0, borrowable={"BTC"} if rate_known else set())
    assert ask(BasisTrade(entry_annualised=0.09, reverse=True), quarter([-1.0]), port, [0]) == orders


def test_a_cheap_future_is_not_bought_unless_that_is_wished() -> None:
    port = FakePort(worth=1000.0, borrowable={"BTC"})
    assert ask(BasisTrade(entry_annualised=0.09), quarter([-1.0]), port, [0]) == []


def test_an_inverse_future_is_sold_against_the_deposited_coin_alone() -> None:
    future = "BTC/USD:BTC-240329"
    history = history_of(
        {SPOT: [50_000.0], future: [50_500.0]},
        start_us=EXPIRY - 877 * HOUR_US,
        terms={future: {"expiry_us": EXPIRY}},
    )
    port = FakePort(worth=100_000.0, coins={"BTC": 2.0})
    strategy = BasisTrade(family="BTC/USD:BTC", entry_annualised=0.09, equity_share=1.0)
    # 2 coins x 50,500 / 100 USD a contract
    assert ask(strategy, history, port, [0]) == [(future, -1010.0)]


# Funding carry


def pairs(rates: dict[str, list[float]], bars: int = 60, **kwargs: Any) -> History:
    """Pairs of coins at 100 USD whose perpetuals pay these rates, every eight hours."""
    prices = {f"{base}/USDT{leg}": [100.0] * bars for base in rates for leg in ("", ":USDT")}
    paid = [(f"{b}/USDT:USDT", 8.0 * (k + 1), rate) for b, row in rates.items() for k, rate in enumerate(row)]
    return history_of(prices, funding=paid, **kwargs)


def test_half_of_equity_is_held_in_coins_and_as_many_are_short() -> None:
    port = FakePort(worth=10_000.0)
    assert ask(FundingCarry(equity_share=0.5), pairs({"BTC": [0.0001]}), port, [0]) == [(SPOT, 50.0), (PERP, -50.0)]
    assert port.submitted[0][1]


def test_legs_are_set_anew_only_outside_the_band() -> None:
    history, port = pairs({"BTC": [0.0001]}), FakePort(worth=10_000.0)
    strategy = FundingCarry(equity_share=0.5, band=0.05)
    ask(strategy, history, port, [0])
    port.worth = 10_400.0  # wishes 52 coins: 50 are 3.8 % short of it
    assert ask(strategy, history, port, [1]) == []
    port.worth = 10_600.0  # wishes 53: 5.7 %
    assert ask(strategy, history, port, [2]) == [(SPOT, 53.0), (PERP, -53.0)]


def test_the_pair_that_paid_more_is_chosen_by_what_it_paid_a_year_not_by_settlement() -> None:
    # BTC: 0.0003 every 8 hours, 32.85 % a year. SOL: 0.0002 every 4 hours, 43.8 % a year.
    prices = {s: [100.0] * 40 for s in (SPOT, PERP, "SOL/USDT", "SOL/USDT:USDT")}
    paid = [(PERP, hours, 0.0003) for hours in (8, 16, 24)]
    paid += [("SOL/USDT:USDT", hours, 0.0002) for hours in (4, 8, 12, 16, 20, 24)]
    port = FakePort(worth=1000.0)
    strategy = FundingCarry(bases=["BTC", "SOL"], top=1, window=2)
    strategy.start(Market(history_of(prices, funding=paid), prices=False))
    assert ask(strategy, history_of(prices, funding=paid), port, [23]) == [("SOL/USDT", 5.0), ("SOL/USDT:USDT", -5.0)]


def test_the_trade_is_entered_above_one_threshold_and_left_below_the_other() -> None:
    # of 8 hours: 0.0001 is 10.95 % a year, 0.00005 5.5 %, 0.00001 1.1 %
    history, port = pairs({"BTC": [0.00001, 0.0001, 0.00005, 0.00001]}), FakePort(worth=1000.0)
    strategy = FundingCarry(window=1, enter_above=0.08, exit_below=0.03)
    assert ask(strategy, history, port, [0, 7]) == []
    assert ask(strategy, history, port, [15]) == [(SPOT, 5.0), (PERP, -5.0)]
    assert ask(strategy, history, port, [23]) == []
    assert ask(strategy, history, port, [31]) == [(SPOT, 0.0), (PERP, 0.0)]


def test_missing_bars_do_not_close_a_pair_nor_leave_one_of_its_legs() -> None:
    history, port = pairs({"BTC": [0.0001], "ETH": [0.0]}, silent={SPOT: [8]}), FakePort(worth=1000.0)
    strategy = FundingCarry(bases=["BTC", "ETH"], switch_above=0.0)
    ask(strategy, history, port, [0])
    assert ask(strategy, history, port, [8, 9]) == []
    assert port.coins["BTC"] == 5.0 and port.held[PERP] == -5.0


def test_a_perpetual_that_is_gone_has_its_coins_sold_when_they_trade_again() -> None:
    gone = 1_704_067_200_000_000 + 8 * HOUR_US
    silent = {PERP: range(8, 60), SPOT: [8]}
    history = pairs({"BTC": [0.0001]}, silent=silent, terms={PERP: {"delisting_us": gone}})
    port = FakePort(worth=1000.0)
    strategy = FundingCarry()
    ask(strategy, history, port, [0])
    port.held[PERP] = 0.0  # settled by the venue
    assert ask(strategy, history, port, [8]) == []
    assert ask(strategy, history, port, [9, 10]) == [(SPOT, 0.0)]


def test_a_bankrupt_account_orders_nothing() -> None:
    assert ask(FundingCarry(), pairs({"BTC": [0.0001]}), FakePort(worth=-5.0), [0]) == []


def test_without_names_the_universe_is_every_coin_with_both_legs() -> None:
    history = history_of({SPOT: [1], PERP: [1], "ETH/USDT": [1], "SOL/USDT:USDT": [1]})
    assert FundingCarry(bases=[]).symbols({i.symbol: i for i in history.instruments}) == [SPOT, PERP]


# Balanced carry

ETH_SPOT, ETH_PERP = "ETH/USDT", "ETH/USDT:USDT"


def balanced(btc: list[float], eth: list[float], **params: Any) -> backtest.Result:
    """The table followed with 1,000 USDT, an hourly look and no slippage."""
    history = history_of({SPOT: btc, ETH_SPOT: eth, PERP: btc, ETH_PERP: eth})
    config = {
        "name": "balanced",
        "data": {"store": "none", "start": "2024-01-01", "end": "2024-01-02", "interval": "1h"},
        "account": [{"venue": "binance", "margin": "multi_asset", "leverage": 5, "deposit": {"USDT": 1000.0}}],
        "strategy": {"class": BalancedCarry, "params": {"bases": ["BTC", "ETH"], "schedule": "1h", **params}},
    }
    return backtest.run(config, data=history)


def test_six_tenths_of_a_thousand_dollars_are_three_coins_of_a_hundred_and_thirty_of_ten_and_as_many_short() -> None:
    fills = balanced([100.0] * 3, [10.0] * 3).fills
    assert dict(zip(fills["symbol"], fills["contracts"], strict=True)) == {
        SPOT: 3.0, ETH_SPOT: 30.0, PERP: -3.0, ETH_PERP: -30.0,
    }  # fmt: skip


def test_what_moves_within_the_band_is_left_and_what_leaves_it_brings_every_leg_back() -> None:
    """At 104 three coins are 312 dollars of 999.1, 4.2 % above three tenths of it; at 110 they are 330, 10 % above.

    Coins and shorts earn alike, so equity is still 1,000 less 0.9 of fees; the fee of 0.1 % is taken from the coins.
    """
    bought = len(balanced([100.0] * 6, [10.0] * 6).fills)
    assert len(balanced([100.0, 100.0, 104.0, 104.0, 104.0, 104.0], [10.0] * 6).fills) == bought == 4
    moved = balanced([100.0, 100.0, 110.0, 110.0, 110.0, 110.0], [10.0] * 6)
    again = moved.fills[moved.fills["time"].dt.hour > 1]
    coins = 0.3 * moved.equity.iloc[2] / 110.0
    assert set(again["time"].dt.hour) == {3}
    sold, bought_back = (again.set_index("symbol")["contracts"][symbol] for symbol in (SPOT, PERP))
    assert sold == pytest.approx(coins - 3.0 * 0.999, abs=1e-3)  # whole lots
    assert bought_back == pytest.approx(3.0 - coins, abs=1e-3)


# Through the engine


@pytest.fixture
def in_project(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Configs name their store from the project's folder."""
    monkeypatch.chdir(ROOT)
    yield


def short(name: str, **params: Any) -> dict[str, Any]:
    """An example's config over six weeks, with other parameters."""
    config = load_config(ROOT / "configs" / f"{name}.toml").resolved()
    config["data"].update(start="2023-03-01T00:00:00Z", end="2023-04-15T00:00:00Z")
    config["strategy"]["params"] = params
    return config


@pytest.mark.usefixtures("in_project")
def test_the_callback_and_the_table_of_a_fixed_carry_give_the_same_money_row_by_row() -> None:
    one, other = (
        short("funding_carry", bases=["BTC"], coins=1.0, schedule="every bar"),
        short("funding_carry", coins=1.0),
    )
    other["strategy"]["class"] = f"{FundingCarryTargets.__module__}:{FundingCarryTargets.__name__}"
    called, read = backtest.run(one), backtest.run(other)
    assert len(called.fills) == 2 and len(called.funding) > 100
    for frame in ("fills", "ledger", "funding", "account"):
        assert getattr(called, frame).equals(getattr(read, frame)), frame


@pytest.mark.usefixtures("in_project")
@pytest.mark.parametrize("name", ["hedged_long", "basis_trade", "funding_carry", "balanced_carry"])
def test_the_examples_trade_and_live_without_a_refusal(name: str) -> None:
    result = backtest.run(ROOT / "configs" / f"{name}.toml")
    assert len(result.fills) > 0
    assert result.stats["Refusals"] == 0 and result.stats["Survived"] == "yes"


@pytest.mark.usefixtures("in_project")
def test_borrowed_coins_are_returned_when_the_cheap_future_is_delivered() -> None:
    config = load_config(ROOT / "configs" / "basis_trade.toml").resolved()
    config["data"].update(start="2023-08-15T16:00:00Z", end="2023-09-29T09:00:00Z")  # the sample's crash: basis -8 %
    config["account"][0]["borrow"] = True
    config["strategy"]["params"] = {"reverse": True, "entry_annualised": 0.05}
    history = prepare(config).history
    lent = history.assets.index("BTC")
    rates, known = history.borrow_rate.copy(), history.has_borrow.copy()
    rates[lent], known[lent] = 1e-6, True
    result = backtest.run(config, data=replace(history, borrow_rate=rates, has_borrow=known))
    coins = result.fills[result.fills.symbol == SPOT].contracts
    assert coins.iloc[0] < 0.0 and result.stats["Interest"] < 0.0
    assert abs(coins.sum()) < 0.002 * abs(coins.iloc[0])  # bought back, and the fee taken in coins on top


@pytest.fixture(scope="module")
def real_store(market_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real history as a user would import it, in a folder that goes away."""
    store = tmp_path_factory.mktemp("store")
    import_layout(market_data, store)
    return store


@pytest.mark.slow
@pytest.mark.parametrize("name", ["history_hedged_long", "history_funding_carry"])
def test_the_examples_live_on_real_history_without_a_refusal(name: str, real_store: Path) -> None:
    config = load_config(ROOT / "configs" / f"{name}.toml").resolved()
    config["data"]["store"] = str(real_store)
    result = backtest.run(config)
    assert len(result.funding) > 3 * 365 * 3  # three settlements a day, most of four years
    assert result.stats["Refusals"] == 0 and result.stats["Survived"] == "yes"


RUNS = sorted(path for path in (ROOT / "configs").glob("*.toml") if path.stem != "account")


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_every_config_names_a_strategy_that_takes_its_parameters(path: Path) -> None:
    config = load_config(path)
    assert load_strategy(config.strategy.class_, config.strategy.params).params is not None


@pytest.mark.usefixtures("in_project")
def test_pairs_ordered_together_leave_a_delta_of_fees_and_basis_and_no_naked_leg() -> None:
    result = backtest.run("configs/funding_carry.toml")
    pairs = result.orders[result.orders["state"] == "filled"].groupby("group").filter(lambda rows: len(rows) == 2)
    fills = result.fills.set_index("order")["notional_usd"]
    largest = pairs["id"].map(fills).groupby(pairs["group"].to_numpy()).transform("max")
    assert len(pairs) > 0
    assert (pairs["residual_delta_usd"].abs() < 0.05 * largest + 20).all()
    assert (
        result.orders.loc[result.orders["group"].map(result.orders["group"].value_counts()) == 1]["residual_delta_usd"]
        .isna()
        .all()
    )


@pytest.mark.usefixtures("in_project")
def test_no_order_passes_in_an_outage_and_a_deleveraging_shrinks_the_short() -> None:
    config = load_config("configs/hedged_long.toml").resolved()
    config["data"] |= {"start": "2023-08-01", "end": "2023-09-01"}
    config["events"] = [
        {"kind": "outage", "time": "2023-08-01T08:00:00Z", "until": "2023-08-01T20:00:00Z"},
        {"kind": "deleverage", "time": "2023-08-16T00:00:00Z", "symbol": "ETH/USDT:USDT", "share": 0.5},
    ]
    fills = backtest.run(config).fills
    assert fills["time"].iloc[0] == pd.Timestamp("2023-08-02", tz="UTC")  # the first close after it, on the schedule
    taken = fills[fills["cause"] == "deleveraging"]
    assert fills["price"].iloc[0] > taken["mark"].iloc[0]
    assert taken["contracts"].iloc[0] == pytest.approx(-fills["contracts"].iloc[0] / 2, rel=0.1)


@pytest.mark.usefixtures("in_project")
def test_a_withdrawal_of_more_than_is_free_says_how_much_left() -> None:
    config = load_config("configs/hedged_long.toml").resolved()
    config["data"] |= {"start": "2023-06-01", "end": "2023-06-08"}
    config["account"][0]["flows"] = [{"time": "2023-06-05T00:00:00Z", "asset": "USDT", "amount": -100_000}]
    notes = backtest.run(config).manifest["notes"]
    said = [note for note in notes if "withdrawal" in note]
    assert len(said) == 1 and "of 100,000 USDT asked for at 2023-06-05 00:00" in said[0]


@pytest.mark.parametrize(
    ("event", "time"),
    [
        ({"kind": "outage", "time": "2026-06-01T00:00:00Z", "until": "2026-06-02T00:00:00Z"}, "2026-06-01 00:00"),
        ({"kind": "deleverage", "time": "2019-06-01T00:00:00Z", "symbol": "ETH/USDT:USDT"}, "2019-06-01 00:00"),
    ],
    ids=["an outage after it", "a deleveraging before it"],
)
@pytest.mark.usefixtures("in_project")
def test_what_befalls_outside_the_run_is_refused(event: dict[str, str], time: str) -> None:
    config = load_config("configs/hedged_long.toml").resolved()
    config["events"] = [event]
    with pytest.raises(InputError, match=f"{time} lies outside the run"):
        backtest.run(config)


class Lender(Strategy):
    """Sends 1,000 dollars from the first account to the second at the second close."""

    def symbols(self, instruments: Any) -> list[str]:
        return ["BTC/USDT:USDT"]

    def on_bar(self, bar: Any, desk: Any) -> None:
        if bar.number == 1:
            desk["rich"].transfer("USDT", 1000.0, "usdm", "unified", to="poor")


@pytest.mark.usefixtures("in_project")
def test_money_sent_to_another_account_is_nobodys_collateral_on_the_way_and_arrives_less_its_cost() -> None:
    """It leaves at 02:00, costs 2, and is there three hours later, at 05:00."""
    config = load_config("configs/hedged_long.toml").resolved()
    config["data"] |= {"start": "2023-06-01", "end": "2023-06-02"}
    config["strategy"] = {"class": Lender}
    config["account"] = [
        {"name": "rich", "margin": "cross", "deposit": {"USDT": 5000.0}, "transfer": {"delay": "3h", "cost": 2.0}},
        {"name": "poor", "margin": "portfolio", "deposit": {"USDT": 100.0}},
    ]
    result = backtest.run(config)
    usd = result.account.pivot(index="time", columns="account", values="equity")
    backing = result.wallets.pivot(index="time", columns=["account", "wallet"], values="collateral")
    one = result.record.index("USDT")
    assert usd["rich"].iloc[[1, 4, 5]].to_numpy() / one[[1, 4, 5]] == pytest.approx([5000, 4998, 4000])
    assert usd["poor"].iloc[[4, 5]].to_numpy() / one[[4, 5]] == pytest.approx([100, 1098])
    assert backing["rich", "usdm:USDT"].iloc[[1, 2, 5]].to_numpy() / one[[1, 2, 5]] == pytest.approx([5000, 4000, 4000])
    assert result.explain().loc["residual"].abs().max() < 1e-6
