"""Bybit's portfolio margin, held against the exchange's own answer (its API's response example, from the testnet)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from portfolio_unit import UNCOMPILED, Unit, leg

from backtest.margin.portfolio import bybit
from backtest.margin.portfolio.bybit import charge_bybit, hedge_profit
from backtest.margin.portfolio.unit import CELL_PROFIT, UNIT_INITIAL, UNIT_MAINTENANCE

pytestmark = UNCOMPILED

MOVES = [k / 50 for k in range(-5, 6)]
GRID = [(move, shock, 1.0) for move in MOVES for shock in (0.2, 0.0, -0.2)]
NUMBERS = {"future_contingency": 0.0003, "delta_contingency": 0.6, "initial_factor": 1.2}
PERPETUAL = 255_827.59  # mark 255,902.31 USDT in USD, as the perpetual's column implies
INDEX = 70_500.56  # as the spot leg's column implies


@pytest.fixture(scope="module")
def sample(reference_data: Path) -> dict[str, Any]:
    answer = json.loads((reference_data / "bybit" / "portfolio_margin_info_example.json").read_text())
    return answer["result"]["assetPnlRange"][0]


def column(rows: list[dict[str, Any]]) -> dict[float, list[float]]:
    return {float(row["priceScale"]): [float(x) for x in row["pnls"]] for row in rows}


def unit(*legs: Any, **numbers: float) -> Unit:
    return Unit(bybit, charge_bybit, list(legs), GRID, **{**NUMBERS, **numbers})


def test_b4_18_the_perpetual_earns_its_move_at_all_eleven_prices(sample: dict[str, Any]) -> None:
    shown = column(sample["totalPnlRanges"]["PERPETUAL"]["pnlRanges"])
    found = unit(leg(0.038, INDEX, PERPETUAL))
    for s, (move, _, _) in enumerate(GRID):
        assert found.cell[CELL_PROFIT, s] == pytest.approx(shown[move][0], abs=0.0001)


def test_b4_18_the_spot_hedge_shows_what_it_gains_and_never_what_it_would_lose(sample: dict[str, Any]) -> None:
    size = float(sample["spotHedgeInfo"]["hedgeSpotSize"])
    for move, (profit, *_) in column(sample["spotHedgeInfo"]["pnlRanges"]).items():
        assert hedge_profit(size, INDEX, move) == pytest.approx(profit, abs=5e-6)


def test_b4_18_the_total_takes_the_worst_volatility_of_every_price(sample: dict[str, Any]) -> None:
    """Perpetual + the least of the three option columns + spot = the published total, within 0.00008."""
    perpetual = column(sample["totalPnlRanges"]["PERPETUAL"]["pnlRanges"])
    options = column(sample["optionExpiryDatePnlRanges"][0]["pnlRanges"])
    size = float(sample["spotHedgeInfo"]["hedgeSpotSize"])
    for move, (total, *_) in column(sample["totalPnlRanges"]["ALL"]["pnlRanges"]).items():
        ours = perpetual[move][0] + min(options[move]) + hedge_profit(size, INDEX, move)
        assert ours == pytest.approx(total, abs=0.00008), move


def test_b4_19_the_contingency_is_the_sum_of_its_five_parts(sample: dict[str, Any]) -> None:
    """56.89174177 + 0.80370460 = 57.69544637; printed 57.69544638, a last digit of theirs."""
    parts = {name: float(value) for name, value in sample["contingency"].items()}
    assert parts.pop("contingencyComponents") == pytest.approx(sum(parts.values()), abs=1.5e-8)
    assert sum(parts.values()) == pytest.approx(57.69544637, abs=1e-9)


def test_b4_20_a_future_pays_three_hundredths_of_a_percent_of_its_coins_at_the_index() -> None:
    """0.038 x 70,500.56 x 0.0003 = 0.80370638; printed 0.8037046, 2.2e-6 apart (the page says 2e-6)."""
    assert unit(leg(0.038, INDEX, PERPETUAL)).part("future_contingency") == pytest.approx(0.8037046, rel=2.3e-6)


def test_b4_21_the_unit_asks_its_largest_loss_and_its_contingency(sample: dict[str, Any]) -> None:
    """1,004.7471 + 57.69544638 = 1,062.44254638; printed 1,062.34920951, read at another moment."""
    loss = -min(value[0] for value in column(sample["totalPnlRanges"]["ALL"]["pnlRanges"]).values())
    ours = loss + float(sample["contingency"]["contingencyComponents"])
    assert ours == pytest.approx(1062.44254638, abs=1e-8)
    assert ours == pytest.approx(float(sample["asset"]["assetMM"]), rel=9e-5)


def test_a_lone_short_asks_a_tenth_and_its_contingency_and_initially_a_fifth_more() -> None:
    """1 BTC sold at 60,000: a rise of 10 % loses 6,000; 0.03 % of 60,000 = 18; 1.2 x 6,018 = 7,221.60."""
    found = unit(leg(-1.0, 60_000.0))
    assert found.charge[UNIT_MAINTENANCE] == pytest.approx(6018.0)
    assert found.charge[UNIT_INITIAL] == pytest.approx(7221.6)


def test_a_short_hedged_by_the_coin_asks_its_losses_on_a_fall_of_nothing() -> None:
    """1 BTC held, 1 sold: on a rise the coin pays, on a fall the short gains and the coin shows 0: only 18 is left."""
    found = unit(leg(-1.0, 60_000.0), leg(1.0, 60_000.0, kind="spot"))
    assert found.part("hedge_spot_size") == 1.0
    assert found.charge[UNIT_MAINTENANCE] == pytest.approx(18.0)


def test_owed_coins_hedge_a_long_and_coins_on_the_same_side_hedge_nothing() -> None:
    assert unit(leg(1.0, 60_000.0), leg(-0.4, 60_000.0, kind="spot")).part("hedge_spot_size") == pytest.approx(-0.4)
    assert unit(leg(1.0, 60_000.0), leg(0.4, 60_000.0, kind="spot")).part("hedge_spot_size") == 0.0


def test_futures_of_different_expiry_offset_each_other_for_a_charge_on_their_basis() -> None:
    """Long a perpetual, short a quarter year out: no loss on any price; 0.25 x 60 % of 60,000 = 9,000, and 36."""
    found = unit(leg(1.0, 60_000.0), leg(-1.0, 60_000.0, years=0.25))
    assert found.part("max_loss") == pytest.approx(0.0, abs=1e-9)
    assert found.part("future_delta_contingency") == pytest.approx(9000.0)
    assert found.part("future_contingency") == pytest.approx(36.0)
