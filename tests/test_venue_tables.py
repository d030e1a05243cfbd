"""Tables of Bybit, OKX, Deribit, Hyperliquid and Paradex: their published figures, their dated changes, their checks.

Labels such as B7, O5, D1, H3 and HD are those of the rule books' lists of examples.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from backtest.config.types import moment_us as moment
from backtest.errors import InputError
from backtest.margin.portfolio import PAGES
from backtest.market.schema import Instrument, kind_of, parse_symbol
from backtest.state import PAGE_NAMES
from backtest.venues import describe, load
from backtest.venues.brackets import Kind, read_brackets
from backtest.venues.check import MODELS, check_tiers, scenarios_of
from backtest.venues.load import read_venue
from backtest.venues.schema import CollateralTier, RuleSet, Slope, Terms, Tier

BTC, ETH, COIN, PERP = "BTC/USDT:USDT", "ETH/USDT:USDT", "BTC/USD:BTC", "BTC/USDC:USDC"
MILLION = 1_000_000


def contract(symbol: str) -> Instrument:
    base, quote, settle, expiry_us = parse_symbol(symbol)
    return Instrument(
        symbol, kind_of(symbol), base, quote, settle or quote, 1.0, 0.1, 0.001, 5.0, None, expiry_us, None, "test"
    )


def span(
    venue: str,
    start: str,
    end: str | None = None,
    mode: str = "multi_asset",
    symbols: Sequence[str] = (BTC,),
    assets: Sequence[str] = ("USDT",),
    **asked: Any,
) -> tuple[RuleSet, ...]:
    start_us = moment(start)
    end_us = moment(end) if end else start_us + 1
    return load(venue).in_force([contract(each) for each in symbols], assets, mode, start_us, end_us, **asked)


def rules(venue: str, on: str, mode: str = "multi_asset", **asked: Any) -> RuleSet:
    return span(venue, on, None, mode, **asked)[0]


def starts(sets: Sequence[RuleSet]) -> list[str]:
    return [f"{datetime.fromtimestamp(each.start_us / 1e6, UTC):%Y-%m-%d}" for each in sets]


def maintenance(tiers: Sequence[Tier], size: float) -> float:
    """Marginal: rate x size - deduction of the tier above whose floor it lies."""
    tier = [tier for tier in tiers if tier.floor < size][-1]
    return size * tier.rate - tier.deduction


def counts(tiers: Sequence[CollateralTier], amount: float) -> float:
    tier = [tier for tier in tiers if tier.floor_usd <= amount][-1]
    return amount * tier.ratio - tier.deduction_usd


def charged(bands: Sequence[tuple[float, float]], amount: float) -> float:
    """A ladder of multipliers, each for the part between its bounds."""
    total, low = 0.0, 0.0
    for up_to, rate in bands:
        total += rate * max(0.0, min(amount, up_to) - low)
        low = up_to
    return total


# --- Bybit

PAGE = [  # (limit in millions, maintenance rate, highest leverage) of BTCUSDT, tiers 1 to 20
    (2.0, 0.005, 100), (2.6, 0.0056, 90), (3.2, 0.0063, 80), (3.8, 0.0067, 75), (4.4, 0.0071, 70), (5.0, 0.0077, 65),
    (5.6, 0.0091, 55), (8.5, 0.01, 50), (10, 0.013, 45), (14, 0.015, 40), (20, 0.016, 35), (28, 0.02, 30),
    (38, 0.025, 25), (50, 0.029, 20), (55, 0.03, 19), (60, 0.035, 18), (65, 0.036, 17), (70, 0.038, 16),
    (75, 0.04, 15), (80, 0.045, 14),
]  # fmt: skip


def test_bybit_tiers_of_btc_are_those_of_the_page_with_deductions_by_recursion() -> None:
    tiers = rules("bybit", "2026-03-01").tiers[0]
    assert len(tiers) == 35
    assert [tier.floor for tier in tiers[:21]] == pytest.approx([0, *(limit * MILLION for limit, _, _ in PAGE)])
    assert [(tier.rate, tier.max_leverage) for tier in tiers[:20]] == [(rate, times) for _, rate, times in PAGE]
    deduction = 0.0
    for (limit, low, _), (_, high, _), tier in zip(PAGE, PAGE[1:], tiers[1:], strict=False):
        deduction += limit * MILLION * (high - low)  # limit(n-1) x (MMR(n) - MMR(n-1)) + deduction(n-1)
        assert tier.deduction == pytest.approx(deduction), limit
    # 2m x 0.06 % = 1,200; + 2.6m x 0.07 % = 3,020; ... tier 20: 1,107,000 + 75m x 0.5 % = 1,482,000
    assert [tiers[k].deduction for k in (1, 2, 19)] == [1_200, 3_020, 1_482_000]
    assert (tiers[-1].floor, tiers[-1].rate) == (800 * MILLION, 0.6)


def test_bybit_maintenance_does_not_jump_at_a_limit() -> None:
    for tiers in (rules("bybit", "2026-06-01", symbols=(symbol,)).tiers[0] for symbol in (BTC, PERP, "LTC/USDT:USDT")):
        for low, high in pairwise(tiers):
            below, above = (high.floor * tier.rate - tier.deduction for tier in (low, high))
            assert below == pytest.approx(above, rel=1e-9)


def test_bybit_perpetuals_in_usdc_and_coins_have_tiers_of_their_own() -> None:
    usdc, ltc, inverse = rules("bybit", "2026-06-01", symbols=(PERP, "LTC/USDT:USDT", COIN)).tiers
    assert [(t.floor, t.rate, t.max_leverage) for t in usdc[:2]] == [(0, 0.004, 125), (100_000, 0.005, 100)]
    assert usdc[1].deduction == pytest.approx(100_000 * 0.001) and len(usdc) == 30
    assert (ltc[0].rate, ltc[1].floor) == (0.01, 200_000)
    assert [(t.floor, t.rate, t.max_leverage) for t in inverse] == [(0, 0.005, 100), (150, 0.01, 50)]
    assert inverse[1].deduction == pytest.approx(150 * 0.005)  # bitcoin


def test_bybit_brackets_before_their_reading_are_assumed_and_say_since_when_they_are_known() -> None:
    early, late = span("bybit", "2026-05-01", "2026-06-01", symbols=("LTC/USDT:USDT",))
    assert starts([late]) == ["2026-05-18"]
    assert early.tiers == late.tiers
    said = [next(row for row in each.rows if row.table == "brackets") for each in (early, late)]
    assert [row.assumed for row in said] == [True, False]
    assert "taken back" in said[0].reason


def test_bybit_margins_move_from_the_entry_to_the_mark_price_on_the_second_of_september_2025() -> None:
    before, after = span("bybit", "2025-09-01", "2025-09-03")
    assert starts([after]) == ["2025-09-02"]
    assert (before.terms.initial_at_entry, before.terms.maintenance_at_entry) == (True, True)
    assert (after.terms.initial_at_entry, after.terms.maintenance_at_entry) == (False, False)
    assert before.terms.fee_to_close and after.terms.fee_to_close and after.terms.debts_are_loans
    assert (before.terms.hedge_offsets, after.terms.hedge_offsets) == (False, True)
    alone = [each.terms for each in span("bybit", "2025-09-01", "2025-09-03", mode="isolated")]
    assert [(each.initial_at_entry, each.maintenance_at_entry) for each in alone] == [(True, True), (True, False)]
    assert len(span("bybit", "2025-09-01", "2025-09-03", mode="portfolio")) == 1


def test_b7_bitcoin_counts_in_bands_of_quantity_since_february_2025() -> None:
    before, after = span("bybit", "2025-02-18", "2025-02-20", assets=("BTC", "USDT"))
    assert [tier.ratio for tier in before.collateral[0]] == [0.95]
    assert (before.collateral_by_quantity, after.collateral_by_quantity) == ((False, False), (True, False))
    assert counts(after.collateral[0], 35) == pytest.approx(9.8 + 9.5 + 9.0 + 4.25)  # 32.55 BTC
    assert counts(after.collateral[0], 60) == pytest.approx(44.8)
    assert counts(after.collateral[1], 1_000) == 1_000


def test_bybit_loans_are_margined_by_coin() -> None:
    found = rules("bybit", "2025-10-01", assets=("BTC", "USDT"))
    assert (found.borrow_initial[0], found.borrow_maintenance[0]) == (0.2, 0.04)
    assert math.isnan(found.borrow_hourly[0])
    assert rules("bybit", "2025-10-01", mode="isolated").borrow_initial == (math.inf,)
    other = next(row for row in found.rows if row.key == "multi_asset, USDT (as other): initial")
    assert other.assumed


def test_only_bybits_perpetuals_in_usdc_pay_their_profit_at_every_funding() -> None:
    found = rules("bybit", "2025-10-01", symbols=(BTC, PERP, f"{PERP}-261225", COIN, "BTC/USDC"))
    assert found.settled == ("", "funding", "", "", "")
    assert found.funding_at == ("mark",) * 5


def test_bybit_delivery_costs_what_its_product_says() -> None:
    found = rules("bybit", "2025-10-01", symbols=(f"{BTC}-261225", f"{PERP}-261225", f"{COIN}-261225"))
    assert found.delivery_fee == (0.00055, 0.0, 0.0005)


def test_bybit_stress_narrows_from_15_to_10_percent_in_january_2025() -> None:
    before, after = span("bybit", "2025-01-09", "2025-01-11", mode="portfolio", assets=("USDT", "BTC"))
    for found, reach, step in ((before, 0.15, 0.03), (after, 0.1, 0.02)):
        assert found.portfolio is not None and found.portfolio.model == "bybit"
        assert found.portfolio.grids[0] == ()  # a dollar is no risk unit
        moves = [move for move, _, _ in found.portfolio.grids[1]]
        assert len(moves) == 33
        assert sorted(set(moves)) == pytest.approx([-reach + step * k for k in range(11)])
        assert {weight for _, _, weight in found.portfolio.grids[1]} == {1.0}
        assert found.portfolio.numbers[1]["initial_factor"] == 1.2


def test_b4_the_future_contingency_of_the_sample_follows_from_the_tables_factor() -> None:
    found = rules("bybit", "2025-09-01", mode="portfolio", assets=("BTC",))
    assert found.portfolio is not None
    # The index is the one that the sample's spot leg implies: 0.8037064 against the printed 0.8037046, 2.2e-6 apart.
    assert 0.038 * 70_500.56 * found.portfolio.numbers[0]["future_contingency"] == pytest.approx(0.8037046, rel=2.5e-6)


def test_coins_without_published_portfolio_margin_are_refused_with_those_that_have_it() -> None:
    with pytest.raises(InputError, match=r"bybit, table portfolio: nothing is known of SOL.*known: BTC, ETH"):
        rules("bybit", "2025-10-01", mode="portfolio", symbols=("SOL/USDT:USDT",), assets=("SOL",))


def test_bybits_own_word_for_a_mode_leads_to_the_preset() -> None:
    with pytest.raises(InputError, match=r"no mode 'cross'.*calls 'cross margin of the Unified.*'multi_asset' here"):
        rules("bybit", "2025-10-01", mode="cross")


def test_bybit_before_its_first_day_is_refused_or_labelled() -> None:
    with pytest.raises(InputError, match=r"'multi_asset' was offered from 2023-01-01 on, not on 2022-12-31"):
        rules("bybit", "2022-12-31")
    found = rules("bybit", "2022-12-31", counterfactual=True, outside="nearest")
    assert found.terms.initial_at_entry  # the terms nearest in time, not today's
    assert any(row.counterfactual for row in found.rows if row.table == "mode")


def test_a_contract_without_a_table_takes_a_stricter_ones_as_an_assumption() -> None:
    for venue, rate in (("bybit", 0.01), ("okx", 0.02)):
        found = rules(venue, "2026-10-01", symbols=("AAVE/USDT:USDT",))
        assert found.tiers[0][0].rate == rate
        (said,) = (row for row in found.rows if row.table == "brackets")
        assert said.assumed and "not found" in said.reason


# --- OKX


def test_okx_tiers_are_flat_by_number_of_contracts() -> None:
    found = rules("okx", "2026-09-01")
    tiers = found.tiers[0]
    assert found.terms.tier_flat and found.terms.tier_by_contracts
    hundredths = [0, 1_000, 5_000, 20_000, *range(40_000, 500_000, 20_000)]  # contracts of 0.01 BTC; here of 1 BTC
    assert [tier.floor for tier in tiers] == pytest.approx([contracts * 0.01 for contracts in hundredths])
    assert [tier.rate for tier in tiers[:4]] == [0.004, 0.005, 0.0075, 0.0125]
    # each further 20,000 contracts: half a percent more, of initial margin from 2.5 % on as well
    for k, tier in enumerate(tiers[4:], 1):
        assert tier.rate == pytest.approx(0.0125 + 0.005 * k)
        assert tier.max_leverage == math.floor(100 / (0.025 + 0.005 * k) + 1e-9) / 100
    assert [tier.max_leverage for tier in tiers[:4]] == [100, 66.66, 50, 40]
    assert {tier.deduction for tier in tiers} == {0.0}


def test_o2_and_o5_the_maintenance_of_ether_swaps_follows_from_the_first_tier() -> None:
    old, new = (rules("okx", on, symbols=(ETH,)).tiers[0][0] for on in ("2025-12-31", "2026-01-01"))
    assert round(15 * 0.01 * 1584.33 * old.rate, 6) == 1.901196
    assert round(4.918 * 2419.52 * new.rate, 8) == 47.59679744


def test_okx_debts_and_closing_fees_belong_to_maintenance_by_mode() -> None:
    terms = {mode: rules("okx", "2026-09-01", mode).terms for mode in ("isolated", "cross", "multi_asset", "portfolio")}
    flat = {"tier_flat": True, "tier_by_contracts": True}
    assert terms["cross"] == Terms(**flat, fee_in_maintenance=True)
    assert terms["isolated"] == Terms(**flat, fee_in_maintenance=True, initial_at_entry=True)
    owed = {"debts_are_loans": True, "debt_fee": 0.001, "interest_hourly": True}
    assert terms["multi_asset"] == Terms(**flat, **owed, fee_in_maintenance=True)
    assert terms["portfolio"] == Terms(**flat, **owed)


def test_o1_a_dollar_debt_needs_two_and_ten_percent() -> None:
    found = rules("okx", "2026-09-01", "portfolio", assets=("USDT",))
    assert 78_553.2188898 * found.borrow_maintenance[0] == pytest.approx(1571.064377796)
    assert 78_553.2188898 * found.borrow_initial[0] == pytest.approx(7855.32188898)


def test_okx_shocks_narrow_on_the_sixth_of_january_2025() -> None:
    symbols, assets = (BTC, "LINK/USDT:USDT", "AAVE/USDT:USDT"), ("BTC", "LINK", "AAVE")
    before, after = span("okx", "2025-01-05", "2025-01-07", "portfolio", symbols, assets)
    assert starts([after]) == ["2025-01-06"]
    for found, moves, extremes in (
        (before, ([5, 10, 15], [7, 14, 20], [8, 16, 25]), (0.3, 0.4, 0.5)),
        (after, ([4, 8, 12], [6, 12, 18], [8, 16, 25]), (0.24, 0.36, 0.5)),
    ):
        assert found.portfolio is not None
        for grid, numbers, percents, extreme in zip(
            found.portfolio.grids, found.portfolio.numbers, moves, extremes, strict=True
        ):
            expected = [0, *percents, *(-each for each in percents)]
            assert sorted({round(100 * move) for move, _, _ in grid}) == sorted(expected)
            assert len(grid) == 21  # 7 prices x 3 volatilities
            assert (numbers["mr6_move"], numbers["mr6_share"]) == (extreme, 0.5)


def test_o1_charges_of_the_position_builder_follow_from_the_tables_numbers() -> None:
    found = rules("okx", "2025-02-01", "portfolio", symbols=(BTC, "LTC/USDT:USDT"), assets=("BTC", "LTC"))
    assert found.portfolio is not None
    btc, ltc = found.portfolio.numbers
    index = 0.1 * 97_078.9 * 0.99954  # ten contracts of 0.01 BTC in USD
    assert index * max(move for move, _, _ in found.portfolio.grids[0]) == pytest.approx(1164.410924472)
    assert index * btc["mr6_move"] * btc["mr6_share"] == pytest.approx(1164.410924472)
    assert 9704.9036898 * btc["mr4_perpetual_rate"] == pytest.approx(19.4098073796)
    assert 9704.9036898 * btc["mr7_rate"] == pytest.approx(43.6720666041)
    assert 1183.8207318516 * btc["initial_factor"] == pytest.approx(1538.96695140708)
    assert (ltc["mr4_perpetual_rate"], ltc["mr7_rate"]) == (0.008, 0.007)


def test_o7_the_minimum_charge_is_multiplied_in_bands_that_widened_on_the_15th_of_january_2025() -> None:
    before, after = span("okx", "2025-01-14", "2025-01-16", "portfolio", assets=("BTC",))
    assert starts([after]) == ["2025-01-15"]
    assert before.portfolio is not None and after.portfolio is not None
    assert charged(before.portfolio.bands[0]["mr7"], 30_000) == 50_000  # 10,000 + 20,000 x 2
    assert charged(after.portfolio.bands[0]["mr7"], 30_000) == 30_000
    assert charged(after.portfolio.bands[0]["mr7"], 600_000) == 250_000 + 250_000 * 2 + 100_000 * 4
    assert before.portfolio.bands[0].get("mr9") is None
    assert after.portfolio.bands[0]["mr9"] == ((1_000_000, 0.005), (math.inf, 0.01))


def test_okx_second_group_is_another_after_the_help_page_of_december_2025() -> None:
    sets = span("okx", "2025-12-03", "2025-12-05", "portfolio", ("SOL/USDT:USDT", "LINK/USDT:USDT"), ("SOL", "LINK"))
    reach = [[max(move for move, _, _ in grid) for grid in each.portfolio.grids] for each in sets if each.portfolio]
    assert reach == [[0.25, 0.18], [0.18, 0.25]]


def test_okx_discount_rates_are_marginal_by_quantity_or_by_value() -> None:
    before, after = span("okx", "2024-07-17", "2024-07-19", assets=("BTC", "BETH"))
    assert before.collateral_by_quantity == (True, False)
    assert counts(before.collateral[0], 25) == pytest.approx(20 * 0.98 + 5 * 0.9775)
    assert counts(before.collateral[1], 3e6) == pytest.approx(0.8e6 + 0.75e6 + 0.5e6)
    assert counts(after.collateral[1], 3e6) == pytest.approx(2 * 0.95e6 + 0.85e6)


def test_okx_expiry_futures_settle_daily_unless_isolated() -> None:
    for mode, when in (("cross", "daily"), ("multi_asset", "daily"), ("portfolio", "daily"), ("isolated", "")):
        assert rules("okx", "2026-01-01", mode, symbols=(BTC, f"{BTC}-261225")).settled == ("", when)


def test_okx_averages_half_an_hour_for_delivery_since_the_18th_of_march_2026() -> None:
    for on, seconds in (("2026-03-17", "3,600"), ("2026-03-18", "1,800")):
        (line,) = [line for line in describe("okx", moment(on)) if line["table"] == "delivery"]
        assert line["value"] == f"fee taker; average_seconds {seconds}"


# --- Deribit


def test_deribit_margins_doubled_on_the_11th_of_january_2022() -> None:
    symbols = (COIN, "ETH/USD:ETH")
    before, after = span("deribit", "2022-01-10", "2022-01-12", "cross", symbols, ("BTC", "ETH"))
    assert starts([after]) == ["2022-01-11"]
    assert before.slopes == (Slope(0.01, 0.00525, 0.00005), Slope(0.02, 0.01, 0.000002))
    assert after.slopes == (Slope(0.02, 0.01, 0.00005), Slope(0.02, 0.01, 0.000004))
    assert (before.liquidation_fee, after.liquidation_fee) == ((0.005, 0.009), (0.0075, 0.009))
    assert [each.tiers[0][0].max_leverage for each in (before, after)] == [100, 50]


def required(slope: Slope | None, coins: float, price: float) -> tuple[float, float]:
    """Initial and maintenance: position x (base + slope x position), at the index."""
    assert slope is not None
    initial, keep = (coins * (base + slope.per_coin * coins) * price for base in (slope.initial, slope.maintenance))
    return initial, keep


def test_d1_standard_margin_of_linear_perpetuals() -> None:
    bitcoin, sol = rules("deribit", "2025-06-01", "cross", symbols=(PERP, "SOL/USDC:USDC")).slopes
    assert required(bitcoin, 25, 100_000) == pytest.approx((53_125, 28_125))
    assert required(bitcoin, 350, 100_000)[0] == pytest.approx(1_312_500)
    assert required(sol, 25, 200) == pytest.approx((200.625, 100.625))
    assert required(sol, 6_000, 200)[0] == pytest.approx(84_000)


def test_d1_standard_margin_of_the_page_of_2018_is_in_bitcoin() -> None:
    (slope,) = rules("deribit", "2018-06-01", "cross", symbols=(COIN,), assets=("BTC",)).slopes
    assert required(slope, 25, 1)[0] == pytest.approx(0.53125)
    assert required(slope, 350, 1)[0] == pytest.approx(13.125)


@pytest.mark.parametrize(
    ("on", "reach", "up", "down"),
    [
        ("2018-12-31", 0.125, 0.4, 0.4),
        ("2019-01-01", 0.1, 0.38, 0.38),
        ("2024-06-16", 0.1, 0.38, 0.38),
        ("2024-06-17", 0.16, 0.5, 0.25),
        ("2026-09-22", 0.16, 0.5, 0.25),
        ("2026-09-23", 0.14, 0.4, 0.25),
    ],
)
def test_deribits_risk_matrix_has_the_range_of_its_time(on: str, reach: float, up: float, down: float) -> None:
    found = rules("deribit", on, "portfolio", symbols=(COIN,), assets=("BTC",)).portfolio
    assert found is not None and found.model == "deribit"
    numbers = found.numbers[0]
    assert (numbers["price_range"], numbers["vol_up"], numbers["vol_down"]) == (reach, up, down)
    inner = [cell for cell in found.grids[0] if abs(cell[0]) <= reach + 1e-12]
    assert len(inner) == 27
    assert sorted({move for move, _, _ in inner}) == pytest.approx([k * reach / 4 for k in range(-4, 5)])
    assert {shock for _, shock, _ in inner} == {up, 0.0, -down}


def test_deribits_extended_table_has_eight_moves_with_volatility_up_since_2024() -> None:
    found = rules("deribit", "2024-07-01", "portfolio", symbols=(COIN,), assets=("BTC",)).portfolio
    assert found is not None
    assert [cell[:2] for cell in found.grids[0][27:]] == [
        (-0.66, 0.5), (-0.33, 0.5), (0.5, 0.5), (1.0, 0.5), (2.0, 0.5), (3.0, 0.5), (4.0, 0.5), (5.0, 0.5),
    ]  # fmt: skip
    old = rules("deribit", "2020-07-01", "portfolio", symbols=(COIN,), assets=("BTC",)).portfolio
    assert old is not None and len(old.grids[0]) == 27


def test_d7_a_lone_perpetual_needs_the_range_and_the_smallest_move() -> None:
    for on, long, short in (("2024-07-01", 0.2005, 0.1479), ("2026-10-01", 0.1678, 0.1278)):
        found = rules("deribit", on, "portfolio", symbols=(COIN,), assets=("BTC",)).portfolio
        assert found is not None
        reach, least = found.numbers[0]["price_range"], found.numbers[0]["min_annualised_move"]
        assert round(1 / (1 - reach) - 1 + least, 4) == long
        assert round(1 - 1 / (1 + reach) + least, 4) == short


def test_deribit_haircuts_raise_initial_margin_and_change_on_their_days() -> None:
    assets = ("BTC", "USDC", "STETH", "DOGE")
    sets = span("deribit", "2025-07-14", "2026-01-14", "multi_asset", (COIN,), assets)
    assert starts(sets) == ["2025-07-14", "2025-07-15", "2026-01-13"]
    assert [[tiers[0].ratio for tiers in each.collateral] for each in sets] == [
        [1.0, 0.0, 0.85, 0.0], [1.0, 1.0, 0.85, 0.0], [1.0, 1.0, 0.925, 0.0],
    ]  # fmt: skip
    assert all(each.terms.haircut_in_initial for each in sets)
    assert not rules("deribit", "2025-07-14", "cross", symbols=(COIN,)).terms.haircut_in_initial


def test_deribits_account_models_are_three_presets() -> None:
    before, after = (load("deribit").modes(moment(on)) for on in ("2024-06-16", "2024-06-17"))
    assert {name: mode.called[:4] for name, mode in before.items()} == {"cross": "S:SM", "portfolio": "S:PM"}
    assert {name: mode.called[:4] for name, mode in after.items()} == {
        "cross": "S:SM", "multi_asset": "X:SM", "portfolio": "X:PM",
    }  # fmt: skip
    with pytest.raises(InputError, match=r"'multi_asset' was offered from 2024-06-17 on, not on 2024-06-16"):
        rules("deribit", "2024-06-16", "multi_asset", symbols=(COIN,))


def test_deribit_futures_and_perpetuals_settle_every_day() -> None:
    found = rules("deribit", "2025-07-01", "cross", symbols=(COIN, f"{COIN}-261225", PERP))
    assert found.settled == ("daily", "daily", "daily")


def test_a_contract_deribit_has_no_margin_of_is_refused() -> None:
    with pytest.raises(
        InputError, match="deribit: neither brackets nor a slope of ETH/USDC:USDC are known; venue 'generic' has"
    ):
        rules("deribit", "2025-07-01", "cross", symbols=("ETH/USDC:USDC",))
    with pytest.raises(InputError, match="slope of BTC/USDC:USDC are known from 2025-01-01 on, not on 2024-12-31"):
        rules("deribit", "2024-12-31", "cross", symbols=(PERP,))


# --- Hyperliquid


def test_hd_two_hundred_millions_of_bitcoin_need_3_125_000() -> None:
    tiers = rules("hyperliquid", "2026-05-01", "cross", symbols=(PERP,)).tiers[0]
    assert maintenance(tiers, 200 * MILLION) == 150 * MILLION * 0.0125 + 50 * MILLION * 0.025 == 3_125_000
    assert 200 * MILLION * 0.025 - tiers[1].deduction == 3_125_000


def test_hyperliquids_maintenance_rate_is_half_of_the_highest_leverages() -> None:
    symbols = [f"{coin}/USDC:USDC" for coin in ("BTC", "ETH", "SOL", "HYPE", "KPEPE", "ARB")]
    found = rules("hyperliquid", "2026-05-01", "cross", symbols=symbols)
    expected = [(40, 150, 20), (25, 100, 15), (20, 70, 10), (10, 20, 5), (10, 20, 5), (10, 3, 5)]
    for (first, floor, second), (low, high) in zip(expected, found.tiers, strict=True):
        assert (low.max_leverage, high.floor, high.max_leverage) == (first, floor * MILLION, second)
        assert (low.rate, high.rate) == pytest.approx((0.5 / first, 0.5 / second))
        assert high.deduction == pytest.approx(floor * MILLION * (0.5 / second - 0.5 / first))


def test_a_coin_that_left_hyperliquids_list_keeps_its_first_tier_as_an_assumption() -> None:
    before, after = span("hyperliquid", "2026-04-23", "2026-04-25", "cross", ("OP/USDC:USDC",))
    assert [len(each.tiers[0]) for each in (before, after)] == [2, 1]
    said = [next(row for row in each.rows if row.table == "brackets") for each in (before, after)]
    assert [row.assumed for row in said] == [False, True]


def test_hyperliquid_pays_funding_on_the_oracle_price() -> None:
    assert rules("hyperliquid", "2026-05-01", "cross", symbols=(PERP, "BTC/USDC")).funding_at == ("index", "mark")


def test_hyperliquid_asks_initial_margin_at_opening_only_and_liquidates_in_slices() -> None:
    found = rules("hyperliquid", "2026-05-01", "cross", symbols=(PERP,))
    assert found.terms == Terms(keeps_notional=0.1)
    assert (found.slice, found.slice_above_usd, found.backstop_at) == (0.2, 100_000, 2 / 3)
    assert load("hyperliquid").modes(moment("2026-05-01"))["cross"].ladder == ("cancel_orders", "slice", "takeover")
    assert found.liquidation_fee == (0.0,)


def test_hyperliquids_portfolio_margin_begins_two_days_before_christmas_2025() -> None:
    with pytest.raises(InputError, match=r"'portfolio' was offered from 2025-12-23 on, not on 2025-12-22"):
        rules("hyperliquid", "2025-12-22", "portfolio", symbols=(PERP,))
    found = rules("hyperliquid", "2025-12-23", "portfolio", symbols=(PERP,), assets=("USDC", "HYPE"))
    assert found.terms == Terms(debt_in_maintenance=True, fixed_usd=20, keeps_notional=0.1)
    assert [(level.ratio, level.action) for level in found.levels] == [(pytest.approx(1 / 0.95), "liquidate")]
    assert found.portfolio is None and found.tiers[0][0].rate == 0.0125  # requirements are those of its tiers
    assert (found.borrow_maintenance[0], found.borrow_initial[1]) == (0.0, math.inf)
    assert found.borrow_hourly[0] == pytest.approx(0.05 / 8760)


def test_hyperliquid_counts_coins_up_to_a_cap_that_grows() -> None:
    sets = span("hyperliquid", "2026-01-01", "2026-09-01", "portfolio", (), ("HYPE", "BTC", "USDC"))
    days = ["2026-01-01", "2026-03-14", "2026-05-07", "2026-06-21", "2026-06-23", "2026-08-19"]
    assert starts(sets) == days
    # 10 HYPE and 1 million: 0.5 + 0.5 x loan-to-value of each, up to the cap; nothing above
    assert [counts(each.collateral[0], 10) for each in sets] == pytest.approx([7.5] * 5 + [8.25])
    caps = [150, 37_500, 375_000, 375_000, 750_000, 825_000]
    assert [counts(each.collateral[0], 2e6) for each in sets] == pytest.approx(caps)
    assert [counts(each.collateral[1], 300) for each in sets] == pytest.approx([0, 0, 0, 150, 150, 150])
    assert sets[-1].collateral_by_quantity == (True, True, False)


# --- Paradex, and the clearing houses' models


def test_paradex_has_24_scenarios_and_lighter_tails_since_august_2026() -> None:
    before, after = span("paradex", "2026-08-19", "2026-08-21", "portfolio", (PERP,), ("BTC",))
    assert starts([after]) == ["2026-08-20"]
    assert before.portfolio is not None and after.portfolio is not None
    grid = after.portfolio.grids[0]
    assert len(grid) == 24 and sum(1 for _, _, weight in grid if weight == 1) == 16
    assert [weight for _, _, weight in grid[16:]] == [0.18, 0.36, 0.24, 0.12, 0.06, 0.04, 0.03, 0.024]
    for move, _, weight in before.portfolio.grids[0][16:]:
        assert weight == pytest.approx(0.16 / abs(move), abs=0.005)  # 24, 48, 32, 16, 8, 5.33, 4, 3.2 %
    numbers = after.portfolio.numbers[0]
    assert (numbers["unhedged_factor"], numbers["hedged_factor"], numbers["maintenance_share"]) == (0.02, 0.01, 0.5)
    assert after.funding_at == ("index",)


def test_paradex_tables_of_other_coins_begin_in_august_2026() -> None:
    asked = {"symbols": ("HYPE/USDC:USDC",), "assets": ("HYPE",)}
    found = rules("paradex", "2026-08-20", "portfolio", **asked).portfolio
    assert found is not None and found.grids[0][0] == (0.28, 0.64, 1.0)
    with pytest.raises(InputError, match="portfolio margin of HYPE are known from 2026-08-20 on"):
        rules("paradex", "2026-08-19", "portfolio", **asked)


def test_span_moves_in_scan_ranges_and_counts_a_third_of_the_extremes() -> None:
    found = rules("generic", "2024-01-01", "portfolio", assets=("BTC",), model="span").portfolio
    assert found is not None and found.model == "span"
    grid, reach = found.grids[0], found.numbers[0]["scan_range"]
    assert len(grid) == 16 and reach == 0.16
    moves = sorted({round(move, 6) for move, _, weight in grid if weight == 1})
    assert moves == [-1, -0.666667, -0.333333, 0, 0.333333, 0.666667, 1]
    assert grid[14:] == ((2.0, 0.0, 0.33), (-2.0, 0.0, 0.33))
    assert {shock for _, shock, weight in grid if weight == 1} == {1.0, -1.0}


def test_tims_moves_in_ten_equal_steps_to_each_side() -> None:
    found = rules("generic", "2024-01-01", "portfolio", assets=("BTC",), model="tims").portfolio
    assert found is not None
    assert [move for move, _, _ in found.grids[0]] == pytest.approx([0.015 * k for k in range(-10, 11)])
    assert found.numbers[0] == {"range_down": 0.15, "range_up": 0.15, "minimum_usd": 0.375, "initial_factor": 1.3}


def test_the_generic_venue_keeps_its_own_grid_unless_a_model_is_asked_for() -> None:
    assert rules("generic", "2024-01-01", "portfolio").portfolio is None
    assert rules("generic", "2024-01-01", "multi_asset", model="span").portfolio is None  # no scenarios in that mode
    with pytest.raises(InputError, match="generic: no scenario model 'spam'; did you mean 'span'"):
        rules("generic", "2024-01-01", "portfolio", model="spam")
    with pytest.raises(InputError, match="okx: no scenario model 'span'; valid: okx"):
        rules("okx", "2024-01-01", "portfolio", model="span")


# --- all of them

OFFERED = {
    "bybit": ("isolated", "multi_asset", "portfolio"),
    "okx": ("isolated", "cross", "multi_asset", "portfolio"),
    "deribit": ("cross", "multi_asset", "portfolio"),
    "hyperliquid": ("isolated", "cross", "portfolio"),
    "paradex": ("portfolio",),
}
TRADED = {
    "bybit": (BTC, PERP, COIN, f"{BTC}-270326", "BTC/USDT"),
    "okx": (BTC, COIN, f"{BTC}-270326", "BTC/USDT"),
    "deribit": (COIN, f"{COIN}-270326", PERP, "BTC/USDC"),
    "hyperliquid": (PERP, "HYPE/USDC"),
    "paradex": (PERP,),
}


@pytest.mark.parametrize(("venue", "mode"), [(venue, mode) for venue, modes in OFFERED.items() for mode in modes])
def test_every_number_of_a_venue_is_dated_sourced_marked_and_says_why_it_is_assumed(venue: str, mode: str) -> None:
    assert list(load(venue).modes(moment("2026-10-01"))) == list(OFFERED[venue])
    found = rules(venue, "2026-10-01", mode, symbols=TRADED[venue], assets=("USDT", "USDC", "BTC", "HYPE"))
    for row in found.rows:
        assert row.source and row.rule and row.mark in "TNDSG", row
        assert bool(row.reason) == row.assumed, row
        assert 0 < row.valid_from_us <= moment("2026-10-01"), row
        hash(row)
    assert {"fee", "impact", "mode"} <= {row.table for row in found.rows}
    for name in ("tiers", "slopes", "settled", "funding_at", "maker"):
        assert len(getattr(found, name)) == len(TRADED[venue]), name
    for name in ("collateral", "collateral_by_quantity", "borrow_initial", "ask_buffer"):
        assert len(getattr(found, name)) == 4, name
    assert (found.portfolio is not None) == (load(venue).modes(moment("2026-10-01"))[mode].requirement == "scenarios")


@pytest.mark.parametrize("venue", OFFERED)
def test_the_new_tables_can_be_read_with_their_sources(venue: str) -> None:
    lines = describe(venue, moment("2026-10-01"))
    assert all(line["source"] and line["mark"] and line["from"] <= "2026-10-01" for line in lines)
    tables = {line["table"] for line in lines}
    assert {"mode", "fee", "funding"} <= tables
    if "scenarios" in [mode.requirement for mode in load(venue).modes(moment("2026-10-01")).values()]:
        assert "portfolio" in tables


def test_ladders_are_shown_step_by_step() -> None:
    shown = [line["value"] for line in describe("okx", moment("2025-02-01"))]
    assert "tiers BTC above 0: 0.98 / above 20: 0.9775; by quantity" in shown
    assert any("bands mr7 up to 250,000: 1 / up to 500,000: 2 / up to 1,000,000: 4" in value for value in shown)
    assert not any("up to 10,000: 1 / up to 70,000: 2" in value for value in shown)  # replaced in January
    inverse = next(line for line in describe("deribit", moment("2022-02-01")) if line["table"] == "slope")
    assert inverse["value"].startswith("BTC 0.02, 0.01, 5e-05") and inverse["from"] == "2022-01-11"


def test_a_mode_that_has_ended_is_refused_with_its_last_day() -> None:
    text = (MODE + FEE).replace("from = 2020-01-01\nscope", "from = 2020-01-01\nto = 2021-01-01\nscope")
    with pytest.raises(
        InputError, match=r"'cross' was offered until 2021-01-01, not on 2022-01-01.*choose other dates"
    ):
        read_venue("old", text).offered("cross", moment("2022-01-01"))


# --- what a table may not say

SAID = 'source = "page"\nrule = "Margin"\nmark = "T"\n'
MODE = f"""[[mode]]
preset = "cross"
from = 2020-01-01
scope = "cross"
collateral = "settlement"
requirement = "tiers"
fixed_usd = 20.0
slice = 0.2
levels = [{{ ratio = 1.0, action = "liquidate" }}]
ladder = ["cancel_orders", "slice", "takeover"]
shown_ratio = "falls"
{SAID}"""
FEE = f'[[fee]]\nproduct = "linear"\nfrom = 2020-01-01\nmaker = 0.001\ntaker = 0.002\n{SAID}'
SLOPE = f'[[slope]]\nproduct = "inverse"\nfrom = 2020-01-01\nassets = {{ BTC = [0.02, 0.01, 0.00005] }}\n{SAID}'
RATIOS = f"""[[collateral]]
mode = "multi_asset"
from = 2020-01-01
by = "quantity"
tiers = {{ BTC = [[0, 0.98], [20, 0.95]] }}
{SAID}"""
LOAN = f'[[borrow]]\nmode = "multi_asset"\nfrom = 2020-01-01\nassets = {{ BTC = [0.2, 0.04] }}\n{SAID}'
MATRIX = f"""[[portfolio]]
model = "okx"
from = 2020-01-01
assets = ["BTC"]
moves = [-0.1, 0.0, 0.1]
scenarios = [[0.5, 0.4, 0.24]]
numbers = {{ factor = 1.3 }}
bands = {{ mr7 = [[10, 1], [inf, 2]] }}
{SAID}"""
SETTLED = f'[[settlement]]\nproduct = "linear"\ncontract = "dated"\nfrom = 2020-01-01\nwhen = "daily"\n{SAID}'


@pytest.mark.parametrize(
    ("table", "right", "wrong", "complaint"),
    [
        (MODE, "slice = 0.2\n", "", "the rung 'slice' needs its size, such as slice = 0.2"),
        (MODE, '"slice", ', "", "slice = 0.2 is the size of the rungs 'slice' and 'step', and none is there"),
        (MODE, "slice = 0.2", "slice = 1.2", "slice = 1.2 is not between 0 and 1"),
        (MODE, "fixed_usd = 20.0", "fixed_usd = true", "fixed_usd = True is not a number"),
        (MODE, "fixed_usd = 20.0", "tier_flat = 1", "tier_flat = 1 is not true or false"),
        (MODE, "fixed_usd = 20.0", "tier_flt = true", "unknown key 'tier_flt'; did you mean 'tier_flat'"),
        (MODE, '"takeover"', '"take_over"', "ladder: no 'take_over'; did you mean 'takeover'"),
        (SLOPE, "0.02, 0.01", "0.01, 0.02", "slope row 1: BTC: maintenance 0.02 and initial 0.01 do not rise"),
        (SLOPE, "0.00005", "-0.00005", "BTC: -5e-05 a coin makes large positions cheaper"),
        (RATIOS, "[20, 0.95]", "[20, 0.99]", "collateral row 1: BTC: ratio 0.99 above 20 rises from 0.98"),
        (RATIOS, "[20, 0.95]", "[0, 0.95]", "BTC: floor 0 does not rise above 0"),
        (RATIOS, "[20, 0.95]", "[20, -0.1]", "BTC: ratio -0.1 above 20 is not between 0 and 1"),
        (RATIOS, "[0, 0.98]", "[1, 0.98]", "BTC: the first ratio must begin at 0"),
        (RATIOS, 'by = "quantity"\n', "", "`tiers` and `by` .* go together"),
        (RATIOS, '"quantity"', '"quantities"', "by: no 'quantities'; did you mean 'quantity'"),
        (RATIOS, "tiers =", "assets = { BTC = 0.9 }\ntiers =", "BTC stands in `assets` and in `tiers`"),
        (LOAN, "0.2, 0.04", "0.04, 0.2", "borrow row 1: BTC: maintenance 0.2, initial 0.04"),
        (
            LOAN,
            "assets = { BTC = [0.2, 0.04] }",
            "initial = 0.2",
            "`initial` and `maintenance`, or both by asset",
        ),
        (MATRIX, 'assets = ["BTC"]\n', "", 'write assets = ."BTC"., or other = true'),
        (MATRIX, "moves = [-0.1, 0.0, 0.1]\nscenarios = [[0.5, 0.4, 0.24]]\n", "", "no scenarios"),
        (MATRIX, "-0.1, 0.0", "-1.0, 0.0", "scenario .-1, 0, 1.: no such move"),
        (MATRIX, "0.24]", "1.24]", "scenario .0.5, 0.4, 1.24.: no such move, shock or weight"),
        (MATRIX, "factor = 1.3", "factor = true", "numbers.factor = True is not a number"),
        (MATRIX, "[inf, 2]", "[20, 2]", "bands.mr7: .10, 20. do not rise to inf"),
        (MATRIX, "[10, 1], [inf, 2]", "[10, -1], [inf, 2]", "bands.mr7: a rate below 0"),
        (MATRIX, '"okx"', '"oks"', "model: no 'oks'; did you mean 'okx'"),
        (SETTLED, '"daily"', '"dayly"', "when: no 'dayly'; did you mean 'daily'"),
        (SETTLED, '"dated"', '"dates"', "contract: no 'dates'; did you mean 'dated'"),
        (MODE, "[[mode]]", 'bracket_rates = "flt"\n[[mode]]', "bracket_rates: no 'flt'; did you mean 'flat'"),
        (
            MODE,
            "[[mode]]",
            'bracket_rates = "flat"\nbrackets = "x.csv"\n[[mode]]',
            "row 1: tier_flat does not fit",
        ),
    ],
)
def test_a_table_that_cannot_be_is_refused_with_its_row(table: str, right: str, wrong: str, complaint: str) -> None:
    read_venue("broken", table)
    assert right in table
    with pytest.raises(InputError, match=f"broken.toml.*{complaint}"):
        read_venue("broken", table.replace(right, wrong, 1))


def test_flat_brackets_deduct_nothing_and_may_jump() -> None:
    check_tiers("somewhere", [Tier(0, 0.004, 0, 100), Tier(1_000, 0.005, 0, 66.66)], flat=True)
    with pytest.raises(InputError, match="somewhere: deduction 1 at floor 1000, but rates are flat"):
        check_tiers("somewhere", [Tier(0, 0.004, 0, 100), Tier(1_000, 0.005, 1, 66.66)], flat=True)


def test_brackets_taken_back_to_an_earlier_day_are_an_assumption_until_their_own() -> None:
    text = "symbol,valid_from,floor,maintenance_rate,max_leverage,deduction,source\n"
    text += "X/USDT:USDT,2024-01-01,0,0.01,50,0,H\nX/USDT:USDT,2025-01-01,0,0.02,25,0,H\n"
    back = {"taken_back_to": datetime(2020, 1, 1).date(), "taken_back_because": "no earlier page"}
    said = {"H": {"source": "page", "rule": "Positions", "mark": "T", **back}}
    entries = read_brackets("b.csv", text, said, {}, Kind()).by_key["X/USDT:USDT"]
    assert [(entry.valid_from_us, entry.said.assumed) for entry in entries] == [
        (moment("2020-01-01"), True), (moment("2024-01-01"), False), (moment("2025-01-01"), False),
    ]  # fmt: skip
    assert entries[0].values == entries[1].values


def test_scenarios_are_every_move_with_every_shock_and_then_those_written_out() -> None:
    row = {"moves": [-0.1, 0.1], "volatilities": [0.5, -0.25], "scenarios": [[2, 0.5, 0.3]], "numbers": {}}
    assert scenarios_of(row) == (
        (-0.1, 0.5, 1.0), (-0.1, -0.25, 1.0), (0.1, 0.5, 1.0), (0.1, -0.25, 1.0), (2.0, 0.5, 0.3),
    )  # fmt: skip


# --- against the published figures, where a copy of them is at hand


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_bybit_brackets_are_the_published_ones(reference_data: Path) -> None:
    published = json.loads((reference_data / "bybit" / "risk_limits_cache.json").read_text(encoding="utf-8"))
    for name, symbol in (("BTCUSDT", BTC), ("LTCUSDT", "LTC/USDT:USDT")):
        ours = rules("bybit", "2026-06-01", symbols=(symbol,)).tiers[0]
        theirs = published[name]["tiers"]
        assert [tier.rate for tier in ours] == [float(each["mmr_rate"]) for each in theirs]
        assert [tier.deduction for tier in ours] == [float(each["deduction"]) for each in theirs]
        assert [tier.floor for tier in ours[1:]] == [float(each["max_value"]) for each in theirs[:-1]]
    lines = read(reference_data / "bybit" / "risk_limit_BTCPERP_usdc.csv")
    ours = rules("bybit", "2026-06-01", symbols=(PERP,)).tiers[0]
    columns = ("mmr", "mm_deduction_usdc", "max_leverage")
    assert [(t.rate, t.deduction, t.max_leverage) for t in ours] == [tuple(float(r[c]) for c in columns) for r in lines]
    assert [tier.floor for tier in ours[1:]] == [float(line["risk_limit_usdc"]) for line in lines[:-1]]


def test_okx_brackets_are_the_published_ones(reference_data: Path) -> None:
    lines = read(reference_data / "okx" / "position_tiers_BTC-USDT-SWAP.csv")
    ours = rules("okx", "2026-09-01").tiers[0]
    columns = ("mmr", "max_leverage")
    assert [(tier.rate, tier.max_leverage) for tier in ours] == [tuple(float(r[c]) for c in columns) for r in lines]
    assert [tier.floor for tier in ours[1:]] == pytest.approx([float(r["max_contracts"]) * 0.01 for r in lines[:-1]])


def test_hyperliquid_brackets_are_the_published_ones(reference_data: Path) -> None:
    published: dict[tuple[str, str], list[Tier]] = {}
    for line in read(reference_data / "hyperliquid" / "margin_tiers.csv"):
        on = "2026-08-22" if line["as_of"] == "2026-08-22" else "2026-02-01"
        columns = ("lower_bound_usdc", "maintenance_rate", "maintenance_deduction_usdc_derived", "max_leverage")
        numbers = (float(line[column]) for column in columns)
        published.setdefault((line["asset"].upper(), on), []).append(Tier(*numbers))
    assert len(published) == 71
    for (coin, on), tiers in published.items():
        assert list(rules("hyperliquid", on, "cross", symbols=(f"{coin}/USDC:USDC",)).tiers[0]) == tiers, (coin, on)


def test_deribit_parameters_are_the_published_ones(reference_data: Path) -> None:
    names = {
        "price_range": "price_range", "vol_up": "vol_up", "vol_down": "vol_down", "min_vol_up": "min_volatility",
        "short_vega_power": "short_vega_power", "long_vega_power": "long_vega_power", "mm_factor": "mm_factor",
        "extended_dampener_usd": "extended_dampener_usd", "min_annualised_move": "min_annualised_move",
        "annualised_move_risk": "annualised_move_risk", "delta_shock_threshold_usd": "delta_shock_threshold",
        "max_delta_shock": "max_delta_shock", "pnl_offset": "pnl_offset",
    }  # fmt: skip
    for line in read(reference_data / "deribit" / "pme_params_history.csv"):
        on = {"2018": "2018-06-01", "c.20": "2020-06-01"}.get(line["as_of"][:4], line["as_of"])
        coin = line["pair"].split("_")[0].upper()
        ours = rules("deribit", on, "portfolio", symbols=(f"{coin}/USD:{coin}",), assets=(coin,)).portfolio
        assert ours is not None
        for theirs, name in names.items():
            assert not line[theirs] or ours.numbers[0][name] == float(line[theirs]), (on, name)


def test_paradex_scenarios_are_the_published_ones(reference_data: Path) -> None:
    published: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for line in read(reference_data / "paradex" / "portfolio_margin_scenarios.csv"):
        numbers = tuple(float(line[column]) for column in ("spot_shock", "vol_shock", "weight"))
        published.setdefault((line["as_of"], line["asset"]), []).append(numbers)
    for (as_of, coin), cells in published.items():
        on = as_of if as_of.startswith("2026") else "2026-08-19"
        ours = rules("paradex", on, "portfolio", symbols=(f"{coin}/USDC:USDC",), assets=(coin,)).portfolio
        assert ours is not None
        assert list(ours.grids[0])[-len(cells) :] == cells, (as_of, coin)
    for line in read(reference_data / "paradex" / "min_delta_and_floors.csv"):
        coin = line["asset"]
        ours = rules("paradex", "2026-09-01", "portfolio", symbols=(f"{coin}/USDC:USDC",), assets=(coin,)).portfolio
        assert ours is not None
        numbers = ours.numbers[0]
        assert [numbers["unhedged_factor"], numbers["hedged_factor"], numbers["min_shock_up"]] == [
            float(line[column]) for column in ("unhedged_factor", "hedged_factor", "min_vol_shock_up")
        ]


def test_a_table_may_name_the_scenario_models_there_are_and_no_other() -> None:
    assert MODELS == PAGE_NAMES[1:] == tuple(PAGES)
