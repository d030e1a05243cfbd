"""Deribit's portfolio margin: its published simulation cell by cell, its archived pages, and what a hedge saves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from portfolio_unit import Asked, call_leg, future_leg, legs_of, option_leg, put_leg, spot_leg

from backtest.margin.portfolio import deribit

pytestmark = pytest.mark.jit_off

INF = float("inf")
# BTC as of 2024-06-17, from the published simulation; the archived contingencies are gone.
JUNE_2024 = {
    "price_range": 0.16, "min_volatility": 0.5, "short_vega_power": 0.3, "long_vega_power": 0.13,
    "shock_in_points": 0.0,
    "extended_factor": 1.0, "extended_dampener_usd": 100_000.0, "pnl_offset": 0.0, "max_offset_usd": 0.0,
    "min_move": 0.01, "move_risk": 0.075, "delta_threshold_usd": 20e6, "max_delta_shock": 0.1,
    "delta_shock_slope": 5e-5, "correlation_contingency": 0.0, "option_contingency": 0.0,
    "short_option_contingency": 0.0, "future_contingency": 0.0, "vega_contingency": 0.0, "mm_factor": 0.8,
}  # fmt: skip
EXTREME = slice(27, 35)


def ask(legs: list[np.ndarray], up: float = 0.5, down: float = 0.25, **numbers: float) -> Asked:
    """The page's answer, by name, with the numbers of June 2024 unless told otherwise."""
    known = JUNE_2024 | numbers
    return Asked(
        deribit.ask_deribit, deribit, known, legs_of(legs), deribit.deribit_grid(known["price_range"], up, down)
    )


def d4(**numbers: float) -> Asked:
    perpetual = future_leg(0.314538364, 65_910.57, index=65_666.19, coined=True)
    june = future_leg(-0.001187534, 67_371.75, index=65_666.19, coined=True, years=11 / 365)
    return ask([perpetual, june], **numbers)


STANDARD = [
    -0.05968587238095239, -0.04272965863636364, -0.02724789826086957, -0.013056284583333334, 0, 0, 0, 0, 0,
]  # fmt: skip
PERPETUAL = [
    -0.05991206933333334, -0.04289159509090909, -0.027351162086956524, -0.013105765166666668, 0, 0.012097629384615385,
    0.023299138074074074, 0.033700538999999995, 0.043384601931034494,
]  # fmt: skip
JUNE = [
    0.0002261969523809524, 0.00016193645454545456, 0.00010326382608695652, 4.948058333333334e-05, 0,
    -4.567438461538462e-05, -8.796548148148148e-05, -0.0001272357857142857, -0.00016379779310344832,
]  # fmt: skip


def test_d4_every_cell_of_the_published_matrix() -> None:
    found = d4()
    assert found.moves[:9] == pytest.approx([-0.16, -0.12, -0.08, -0.04, 0, 0.04, 0.08, 0.12, 0.16], abs=1e-12)
    assert found.moves[EXTREME] == pytest.approx([-0.66, -0.33, 0.5, 1, 2, 3, 4, 5])
    for volatility in range(3):
        assert found.cells[9 * volatility : 9 * volatility + 9] == pytest.approx(STANDARD, abs=1e-12)
    assert found.cells[EXTREME] == pytest.approx([0.0] * 8, abs=1e-12)


@pytest.mark.parametrize(("coins", "printed"), [(0.314538364, PERPETUAL), (-0.001187534, JUNE)])
def test_d4_every_cell_of_each_instrument_before_any_offset(coins: float, printed: list[float]) -> None:
    """The extreme cells of a future are those of the edge, once scaled to the range."""
    found = ask(
        [future_leg(coins, 65_910.57, index=65_666.19, coined=True)], pnl_offset=1.0, max_offset_usd=INF,
        extended_dampener_usd=0.0,
    )  # fmt: skip
    assert found.cells[:9] == pytest.approx(printed, abs=1e-12)
    assert found.cells[EXTREME] == pytest.approx([printed[0]] * 2 + [printed[8]] * 6, abs=1e-12)


def test_d4_worst_case_roll_shock_and_both_margins() -> None:
    """Initial margin has 0.06 of market-maker protection and 0.000018212 of orders on top; maintenance has not."""
    found = d4()
    assert found.part("worst_case") == pytest.approx(0.05968587238095239, abs=1e-12)
    assert found.part("roll_shock") == pytest.approx(0.00315725898, abs=1e-12)
    assert found.part("delta_shock") == found.part("correlation_contingency") == found.part("contingency") == 0.0
    assert found.initial == pytest.approx(0.06284313098, abs=4e-10)
    assert found.initial + 0.06 + 0.000018212 == pytest.approx(0.122861343, abs=5e-10)
    assert found.maintenance == pytest.approx(0.050274504784, abs=4e-10)


# D6: archived pages. Their futures lose nothing here: only the contingency is looked at.


def test_d6_a_shock_of_40_percent_is_56_6_points_of_volatility_at_15_days() -> None:
    """Page A: sqrt(30 / 15) x 40 % = 56.57 % is added. A 60 % straddle leg is then valued at 116.57 %."""
    option = option_leg(1.0, 100.0, 100.0, years=15 / 365, volatility=0.6, call=1, price=0.05, coined=True)
    numbers = {"shock_in_points": 1.0, "short_vega_power": 0.5, "min_volatility": 0.0}
    shocked = deribit_cell(ask([option], up=0.4, down=0.4, pnl_offset=1.0, max_offset_usd=INF, **numbers), 4)
    known = 0.4 * 2**0.5
    assert round(100 * known, 1) == 56.6
    assert shocked == pytest.approx(call_leg(100, 100, 15 / 365, 0.6 + known) / 100
                                    - call_leg(100, 100, 15 / 365, 0.6) / 100, abs=1e-12)  # fmt: skip


def deribit_cell(found: Asked, at: int) -> float:
    return float(found.cells[at])


@pytest.mark.parametrize(("rate", "due"), [(0.02, 2.0), (0.01, 1.0)])
def test_d6_offsetting_futures_of_100_bear_a_contingency_of_two_and_later_one_percent(rate: float, due: float) -> None:
    pair = [future_leg(100.0, 50_000.0), future_leg(-100.0, 50_000.0, years=0.25)]
    assert ask(pair, future_contingency=rate).part("contingency") == pytest.approx(due)


def test_d6_ten_calls_and_minus_twenty_puts_of_a_strike_are_ten_net_short_options() -> None:
    kinds = [(10.0, 1), (-20.0, -1)]
    legs = [
        option_leg(q, 50_000.0, 50_000.0, years=0.1, volatility=0.6, call=c, price=0.07, coined=True) for q, c in kinds
    ]
    assert ask(legs, short_option_contingency=0.01).part("contingency") == pytest.approx(10 * 0.01)


def test_options_of_another_strike_do_not_make_up_for_the_short_ones() -> None:
    legs = [
        option_leg(q, strike, 50_000.0, years=0.1, volatility=0.6, call=1, price=0.07, coined=True)
        for q, strike in ((10.0, 40_000.0), (-10.0, 50_000.0))
    ]
    assert ask(legs, short_option_contingency=0.01).part("contingency") == pytest.approx(0.1)
    assert ask(legs, option_contingency=0.01).part("contingency") == pytest.approx(0.01 * 20)


# D7: what a hedge saves.


@pytest.mark.parametrize(
    ("reach", "least", "long", "short", "hedged"),
    [(0.16, 0.01, 0.2005, 0.1479, 0.02), (0.14, 0.005, 0.1678, 0.1278, 0.01)],
)
def test_d7_a_hedge_of_one_coin_needs_only_its_roll_shock(
    reach: float, least: float, long: float, short: float, hedged: float
) -> None:
    numbers = {"price_range": reach, "min_move": least}
    perpetual = future_leg(1.0, 60_000.0, coined=True)
    dated = future_leg(-1.0, 61_000.0, index=60_000.0, coined=True, years=1 / 365)
    assert round(ask([perpetual], **numbers).initial, 4) == long
    assert round(ask([future_leg(-1.0, 60_000.0, coined=True)], **numbers).initial, 4) == short
    assert ask([perpetual, dated], **numbers).initial == pytest.approx(hedged, abs=1e-12)


# What no published number tests, by hand.


def test_the_roll_shock_grows_with_time_once_it_is_beyond_its_minimum() -> None:
    """exp(0.075 x 2) - 1 = 16.18 % of the delta of an expiry two years away."""
    far = future_leg(2.0, 60_000.0, coined=True, years=2.0)
    assert ask([far]).part("roll_shock") == pytest.approx(2 * (np.exp(0.15) - 1.0))


def test_the_delta_shock_is_of_delta_beyond_twenty_million_and_ten_percent_at_most() -> None:
    """At 20,000 the threshold is 1,000 coins. 1,400: 1,400 x 5e-5 x 400 = 28. 9,000: 40 % is cut to 10 %: 900."""
    for coins, due in ((900.0, 0.0), (-1_400.0, 28.0), (9_000.0, 900.0)):
        assert ask([future_leg(coins, 20_000.0, coined=True)]).part("delta_shock") == pytest.approx(due)


def test_a_large_books_extreme_cells_are_pulled_towards_zero_not_across() -> None:
    """100 coins short at 50,000, range 16 %: edge -13.793; at +50 % the pull is 2.125 x 100,000 / 58,000 = 3.664."""
    found = ask([future_leg(-100.0, 50_000.0, coined=True)])
    edge = -100 * (1 - 1 / 1.16)
    pulls = [(x / 0.16 - 1) * 100_000 / (1.16 * 50_000) for x in (0.5, 1, 2, 3, 4, 5)]
    assert found.cells[29:35] == pytest.approx([min(edge + pull, 0.0) for pull in pulls])


def test_a_gain_offsets_at_its_share_and_up_to_its_cap() -> None:
    """Long 10 linear at 50,000: +16 % is 1.6 coins, 60 % of it 0.96; a cap of 20,000 USD is 0.4 coins."""
    legs = [future_leg(10.0, 50_000.0)]
    assert ask(legs, pnl_offset=0.6, max_offset_usd=INF).cells[8] == pytest.approx(0.96)
    assert ask(legs, pnl_offset=0.6, max_offset_usd=20_000.0).cells[8] == pytest.approx(0.4)


def inverse_against_linear(offset: float) -> Asked:
    legs = [future_leg(1.0, 50_000.0, coined=True), future_leg(-1.0, 50_000.0)]
    return ask(legs, pnl_offset=offset, max_offset_usd=INF)


def test_at_no_offset_the_two_pairs_of_a_coin_add_up_and_at_full_offset_they_net() -> None:
    """At -16 % the inverse long loses 0.190476 coins and the linear short gains 0.16."""
    assert inverse_against_linear(0.0).part("worst_case") == pytest.approx(0.16 / 0.84)
    assert inverse_against_linear(1.0).part("worst_case") == pytest.approx(0.16 / 0.84 - 0.16)
    assert inverse_against_linear(0.6).part("worst_case") == pytest.approx(0.16 / 0.84 - 0.6 * 0.16)


@given(x=st.floats(1e-6, 1e-3), coins=st.floats(-50.0, 50.0).filter(lambda q: abs(q) > 0.01))
@settings(max_examples=40, deadline=None)
def test_an_inverse_contract_is_a_linear_one_to_first_order(x: float, coins: float) -> None:
    """q (1 - 1/(1+x)) against q x: they differ by q x squared."""
    numbers: dict[str, Any] = {"price_range": x, "pnl_offset": 1.0, "max_offset_usd": INF}
    inverse = ask([future_leg(coins, 100.0, coined=True)], **numbers).cells[:9]
    linear = ask([future_leg(coins, 100.0)], **numbers).cells[:9]
    assert np.abs(inverse - linear).max() <= 1.01 * abs(coins) * x * x


def test_spot_is_no_part_of_the_matrix() -> None:
    assert ask([spot_leg(5.0, 50_000.0)]).initial == 0.0


BOOK = st.lists(st.tuples(st.floats(-20.0, 20.0), st.sampled_from([0.0, 0.1, 0.5]), st.booleans()), max_size=6)


@given(book=BOOK, scale=st.floats(1.0, 5.0))
@settings(max_examples=60, deadline=None)
def test_margin_is_never_negative_and_a_larger_book_never_needs_less(book: list[Any], scale: float) -> None:
    small, large = (
        ask([future_leg(size * q, 50_000.0, years=years, coined=coined) for q, years, coined in book])
        for size in (1.0, scale)
    )
    assert small.initial >= 0.0 and small.maintenance == pytest.approx(0.8 * small.initial)
    assert large.initial >= small.initial - 1e-9


@given(book=BOOK)
@settings(max_examples=60, deadline=None)
def test_a_book_never_needs_more_than_its_legs_alone(book: list[Any]) -> None:
    """With futures too small for the dampener and the delta shock: offsets only ever help."""
    legs = [future_leg(q / 100, 50_000.0, years=years, coined=coined) for q, years, coined in book]
    assert ask(legs).initial <= sum(ask([leg]).initial for leg in legs) + 1e-9


def test_a_short_put_hedged_by_a_short_future_loses_at_most_what_either_side_shows() -> None:
    """The matrix of an option: its coin premium revalued at the moved forward and the shocked volatility."""
    years, volatility = 60 / 365, 0.6
    put = option_leg(-1.0, 45_000.0, 50_000.0, years=years, volatility=volatility, call=-1, price=0.05, coined=True)
    found = ask([put], pnl_offset=1.0, max_offset_usd=INF)
    up = max(volatility * (1 + 0.5 * (30 / 60) ** 0.13), 0.5)
    fallen = 50_000.0 * 0.84
    loss = put_leg(fallen, 45_000.0, years, up) / fallen - put_leg(50_000.0, 45_000.0, years, volatility) / 50_000.0
    assert found.cells[0] == pytest.approx(-loss, abs=1e-12)
    assert found.part("worst_case") == pytest.approx(loss, abs=1e-12)
