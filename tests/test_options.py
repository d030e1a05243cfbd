"""What an option is worth and gains: Black's formula against values by hand, parity, and the futures beside it."""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from portfolio_unit import UNCOMPILED, leg

from backtest.margin.portfolio.black76 import option_delta, option_gamma, option_theta, option_value, option_vega
from backtest.margin.portfolio.profit import coin_profit, option_usd, usd_delta, usd_profit

pytestmark = UNCOMPILED

# Chosen so that volatility x sqrt(years) = 0.5 and ln(F / K) = 0.125: d1 = 0.125 / 0.5 + 0.25 = 0.5, d2 = 0.
FORWARD, STRIKE, YEARS, VOLATILITY = 100.0, 100.0 * exp(-0.125), 0.25, 1.0
N_HALF, DENSITY_HALF = 0.6914624612740131, 0.3520653267642995  # of a standard normal at 0.5, from tables

forwards = st.floats(1_000.0, 100_000.0)
ratios = st.floats(0.6, 1.6)  # strike over forward
years_left = st.floats(0.02, 2.0)
volatilities = st.floats(0.2, 1.5)
sides = st.sampled_from([1.0, -1.0])


def book(*legs: Any) -> np.ndarray:
    return np.ascontiguousarray(np.column_stack(legs))


def option(coins: float, forward: float, strike: float, call: float, **more: float) -> np.ndarray:
    given_by = {"years": 0.25, "volatility": 0.5, **more}
    return leg(coins, forward, kind="option", forward=forward, strike=strike, call=call, **given_by)


def test_a_call_by_hand_is_worth_25_dollars_and_2_cents() -> None:
    """F N(0.5) - K N(0) = 100 x 0.69146246 - 88.24969026 x 0.5 = 25.02140100; the put is 100 - K = 11.75030974 less."""
    call = option_value(FORWARD, STRIKE, YEARS, VOLATILITY, 1.0, 0.0)
    assert call == pytest.approx(100.0 * N_HALF - STRIKE * 0.5, abs=1e-12)
    assert call == pytest.approx(25.02140100, abs=5e-9)
    assert option_value(FORWARD, STRIKE, YEARS, VOLATILITY, -1.0, 0.0) == pytest.approx(13.27109126, abs=5e-9)


def test_at_the_money_a_year_at_20_percent_costs_8_of_100() -> None:
    """d1 = 0.1, d2 = -0.1: 100 x (2 N(0.1) - 1) = 100 x (2 x 0.5398278373 - 1) = 7.96556746, of either side."""
    for call in (1.0, -1.0):
        assert option_value(100.0, 100.0, 1.0, 0.2, call, 0.0) == pytest.approx(7.96556746, abs=1e-8)


def test_the_greeks_by_hand() -> None:
    """With n = 0.35206533, the density at 0.5: delta N(0.5), of a put one less; gamma n / (F x 0.5); vega of 1.00
    F n sqrt(T); theta of a day -F n v / (2 sqrt(T) x 365).
    """
    assert option_delta(FORWARD, STRIKE, YEARS, VOLATILITY, 1.0) == pytest.approx(N_HALF, abs=1e-12)
    assert option_delta(FORWARD, STRIKE, YEARS, VOLATILITY, -1.0) == pytest.approx(N_HALF - 1.0, abs=1e-12)
    assert option_gamma(FORWARD, STRIKE, YEARS, VOLATILITY) == pytest.approx(DENSITY_HALF / 50.0, abs=1e-12)
    assert option_vega(FORWARD, STRIKE, YEARS, VOLATILITY) == pytest.approx(DENSITY_HALF * 50.0, abs=1e-12)
    assert option_theta(FORWARD, STRIKE, YEARS, VOLATILITY) == pytest.approx(-DENSITY_HALF * 100.0 / 365.0, abs=1e-12)


@given(forwards, ratios, years_left, volatilities)
def test_a_call_less_a_put_is_worth_the_forward_less_the_strike(f: float, ratio: float, t: float, v: float) -> None:
    strike = f * ratio
    call, put = (option_value(f, strike, t, v, side, 0.0) for side in (1.0, -1.0))
    assert call - put == pytest.approx(f - strike, abs=1e-9 * f)


@given(forwards, ratios, years_left, volatilities)
def test_in_the_coin_a_call_less_a_put_is_worth_one_less_the_strike_over_the_forward(
    f: float, ratio: float, t: float, v: float
) -> None:
    call, put = (option_value(f, f * ratio, t, v, side, 1.0) for side in (1.0, -1.0))
    assert call - put == pytest.approx(1.0 - ratio, abs=1e-9)


@given(forwards, ratios, years_left, volatilities, sides)
def test_an_option_is_worth_its_intrinsic_value_at_least_and_never_more_than_what_it_delivers(
    f: float, ratio: float, t: float, v: float, side: float
) -> None:
    worth = option_value(f, f * ratio, t, v, side, 0.0)
    assert max(0.0, side * (f - f * ratio)) - 1e-9 * f <= worth <= (f if side > 0.0 else f * ratio)
    assert option_value(f, f * ratio, t, v, side, 1.0) == pytest.approx(worth / f, rel=1e-12)


@pytest.mark.parametrize(("years", "volatility"), [(0.0, 0.5), (0.25, 0.0), (0.0, 0.0)])
def test_at_expiry_or_without_volatility_only_the_intrinsic_value_is_left(years: float, volatility: float) -> None:
    assert option_value(70.0, 60.0, years, volatility, 1.0, 0.0) == 10.0
    assert option_value(70.0, 60.0, years, volatility, 1.0, 1.0) == 10.0 / 70.0
    assert option_value(70.0, 60.0, years, volatility, -1.0, 0.0) == 0.0
    assert option_value(50.0, 60.0, years, volatility, -1.0, 0.0) == 10.0
    assert option_delta(70.0, 60.0, years, volatility, 1.0) == 1.0
    assert option_delta(50.0, 60.0, years, volatility, -1.0) == -1.0
    assert option_delta(50.0, 60.0, years, volatility, 1.0) == 0.0
    for greek in (option_gamma, option_vega, option_theta):
        assert greek(70.0, 60.0, years, volatility) == 0.0


@given(ratios, st.floats(0.05, 2.0), volatilities, sides)
def test_the_greeks_are_what_small_changes_of_the_premium_say(ratio: float, t: float, v: float, side: float) -> None:
    """Central differences at a forward of 100; their error is of the order of the step squared."""
    f, strike = 100.0, 100.0 * ratio

    def worth(forward: float = f, years: float = t, volatility: float = v) -> float:
        return float(option_value(forward, strike, years, volatility, side, 0.0))

    step = 0.01
    assert option_delta(f, strike, t, v, side) == pytest.approx(
        (worth(f + step) - worth(f - step)) / (2 * step), abs=1e-5
    )
    bend = (worth(f + step) - 2 * worth() + worth(f - step)) / step**2
    assert option_gamma(f, strike, t, v) == pytest.approx(bend, abs=1e-5)
    wider = (worth(volatility=v + 1e-4) - worth(volatility=v - 1e-4)) / 2e-4
    assert option_vega(f, strike, t, v) == pytest.approx(wider, abs=1e-4)
    passing = (worth(years=t - 1e-5) - worth(years=t + 1e-5)) / 2e-5 / 365.0
    assert option_theta(f, strike, t, v) == pytest.approx(passing, abs=1e-5)


@given(forwards, st.floats(-0.3, 0.3), st.floats(-5.0, 5.0))
def test_an_option_deep_in_the_money_gains_what_the_future_gains(f: float, move: float, coins: float) -> None:
    """A call struck at a hundredth of the forward is the future bought, a put at a hundred times it the future sold."""
    legs = book(leg(coins, f), option(coins, f, f / 100.0, 1.0), option(coins, f, f * 100.0, -1.0))
    future = usd_profit(legs, 0, f, move, 0.0)
    assert usd_profit(legs, 1, f, move, 0.5) == pytest.approx(future, abs=1e-8 * f)
    assert usd_profit(legs, 2, f, move, 0.5) == pytest.approx(-future, abs=1e-6 * f)
    assert usd_delta(legs, 1) == pytest.approx(usd_delta(legs, 0), abs=1e-8 * f)
    assert usd_delta(legs, 2) == pytest.approx(-usd_delta(legs, 0), abs=1e-8 * f)


@given(forwards, ratios, st.floats(-0.3, 0.3), st.floats(-0.5, 0.5))
def test_a_call_bought_and_a_put_sold_gain_what_the_future_gains_at_any_volatility(
    f: float, ratio: float, move: float, shock: float
) -> None:
    legs = book(option(1.0, f, f * ratio, 1.0), option(-1.0, f, f * ratio, -1.0))
    both = sum(usd_profit(legs, k, f, move, 0.5 * (1.0 + shock)) for k in range(2))
    assert both == pytest.approx(f * move, abs=1e-9 * f)


@given(st.floats(-5.0, 5.0), forwards, st.floats(-0.05, 0.05))
def test_an_inverse_contract_gains_in_coins_what_a_linear_one_does_to_first_order(
    coins: float, price: float, move: float
) -> None:
    """q (1 - 1 / (1 + m)) = q m - q m^2 / (1 + m): apart by the square of the move, and by |q| m^2 / 0.95 at most."""
    legs = book(leg(coins, price), leg(coins, price, coined=1.0))
    linear = usd_profit(legs, 0, price, move, 0.0) / price
    inverse = coin_profit(legs, 1, move, 0.0)
    assert abs(inverse - linear) <= abs(coins) * move**2 / 0.95 + 1e-12
    assert (linear - inverse) * np.sign(coins) >= -1e-12  # it gains less and loses more if bought


def test_a_coin_bought_inverse_loses_a_ninth_of_a_coin_on_a_fall_of_a_tenth() -> None:
    """1 coin long: 1 - 1 / 0.9 = -0.1111; at the new price of 54,000 that is -6,000 USD, as of a linear one."""
    legs = book(leg(1.0, 60_000.0, coined=1.0))
    assert coin_profit(legs, 0, -0.1, 0.0) == pytest.approx(-1.0 / 9.0)
    assert coin_profit(legs, 0, -0.1, 0.0) * 54_000.0 == pytest.approx(-6_000.0)
    assert usd_profit(legs, 0, 60_000.0, -0.1, 0.0) == pytest.approx(-6_000.0)


def test_an_inverse_option_gains_the_change_of_its_premium_in_the_coin() -> None:
    """Without volatility a call struck at 50,000 goes from 10,000 / 60,000 to 16,000 / 66,000: 0.07575758 of a coin."""
    legs = book(option(1.0, 60_000.0, 50_000.0, 1.0, volatility=0.0, coined=1.0))
    assert coin_profit(legs, 0, 0.1, 0.0) == pytest.approx(16 / 66 - 10 / 60)


def test_a_dollar_off_par_and_a_premium_in_the_coin_are_counted_in_usd() -> None:
    """0.5 sold at 2,000 USDT of 0.99 USD is worth -990; 0.5 bought at 0.04 coin of 60,000 USD is worth 1,200."""
    linear = leg(-0.5, 60_000.0, 2_000.0, kind="option", usd=0.99)
    inverse = leg(0.5, 60_000.0, 0.04, kind="option", coined=1.0)
    legs = book(linear, inverse, leg(1.0, 60_000.0))
    assert option_usd(legs, 0) == pytest.approx(-990.0)
    assert option_usd(legs, 1) == pytest.approx(1_200.0)
    assert option_usd(legs, 2) == 0.0
