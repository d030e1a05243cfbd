"""Deribit's portfolio margin, cell by cell against the exchange's own answer (private/simulate, 2024-06-17)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from portfolio_unit import UNCOMPILED, Unit, leg

from backtest.margin.portfolio import deribit
from backtest.margin.portfolio.deribit import charge_deribit, leg_cell
from backtest.margin.portfolio.profit import shocked
from backtest.margin.portfolio.unit import CELL_PROFIT, UNIT_INITIAL, UNIT_MAINTENANCE

pytestmark = UNCOMPILED

FAR = (-0.66, -0.33, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0)
NUMBERS = {
    "price_range": 0.16,
    "vol_up": 0.5,
    "vol_down": 0.25,
    "min_volatility": 0.5,
    "short_vega_power": 0.3,
    "long_vega_power": 0.13,
    "extended_factor": 1.0,
    "extended_dampener_usd": 100_000,
    "min_annualised_move": 0.01,
    "annualised_move_risk": 0.075,
    "mm_factor": 0.8,
}


def grid(reach: float = 0.16) -> list[tuple[float, float, float]]:
    near = [(k * reach / 4, shock, 1.0) for k in range(-4, 5) for shock in (0.5, 0.0, -0.25)]
    return near + [(move, 0.5, 1.0) for move in FAR]


def unit(*legs: Any, **numbers: float) -> Unit:
    given = {**NUMBERS, **numbers}
    return Unit(deribit, charge_deribit, list(legs), grid(given["price_range"]), **given)


def published() -> Unit:
    """0.3145 BTC of the perpetual, a little sold of the future that expires eleven days later; index 65,666.19."""
    years = 11 / 365
    return unit(
        leg(0.314538364, 65_666.19, 65_910.57, coined=1.0),
        leg(-0.001187534, 65_666.19, 67_371.75, coined=1.0, years=years),
    )


def test_d4_every_cell_of_the_two_contracts_and_of_their_sum(reference_data: Path) -> None:
    answer = json.loads((reference_data / "deribit" / "pme_simulate_examples.json").read_text())[0]["published"]
    found = published()
    for k, name in enumerate(("BTC-PERPETUAL", "BTC-28JUN24")):
        for move, cell in zip(answer["standard_moves"], answer["initial_risk_vector_standard"][name], strict=True):
            assert leg_cell(found.leg, k, float(move), 0.0, found.number) == pytest.approx(cell, abs=1e-12)
        for move, cell in zip(answer["extended_moves"], answer["initial_risk_vector_extended"][name], strict=True):
            assert leg_cell(found.leg, k, float(move), 0.5, found.number) == pytest.approx(cell, abs=1e-12)
    for b, cell in enumerate(answer["aggregated_standard"]):
        assert [found.cell[CELL_PROFIT, 3 * b + v] for v in range(3)] == [pytest.approx(cell, abs=1e-12)] * 3
    assert [found.cell[CELL_PROFIT, 27 + e] for e in range(8)] == answer["aggregated_extended"]


def test_d4_worst_case_roll_shock_and_margins_are_those_of_the_exchange() -> None:
    """Initial 0.122861343 = margin + 0.06 market-maker protection + 0.000018212 of orders; maintenance has neither."""
    found = published()
    assert found.part("worst_case") == pytest.approx(0.0596858724, abs=5e-11)
    assert found.part("roll_shock") == pytest.approx(0.00315725898, abs=1e-14)
    assert found.charge[UNIT_INITIAL] == pytest.approx(0.06284313098, abs=4e-10)
    assert found.charge[UNIT_INITIAL] + 0.06 + 0.000018212 == pytest.approx(0.122861343, abs=5e-10)
    assert found.charge[UNIT_MAINTENANCE] == pytest.approx(0.050274504784, abs=4e-10)


@pytest.mark.parametrize(
    "reach, least, long, short, pair", [(0.16, 0.01, 0.2005, 0.1479, 0.02), (0.14, 0.005, 0.1678, 0.1278, 0.01)]
)
def test_d7_a_hedge_of_perpetual_and_future_asks_a_tenth_of_either_leg(
    reach: float, least: float, long: float, short: float, pair: float
) -> None:
    """The extended table is left out, as the page's own arithmetic leaves it."""
    numbers = {"price_range": reach, "min_annualised_move": least, "extended_factor": 0.0}
    bought, sold = leg(1.0, 60_000.0, coined=1.0), leg(-1.0, 60_000.0, coined=1.0)
    assert unit(bought, **numbers).charge[UNIT_INITIAL] == pytest.approx(long, abs=5e-5)
    assert unit(sold, **numbers).charge[UNIT_INITIAL] == pytest.approx(short, abs=5e-5)
    dated = leg(-1.0, 60_000.0, coined=1.0, years=0.02)
    assert unit(bought, dated, **numbers).charge[UNIT_INITIAL] == pytest.approx(pair, abs=1e-12)


def test_d6_page_a_a_shock_of_40_percent_is_56_6_percent_fifteen_days_before_expiry() -> None:
    """Page A adds points, sqrt(30 / 15) x 40 %; the same multiplier scales today's relative shock."""
    assert shocked(1.0, 0.4, 15 / 365, 0.5, 0.0) - 1.0 == pytest.approx(0.5657, abs=5e-5)


def test_d6_page_a_a_hundred_offsetting_futures_pay_two_percent_and_on_page_b_one() -> None:
    legs = [leg(100.0, 60_000.0, coined=1.0), leg(-100.0, 60_000.0, coined=1.0, years=0.1)]
    assert unit(*legs, future_contingency=0.02).part("future_contingency") == pytest.approx(2.0)
    assert unit(*legs, future_contingency=0.01).part("future_contingency") == pytest.approx(1.0)


def test_d6_page_b_ten_calls_against_twenty_puts_of_a_strike_leave_ten_options_sold() -> None:
    terms = {"kind": "option", "coined": 1.0, "years": 0.1, "strike": 60_000.0, "volatility": 0.6}
    calls = leg(10.0, 60_000.0, 0.05, call=1.0, **terms)
    puts = leg(-20.0, 60_000.0, 0.05, call=-1.0, **terms)
    assert unit(calls, puts, option_contingency=0.01).part("option_contingency") == pytest.approx(10 * 0.01)


def test_a_gain_counts_by_its_offset_against_the_losses_beside_it() -> None:
    """A move of +16 % gains a long coin 0.1379; with an offset of 0.6 the cell shows 0.0828, and losses stay whole."""
    found = unit(leg(1.0, 60_000.0, coined=1.0), pnl_offset=0.6)
    assert found.cell[CELL_PROFIT, 24] == pytest.approx(0.6 * (1 - 1 / 1.16))
    assert found.part("worst_case") == pytest.approx(1 / 0.84 - 1)


def test_a_large_book_feels_the_extreme_moves_that_a_small_one_does_not() -> None:
    """Short 1,000 coins: each extreme rise shows -137.93, pulled back by (5 / 0.16 - 1) x 100,000 / (1.16 x 60,000)."""
    found = unit(leg(-1000.0, 60_000.0, coined=1.0))
    edge, pull = 1000 * (1 - 1 / 1.16), (5 / 0.16 - 1) * 100_000 / (1.16 * 60_000)
    assert found.cell[CELL_PROFIT, 34] == pytest.approx(-(edge - pull))


def test_contracts_paid_in_dollars_lose_their_move_and_are_a_pair_of_their_own() -> None:
    numbers = {"extended_factor": 0.0}
    assert unit(leg(1.0, 60_000.0), **numbers).part("worst_case") == pytest.approx(0.16)
    both = unit(leg(1.0, 60_000.0), leg(-1.0, 60_000.0, coined=1.0), **numbers)
    assert both.part("worst_case") == pytest.approx(0.16 + (1 - 1 / 1.16))
