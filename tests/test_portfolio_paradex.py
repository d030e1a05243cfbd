"""Paradex: the scan and its minimum by hand, resting orders, continuous funding and socialised losses as it prints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from portfolio_legs import Asked, call_leg, future_leg, legs_of, option_leg

from backtest.margin.portfolio import paradex
from backtest.market.funding_rate import paradex_index_change
from backtest.venues.in_brief.paradex_account import net_initial_margin, socialised_share

pytestmark = pytest.mark.jit_off

# BTC of 2026-08-20: four steps of 4 % (+16 % and -16 % with volatility up only), then the weighted tails.
BTC = [(0.16, 0.4, 1.0)]
BTC += [(k / 100, vol, 1.0) for k in (12, 8, 4, 0, -4, -8, -12) for vol in (0.4, -0.22)]
BTC += [(-0.16, 0.4, 1.0)]
TAILS = [(-0.66, 0.18), (-0.33, 0.36), (0.5, 0.24), (1, 0.12), (2, 0.06), (3, 0.04), (4, 0.03), (5, 0.024)]
BTC += [(move, 0.4, weight) for move, weight in TAILS]
NUMBERS = {
    "unhedged_factor": 0.02, "hedged_factor": 0.01, "funding_rate": 0.0, "fee_rate": 0.0, "vega_power": 0.3,
    "days_floor": 1.0, "min_shock_up": 0.4, "maintenance_share": 0.5,
}  # fmt: skip


def ask(legs: list[np.ndarray], **numbers: float) -> Asked:
    return Asked(paradex.ask_paradex, paradex, NUMBERS | numbers, legs_of(legs), np.array(BTC).T)


def test_there_are_24_scenarios() -> None:
    assert len(BTC) == 24


def test_a_long_loses_sixteen_percent_or_its_weighted_tail_whichever_is_more() -> None:
    """1 BTC at 60,000: -16 % costs 9,600; -66 % at 18 % costs 7,128; -33 % at 36 % costs 7,128."""
    found = ask([future_leg(1.0, 60_000.0)])
    assert found.cells[[15, 16, 17]] == pytest.approx([-9_600, -7_128, -7_128])
    assert (found.initial, found.maintenance) == pytest.approx((9_600, 4_800))


def test_a_short_loses_its_weighted_tail_of_twelve_percent_less_than_its_sixteen() -> None:
    """1 BTC short at 60,000: +16 % costs 9,600; each tail 12 % of 60,000 = 7,200."""
    found = ask([future_leg(-1.0, 60_000.0)])
    assert found.cells[18:24] == pytest.approx([-7_200] * 6)
    assert found.part("scan_risk") == pytest.approx(9_600)


def test_a_hedged_book_bears_the_smaller_factor_on_each_pair() -> None:
    """3 against -2: net 1 at 2 %, (5 - 1) / 2 = 2 pairs at 1 %: 50,000 x 0.04 = 2,000."""
    legs = [future_leg(3.0, 50_000.0), future_leg(-2.0, 50_000.0, years=0.2)]
    assert ask(legs).part("min_delta_risk") == pytest.approx(2_000)
    matched = [future_leg(2.0, 50_000.0), future_leg(-2.0, 50_000.0, years=0.2)]
    assert ask(matched).initial == pytest.approx(50_000 * 2 * 0.01)
    assert ask(matched).part("scan_risk") == pytest.approx(0.0)


def test_maintenance_halves_the_net_requirement_and_not_the_provisions() -> None:
    """Long 2 at 50,000: scan 16,000; funding 0.03 % of 100,000 = 30; fees 0.05 % = 50."""
    found = ask([future_leg(2.0, 50_000.0)], funding_rate=0.0003, fee_rate=0.0005)
    assert found.part("funding_provision") == pytest.approx(30)
    assert found.part("fee_provision") == pytest.approx(50)
    assert (found.initial, found.maintenance) == pytest.approx((16_080, 8_080))


def test_funding_that_would_be_received_reserves_nothing() -> None:
    assert ask([future_leg(-2.0, 50_000.0)], funding_rate=0.0003).part("funding_provision") == 0.0
    assert ask([future_leg(2.0, 50_000.0, years=0.1)], funding_rate=0.0003).part("funding_provision") == 0.0


def test_a_short_call_is_revalued_at_the_moved_price_and_the_shocked_volatility() -> None:
    """30 days: 60 % x (1 + 0.4) = 84 % on 58,000 after +16 %."""
    years = 30 / 365
    call = option_leg(-1.0, 55_000.0, 50_000.0, years=years, volatility=0.6, call=1, price=1_500.0)
    loss = call_leg(58_000, 55_000, years, 0.84) - call_leg(50_000, 55_000, years, 0.6)
    assert ask([call]).cells[0] == pytest.approx(-loss)


def test_a_volatility_shock_is_scaled_by_the_days_left_but_no_fewer_than_the_floor() -> None:
    """At 1 day, floor 10: 60 % x (1 + 0.4 x 3^0.3)."""
    years = 1 / 365
    call = option_leg(1.0, 50_000.0, 50_000.0, years=years, volatility=0.6, call=1, price=600.0)
    up = 0.6 * (1 + 0.4 * 3**0.3)
    gain = call_leg(50_000, 50_000, years, up) - call_leg(50_000, 50_000, years, 0.6)
    assert ask([call], days_floor=10.0).cells[7] == pytest.approx(gain)


@given(q=st.lists(st.floats(-10, 10), min_size=1, max_size=4), w=st.lists(st.floats(-10, 10), min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_two_books_together_never_scan_more_than_apart(q: list[float], w: list[float]) -> None:
    def scan(book: list[float]) -> float:
        return ask([future_leg(coins, 50_000.0) for coins in book]).part("scan_risk")

    assert scan(q + w) <= scan(q) + scan(w) + 1e-6


# What the account owes besides.


def test_p1_resting_orders_open_two_of_a_side_and_three_of_the_other() -> None:
    """Position -1, buys 3, sells 2: long 3 - 1 = 2, short 2 + 1 = 3; 3 x 90,000 x 2 % = 5,400."""
    assert net_initial_margin(-1.0, 3.0, 2.0, 90_000.0, 0.02) == pytest.approx((2.0, 3.0, 5_400.0))


def test_p3_half_a_bitcoin_pays_18_75_thousandths_of_a_dollar_in_a_minute() -> None:
    """0.08 % less the dampener of 0.05 % is 0.03 % of 60,000 = 18 in 8 h; 60 s of it 0.0375 a coin."""
    index: float = paradex_index_change(0.0008, 60_000.0, 60.0)
    assert index == pytest.approx(0.0375)
    assert -0.5 * index == pytest.approx(-0.01875)


@pytest.mark.parametrize(("premium", "rate"), [(0.0004, 0.0), (-0.0004, 0.0), (-0.0008, -0.0003)])
def test_a_premium_within_the_dampener_costs_nothing(premium: float, rate: float) -> None:
    assert paradex_index_change(premium, 60_000.0, 8 * 3600.0) == pytest.approx(60_000 * rate)


def test_p5_a_quarter_of_a_withdrawal_goes_to_the_socialised_loss() -> None:
    """Long 50 from 100 at 40 has lost 3,000 of its 1,000: 2,000 bankrupt, 1,000 after insurance.

    The example divides 1,000 by 4,000: 25 %, and 500 pays 375. The formula on the page adds the loss to the total
    balance, which gives 20 % if that is read as 4,000 and 25 % only if it is read as the users' 3,000.
    """
    share, beyond = socialised_share(bankrupt=2_000.0, insurance=1_000.0, balance=3_000.0)
    assert (share, beyond) == (0.25, 1_000.0)
    assert 500 * (1 - share) == 375
    assert socialised_share(bankrupt=2_000.0, insurance=1_000.0, balance=4_000.0)[0] == 0.2


def test_a_loss_within_the_insurance_cuts_no_withdrawal() -> None:
    none: Any = (0.0, 0.0)
    assert socialised_share(bankrupt=900.0, insurance=1_000.0, balance=3_000.0) == none
