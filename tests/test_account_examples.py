"""Binance's printed examples, asked of the accountant itself: what an account holds, and what it is told it has.

The numbers of the examples are those of the rule book: FAQ 87fa7ee3 (G10), the API documentation (G17, G19), FAQ
c983a9268cfa (G20), the collateral tables (G28), FAQ 360041505471 (G29).
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from test_arithmetic import Desk, asset, future, spot

from backtest.state import LIMIT
from backtest.venues.load import load

pytestmark = pytest.mark.jit_off

BTC = "BTC/USDT:USDT"


def desk_at(mark: float, usdt: float) -> Desk:
    prices = [mark] * 4
    return Desk(
        {BTC: future("BTC", prices, 0.004)},
        {"USDT": asset([1.0] * 4), "BTC": asset(prices)},
        {"usdm": {"USDT": usdt}},
        leverage=20,
    )


def test_g10_a_resting_buy_of_one_bitcoin_at_9253_30_ties_up_462_66() -> None:
    """9,253.30 / 20 = 462.665, which the page truncates; bought under the mark of 9,259.84 it opens with no loss."""
    desk = desk_at(9259.84, 1000.0)
    desk.wait(BTC, 1.0, LIMIT, price=9253.30)
    desk.live()
    collateral, initial, _ = desk.margin(1)
    assert initial == pytest.approx(462.665)
    assert collateral == 1000.0


@pytest.mark.parametrize(("usdt", "answer"), [(469.20, "refused"), (469.60, "filled")])
def test_g10_a_sale_at_9253_30_costs_its_margin_and_an_open_loss_of_6_54(usdt: float, answer: str) -> None:
    """462.665 + 6.54 = 469.205; once sold, 462.992 at the mark of 9,259.84 and the 6.54 lost."""
    desk = desk_at(9259.84, usdt)
    order = desk.wait(BTC, -1.0, LIMIT, price=9253.30)
    desk.live()
    assert desk.state(order)[0] == answer


def test_g17_one_coin_margined_contract_from_11707_70_has_earned_0_00005866_bitcoin_at_11788_67() -> None:
    entry, mark = 11_707.70000003, 11_788.66626667
    prices = [entry, entry, mark, mark]
    inverse = future("BTC", prices, 0.004) | {"kind": "inverse", "settle": "BTC", "size": 100, "lot": 1}
    desk = Desk(
        {"BTC/USD:BTC": inverse},
        {"USDT": asset([1.0] * 4), "BTC": asset(prices)},
        {"coinm": {"BTC": 1.0}},
    )
    desk.order("BTC/USD:BTC", 1.0)
    desk.live()
    collateral = desk.margin(2, "coinm", "BTC")[0] / mark
    assert collateral - 1.0 == pytest.approx(5.86635e-5, abs=1e-8)  # what it cost is kept to a step of 1e-8


def test_g19_a_long_of_1_327_eth_at_187_17127_needs_1_614445() -> None:
    prices = [187.17127] * 3
    desk = Desk(
        {"ETH/USDT:USDT": future("ETH", prices, 0.0065)},
        {"USDT": asset([1.0] * 3), "ETH": asset(prices)},
        {"usdm": {"USDT": 1000.0}},
    )
    desk.order("ETH/USDT:USDT", 1.327)
    desk.live()
    assert int(desk.margin(1)[2] * 1e6) == 1_614_445  # printed to six digits, cut off


def test_g20_200_usdt_and_220_usdc_are_an_equity_of_416_02_in_multi_assets_mode() -> None:
    """USDT at a bid rate of 0.9801: an index of 0.99 less 1 %."""
    usdt = asset([0.99] * 3, 0.99) | {"debt_buffer": 0.005, "need_buffer": 0.005}
    desk = Desk(
        {"BTC/USDT": spot("BTC", [10_000.0] * 3)},
        {"USDT": usdt, "USDC": asset([1.0] * 3), "BTC": asset([9_900.0] * 3)},
        {"unified": {"USDT": 200.0, "USDC": 220.0}},
        multi=True,
    )
    desk.live()
    assert desk.margin(1, "unified") == pytest.approx((416.02, 0.0, 0.0))


def test_g28_6000_bitcoin_of_120_million_count_119_500_000() -> None:
    """100 % up to 100 million, 97.5 % of what lies above."""
    coin = asset([20_000.0] * 3)
    coin["ratio"] = [[0, 1.0, 0], [100_000_000, 0.975, -2_500_000]]
    desk = Desk(
        {"BTC/USDT": spot("BTC", [20_000.0] * 3)},
        {"USDT": asset([1.0] * 3), "BTC": coin},
        {"unified": {"BTC": 6000.0}},
        multi=True,
    )
    desk.live()
    assert desk.margin(1, "unified")[0] == pytest.approx(119_500_000.0)


def test_g29_1000_usdc_borrowed_over_two_started_hours_at_0_001_percent_cost_0_02() -> None:
    """Taken in one hour and still owed when the next one strikes."""
    prices = [1.0] * 4
    desk = Desk(
        {"USDC/USDT": spot("USDC", prices)},
        {"USDT": asset(prices), "USDC": asset(prices)},
        {"unified": {"USDT": 10_000.0}},
        multi=True,
        borrow={"USDC": 0.00001},
    )
    desk.order("USDC/USDT", -1000.0)
    desk.live(3)
    assert desk.total("interest", "USDC") == pytest.approx(-0.02, abs=1e-8)


@pytest.mark.parametrize(("coin", "lowest", "highest"), [("BTC", -0.003, 0.003), ("ETH", None, 0.00375)])
def test_g33_funding_never_passed_three_quarters_of_the_first_maintenance_rate(
    reference_data: Path, coin: str, lowest: float | None, highest: float
) -> None:
    """0.75 x 0.4 % of bitcoin, 0.75 x 0.5 % of ether: the table's cap is where the realised rates end."""
    text = (reference_data / "binance" / f"funding_{coin}-USDT_binance_2020-2023.csv").read_text()
    rates = [float(row["Funding Rate"]) for row in csv.DictReader(text.splitlines())]
    cap = load("binance").entries["funding"][0].values["cap_of_first_rate"]
    assert max(rates) == pytest.approx(highest)
    assert lowest is None or min(rates) == pytest.approx(lowest)
    assert cap * (0.004 if coin == "BTC" else 0.005) == pytest.approx(highest)
