"""The margin calculator: the venue's printed examples typed in as accounts, and what every answer must keep to.

Examples are those of the rule book: FAQ b3c689c1 (G1, G4, G5), 87fa7ee3 (G10), ceccfcfb (G14), the API documentation
(G17, G19), FAQ c983a9268cfa (G20), the collateral tables (G24, G28), FAQ 5e33af8e6ac0 (G25, G26).
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_arithmetic import Desk, asset, future, scenario, spot
from typer.testing import CliRunner

import backtest
from backtest.calculator import Answer, compare_modes, compare_venues, from_ccxt, margin, read_snapshot
from backtest.calculator.book import Placed
from backtest.calculator.picture import heat_map, write_heat_map
from backtest.calculator.shown import Asked, shown
from backtest.cli import app
from backtest.cli.margin import spread
from backtest.errors import InputError
from backtest.margin.liquidation_price import liquidation_price
from backtest.venues.load import load
from backtest.venues.schema import PortfolioRules, Tier

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
COIN_BTC = "BTC/USD:BTC"
ROOT = Path(__file__).resolve().parent.parent


def ask(**account: Any) -> Answer:
    """Binance, cross, on a day its brackets are known; `more` as a snapshot has it."""
    return margin({"venue": "binance", "mode": "cross", "at": "2024-06-01", **account})


def held(symbol: str, contracts: float, entry: float, mark: float, **more: Any) -> dict[str, Any]:
    return {"symbol": symbol, "contracts": contracts, "entry": entry, "mark": mark, **more}


def first(answer: Answer, column: str) -> Any:
    return answer.positions[column].iloc[0]


# --- printed examples ---------------------------------------------------------------------------------------------


def long_of_eth(mark: float, **more: Any) -> dict[str, Any]:
    return {
        "wallets": {"USDT": 1_535_443.01},
        "positions": [held(ETH, 3683.979, 1456.84, mark)],
        "rules": {"tiers": {ETH: [[0, 0.1, 135_365, 5]]}},
        **more,
    }


def test_g1_a_long_of_3684_eth_beside_others_is_liquidated_at_1153_26() -> None:
    """The others, as one bitcoin: 10 % of 712,008.1144 are 71,200.81144, bought 56,354.57 dearer."""
    given = long_of_eth(1400.0)
    given["positions"].append(held(BTC, 1.0, 712_008.1144 + 56_354.57, 712_008.1144))
    given["rules"]["tiers"][BTC] = [[0, 0.1, 0, 5]]
    answer = ask(**given)
    assert answer.positions["maintenance_margin"].iloc[1] == pytest.approx(71_200.81144)
    assert first(answer, "liquidation_price") == pytest.approx(1153.25646, abs=5e-6)
    assert first(answer, "liquidation_price_shown") == "1153.26"


def test_g3_a_notional_of_4_918_775_needs_356_512_508() -> None:
    answer = ask(**long_of_eth(4_918_775.081 / 3683.979))
    assert first(answer, "notional") == pytest.approx(4_918_775.081)
    assert round(first(answer, "maintenance_margin"), 3) == 356_512.508


def test_g4_the_same_long_isolated_on_its_own_wallet_is_liquidated_at_1114_78() -> None:
    given = long_of_eth(1400.0, mode="isolated")
    given["wallets"] = {"USDT": 5.0}
    given["positions"] = [held(ETH, 3683.979, 1456.84, 1400.0, isolated=True, margin=1_535_443.01)]
    answer = ask(**given)
    assert first(answer, "wallet") == ETH
    assert first(answer, "liquidation_price") == pytest.approx(1114.78496, abs=5e-6)
    assert first(answer, "liquidation_price_shown") == "1114.78"


def test_g5_a_small_short_of_2020_is_liquidated_at_11383_99() -> None:
    """The others, as one ether at 13 bought at 12.53: 0.47 earned, 10 % are 1.3."""
    answer = ask(
        at="2020-06-01",
        wallets={"USDT": 10.72},
        positions=[held(BTC, -0.005, 9451.53, 9500.0), held(ETH, 1.0, 12.53, 13.0)],
        rules={"tiers": {BTC: 0.004, ETH: 0.1}},
    )
    assert first(answer, "liquidation_price_shown") == "11383.99"


@pytest.mark.parametrize(("contracts", "open_loss"), [(1.0, 0.0), (-1.0, 6.54)])
def test_g10_an_order_of_one_bitcoin_at_9253_30_ties_up_462_665_and_sold_would_open_with_a_loss_of_6_54(
    contracts: float, open_loss: float
) -> None:
    answer = ask(
        wallets={"USDT": 1000.0},
        orders=[{"symbol": BTC, "contracts": contracts, "price": 9253.30}],
        leverage=20,
        prices={BTC: 9259.84, "BTC": 9259.84},
    )
    assert answer.account["initial_margin"] == pytest.approx(462.665)
    assert answer.account["open_loss"] == pytest.approx(open_loss)
    assert answer.account["available"] == pytest.approx(1000.0 - 462.665 - open_loss)


COIN_TIERS = [
    [0, 0.004, 125], [5, 0.005, 100], [10, 0.01, 50], [20, 0.025, 20], [50, 0.05, 10], [100, 0.1, 5], [200, 0.125, 4],
]  # fmt: skip
COIN_TERMS = {COIN_BTC: {"contract_size": 100}}


def test_g14_300_bitcoin_need_12_5_percent_less_11_605() -> None:
    answer = ask(
        wallets={"BTC": 100.0},
        positions=[held(COIN_BTC, 30_000, 10_000.0, 10_000.0)],
        instruments=COIN_TERMS,
        rules={"tiers": {COIN_BTC: COIN_TIERS}},
    )
    assert first(answer, "notional") == pytest.approx(300.0)
    assert answer.placed.rule_set.tiers[0][-1].deduction == pytest.approx(11.605)
    assert first(answer, "maintenance_margin") == pytest.approx(0.125 * 300 - 11.605)


def test_g14_100_coin_margined_contracts_at_25000_need_0_0016_bitcoin() -> None:
    answer = ask(wallets={"BTC": 1.0}, positions=[held(COIN_BTC, 100, 25_000.0, 25_000.0)], instruments=COIN_TERMS)
    assert first(answer, "notional") == pytest.approx(0.4)
    assert first(answer, "maintenance_margin") == pytest.approx(0.0016)


def test_g17_one_coin_margined_contract_from_11707_70_has_earned_0_00005866_bitcoin_at_11788_67() -> None:
    answer = ask(
        wallets={"BTC": 1.0},
        positions=[held(COIN_BTC, 1, 11_707.70000003, 11_788.66626667)],
        instruments=COIN_TERMS,
    )
    assert int(first(answer, "unrealised_pnl") * 1e8) == 5866
    assert answer.account["equity"] / 11_788.66626667 - 1.0 == pytest.approx(5.86635e-5, abs=5e-11)


def test_g19_a_long_of_1_327_eth_at_187_17127_needs_1_614445() -> None:
    answer = ask(
        wallets={"USDT": 1000.0}, positions=[held(ETH, 1.327, 187.0, 187.17127)], rules={"tiers": {ETH: 0.0065}}
    )
    assert int(first(answer, "maintenance_margin") * 1e6) == 1_614_445


def test_g20_200_usdt_and_220_usdc_are_416_02_of_which_418_13_usdt_are_available() -> None:
    """USDT at an index of 0.99: counted at 0.9801 (less 1 %), owed at 0.99495 (and 0.5 %)."""
    answer = ask(
        mode="multi_asset",
        wallets={"USDT": 200.0, "USDC": 220.0},
        prices={"USDT": 0.99, "USDC": 1.0},
        rules={
            "collateral": {"USDT": 0.99, "USDC": 1.0},
            "ask_buffer": {"USDT": 0.005, "USDC": 0},
            "requirement_buffer": {"USDT": 0.005, "USDC": 0},
        },
    )
    available = dict(zip(answer.assets["asset"], answer.assets["available"], strict=True))
    assert answer.account["collateral_equity"] == pytest.approx(416.02)
    assert round(available["USDT"], 2) == 418.13
    assert round(available["USDC"], 2) == 416.02
    assert answer.account["venue_ratio"] == 0.0


@pytest.mark.parametrize(
    ("coin", "at", "counts"),
    [("BNB", "2024-06-01", 950.0), ("ADA", "2021-06-01", 900.0), ("FDUSD", "2025-09-01", 989.0)],
)
def test_g24_1000_of_a_coin_count_its_collateral_value_ratio(coin: str, at: str, counts: float) -> None:
    answer = ask(mode="multi_asset", at=at, wallets={coin: 1000.0}, prices={coin: 1.0})
    assert answer.account["collateral_equity"] == pytest.approx(counts)


def test_g25_a_bitcoin_in_each_of_three_wallets_counts_2_85() -> None:
    one = {"BTC": 1.0}
    answer = ask(
        mode="portfolio",
        at="2022-06-01",
        wallets={"spot": one, "usdm": one, "coinm": one},
        prices={"BTC": 30_000.0},
        rules={"collateral": {"BTC": 0.95}},
    )
    assert answer.account["collateral_equity"] / 30_000.0 == pytest.approx(2.85)


def test_g26_loans_need_a_tenth_and_two_contracts_have_earned_600_and_lost_414() -> None:
    quarterly = "BTC/USDT:USDT-220624"
    answer = ask(
        mode="portfolio",
        at="2022-05-02",
        wallets={"BTC": 0.1, "ETH": 20.0, "USDT": 6000.0},
        loans={"BTC": 0.04, "ETH": 15.0},
        positions=[held(BTC, -0.05, 52_000.0, 40_000.0), held(quarterly, 0.04, 52_350.0, 42_000.0)],
        prices={"BTC": 40_000.0, "ETH": 3000.0},
        rules={"tiers": {BTC: 0.005, quarterly: 0.005}},
    )
    futures = answer.positions["maintenance_margin_usd"].sum()
    assert answer.positions["unrealised_pnl"].tolist() == pytest.approx([600.0, -414.0])
    assert answer.account["maintenance_margin"] - futures == pytest.approx(0.004 * 40_000 + 1.5 * 3000)


def test_g28_6000_bitcoin_of_120_million_count_119_500_000() -> None:
    answer = ask(
        mode="portfolio",
        wallets={"BTC": 6000.0},
        prices={"BTC": 20_000.0},
        rules={"collateral": {"BTC": [[0, 1.0], [100_000_000, 0.975]]}},
    )
    assert answer.account["collateral_equity"] == pytest.approx(119_500_000.0)


# --- the liquidation price put back in --------------------------------------------------------------------------


def ratio_of_wallet(answer: Answer, wallet: str) -> float:
    return float(answer.wallets.set_index("wallet").loc[wallet, "margin_ratio"])


def put_back(answer: Answer) -> None:
    """Every position's liquidation price, set as its mark, leaves its wallet just at the level."""
    for row in answer.positions.to_dict("records"):
        price = row["liquidation_price"]
        if price is not None and not math.isnan(price):
            there = answer.what_if(prices={row["symbol"]: price})
            assert ratio_of_wallet(there, row["wallet"]) == pytest.approx(answer.placed.level, rel=1e-9)


BOOKS = st.tuples(  # contracts of eight digits: no venue has finer ones, and the ledger holds no others
    st.floats(-40.0, 40.0).filter(lambda x: abs(x) > 0.01).map(lambda x: round(x, 8)),
    st.floats(-400.0, 400.0).filter(lambda x: abs(x) > 0.1).map(lambda x: round(x, 8)),
    st.floats(0.8, 1.25),
    st.floats(5_000.0, 5_000_000.0),
    st.floats(0.0, 30.0),
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(BOOKS, st.sampled_from(["isolated", "cross", "multi_asset", "portfolio"]))
def test_a_liquidation_price_put_back_in_is_the_level_in_every_mode_of_binance(
    book: tuple[float, ...], mode: str
) -> None:
    btc, eth, entry, usdt, coins = book
    answer = ask(
        mode=mode,
        wallets={"USDT": usdt, "BTC": coins},
        positions=[held(BTC, btc, 60_000.0 * entry, 60_000.0), held(ETH, eth, 3000.0 / entry, 3000.0)],
        prices={"BTC": 60_100.0, "ETH": 2995.0},
        leverage=5,
    )
    assert len(answer.positions) == 2
    put_back(answer)


TERMS: list[dict[str, Any]] = [
    {},
    {"initial_at_entry": True, "maintenance_at_entry": True},
    {"fee_to_close": True},
    {"fee_in_maintenance": True},
    {"debts_are_loans": True, "debt_fee": 0.005},
    {"debt_in_maintenance": True},
    {"haircut_in_initial": True},
    {"fixed_usd": 20.0},
    {"tier_flat": True, "tier_by_contracts": True},
]


@settings(max_examples=4, deadline=None, derandomize=True)
@given(book=BOOKS, mode=st.sampled_from(["cross", "multi_asset"]))
@pytest.mark.parametrize("terms", TERMS, ids=lambda terms: ", ".join(terms) or "usual")
def test_a_liquidation_price_put_back_in_is_the_level_however_a_venue_reads_its_tables(
    terms: dict[str, Any], book: tuple[float, ...], mode: str
) -> None:
    btc, eth, entry, usdt, coins = book
    answer = margin({
        "venue": "generic",
        "mode": mode,
        "wallets": {"USDT": usdt, "BTC": coins},
        "positions": [held(BTC, btc, 60_000.0 * entry, 60_000.0), held(ETH, eth, 3000.0 / entry, 3000.0)],
        "prices": {"BTC": 60_100.0, "ETH": 2995.0},
        "leverage": 5,
        "rules": {"terms": terms, "borrow_maintenance": 0.1, "borrow_initial": 0.2},
    })  # fmt: skip
    assert answer.account["maintenance_margin"] > 0.0
    put_back(answer)


def test_a_fixed_sum_is_of_the_account_and_of_no_position() -> None:
    """1 % of 60,000, and 20 beside it."""
    common = {"venue": "generic", "mode": "cross", "wallets": {"USDT": 9000.0}}
    answer = margin({
        **common,
        "positions": [held(BTC, 1.0, 60_000.0, 60_000.0)],
        "rules": {"tiers": {BTC: 0.01}, "terms": {"fixed_usd": 20}},
    })  # fmt: skip
    assert answer.account["maintenance_margin"] == pytest.approx(620.0)
    assert first(answer, "maintenance_margin") == pytest.approx(600.0)
    assert first(answer, "margins_are") == "additive"


@settings(max_examples=15, deadline=None, derandomize=True)
@given(BOOKS, st.floats(0.0, 1.0))
def test_a_liquidation_price_put_back_in_is_the_level_under_scenarios(book: tuple[float, ...], offset: float) -> None:
    btc, eth, entry, usdt, coins = book
    answer = margin({
        "venue": "generic",
        "mode": "portfolio",
        "wallets": {"USDT": usdt, "BTC": coins},
        "positions": [held(BTC, btc, 60_000.0 * entry, 60_000.0), held(ETH, eth, 3000.0 / entry, 3000.0)],
        "prices": {"BTC": 60_100.0, "ETH": 2995.0},
        "rules": {"scenario": {"offset": offset}},
    })  # fmt: skip
    assert answer.account["maintenance_margin"] > 0.0
    put_back(answer)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.sampled_from([1, -1]), st.integers(1, 15), st.floats(0.25, 0.8), st.booleans())
def test_the_solver_agrees_with_the_formula_of_the_help_page(
    side: int, contracts: int, share: float, inverse: bool
) -> None:
    """Opened at 100 with `share` of the notional as its own money, in whichever bracket that ends."""
    rows = [[0, 0.02, 25], [800, 0.03, 18], [1500, 0.06, 10]]
    if inverse:
        rows = [[floor / 100, rate, top] for floor, rate, top in rows]
    deductions = [0.0, 8.0, 53.0]  # 800 x 1 %, and 1,500 x 3 % more
    brackets = [
        Tier(floor, rate, d / (100 if inverse else 1), top)
        for (floor, rate, top), d in zip(rows, deductions, strict=True)
    ]
    balance = contracts * (1.0 if inverse else 100.0) * share
    symbol, size = (COIN_BTC, 100.0) if inverse else (BTC, 1.0)
    expected = liquidation_price(side * contracts, 100.0, balance, brackets, contract_size=size, inverse=inverse)
    answer = ask(
        wallets={"BTC" if inverse else "USDT": balance},
        positions=[held(symbol, side * contracts, 100.0, 100.0)],
        instruments={symbol: {"contract_size": size}},
        rules={"tiers": {symbol: rows}},
    )
    assume(expected is None or 1e-3 < expected < 1e6)
    found = first(answer, "liquidation_price")
    if expected is None:
        assert found is None or math.isnan(found)
        assert first(answer, "liquidation_price_shown") == "--"
    else:
        assert found == pytest.approx(expected, rel=1e-11)


def test_a_coin_margined_leg_of_a_portfolio_is_put_back_in_too() -> None:
    """Other prices are held, the coin's index among them: what the contract earns in coin counts at today's price."""
    answer = ask(
        mode="portfolio",
        wallets={"USDT": 5000.0, "BTC": 0.5},
        positions=[held(COIN_BTC, 1500, 60_000.0, 61_000.0), held(BTC, -1.0, 60_000.0, 61_000.0)],
        instruments=COIN_TERMS,
        prices={"BTC": 61_000.0},
    )
    assert answer.positions["liquidation_price"].notna().all()
    put_back(answer)


def test_an_isolated_position_is_put_back_in_on_its_own_wallet_beside_a_cross_one() -> None:
    answer = ask(
        wallets={"USDT": 9000.0},
        positions=[held(BTC, 1.0, 60_000.0, 60_500.0, isolated=True, margin=6000.0), held(ETH, -9.0, 3000.0, 3050.0)],
        prices={"BTC": 60_500.0},
        leverage=10,
    )
    assert answer.positions["wallet"].tolist() == [BTC, "usdm:USDT"]
    assert answer.account["available"] == pytest.approx(9000.0 - 9 * 50.0 - 9 * 3050.0 / 10)
    put_back(answer)


def test_an_account_hedged_coin_by_coin_is_not_liquidated_by_a_fall_of_the_coin() -> None:
    """One bitcoin, one sold: at 95 % the fall costs the haircut of what is earned, and never more than there is."""
    answer = ask(
        mode="portfolio",
        wallets={"BTC": 1.0},
        positions=[held(BTC, -1.0, 60_000.0, 60_000.0)],
        prices={"BTC": 60_000.0},
    )
    found = answer.liquidation("BTC")
    assert found is not None
    assert found.move > 1.0
    there = answer.what_if(prices={"BTC": found.price, BTC: found.price})
    assert there.account["margin_ratio"] == pytest.approx(answer.placed.level, rel=1e-9)


def test_others_that_follow_by_their_beta_bring_the_liquidation_nearer() -> None:
    answer = ask(
        wallets={"USDT": 40_000.0},
        positions=[held(BTC, 1.0, 60_000.0, 60_000.0), held(ETH, 20.0, 3000.0, 3000.0)],
    )
    alone, followed = answer.liquidation("BTC"), answer.liquidation("BTC", {"ETH": 1.5})
    assert alone is not None
    assert followed is not None
    assert alone.price < followed.price < 60_000.0
    move = followed.move
    there = answer.move({"BTC": move, "ETH": 1.5 * move})
    assert there.account["margin_ratio"] == pytest.approx(1.0, rel=1e-9)


def test_in_hedge_mode_long_and_short_of_one_contract_share_one_liquidation_price() -> None:
    answer = ask(
        wallets={"USDT": 20_000.0},
        positions=[
            {**held(BTC, 3.0, 60_000.0, 61_000.0), "side": "long"},
            {**held(BTC, 1.0, 62_000.0, 61_000.0), "side": "short"},
        ],
    )
    assert answer.placed.plan.two_sided
    prices = answer.positions["liquidation_price"].tolist()
    assert prices[0] == pytest.approx(prices[1], rel=1e-12)
    assert answer.positions["contracts"].tolist() == [3.0, -1.0]
    put_back(answer)


# --- the same state, in the engine ------------------------------------------------------------------------------


RATES = {BTC: [[0, 0.02, 0, 25], [80_000, 0.03, 800, 18]], ETH: [[0, 0.05, 0, 10]]}


def engine_and_calculator(
    btc: float, eth: float, mark: float, usdt: float, coins: float, mode: str
) -> tuple[tuple[float, ...], Answer]:
    """An account that bought at 60,000 and 3,000 and is then shown other prices; the same typed in."""
    p, q = [60_000.0, 60_000.0, mark, mark], [3000.0, 3000.0, 3100.0, 3100.0]
    multi = mode != "cross"
    moves = [(0.0,), (-0.1, 0.1), (-0.12, 0.12)]
    rules: dict[str, Any] = {
        "tiers": {symbol: [[f, r, d, m] for f, r, d, m in rows] for symbol, rows in RATES.items()},
        "collateral": {"USDT": 1.0, "BTC": 0.9, "ETH": 0.9},
        "conversion_cost": 0,
    }
    if mode == "portfolio":
        charges = {"offset": 0.3, "basis_charge": 0.0, "contingency": 0.01, "initial_factor": 1.3}
        moved = {"USDT": [0.0], "BTC": [-0.1, 0.1], "ETH": [-0.12, 0.12]}
        rules["scenario"] = {"moves": moved, **charges}
    desk = Desk(
        {BTC: future("BTC", p, tiers=RATES[BTC]), ETH: future("ETH", q, tiers=RATES[ETH]), "BTC/USDT": spot("BTC", p)},
        {"USDT": asset([1.0] * 4), "BTC": asset(p, 0.9), "ETH": asset(q, 0.9)},
        {"unified" if multi else "usdm": {"USDT": usdt}, "spot": {"BTC": coins}},
        multi=multi,
        requirement="scenarios" if mode == "portfolio" else "tiers",
        scenario=scenario(moves, offset=0.3, contingency=0.01, initial_factor=1.3) if mode == "portfolio" else None,
        leverage=5,
        unbound=True,
    )
    desk.order(BTC, btc)
    desk.order(ETH, eth)
    desk.live()
    found = (*desk.margin(2, "unified" if multi else "usdm"), float(desk.book.path[0, 0, 2]))
    typed = margin({
        "venue": "generic",
        "mode": mode,
        "wallets": {"USDT": usdt, "spot": {"BTC": coins}},
        "positions": [held(BTC, btc, 60_000.0, mark), held(ETH, eth, 3000.0, 3100.0)],
        "prices": {"USDT": 1.0, "BTC": mark, "ETH": 3100.0},
        "leverage": 5,
        "rules": rules,
    })  # fmt: skip
    return found, typed


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.integers(-4000, 4000).filter(bool),
    st.integers(-9000, 9000).filter(bool),
    st.floats(45_000.0, 80_000.0),
    st.floats(100_000.0, 1e6),
    st.floats(0.1, 10.0),
    st.sampled_from(["cross", "multi_asset", "portfolio"]),
)
def test_calculator_and_engine_give_the_same_numbers_for_the_same_state(
    btc: int, eth: int, mark: float, usdt: float, coins: float, mode: str
) -> None:
    usdt, coins = round(usdt, 2), round(coins, 4)
    (collateral, initial, maintenance, equity), answer = engine_and_calculator(
        btc / 1000, eth / 1000, mark, usdt, coins, mode
    )
    account = answer.account
    assert account["collateral_equity"] == pytest.approx(collateral, rel=1e-12, abs=1e-6)
    assert account["initial_margin"] == pytest.approx(initial, rel=1e-12, abs=1e-6)
    assert account["maintenance_margin"] == pytest.approx(maintenance, rel=1e-12, abs=1e-6)
    assert account["equity"] == pytest.approx(equity, rel=1e-12, abs=1e-6)


def test_positions_of_tiers_add_up_and_those_of_scenarios_stand_alone() -> None:
    """Short 5,000 of BTC (10 %) and long 3,000 of ETH (11.667 %) need 850, with an offset of 0.3 less 700 x 0.3."""
    book = [held(BTC, -0.1, 50_000.0, 50_000.0), held(ETH, 1.0, 3000.0, 3000.0)]
    moves = {"BTC": [-0.1, 0.1], "ETH": [-0.35 / 3, 0.35 / 3]}
    charges = {"offset": 0.3, "basis_charge": 0.0, "contingency": 0.0, "initial_factor": 1.0}
    common = {"venue": "generic", "wallets": {"USDT": 10_000.0}, "positions": book}
    tiers = margin({**common, "mode": "cross", "rules": {"tiers": {BTC: 0.1, ETH: 0.35 / 3}}})
    risk = margin({**common, "mode": "portfolio", "rules": {"scenario": {"moves": moves, **charges}}})
    assert tiers.account["maintenance_margin"] == pytest.approx(850.0)
    assert risk.account["maintenance_margin"] == pytest.approx(850.0 - 700.0 * 0.3)
    assert set(tiers.positions["margins_are"]) == {"additive"}
    assert set(risk.positions["margins_are"]) == {"standalone"}
    assert risk.positions["maintenance_margin_usd"].tolist() == pytest.approx([500.0, 350.0])


def test_the_scenario_table_marks_the_worst_move_of_each_coin() -> None:
    """A bitcoin short of 50,000 loses most where bitcoin rises 16 %: 8,000."""
    answer = margin({
        "venue": "generic",
        "mode": "portfolio",
        "wallets": {"USDT": 10_000.0},
        "positions": [held(BTC, -1.0, 50_000.0, 50_000.0)],
    })  # fmt: skip
    worst = answer.scenarios[answer.scenarios["worst"]]
    assert len(answer.scenarios) == 33
    assert worst["price_move"].tolist() == [0.16]
    assert worst["profit"].tolist() == pytest.approx([-8000.0])


OPTION = "BTC/USD:BTC-240628-60000-C"


class WithOptions:
    """The generic venue, as if its tables spoke of options: what they say of linear contracts holds for them."""

    def __init__(self, venue: Any) -> None:
        self.venue = venue

    def __getattr__(self, name: str) -> Any:
        return getattr(self.venue, name)

    def in_force(self, instruments: Any, *rest: Any, **more: Any) -> Any:
        stand_in = [replace(i, kind="linear") if i.kind == "option" else i for i in instruments]
        sets = self.venue.in_force(stand_in, *rest, **more)
        return tuple(replace(each, written_option=(0.15, 0.1, 0.075)) for each in sets)


def short_call(monkeypatch: pytest.MonkeyPatch, **more: Any) -> Answer:
    """One call on a bitcoin sold, struck at 60,000, settled in coin, a year to run at 50 %, on half a bitcoin."""
    monkeypatch.setattr("backtest.calculator.book.load", lambda name: WithOptions(load(name)))
    return margin({
        "venue": "generic",
        "mode": "cross",
        "at": "2023-06-29T08:00:00Z",
        "wallets": {"BTC": 0.5},
        "positions": [{"symbol": OPTION, "contracts": -1.0, "implied_volatility": 0.5, **more}],
        "prices": {"BTC": 60_000.0},
    })  # fmt: skip


def test_an_option_without_a_mark_is_priced_by_black_76(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the money, a year, 50 %: 2 N(0.25) - 1 of the forward, 0.19741, in coin; the margin is Deribit's of a short
    call: initial max(0.15 - 0, 0.1) + mark, maintenance 0.075 + mark."""
    answer = short_call(monkeypatch, entry=0.2)
    assert first(answer, "mark") == pytest.approx(0.1974126514, abs=1e-9)
    assert first(answer, "unrealised_pnl") == pytest.approx(0.2 - 0.1974126514, abs=1e-9)
    assert first(answer, "initial_margin") == pytest.approx(0.15 + 0.1974126514, abs=1e-9)
    assert first(answer, "maintenance_margin") == pytest.approx(0.075 + 0.1974126514, abs=1e-9)


def test_an_options_volatility_is_read_from_its_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = short_call(monkeypatch, mark=0.1974126514, implied_volatility=None)
    assert answer.placed.volatilities[0] == pytest.approx(0.5, abs=1e-6)


def test_a_short_call_loses_as_the_coin_rises_and_is_liquidated_there(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = short_call(monkeypatch)
    found = answer.liquidation("BTC")
    assert found is not None
    assert found.price > 60_000.0
    there = answer.move({"BTC": found.move})
    assert there.account["margin_ratio"] == pytest.approx(1.0, rel=1e-9)
    assert there.positions["mark"].iloc[0] > first(answer, "mark")


def test_an_option_without_mark_and_volatility_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="give its mark"):
        short_call(monkeypatch, implied_volatility=None)


def test_a_page_of_portfolio_margin_shows_its_units_and_its_scenarios(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a page leaves it in the book: a short of 50,000 under two moves of 10 %, the worse charged, initial 1.2 x."""
    asked_now = Placed.now

    def charged(placed: Placed, book: Any = None) -> Any:
        found = asked_now(placed, book)
        a = placed.assets.index("BTC")
        found.charge[a, :2] = 5000.0, 6000.0
        found.cell[a, :, :2] = [[-0.1, 0.1], [0.0, 0.0], [5000.0, -5000.0]]
        return found

    monkeypatch.setattr(Placed, "now", charged)
    answer = margin({
        "venue": "generic",
        "mode": "portfolio",
        "wallets": {"USDT": 10_000.0},
        "positions": [held(BTC, -1.0, 50_000.0, 50_000.0)],
    })  # fmt: skip
    page = PortfolioRules("bybit", ((), ((-0.1, 0.0, 1.0), (0.1, 0.0, 1.0))), ({}, {}), ({}, {}))
    answer.placed.rule_set = replace(answer.placed.rule_set, portfolio=page)
    (unit,) = answer.units.to_dict("records")
    assert (unit["unit"], unit["maintenance_margin"], unit["initial_margin"]) == ("BTC", 5000.0, 6000.0)
    worst = answer.scenarios[answer.scenarios["worst"]]
    assert worst["price_move"].tolist() == [0.1]
    assert worst["profit"].tolist() == [-5000.0]


# --- what if ----------------------------------------------------------------------------------------------------


def carry() -> Answer:
    """Half a bitcoin long at 60,000 on 10,000 USDT, and two bitcoins at 90 % beside it."""
    return margin({
        "venue": "generic",
        "mode": "multi_asset",
        "wallets": {"USDT": 10_000.0, "BTC": 2.0},
        "positions": [held(BTC, 0.5, 60_000.0, 60_000.0)],
        "prices": {"BTC": 60_000.0},
        "leverage": 5,
    })  # fmt: skip


def test_a_fall_of_30_percent_takes_9000_from_the_future_and_36000_from_the_coins() -> None:
    fallen = carry().move({"BTC": -0.3})
    assert fallen.account["equity"] == pytest.approx(130_000.0 - 0.5 * 18_000 - 2 * 18_000)
    assert fallen.account["collateral_equity"] == pytest.approx(10_000 - 9000 + 0.9 * 84_000)
    assert fallen.positions["mark"].tolist() == [42_000.0]


def test_a_basis_wider_by_two_percent_is_1200_on_the_mark_and_nothing_on_the_coins() -> None:
    wider = carry().what_if(basis=0.02)
    assert wider.account["equity"] == pytest.approx(130_000.0 + 0.5 * 1200)


def test_haircuts_are_set_by_coin_or_raised_for_all_coins_but_not_for_dollars() -> None:
    assert carry().what_if(haircut={"BTC": 0.25}).account["collateral_equity"] == pytest.approx(10_000 + 90_000)
    assert carry().what_if(haircut=0.05).account["collateral_equity"] == pytest.approx(10_000 + 0.85 * 120_000)


def test_a_long_pays_funding_of_a_tenth_of_a_percent_on_30000() -> None:
    assert carry().what_if(funding=0.001).account["equity"] == pytest.approx(130_000.0 - 30.0)
    assert carry().what_if(funding={BTC: -0.001}).account["equity"] == pytest.approx(130_000.0 + 30.0)


def test_one_price_can_be_set_alone() -> None:
    there = carry().what_if(prices={BTC: 61_000.0})
    assert there.account["equity"] == pytest.approx(130_000.0 + 500.0)


def test_an_order_at_the_market_is_filled_by_the_engine_with_its_fee() -> None:
    """0.5 more at 60,000 costs 0.05 % of 30,000; a bitcoin at 5x needs 12,000."""
    more = carry().what_if(add=f"{BTC} 0.5")
    assert more.account["equity"] == pytest.approx(130_000.0 - 15.0)
    assert more.account["initial_margin"] == pytest.approx(12_000.0)
    assert more.positions["contracts"].tolist() == [1.0]
    assert more.notes[-1] == f"order {BTC} 0.5: filled"


def test_an_order_that_the_margin_does_not_carry_is_refused_for_the_venues_reason() -> None:
    refused = carry().what_if(add=f"{BTC} 100")
    assert "initial margin" in refused.notes[-1]
    assert refused.positions["contracts"].tolist() == [0.5]


def test_an_account_at_its_level_is_told_so_instead_of_an_order() -> None:
    answer = ask(wallets={"USDT": 100.0}, positions=[held(BTC, 1.0, 60_000.0, 60_000.0)])
    assert answer.account["state"] == "liquidate"
    assert "at its liquidation level" in answer.what_if(add=f"{BTC} 0.1").notes[-1]


def test_an_order_at_a_limit_waits_and_ties_up_margin() -> None:
    """0.5 held at 60,000 and 0.5 wished at 50,000: 55,000 at 5x."""
    waiting = carry().what_if(add={"symbol": BTC, "contracts": 0.5, "price": 50_000.0})
    assert waiting.account["initial_margin"] == pytest.approx(55_000 / 5)
    assert waiting.snapshot.orders[0].price == 50_000.0
    assert waiting.notes[-1].endswith("waiting")


def test_an_order_in_an_isolated_contract_takes_its_margin_from_the_shared_wallet() -> None:
    """0.1 bitcoin at 60,000 and 10x: 600, and a fee of 0.05 % of 6,000 from the shared wallet."""
    before = margin({
        "venue": "generic", "mode": "isolated", "wallets": {"USDT": 1000.0}, "prices": {BTC: 60_000.0}, "leverage": 10,
    })  # fmt: skip
    after = before.what_if(add=f"{BTC} 0.1")
    own = after.wallets.set_index("wallet")["collateral_equity"]
    assert own[BTC] == pytest.approx(600.0)
    assert own["usdm:USDT"] == pytest.approx(400.0 - 3.0)
    assert after.move({"BTC": -0.01}).account["equity"] == pytest.approx(997.0 - 60.0)


def test_in_hedge_mode_an_order_names_its_side() -> None:
    account = {"venue": "generic", "mode": "cross", "hedge": True, "wallets": {"USDT": 9000.0}, "leverage": 10}
    before = margin({**account, "positions": [held(BTC, 0.5, 60_000.0, 60_000.0)]})
    after = before.what_if(add={"symbol": BTC, "contracts": -0.2, "side": "short"})
    assert after.positions["contracts"].tolist() == [0.5, -0.2]
    assert after.account["initial_margin"] == pytest.approx(0.7 * 60_000 / 10)


def test_an_order_in_coins_changes_balances() -> None:
    """0.1 bitcoin for 6,000, of which the venue keeps a thousandth in coin."""
    bought = carry().what_if(add="BTC/USDT 0.1")
    assert bought.account["equity"] == pytest.approx(130_000.0 - 0.1 * 0.001 * 60_000)


def test_a_grid_of_two_moves_holds_the_ratios_of_each_pair(tmp_path: Path) -> None:
    answer = ask(
        wallets={"USDT": 40_000.0},
        positions=[held(BTC, 1.0, 60_000.0, 60_000.0), held(ETH, 20.0, 3000.0, 3000.0)],
    )
    grid = answer.grid({"BTC": [-0.2, 0.0, 0.2]}, {"ETH": [-0.1, 0.1]})
    one = answer.move({"BTC": -0.2, "ETH": 0.1})
    assert grid.shape == (3, 2)
    assert grid.loc[-0.2, 0.1] == pytest.approx(one.account["margin_ratio"], rel=1e-12)
    write_heat_map(grid, tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"
    drawn = heat_map(grid).data[0]
    assert list(drawn.x) == ["-10%", "+10%"] and list(drawn.y) == ["-20%", "+0%", "+20%"]
    assert drawn.text[0][1] == f"{one.account['margin_ratio']:.2f}"


def test_the_same_book_in_every_mode_of_the_venue_and_elsewhere() -> None:
    answer = ask(wallets={"USDT": 20_000.0, "BTC": 1.0}, positions=[held(BTC, -1.0, 60_000.0, 60_000.0)], leverage=5)
    modes = compare_modes(answer).set_index("mode")
    assert list(modes.index) == ["isolated", "cross", "multi_asset", "portfolio", "portfolio_pro"]
    assert set(modes["equity"]) == {80_000.0}
    assert modes.loc["cross", "collateral_equity"] == pytest.approx(20_000.0)
    assert modes.loc["portfolio", "collateral_equity"] == pytest.approx(20_000.0 + 0.95 * 60_000)
    venues = compare_venues(answer)
    assert {"binance", "generic"} <= set(venues["venue"])


# --- how an account is written ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"walets": {}}, "did you mean 'wallets'?"),
        ({"positions": [{"symbol": BTC, "contract": 1}]}, "did you mean 'contracts'?"),
        ({"positions": [{"symbol": BTC}]}, "give contracts, or size"),
        ({"positions": [{"symbol": "BTCUSDT", "contracts": 1}]}, "did you mean"),
        ({"positions": [{"symbol": "BTC/USDT", "contracts": 1}]}, "[wallets] BTC = 1"),
        ({"positions": [held(BTC, -1.0, 1.0, 1.0, side="long")]}, "is short but side = 'long'"),
        ({"positions": [held(BTC, 1.0, 1.0, 1.0), held(BTC, 2.0, 1.0, 1.0)]}, "stands twice on one side"),
        ({"positions": [held(BTC, 1.0, 1.0, 1.0, margin=5.0, isolated=False)]}, "isolated = false"),
        ({"positions": [held(BTC, 1.0, 1.0, 1.0, implied_volatility=0.5)]}, "are an option's"),
        (
            {"mode": "isolated", "positions": [held(BTC, 1.0, 1.0, 1.0), held(BTC, -1.0, 1.0, 1.0)]},
            "have wallets apart",
        ),
        ({"rules": {"tier": {}}}, "did you mean 'tiers'?"),
        ({"rules": {"tiers": {ETH: 0.1}}}, "is not in this account"),
        ({"rules": {"tiers": {BTC: [[0, 0.1], [0, 0.2]]}}}, "does not rise above"),
        ({"rules": {"collateral": {"USDT": 1.5}}}, "is not between 0 and 1"),
        ({"rules": {"terms": {"tier_flt": True}}}, "did you mean 'tier_flat'?"),
        ({"rules": {"terms": {"tier_flat": 1}}}, "write true or false"),
        ({"rules": {"maker": "free"}}, "write a number"),
        ({"mode": "crss"}, "did you mean 'cross'?"),
        ({"venue": "binanse"}, "did you mean 'binance'?"),
        ({"at": "yesterday"}, "is not a date"),
        ({"at": "2015-01-01"}, "was offered from"),
        ({"prices": {"doge": 1.0}}, "did you mean 'DOGE'?"),
        ({"positions": [held(BTC, 1.0, 1.0, 1.0)], "prices": {BTC: 2.0}}, "differ"),
        ({"wallets": {"DOGE": 1.0}}, "no price of DOGE"),
        ({"wallets": {"unknown": {"USDT": 1.0}}}, "no wallet 'unknown'"),
        ({"leverage": {ETH: 3}}, "is not in this account"),
    ],
)
def test_what_is_wrong_in_an_account_is_told_with_what_would_do(change: dict[str, Any], words: str) -> None:
    given = {"wallets": {"USDT": 1000.0}, "positions": [held(BTC, 0.1, 60_000.0, 60_000.0)], **change}
    with pytest.raises(InputError, match=r"[\s\S]*" + __import__("re").escape(words)):
        ask(**given)


def test_an_empty_account_is_refused() -> None:
    with pytest.raises(InputError, match="the account is empty"):
        margin({"venue": "binance"})


def test_the_rules_used_are_listed_with_the_accounts_own_last() -> None:
    answer = ask(**long_of_eth(1400.0))
    assert answer.rules["source"].iloc[-1] == "the snapshot"
    assert not (answer.rules["table"] == "brackets").any()
    assert (answer.rules["table"] == "fee").any()


def test_prices_that_were_not_given_are_told() -> None:
    notes = " ".join(ask(**long_of_eth(1400.0)).notes)
    assert "no price of USDT: taken as 1 USD" in notes
    assert f"no index price of ETH: taken as the mark of {ETH}" in notes


def test_a_coin_margined_contract_of_binance_is_of_100_dollars_and_one_of_unknown_size_is_told() -> None:
    """100 contracts of 100 USD at 25,000 are 0.4 BTC, Deribit's of 10 USD 0.04; of Bybit's nothing is known."""
    account: dict[str, Any] = {"wallets": {"BTC": 1.0}, "positions": [held(COIN_BTC, 100, 25_000.0, 25_000.0)]}
    assert first(ask(**account), "notional") == pytest.approx(0.4)
    words = f"no contract size of {COIN_BTC}: taken as 1 USD"
    assert words not in ask(**account).notes
    assert first(ask(venue="deribit", **account), "notional") == pytest.approx(0.04)
    assert words in ask(venue="bybit", mode="multi_asset", **account).notes


def test_an_answer_of_ccxt_is_taken_as_it_is() -> None:
    position = {
        "info": {}, "symbol": BTC, "contracts": 0.5, "contractSize": 1.0, "side": "short", "entryPrice": 60_000.0,
        "markPrice": 61_000.0, "notional": -30_500.0, "leverage": 10.0, "marginMode": "cross", "hedged": False,
        "collateral": 9500.0, "initialMargin": 3050.0, "liquidationPrice": 78_000.0, "unrealizedPnl": -500.0,
    }  # fmt: skip
    closed = {**position, "symbol": ETH, "contracts": 0.0}
    balance = {
        "info": {}, "USDT": {"free": 6950.0, "used": 3050.0, "total": 10_000.0}, "free": {"USDT": 6950.0},
        "used": {"USDT": 3050.0}, "total": {"USDT": 10_000.0, "BNB": 0.0},
    }  # fmt: skip
    answer = margin(from_ccxt([position, closed], balance, venue="binance", at="2024-06-01"))
    assert answer.snapshot.mode == "cross"
    assert answer.account["equity"] == pytest.approx(9500.0)
    assert first(answer, "initial_margin") == pytest.approx(3050.0)
    same = margin({"fetch_positions": [position], "fetch_balance": balance, "at": "2024-06-01"})
    assert same.account["equity"] == pytest.approx(9500.0)
    profit_inside = from_ccxt([position], {"total": {"USDT": 9500.0}}, total_has_profit=True)
    assert profit_inside.wallets == {"USDT": 10_000.0}


def test_an_isolated_answer_of_ccxt_keeps_its_own_wallet_less_its_profit() -> None:
    position = {
        "symbol": BTC, "contracts": 1.0, "contractSize": 1.0, "side": "long", "entryPrice": 60_000.0,
        "markPrice": 61_000.0, "leverage": 10, "marginMode": "isolated", "collateral": 7000.0, "unrealizedPnl": 1000.0,
        "info": {},
    }  # fmt: skip
    answer = margin(from_ccxt([position], {"total": {"USDT": 5000.0}}, at="2024-06-01"))
    assert answer.snapshot.mode == "isolated"
    assert answer.snapshot.positions[0].margin == 6000.0
    with pytest.raises(InputError, match="has no collateral"):
        from_ccxt([{**position, "collateral": None}], {})


def test_raw_wallet_balances_go_before_totals() -> None:
    balance = {"total": {"USDT": 9500.0}, "info": {"assets": [{"asset": "USDT", "crossWalletBalance": "10000.0"}]}}
    assert from_ccxt([], balance).wallets == {"USDT": 10_000.0}


@pytest.mark.parametrize(
    ("venue", "mode", "isolated", "exact", "expected"),
    [
        ("binance", "cross", False, 1153.25646, "1153.26"),
        ("binance", "cross", False, None, "--"),
        ("binance", "cross", False, -5.0, "--"),
        ("bybit", "portfolio", False, 100.0, "--"),
        ("bybit", "cross", False, 100.0, "105.00"),  # 110 - (60 - 10) / 10, with the totals of now
        ("okx", "isolated", True, 1466.3829432660957, "1466.3929432660957"),  # plus one tick, not rounded
        ("okx", "cross", False, 1466.5, "1466.5"),
        ("hyperliquid", "cross", False, None, "--"),
    ],
)
def test_each_venue_shows_the_liquidation_price_in_its_own_way(
    venue: str, mode: str, isolated: bool, exact: float | None, expected: str
) -> None:
    asked = Asked(venue, mode, exact, True, isolated, 110.0, 10.0, 0.01, False, 60.0, 10.0)
    assert shown(asked) == expected


# --- on the screen ----------------------------------------------------------------------------------------------


@pytest.fixture
def account(tmp_path: Path) -> str:
    path = tmp_path / "account.toml"
    path.write_text((ROOT / "configs" / "account.toml").read_text())
    return str(path)


def test_the_example_is_told_on_the_screen(account: str) -> None:
    done = CliRunner().invoke(app, ["margin", account, "--rules"])
    assert done.exit_code == 0, done.output
    for words in ("hedged: binance, portfolio", "Margin Ratio", "Positions", "Rules used", "cannot be liquidated by"):
        assert words in done.stdout


def test_json_is_one_object_with_both_states(account: str) -> None:
    done = CliRunner().invoke(
        app, ["margin", account, "--move", "BTC=-0.30", "ETH=-0.35", "--along", "BTC", "--compare", "--json"]
    )
    said = json.loads(done.stdout)
    now, then = said["account"]["equity"], said["then"]["account"]["equity"]
    fall = (1.0 * 67_480 - 1.0 * 67_500) * -0.3 + 4.0 * 3760 * -0.35
    assert then - now == pytest.approx(fall)
    assert said["along"]["asset"] == "BTC"
    assert {row["mode"] for row in said["compare"]} == {
        "isolated", "cross", "multi_asset", "portfolio", "portfolio_pro",
    }  # fmt: skip
    assert said["positions"][1]["liquidation_price"] is None


def test_another_mode_and_another_day_can_be_asked_for(account: str) -> None:
    done = CliRunner().invoke(app, ["margin", account, "--mode", "cross", "--at", "2023-01-31", "--json"])
    said = json.loads(done.stdout)
    assert (said["mode"], said["at"]) == ("cross", "2023-01-31")


def test_a_grid_and_its_picture(account: str, tmp_path: Path) -> None:
    picture = tmp_path / "grid.png"
    words = ["margin", account, "--grid", "BTC=-0.5:0.5:3", "ETH=-0.5:0.5:5", "--picture", str(picture), "--json"]
    said = json.loads(CliRunner().invoke(app, words).stdout)
    assert said["grid"]["rows"] == "BTC"
    assert len(said["grid"]["ratio"]) == 5
    assert picture.is_file()


def test_several_words_of_one_option_are_said_one_by_one() -> None:
    assert spread(["a.toml", "--move", "BTC=-0.3", "ETH=-0.35", "--json"]) == [
        "a.toml", "--move", "BTC=-0.3", "--move", "ETH=-0.35", "--json",
    ]  # fmt: skip
    assert spread(["--move", "BTC=-0.3", "a.toml"]) == ["--move", "BTC=-0.3", "a.toml"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--move", "BTC"], "write NAME=NUMBER"),
        (["--move", "DOGE=-0.3"], "'DOGE' is not in this account"),
        (["--basis", "wide"], "'wide' is no number"),
        (["--set", "BTC/USDT:USD=3"], "did you mean 'BTC/USDT:USDT'?"),
        (["--add", "one bitcoin please"], "is no order"),
        (["--picture", "a.png"], "--picture is of a grid"),
        (["--grid", "BTC=-0.5:0.5"], "write two coins"),
        (["--beta", "ETH=1"], "--beta goes with --along"),
        (["--funding", "BTC/USDT=0.1"], "is no perpetual"),
    ],
)
def test_wrong_words_on_the_command_line_end_with_code_2(account: str, words: list[str], told: str) -> None:
    done = CliRunner().invoke(app, ["margin", account, *words])
    assert done.exit_code == 2
    assert told in done.stderr
    assert done.stdout == ""


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["margin", str(tmp_path / "acount.toml")])
    assert done.exit_code == 2
    assert "no such file" in done.stderr


def test_the_package_itself_answers_when_asked_for_margin() -> None:
    answer = backtest.margin(ROOT / "configs" / "account.toml", move={"BTC": -0.1})
    assert isinstance(answer, Answer)
    assert "hedged" in repr(answer)
    assert "<h3>" in answer._repr_html_()
    assert answer.to_dict()["mode"] == "portfolio"


def test_a_snapshot_can_be_read_once_and_asked_again() -> None:
    snapshot = read_snapshot(ROOT / "configs" / "account.toml")
    cross = margin(snapshot.with_(mode="cross"))
    assert cross.snapshot.mode == "cross"
    assert cross.account["collateral_equity"] < margin(snapshot).account["collateral_equity"]


@pytest.mark.parametrize(
    "change",
    [
        {"move": 5}, {"move": {"BTC": "x"}}, {"move": {"BTC": None}}, {"move": {"BTC": 1e9}}, {"basis": "x"},
        {"haircut": "x"}, {"haircut": 2}, {"haircut": {"BTC": "x"}}, {"haircut": float("nan")}, {"funding": "x"},
        {"prices": 7}, {"prices": {"BTC": "x"}},
    ],
)  # fmt: skip
def test_a_change_that_is_no_number_is_refused_by_name(change: dict[str, Any]) -> None:
    account = {
        "mode": "multi_asset", "at": "2024-06-01", "wallets": {"USDT": 20_000.0},
        "positions": [{"symbol": BTC, "contracts": 0.5, "entry": 60_000.0, "mark": 60_000.0}],
    }  # fmt: skip
    with pytest.raises(InputError, match=next(iter(change))):
        backtest.margin(account, **change)


@pytest.mark.parametrize(
    "rules",
    [
        {"levels": [[0, 1]]}, {"slopes": {BTC: [0.02, 0.01]}}, {"portfolio": {"model": "spam"}},
        {"portfolio": {"model": "okx", "numbers": -0.1}}, {"portfolio": {"model": "okx", "numbers": {"BTC": [1]}}},
        {"portfolio": {"model": "okx", "bands": [[0, 1]]}}, {"scenario": [[0, 1]]},
        {"scenario": {"moves": {"BTC": "x"}}},
    ],
)  # fmt: skip
def test_a_rule_of_another_shape_is_refused_by_name(rules: dict[str, Any]) -> None:
    account = {
        "venue": "generic", "mode": "portfolio", "at": "2024-06-01", "wallets": {"USDT": 20_000.0}, "rules": rules,
        "positions": [{"symbol": BTC, "contracts": 0.5, "entry": 60_000.0, "mark": 60_000.0}],
    }  # fmt: skip
    with pytest.raises(InputError, match=f"rules.{next(iter(rules))}"):
        backtest.margin(account)


SHORT = {
    "mode": "cross", "at": "2024-06-01", "wallets": {"USDT": 20_000.0}, "leverage": 5,
    "positions": [{"symbol": BTC, "contracts": -0.5, "entry": 65_000.0, "mark": 67_000.0}],
}  # fmt: skip


@pytest.mark.parametrize(
    "rules",
    [
        {"tiers": {BTC: float("nan")}}, {"tiers": {BTC: [[0, float("nan")]]}}, {"tiers": {BTC: -0.1}},
        {"tiers": {BTC: [[0, -0.1]]}}, {"tiers": {BTC: float("inf")}}, {"taker": float("nan")},
        {"slopes": {BTC: {"initial": 0.02}}}, {"slopes": {BTC: {"initial": 1e9, "maintenance": 0.01}}},
        {"levels": {"liquidate": float("nan")}},
    ],
)  # fmt: skip
def test_a_rule_that_would_make_the_requirement_vanish_is_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"rules.{next(iter(rules))}"):
        backtest.margin({**SHORT, "rules": rules})


def test_a_rate_of_zero_asks_for_nothing_and_is_no_division_by_it() -> None:
    for tiers in (0, [[0, 0]]):
        assert backtest.margin({**SHORT, "rules": {"tiers": {BTC: tiers}}}).account.maintenance_margin == 0.0


@pytest.mark.parametrize("order", [{"side": "buy", "contracts": -1}, {"contracts": 0}])
def test_a_waiting_order_that_contradicts_itself_or_is_for_nothing_is_refused(order: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"write one of them|for nothing"):
        backtest.margin({**SHORT, "orders": [{"symbol": BTC, "price": 60_000.0, **order}]})


@pytest.mark.parametrize(
    "order",
    [
        5, {"symbol": BTC}, {"contracts": 1}, {"symbol": 5, "contracts": 1}, {"symbol": BTC, "contracts": "1"},
        {"symbol": BTC, "contracts": 1, "price": -5}, {"symbol": BTC, "contracts": 1, "price": float("nan")},
        {"symbol": BTC, "contracts": 1, "side": "foo"}, f"{BTC} 1 @ 0", f"{BTC} 1 @ 1e400", BTC, f"{BTC} 1e",
        f"{BTC} 1 @ .", "", f"{BTC} 1 at 5",
    ],
)  # fmt: skip
def test_an_order_to_be_tried_that_cannot_be_is_refused(order: Any) -> None:
    with pytest.raises(InputError, match="add"):
        backtest.margin(SHORT, add=order)


@pytest.mark.parametrize("second", [{}, {"USDT": [float("nan")]}, {"USDT": ["x"]}])
def test_a_grid_of_what_is_no_move_is_refused(second: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"grid|move"):
        backtest.margin(SHORT).grid({"BTC": [-0.1, 0.0]}, second)
