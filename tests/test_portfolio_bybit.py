"""Bybit's portfolio margin, held against the exchange's own answer (its API's response example, from the testnet)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from portfolio_unit import UNCOMPILED, Unit, leg

from backtest.margin.portfolio import bybit
from backtest.margin.portfolio.bybit import charge_bybit, hedge_profit
from backtest.margin.portfolio.unit import CELL_PROFIT, LEG_COINS, UNIT_INITIAL, UNIT_MAINTENANCE

pytestmark = UNCOMPILED

MOVES = [k / 50 for k in range(-5, 6)]
GRID = [(move, shock, 1.0) for move in MOVES for shock in (0.2, 0.0, -0.2)]
NUMBERS = {"future_contingency": 0.0003, "vega_contingency": 0.0003, "delta_contingency": 0.6, "initial_factor": 1.2}
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


def option(coins: float, years: float, strike: float = 60_000.0, call: float = 1.0) -> Any:
    """A bitcoin option on a future at 60,000, implied volatility 50 %."""
    return leg(coins, 60_000.0, 1.0, kind="option", years=years, strike=strike, call=call, volatility=0.5)


def test_an_option_that_expires_between_two_futures_changes_nothing_of_their_basis() -> None:
    """0.5 x 60 % of 60,000 = 18,000, with and without a millionth of a coin of a call a quarter year out."""
    futures = [leg(1.0, 60_000.0), leg(-1.0, 60_000.0, years=0.5)]
    assert unit(*futures).part("future_delta_contingency") == pytest.approx(18_000.0)
    assert unit(*futures, option(1e-6, 0.25)).part("future_delta_contingency") == pytest.approx(18_000.0)


def test_futures_on_one_side_are_offset_in_proportion_and_the_rest_waits_for_a_later_one() -> None:
    """Long 1 at 0 and 1 at 0.2 years expire at 0.1 on average: short 1 at 0.5 offsets 60,000 over 0.4 years, short 1
    more at 1.1 another 60,000 over 1.0: 84,000 USD years, at 60 % 50,400.
    """
    found = unit(
        leg(1.0, 60_000.0),
        leg(1.0, 60_000.0, years=0.2),
        leg(-1.0, 60_000.0, years=0.5),
        leg(-1.0, 60_000.0, years=1.1),
    )
    assert found.part("future_delta_contingency") == pytest.approx(50_400.0)


def test_a_short_larger_than_what_it_offsets_is_itself_offset_from_its_own_expiry() -> None:
    """Long 1, short 2 at 0.5, long 1 at 0.75: 60,000 x 0.5 + 60,000 x 0.25 = 45,000 USD years, at 60 % 27,000."""
    found = unit(leg(1.0, 60_000.0), leg(-2.0, 60_000.0, years=0.5), leg(1.0, 60_000.0, years=0.75))
    assert found.part("future_delta_contingency") == pytest.approx(27_000.0)


def test_options_of_different_expiry_pay_for_their_vega_by_the_days_between() -> None:
    """1 call bought 73 days out, 0.4 sold 146 days out: 0.4 x 73 x 0.03 % of 60,000 = 525.60; a put counts like it."""
    near, far = 73 / 365, 146 / 365
    assert unit(option(1.0, near), option(-0.4, far)).part("option_vega_contingency") == pytest.approx(525.6)
    assert unit(option(1.0, near), option(-0.4, far, call=-1.0)).part("option_vega_contingency") == pytest.approx(525.6)
    assert unit(option(1.0, near), option(0.4, far)).part("option_vega_contingency") == 0.0
    assert unit(option(1.0, near), leg(-0.4, 60_000.0, years=far)).part("option_vega_contingency") == 0.0


def test_only_options_sold_net_pay_the_charge_of_options_and_another_contract_covers_none() -> None:
    """2 sold, 0.5 bought back in another dollar: 1.5 x 1 % of 60,000 = 900; a put or a later call takes nothing off."""
    sold = option(-2.0, 0.25)
    assert unit(sold, option(0.5, 0.25), option_contingency=0.01).part("option_contingency") == pytest.approx(900.0)
    for other in (option(2.0, 0.25, call=-1.0), option(2.0, 0.5), option(2.0, 0.25, strike=70_000.0)):
        assert unit(sold, other, option_contingency=0.01).part("option_contingency") == pytest.approx(1200.0)
    assert unit(option(2.0, 0.25), option_contingency=0.01).part("option_contingency") == 0.0


def test_the_worst_volatility_of_a_bought_option_is_the_lower_one_and_of_a_sold_one_the_higher() -> None:
    for coins, worst in ((1.0, -0.2), (-1.0, 0.2)):
        cells = unit(option(coins, 0.25)).cell[CELL_PROFIT]
        for move in MOVES:
            at_price = {shock: cells[s] for s, (price, shock, _) in enumerate(GRID) if price == move}
            assert min(at_price, key=lambda shock: at_price[shock]) == worst


sizes = st.floats(-5.0, 5.0)
books = st.lists(
    st.one_of(
        st.builds(
            lambda coins, years: leg(coins, 60_000.0, years=years), sizes, st.sampled_from([0.0, 0.1, 0.25, 0.7])
        ),
        st.builds(
            lambda coins, years, strike, call: option(coins, years, strike, call),
            sizes,
            st.sampled_from([0.1, 0.25, 0.7]),
            st.sampled_from([50_000.0, 60_000.0, 70_000.0]),
            st.sampled_from([1.0, -1.0]),
        ),
    ),
    min_size=1,
    max_size=5,
)


@given(books, sizes)
def test_no_unit_is_paid_for_its_risk_and_no_part_of_the_charge_is_below_nothing(book: list[Any], coins: float) -> None:
    found = unit(*book, leg(coins, 60_000.0, kind="spot"), option_contingency=0.01)
    for name in bybit.PARTS[:-1]:
        assert found.part(name) >= 0.0, name
    assert abs(found.part("hedge_spot_size")) <= abs(coins)
    assert found.charge[UNIT_INITIAL] == pytest.approx(1.2 * found.charge[UNIT_MAINTENANCE])


@given(books, st.floats(0.1, 10.0))
def test_a_book_of_twice_the_size_asks_twice_the_margin(book: list[Any], factor: float) -> None:
    larger = [column.copy() for column in book]
    for column in larger:
        column[LEG_COINS] *= factor
    one, more = unit(*book, option_contingency=0.01), unit(*larger, option_contingency=0.01)
    assert more.charge[UNIT_MAINTENANCE] == pytest.approx(factor * one.charge[UNIT_MAINTENANCE], rel=1e-9, abs=1e-6)


@given(st.floats(0.01, 5.0), st.sampled_from([0.0, 0.1, 0.7]))
def test_a_long_and_a_short_of_one_expiry_pay_their_futures_contingency_only(coins: float, years: float) -> None:
    """Nothing is lost at any price; |q| + |q| coins at 0.03 % of 60,000 are 36 a coin."""
    found = unit(leg(coins, 60_000.0, years=years), leg(-coins, 60_000.0, years=years))
    assert found.charge[UNIT_MAINTENANCE] == pytest.approx(36.0 * coins)
