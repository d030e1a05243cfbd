"""Worked examples that belong to no venue's account: deleveraging, fair prices, fees, weights, tail margins.

Sources: arXiv 2512.01112 (A1), arXiv 2310.11771 (C1), He et al. (F1), docs.paradex.trade/risk (P3, P5), Drift's
protocol-v2 tests (R1-R12), dYdX v4 documentation (Y1-Y4), Dederi's portfolio margin page (DE1), EMIR Article 28.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, floor

import numpy as np
import pytest

from backtest.errors import InputError
from backtest.margin.deleverage import capped_pro_rata, levered_pro_rata, pro_rata, queue, socialised_loss
from backtest.margin.liquidation_price import liquidation_price
from backtest.margin.portfolio import drift
from backtest.research.perpetual_price import perpetual_over_spot
from backtest.research.procyclicality import buffered, floored, stress_weighted

# The matched book of A1: equity and PnL x leverage rank of its four winners (accounts 0 to 3), mark 100.
WINNERS = (400.0, 135.0, 1100.0, 210.0)
LEVERAGE = (2.5, 500 / 135, 2000 / 1100, 800 / 210)


def cut(value: float) -> float:
    """Truncated to 4 decimals, as Drift prints."""
    return floor(value * 1e4) / 1e4


def test_a1_the_largest_winner_keeps_1875_at_the_end_of_a_queue_and_26_more_pro_rata() -> None:
    """The queue takes 125 of the one in front, here the largest; pro rata 125 x 2000 / 2530 = 98.814 of it."""
    in_queue = 2000.0 * (1.0 - queue((2000.0, 530.0), (2.0, 1.0), 125.0)[0])
    shared = 2000.0 * (1.0 - pro_rata((2000.0, 530.0), 125.0)[0])
    assert in_queue == 1875.0
    assert shared == pytest.approx(1901.185770750988, rel=1e-14)
    assert shared - in_queue == pytest.approx(125.0 * (1.0 - 2000.0 / 2530.0), rel=1e-12)


def test_a1_a_matched_book_pays_440_of_its_losers_550_by_queue_or_pro_rata() -> None:
    """The queue goes 3, 1, 0, 2: 210 + 135 leave 95 of 440 for the third, 95 / 400; pro rata is 440 / 1845."""
    np.testing.assert_allclose(queue(WINNERS, LEVERAGE, 440.0), [0.2375, 1.0, 0.0, 1.0], rtol=1e-14)
    np.testing.assert_allclose(pro_rata(WINNERS, 440.0), 0.23848238482384823, rtol=1e-14)


def test_a1_the_more_levered_winner_pays_in_proportion_and_never_more_than_it_has() -> None:
    """Two of 100 at leverage 3 and 1: 40 is taken 30 and 10; of 160 the first pays its 100 and the other 60."""
    np.testing.assert_allclose(levered_pro_rata((100.0, 100.0), (3.0, 1.0), 40.0), [0.3, 0.1])
    np.testing.assert_allclose(levered_pro_rata((100.0, 100.0), (3.0, 1.0), 160.0), [1.0, 0.6])


@pytest.mark.parametrize("turned", [False, True])
def test_a1_what_a_capped_winner_does_not_pay_the_others_share_in_any_order(turned: bool) -> None:
    """Equities 100, 300, caps 10 % and 100 %, budget 100: evenly 25 %; the cap leaves 90 of 300."""
    step = -1 if turned else 1
    got = capped_pro_rata((100.0, 300.0)[::step], (0.1, 1.0)[::step], 100.0)
    np.testing.assert_allclose(got, [0.1, 0.3][::step])


def test_a1_no_policy_takes_more_than_the_winners_have() -> None:
    with pytest.raises(InputError, match="between 0 and the winners' equity 1845"):
        pro_rata(WINNERS, 2000.0)
    with pytest.raises(InputError, match=r"more than the caps let anyone take, 184\.5"):
        capped_pro_rata(WINNERS, (0.1,) * 4, 200.0)


def test_c1_a_perpetual_with_10_95_percent_interest_is_worth_half_a_basis_point_less_than_spot() -> None:
    """(1095 - 0.1095) / (1095 + 0 - 0.05) = 0.9999457."""
    assert perpetual_over_spot(1095.0, 0.1095, 0.05, 0.0) == pytest.approx(0.9999457, abs=5e-8)
    assert perpetual_over_spot(1095.0, 0.03, 0.05, 0.02) == pytest.approx(1.0, rel=1e-15)


def test_c1_a_perpetual_that_nothing_pulls_to_spot_has_no_price() -> None:
    with pytest.raises(InputError, match="must exceed quote_rate"):
        perpetual_over_spot(0.01, 0.0, 0.05, 0.0)


@pytest.mark.parametrize(
    ("spot", "perpetual", "basis_points"),
    [(0.0, 0.0, 0.0), (0.0225, 0.0018, 4.86), (0.045, 0.0072, 10.44), (0.0675, 0.0144, 16.38)],
)
def test_f1_a_carry_trade_in_and_out_pays_spot_and_perpetual_twice(
    spot: float, perpetual: float, basis_points: float
) -> None:
    """Percent one way of He et al.'s four tiers; a percent is 100 basis points."""
    assert 2.0 * (spot + perpetual) * 100.0 == pytest.approx(basis_points, abs=1e-12)


def test_p5_a_withdrawal_of_500_pays_375_where_losses_are_shared() -> None:
    """A position of 50 from 100 to 40 loses 3,000 of an account of 1,000: 2,000 bankrupt, 1,000 after insurance.

    The page's example divides that by 4,000, the three users and the insurance fund: 25 %, which is asserted. Its
    printed formula adds the deficit to the total: 20 % of 4,000 + 1,000, or 25 % of 3,000 + 1,000.
    """
    bankrupt = 50.0 * (100.0 - 40.0) - 1000.0
    assert bankrupt == 2000.0
    factor = socialised_loss(bankrupt, insurance=1000.0, total_balance=4000.0)
    assert factor == 0.25
    assert 500.0 * (1.0 - factor) == 375.0


def test_p5_no_withdrawal_is_cut_where_insurance_covers_the_bankrupt() -> None:
    assert socialised_loss(900.0, insurance=1000.0, total_balance=4000.0) == 0.0


@pytest.mark.parametrize(
    ("weight", "premium", "size", "counts"),
    [(0.9, 1e-5, 1e9, 0.8357), (0.9, 0.01, 1000.0, 0.8357), (0.9, 0.1, 1000.0, 0.2642), (0.15, 0.1, 1e5, 0.0337)],
    ids=["r1", "r2", "r4", "r6"],
)
def test_r1_r2_r4_r6_a_large_deposit_counts_for_less(weight: float, premium: float, size: float, counts: float) -> None:
    assert cut(drift.asset_weight(weight, premium, size)) == counts


@pytest.mark.parametrize(("premium", "asks"), [(0.01, 1.1962), (0.1, 4.0422)], ids=["r3", "r5"])
def test_r3_r5_a_large_debt_asks_for_more(premium: float, asks: float) -> None:
    """0.8 x 1.1 + imf x sqrt(1000)."""
    assert cut(drift.liability_weight(1.1, premium, 1000.0)) == asks


def test_r7_while_an_order_fills_the_weight_is_half_way_between_initial_and_maintenance() -> None:
    assert drift.fill_weight(0.15, 0.75) == pytest.approx(0.45, rel=1e-15)


@pytest.mark.parametrize(("tokens", "counts"), [(40_000, 0.45), (60_000, 0.3), (10_000, 0.9)])
def test_r8_r9_a_million_of_an_asset_counts_half_where_its_scale_starts_at_500_000(tokens: int, counts: float) -> None:
    assert drift.scaled_initial_weight(0.9, tokens * 25.0, 500_000.0) == pytest.approx(counts, rel=1e-15)


@pytest.mark.parametrize(
    ("profit", "counts"),
    [(22_699.050905, 0.9559), (24_282.786896, 0.9516), (242_827.86896, 0.7368)],
    ids=["r10", "r11", "r12"],
)
def test_r10_r11_r12_a_large_unrealised_profit_counts_for_less(profit: float, counts: float) -> None:
    assert cut(drift.asset_weight(1.0, 0.001, profit)) == counts


@dataclass(frozen=True)
class Flat:
    """One maintenance rate for every size."""

    rate: float
    floor: float = 0.0
    deduction: float = 0.0


def test_y1_a_short_of_three_at_3000_with_equity_1000_is_liquidated_at_3174_60() -> None:
    """(1,000 + 3 x 3,000) / (3 x 0.05 + 3) = 3,174.603; equity there is 1,000 - 3 x 174.603 = 476.19."""
    price = liquidation_price(-3.0, 3000.0, 1000.0, [Flat(0.05)])
    assert price == pytest.approx(3174.60, abs=0.005)
    assert 1000.0 - 3.0 * (price - 3000.0) == pytest.approx(476.2, abs=0.05)


def test_de1_ten_ether_futures_move_676_for_every_three_percent_of_fair_value() -> None:
    """F = 2,243.3 x exp(8 % x 20 / 365) = 2,253.2; 10 x 3 % of it is 676 a step; contingency 10 x 0.6 % of index."""
    future = 2243.3 * exp(0.08 * 20.0 / 365.0)
    assert future == pytest.approx(2253.2, abs=0.05)
    contingency = 10.0 * 0.006 * 2243.3
    assert contingency == pytest.approx(134.6, abs=0.05)
    steps = [10.0 * future * move / 100.0 for move in range(-15, 16, 3)]
    printed = [-3380, -2704, -2028, -1352, -676, 0, 676, 1352, 2028, 2704, 3380]
    np.testing.assert_allclose(steps, printed, atol=1.0)


def test_emir_a_buffer_of_a_quarter_can_be_used_up_in_stress() -> None:
    """1,000 asks 1,250; with 60 % of the buffer of 250 released, 1,100; with all of it, 1,000."""
    assert buffered(1000.0) == 1250.0
    assert buffered(1000.0, released=0.6) == pytest.approx(1100.0)
    assert buffered(1000.0, released=1.0) == 1000.0


def test_emir_b_stressed_days_weigh_a_quarter() -> None:
    """0.75 x 1,000 + 0.25 x 3,000 = 1,500."""
    assert stress_weighted(1000.0, 3000.0) == 1500.0


@pytest.mark.parametrize(("margin", "asked"), [(1000.0, 1400.0), (1800.0, 1800.0)])
def test_emir_c_margin_never_falls_below_what_ten_years_of_volatility_ask(margin: float, asked: float) -> None:
    assert floored(margin, 1400.0) == asked
