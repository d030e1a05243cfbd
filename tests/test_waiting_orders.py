"""Limit orders, stops and take-profits: what they tie up, when they fill, and what stands in their way.

Where nothing else is said: a contract of one coin at 100, 10x, no fees, no slippage.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_arithmetic import Desk, asset, future, spot

from backtest.state import LIMIT, MARKET, P_LOW_HIGH, POST_ONLY, REDUCE_ONLY, STOP, TAKE_PROFIT

pytestmark = pytest.mark.jit_off

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


def candles(opened: list[float], low: list[float], high: list[float], close: list[float]) -> dict[str, list[float]]:
    return {"open": opened, "low": low, "high": high, "close": close}


def shown(base: str, bars: dict[str, list[float]], **more: Any) -> dict[str, Any]:
    """A future whose mark is its traded price."""
    return future(base, bars["open"], **more) | {"last": bars, "mark": bars}


def market(usdt: float, bars: dict[str, list[float]] | None = None, rate: float = 0.01, **choices: Any) -> Desk:
    """One contract in BTC, one in ETH that stands still, in a cross account."""
    flat = [100.0] * 6
    shape = bars or candles(flat, flat, flat, flat)
    many = len(shape["open"])
    still = [100.0] * many
    return Desk(
        {BTC: shown("BTC", shape, rate=rate), ETH: future("ETH", still)},
        {"USDT": asset([1.0] * many), "BTC": {**asset(still), "index": shape}, "ETH": asset(still)},
        {"usdm": {"USDT": usdt}},
        **choices,
    )


def test_a_buy_at_110_over_the_market_costs_its_margin_and_the_loss_it_opens_with() -> None:
    """47 x (11 + 10) = 987 of 1,000; a 48th would make it 1,008. It takes what is there at 100, and loses nothing."""
    desk = market(1000.0)
    order = desk.wait(BTC, 47.0, LIMIT, price=110.0)
    desk.live()
    assert desk.state(order) == ("filled", "", 47.0)
    assert desk.margin(1)[:2] == pytest.approx((1000.0, 470.0))
    more = market(1000.0)
    order = more.wait(BTC, 48.0, LIMIT, price=110.0)
    more.live()
    assert more.state(order) == ("refused", "initial margin", 0.0)


@pytest.mark.parametrize(("limit", "price"), [(90.0, 99.0), (99.5, 99.5)])
def test_a_sale_below_the_market_takes_what_is_there_and_no_less_than_its_limit(limit: float, price: float) -> None:
    """The open is 100 and slippage 1 %: 99, or the limit where that is better."""
    desk = market(1000.0, slippage=0.01)
    desk.wait(BTC, -10.0, LIMIT, price=limit)
    desk.live()
    assert desk.book.fill_price[0, 0] == pytest.approx(price)


@pytest.mark.parametrize(("second", "price"), [([100.0] * 4, 100.0), ([97.0, 97.0, 99.0, 97.0], 98.0)])
def test_what_a_crossing_limit_left_goes_on_taking_until_the_market_leaves_it(
    second: list[float], price: float
) -> None:
    """A bar trades 100 and the account takes 6 % of it: 6 of 10 sold at the open's 100. The rest takes the next open of
    100 as well; where that is 97, it rests and is sold at its 98.
    """
    opens, low, high, close = ([100.0, 100.0, value, value] for value in second)
    close[1] = close[2]  # the bar it arrived at closed where the next one opens
    desk = market(1000.0, candles(opens, low, high, close), volume_share=0.06)
    desk.tape.series[desk.tape.volume_row[0, 0]] = 100.0
    desk.wait(BTC, -10.0, LIMIT, price=98.0)
    desk.live()
    assert desk.book.fill[:2, 3].tolist() == [-6 * 10**8, -4 * 10**8]
    assert desk.book.fill_price[:2, 0].tolist() == [100.0, price]


def test_a_crossing_limit_that_has_once_rested_takes_no_more() -> None:
    """6 of 30 sold at 100; the bar closes at 97, under the 98; from then on 6 at a time at 98, wherever it opens."""
    opens, closes = [100.0, 100.0, 97.0, 105.0, 105.0], [100.0, 97.0, 99.0, 105.0, 105.0]
    low, high = [97.0, 97.0, 97.0, 99.0, 105.0], [100.0, 100.0, 99.0, 105.0, 105.0]
    desk = market(10_000.0, candles(opens, low, high, closes), volume_share=0.06)
    desk.tape.series[desk.tape.volume_row[0, 0]] = 100.0
    desk.wait(BTC, -30.0, LIMIT, price=98.0)
    desk.live()
    assert desk.book.fill_price[:4, 0].tolist() == [100.0, 98.0, 98.0, 98.0]


def test_a_market_order_and_a_crossing_limit_beside_it_are_cut_as_one() -> None:
    """6 of 10 each: what is left of the limit does not fill alone, so that no leg is naked."""
    desk = market(1000.0, volume_share=0.06)
    for k in range(2):
        desk.tape.series[desk.tape.volume_row[0, k]] = 100.0
    buy = desk.wait(BTC, 10.0, LIMIT, price=110.0, group=0)
    desk.wait(ETH, -10.0, MARKET, group=0)
    book = desk.live()
    assert desk.state(buy) == ("part filled", "volume", 6.0)
    assert (book.contracts[:2, 0] // 10**8).tolist() == [6, -6]


def test_an_order_that_is_refused_costs_nobody_anything() -> None:
    """50 long on 1,000; a sale of 1,000 at 50 would open with a loss of 50,000. It is refused, no more."""
    desk = market(1000.0)
    desk.order(BTC, 50.0)
    order = desk.wait(BTC, -1000.0, LIMIT, bar=1, price=50.0)
    desk.live()
    assert desk.state(order)[0] == "refused"
    assert desk.rungs() == []
    assert desk.book.contracts[0, 0] == 50 * 10**8


def test_a_purchase_at_the_open_is_not_paid_with_what_a_sale_earns_later_in_the_bar() -> None:
    """200 USDT; a resting sale of 10 at 110 reserves 110; 18 ETH more need 180. Will 110 trade? Nobody knows."""
    answers = []
    for high in (100.0, 112.0):
        flat = [100.0] * 4
        desk = market(200.0, candles(flat, flat, [100.0, 100.0, high, 100.0], flat))
        desk.wait(BTC, -10.0, LIMIT, price=110.0)
        answers.append((desk, desk.order(ETH, 18.0, bar=1)))
        desk.live()
    assert [desk.state(order) for desk, order in answers] == [("refused", "initial margin", 0.0)] * 2


def test_a_stop_below_the_liquidation_price_saves_nobody() -> None:
    """100 long on 1,006, maintenance 1 %: at p it has 1,006 - 100 (100 - p) and needs p: dead at 8,994 / 99."""
    flat = [100.0] * 4
    desk = market(1006.0, candles(flat, [100.0, 100.0, 84.0, 100.0], flat, flat))
    desk.order(BTC, 100.0)
    stop = desk.wait(BTC, -100.0, STOP, bar=1, price=85.0, flags=int(REDUCE_ONLY))
    book = desk.live()
    assert "reduce" in desk.rungs()
    assert book.fill_price[1, 0] == pytest.approx(8994 / 99)
    assert desk.state(stop)[2] > -100.0
    assert desk.balance("usdm", "USDT") >= 0.0


def test_a_stop_above_the_liquidation_price_is_filled_at_its_trigger_before_anybody_is_liquidated() -> None:
    """At 95 the long of 100 has lost 500 of its 1,006; the bar goes on to 84, where nothing is held any more."""
    flat = [100.0] * 4
    desk = market(1006.0, candles(flat, [100.0, 100.0, 84.0, 100.0], flat, flat))
    desk.order(BTC, 100.0)
    stop = desk.wait(BTC, -100.0, STOP, bar=1, price=95.0)
    book = desk.live()
    assert desk.state(stop) == ("filled", "", -100.0)
    assert desk.rungs() == []
    assert desk.balance("usdm", "USDT") == pytest.approx(506.0)
    assert book.path[P_LOW_HIGH, 0, 2] == pytest.approx(506 / 95)  # the lowest ratio it lived through


def test_a_stop_that_the_open_has_jumped_over_fills_at_the_open() -> None:
    desk = market(5000.0, candles(*([[100.0, 100.0, 90.0, 90.0]] * 4)))
    desk.order(BTC, 10.0)
    stop = desk.wait(BTC, -10.0, STOP, bar=1, price=95.0)
    desk.live()
    assert desk.state(stop) == ("filled", "", -10.0)
    assert desk.balance("usdm", "USDT") == pytest.approx(5000 - 100)


def test_a_take_profit_earns_its_price_not_the_open() -> None:
    """10 long from 100, take-profit 110, the bar goes to 112: 100 earned."""
    flat = [100.0] * 4
    desk = market(5000.0, candles(flat, flat, [100.0, 100.0, 112.0, 100.0], flat))
    desk.order(BTC, 10.0)
    order = desk.wait(BTC, -10.0, TAKE_PROFIT, bar=1, price=110.0)
    desk.live()
    assert desk.state(order) == ("filled", "", -10.0)
    assert desk.balance("usdm", "USDT") == pytest.approx(5100.0)


def test_a_take_profit_that_the_open_is_beyond_fills_there() -> None:
    """10 long from 100, take-profit 110, the next bar opens at 120: 200 earned, and no price that nobody traded at."""
    opens, flat = [100.0, 100.0, 120.0, 120.0], [100.0, 100.0, 120.0, 120.0]
    desk = market(5000.0, candles(opens, flat, flat, flat))
    desk.order(BTC, 10.0)
    desk.wait(BTC, -10.0, TAKE_PROFIT, bar=1, price=110.0)
    desk.live()
    assert desk.balance("usdm", "USDT") == pytest.approx(5200.0)


def test_a_reduce_only_order_that_is_triggered_with_nothing_to_reduce_is_over() -> None:
    """A purchase at 70 to take a short's profit, placed before there is one. The bar goes to 60: a short sold after it
    stays open.
    """
    flat = [100.0] * 4
    desk = market(5000.0, candles(flat, [100.0, 60.0, 100.0, 100.0], flat, flat))
    order = desk.wait(BTC, 10.0, TAKE_PROFIT, price=70.0, flags=int(REDUCE_ONLY))
    desk.order(BTC, -10.0, bar=1)
    book = desk.live()
    assert desk.state(order) == ("refused", "reduce-only would open", 0.0)
    assert book.contracts[0, 0] == -10 * 10**8


def test_an_entry_its_stop_and_its_profit_are_placed_together_and_wait_for_each_other() -> None:
    """Bought at the open's 100; the stop at 90 and the profit at 110 are one group with it. The bar after goes to 112:
    100 earned, and the stop that is then met at 88 with nothing to sell is over.
    """
    flat = [100.0] * 5
    bars = candles(flat, [100.0, 100.0, 100.0, 88.0, 100.0], [100.0, 100.0, 112.0, 100.0, 100.0], flat)
    desk = market(5000.0, bars)
    desk.wait(BTC, 10.0, MARKET, group=0)
    stop = desk.wait(BTC, -10.0, STOP, price=90.0, flags=int(REDUCE_ONLY), group=0)
    profit = desk.wait(BTC, -10.0, TAKE_PROFIT, price=110.0, flags=int(REDUCE_ONLY), group=0)
    book = desk.live()
    assert desk.state(profit) == ("filled", "", -10.0)
    assert desk.state(stop) == ("refused", "reduce-only would open", 0.0)
    assert book.contracts[0, 0] == 0
    assert desk.balance("usdm", "USDT") == pytest.approx(5100.0)


@pytest.mark.parametrize(("two_sided", "flags"), [(False, int(REDUCE_ONLY)), (True, int(REDUCE_ONLY)), (True, 0)])
def test_a_stop_that_the_open_of_its_entry_is_beyond_sells_what_the_entry_bought(two_sided: bool, flags: int) -> None:
    """The bar opens at 85: bought there, and sold there by the stop of 90."""
    opens = [100.0, 85.0, 85.0, 85.0]
    desk = market(5000.0, candles(opens, opens, opens, opens), two_sided=two_sided)
    entry = desk.wait(BTC, 10.0, MARKET, group=0)
    stop = desk.wait(BTC, -10.0, STOP, price=90.0, flags=flags, group=0)
    book = desk.live()
    assert (desk.state(entry), desk.state(stop)) == (("filled", "", 10.0), ("filled", "", -10.0))
    assert book.fill_price[:2, 0].tolist() == [85.0, 85.0]


def test_in_hedge_mode_a_stop_placed_with_its_entry_needs_no_word_that_it_reduces() -> None:
    """The side it is of says so: bought at 100, sold at the stop of 90."""
    flat = [100.0] * 4
    desk = market(5000.0, candles(flat, [100.0, 100.0, 88.0, 100.0], flat, flat), two_sided=True)
    desk.wait(BTC, 10.0, MARKET, group=0)
    stop = desk.wait(BTC, -10.0, STOP, price=90.0, group=0)
    desk.live()
    assert desk.state(stop) == ("filled", "", -10.0)
    assert desk.balance("usdm", "USDT") == pytest.approx(4900.0)


def test_a_stop_and_a_profit_of_one_group_are_over_when_they_are_met_with_nothing_to_sell() -> None:
    flat = [100.0] * 5
    desk = market(5000.0, candles(flat, [100.0, 88.0, 100.0, 100.0, 100.0], flat, flat))
    stop = desk.wait(BTC, -10.0, STOP, price=90.0, flags=int(REDUCE_ONLY), group=0)
    profit = desk.wait(BTC, -10.0, TAKE_PROFIT, price=110.0, flags=int(REDUCE_ONLY), group=0)
    desk.order(BTC, 10.0, bar=2)
    book = desk.live()
    assert desk.state(stop)[:2] == ("refused", "reduce-only would open")
    assert desk.state(profit)[0] == "waiting"
    assert book.contracts[0, 0] == 10 * 10**8


def test_an_entry_below_and_its_stop_above_both_fill_in_the_order_of_the_path() -> None:
    """The bar goes to 90, then to 112: bought at 95, sold at 110."""
    flat = [100.0] * 4
    desk = market(5000.0, candles(flat, [100.0, 90.0, 100.0, 100.0], [100.0, 112.0, 100.0, 100.0], flat))
    desk.wait(BTC, 10.0, LIMIT, price=95.0)
    desk.wait(BTC, -10.0, TAKE_PROFIT, price=110.0, flags=int(REDUCE_ONLY))
    desk.live()
    assert desk.balance("usdm", "USDT") == pytest.approx(5150.0)


def test_a_reduce_only_order_larger_than_the_position_closes_it_and_opens_nothing() -> None:
    desk = market(5000.0)
    desk.order(BTC, 5.0)
    order = desk.wait(BTC, -10.0, MARKET, bar=1, flags=int(REDUCE_ONLY))
    book = desk.live()
    assert book.contracts[0, 0] == 0
    assert desk.state(order)[2] == -5.0


def test_closing_risk_passes_though_a_resting_purchase_has_reserved_the_cash() -> None:
    """1,000 USDT; a purchase of 8 coins at 90 waits; long 60; at 90, 30 are sold at a loss of 300."""
    prices = [100.0, 100.0, 90.5, 90.5, 90.5]
    desk = Desk(
        {"ETH/USDT": spot("ETH", [100.0] * 5), BTC: future("BTC", prices)},
        {"USDT": asset([1.0] * 5), "BTC": asset(prices), "ETH": asset([100.0] * 5)},
        {"unified": {"USDT": 1000.0}},
        multi=True,
        ladder=("cancel_orders", "reduce", "takeover"),
    )
    desk.wait("ETH/USDT", 8.0, LIMIT, price=90.0)
    desk.order(BTC, 60.0)
    order = desk.order(BTC, -30.0, bar=2)
    desk.live()
    assert desk.state(order) == ("filled", "", -30.0)


def test_one_leg_that_may_not_rest_takes_the_whole_group_with_it() -> None:
    """A post-only purchase at 110 would cross; the market sale beside it must not be left alone."""
    desk = market(5000.0)
    desk.wait(BTC, 1.0, LIMIT, price=110.0, flags=int(POST_ONLY), group=77)
    sale = desk.wait(ETH, -1.0, MARKET, group=77)
    desk.live()
    assert desk.state(sale) == ("refused", "post-only would cross", 0.0)


def test_five_orders_share_the_volume_that_one_may_take() -> None:
    """A tenth of 60 contracts a bar: six of thirty."""
    desk = market(5000.0, volume_share=0.1)
    desk.tape.series[desk.tape.volume_row[0, 0], :] = 60.0
    orders = [desk.order(BTC, 6.0) for _ in range(5)]
    book = desk.live()
    assert book.contracts[0, 0] == 6 * 10**8
    assert [desk.state(order)[2] for order in orders] == [6.0, 0.0, 0.0, 0.0, 0.0]


def test_a_stop_that_was_triggered_in_a_thin_bar_goes_on_selling_at_the_next_opens() -> None:
    """20 contracts, 10 a bar: the trigger at 95 is passed once, the price comes back to 98 and stays."""
    low = [100.0, 100.0, 94.0, 98.0, 98.0, 98.0]
    after = [100.0, 100.0, 98.0, 98.0, 98.0, 98.0]
    opened = [100.0, 100.0, 100.0, 98.0, 98.0, 98.0]
    desk = market(5000.0, candles(opened, low, opened, after), volume_share=0.1)
    desk.tape.series[desk.tape.volume_row[0, 0], :] = 1000.0
    desk.order(BTC, 20.0)
    desk.live(2)
    desk.tape.series[desk.tape.volume_row[0, 0], :] = 100.0
    stop = desk.wait(BTC, -20.0, STOP, bar=1, price=95.0)
    desk.live()
    assert desk.state(stop) == ("filled", "", -20.0)
    assert desk.balance("usdm", "USDT") == pytest.approx(5000 - 10 * 5 - 10 * 2)


def test_an_order_in_one_coin_is_not_refused_for_what_another_wallet_lacks() -> None:
    """The coin-margined short needs more than its wallet has; the dollar wallet is full."""
    prices = [100.0, 100.0, 100.0, 60.0, 60.0, 60.0]
    inverse = future("BTC", prices) | {"kind": "inverse", "settle": "BTC", "size": 100}
    desk = Desk(
        {"BTC/USD:BTC": inverse, ETH: future("ETH", [100.0] * 6)},
        {"USDT": asset([1.0] * 6), "BTC": asset(prices), "ETH": asset([100.0] * 6)},
        {"usdm": {"USDT": 10_000.0}, "coinm": {"BTC": 1.0}},
    )
    desk.order("BTC/USD:BTC", 1.0)
    order = desk.order(ETH, 10.0, bar=3)
    desk.live()
    collateral, initial, _ = desk.margin(4, "coinm", "BTC")
    assert collateral / initial == pytest.approx((1 + 1 - 100 / 60) / (100 / 60 / 10))
    assert desk.state(order)[0] == "filled"


def test_a_resting_order_of_an_isolated_position_is_paid_for_by_the_wallet_it_will_be_funded_from() -> None:
    """100 at 90 rests on 1,000 and needs 900; a cross order over 200 of margin has to wait for it."""
    desk = market(1000.0, isolated=(BTC,))
    desk.wait(BTC, 100.0, LIMIT, price=90.0)
    order = desk.order(ETH, 20.0, bar=1)
    fits = desk.order(ETH, 9.0, bar=2)
    desk.live()
    assert desk.state(order) == ("refused", "initial margin", 0.0)
    assert desk.state(fits)[0] == "filled"


def test_a_purchase_of_coins_may_rest_on_dollars_that_lie_in_the_futures_wallet() -> None:
    low = [100.0, 100.0, 89.0, 100.0]
    flat = [100.0] * 4
    coin = spot("ETH", flat)
    coin["last"] = coin["mark"] = candles(flat, low, flat, flat)
    desk = Desk(
        {"ETH/USDT": coin, ETH: future("ETH", flat)},
        {"USDT": asset([1.0] * 4), "ETH": asset(flat)},
        {"usdm": {"USDT": 1000.0}},
    )
    order = desk.wait("ETH/USDT", 5.0, LIMIT, price=90.0)
    desk.live()
    assert desk.state(order) == ("filled", "", 5.0)
    assert (desk.balance("usdm", "USDT"), desk.balance("spot", "ETH")) == (550.0, 5.0)


@pytest.mark.parametrize("seed", range(12))
def test_waiting_orders_fill_alike_wherever_the_history_is_cut(seed: int) -> None:
    """Forty bars, thirty orders of every kind at prices around the market; lived through at once, and bar by bar."""
    draw, bars = np.random.default_rng(seed), 40
    close = 100 * np.exp(np.cumsum(draw.normal(0, 0.02, bars)))
    opened = np.concatenate([[100.0], close[:-1]])
    low = np.minimum(opened, close) * (1 - draw.uniform(0, 0.02, bars))
    high = np.maximum(opened, close) * (1 + draw.uniform(0, 0.02, bars))
    shape = candles(*(row.tolist() for row in (opened, low, high, close)))
    wishes = [
        (float(draw.integers(-20, 21)), int(draw.integers(4)), int(draw.integers(bars - 2)), draw.uniform(0.94, 1.06))
        for _ in range(30)
    ]
    books = []
    for cuts in ((bars,), range(1, bars + 1)):
        desk = market(800.0, shape, volume_share=0.1)
        desk.tape.series[desk.tape.volume_row[0, 0], :] = 120.0
        for contracts, kind, bar, away in sorted(wishes, key=lambda wish: wish[2]):
            desk.wait(
                BTC, contracts, kind, bar=bar, price=round(close[bar] * away, 2), flags=int(REDUCE_ONLY) * (kind == 2)
            )
        for last in cuts:
            desk.live(last)
        books.append(desk.book)
    one, other = books
    for name in (
        "balance",
        "contracts",
        "cost",
        "ledger",
        "fill",
        "fill_price",
        "order",
        "incident",
        "path",
        "headroom",
    ):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
