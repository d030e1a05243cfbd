"""How single venues sell a position that is no longer covered: what is cut, at what price, and what its owner keeps.

Where nothing else is said: one coin a contract, bought at 100, no fees, no slippage, a price that gaps.
"""

from __future__ import annotations

from typing import Any

import pytest
from fake_port import history_of
from test_arithmetic import Desk, asset, future, spot
from test_settlement import opened, recorded

from backtest.engine.orders import place
from backtest.engine.tables import RUNGS
from backtest.report.record import FORCED
from backtest.state import INCIDENT_ROWS, MARKET, N_AMOUNT, N_CONTRACTS, N_PRICE, RUNG_NAMES
from backtest.strategy import Order
from backtest.venues import check
from backtest.venues.schema import Level, Terms

pytestmark = pytest.mark.jit_off

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
# Brackets: 1 % up to 1,000, 2 % up to 2,000, 5 % up to 3,000, 10 % up to 4,000, 20 % above; continuous like a tax.
BRACKETS = [
    [0, 0.01, 0, 125], [1000, 0.02, 10, 50], [2000, 0.05, 70, 20], [3000, 0.1, 220, 20], [4000, 0.2, 620, 5],
]  # fmt: skip


def long(
    contracts: float, price: float, usdt: float, *ladder: str, brackets: Any = None, rate: float = 0.1, **more: Any
) -> Desk:
    """So many coins bought at 100 on so much money; then the price is another."""
    prices = [100.0, 100.0, price, price]
    terms = {"tiers": brackets or [[0, rate, 0, 125]], **more.pop("terms", {})}
    rules = more.pop("rules", {})
    others = more.pop("others", {})
    desk = Desk(
        {BTC: future("BTC", prices, **terms), **others},
        {"USDT": asset([1.0] * 4), "BTC": asset(prices), "ETH": asset([100.0] * 4)},
        {"usdm": {"USDT": usdt}},
        ladder=("cancel_orders", *ladder),
        rules=rules,
        **{"leverage": 100.0, **more},
    )
    desk.order(BTC, contracts)
    return desk


def incidents(desk: Desk) -> list[tuple[str, float, float, float]]:
    """Rung, contracts, price and dollars of each."""
    rows = desk.book.incident[: desk.book.count[INCIDENT_ROWS]]
    numbers = rows[:, [N_CONTRACTS, N_PRICE, N_AMOUNT]].tolist()
    return [(rung, *row) for rung, row in zip(desk.rungs(), numbers, strict=True)]


def held(desk: Desk, position: int = 0) -> float:
    return float(desk.book.contracts[position, 0]) * 1e-8


# Brackets: one lower at a time, or two


def test_an_isolated_position_of_a_higher_bracket_is_cut_to_the_one_whose_maintenance_is_met() -> None:
    """35 at 20x bring 175; at 96 140 are lost and 35 left: maintenance 10 % x 3,360 - 220 = 116. At 3,000 it would be
    5 % x 3,000 - 70 = 80, at 2,000 2 % x 2,000 - 10 = 30: 20.833 coins are kept, and all of the margin with them.
    """
    desk = long(35.0, 96.0, 1000.0, "tier_down", brackets=BRACKETS, isolated=(BTC,), leverage=20.0)
    desk.live()
    assert held(desk) == pytest.approx(20.833)
    assert incidents(desk) == [("tier down", pytest.approx(-14.167), 96.0, 0.0)]
    assert desk.balance(BTC, "USDT") == pytest.approx(175 - 4 * 14.167)
    assert desk.balance("usdm", "USDT") == pytest.approx(825.0)


def test_from_the_lowest_bracket_an_isolated_position_is_taken_over_at_the_price_that_leaves_nothing() -> None:
    """5 at 20x bring 25: the bankruptcy price is 95. At 95.5 2.5 are left against 4.78; all 25 are lost, not more."""
    desk = long(5.0, 95.5, 1000.0, "tier_down", brackets=BRACKETS, isolated=(BTC,), leverage=20.0)
    desk.live()
    assert held(desk) == 0.0
    assert desk.book.fill_price[1, 0] == pytest.approx(95.0)
    assert desk.balance(BTC, "USDT") == 0.0
    assert desk.balance("usdm", "USDT") == pytest.approx(975.0)
    assert incidents(desk) == [("takeover", 0.0, pytest.approx(95.0), pytest.approx(-2.5))]


def test_beyond_the_bankruptcy_price_the_owner_still_loses_no_more_than_his_margin() -> None:
    """At 80 the position is 75 short of anything; it goes at 95 all the same, and the fund bears the 75."""
    desk = long(5.0, 80.0, 1000.0, "tier_down", brackets=BRACKETS, isolated=(BTC,), leverage=20.0)
    desk.live()
    assert desk.book.fill_price[1, 0] == pytest.approx(95.0)
    assert desk.balance("usdm", "USDT") == pytest.approx(975.0)
    assert incidents(desk)[-1] == ("takeover", 0.0, pytest.approx(95.0), pytest.approx(75.0))


def test_an_inverse_position_is_taken_over_at_the_price_that_costs_all_its_coins() -> None:
    """10,000 dollars of coins at 100 are 100 coins; with 10 behind them nothing is left at 100 / 1.1 = 90.909."""
    prices = [100.0, 100.0, 91.0, 91.0]
    symbol = "BTC/USD:BTC"
    desk = Desk(
        {symbol: future("BTC", prices, kind="inverse", settle="BTC", lot="1", tiers=[[0, 0.02, 0, 125]])},
        {"BTC": asset(prices)},
        {"coinm": {"BTC": 10.0}},
        ladder=("tier_down",),
        leverage=50.0,
    )
    desk.order(symbol, 10_000.0)
    desk.live()
    assert held(desk) == 0.0
    assert desk.book.fill_price[1, 0] == pytest.approx(1000 / 11)
    assert desk.balance("coinm", "BTC") == 0.0


# Brackets whose rate holds for the whole size.
FLAT = [[0, 0.004, 0, 125], [1000, 0.01, 0, 125], [2000, 0.02, 0, 125], [3000, 0.03, 0, 125]]


def test_a_position_two_brackets_lower_lives_and_has_paid_three_percent_of_what_was_closed() -> None:
    """40 on 160; at 98.5 60 are lost: 100 against 3 % x 3,940 = 118. To 2,000: 20.304 coins are kept, 19.696 sold, and
    3 % of 1,940.056 = 58.20 goes to the fund. 41.80 stand against 1 % x 1,999.94 = 20.
    """
    desk = long(40.0, 98.5, 160.0, "two_tiers_down", brackets=FLAT)
    desk.live()
    assert held(desk) == pytest.approx(20.304)
    assert desk.rungs() == ["two tiers down"]
    assert desk.total("insurance", "USDT") == pytest.approx(-58.20168)
    assert desk.margin(2) == pytest.approx((100 - 58.20168, 1999.944 / 100, 19.99944))


def test_brackets_by_number_of_contracts_are_fallen_by_number_of_contracts() -> None:
    """Brackets at 10, 20 and 30 contracts: of 40, 20 are kept."""
    table = [[floor / 100, *rest] for floor, *rest in FLAT]
    desk = long(40.0, 98.5, 160.0, "two_tiers_down", brackets=table, rules={"terms": Terms(tier_by_contracts=True)})
    desk.live(2)
    desk.live(3)
    assert incidents(desk)[0][:2] == ("two tiers down", pytest.approx(-20.0))


def test_a_long_and_a_short_of_one_coin_are_set_off_before_anything_is_given_up() -> None:
    """40 long and 20 short on 150; at 98.5 30 are lost net: 120 against 3 % x 3,940 + 1 % x 1,970 = 137.90. 20 of each
    are closed at the mark, and 20 long need 19.70.
    """
    desk = long(40.0, 98.5, 150.0, "two_tiers_down", brackets=FLAT, two_sided=True)
    place(desk.book, 0, 0, 1, MARKET, 0, 1, -20 * 10**8, 0.0, 0.0)
    desk.live()
    assert [row[:3] for row in incidents(desk)] == [("offset pairs", -20.0, 98.5), ("offset pairs", 20.0, 98.5)]
    assert [held(desk, 0), held(desk, 1)] == [20.0, 0.0]
    assert desk.margin(2) == pytest.approx((120.0, 19.7, 19.7))


def test_from_the_second_bracket_all_is_taken_over_at_the_price_that_leaves_nothing() -> None:
    """15 on 25: nothing is left at 98.333. At 98.5 2.5 stand against 14.78."""
    desk = long(15.0, 98.5, 25.0, "two_tiers_down", brackets=FLAT)
    desk.live()
    assert desk.book.fill_price[1, 0] == pytest.approx(100 - 25 / 15)
    assert desk.balance("usdm", "USDT") == 0.0
    assert desk.rungs() == ["takeover"]


def test_where_not_even_the_first_bracket_is_covered_all_is_taken_over() -> None:
    """40 on 124; at 97 120 are lost: 4 against 0.4 % x 3,880 = 15.52. Nothing is left at 96.90."""
    desk = long(40.0, 97.0, 124.0, "two_tiers_down", brackets=FLAT)
    desk.live()
    assert incidents(desk) == [("takeover", 0.0, pytest.approx(96.9), pytest.approx(-4.0))]
    assert desk.balance("usdm", "USDT") == 0.0


def test_coins_that_top_up_a_position_are_told_in_dollars() -> None:
    """10,000 dollars of coins at 100 on 10 coins of margin; at 95 the loss is 5.263 coins, 4.737 left against 2 % of
    105.263 = 2.105. Three times that is 6.316: 1.579 coins more, which are 150 dollars.
    """
    prices, symbol = [100.0, 100.0, 95.0, 95.0], "BTC/USD:BTC"
    desk = Desk(
        {symbol: future("BTC", prices, kind="inverse", settle="BTC", lot="1", tiers=[[0, 0.02, 0, 125]])},
        {"BTC": asset(prices)},
        {"coinm": {"BTC": 50.0}},
        isolated=(symbol,),
        leverage=10.0,
        top_up=(2.5, 3.0, 5.0),
    )
    desk.order(symbol, 10_000.0)
    desk.live()
    rung, _, _, dollars = incidents(desk)[0]
    assert (rung, dollars) == ("top-up", pytest.approx(150.0, rel=1e-4))


# Shares

LIQUID = {"slice": 0.2, "slice_above_usd": 1000.0, "backstop_at": 2 / 3}


def test_a_fifth_of_a_large_position_is_sold_first_and_where_that_is_enough_the_rest_stays() -> None:
    """20 on 360; at 90 200 are lost: 160 against 10 % x 1,800 = 180. 4 are sold: 160 against 144."""
    desk = long(20.0, 90.0, 360.0, "slice", rules=LIQUID)
    desk.live()
    assert incidents(desk) == [("slice", -4.0, 90.0, 0.0)]
    assert held(desk) == 16.0
    assert desk.margin(2) == pytest.approx((160.0, 16 * 90 / 100, 144.0))


def test_where_a_fifth_is_not_enough_the_rest_follows_and_the_owner_keeps_what_is_left() -> None:
    """20 on 330: 130 against 180, and after the fifth against 144; the other 16 go, and 130 are left: no fee."""
    desk = long(20.0, 90.0, 330.0, "slice", rules=LIQUID)
    desk.live()
    assert incidents(desk) == [("slice", -4.0, 90.0, 0.0), ("slice", -16.0, 90.0, 0.0)]
    assert desk.balance("usdm", "USDT") == pytest.approx(130.0)


def test_a_small_position_is_sold_whole() -> None:
    """9 on 100; at 98 18 are lost: 82 against 88.20, of a notional of 882."""
    desk = long(9.0, 98.0, 100.0, "slice", rules=LIQUID)
    desk.live()
    assert incidents(desk) == [("slice", -9.0, 98.0, 0.0)]
    assert desk.balance("usdm", "USDT") == pytest.approx(82.0)


def test_below_two_thirds_of_maintenance_positions_and_all_collateral_are_taken_over() -> None:
    """20 on 400; at 85 300 are lost: 100 against 170, and two thirds of it are 113.33. The 100 are gone as well."""
    desk = long(20.0, 85.0, 400.0, "slice", rules=LIQUID)
    desk.live()
    assert incidents(desk) == [("backstop", 0.0, pytest.approx(80.0), pytest.approx(-100.0))]
    assert desk.balance("usdm", "USDT") == 0.0


def test_a_backstop_takes_every_position_at_the_mark_and_the_margin_behind_them() -> None:
    """10 ETH that stand still beside 20 BTC: 100 against 170 + 100."""
    desk = long(20.0, 85.0, 400.0, "slice", rules=LIQUID, others={ETH: future("ETH", [100.0] * 4, 0.1)})
    desk.order(ETH, 10.0)
    desk.live()
    assert [held(desk, 0), held(desk, 1)] == [0.0, 0.0]
    assert sorted(desk.book.fill_price[2:4, 0]) == [85.0, 100.0]
    assert desk.total("insurance", "USDT") == pytest.approx(-100.0)
    assert desk.balance("usdm", "USDT") == 0.0


def test_a_backstop_of_coins_takes_the_coins_that_count_and_leaves_those_that_do_not() -> None:
    """One coin of 1,000 at a ratio of 1 behind 30 at 100; at 80 600 are lost: 400 against 10 % x 2,400 = 240. At 60
    1,200 are lost: the coin goes, and what is owed is the fund's; the coin that counts for nothing stays.
    """
    prices = [100.0, 100.0, 60.0, 60.0]
    desk = Desk(
        {BTC: future("BTC", prices, 0.1), "ETH/USDT": spot("ETH", [1000.0] * 4), "DOGE/USDT": spot("DOGE", [1.0] * 4)},
        {"USDT": asset([1.0] * 4), "BTC": asset(prices), "ETH": asset([1000.0] * 4), "DOGE": asset([1.0] * 4, 0.0)},
        {"unified": {"ETH": 1.0, "DOGE": 500.0}},
        multi=True,
        ladder=("slice",),
        rules=LIQUID,
    )
    desk.order(BTC, 30.0)
    desk.live()
    assert (desk.balance("unified", "ETH"), desk.balance("unified", "DOGE")) == (0.0, 500.0)
    assert desk.balance("unified", "USDT") == 0.0
    assert desk.total("insurance", "ETH") == -1.0
    assert desk.total("insurance", "USDT") == pytest.approx(1200.0)


def test_steps_of_a_tenth_are_taken_until_margin_is_met() -> None:
    """20 on 330: 130 against 180. At 9 a coin 14.444 are covered: three steps of 2 leave 14; two would leave 16."""
    desk = long(20.0, 90.0, 330.0, "step", "takeover", rules={"slice": 0.1})
    desk.live()
    assert incidents(desk) == [("step", -6.0, 90.0, 0.0)]
    assert held(desk) == 14.0


def on_both_sides(long_coins: float, short_coins: float, price: float, usdt: float) -> Desk:
    """A quarterly bought and a perpetual of the same coin sold at 100; then both marks are another."""
    marks, dated = [100.0, 100.0, price, price], "BTC/USDT:USDT-300628"
    desk = Desk(
        {BTC: future("BTC", marks, tiers=[[0, 0.1, 0, 125]]), dated: future("BTC", marks, tiers=[[0, 0.1, 0, 125]])},
        {"USDT": asset([1.0] * 4), "BTC": asset(marks)},
        {"usdm": {"USDT": usdt}},
        ladder=("step", "takeover"),
        leverage=100.0,
    )
    desk.order(dated, long_coins)
    desk.order(BTC, -short_coins)
    return desk


def test_steps_close_the_side_that_the_delta_leans_to() -> None:
    """Long 12, short 6, on 181; at 90 60 are lost: 121 cover 13.444 coins of both at 9 each. They are of the long."""
    desk = on_both_sides(12.0, 6.0, 90.0, 181.0)
    desk.live()
    assert (held(desk, 1), held(desk)) == (pytest.approx(7.444), -6.0)
    assert incidents(desk) == [("step", pytest.approx(-4.556), 90.0, 0.0)]


def test_a_short_that_the_delta_leans_to_is_bought_back() -> None:
    """Short 12, long 6, on 181; at 104 24 are lost: 157 cover 15.096 coins at 10.4 each."""
    desk = on_both_sides(6.0, 12.0, 104.0, 181.0)
    desk.live()
    assert (held(desk, 1), held(desk)) == (6.0, pytest.approx(-9.096))


def test_steps_go_no_further_than_to_neutral_and_then_take_the_largest_leg() -> None:
    """Long 14, short 6, on 205; at 80 160 are lost: 45 cover 5.624 coins at 8 each. First 8 of the long, then there is
    no delta; of two equal legs the first goes whole, and what is left of the other is covered.
    """
    desk = on_both_sides(14.0, 6.0, 80.0, 205.0)
    desk.live()
    assert [row[1] for row in incidents(desk)] == [pytest.approx(-8.0), pytest.approx(6.0), pytest.approx(-0.376)]
    assert (held(desk, 1), held(desk)) == (pytest.approx(5.624), 0.0)


def test_a_venue_that_sells_until_90_percent_cuts_more_than_makes_the_account_sound() -> None:
    """20 on 330, at 90: 130 against 9 a coin. Sound at 14.444; with 25 % to spare, 130 / 11.25 = 11.555."""
    levels = (Level(1.25, "restored"), Level(1.0, "liquidate"))
    desk = long(20.0, 90.0, 330.0, "reduce", "takeover", rules={"levels": levels})
    desk.live()
    assert held(desk) == pytest.approx(11.555)
    assert desk.rungs() == ["reduce"]


def test_an_account_between_the_two_ratios_is_left_alone() -> None:
    """At 93: 190 against 186, sound though not at 1.25."""
    levels = (Level(1.25, "restored"), Level(1.0, "liquidate"))
    desk = long(20.0, 93.0, 330.0, "reduce", "takeover", rules={"levels": levels})
    desk.live()
    assert (held(desk), desk.rungs()) == (20.0, [])


def test_without_a_step_size_no_more_lots_are_sold_than_needed() -> None:
    """14.444 coins are covered by 130."""
    desk = long(20.0, 90.0, 330.0, "step", "takeover")
    desk.live()
    assert held(desk) == pytest.approx(14.444)


def test_steps_that_do_not_help_end_with_the_position_and_the_fund_bears_the_rest() -> None:
    """20 on 330; at 80 400 are lost: 70 more than there was."""
    desk = long(20.0, 80.0, 330.0, "step", "takeover", rules={"slice": 0.1})
    desk.live()
    assert desk.rungs() == ["step", "takeover"]
    assert desk.total("insurance", "USDT") == pytest.approx(70.0)
    assert desk.balance("usdm", "USDT") == 0.0


# Whole accounts, and debts before positions


def test_an_account_that_is_closed_whole_loses_positions_that_margin_did_not_ask_for() -> None:
    """20 BTC and 10 ETH on 460; at 90 260 stand against 180 + 100. To sell 2.223 BTC would do; both are sold whole."""
    desk = long(20.0, 90.0, 460.0, "close", "takeover", others={ETH: future("ETH", [100.0] * 4, 0.1)})
    desk.order(ETH, 10.0)
    desk.live()
    assert desk.rungs() == ["close", "close"]
    assert desk.balance("usdm", "USDT") == pytest.approx(260.0)


def test_debts_are_repaid_with_coins_before_a_position_is_touched() -> None:
    """One coin of 1,000 that counts half, less 200 owed after a loss: 300 against the 350 that a position needs. A
    fifth of the coin repays the debt, and the other 800 count 400.
    """
    prices, other = [100.0] * 6, [100.0, 100.0, 80.0, 80.0, 80.0, 80.0]
    fall = [1000.0] * 4 + [1000.0] * 2
    desk = Desk(
        {BTC: future("BTC", prices, 0.0), ETH: future("ETH", other, 0.0), "SOL/USDT": spot("SOL", fall)},
        {"USDT": asset([1.0] * 6), "BTC": asset(prices), "ETH": asset(other), "SOL": asset(fall, 0.5)},
        {"unified": {"SOL": 1.0}},
        multi=True,
        ladder=("repay", "reduce", "takeover"),
    )
    desk.rules.tier[0, 0, 1, 0] = 0.35  # 10 coins at 100
    desk.order(ETH, 10.0)
    desk.order(ETH, -10.0, bar=2)
    desk.order(BTC, 10.0, bar=3)
    desk.live()
    assert desk.rungs() == ["repay"]
    assert desk.balance("unified", "USDT") == 0.0
    assert desk.balance("unified", "SOL") == pytest.approx(0.8)
    assert held(desk) == 10.0


def test_every_rung_a_venue_can_name_is_an_incident_with_a_name_and_counts_as_liquidation() -> None:
    names = [RUNG_NAMES[rung] for word, rung in RUNGS.items() if word != "cancel_orders"]
    assert all(names) and set(names) | {"backstop", "offset pairs"} <= set(FORCED)
    assert set(RUNGS) == set(check.RUNGS)


@pytest.mark.parametrize("margin", ["isolated", "cross", "multi_asset"])
@pytest.mark.parametrize("word", [word for word in RUNGS if word != "cancel_orders"])
def test_whatever_the_ladder_the_books_balance_and_the_loss_is_explained_to_the_last_step(
    word: str, margin: str
) -> None:
    """100 long of one and 30 short of another on 2,500, 5x; the first falls by a sixth, then by a half."""
    one, other = [100.0, 100.0, 101.0, 84.0, 84.0, 45.0, 45.0], [100.0, 100.0, 98.0, 99.0, 99.0, 97.0, 97.0]
    history = history_of({BTC: one, ETH: other}, index={"BTC": one, "ETH": other})
    terms = {"slice": 0.2, "slice_above_usd": 1000.0, "backstop_at": 2 / 3}
    session, config = opened(history, terms, margin=margin, ladder=(word, "takeover"), usdt=2700.0)
    session.advance(1)
    session.submit(0, [Order(BTC, 100.0), Order(ETH, -30.0)])
    session.advance(7)
    record = recorded(session, config)
    assert session.contracts(0, BTC) == 0.0
    assert session.balance(0, "USDT") >= 0.0
    assert len(record.incidents) > 0 and set(record.incidents["rung"]) <= set(RUNG_NAMES)
