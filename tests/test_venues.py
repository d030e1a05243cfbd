"""Dated venue rules: which were in force when, what is refused, what is labelled, and what a table may not say."""

from __future__ import annotations

import csv
import gzip
import math
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from backtest.config.types import moment_us as moment
from backtest.errors import InputError
from backtest.market.schema import Instrument, kind_of, parse_symbol
from backtest.venues import describe, load, names
from backtest.venues.brackets import read_brackets
from backtest.venues.check import check_tiers
from backtest.venues.in_force import grid
from backtest.venues.load import read_venue
from backtest.venues.schema import RuleSet, Tier

BTC, ETH, COIN = "BTC/USDT:USDT", "ETH/USDT:USDT", "BTC/USD:BTC"


def contract(symbol: str, listed: str | None = None) -> Instrument:
    base, quote, settle, expiry_us = parse_symbol(symbol)
    kind, listing_us = kind_of(symbol), moment(listed) if listed else None
    return Instrument(
        symbol, kind, base, quote, settle or quote, 1.0, 0.1, 0.001, 5.0, listing_us, expiry_us, None, "test"
    )


def span(
    start: str,
    end: str | None = None,
    mode: str = "cross",
    symbols: Sequence[str | Instrument] = (BTC,),
    assets: Sequence[str] = ("USDT",),
    venue: str = "binance",
    **asked: Any,
) -> tuple[RuleSet, ...]:
    instruments = [contract(each) if isinstance(each, str) else each for each in symbols]
    end_us = moment(end) if end else moment(start) + 1
    return load(venue).in_force(instruments, assets, mode, moment(start), end_us, **asked)


def starts(sets: Sequence[RuleSet]) -> list[str]:
    moments = [datetime.fromtimestamp(each.start_us / 1e6, UTC) for each in sets]
    return [f"{at:%Y-%m-%d %H:%M}".removesuffix(" 00:00") for at in moments]


def row(rules: RuleSet, table: str, key: str) -> Any:
    found = [each for each in rules.rows if each.table == table and each.key == key]
    assert len(found) == 1, [each.key for each in rules.rows if each.table == table]
    return found[0]


# --- what was in force when


def test_btc_brackets_go_from_125_to_150_times_between_june_and_august_2025() -> None:
    sets = span("2025-06-01", "2025-09-01")
    assert starts(sets) == ["2025-06-01", "2025-06-19", "2025-08-21"]
    assert [each.tiers[0][0].max_leverage for each in sets] == [125, 125, 150]
    assert [each.tiers[0][1].floor for each in sets] == [50_000, 300_000, 300_000]


def test_a_change_on_the_last_moment_of_a_span_does_not_belong_to_it() -> None:
    assert starts(span("2025-06-01", "2025-06-19")) == ["2025-06-01"]


def test_a_span_in_which_no_row_in_use_changes_is_one_set() -> None:
    assert len(span("2025-09-01", "2026-04-30")) == 1  # coins of others change their ratios meanwhile


def test_the_taker_fee_of_linear_contracts_rises_in_2023() -> None:
    before, after = span("2023-07-01")[0], span("2023-09-01")[0]
    assert (before.maker, before.taker) == ((0.0002,), (0.0004,))
    assert (after.maker, after.taker) == ((0.0002,), (0.0005,))


def test_contracts_margined_in_usdc_have_their_promotion_and_then_the_usual_fee_again() -> None:
    sets = span("2025-09-01", "2026-03-01", symbols=("BTC/USDC:USDC",), assets=("USDC",))
    assert starts(sets) == ["2025-09-01", "2025-09-11", "2025-12-10", "2026-02-10"]
    assert [each.taker[0] for each in sets] == [0.0005, 0.000275, 0.0004, 0.0005]
    assert [each.maker[0] for each in sets] == [0.0002, 0.0, 0.0, 0.0002]


def test_only_dated_futures_pay_for_delivery_and_they_pay_the_taker_fee() -> None:
    rules = span("2024-06-01", symbols=(BTC, f"{BTC}-240927", "BTC/USDT"), assets=("USDT", "BTC"))[0]
    assert rules.delivery_fee == (0.0, 0.0005, 0.0)


def test_spot_has_no_brackets_and_no_clearance_fee() -> None:
    rules = span("2024-06-01", symbols=("BTC/USDT",), assets=("USDT", "BTC"))[0]
    assert (rules.tiers, rules.liquidation_fee, rules.taker) == (((),), (0.0,), (0.001,))


def test_clearance_fees_are_those_of_the_exchange_info_of_2024() -> None:
    rules = span("2024-06-01", symbols=[f"{base}/USDT:USDT" for base in ("BTC", "ETH", "XRP", "LTC")])[0]
    assert rules.liquidation_fee == (0.0125, 0.0125, 0.0125, 0.015)
    assert not row(rules, "liquidation_fee", "linear, BTC").assumed
    assert row(span("2023-06-01")[0], "liquidation_fee", "linear, BTC").assumed
    assert span("2020-06-01")[0].liquidation_fee == (0.003,)


def test_portfolio_margin_began_without_clearance_fees() -> None:
    assert span("2022-06-01", mode="portfolio")[0].liquidation_fee == (0.0,)
    assert span("2023-06-01", mode="portfolio")[0].liquidation_fee == (0.0125,)


def test_the_announced_collateral_ratios_of_portfolio_margin_change_at_their_hour() -> None:
    sets = span("2025-08-01", "2026-03-01", mode="portfolio", symbols=(), assets=("VET", "TON"))
    changes = [("2025-08-01", 0.7, 0.5), ("2025-08-15 06:00", 0.65, 0.5), ("2025-08-19 06:00", 0.65, 0.65)]
    later = [("2025-09-12 06:00", 0.6, 0.65), ("2025-10-21 06:00", 0.4, 0.65), ("2026-01-16 06:00", 0.2, 0.65)]
    ratios = [(at, *(tiers[0].ratio for tiers in each.collateral)) for at, each in zip(starts(sets), sets, strict=True)]
    assert ratios == [*changes, *later, ("2026-02-06 06:00", 0.2, 0.6)]


def test_staked_ether_counts_a_tenth_until_it_takes_the_rate_of_ether() -> None:
    before, after = span("2025-11-01", "2025-12-15", mode="portfolio", symbols=(), assets=("WBETH", "BTC"))
    assert [tiers[0].ratio for tiers in before.collateral] == [0.1, 0.95]
    assert [tiers[0].ratio for tiers in after.collateral] == [0.95, 0.95]
    assert starts([after]) == ["2025-11-28"]


def test_coins_leave_and_join_the_multi_assets_list() -> None:
    for on, ratios in (("2022-01-01", [0.9, 0, 0]), ("2024-01-01", [0, 0, 0]), ("2025-06-01", [0, 0.989, 0])):
        rules = span(on, mode="multi_asset", symbols=(), assets=("SOL", "FDUSD", "DOGE"))[0]
        assert [tiers[0].ratio for tiers in rules.collateral] == ratios, on


def test_requirements_and_debts_cost_a_buffer_in_multi_assets_mode_only() -> None:
    assets = ("BTC", "USDT", "DOGE")
    buffered = span("2024-07-01", mode="multi_asset", symbols=(), assets=assets)[0]
    assert buffered.ask_buffer == buffered.requirement_buffer == (0.05, 0.0001, 0.0)
    for mode in ("cross", "portfolio"):
        assert span("2024-07-01", mode=mode, symbols=(), assets=assets)[0].ask_buffer == (0.0, 0.0, 0.0)


def test_a_debt_is_covered_by_auto_exchange_in_multi_assets_mode_only() -> None:
    limits = {mode: span("2024-01-01", mode=mode)[0].overdraft_usd for mode in ("cross", "multi_asset", "portfolio")}
    assert limits == {"cross": (math.inf,), "multi_asset": (10_000.0,), "portfolio": (math.inf,)}


def test_nothing_can_be_borrowed_outside_portfolio_margin_and_no_hourly_rate_is_invented() -> None:
    assert span("2024-01-01")[0].borrow_initial == (math.inf,)
    rules = span("2024-01-01", mode="portfolio")[0]
    assert rules.borrow_maintenance == (0.1,)
    assert math.isnan(rules.borrow_hourly[0])


def test_a_loan_leverage_the_venue_has_not_is_refused_with_those_it_has() -> None:
    with pytest.raises(InputError, match="no loans at 4x; valid: 3, 5, 10"):
        span("2024-01-01", mode="portfolio", loan_leverage=4)


# --- modes


def test_modes_are_offered_from_their_day_on() -> None:
    venue = load("binance")
    assert list(venue.modes(moment("2020-06-01"))) == ["isolated", "cross"]
    assert list(venue.modes(moment("2021-12-01"))) == ["isolated", "cross", "multi_asset"]
    assert list(venue.modes(moment("2022-04-01"))) == ["isolated", "cross", "multi_asset", "portfolio", "portfolio_pro"]


def test_portfolio_margin_liquidated_at_1_2_in_2022_and_at_1_05_since_the_second_product() -> None:
    sets = span("2023-04-01", "2023-06-01", mode="portfolio", symbols=())
    assert [(level.ratio, level.action) for level in sets[0].levels] == [
        (2.0, "warn"), (1.5, "reduce_only"), (1.2, "liquidate"),
    ]  # fmt: skip
    assert [(level.ratio, level.action) for level in sets[-1].levels] == [(1.2, "reduce_only"), (1.05, "liquidate")]
    first, second = (load("binance").modes(moment(on))["portfolio"] for on in ("2023-04-30", "2023-05-01"))
    assert (first.loss_beyond, first.open_loss) == ("user_debt", False)
    assert (second.loss_beyond, second.open_loss) == ("insurance", True)


def test_the_first_product_lives_on_as_pm_pro_with_bands_of_its_own() -> None:
    sets = span("2023-04-01", "2023-06-01", mode="portfolio_pro", symbols=())
    assert sets[0].levels == span("2023-04-01", "2023-04-02", mode="portfolio", symbols=())[0].levels
    assert [(level.ratio, level.action) for level in sets[-1].levels] == [
        (1.5, "warn"), (1.2, "reduce_only"), (1.05, "liquidate"),
    ]  # fmt: skip
    mode = load("binance").modes(moment("2026-01-01"))["portfolio_pro"]
    assert (mode.preset, mode.loss_beyond, mode.open_loss) == ("portfolio_pro", "user_debt", False)
    assert not sets[-1].asks_initial
    assert sets[-1].terms.keeps == 1.2


def test_xrp_backs_pm_pro_by_rank_5_and_later_by_rank_4() -> None:
    """Of 6 million: 1 + 0.95 + 0.75 x 3 + 0.6 x 1 = 4.8; from 2025-09-16 3 + 0.95 x 3 = 5.85. Before: nine tenths."""

    def counted(day: str) -> float:
        rules = span(day, mode="portfolio_pro", symbols=(), assets=("XRP",))[0]
        tier = [step for step in rules.collateral[0] if step.floor_usd < 6e6][-1]
        return 6e6 * tier.ratio - tier.deduction_usd

    assert counted("2024-01-01") == pytest.approx(5.4e6)
    assert counted("2025-01-01") == pytest.approx(4.8e6)
    assert counted("2025-10-01") == pytest.approx(5.85e6)


def test_coins_back_inverse_contracts_under_portfolio_margin_and_not_in_multi_assets_mode() -> None:
    modes = load("binance").modes(moment("2024-01-01"))
    assert modes["portfolio"].inverse_in_unified
    assert not modes["multi_asset"].inverse_in_unified


def test_portfolio_margin_before_its_first_day_is_refused_with_the_day() -> None:
    with pytest.raises(InputError, match=r"'portfolio' was offered from 2022-04-01 on, not on 2022-03-31"):
        span("2022-03-31", mode="portfolio")


def test_portfolio_margin_before_its_first_day_is_labelled_when_asked_for() -> None:
    rules = span("2022-03-31", mode="portfolio", counterfactual=True)[0]
    assert row(rules, "mode", "portfolio: levels").counterfactual
    assert row(rules, "collateral", "portfolio, USDT").counterfactual
    assert not row(rules, "brackets", BTC).counterfactual  # those were in force
    assert load("binance").modes(moment("2022-03-31"), counterfactual=True)["portfolio"].counterfactual


def test_a_mode_not_offered_does_not_open_tables_that_had_not_begun() -> None:
    with pytest.raises(InputError, match="brackets of ETH"):
        span("2021-01-01", mode="portfolio", symbols=(ETH,), counterfactual=True)


@pytest.mark.parametrize("mode", ["portfolio", "multi_asset"])
def test_isolated_positions_beside_shared_collateral_are_refused_or_labelled(mode: str) -> None:
    with pytest.raises(InputError, match=f"no isolated positions in mode '{mode}'.*BTC/USDT:USDT"):
        span("2024-01-01", mode=mode, isolated=[BTC])
    rules = span("2024-01-01", mode=mode, isolated=[BTC], counterfactual=True)[0]
    assert row(rules, "mode", f"{mode}: levels").counterfactual
    assert load("binance").offered(mode, moment("2024-01-01"), [BTC], counterfactual=True).counterfactual


def test_isolated_positions_stand_beside_cross_ones() -> None:
    assert not row(span("2024-01-01", isolated=[BTC])[0], "mode", "cross: levels").counterfactual


def test_an_unknown_mode_names_the_nearest() -> None:
    with pytest.raises(InputError, match="no mode 'portfolo'; did you mean 'portfolio'"):
        span("2024-01-01", mode="portfolo")


# --- outside the dates


def test_a_date_before_the_first_brackets_is_refused_with_table_instrument_date_and_cure() -> None:
    complaint = r'table brackets: brackets of ETH/USDT:USDT are known from 2022-02-12 on, not on 2021-06-01.*"nearest"'
    with pytest.raises(InputError, match=complaint):
        span("2021-06-01", symbols=(ETH,))


def test_the_nearest_brackets_stand_in_when_asked_for_and_say_so() -> None:
    sets = span("2021-06-01", "2022-08-01", symbols=(ETH,), outside="nearest")
    assert starts(sets) == ["2021-06-01", "2022-02-12"]
    early, known = sets
    assert early.tiers == known.tiers
    assert row(early, "brackets", ETH).counterfactual
    assert not row(known, "brackets", ETH).counterfactual


def test_neither_refuse_nor_nearest_is_an_answer() -> None:
    with pytest.raises(InputError, match=r"rules.outside = 'neares'; did you mean 'nearest'"):
        span("2024-01-01", outside="neares")


def test_a_future_listed_inside_the_run_does_not_refuse_the_runs_start() -> None:
    late = contract(ETH, listed="2022-03-01")
    assert span("2021-06-01", symbols=(late,))[0].tiers[0][0].rate == 0.005


def test_a_symbol_without_brackets_is_refused_with_the_nearest_and_the_generic_venue() -> None:
    with pytest.raises(InputError, match=r"none of 'BAT/USDT:USDT'.*did you mean.*generic"):
        span("2024-01-01", symbols=("BAT/USDT:USDT",))


# --- brackets of dated and coin-margined contracts


def test_a_quarterly_that_was_seen_has_its_own_brackets_and_another_takes_them_as_assumed() -> None:
    seen, unseen = f"{BTC}-241227", f"{BTC}-261225"
    rules = span("2024-12-01", symbols=(seen, unseen))[0]
    assert rules.tiers[0] == rules.tiers[1]
    assert not row(rules, "brackets", seen).assumed
    assert row(rules, "brackets", unseen).assumed
    assert "no snapshot" in row(rules, "brackets", unseen).reason


def test_the_assumption_ends_on_the_day_a_quarterly_is_first_seen() -> None:
    sets = span("2024-06-01", "2024-07-10", symbols=(f"{BTC}-241227",))
    assert starts(sets) == ["2024-06-01", "2024-07-04"]
    assert [row(each, "brackets", f"{BTC}-241227").assumed for each in sets] == [True, False]


def test_coin_margined_brackets_of_other_coins_and_of_quarterlies_are_assumed() -> None:
    rules = span("2024-01-01", symbols=("SOL/USD:SOL", f"{COIN}-240329"), assets=("SOL", "BTC"))[0]
    assert row(rules, "brackets", "SOL/USD:SOL").assumed
    assert "perpetual" in row(rules, "brackets", f"{COIN}-240329").reason
    assert [tier.floor for tier in rules.tiers[1][:3]] == [0, 5, 10]  # in bitcoin


def test_coin_margined_brackets_of_june_2020_have_the_caps_of_then() -> None:
    btc, eth = span("2020-07-01", symbols=(COIN, "ETH/USD:ETH"), assets=("BTC", "ETH"))[0].tiers
    assert [tier.floor for tier in btc] == [0, 10, 20, 30, 50, 100, 200, 400, 1_000]
    assert [(tier.floor, tier.max_leverage) for tier in eth] == [
        (0, 100), (100, 75), (500, 50), (1_000, 20), (2_000, 10), (4_000, 5), (6_000, 4), (8_000, 3),
    ]  # fmt: skip


# --- the generic venue


def test_the_generic_venue_takes_any_future_at_any_date() -> None:
    symbols = ("BTC/USD:USD-180629", "XYZ/USDT:USDT", "BTC/USD:BTC")
    rules = span("2018-01-01", symbols=symbols, assets=("USD", "BTC"), venue="generic")[0]
    assert [tiers[0].rate for tiers in rules.tiers] == [0.005, 0.01, 0.005]
    assert rules.delivery_fee == (0.0005, 0.0, 0.0)
    assert all(each.assumed for each in rules.rows)


def test_the_generic_grid_has_33_moves_with_none_in_the_middle_and_dollars_stand_still() -> None:
    scenario = span("2024-01-01", mode="portfolio", assets=("BTC", "PEPE", "USDT"), venue="generic")[0].scenario
    assert scenario is not None and scenario.tail is not None
    btc, pepe, usdt = scenario.moves
    assert len(btc) == 33 and btc[0] == -0.16 and btc[16] == 0.0 and btc[32] == 0.16
    assert btc[17] == pytest.approx(0.01)
    assert (pepe[0], pepe[-1], set(usdt)) == (-0.3, 0.3, {0.0})
    assert (scenario.initial_factor, scenario.tail.kind) == (1.3, "ES")


def test_a_grid_of_three_is_down_nothing_and_up() -> None:
    assert grid(0.1, 3) == (-0.1, 0.0, 0.1)


def test_the_generic_requirement_of_portfolio_is_scenarios_and_of_the_others_tiers() -> None:
    modes = load("generic").modes(moment("2024-01-01"))
    assert {name: mode.requirement for name, mode in modes.items()} == {
        "isolated": "tiers", "cross": "tiers", "multi_asset": "tiers", "portfolio": "scenarios",
    }  # fmt: skip


def test_no_real_venue_of_ours_has_a_scenario_model() -> None:
    assert span("2024-01-01", mode="portfolio")[0].scenario is None


# --- sources


@pytest.mark.parametrize("venue", ["binance", "generic"])
@pytest.mark.parametrize("mode", ["isolated", "cross", "multi_asset", "portfolio"])
def test_every_number_in_use_is_dated_sourced_and_marked(venue: str, mode: str) -> None:
    symbols = (BTC, f"{BTC}-240927", COIN, "BTC/USDT")
    rules = span("2024-06-01", mode=mode, symbols=symbols, assets=("USDT", "BTC", "XYZ"), venue=venue)[0]
    for each in rules.rows:
        assert each.source and each.rule and each.mark in "TNDSG", each
        assert bool(each.reason) == each.assumed, each
        assert 0 < each.valid_from_us <= moment("2024-06-01"), each
    assert {"fee", "impact", "mode"} <= {each.table for each in rules.rows}


def test_every_tuple_of_a_rule_set_follows_the_runs_instruments_or_assets() -> None:
    rules = span("2024-06-01", mode="portfolio", symbols=(BTC, ETH, "BTC/USDT"), assets=("USDT", "BTC"))[0]
    fees = ("maker", "taker", "delivery_fee", "liquidation_fee", "half_spread")
    by_instrument = (*fees, "tiers", "slopes", "settled", "funding_at")
    of_account = (
        "levels",
        "owes",
        "open_loss",
        "asks_initial",
        "terms",
        "slice",
        "slice_above_usd",
        "backstop_at",
        "fee_of_maintenance",
        "written_option",
    )
    others = (*of_account, "start_us", "impact_y", "scenario", "portfolio", "rows")
    for each in fields(rules):
        if each.name not in others:
            assert len(getattr(rules, each.name)) == (3 if each.name in by_instrument else 2), each.name


def test_the_rules_in_force_can_be_read_with_their_sources() -> None:
    lines = describe("binance", moment("2026-01-10"))
    vet = next(line for line in lines if "VET 0.4" in line["value"])
    assert (vet["table"], vet["key"], vet["from"]) == ("collateral", "portfolio", "2025-10-21")
    assert "Ann 2025-10-19" in vet["source"]
    assert not any("VET 0.7" in line["value"] for line in lines)  # replaced since
    tiers = next(line for line in lines if line["table"] == "brackets" and line["key"] == BTC)
    assert tiers["from"] == "2025-08-21" and tiers["value"].startswith("above 0: 0.004 (150x)")


def test_the_rules_shown_without_a_date_are_all_there_ever_were() -> None:
    btc = [line["from"] for line in describe("binance") if line["key"] == BTC]
    assert btc[0] == "2020-01-01" and btc[-1] == "2025-08-21"


def test_the_venues_there_are_come_with_their_modes() -> None:
    assert names() == ["binance", "bybit", "deribit", "generic", "hyperliquid", "okx", "paradex"]
    assert [line["venue"] for line in describe()] == names()
    assert describe()[0]["modes"] == "isolated, cross, multi_asset, portfolio, portfolio_pro"


def test_an_unknown_venue_names_the_nearest() -> None:
    with pytest.raises(InputError, match="no venue 'binanc'; did you mean 'binance'"):
        load("binanc")


def test_a_venues_table_is_read_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(sys.modules[read_venue.__module__], "read_venue", lambda name, text: read.append(name) or name)
    load.cache_clear()
    try:
        assert [load("binance"), load("okx"), load("binance")] == ["binance", "okx", "binance"]
    finally:
        load.cache_clear()
    assert read == ["binance", "okx"]


# --- what a table may not say

RIGHT = [Tier(0, 0.01, 0, 50), Tier(1_000, 0.02, 10, 25)]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ([Tier(0, 0.01, 0, 50), Tier(0, 0.02, 0, 25)], "floor 0 does not rise above 0"),
        ([Tier(0, 0.01, 0, 50), Tier(1_000, 0.005, -5, 25)], "rate 0.005 at floor 1000 does not rise above 0.01"),
        ([Tier(0, 0.01, 0, 50), Tier(1_000, 0.02, 11, 25)], "deduction 11 at floor 1000 .* continuous with 10"),
        ([Tier(0, 0.02, 0, 50)], "rate 0.02 at floor 0 is not below the initial margin of 50x, 0.02"),
        ([Tier(5, 0.01, 0, 50)], "must begin at 0"),
        ([], "must begin at 0"),
    ],
)
def test_brackets_that_cannot_be_are_refused_with_the_number(wrong: list[Tier], complaint: str) -> None:
    with pytest.raises(InputError, match=f"somewhere: .*{complaint}"):
        check_tiers("somewhere", wrong)


def test_brackets_whose_deduction_makes_maintenance_continuous_are_accepted() -> None:
    check_tiers("somewhere", RIGHT)


HEAD = "symbol,valid_from,floor,maintenance_rate,max_leverage,deduction,source\n"
SAID = {"H": {"source": "page", "rule": "Positions", "mark": "T"}}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("X/USDT:USDT,2024-01-01,1000,0.02,25,11,H", "b.csv: X/USDT:USDT from 2024-01-01: deduction 11 at floor 1000"),
        ("X/USDT:USDT,2024-01-01,1000,0.02,25,1O,H", "b.csv: X/USDT:USDT from 2024-01-01: a number cannot be read"),
        ("Y/USDT:USDT,2024-01-01,0,0.02,25,0,Q", "b.csv: Y/USDT:USDT from 2024-01-01: source 'Q' is not explained"),
    ],
)
def test_a_mistyped_bracket_is_refused_with_its_symbol_and_date(line: str, complaint: str) -> None:
    first = "X/USDT:USDT,2024-01-01,0,0.01,50,0,H\n"
    read_brackets("b.csv", f"{HEAD}{first}X/USDT:USDT,2024-01-01,1000,0.02,25,10,H", SAID, {})
    with pytest.raises(InputError, match=complaint):
        read_brackets("b.csv", f"{HEAD}{first}{line}", SAID, {})


FEE = """[[fee]]
product = "spot"
from = 2020-01-01
maker = 0.001
taker = 0.002
source = "page"
rule = "Fees"
mark = "T"
"""


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("from = 2020-01-01\n", "", "fee row 1: no 'from'"),
        ("from = 2020-01-01", 'from = "2020"', "fee row 1: from = '2020' is not a date"),
        ("from = 2020-01-01", "from = 2020-01-01\nto = 2019-01-01", "to = 2019-01-01 does not lie after"),
        ('source = "page"\n', "", "fee row 1: no 'source'"),
        ('rule = "Fees"\n', "", "fee row 1: no 'rule'"),
        ('mark = "T"', 'mark = "X"', "mark = 'X' is none of"),
        ('mark = "T"', 'mark = "T"\nassumed = true', "`assumed` and its `reason` go together"),
        ("taker = 0.002", "taker = 1.5", "fee row 1: taker = 1.5 is not between 0 and 1"),
        ("taker = 0.002", "taker = true", "taker = True is not between"),
        ("taker = 0.002", "takr = 0.002", "unknown key 'takr'; did you mean 'taker'"),
        ("taker = 0.002\n", "", "no 'taker'"),
        ('product = "spot"', 'product = "spots"', "product: no 'spots'; did you mean 'spot'"),
        ("[[fee]]", "[[fees]]", "no table 'fees'; did you mean 'fee'"),
        ("maker = 0.001", "maker = ", "broken.toml: "),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_its_place(right: str, wrong: str, complaint: str) -> None:
    read_venue("broken", FEE)
    with pytest.raises(InputError, match=complaint):
        read_venue("broken", FEE.replace(right, wrong))


def test_a_ratio_above_one_is_refused_with_the_asset() -> None:
    text = FEE.replace("[[fee]]", "[[collateral]]").replace('product = "spot"', 'mode = "portfolio"')
    text = text.replace("maker = 0.001\ntaker = 0.002", "assets = { BTC = 1.05 }")
    with pytest.raises(InputError, match=r"collateral row 1: assets.BTC = 1.05 is not between 0 and 1"):
        read_venue("broken", text)


# --- our compact tables against the published ones


Snapshots = dict[str, dict[str, list[Tier]]]


@pytest.fixture(scope="module")
def published(reference_data: Path) -> Snapshots:
    """Brackets by symbol and snapshot day; a day on which a symbol had left the list has none.

    Until 2023-01-13 symbols were written without what they settle in.
    """
    found: Snapshots = {}
    with gzip.open(reference_data / "binance" / "um_leverage_tiers_history.csv.gz", "rt", encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            symbol, gone = line["symbol"], line["tier"] == "0"
            if ":" not in symbol:
                if gone:  # only renamed
                    continue
                symbol = f"{symbol}:{symbol.partition('/')[2]}"
            tiers = found.setdefault(symbol, {}).setdefault(line["snapshot_date"], [])
            numbers = ("notional_floor", "maint_margin_rate", "cum", "max_leverage")
            tiers += [] if gone else [Tier(*(float(line[number]) for number in numbers))]
    return found


def alive(symbol: str, days: dict[str, list[Tier]], on: str) -> tuple[Tier, ...]:
    """The brackets a dated future had on a day; none before it was listed or once it is delivered.

    The list keeps some contracts for weeks after their delivery, with the brackets they ended with.
    """
    known = [day for day in days if day <= on]
    delivered = on.replace("-", "")[2:] > symbol.rpartition("-")[2]
    return () if delivered or not known else tuple(days[max(known)])


MAJORS = [f"{base}/USDT:USDT" for base in ("BTC", "ETH", "SOL", "BNB", "XRP", "DOGE", "ADA", "LINK", "LTC", "AVAX")]


@pytest.mark.parametrize("symbol", [*MAJORS, "BTC/USDC:USDC", "ETH/USDC:USDC"])
def test_brackets_of_perpetuals_are_the_published_ones_on_every_snapshot_and_change_on_no_other_day(
    published: Snapshots, symbol: str
) -> None:
    days = published[symbol]
    for on, tiers in days.items():
        assert list(span(on, symbols=(symbol,))[0].tiers[0]) == tiers, on
    ours = [entry for entry in load("binance").brackets.by_key[symbol] if entry.valid_from_us >= moment("2022-02-12")]
    assert {entry.valid_from_us for entry in ours} <= {moment(on) for on in days}
    assert all(old.values != new.values for old, new in pairwise(ours))


def quarterlies(published: Snapshots, family: str) -> Snapshots:
    return {symbol: days for symbol, days in published.items() if symbol.startswith(f"{family}-")}


@pytest.mark.parametrize("family", [BTC, ETH])
def test_brackets_of_quarterlies_are_the_published_ones(published: Snapshots, family: str) -> None:
    for symbol, days in quarterlies(published, family).items():
        for on in (on for on, tiers in days.items() if tiers):
            rules = span(on, symbols=(symbol,))[0]
            assert list(rules.tiers[0]) == days[on], (symbol, on)
            assert not row(rules, "brackets", symbol).assumed


@pytest.mark.parametrize("family", [BTC, ETH])
def test_quarterlies_alive_together_share_their_brackets_so_that_one_class_is_enough(
    published: Snapshots, family: str
) -> None:
    dated = quarterlies(published, family)
    for on in {on for days in published.values() for on in days}:
        assert len({tiers for symbol, days in dated.items() if (tiers := alive(symbol, days, on))}) <= 1, on


def test_the_days_on_which_quarterlies_were_first_seen_are_the_published_ones(published: Snapshots) -> None:
    dated = quarterlies(published, BTC) | quarterlies(published, ETH)
    assert dict(load("binance").brackets.seen_us) == {symbol: moment(min(days)) for symbol, days in dated.items()}


def test_announced_ratios_are_the_published_ones_from_their_hour_on(reference_data: Path) -> None:
    name = "pm_collateral_ratio_changes_2025-08_2026-04.csv"
    with (reference_data / "binance" / name).open(encoding="utf-8") as lines:
        changes = list(csv.DictReader(lines))
    assert len(changes) == 262
    for change in changes:
        at, asset = change["effective_utc"], change["asset"]
        ratio = span(at, mode="portfolio", symbols=(), assets=(asset,))[0].collateral[0][0].ratio
        assert ratio == pytest.approx(float(change["ratio_after_pct"]) / 100), change


def test_rates_before_the_first_announced_change_are_those_it_names(reference_data: Path) -> None:
    name = "pm_collateral_ratio_changes_2025-08_2026-04.csv"
    with (reference_data / "binance" / name).open(encoding="utf-8") as lines:
        changes = sorted(csv.DictReader(lines), key=lambda change: change["effective_utc"], reverse=True)
    before = {change["asset"]: float(change["ratio_before_pct"]) / 100 for change in changes}
    for asset, ratio in before.items():
        rules = span("2025-08-01", mode="portfolio", symbols=(), assets=(asset,))[0]
        assert rules.collateral[0][0].ratio == pytest.approx(ratio), asset
        assert row(rules, "collateral", f"portfolio, {asset}").assumed


def test_coin_margined_btc_brackets_are_the_published_ones(reference_data: Path) -> None:
    with (reference_data / "binance" / "coinm_btcusd_brackets.csv").open(encoding="utf-8") as lines:
        columns = ("qty_floor_btc", "maint_margin_rate", "cum_btc", "max_leverage")
        tiers = [Tier(*(float(line[column]) for column in columns)) for line in csv.DictReader(lines)]
    assert list(span("2022-06-01", symbols=(COIN,), assets=("BTC",))[0].tiers[0]) == tiers
