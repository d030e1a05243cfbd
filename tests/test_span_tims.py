"""SPAN and TIMS by hand: sixteen scenarios, spreads in time and between coins, twenty points and a minimum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from portfolio_legs import Asked, call_leg, future_leg, legs_of, option_leg, put_leg, spot_leg

from backtest.margin.portfolio import span, tims, unit

pytestmark = pytest.mark.jit_off

SPAN: dict[str, float] = {
    "scan_range": 0.09, "volatility_range": 0.25, "calendar_rate": 0.0, "short_option_minimum": 0.0,
    "initial_factor": 1.0,
}  # fmt: skip
TIMS: dict[str, float] = {"range_down": 0.15, "range_up": 0.15, "minimum_usd": 0.0, "initial_factor": 1.0}


def ask(legs: list[np.ndarray], **numbers: float) -> Asked:
    return Asked(span.ask_span, span, SPAN | numbers, legs_of(legs), np.array(span.SIXTEEN).T)


def points(legs: list[np.ndarray], **numbers: float) -> Asked:
    return Asked(tims.ask_tims, tims, TIMS | numbers, legs_of(legs), np.zeros((unit.GRID_ROWS, 1)), tims.CELLS)


# SPAN


def test_s1_a_scan_range_of_30000_at_250_a_point_is_120_points() -> None:
    """A future that makes 250 USD a point scans 30,000 on a range of 120 points: at 2,790, 120 / 2,790 of price."""
    found = ask([future_leg(250.0, 2_790.0)], scan_range=120 / 2_790)
    assert found.part("scan_risk") == pytest.approx(30_000)
    assert found.part("scan_risk") / 250 == pytest.approx(120)


def test_the_sixteen_scenarios_of_a_future_are_thirds_of_its_range_and_a_third_of_twice_it() -> None:
    """1 coin at 100, range 9 %: thirds of 3; twice 9 is 18, 33 % of which is 5.94."""
    found = ask([future_leg(1.0, 100.0)])
    expected = [0, 0, 3, 3, -3, -3, 6, 6, -6, -6, 9, 9, -9, -9, 5.94, -5.94]
    assert found.cells == pytest.approx(expected)
    assert found.initial == pytest.approx(9)


def test_a_short_option_far_out_of_the_money_is_found_by_the_extreme_scenario_or_the_minimum() -> None:
    years = 30 / 365
    put = option_leg(-10.0, 60.0, 100.0, years=years, volatility=0.3, call=-1, price=0.0)
    found = ask([put], short_option_minimum=0.01)
    fall = 0.33 * (put_leg(82, 60, years, 0.3) - put_leg(100, 60, years, 0.3))
    assert found.cells[15] == pytest.approx(-10 * fall)
    assert found.part("short_option_minimum") == pytest.approx(0.01 * 10 * 100)
    assert found.maintenance == pytest.approx(10.0)


def test_the_premium_of_a_long_option_covers_its_own_risk() -> None:
    """Requirement = risk less net option value: a long call can never need more than nothing."""
    years = 60 / 365
    worth = call_leg(100, 100, years, 0.5)
    long = ask([option_leg(1.0, 100.0, 100.0, years=years, volatility=0.5, call=1, price=worth)])
    assert long.part("net_option_value") == pytest.approx(worth)
    assert long.maintenance == 0.0
    short = ask([option_leg(-1.0, 100.0, 100.0, years=years, volatility=0.5, call=1, price=worth)])
    loss = call_leg(109, 100, years, 0.625) - worth
    assert short.part("scan_risk") == pytest.approx(loss)
    assert short.maintenance == pytest.approx(loss + worth)


def expiries(*coins: float, price: float = 100.0) -> list[np.ndarray]:
    return [future_leg(q, price + 10 * k, years=0.25 * (k + 1)) for k, q in enumerate(coins)]


def test_opposite_deltas_are_matched_from_the_near_expiry_to_the_far_at_a_rate_of_the_far_leg() -> None:
    """+10, -12, +5 at 100, 110, 120: 10 against the second; the 2 left of it against the third. At 1.75 %."""
    due = 0.0175 * (10 * 110 + 2 * 120)
    assert ask(expiries(10, -12, 5), calendar_rate=0.0175).part("calendar_charge") == pytest.approx(due)
    assert ask(expiries(10, -12, 5)[::-1], calendar_rate=0.0175).part("calendar_charge") == pytest.approx(due)


def test_expiries_of_one_sign_bear_no_calendar_charge() -> None:
    assert ask(expiries(10, 12, 5), calendar_rate=0.0175).part("calendar_charge") == 0.0


def test_a_calendar_spread_needs_its_charge_and_the_range_of_the_difference() -> None:
    """+1 at 100 and -1 at 110: a rise of 9 % costs 0.9; the charge is 1.75 % of 110."""
    assert ask(expiries(1, -1), calendar_rate=0.0175).maintenance == pytest.approx(0.9 + 1.925)


def two_units(first: float, second: float) -> tuple[np.ndarray, list[Asked]]:
    asked = [ask([future_leg(first, 100.0)]), ask([future_leg(second, 50.0)])]
    return np.array([each.charge for each in asked]), asked


def spread(credit: float, one: float = 1.0, other: float = 2.0) -> np.ndarray:
    return np.array([[0.0, 1.0, one, other, credit]])


def test_opposite_deltas_of_two_coins_earn_a_credit_on_the_risk_that_is_matched() -> None:
    """+3 at 100 (risk 27), -4 at 50 (risk 18), two of the second to one: 2 spreads; 60 % of 18 and of 18."""
    charges, _ = two_units(3.0, -4.0)
    span.ask_credits(charges, 2, spread(0.6), 1.0)
    assert charges[:, unit.UNIT_MAINTENANCE] == pytest.approx([27 - 0.6 * 18, 18 - 0.6 * 18])
    assert charges[:, span.DELTA_LEFT] == pytest.approx([1.0, 0.0])


def test_no_credit_adds_two_coins_up_and_full_credit_nets_them() -> None:
    for credit, due in ((0.0, 54.0), (1.0, 0.0)):
        charges, _ = two_units(3.0, -6.0)
        span.ask_credits(charges, 2, spread(credit), 1.0)
        assert charges[:, unit.UNIT_MAINTENANCE].sum() == pytest.approx(due)


def test_deltas_of_the_same_sign_earn_no_credit() -> None:
    charges, asked = two_units(3.0, 6.0)
    span.ask_credits(charges, 2, spread(1.0), 1.0)
    assert charges[:, unit.UNIT_MAINTENANCE] == pytest.approx([each.maintenance for each in asked])


def test_a_delta_can_be_spread_only_once() -> None:
    charges, _ = two_units(3.0, -6.0)
    span.ask_credits(charges, 2, np.vstack([spread(0.6), spread(0.6)]), 1.0)
    assert charges[:, unit.UNIT_MAINTENANCE].sum() == pytest.approx(54 * 0.4)


@given(q=st.floats(0.1, 10), w=st.floats(0.1, 10), credit=st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_a_credit_lowers_margin_and_never_below_zero(q: float, w: float, credit: float) -> None:
    charges, asked = two_units(q, -w)
    span.ask_credits(charges, 2, spread(credit), 1.0)
    for k in range(2):
        assert -1e-9 <= charges[k, unit.UNIT_MAINTENANCE] <= asked[k].maintenance + 1e-9


# TIMS


def test_twenty_points_stand_a_tenth_of_the_range_apart() -> None:
    found = points([future_leg(1.0, 100.0)], range_down=0.08, range_up=0.06)
    assert found.moves[:10] == pytest.approx([-0.008 * k for k in range(10, 0, -1)])
    assert found.moves[10:] == pytest.approx([0.006 * k for k in range(1, 11)])
    assert found.cells[0] == pytest.approx(-8)


def test_a_future_needs_the_loss_at_the_end_of_its_range() -> None:
    assert points([future_leg(2.0, 100.0)]).maintenance == pytest.approx(30)
    assert points([future_leg(-2.0, 100.0)], range_up=0.06).maintenance == pytest.approx(12)


def test_spot_under_a_short_call_leaves_the_loss_of_a_covered_call() -> None:
    years, worth = 30 / 365, call_leg(100, 105, 30 / 365, 0.4)
    call = option_leg(-1.0, 105.0, 100.0, years=years, volatility=0.4, call=1, price=worth)
    assert points([spot_leg(1.0, 100.0), call]).maintenance == pytest.approx(
        15 - (worth - call_leg(85, 105, years, 0.4))
    )


def test_a_short_straddle_loses_most_at_an_end_and_a_butterfly_within() -> None:
    """The points between matter: short 2 calls at 105 against long at 100 and 110, an inside loss, repriced at all."""
    years, legs = 5 / 365, []
    for coins, strike in ((-1.0, 95.0), (2.0, 105.0), (-1.0, 115.0)):
        legs.append(option_leg(coins, strike, 100.0, years=years, volatility=0.3, call=1, price=0.0))
    found = points(legs)

    def worth(forward: float) -> float:
        return sum(q * call_leg(forward, k, years, 0.3) for q, k in ((-1, 95), (2, 105), (-1, 115)))

    by_hand = [worth(100 * (1 + move)) - worth(100) for move in found.moves]
    assert found.cells == pytest.approx(by_hand)
    assert found.part("worst_loss") == pytest.approx(-min(by_hand))
    assert 0 < int(np.argmin(found.cells)) < 19


def test_every_contract_bears_a_minimum_and_spot_none() -> None:
    """100 options on one share each way: 0.375 x 200 = 75."""
    legs: list[Any] = [future_leg(100.0, 10.0), future_leg(-100.0, 10.0, years=0.1), spot_leg(50.0, 10.0)]
    found = points(legs[:2], minimum_usd=0.375)
    assert found.maintenance == pytest.approx(75)
    assert points(legs, minimum_usd=0.375).part("contract_minimum") == pytest.approx(75)
