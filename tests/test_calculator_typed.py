"""What a stranger types into the calculator: other words, other units, whole price lists, and what cannot be.

Every answer is the right number or a sentence that says what to write instead.
"""

from __future__ import annotations

import copy
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import backtest
from backtest.calculator import Answer, compare_modes, from_ccxt, margin, read_snapshot
from backtest.cli import app
from backtest.cli.margin import spread
from backtest.config.types import moment_us
from backtest.errors import InputError
from backtest.venues.schema import Level

pytestmark = pytest.mark.jit_off

BTC, ETH, CALL = "BTC/USDT:USDT", "ETH/USDT:USDT", "BTC/USD:BTC-261225-80000-C"
SHORT: dict[str, Any] = {
    "venue": "binance", "mode": "cross", "at": "2026-10-01", "leverage": 5, "wallets": {"USDT": 20_000.0},
    "positions": [{"symbol": BTC, "contracts": -0.5, "entry": 65_000.0, "mark": 67_000.0}],
}  # fmt: skip


def ask(**change: Any) -> Answer:
    return margin({**copy.deepcopy(SHORT), **change})


def with_position(**change: Any) -> Answer:
    return ask(positions=[{**SHORT["positions"][0], **change}])


def options(**change: Any) -> Answer:
    """One call on a bitcoin sold at Deribit, on one bitcoin of 67,000."""
    given = {"symbol": CALL, "contracts": -1.0, "mark": 0.05, "entry": 0.04, **change}
    return margin({
        "venue": "deribit", "mode": "portfolio", "at": "2026-10-01", "wallets": {"BTC": 1.0},
        "prices": {"BTC": 67_000.0}, "positions": [{key: x for key, x in given.items() if x is not None}],
    })  # fmt: skip


@pytest.mark.parametrize(("index", "told"), [(74_000.0, False), (6_700.0, True), (670_000.0, True)])
def test_a_mark_that_is_far_from_its_coins_index_is_noted(index: float, told: bool) -> None:
    """67,000 is 9.5 % below 74,000; it is ten times 6,700, and a tenth of 670,000."""
    answer = ask(prices={"BTC": index})
    said = [note for note in answer.notes if f"{BTC}: its mark 67000 is" in note]
    assert len(said) == told
    assert not told or f"from the index {index:g} of BTC" in said[0]


def test_a_basis_that_leaves_no_mark_is_refused_with_the_least_that_does() -> None:
    with pytest.raises(
        InputError, match=r"basis: -1 leaves BTC/USDT:USDT, whose mark is 67000, at 0; write more than -1"
    ):
        ask().what_if(basis=-1.0)


# --- other words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"balance": {"USDT": 1.0}}, "balance: unknown key (value {'USDT': 1.0}); did you mean 'wallets'?"),
        ({"balance": {"total": {"USDT": 1.0}}}, "did you mean 'fetch_balance'?"),
        ({"exchange": "okx"}, "did you mean 'venue'?"),
        ({"venue": "OKX"}, "no venue 'OKX'; did you mean 'okx'?"),
        ({"mode": "CROSS"}, "did you mean 'cross'?"),
        ({"leverage": "5x"}, "leverage = '5x': write a number, or a table such as { default = 5 }"),
        ({"leverage": {"BTC": 5}}, "leverage: 'BTC' is not in this account"),
        ({"wallets": {"USDT": "1000"}}, "account: wallets.USDT = '1000': write a number, such as USDT = 1000"),
        ({"wallets": {"USDT": None}}, "account: wallets.USDT = None: write a number"),
        ({"wallets": {"USDT": math.nan}}, "account: wallets.USDT = nan: write a number"),
        ({"wallets": {"spot": {"USDT": True}}}, "account: wallets.spot.USDT = True: write a number"),
        ({"wallets": {"USDT": 1e12}}, "wallets.USDT = 1e+12: an account holds 46,116,860,184 at most"),
        ({"wallets": {"usdt": 5.0}}, "wallets: 'usdt' is no asset; did you mean 'USDT'?"),
        ({"wallets": 20_000}, "wallets = 20000: write a table"),
        ({"loans": {"btc": 5.0}}, "loans: 'btc' is no asset; did you mean 'BTC'?"),
        ({"prices": {"btc": 5.0}}, "prices: 'btc' is no asset; did you mean 'BTC'?"),
        ({"prices": {"BTC/USDT:": 5.0}}, "is not a symbol"),
        ({"instruments": {BTC: {"size": 1}}}, f'instruments."{BTC}".size: unknown key (value 1)'),
        ({"isolated": [BTC]}, "did you mean 'isolated = true at a position'?"),
        ({"outside": "no"}, "outside = 'no': valid: nearest, refuse"),
    ],
)
def test_the_words_of_an_account_are_told_where_others_are_written(change: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as refused:
        ask(**change)
    assert told in str(refused.value)
    assert "constrained" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"qty": 1.0}, "positions[0].qty: unknown key (value 1.0); did you mean 'contracts'?"),
        ({"avg_price": 1.0}, "did you mean 'entry'?"),
        ({"margin_mode": "isolated"}, "did you mean 'isolated'?"),
        ({"side": "sell"}, "positions[0].side = 'sell': did you mean 'short'?"),
        ({"side": "LONG"}, "positions[0].side = 'LONG': did you mean 'long'?"),
        ({"entryPrice": 1.0}, "write them under the key 'fetch_positions'"),
        ({"symbol": "BTC-PERPETUAL"}, "did you mean 'BTC/USDT:USDT' or 'BTC/USD:BTC' (settles in BTC)?"),
        ({"symbol": "BTC-26DEC26-80000-C"}, "did you mean 'BTC/USD:BTC-261226-80000-C' (pays in BTC)"),
        ({"symbol": "BTC/USDT:USDT-26DEC26-80000-P"}, "did you mean 'BTC/USDT:USDT-261226-80000-P'?"),
        ({"symbol": "BTC/USD:BTC-261226-0-C"}, "a strike lies above zero"),
        ({"symbol": "BTC/USDT:USDT-200101"}, "was delivered on 2020-01-01, rules are of 2026-10-01"),
        ({"isolated": True, "margin": -1.0}, "margin = -1: an isolated wallet cannot hold less than nothing"),
    ],
)
def test_the_words_of_a_position_are_told_where_others_are_written(change: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as refused:
        with_position(**change)
    assert told in str(refused.value)


# --- numbers that cannot be ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", [math.nan, math.inf, -1.0, 0.0, 1e300, 1e15])
@pytest.mark.parametrize("key", ["mark", "entry"])
def test_a_price_that_cannot_be_is_refused_by_its_name(key: str, price: float) -> None:
    with pytest.raises(InputError, match=key):
        with_position(**{key: price})


def test_what_a_position_is_worth_at_a_mark_of_1e15_is_told() -> None:
    with pytest.raises(InputError, match=r"0\.5 contracts at mark = 1e\+15 are 5e\+14 USDT; an account holds"):
        with_position(mark=1e15)


def test_a_coin_may_fall_by_all_it_is_worth_and_by_no_more() -> None:
    """A short of half a bitcoin from 65,000 has earned 32,500."""
    assert ask().move({"BTC": -1.0}).account["equity"] == pytest.approx(20_000 + 32_500)
    with pytest.raises(InputError, match=r"move\.BTC = -2: a coin cannot fall by more than all it is worth"):
        ask().move({"BTC": -2.0})
    with pytest.raises(InputError, match=r"a move is of a coin, with all its contracts"):
        ask().move({BTC: -0.1})


@pytest.mark.parametrize("leverage", [151, 1e9])
def test_a_leverage_that_the_venue_never_allows_is_refused_with_the_one_it_does(leverage: float) -> None:
    with pytest.raises(InputError, match=r"leverage of BTC/USDT:USDT = .*: binance allows 150 at most"):
        ask(leverage=leverage)


def test_a_leverage_that_the_size_has_outgrown_is_told_and_asked_as_it_stands() -> None:
    """At the generic venue's rows: 20x up to 100,000, 10x above; 200,000 at 20x ask 10,000."""
    answer = margin({
        "venue": "generic", "mode": "cross", "wallets": {"USDT": 50_000.0}, "leverage": 20,
        "positions": [{"symbol": BTC, "contracts": 4.0, "entry": 50_000.0, "mark": 50_000.0}],
        "rules": {"tiers": {BTC: [[0, 0.01, 20], [100_000, 0.02, 10]]}},
    })  # fmt: skip
    assert f"{BTC}: generic allows 10x at this size, the account says 20x" in answer.notes
    assert answer.account["initial_margin"] == pytest.approx(10_000.0)


def test_without_a_leverage_initial_margin_is_the_notional_and_says_so() -> None:
    answer = margin({key: value for key, value in SHORT.items() if key != "leverage"})
    assert answer.account["initial_margin"] == pytest.approx(0.5 * 67_000)
    assert f"no leverage of {BTC}: taken as 1x, so that initial margin is the whole notional" in answer.notes


def test_elsewhere_a_leverage_is_lowered_to_what_that_venue_allows() -> None:
    """Hyperliquid opens bitcoin with 40x at most: 60,000 / 40."""
    from backtest.calculator import compare_venues

    answer = with_position(mark=60_000.0, entry=60_000.0, contracts=1.0, leverage=100)
    row = compare_venues(answer).set_index(["venue", "mode"]).loc[("hyperliquid", "cross")]
    assert row["note"] == "BTC/USDT:USDT as BTC/USDC:USDC; BTC/USDC:USDC at 40x, the most there"
    assert row["initial_margin"] == pytest.approx(1500.0)


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"taker": 1.5}, "rules.taker = 1.5: a fee is a share of the notional, between -1 and 1"),
        ({"liquidation_fee": -0.1}, "between 0 and 1"),
        ({"requirement_buffer": -1}, "between 0 and 1"),
        ({"ask_buffer": math.inf}, "write a finite number"),
        ({"borrow_maintenance": math.inf}, "write a finite number"),
        ({"terms": {"fixed_usd": -1}}, "rules.terms.fixed_usd = -1"),
        ({"levels": {"liquidate": -1}}, "write a margin ratio above 0"),
        ({"levels": {"liquidate": 1, "restore": 1.1}}, "no action 'restore'; did you mean 'restored'?"),
        ({"levels": {"liquidate": 1.2, "restored": 1.1}}, "restored = 1.1: lies below liquidate = 1.2"),
        ({"levels": {"warn": 2}}, "say at which ratio the account is liquidated"),
        ({"tiers": {BTC: [[5, 0.1]]}}, "the first row begins at 5; write a row from 0 on"),
        ({"tiers": {BTC: [[0, 0.2], [10, 0.1]]}}, "rate 0.1 falls below 0.2"),
        ({"tiers": {BTC: [[0, 0.1, 0]]}}, "highest leverage 0 is below 1"),
        ({"tiers": {BTC: [[0, 0.1, 1e9, 5]]}}, "the deduction 1e+09 is more than the 3350 asked of 33500"),
        ({"tiers": {BTC: [[0, 0.1, -5, 5]]}}, "deduction -5 is below 0"),
        ({"collateral": {"USDT": [[0, 1, 1e9]]}}, "deduction 1e+09 leaves a jump at 0"),
        ({"slopes": {BTC: {"initial": 0.1, "maintenance": 0.2}}}, "initial no less than it"),
        ({"slopes": {BTC: {"initial": 0, "maintenance": 0}}}, "maintenance must be above 0"),
        ({"scenario": {"offset": 5}}, "rules.scenario.offset = 5"),
        ({"funding_at": "moon"}, "rules.funding_at = 'moon': valid: index, mark"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_what_could(rules: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as refused:
        ask(rules=rules)
    assert told in str(refused.value)


def test_the_level_up_to_which_forced_sales_go_on_may_be_ones_own() -> None:
    answer = ask(rules={"levels": {"liquidate": 1, "restored": 1.1}})
    assert answer.placed.rule_set.levels == (Level(1.1, "restored"), Level(1.0, "liquidate"))


@pytest.mark.parametrize(("usdt", "state"), [(1_180.0, "liquidate"), (1_200.0, "free")])
def test_where_forced_sales_end_the_venue_does_nothing(usdt: float, state: str) -> None:
    """A loss of 1,000; maintenance 0.5 % of 33,500 and the fee to close, 188.95. Bybit sells below it, up to 1 / 0.9 of
    it, but an account that has only fallen so far is left alone: at 1,200 the ratio is 1.058.
    """
    account = ask(venue="bybit", mode="multi_asset", wallets={"USDT": usdt}, prices={"USDT": 1.0}).account
    assert account["margin_ratio"] == pytest.approx((usdt - 1_000.0) / 188.95, rel=1e-3)
    assert account["state"] == state


# --- numbers of numpy ---------------------------------------------------------------------------------------------


def of_numpy(given: Any) -> Any:
    if isinstance(given, dict):
        return {key: of_numpy(value) for key, value in given.items()}
    if isinstance(given, list):
        return [of_numpy(value) for value in given]
    return {bool: np.bool_, int: np.int64, float: np.float64}.get(type(given), lambda value: value)(given)


ACCOUNT: dict[str, Any] = {
    **SHORT, "wallets": {"USDT": 20_000, "usdm": {"USDT": 0.5}}, "hedge": False, "prices": {"BTC": 67_010},
    "orders": [{"symbol": BTC, "contracts": -1, "price": 70_000}], "instruments": {BTC: {"tick": 0.1}},
    "rules": {
        "tiers": {BTC: [[0, 0.004, 100], [50_000, 0.005, 50]]}, "collateral": {"USDT": [[0, 1], [10_000, 0.5]]},
        "levels": {"liquidate": 1, "reduce_only": 1.25}, "taker": 0.0005,
    },
}  # fmt: skip
CHANGES: list[dict[str, Any]] = [
    {"move": {"BTC": -1}}, {"basis": 0.02}, {"haircut": {"BTC": 0.1}}, {"haircut": 0}, {"funding": {BTC: 0.0001}},
    {"funding": 1}, {"prices": {BTC: 60_000}}, {"add": {"symbol": BTC, "contracts": -1, "price": 66_000}},
]  # fmt: skip


def test_numbers_of_numpy_are_numbers() -> None:
    answer, other = margin(ACCOUNT), margin(of_numpy(ACCOUNT))
    assert other.to_dict() == answer.to_dict()
    assert other.snapshot == answer.snapshot
    assert other.liquidation("BTC", {"USDT": np.int64(0)}) == answer.liquidation("BTC", {"USDT": 0})
    steps = np.array([-0.5, 0.0])
    assert other.grid({"BTC": steps}, {"USDT": [0]}).equals(answer.grid({"BTC": [-0.5, 0.0]}, {"USDT": [0]}))


@pytest.mark.parametrize("change", CHANGES)
def test_what_if_takes_numbers_of_numpy(change: dict[str, Any]) -> None:
    answer = margin(ACCOUNT)
    assert answer.what_if(**of_numpy(change)).to_dict() == answer.what_if(**change).to_dict()


@pytest.mark.parametrize("value", [np.True_, np.float64("nan"), np.float64("inf"), np.complex128(1)])
def test_what_is_no_number_in_numpy_is_none_here(value: Any) -> None:
    for change in ({"wallets": {"USDT": value}}, {"leverage": value}, {"rules": {"taker": value}}):
        with pytest.raises(InputError):
            ask(**change)
    with pytest.raises(InputError, match=r"move\.BTC = .*: write a number"):
        ask().what_if(move={"BTC": value})
    with pytest.raises(InputError, match=r"beta\.USDT = .*: write a number"):
        ask().liquidation("BTC", {"USDT": value})


# --- dust, nothing, and too much ----------------------------------------------------------------------------------


def test_dust_is_margined_as_it_is_and_what_is_less_than_a_step_counts_nothing() -> None:
    """4e-9 bitcoin at 67,000 and 0.4 % of it."""
    assert with_position(contracts=4e-9).account["maintenance_margin"] == pytest.approx(4e-9 * 67_000 * 0.004)
    nothing = with_position(contracts=1e-300)
    assert nothing.account["maintenance_margin"] == 0.0
    assert f"{BTC}: 1e-300 contracts are less than the smallest step, and count 0" in nothing.notes


def test_an_order_worth_more_than_the_ledger_holds_is_refused() -> None:
    with pytest.raises(InputError, match=r"add: 1e\+09 contracts at 67000 are 6\.7e\+13 USDT"):
        ask().what_if(add=f"{BTC} 1e9")
    with pytest.raises(InputError, match=r"order in BTC/USDT:USDT: 1 contracts at 1e\+12"):
        ask(orders=[{"symbol": BTC, "contracts": 1.0, "price": 1e12}])


def test_an_account_of_coins_alone_has_no_ratio_and_a_grid_of_none() -> None:
    answer = margin({"venue": "generic", "mode": "cross", "wallets": {"BTC": 1.0, "ETH": 1.0},
                     "prices": {"BTC": 60_000.0, "ETH": 3000.0}})  # fmt: skip
    assert answer.account["margin_ratio"] == math.inf
    assert (answer.grid({"BTC": [-0.5, 0.0]}, {"ETH": [-0.5, 0.0]}) == math.inf).all().all()


# --- prices pasted whole ------------------------------------------------------------------------------------------


def test_prices_that_nothing_needs_are_left_aside_and_named() -> None:
    whole = {"DOGE": 0.1, ETH: 3000.0, "SOL/USDT": 150.0, "BNB": 600.0, "XRP": 1.0, "ADA": 1.0, "LTC": 80.0}
    answer = ask(prices={"BTC": 67_000.0, **whole})
    assert answer.account["equity"] == pytest.approx(20_000 - 1000)
    assert list(answer.assets["asset"]) == ["USDT", "BTC"]
    assert (
        "prices that nothing here needs were left aside: DOGE, ETH/USDT:USDT, SOL/USDT, BNB, XRP, ADA and 1 others"
        in (answer.notes)
    )


def test_a_coin_is_worth_what_its_pair_trades_at() -> None:
    answer = ask(wallets={"USDT": 20_000.0, "ETH": 2.0}, prices={"ETH/USDT": 3100.0, "USDT": 0.5})
    assert answer.account["equity"] == pytest.approx(0.5 * (20_000 - 1000) + 2 * 3100 * 0.5)
    assert "no index price of ETH: taken as the price of ETH/USDT" in answer.notes


def test_every_coin_without_a_price_is_named_at_once() -> None:
    with pytest.raises(InputError, match=r"no price of SHIB, BNB; write \[prices\] SHIB = \.\.\., BNB = \.\.\."):
        ask(wallets={"USDT": 1.0, "SHIB": 1.0, "BNB": 1.0})


def test_an_order_in_a_contract_that_is_only_priced_is_filled_at_that_price() -> None:
    """One ether bought at 3,000 costs 0.05 % of it at Binance."""
    bought = ask(prices={ETH: 3000.0}).what_if(add=f"{ETH} 1")
    assert bought.positions["symbol"].tolist() == [BTC, ETH]
    assert bought.account["equity"] == pytest.approx(19_000 - 0.0005 * 3000)


def test_what_if_keeps_the_contract_size_of_the_venue() -> None:
    """50 contracts of a hundredth at OKX are half a bitcoin, also where the account gives the tick and not the size."""
    answer = ask(venue="okx", positions=[{**SHORT["positions"][0], "contracts": -50}], instruments={BTC: {"tick": 0.1}})
    assert answer.account["maintenance_margin"] == pytest.approx(0.0045 * 33_500)
    assert answer.move({"BTC": 0.0}).account["maintenance_margin"] == pytest.approx(0.0045 * 33_500)


# --- dates --------------------------------------------------------------------------------------------------------


def test_a_date_ahead_takes_the_rules_of_today_and_says_so() -> None:
    assert "9999-12-31 lies ahead: the rules known today are taken" in ask(at="9999-12-31").notes


def test_rules_of_another_day_are_named() -> None:
    notes = ask(at="2015-01-01", outside="nearest", counterfactual=True).notes
    assert any(note.startswith("of another day than the account's (counterfactual): brackets") for note in notes)


def test_an_account_without_a_date_is_of_one_moment_and_so_is_what_is_made_of_it(monkeypatch: Any) -> None:
    """The clock is a day further each time it is read: the account was written on the first of October."""
    ticks = (datetime(2026, 10, day, 23, 59, tzinfo=UTC) for day in range(1, 32))
    monkeypatch.setattr("backtest.calculator.snapshot.datetime", type("Clock", (), {"now": lambda zone: next(ticks)}))
    answer = margin({key: value for key, value in SHORT.items() if key != "at"})
    snapshot = answer.snapshot
    assert snapshot.at is None and snapshot.at_us == snapshot.at_us == moment_us("2026-10-01T23:59:00Z")
    assert answer.what_if(move={"BTC": 0.1}, add=f"{BTC} 0.1").snapshot.at_us == snapshot.at_us
    assert not compare_modes(answer)["why_not"].any()
    assert read_snapshot({"wallets": {"USDT": 1}}).at_us == moment_us("2026-10-02T23:59:00Z")
    assert snapshot.with_(at="2026-01-01").at_us == moment_us("2026-01-01")


# --- options ------------------------------------------------------------------------------------------------------


def test_an_option_counts_all_it_is_worth_since_its_premium_went_through_the_balance() -> None:
    """One bitcoin, less the 0.05 that the sold call is worth, whatever it was sold at: 0.95 x 67,000."""
    for entry in (0.04, None):
        answer = options(entry=entry)
        assert answer.account["equity"] == pytest.approx(0.95 * 67_000)
        assert answer.assets["option_value"].tolist() == pytest.approx([-0.05])
        assert answer.assets["net"].tolist() == pytest.approx([0.95])
    assert options().positions["unrealised_pnl"].tolist() == pytest.approx([0.04 - 0.05])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mark": 3500.0}, "the premium of an option paid in BTC is in BTC a coin: 0.0522388?"),
        ({"mark": None, "implied_volatility": 55.0}, "implied_volatility = 55 is a share a year; write 0.55"),
        ({"mark": None}, "give its mark (premium a coin in BTC) or implied_volatility"),
        ({"symbol": "BTC/USD:BTC-261225-40000-C", "mark": 0.1}, "give its implied_volatility too, or the forward"),
    ],
)
def test_an_options_price_in_another_unit_is_told(change: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as refused:
        options(**change)
    assert told in str(refused.value)


def test_the_future_of_an_options_day_is_its_forward_also_where_it_is_only_priced() -> None:
    given = {
        "venue": "deribit", "mode": "portfolio", "at": "2026-10-01", "wallets": {"BTC": 1.0},
        "positions": [{"symbol": CALL, "contracts": -1.0, "mark": 0.05}],
        "prices": {"BTC": 67_000.0, "BTC/USD:BTC-261225": 68_000.0},
    }  # fmt: skip
    answer = margin(given)
    assert answer.placed.forwards.tolist() == [68_000.0]
    assert not any("left aside" in note for note in answer.notes)


@pytest.mark.parametrize(
    ("venue", "mode", "told"),
    [
        ("binance", "portfolio", "ask at venue 'deribit', or in mode 'portfolio' at 'bybit' or 'okx'"),
        ("bybit", "multi_asset", "ask in mode 'portfolio'"),
        ("hyperliquid", "cross", "hyperliquid has spot, linear"),
        ("generic", "portfolio", 'write model = "span" or model = "tims"'),
    ],
)
def test_where_options_cannot_be_margined_the_message_names_where_they_can(venue: str, mode: str, told: str) -> None:
    with pytest.raises(InputError) as refused:
        margin({
            "venue": venue, "mode": mode, "at": "2026-10-01", "wallets": {"BTC": 1.0}, "prices": {"BTC": 67_000.0},
            "positions": [{"symbol": CALL, "contracts": -1.0, "mark": 0.05}],
        })  # fmt: skip
    assert told in str(refused.value)


def test_the_order_of_an_option_is_not_tried() -> None:
    with pytest.raises(InputError, match="is an option, whose orders are not tried"):
        options().what_if(add=f"{CALL} 1")


def test_an_order_beside_an_option_leaves_the_option_as_it_is() -> None:
    """60 contracts of 10 dollars of the perpetual bought at 67,000, where taking costs 0.05 %."""
    account = {
        "venue": "deribit", "mode": "portfolio", "at": "2026-10-01", "wallets": {"BTC": 1.0},
        "prices": {"BTC": 67_000.0, "BTC/USD:BTC": 67_000.0},
        "positions": [{"symbol": CALL, "contracts": -1.0, "mark": 0.05, "entry": 0.04}],
    }  # fmt: skip
    bought = margin(account).what_if(add="BTC/USD:BTC 60")
    assert bought.account["equity"] == pytest.approx(0.95 * 67_000 - 0.0005 * 600)
    assert bought.positions["entry"].tolist()[0] == pytest.approx(0.04)


# --- a unit's delta -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("venue", "model", "dollar"),
    [
        ("bybit", None, "USDT"), ("okx", None, "USDT"), ("deribit", None, "USDC"), ("paradex", None, "USDC"),
        ("generic", "span", "USDT"), ("generic", "tims", "USDT"),
    ],
)  # fmt: skip
def test_a_units_delta_is_in_coins_at_every_venue(venue: str, model: str | None, dollar: str) -> None:
    """Half a bitcoin sold moves like half a bitcoin, whatever a page counts in."""
    symbol = f"BTC/{dollar}:{dollar}"
    given: dict[str, Any] = {
        "venue": venue, "mode": "portfolio", "at": "2026-10-01", "leverage": 5, "wallets": {dollar: 30_000.0},
        "positions": [{"symbol": symbol, "contracts": -0.5, "entry": 60_000.0, "mark": 60_000.0}],
        "instruments": {symbol: {"contract_size": 1.0}},
    }  # fmt: skip
    answer = margin({**given, "model": model} if model else given)
    assert answer.units["delta"].tolist() == pytest.approx([-0.5])
    assert answer.units["parts_in"].tolist() == ["BTC" if venue == "deribit" else "USD"]
    assert set(answer.scenarios["profit_in"]) == {"BTC" if venue == "deribit" else "USD"}


# --- what ccxt answers --------------------------------------------------------------------------------------------


OF_CCXT: dict[str, Any] = {
    "info": {}, "symbol": BTC, "contracts": 0.5, "contractSize": 1.0, "side": "short", "entryPrice": 65_000.0,
    "markPrice": 67_000.0, "notional": -33_500.0, "leverage": 10.0, "marginMode": "cross", "hedged": False,
    "collateral": 20_000.0, "unrealizedPnl": -1000.0,
}  # fmt: skip


def test_a_cash_balance_of_okx_goes_before_its_equity() -> None:
    """50 contracts of a hundredth: the equity of 19,000 holds the 1,000 that were lost."""
    balance = {
        "info": {"data": [{"details": [{"ccy": "USDT", "cashBal": "20000", "eq": "19000"}]}]},
        "total": {"USDT": 19_000.0},
    }
    position = {**OF_CCXT, "contracts": 50.0, "contractSize": 0.01}
    answer = margin(from_ccxt([position], balance, venue="okx", at="2026-10-01"))
    assert answer.account["equity"] == pytest.approx(19_000.0)


def test_where_ccxts_total_is_the_equity_no_profit_counts_twice() -> None:
    """At Hyperliquid 19,000 with a loss of 1,000 in it; at Deribit 1.05 bitcoin with options and perpetuals in it."""
    perpetual = {**OF_CCXT, "symbol": "BTC/USDC:USDC", "markPrice": None}
    answer = margin(from_ccxt([perpetual], {"total": {"USDC": 19_000.0}}, venue="hyperliquid", at="2026-10-01"))
    assert answer.account["equity"] == pytest.approx(19_000.0)
    option = {"symbol": CALL, "contracts": 1.0, "side": "short", "entryPrice": 0.04, "markPrice": 0.05}
    inverse = {"symbol": "BTC/USD:BTC", "contracts": 60.0, "contractSize": 10.0, "side": "long",
               "entryPrice": 60_000.0, "markPrice": 67_000.0}  # fmt: skip
    answer = margin(from_ccxt([option, inverse], {"total": {"BTC": 1.05}}, venue="deribit", at="2026-10-01"))
    assert answer.account["equity"] == pytest.approx(1.05 * 67_000.0)
    isolated = {**perpetual, "markPrice": 67_000.0, "marginMode": "isolated", "collateral": 6000.0}
    answer = margin(from_ccxt([isolated], {"total": {"USDC": 19_000.0}}, venue="hyperliquid", at="2026-10-01"))
    assert answer.account["equity"] == pytest.approx(19_000.0)


def test_a_venue_without_cross_is_asked_in_its_nearest_mode() -> None:
    assert from_ccxt([OF_CCXT], {"total": {"USDT": 1.0}}, venue="bybit").mode == "multi_asset"
    assert from_ccxt([], {"total": {"USDC": 1.0}}, venue="paradex").mode == "portfolio"


def test_the_mark_of_an_inverse_contract_follows_from_its_notional_in_coins() -> None:
    """60 contracts of 10 dollars are 0.01 bitcoin at 60,000."""
    position = {"symbol": "BTC/USD:BTC", "contracts": 60.0, "contractSize": 10.0, "side": "long", "notional": 0.01}
    snapshot = from_ccxt([position], {"total": {"BTC": 1.0}})
    assert snapshot.positions[0].mark == pytest.approx(60_000.0)


@pytest.mark.parametrize(
    ("positions", "balance", "told"),
    [
        (None, {}, "fetch_positions = None: give the list that ccxt answers"),
        ({"x": 1}, {}, "give the list that ccxt answers"),
        (["x"], {}, "fetch_positions[0] = 'x': give a position"),
        ([], None, "fetch_balance = None: give the table"),
        ([{**OF_CCXT, "markPrice": None, "notional": None}], {}, "has no markPrice; add it"),
        ([OF_CCXT], {"total": {"USDT": "x"}}, "'x' is no number, in what ccxt answered"),
        ([OF_CCXT], {"total": {"USDT": math.nan}}, "nan is no number, in what ccxt answered"),
        ([{**OF_CCXT, "side": "both"}], {}, "write 'long' or 'short'"),
    ],
)
def test_what_ccxt_does_not_answer_is_refused(positions: Any, balance: Any, told: str) -> None:
    with pytest.raises(InputError) as refused:
        from_ccxt(positions, balance)
    assert told in str(refused.value)


def test_a_mistake_beside_the_answers_of_ccxt_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ccxt.json"
    path.write_text(json.dumps({"fetch_positions": [OF_CCXT], "fetch_balance": {"total": {"USDT": 1}}, "pices": {}}))
    with pytest.raises(InputError, match=rf"{path}: pices: unknown key .* did you mean 'prices'"):
        read_snapshot(path)


@pytest.mark.parametrize(
    ("beside", "told"),
    [
        (
            {"positions": []},
            "ccxt.json: positions stands beside what ccxt answered; write fetch_positions, or all by hand",
        ),
        ({"balance": {"USDT": 1}}, "balance stands beside what ccxt answered; write fetch_balance"),
        ({"instruments": 5}, "instruments = 5: write a table by symbol"),
        ({"instruments": {BTC: 5}}, f"instruments.{BTC} = 5: write a table, such as {{ contract_size = 1 }}"),
        ({"venue": ["okx"]}, "venue = ['okx']: write text in quotes"),
        ({5: "okx"}, "5: unknown key"),
    ],
)
def test_what_stands_beside_the_answers_of_ccxt_is_refused_in_words(beside: dict[Any, Any], told: str) -> None:
    with pytest.raises(InputError) as refused:
        read_snapshot({"fetch_positions": [OF_CCXT], "fetch_balance": {"total": {"USDT": 1}}, **beside}, "ccxt.json")
    assert told in str(refused.value)


def test_what_fails_inside_of_the_conversion_is_told_as_it_is(monkeypatch: Any) -> None:
    def broken(*given: Any) -> None:
        raise TypeError("a slip of ours")

    monkeypatch.setattr("backtest.calculator.ccxt_account._position", broken)
    with pytest.raises(TypeError, match="a slip of ours"):
        read_snapshot({"fetch_positions": [OF_CCXT]})


# --- on the command line ------------------------------------------------------------------------------------------


@pytest.fixture
def account(tmp_path: Path) -> str:
    path = tmp_path / "account.toml"
    path.write_text(CliRunner().invoke(app, ["margin", "--example"]).stdout)
    return str(path)


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["margin", *words])


def test_the_example_is_an_account(account: str) -> None:
    """20,000 and 700 USDT; half a bitcoin lost 1,000, two ether won 200."""
    said = json.loads(run(account, "--json").stdout)
    assert said["account"]["equity"] == pytest.approx(20_000 + 700 - 1000 + 200)
    assert run(account).exit_code == 0


def test_percentages_and_orders_without_quotes_are_taken(account: str) -> None:
    """ETH falls 10 %: two of them lose 680; a tenth of a bitcoin sold at 67,000 costs 0.05 % of 6,700."""
    said = json.loads(run(account, "--move", "ETH=-10%", "--json").stdout)
    assert said["then"]["account"]["equity"] == pytest.approx(19_900 - 680)
    said = json.loads(run(account, "--add", BTC, "-0.1", "--json").stdout)
    assert said["then"]["account"]["equity"] == pytest.approx(19_900 - 0.0005 * 6700)
    assert spread(["--add", BTC, "-1", "@", "70000", "--json"]) == ["--add", f"{BTC} -1 @ 70000", "--json"]
    assert spread(["--add", f"{BTC} -1", "a.toml"]) == ["--add", f"{BTC} -1", "a.toml"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--move", "BTC=-0.3,ETH=-0.3"], "write a blank between two of them"),
        (["--move", "BTC=-0.3", "BTC=-0.4"], "BTC is said twice"),
        (["--move", "BTC=-2"], "a coin cannot fall by more than all it is worth"),
        (["--set", "BTC=60k"], "'60k' is no number; write such as 60000"),
        (["--grid", "BTC=-0.5:0.5:nan", "ETH=-0.5:0.5"], "nan moves; write a whole number from 2 to 201"),
        (["--grid", "BTC=-0.5:0.5:2.7", "ETH=-0.5:0.5"], "2.7 moves; write a whole number"),
        (["--grid", "BTC=0:0", "ETH=-0.5:0.5"], "begins where it ends"),
        (["--along", "BTC", "--beta", "BTC=1"], "BTC is the coin that moves"),
        (["--along", "BTC", "--beta", "DOGE=1"], "beta: 'DOGE' is not in this account"),
        (["--along", "BTC", "--beta", "ETH=nan"], "beta.ETH = nan: write a number"),
        (["--along", "btc"], "did you mean 'BTC'?"),
    ],
)
def test_words_that_mean_nothing_end_with_code_2_and_print_nothing(account: str, words: list[str], told: str) -> None:
    done = run(account, *words)
    assert done.exit_code == 2, done.output
    assert told in done.stderr
    assert done.stdout == ""


def test_a_picture_is_whole_or_not_there(account: str, tmp_path: Path) -> None:
    grid = ["--grid", "BTC=-0.5:0.5:3", "ETH=-0.5:0.5:3", "--picture"]
    for name in ("grid.png", "grid.html", "new/grid.png"):
        assert run(account, *grid, str(tmp_path / name)).exit_code == 0
        assert (tmp_path / name).stat().st_size > 1000
    assert not list(tmp_path.glob("**/.*"))
    (tmp_path / "folder.png").mkdir()
    assert "is a folder" in run(account, *grid, str(tmp_path / "folder.png")).stderr


def test_a_wide_table_is_cut_to_the_screen_and_every_part_names_its_rows(account: str, monkeypatch: Any) -> None:
    import rich.console

    monkeypatch.setattr("backtest.cli.screen.open_console", lambda: rich.console.Console(width=90))
    shown = run(account).stdout
    assert shown.count(" BTC/USDT:USDT ") >= 2
    assert " 33,500.00 " in shown
    assert all(len(line) <= 90 for line in shown.splitlines())


def test_the_same_book_in_every_mode_survives_what_if() -> None:
    moved = ask().move({"BTC": 0.1})
    modes = compare_modes(moved).set_index("mode")
    assert modes.loc["cross", "equity"] == pytest.approx(20_000 - 0.5 * (73_700 - 65_000))
    assert backtest.margin(moved.snapshot).account["equity"] == pytest.approx(modes.loc["cross", "equity"])
