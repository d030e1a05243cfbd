"""Rules of venues in brief: Drift's weights, dYdX, Dederi's future, deleveraging, and the price of a perpetual."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.margin.liquidation_price import liquidation_price
from backtest.research.perpetual_price import perpetual_over_spot
from backtest.venues.in_brief import dederi, deleverage, drift
from backtest.venues.schema import Tier


def printed(value: float) -> float:
    """Drift's unit tests hold weights as whole ten-thousandths, cut off."""
    return math.floor(value * 10_000) / 10_000


@pytest.mark.parametrize(
    ("weight", "imf", "size", "expected"),
    [
        pytest.param(0.9, 1e-5, 1e9, 0.8357, id="R1"),
        pytest.param(0.9, 0.01, 1000, 0.8357, id="R2"),
        pytest.param(0.9, 0.1, 1000, 0.2642, id="R4"),
        pytest.param(0.15, 0.1, 1e5, 0.0337, id="R6"),
    ],
)
def test_a_large_deposit_counts_for_less(weight: float, imf: float, size: float, expected: float) -> None:
    assert printed(drift.asset_weight(weight, imf, size)) == expected


@pytest.mark.parametrize(("imf", "expected"), [pytest.param(0.01, 1.1962, id="R3"), pytest.param(0.1, 4.0422, id="R5")])
def test_a_large_debt_counts_for_more(imf: float, expected: float) -> None:
    assert printed(drift.liability_weight(1.1, imf, 1000)) == expected


def test_r7_an_order_is_filled_at_the_mean_of_both_weights() -> None:
    assert drift.fill_weight(0.15, 0.75) == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("deposits", "expected"), [pytest.param(40_000, 0.45, id="R8"), pytest.param(60_000, 0.3, id="R9")]
)
def test_initial_weights_shrink_once_all_deposits_pass_half_a_million(deposits: float, expected: float) -> None:
    assert drift.scaled_initial_weight(0.9, deposits, 25, 500_000) == pytest.approx(expected)
    assert drift.scaled_initial_weight(0.9, 10_000, 25, 500_000) == 0.9


@pytest.mark.parametrize(
    ("profit", "expected"),
    [
        pytest.param(22_699.050905, 0.9559, id="R10"),
        pytest.param(24_282.786896, 0.9516, id="R11"),
        pytest.param(242_827.86896, 0.7368, id="R12"),
    ],
)
def test_a_large_unrealised_profit_counts_for_less(profit: float, expected: float) -> None:
    assert printed(drift.profit_weight(profit, 0.001)) == expected


@given(size=st.floats(0, 1e9), more=st.floats(0, 1e9), imf=st.floats(0, 1))
@settings(max_examples=50)
def test_size_never_helps(size: float, more: float, imf: float) -> None:
    assert drift.asset_weight(0.9, imf, size + more) <= drift.asset_weight(0.9, imf, size) <= 0.9
    assert drift.liability_weight(1.1, imf, size + more) >= drift.liability_weight(1.1, imf, size) >= 1.1


def test_y1_a_short_of_three_eth_on_1000_is_liquidated_at_3174_60_with_476_2_left() -> None:
    """1,000 - 3 (p - 3,000) = 5 % of 3 p: p = 10,000 / 3.15."""
    found = liquidation_price(-3.0, 3_000.0, 1_000.0, [Tier(0.0, 0.05, 0.0, 20)])
    assert found is not None
    assert round(found, 2) == 3_174.60
    assert round(1_000 - 3 * (found - 3_000), 1) == 476.2


def test_de1_ten_eth_of_a_future_twenty_days_out_under_eleven_moves() -> None:
    price = dederi.fair_price(2_243.3, 0.08, 20)
    assert round(price, 1) == 2_253.2
    assert round(dederi.contingency(10, 2_243.3), 1) == 134.6
    profits = [-3380, -2704, -2028, -1352, -676, 0, 676, 1352, 2028, 2704, 3380]
    assert [round(10 * price * move) for move in dederi.MOVES] == profits


def test_a1_the_largest_winner_keeps_1875_in_a_queue_and_1901_19_pro_rata() -> None:
    """Budget 125 of winners 2,000 and 530; the difference is 125 x (1 - 2,000 / 2,530)."""
    equity = [2_000.0, 530.0]
    queued = 2_000 * (1 - deleverage.queue(equity, [0, 1], 125.0)[0])
    shared = 2_000 * (1 - deleverage.pro_rata(equity, 125.0)[0])
    assert queued == pytest.approx(1_875)
    assert shared == pytest.approx(1_901.185770750988)
    assert shared - queued == pytest.approx(125 * (1 - 2_000 / 2_530))


BOOK = [(-10, 120, 200), (-5, 115, 60), (-20, 130, 500), (8, 80, 50), (12, 125, 100), (6, 115, 40), (-15, 70, 150)]


def test_a_matched_book_of_seven_pays_its_deficit_from_the_queue_or_pro_rata() -> None:
    """Mark 100, deficit 550, 80 % of it to be taken. The published order is by leverage alone (3.81, 3.70, 2.5, 1.82);
    by profit x leverage it would be accounts 2, 3, 0, 1.
    """
    equity = [deleverage.equity_at(q, entry, collateral, 100) for q, entry, collateral in BOOK]
    assert equity == [400, 135, 1_100, 210, -200, -50, -300]
    winners = [k for k, amount in enumerate(equity) if amount > 0]
    leverage = [abs(q) * 100 / abs(equity[k]) for k, (q, _, _) in enumerate(BOOK)]
    assert leverage == pytest.approx([2.5, 3.7037037037, 1.8181818182, 3.8095238095, 6.0, 12.0, 5.0])
    ranking = sorted(winners, key=lambda k: -leverage[k])
    assert ranking == [3, 1, 0, 2]
    budget = 0.8 * 550
    assert deleverage.queue(equity, ranking, budget) == pytest.approx([0.2375, 1, 0, 1, 0, 0, 0])
    shared = 0.23848238482384823
    assert deleverage.pro_rata(equity, budget) == pytest.approx([shared] * 4 + [0.0] * 3)


def test_pro_rata_by_leverage_takes_all_of_the_most_levered_and_the_rest_from_the_others() -> None:
    """100 and 100 at weights 3 and 1, budget 160: 40 a unit of weight would take 1.2 of the first: it pays 100."""
    assert deleverage.pro_rata([100.0, 100.0], 160.0, [3.0, 1.0]) == pytest.approx([1.0, 0.6])


WINNERS = st.lists(st.floats(1.0, 1e6), min_size=1, max_size=6)


@given(equity=WINNERS, share=st.floats(0.0, 1.0))
@settings(max_examples=50)
def test_the_budget_is_covered_to_the_cent_and_nobody_pays_more_than_all(equity: list[float], share: float) -> None:
    budget = share * sum(equity)
    weights = [float(k + 1) for k in range(len(equity))]
    for haircut in (
        deleverage.queue(equity, list(range(len(equity))), budget),
        deleverage.pro_rata(equity, budget),
        deleverage.pro_rata(equity, budget, weights),
    ):
        assert all(0.0 <= h <= 1.0 + 1e-12 for h in haircut)
        assert sum(h * e for h, e in zip(haircut, equity, strict=True)) == pytest.approx(budget)


def test_c1_a_perpetual_trades_half_a_basis_point_under_spot() -> None:
    """(1,095 - 0.1095) / (1,095 - 0.05) = 1,094.8905 / 1,094.95."""
    assert round(perpetual_over_spot(1_095, 0.1095, 0.05, 0.0), 7) == 0.9999457


def test_a_perpetual_is_at_spot_if_its_interest_is_the_difference_of_the_rates() -> None:
    assert perpetual_over_spot(1_095, 0.03, 0.05, 0.02) == pytest.approx(1.0, abs=1e-15)
