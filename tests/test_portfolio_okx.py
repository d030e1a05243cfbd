"""OKX's portfolio margin, held against the exchange's own position builder (its API's example of 2025-01-15)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from portfolio_unit import UNCOMPILED, Unit, leg

from backtest.margin.portfolio import okx
from backtest.margin.portfolio.okx import by_bands, charge_okx
from backtest.margin.portfolio.unit import CELL_PROFIT, UNIT_DELTA, UNIT_INITIAL, UNIT_MAINTENANCE

pytestmark = UNCOMPILED

USDT = 0.99954  # USD, of the example
MAJORS = [(move, points, 1.0) for move in (-0.12, -0.08, -0.04, 0.0, 0.04, 0.08, 0.12) for points in (0.3, 0.0, -0.3)]
OLD_BANDS = [[10_000, 1], [70_000, 2], [170_000, 4], [300_000, 6], [470_000, 8], [700_000, 10], [float("inf"), 12]]
BTC_NUMBERS = {
    "mr4_annualised": 0.05,
    "mr4_perpetual_rate": 0.002,
    "mr6_move": 0.24,
    "mr6_share": 0.5,
    "mr7_rate": 0.0045,
    "initial_factor": 1.3,
}


def btc(*legs: Any, **numbers: float) -> Unit:
    return Unit(okx, charge_okx, list(legs), MAJORS, [OLD_BANDS, [[float("inf"), 0.0]]], **{**BTC_NUMBERS, **numbers})


def short_swap() -> Unit:
    """Short 10 BTC-USDT-SWAP of 0.01 BTC, mark 97,093.7, index 97,078.9."""
    return btc(leg(-0.1, 97_078.9, 97_093.7, usd=USDT))


def test_o1_2_the_cash_delta_of_a_short_tenth_of_a_bitcoin_is_at_mark_in_usd() -> None:
    assert short_swap().charge[UNIT_DELTA] == pytest.approx(-9704.9036898, abs=5e-8)
    ltc = btc(leg(10.0, 102.0, 102.0, usd=USDT))
    assert ltc.charge[UNIT_DELTA] == pytest.approx(1019.5308, abs=5e-5)


def test_o1_3_the_spot_shock_loses_388_776_and_1164_dollars_on_rises_of_4_8_and_12_percent() -> None:
    unit = short_swap()
    losses = {(round(cell[0], 2), cell[1]): -unit.cell[CELL_PROFIT, s] for s, cell in enumerate(MAJORS)}
    for move, loss in ((0.04, 388.136974824), (0.08, 776.273949648), (0.12, 1164.410924472)):
        assert [losses[move, points] for points in (0.3, 0.0, -0.3)] == [pytest.approx(loss, abs=5e-9)] * 3
        assert losses[-move, 0.0] == pytest.approx(-loss, abs=5e-9)
    assert unit.part("mr1") == pytest.approx(1164.410924472, abs=5e-9)


def test_o1_4_the_extreme_move_charges_half_of_what_24_percent_would_lose() -> None:
    unit = short_swap()
    assert unit.cell[CELL_PROFIT, len(MAJORS) + 1] == pytest.approx(-2328.821848944, abs=5e-9)
    assert unit.part("mr6") == pytest.approx(1164.410924472, abs=5e-9)


def test_o1_5_basis_and_minimum_charge_are_shares_of_the_delta_at_mark() -> None:
    unit = short_swap()
    assert unit.part("mr4") == pytest.approx(19.4098073796, abs=5e-10)
    assert unit.part("mr7") == pytest.approx(43.6720666041, abs=5e-10)


def test_o1_6_the_unit_asks_1184_dollars_and_initially_1539() -> None:
    unit = short_swap()
    assert unit.charge[UNIT_MAINTENANCE] == pytest.approx(1183.8207318516, abs=5e-10)
    assert unit.charge[UNIT_INITIAL] == pytest.approx(1538.96695140708, abs=5e-10)


def test_every_visible_part_of_the_published_bitcoin_unit(reference_data: Path) -> None:
    answer = json.loads((reference_data / "okx" / "position_builder_example.json").read_text())
    shown = answer["data"][0]["riskUnitData"][0]
    unit = short_swap()
    for name in ("mr1", "mr2", "mr3", "mr4", "mr5", "mr6", "mr7", "mr9"):
        assert unit.part(name) == pytest.approx(float(shown[name]), abs=1e-8), name
    assert unit.charge[UNIT_MAINTENANCE] == pytest.approx(float(shown["mmr"]), abs=1e-8)
    assert unit.charge[UNIT_INITIAL] == pytest.approx(float(shown["imr"]), abs=1e-8)
    assert unit.charge[UNIT_DELTA] == pytest.approx(float(shown["delta"]), abs=1e-8)
    for row, points in (("volShockUp", 0.3), ("volSame", 0.0), ("volShockDown", -0.3)):
        for move, profit in shown["mr1Scenarios"][row].items():
            s = [round(cell[0], 2) == float(move) and cell[1] == points for cell in MAJORS].index(True)
            assert unit.cell[CELL_PROFIT, s] == pytest.approx(float(profit), abs=1e-8), (row, move)


def test_o7_26_a_raw_minimum_charge_of_30000_becomes_50000_and_outweighs_40000() -> None:
    assert by_bands(30_000.0, btc(leg(1.0, 1.0)).band[0]) == 10_000 + 20_000 * 2
    # a unit whose other charges come to 40,000: 30,000 / 0.0045 USD of delta lose 0.006 of it in the only scenario
    notional = 30_000 / 0.0045
    wide = Unit(
        okx,
        charge_okx,
        [leg(notional, 1.0)],
        [(-0.006, 0.0, 1.0)],
        [OLD_BANDS, [[float("inf"), 0.0]]],
        mr7_rate=0.0045,
        initial_factor=1.3,
    )
    assert wide.part("mr1") == pytest.approx(40_000)
    assert wide.charge[UNIT_MAINTENANCE] == pytest.approx(50_000)


def test_spot_in_use_takes_the_price_risk_away_and_leaves_basis_and_closing_cost() -> None:
    """1 BTC held, 1 BTC sold as a swap at the index: nothing moves; 0.2 % basis = 120, closing 270."""
    hedged = btc(leg(-1.0, 60_000.0), leg(1.0, 60_000.0, kind="spot"))
    assert hedged.part("spot_in_use") == 1.0
    assert hedged.part("mr1") == pytest.approx(0.0, abs=1e-9)
    assert hedged.charge[UNIT_MAINTENANCE] == pytest.approx(270.0)


def test_only_as_much_spot_is_in_use_as_the_short_can_take() -> None:
    unit = btc(leg(-0.25, 60_000.0), leg(1.0, 60_000.0, kind="spot"))
    assert unit.part("spot_in_use") == pytest.approx(0.25)
    alone = btc(leg(0.25, 60_000.0), leg(1.0, 60_000.0, kind="spot"))
    assert alone.part("spot_in_use") == 0.0
    assert alone.part("mr1") == pytest.approx(0.12 * 15_000)


def test_a_calendar_spread_pays_for_its_basis_by_the_years_it_has_left() -> None:
    """Long a swap, short a future with half a year: nothing on a shock; 0.2 % of 60,000 and 5 % / 2 of 60,000."""
    unit = btc(leg(1.0, 60_000.0), leg(-1.0, 60_000.0, years=0.5))
    assert unit.part("mr1") == pytest.approx(0.0, abs=1e-9)
    assert unit.part("mr4") == pytest.approx(120 + 1500)


def test_a_hedge_between_two_dollars_pays_for_the_chance_that_they_part() -> None:
    bands = [OLD_BANDS, [[1_000_000, 0.005], [float("inf"), 0.01]]]
    legs = [leg(20.0, 60_000.0, settle=1.0), leg(-30.0, 60_000.0, settle=2.0)]
    unit = Unit(okx, charge_okx, legs, MAJORS, bands, **BTC_NUMBERS)
    assert unit.part("mr9") == pytest.approx(1_000_000 * 0.005 + 200_000 * 0.01)


@given(st.floats(0.001, 5.0), st.floats(1_000.0, 100_000.0), st.floats(0.5, 3.0))
def test_twice_the_position_never_asks_less_than_twice_the_margin(coins: float, price: float, factor: float) -> None:
    one, more = btc(leg(coins, price)), btc(leg(coins * (1 + factor), price))
    assert more.charge[UNIT_MAINTENANCE] >= (1 + factor) * one.charge[UNIT_MAINTENANCE] * (1 - 1e-12)
