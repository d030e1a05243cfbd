"""What is left after a fall: forced sales all along a bar's way, debts that are called, and who bears the rest."""

from __future__ import annotations

import pytest
from test_arithmetic import Desk, asset, future, spot
from test_waiting_orders import BTC, candles, market

from backtest.engine.tape import Event
from backtest.state import DELEVERAGE, FILL_ROWS

pytestmark = pytest.mark.jit_off

FULL = ("cancel_orders", "reduce", "sell_collateral", "takeover")


def test_forced_sales_keep_pace_with_the_fall_down_to_its_end() -> None:
    """1,000 long on 15,000, maintenance 10 %. At 50 what is left must be covered there, though 100 comes back."""
    flat = [100.0] * 4
    desk = market(15_000.0, candles(flat, [100.0, 100.0, 50.0, 100.0], flat, flat), rate=0.1, leverage=8.0)
    desk.order(BTC, 1000.0)
    book = desk.live(2)
    book = desk.live(3)
    left, cost = book.contracts[0, 0] * 1e-8, book.cost[0, 0] * 1e-8
    at_the_low = desk.balance("usdm", "USDT") + left * 50 - cost
    assert left < 400
    assert at_the_low >= 0.1 * left * 50 or left == 0


def test_two_isolated_positions_that_fail_in_one_bar_fail_each_at_its_own_price() -> None:
    """A at 2x first fails at 50.5, B at 10x at 90.9; which is listed first is no matter."""
    sold = []
    for names in (("AAA/USDT:USDT", "BBB/USDT:USDT"), ("BBB/USDT:USDT", "AAA/USDT:USDT")):
        flat = [100.0] * 4
        bars = candles(flat, [100.0, 100.0, 40.0, 40.0], flat, [100.0, 100.0, 40.0, 40.0])
        assets = {"USDT": asset([1.0] * 4), **{name[:3]: {**asset(flat), "index": bars} for name in names}}
        desk = Desk(
            {name: future(name[:3], flat) | {"last": bars, "mark": bars} for name in names},
            assets,
            {"usdm": {"USDT": 10_000.0}},
            isolated=names,
        )
        desk.rules.leverage[0, :] = [2.0 if name[:3] == "AAA" else 10.0 for name in names]
        for name in names:
            desk.order(name, 10.0)
        book = desk.live()
        fills = dict[str, float]()
        for row, price in list(zip(book.fill, book.fill_price, strict=True))[2 : book.count[FILL_ROWS]]:
            fills.setdefault(desk.symbols[int(row[2])], price[0])
        sold.append(fills)
    assert sold[0] == pytest.approx(sold[1])
    assert sold[0]["BBB/USDT:USDT"] == pytest.approx(90 / 0.99)
    assert sold[0]["AAA/USDT:USDT"] == pytest.approx(50 / 0.99)


def test_a_position_fails_where_it_fails_whoever_else_is_being_sold_on_the_way() -> None:
    """At 10x a position with 5 % of maintenance fails at 90 / 0.95 = 94.737, one with 2.5 % at 90 / 0.975 = 92.308."""
    flat, names = [100.0] * 4, ("AAA/USDT:USDT", "BBB/USDT:USDT")
    bars = candles(flat, [100.0, 100.0, 70.0, 70.0], flat, [100.0, 100.0, 70.0, 70.0])
    first = {}
    for held in (names, names[1:]):
        desk = Desk(
            {
                name: future(name[:3], flat, rate) | {"last": bars, "mark": bars}
                for name, rate in zip(names, (0.05, 0.025), strict=True)
            },
            {"USDT": asset([1.0] * 4), **{name[:3]: {**asset(flat), "index": bars} for name in names}},
            {"usdm": {"USDT": 10_000.0}},
            isolated=names,
        )
        for name in held:
            desk.order(name, 7.0)
        book = desk.live()
        for row, price in list(zip(book.fill, book.fill_price, strict=True))[len(held) : book.count[FILL_ROWS]]:
            first.setdefault((len(held), desk.symbols[int(row[2])]), price[0])
    assert first[2, names[0]] == pytest.approx(90 / 0.95)
    assert [first[many, names[1]] for many in (1, 2)] == pytest.approx([90 / 0.975] * 2)


def test_a_loan_of_coins_that_tripled_is_called_and_the_fund_bears_what_is_missing() -> None:
    """150 USDT; one coin borrowed and sold at 100; at 300 the loan is worth more than the 250 there are."""
    prices = [100.0] * 3 + [300.0] * 5
    desk = Desk(
        {"BTC/USDT": spot("BTC", prices)},
        {"USDT": asset([1.0] * 8), "BTC": asset(prices)},
        {"unified": {"USDT": 150.0}},
        multi=True,
        ladder=FULL,
        borrow={"BTC": 0.0, "USDT": 0.0},
    )
    desk.order("BTC/USDT", -1.0)
    desk.live()
    assert desk.balance("loans", "BTC") == 0.0
    assert desk.balance("unified", "USDT") == pytest.approx(0.0, abs=1e-6)
    assert desk.total("insurance", "BTC") == pytest.approx(1 - 250 / 300)
    assert desk.rungs() == ["sell collateral", "takeover"]


def test_a_debt_without_positions_is_called_when_the_coins_no_longer_cover_it() -> None:
    """One coin of 50,000 behind a loss of 30,000; then the coin is worth 20,000."""
    coin, eth = [50_000.0] * 4 + [20_000.0] * 4, [100.0] * 2 + [70.0] * 6
    desk = Desk(
        {"ETH/USDT:USDT": future("ETH", eth), "BTC/USDT": spot("BTC", coin)},
        {"USDT": asset([1.0] * 8), "BTC": asset(coin, 0.95), "ETH": asset(eth)},
        {"unified": {"BTC": 1.0}},
        multi=True,
        ladder=FULL,
    )
    desk.order("ETH/USDT:USDT", 1000.0)
    desk.order("ETH/USDT:USDT", -1000.0, bar=1)
    desk.live()
    assert desk.balance("unified", "BTC") == 0.0
    assert desk.total("insurance", "USDT") == pytest.approx(10_000.0)


def ruined(owes: bool, ratio: float = 1.0) -> Desk:
    """100 long from 100 on 1,000 USDT and 10,000 of a coin at 1; the price gaps to 50: 4,000 more than there was."""
    prices = [100.0, 100.0, 50.0, 50.0]
    desk = Desk(
        {BTC: future("BTC", prices), "DOGE/USDT": spot("DOGE", [1.0] * 4)},
        {"USDT": asset([1.0] * 4), "BTC": asset(prices), "DOGE": asset([1.0] * 4, ratio)},
        {"unified": {"USDT": 1000.0, "DOGE": 10_000.0 if ratio < 1 else 1.0}},
        multi=True,
        ladder=FULL,
        owes=owes,
    )
    desk.order(BTC, 100.0)
    desk.live()
    return desk


def test_coins_that_count_for_nothing_are_not_sold_and_the_fund_pays() -> None:
    desk = ruined(owes=False, ratio=0.0)
    assert desk.balance("unified", "DOGE") == 10_000.0
    assert desk.total("insurance", "USDT") == pytest.approx(4000.0)


def test_where_the_venue_forgives_nothing_the_debt_stays_apart_from_the_wallet() -> None:
    desk = ruined(owes=True)
    assert desk.balance("unified", "USDT") == 0.0
    assert desk.balance("debts", "USDT") == pytest.approx(-3999.0)
    assert desk.rungs()[-2:] == ["bankrupt", "takeover"]
    assert desk.book.path[0, 0, -1] == pytest.approx(-3999.0)


def test_interest_runs_on_what_was_borrowed_not_on_interest() -> None:
    """10 coins at 1 % an hour: the first hour at once, then 20 more: 2.1."""
    prices = [100.0] * 23
    desk = Desk(
        {"BTC/USDT": spot("BTC", prices)},
        {"USDT": asset([1.0] * 23), "BTC": asset(prices)},
        {"unified": {"USDT": 10_000.0}},
        multi=True,
        borrow={"BTC": 0.01},
    )
    desk.order("BTC/USDT", -10.0)
    desk.live(22)
    assert desk.total("interest", "BTC") == pytest.approx(-2.1)


def test_a_loan_that_was_paid_back_asks_for_nothing_any_more() -> None:
    """One coin borrowed and sold, two bought: the loan is gone, and so is its margin."""
    prices = [100.0] * 8
    desk = Desk(
        {"BTC/USDT": spot("BTC", prices)},
        {"USDT": asset([1.0] * 8), "BTC": asset(prices)},
        {"unified": {"USDT": 1000.0}},
        multi=True,
        borrow={"BTC": 0.0},
    )
    desk.order("BTC/USDT", -1.0)
    desk.order("BTC/USDT", 2.0, bar=3)
    desk.live()
    assert desk.margin(2, "unified")[1:] == pytest.approx((50.0, 10.0))
    assert desk.margin(5, "unified") == pytest.approx((1000.0, 0.0, 0.0))


def test_a_debt_in_a_coin_that_wicks_up_is_dearest_at_its_high_when_every_leg_is_at_its_worst() -> None:
    """-1,000 USDT (a loss) against coins of 1,050; USDT goes to 1.1 for a moment: 1,050 - 1,100 is below nothing."""
    many = 6
    wick = candles([1.0] * many, [1.0] * many, [1.0] * 4 + [1.1, 1.0], [1.0] * many)
    eth, coin = [100.0] * 2 + [90.0] * 4, [1050.0] * many
    desk = Desk(
        {"ETH/USDT:USDT": future("ETH", eth), "BTC/USDT": spot("BTC", coin)},
        {"USDT": {**asset([1.0] * many), "index": wick}, "BTC": asset(coin), "ETH": asset(eth)},
        {"unified": {"BTC": 1.0}},
        multi=True,
        ladder=FULL,
        path="each_worst",
    )
    desk.order("ETH/USDT:USDT", 100.0)
    desk.order("ETH/USDT:USDT", -99.0, bar=1)
    desk.live()
    assert "sell collateral" in desk.rungs()


def test_auto_deleveraging_takes_the_winning_leg_and_leaves_the_coins_naked() -> None:
    """10 coins and 10 short from 100; at 80 half of the short is closed at the mark: 100 earned on 5, 5 left."""
    prices = [100.0, 100.0, 80.0, 80.0]
    desk = Desk(
        {"BTC/USDT": spot("BTC", prices), BTC: future("BTC", prices)},
        {"USDT": asset([1.0] * 4), "BTC": asset(prices)},
        {"spot": {"BTC": 10.0}, "usdm": {"USDT": 1000.0}},
        happenings=[Event(2, int(DELEVERAGE), 1, -1, 0.5)],
    )
    desk.order(BTC, -10.0)
    book = desk.live()
    assert book.contracts[1, 0] == -5 * 10**8
    assert desk.total("realised", "USDT") == pytest.approx(100.0)
    assert desk.balance("spot", "BTC") == 10.0


def test_auto_deleveraging_passes_by_a_position_that_loses() -> None:
    prices = [100.0, 100.0, 80.0, 80.0]
    desk = Desk(
        {BTC: future("BTC", prices)},
        {"USDT": asset([1.0] * 4), "BTC": asset(prices)},
        {"usdm": {"USDT": 1000.0}},
        happenings=[Event(2, int(DELEVERAGE), 0, -1, 0.5)],
    )
    desk.order(BTC, 10.0)
    assert desk.live().contracts[0, 0] == 10 * 10**8
