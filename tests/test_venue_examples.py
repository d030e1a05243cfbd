"""The venue's own worked examples, as far as its tables alone answer them: brackets, fees, buffers, haircuts, loans.

Labels G3, G7 and so on are those of the rule book's list of examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from backtest.config.types import moment_us as moment
from backtest.market.schema import Instrument, kind_of, parse_symbol
from backtest.venues import load
from backtest.venues.schema import RuleSet, Tier

BTC, ETH, COIN = "BTC/USDT:USDT", "ETH/USDT:USDT", "BTC/USD:BTC"


def contract(symbol: str) -> Instrument:
    base, quote, settle, expiry_us = parse_symbol(symbol)
    size = 100.0 if kind_of(symbol) == "inverse" else 1.0
    return Instrument(
        symbol, kind_of(symbol), base, quote, settle or quote, size, 0.1, 0.001, 5.0, None, expiry_us, None, "test"
    )


def rules(on: str, mode: str = "cross", symbols: Sequence[str] = (BTC,), assets: Sequence[str] = ("USDT",)) -> RuleSet:
    at = moment(on)
    return load("binance").in_force([contract(s) for s in symbols], assets, mode, at, at + 1)[0]


def tier_of(tiers: Sequence[Tier], notional: float) -> Tier:
    """The bracket of a notional: floor < notional <= cap."""
    return [tier for tier in tiers if tier.floor < notional][-1]


def maintenance(tiers: Sequence[Tier], notional: float) -> float:
    tier = tier_of(tiers, notional)
    return notional * tier.rate - tier.deduction


def test_g3_a_large_eth_position_needs_its_rate_less_the_deduction() -> None:
    assert round(maintenance([Tier(2_000_000, 0.1, 135_365, 5)], 4_918_775.081), 3) == 356_512.508


def test_g7_deductions_follow_by_recursion() -> None:
    printed = {50_000: 50, 250_000: 1_300, 1_000_000: 16_300, 5_000_000: 141_300}
    assert {tier.floor: tier.deduction for tier in rules("2020-06-01").tiers[0][1:5]} == printed


def test_g7_deductions_beyond_the_printed_ones_continue_the_recursion() -> None:
    # 141,300 + 20m x 5 % = 1,141,300; + 50m x 2.5 % = 2,391,300; + 100m x 2.5 % = 4,891,300; + 200m x 10 % = 24,891,300
    last = [tier.deduction for tier in rules("2020-06-01").tiers[0][-4:]]
    assert last == [1_141_300, 2_391_300, 4_891_300, 24_891_300]


def test_g8_a_position_of_264_000_in_2020_is_margined_at_one_percent() -> None:
    tiers = rules("2020-06-01").tiers[0]
    assert tier_of(tiers, 264_000).rate == 0.01
    assert tier_of(tiers, 500_000).deduction == 1_300


def test_a_bracket_holds_its_own_cap() -> None:
    assert tier_of(rules("2020-06-01").tiers[0], 250_000).rate == 0.005


@pytest.mark.parametrize("symbol", sorted(load("binance").brackets.by_key))
def test_g9_every_stored_deduction_is_the_recursion_over_its_brackets(symbol: str) -> None:
    for entry in load("binance").brackets.by_key[symbol]:
        tiers: tuple[Tier, ...] = entry.values["tiers"]
        deduction = 0.0
        for low, high in pairwise(tiers):
            deduction += high.floor * (high.rate - low.rate)
            assert high.deduction == pytest.approx(deduction, rel=1e-9)


def test_the_printed_btc_and_eth_brackets_of_2026_are_in_force_then() -> None:
    printed = [
        (0.004, 150, 0, 0), (0.005, 100, 300, 300), (0.0065, 75, 1_500, 1_500), (0.01, 50, 12_000, 12_000),
        (0.02, 25, 132_000, 132_000), (0.025, 20, 482_000, 382_000), (0.05, 10, 2_982_000, 2_007_000),
        (0.1, 5, 14_482_000, 9_507_000), (0.125, 4, 26_482_000, 17_507_000), (0.15, 3, 41_482_000, 27_507_000),
        (0.25, 2, 121_482_000, 80_507_000), (0.5, 1, 421_482_000, 280_507_000),
    ]  # fmt: skip
    btc, eth = rules("2026-03-05", symbols=(BTC, ETH)).tiers
    assert [(t.rate, t.max_leverage, t.deduction) for t in btc] == [(r, lev, b) for r, lev, b, _ in printed]
    assert [(t.rate, t.max_leverage, t.deduction) for t in eth] == [(r, lev, e) for r, lev, _, e in printed]
    assert [t.floor for t in btc][1:6] == [300_000, 800_000, 3_000_000, 12_000_000, 70_000_000]
    assert [t.floor for t in eth][5:8] == [50_000_000, 65_000_000, 150_000_000]


def test_the_printed_btc_brackets_of_2024_are_in_force_until_june_2025() -> None:
    tiers = rules("2025-06-12").tiers[0]
    printed = [(0, 125, 0), (50_000, 100, 50), (600_000, 75, 950), (3_000_000, 50, 11_450), (12_000_000, 25, 131_450)]
    assert [(t.floor, t.max_leverage, t.deduction) for t in tiers[:5]] == printed
    assert tiers[5].deduction == 482_000 - 550
    assert tiers[-1].deduction == 421_482_000 - 550


def test_the_printed_brackets_of_quarterlies_are_in_force_in_2026() -> None:
    printed = [
        (0, 0.01, 50, 0), (50_000, 0.02, 25, 500), (375_000, 0.05, 10, 11_750), (2_000_000, 0.1, 5, 111_750),
        (4_000_000, 0.125, 4, 211_750), (10_000_000, 0.15, 3, 461_750), (20_000_000, 0.25, 2, 2_461_750),
        (40_000_000, 0.5, 1, 12_461_750),
    ]  # fmt: skip
    for tiers in rules("2026-03-05", symbols=[f"{BTC}-260327", f"{BTC}-260626", f"{ETH}-260327"]).tiers:
        assert [(t.floor, t.rate, t.max_leverage, t.deduction) for t in tiers] == printed


def test_a_dated_short_costs_far_more_maintenance_than_a_perpetual_short_of_the_same_size() -> None:
    perpetual, dated = rules("2026-03-05", symbols=(BTC, f"{BTC}-260626")).tiers
    assert maintenance(perpetual, 1_000_000) == pytest.approx(1_000_000 * 0.0065 - 1_500)  # 5,000
    assert maintenance(dated, 1_000_000) == pytest.approx(1_000_000 * 0.05 - 11_750)  # 38,250


def test_g12_fees_of_a_linear_round_trip() -> None:
    now = rules("2024-01-01")
    assert round(10_104 * now.taker[0], 4) == 5.052
    assert round(11_104 * now.maker[0], 4) == 2.2208


def test_g13_fees_of_a_coin_margined_round_trip() -> None:
    now = rules("2024-01-01", symbols=(COIN,), assets=("BTC",))
    assert round(10 * 100 / 10_104, 5) == 0.09897
    assert round(0.09897 * now.taker[0], 9) == 0.000049485
    assert round(0.09 * now.maker[0], 6) == 0.000018  # the page rounds the notional at 11,104 to 0.09


def test_g14_a_coin_margined_position_of_300_btc() -> None:
    tiers = rules("2022-06-01", symbols=(COIN,), assets=("BTC",)).tiers[0]
    assert (tier_of(tiers, 300).rate, tier_of(tiers, 300).deduction) == (0.125, 11.605)
    assert maintenance(tiers, 100 * 100 / 25_000) == pytest.approx(0.0016)


def test_g22_bid_and_ask_rates_of_the_asset_index() -> None:
    ada = rules("2021-11-01", "multi_asset", assets=("ADA",))
    btc, usdt = (rules("2025-06-02", "multi_asset", assets=(asset,)) for asset in ("BTC", "USDT"))
    for now, index, bid, ask in (
        (ada, 1.92957370, 1.73661633, 2.12253107),
        (btc, 104_956.05365614, 99_708.25097333, 110_203.85633894),
        (usdt, 0.99884101, 0.99874113, 0.99894089),
    ):
        assert index * now.collateral[0][0].ratio == pytest.approx(bid, abs=2e-8)
        assert index * (1 + now.ask_buffer[0]) == pytest.approx(ask, abs=2e-8)
        assert now.requirement_buffer == now.ask_buffer


def test_g22_auto_exchange_rates_of_the_asset_index() -> None:
    ada, btc = (rules("2025-06-02", "multi_asset", assets=(asset,)).conversion_cost[0] for asset in ("ADA", "BTC"))
    assert 1.92957370 * (1 - ada) == pytest.approx(1.83309501, abs=2e-8)
    assert 1.92957370 * (1 + ada) == pytest.approx(2.02605238, abs=2e-8)
    assert 104_956.05365614 * (1 - btc) == pytest.approx(102_332.15231473, abs=2e-8)
    assert 104_956.05365614 * (1 + btc) == pytest.approx(107_579.95499754, abs=2e-8)


def test_g23_five_thousand_dollars_owed_cost_a_little_more_in_bitcoin() -> None:
    haircut = rules("2022-06-01", "multi_asset", assets=("BTC",)).conversion_cost[0]
    assert int(5_000 / (1 - haircut) * 100) / 100 == 5_128.20  # truncated, as printed
    assert round(20_000 / (1 - haircut)) == 20_513


def test_g24_haircuts_of_a_thousand_dollars() -> None:
    then = rules("2021-11-01", "multi_asset", assets=("BNB", "ADA")).collateral
    assert [round(1_000 * tiers[0].ratio, 6) for tiers in then] == [950, 900]
    assert round(1_000 * rules("2025-06-01", "multi_asset", assets=("FDUSD",)).collateral[0][0].ratio, 6) == 989


def test_g25_one_bitcoin_in_each_of_three_wallets_counts_2_85() -> None:
    assert round(3 * rules("2022-06-01", "portfolio", assets=("BTC",)).collateral[0][0].ratio, 6) == 2.85


def test_g26_loans_at_three_times_need_a_tenth_of_themselves() -> None:
    now = rules("2022-06-01", "portfolio", assets=("BTC", "ETH"))
    assert round(0.04 * now.borrow_maintenance[0], 6) == 0.004
    assert round(15 * now.borrow_maintenance[1], 6) == 1.5
    assert now.borrow_initial[0] == 0.5  # 1 / (3 - 1)


def test_a_loan_needs_less_the_higher_the_leverage_of_the_account() -> None:
    at = moment("2024-01-01")
    terms = [
        load("binance").in_force([contract(BTC)], ["USDT"], "portfolio", at, at + 1, loan_leverage=leverage)[0]
        for leverage in (3, 5, 10)
    ]
    assert [t.borrow_maintenance[0] for t in terms] == [0.1, 0.08, 0.05]
    assert [t.borrow_initial[0] for t in terms] == pytest.approx([1 / 2, 1 / 4, 1 / 9])
