"""Funding rates by hand: what each venue's rule makes of a premium, and what a position then pays.

Sources: Binance's funding FAQ and announcement 2025-09-16 (G31, G32), Deribit's article 31424939178397 (D8, computed),
Hyperliquid's docs (H2), docs.paradex.trade/risk (P3), dYdX v4 documentation (Y3, Y4), Drift's docs.
"""

from __future__ import annotations

import pytest

from backtest.market.funding_rate import (
    binance_mark_price_1,
    binance_rate,
    clamped_to_interest,
    deribit_rate,
    drift_hourly_rate,
    dydx_cap,
    dydx_impact_notional,
    hyperliquid_hourly_rate,
    paradex_index_change,
    premium,
)


def test_g31_half_an_interval_before_a_funding_of_0_03_percent_price_1_is_1_50_above_an_index_of_10000() -> None:
    assert binance_mark_price_1(10_000.0, 0.0003, 4.0) == pytest.approx(10_001.5, rel=1e-15)


@pytest.mark.parametrize("average", [-0.0004, -0.0001, 0.0, 0.0001, 0.0003, 0.0006])
def test_g32_a_small_premium_costs_longs_just_the_interest_of_0_01_percent(average: float) -> None:
    assert clamped_to_interest(average) == pytest.approx(0.0001, abs=1e-18)
    assert binance_rate(average, 8.0, 0.004) == pytest.approx(0.0001, abs=1e-18)


def test_g32_beyond_the_plateau_longs_pay_the_premium_less_0_05_percent() -> None:
    """0.10 % - 0.05 % = 0.05 %; -0.10 % + 0.05 % = -0.05 %."""
    assert clamped_to_interest(0.0010) == pytest.approx(0.0005, abs=1e-18)
    assert clamped_to_interest(-0.0010) == pytest.approx(-0.0005, abs=1e-18)


@pytest.mark.parametrize(("scaled", "rate"), [(True, 0.0005), (False, 0.001)])
def test_since_september_2025_four_hours_of_binance_funding_cost_half_of_eight(scaled: bool, rate: float) -> None:
    """A premium of 0.15 % is 0.10 % for 8 hours."""
    assert binance_rate(0.0015, 4.0, 0.004, scaled=scaled) == pytest.approx(rate, abs=1e-18)


@pytest.mark.parametrize(("average", "rate"), [(0.05, 0.003), (-0.05, -0.003)])
def test_g33_binance_funding_never_exceeds_three_quarters_of_the_first_maintenance_rate(
    average: float, rate: float
) -> None:
    """0.75 x 0.4 % = 0.3 %, as BTCUSDT's recorded extremes of 2020 to 2023."""
    assert binance_rate(average, 8.0, 0.004) == pytest.approx(rate, abs=1e-18)


@pytest.mark.parametrize(
    ("mark", "rate", "paid"), [(10_010, 7.5e-4, 0.015625), (10_002, 0, 0), (9_990, -7.5e-4, -0.015625)]
)
def test_d8_a_long_of_10000_usd_pays_for_a_minute_only_beyond_the_dampener(
    mark: float, rate: float, paid: float
) -> None:
    """0.1 % - 0.025 % = 0.075 % for 8 hours, of 10,000 USD 7.50, of which a minute is 1 / 480."""
    got = deribit_rate(mark, 10_000.0)
    assert got == pytest.approx(rate, abs=1e-15)
    assert 10_000.0 * got / 480.0 == pytest.approx(paid, abs=1e-12)


def test_a_cap_holds_deribit_funding_at_half_a_percent() -> None:
    assert deribit_rate(10_200.0, 10_000.0, cap=0.005) == 0.005
    assert deribit_rate(9_800.0, 10_000.0, cap=0.005) == -0.005


def test_h2_an_impact_bid_one_percent_over_the_oracle_costs_longs_0_11875_percent_an_hour() -> None:
    """1 % + clamp(0.01 % - 1 %) = 0.95 % for 8 hours."""
    one = premium(10_100.0, 10_110.0, 10_000.0)
    assert one == pytest.approx(0.01, rel=1e-15)
    assert clamped_to_interest(one) == pytest.approx(0.0095, rel=1e-14)
    assert hyperliquid_hourly_rate(one) == pytest.approx(0.0011875, rel=1e-14)


@pytest.mark.parametrize(("average", "rate"), [(0.5, 0.04), (-0.5, -0.04)])
def test_hyperliquid_never_charges_more_than_four_percent_an_hour(average: float, rate: float) -> None:
    assert hyperliquid_hourly_rate(average) == rate


@pytest.mark.parametrize(("bid", "ask", "over"), [(99.0, 101.0, 0.0), (97.0, 98.0, -0.02)])
def test_a_reference_inside_the_spread_bears_no_premium(bid: float, ask: float, over: float) -> None:
    assert premium(bid, ask, 100.0) == pytest.approx(over, abs=1e-15)


def test_p3_half_a_bitcoin_pays_0_01875_usdc_for_a_minute_at_a_premium_of_0_08_percent() -> None:
    """0.08 % - 0.05 % = 0.03 %, of 60,000 it is 18 for 8 hours; a minute is 18 / 480 = 0.0375 per bitcoin."""
    assert paradex_index_change(0.0008, 60_000.0, 8.0 * 3600.0) == pytest.approx(18.0, rel=1e-13)
    minute = paradex_index_change(0.0008, 60_000.0, 60.0)
    assert minute == pytest.approx(0.0375, rel=1e-13)
    assert -0.5 * minute == pytest.approx(-0.01875, rel=1e-13)


@pytest.mark.parametrize(("mark", "rate"), [(100.24, 0.0001), (104.0, 0.00125), (96.0, -0.00125)])
def test_drift_charges_a_twenty_fourth_of_the_premium_an_hour_up_to_the_cap(mark: float, rate: float) -> None:
    """0.24 % / 24 = 0.01 %; 4 % / 24 = 0.167 % is cut to the best tier's 0.125 %."""
    assert drift_hourly_rate(mark, 100.0, 0.00125) == pytest.approx(rate, rel=1e-10)


@pytest.mark.parametrize(("initial", "maintenance", "cap"), [(0.05, 0.03, 0.12), (0.1, 0.05, 0.3), (0.2, 0.1, 0.6)])
def test_y3_dydx_funding_of_eight_hours_is_capped_at_six_times_the_gap(
    initial: float, maintenance: float, cap: float
) -> None:
    """600 % x (5 % - 3 %) and two more."""
    assert dydx_cap(initial, maintenance) == pytest.approx(cap, rel=1e-14)


def test_y4_dydx_takes_its_impact_prices_at_5000_usdc() -> None:
    assert dydx_impact_notional(0.10) == 5000.0
