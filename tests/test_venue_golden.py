"""Printed examples of Bybit, OKX, Deribit and Hyperliquid, typed into the calculator as their readers would."""

from __future__ import annotations

import math
from typing import Any

import pytest

import backtest
from backtest.venues.in_brief.bybit_orders import inverse_order_cost, linear_order_cost

pytestmark = pytest.mark.jit_off


def margin(**account: Any) -> Any:
    return backtest.margin(account)


def cut(value: float, digits: int) -> float:
    """A number cut off, as Bybit prints them; a hair above the step counts as on it."""
    return math.floor(value * 10**digits + 1e-6) / 10**digits


# --- Bybit


@pytest.mark.parametrize(
    "mark, initial, maintenance",
    [(53.70, 33.52648911, 2.38048911), (53.76, 33.56368911, 2.38288911), (53.77, 33.56988911, 2.38328911)],
)
def test_b1_a_hedged_long_and_short_of_litecoin_ask_what_the_account_showed(
    mark: float, initial: float, maintenance: float
) -> None:
    """6.2 long, 2.2 short at 10x: the hedged 2.2 bear fees only. Printed cut to eight digits."""
    answer = margin(
        venue="bybit", mode="multi_asset", at="2026-05-18", hedge=True, leverage=10, wallets={"USDT": 1000},
        positions=[
            {"symbol": "LTC/USDT:USDT", "size": 6.2, "side": "long", "entry": 55.91368848, "mark": mark},
            {"symbol": "LTC/USDT:USDT", "size": 2.2, "side": "short", "entry": 55.53059536, "mark": mark},
        ],
        prices={"USDT": 1.0, "LTC": mark},
    )  # fmt: skip
    long, short = answer.positions.iloc[0], answer.positions.iloc[1]
    assert (cut(long.initial_margin, 8), cut(long.maintenance_margin, 8)) == (initial, maintenance)
    assert (cut(short.initial_margin, 8), cut(short.maintenance_margin, 8)) == (0.14782244, 0.14782244)


def sol(at: str, **more: Any) -> Any:
    """0.2 SOL at 233.02, mark 233.029, 10x; the taker fee with a tax of 18 %."""
    return margin(
        venue="bybit", mode="multi_asset", at=at, leverage=10, wallets={"USDT": 11.47724524},
        positions=[{"symbol": "SOL/USDT:USDT", "contracts": 0.2, "entry": 233.02, "mark": 233.029}],
        prices={"USDT": 11.48691986 / 11.47904524, "SOL": 233.2}, rules={"taker": 0.000649, **more},
    )  # fmt: skip


def test_b2_8_before_the_change_margins_of_solana_are_taken_at_the_entry_price() -> None:
    row = sol("2025-08-30").positions.iloc[0]
    assert row.initial_margin == pytest.approx(4.6876214, abs=5e-8)
    assert row.maintenance_margin == pytest.approx(0.2602414, abs=5e-8)


def test_b2_9_since_the_second_of_september_2025_they_are_taken_at_the_mark() -> None:
    row = sol("2025-10-02").positions.iloc[0]
    assert row.initial_margin == pytest.approx(4.68780139, abs=1e-8)
    assert row.maintenance_margin == pytest.approx(0.26025039, abs=1e-8)


def test_b2_10_and_11_totals_in_usd_and_rates_cut_to_four_digits() -> None:
    account = sol("2025-08-30").account
    assert account.equity == pytest.approx(11.48691986, abs=1.5e-8)
    assert account.initial_margin == pytest.approx(4.6908371, abs=1.5e-8)
    assert account.maintenance_margin == pytest.approx(0.26041992, abs=1.5e-8)
    assert account.available == pytest.approx(6.79608275, abs=1.5e-8)
    assert cut(account.initial_margin / account.collateral_equity, 4) == 0.4083
    assert cut(account.venue_ratio, 4) == 0.0226


def test_b5_24_a_position_of_3500_in_bands_of_1000_asks_92_5_and_leaves_257_5() -> None:
    """2, 2.5, 3, 3.5 % a band: 20 + 25 + 30 + 17.50. The closing fee of today's rules is left out, as on the page."""
    tiers = [[0, 0.02, 10], [1000, 0.025, 10], [2000, 0.03, 10], [3000, 0.035, 10]]
    answer = margin(
        venue="bybit", mode="multi_asset", at="2025-10-02", leverage=10, wallets={"USDT": 1000},
        positions=[{"symbol": "XYZ/USDT:USDT", "contracts": 35, "entry": 100, "mark": 100}],
        prices={"USDT": 1.0, "XYZ": 100.0}, rules={"tiers": {"XYZ/USDT:USDT": tiers}, "taker": 0.0},
    )  # fmt: skip
    row = answer.positions.iloc[0]
    assert row.initial_margin == pytest.approx(350.0)
    assert row.maintenance_margin == pytest.approx(92.5)
    assert row.initial_margin - row.maintenance_margin == pytest.approx(257.5)


def test_b5_28_under_the_old_rules_an_isolated_bitcoin_at_50x_is_liquidated_at_19700() -> None:
    """Entry - (400 - 100) / 1: initial 2 % and maintenance 0.5 % of 20,000, without the closing fee of later rules."""
    answer = margin(
        venue="bybit", mode="isolated", at="2023-06-01", leverage=50, wallets={"USDT": 1000},
        positions=[
            {"symbol": "BTC/USDT:USDT", "contracts": 1, "entry": 20_000, "mark": 20_000, "isolated": True,
             "margin": 400}
        ],
        prices={"USDT": 1.0, "BTC": 20_000}, rules={"tiers": {"BTC/USDT:USDT": [[0, 0.005, 100]]}, "taker": 0.0},
    )  # fmt: skip
    assert answer.positions.liquidation_price[0] == pytest.approx(19_700.0)


def test_b5_34_a_short_of_300_dollars_of_bitcoin_has_lost_29413_satoshi() -> None:
    answer = margin(
        venue="bybit", mode="multi_asset", at="2025-10-02", leverage=10, wallets={"BTC": 0.1},
        positions=[{"symbol": "BTC/USD:BTC", "contracts": -300, "entry": 27_464.50441675, "mark": 28_224.50}],
        prices={"BTC": 28_224.5}, instruments={"BTC/USD:BTC": {"contract_size": 1.0}},
    )  # fmt: skip
    row = answer.positions.iloc[0]
    assert row.unrealised_pnl == pytest.approx(-0.00029413, abs=5e-9)
    assert pytest.approx(0.01092319, abs=5e-9) == 300 / 27_464.50441675


def test_b5_35_hedged_under_the_old_rules_both_legs_ask_their_leverage() -> None:
    """3,000 USDT; long 2 at 10,000 and short 4 at 9,000, 100x, price 8,000: 200 + 360, no net profit, 2,440 left."""
    answer = margin(
        venue="bybit", mode="multi_asset", at="2024-01-01", hedge=True, leverage=100, wallets={"USDT": 3000},
        positions=[
            {"symbol": "BTC/USDT:USDT", "size": 2, "side": "long", "entry": 10_000, "mark": 8000},
            {"symbol": "BTC/USDT:USDT", "size": 4, "side": "short", "entry": 9000, "mark": 8000},
        ],
        prices={"USDT": 1.0, "BTC": 8000.0}, rules={"taker": 0.0},
    )  # fmt: skip
    assert answer.positions.initial_margin.tolist() == [pytest.approx(200.0), pytest.approx(360.0)]
    assert answer.positions.unrealised_pnl.sum() == pytest.approx(0.0)
    assert answer.account.available == pytest.approx(2440.0)


@pytest.mark.parametrize(
    "balance, initial, maintenance, available, rates",
    [
        (10_011.98943823, 313.06862043, 17.32645111, 9698.9208178, (0.0312, 0.0017)),
        (841.28368768, 3.67604398, 0.30525761, 837.6076437, (0.0043, 0.0003)),
    ],
)
def test_b3_what_is_available_and_the_rates_cut_to_four_digits(
    balance: float, initial: float, maintenance: float, available: float, rates: tuple[float, float]
) -> None:
    """The readings give totals: a position at 10x whose bracket asks just that stands for what was held."""
    tiers = [[0, maintenance / (10 * initial), 10]]
    account = margin(
        venue="bybit", mode="multi_asset", at="2025-10-02", leverage=10, wallets={"USDT": balance},
        positions=[{"symbol": "XYZ/USDT:USDT", "contracts": 10 * initial, "entry": 1.0, "mark": 1.0}],
        prices={"USDT": 1.0, "XYZ": 1.0}, rules={"tiers": {"XYZ/USDT:USDT": tiers}, "taker": 0.0},
    ).account  # fmt: skip
    assert account.available == pytest.approx(available, abs=1e-7)
    assert (cut(account.initial_margin / balance, 4), cut(account.venue_ratio, 4)) == rates


def test_b5_25_and_26_what_the_order_form_shows() -> None:
    """1 BTC at 50,000, 10x: 5,000 + 27.50 + 24.75. 10,000 dollars of ether at 2,000, 25x: 0.2 + 0.00275 + 0.00286."""
    assert linear_order_cost(1, 50_000, 10, 0.00055) == pytest.approx(5052.25)
    assert inverse_order_cost(10_000, 2000, 25, 0.00055) == pytest.approx(0.20561, abs=1e-12)


def test_b5_33_an_hour_of_a_loan_of_a_bitcoin() -> None:
    assert cut(1.06333265702840778 * 0.000001216904, 8) == 0.00000129


def test_b6_a_fee_a_loss_and_a_purchase_beyond_the_balance_are_borrowed() -> None:
    """1.50 of fees without USDT; 100 lost on 50; 300 USDC of bitcoin bought with 100."""

    def net(asset: str, **account: Any) -> float:
        answer = margin(venue="bybit", mode="multi_asset", at="2025-10-02", **account)
        return float(answer.assets.set_index("asset").net[asset])

    assert net("USDT", wallets={"USDT": -1.5, "USDC": 100.0}) == pytest.approx(-1.5)
    lost = {"symbol": "BTC/USDT:USDT", "contracts": 1.0, "entry": 60_100.0, "mark": 60_000.0}
    assert net("USDT", wallets={"USDT": 50.0, "USDC": 100.0}, positions=[lost]) == pytest.approx(-50.0)
    bought = {"USDC": 100.0 - 300.0, "BTC": 300.0 / 60_000}
    assert net("USDC", wallets=bought, prices={"BTC": 60_000.0}) == pytest.approx(-200.0)


def test_b7_35_bitcoin_count_as_32_55_and_60_as_44_8() -> None:
    for coins, counted in ((35, 32.55), (60, 44.8)):
        answer = margin(
            venue="bybit", mode="multi_asset", at="2025-10-02", wallets={"BTC": coins}, prices={"BTC": 1000}
        )
        assert answer.account.collateral_equity == pytest.approx(counted * 1000)


# --- OKX


def builder() -> Any:
    """The account of the position builder: a short of bitcoin, a long of litecoin that has lost 78,980, 100 USDT."""
    return margin(
        venue="okx", mode="portfolio", at="2025-01-15T10:26:41Z", wallets={"USDT": 100},
        positions=[
            {"symbol": "BTC/USDT:USDT", "contracts": -10, "entry": 100_000, "mark": 97_093.7},
            {"symbol": "LTC/USDT:USDT", "contracts": 10, "entry": 8000, "mark": 102},
        ],
        prices={"USDT": 0.99954, "BTC": 97_078.9 * 0.99954, "LTC": 102 * 0.99954},
        instruments={"BTC/USDT:USDT": {"contract_size": 0.01}, "LTC/USDT:USDT": {"contract_size": 1.0}},
    )  # fmt: skip


def test_o1_1_equity_of_the_position_builder() -> None:
    answer = builder()
    assert answer.assets.set_index("asset").net["USDT"] == pytest.approx(-78_589.37, abs=5e-7)
    assert answer.account.equity == pytest.approx(-78_553.2188898, abs=5e-7)


def test_o1_6_and_9_the_units_and_the_debt_add_up_to_the_accounts_margins() -> None:
    """BTC 1,183.82 and 1,538.97; LTC 191.67 and 1.3 times that; the debt 2 and 10 %, and 0.1 % x 1.02 beside."""
    answer = builder()
    btc, ltc = answer.units.set_index("unit").loc["BTC"], answer.units.set_index("unit").loc["LTC"]
    assert btc.maintenance_margin == pytest.approx(1183.8207318516, abs=5e-9)
    assert btc.initial_margin == pytest.approx(1538.96695140708, abs=5e-9)
    debt = 78_553.2188898
    borrow = (1571.064377796, 7855.32188898)
    assert (0.02 * debt, 0.1 * debt) == (pytest.approx(borrow[0], abs=1e-8), pytest.approx(borrow[1], abs=1e-8))
    maintenance = btc.maintenance_margin + ltc.maintenance_margin + borrow[0] + 0.001 * debt * 1.02
    assert answer.account.maintenance_margin == pytest.approx(maintenance, abs=1e-6)
    initial = btc.initial_margin + ltc.initial_margin + borrow[1]
    assert answer.account.initial_margin == pytest.approx(initial, abs=1e-6)


def test_o2_an_isolated_long_of_ether_to_the_printed_digit() -> None:
    answer = margin(
        venue="okx", mode="isolated", at="2024-07-01", leverage=5, wallets={"USDT": 0.3661947317916033},
        positions=[{
            "symbol": "ETH/USDT:USDT", "contracts": 49.18, "entry": 1805.5767334669338683, "mark": 2419.52,
            "isolated": True, "margin": 1700.6075811251431723,
        }],
        prices={"USDT": 0.99978, "ETH": 2419.52 * 0.99978},
        instruments={"ETH/USDT:USDT": {"contract_size": 0.1, "tick": 0.01}},
        rules={"tiers": {"ETH/USDT:USDT": [[0, 0.004, 100]]}},
    )  # fmt: skip
    row = answer.positions.iloc[0]
    assert row.unrealised_pnl == pytest.approx(3019.3729848096195, abs=1e-7)
    assert row.unrealised_pnl / (4.918 * 1805.5767334669338683 / 5) == pytest.approx(1.7001306428949658, rel=1e-10)
    assert row.notional_usd == pytest.approx(11_896.5815361408, abs=1e-8)
    fee = 0.0005 * 4.918 * 2419.52
    assert row.maintenance_margin - fee == pytest.approx(47.59679744, abs=1e-8)
    assert answer.account.venue_ratio == pytest.approx(88.14749114412055, rel=1e-10)
    assert row.liquidation_price + 0.01 == pytest.approx(1466.3929432660957, abs=1e-8)
    assert float(row.liquidation_price_shown.replace(",", "")) == pytest.approx(1466.3929432660957, abs=5e-3)
    assert answer.account.equity / 0.99978 == pytest.approx(4720.3467606665545, abs=1e-7)


def test_o3_an_isolated_contract_of_ten_dollars_of_ether() -> None:
    mark = 10 / (10 / 2566.31 + 0.0000009932766034)  # the one that the printed loss implies
    answer = margin(
        venue="okx", mode="isolated", at="2021-04-01", leverage=10, wallets={"ETH": 0.0},
        positions=[{
            "symbol": "ETH/USD:ETH-210430", "contracts": 1, "entry": 2566.31, "mark": mark, "isolated": True,
            "margin": 0.0003896645377994,
        }],
        prices={"ETH": mark}, instruments={"ETH/USD:ETH-210430": {"contract_size": 10.0}},
        rules={"tiers": {"ETH/USD:ETH-210430": [[0, 0.008, 50]]}, "taker": 0.0005},
    )  # fmt: skip
    row = answer.positions.iloc[0]
    assert row.unrealised_pnl == pytest.approx(-0.0000009932766034, abs=1e-13)
    assert row.maintenance_margin * 0.008 / 0.0085 == pytest.approx(0.0000311811092368, abs=1e-12)
    assert answer.account.venue_ratio == pytest.approx(11.731726509588816, rel=1e-8)


def test_o5_a_cross_long_of_fifteen_contracts_of_ether() -> None:
    answer = margin(
        venue="okx", mode="cross", at="2024-01-01", leverage=10, wallets={"USDT": 100},
        positions=[{"symbol": "ETH/USDT:USDT", "contracts": 15, "entry": 1597.74, "mark": 1584.33}],
        prices={"USDT": 1.0, "ETH": 1584.33}, instruments={"ETH/USDT:USDT": {"contract_size": 0.01}},
        rules={"tiers": {"ETH/USDT:USDT": [[0, 0.008, 50]]}, "taker": 0.0},
    )  # fmt: skip
    row = answer.positions.iloc[0]
    assert row.initial_margin == pytest.approx(23.76495, abs=1e-8)
    assert row.maintenance_margin == pytest.approx(1.901196, abs=1e-8)
    assert row.unrealised_pnl == pytest.approx(-2.0115, abs=1e-8)


def test_o6_the_usdt_line_of_a_multi_currency_account() -> None:
    """4,850.4357 of cash, 150 in strategies, 7.5456 lost, a dollar at 0.99973; 158.573 frozen in orders."""
    answer = margin(
        venue="okx", mode="multi_asset", at="2024-01-01", leverage=10,
        wallets={"USDT": 4850.435693622894 + 150},
        positions=[{"symbol": "BTC/USDT:USDT", "contracts": 1, "entry": 60_007.5456, "mark": 60_000}],
        prices={"USDT": 0.99973, "BTC": 60_000 * 0.99973}, instruments={"BTC/USDT:USDT": {"contract_size": 1.0}},
    )  # fmt: skip
    usdt = answer.assets.set_index("asset").loc["USDT"]
    assert usdt.net == pytest.approx(4992.890093622894, abs=1e-8)
    assert usdt.worth == pytest.approx(4991.542013297616, abs=1e-8)
    assert usdt.net - 158.573 == pytest.approx(4834.317093622894, abs=1e-8)


@pytest.mark.parametrize("venue", ["okx", "bybit"])
@pytest.mark.parametrize("mode", ["multi_asset", "portfolio"])
def test_a_debt_is_margined_once_however_it_is_written(venue: str, mode: str) -> None:
    """50,000 owed: as a negative balance or as a loan, the coin's equity and so its liability are the same."""
    shared = {"venue": venue, "mode": mode, "at": "2025-06-15", "prices": {"BTC": 100_000.0, "USDT": 1.0}}
    owed = margin(**shared, wallets={"BTC": 2.0, "USDT": -50_000.0}).account
    lent = margin(**shared, wallets={"BTC": 2.0}, loans={"USDT": 50_000.0}).account
    for name in ("collateral_equity", "initial_margin", "maintenance_margin"):
        assert lent[name] == pytest.approx(owed[name], rel=1e-12), name
    if venue == "okx":  # 2 % and 0.1 % x 1.02 of it; initially 10 %
        assert lent.maintenance_margin == pytest.approx(50_000 * (0.02 + 0.001 * 1.02))
        assert lent.initial_margin == pytest.approx(5000.0)


def test_a_loan_that_its_own_coin_covers_asks_for_nothing_at_okx() -> None:
    answer = margin(
        venue="okx", mode="multi_asset", at="2025-06-15", wallets={"USDT": 60_000.0}, loans={"USDT": 50_000.0},
        prices={"USDT": 1.0},
    )  # fmt: skip
    assert answer.account.maintenance_margin == 0.0


def test_okx_contracts_of_another_size_find_the_bracket_of_as_many_coins() -> None:
    """300 BTC are 30,000 contracts of 0.01 BTC, tier 4, and so they are as 300 contracts of 1 BTC."""
    position = {"symbol": "BTC/USDT:USDT", "size": 300, "entry": 100_000.0, "mark": 100_000.0}
    shared = {
        "venue": "okx", "mode": "cross", "at": "2025-06-15", "leverage": 10, "wallets": {"USDT": 5_300_000.0},
        "positions": [position], "prices": {"USDT": 1.0, "BTC": 100_000.0},
    }  # fmt: skip
    for sizes in ({}, {"BTC/USDT:USDT": {"contract_size": 0.01}}, {"BTC/USDT:USDT": {"contract_size": 1.0}}):
        found = margin(**shared, instruments=sizes)
        assert not any("number of contracts" in note for note in found.notes)
        assert found.account.maintenance_margin == pytest.approx(30e6 * (0.0125 + 0.0005))
    unknown = shared | {
        "positions": [position | {"symbol": "DOGE/USDT:USDT", "entry": 0.1, "mark": 0.1}],
        "prices": {"USDT": 1.0, "DOGE": 0.1},
    }
    assert any("no contract size of DOGE/USDT:USDT" in note for note in margin(**unknown).notes)


# --- Deribit


@pytest.mark.parametrize(
    "symbol, price, coins, initial, maintenance",
    [
        ("BTC/USDC:USDC", 100_000, 25, 53_125.0, 28_125.0),
        ("BTC/USDC:USDC", 100_000, 350, 1_312_500.0, None),
        ("SOL/USDC:USDC", 200, 25, 200.625, 100.625),
        ("SOL/USDC:USDC", 200, 6000, 84_000.0, None),
    ],
)
def test_d1_standard_margin_of_linear_contracts_rises_with_their_size(
    symbol: str, price: float, coins: float, initial: float, maintenance: float | None
) -> None:
    answer = margin(
        venue="deribit", mode="multi_asset", at="2026-01-01", wallets={"USDC": 10_000_000},
        positions=[{"symbol": symbol, "contracts": coins, "entry": price, "mark": price}],
        prices={"USDC": 1.0, symbol.split("/")[0]: price},
    )  # fmt: skip
    row = answer.positions.iloc[0]
    assert row.initial_margin == pytest.approx(initial)
    if maintenance is not None:
        assert row.maintenance_margin == pytest.approx(maintenance)


@pytest.mark.parametrize("coins, initial", [(25, 0.53125), (350, 13.125)])
def test_d1_standard_margin_of_inverse_contracts_is_in_the_coin(coins: float, initial: float) -> None:
    answer = margin(
        venue="deribit", mode="cross", at="2023-01-01", wallets={"BTC": 100},
        positions=[{"symbol": "BTC/USD:BTC", "contracts": coins * 1000, "entry": 10_000, "mark": 10_000}],
        prices={"BTC": 10_000.0}, instruments={"BTC/USD:BTC": {"contract_size": 10.0}},
    )  # fmt: skip
    assert answer.positions.initial_margin[0] == pytest.approx(initial)


def test_d4_the_published_book_asks_through_the_account_what_the_exchange_answered() -> None:
    answer = margin(
        venue="deribit", mode="portfolio", at="2024-06-17T08:00:00Z", wallets={"BTC": 1.0},
        positions=[
            {"symbol": "BTC/USD:BTC", "contracts": 0.314538364 * 65_910.57 / 10, "entry": 65_910.57, "mark": 65_910.57},
            {"symbol": "BTC/USD:BTC-240628", "contracts": -0.001187534 * 67_371.75 / 10, "entry": 67_371.75,
             "mark": 67_371.75},
        ],
        prices={"BTC": 65_666.19},
        instruments={"BTC/USD:BTC": {"contract_size": 10.0}, "BTC/USD:BTC-240628": {"contract_size": 10.0}},
    )  # fmt: skip
    unit = answer.units.iloc[0]
    assert unit.worst_case == pytest.approx(0.0596858724, abs=5e-10)
    assert answer.account.initial_margin / 65_666.19 == pytest.approx(0.06284313098, abs=1e-9)
    assert answer.account.maintenance_margin / 65_666.19 == pytest.approx(0.050274504784, abs=1e-9)


@pytest.mark.parametrize(
    "strike, side, mark, initial, maintenance",
    [
        (60_000, "C", 0.05, 0.15 + 0.05, 0.075 + 0.05),  # at the money
        (63_000, "C", 0.02, 0.15 - 0.05 + 0.02, 0.075 + 0.02),  # 5 % out of it
        (90_000, "C", 0.001, 0.10 + 0.001, 0.075 + 0.001),  # far out: the least share
        (57_000, "P", 0.02, 0.15 - 0.05 + 0.02, 0.075 + 0.02),
    ],
)
def test_a_written_option_asks_the_shares_of_deribits_table(
    strike: float, side: str, mark: float, initial: float, maintenance: float
) -> None:
    option = {"symbol": f"BTC/USD:BTC-270326-{strike}-{side}", "contracts": -1.0, "mark": mark}
    written = margin(
        venue="deribit", mode="cross", at="2026-10-01", wallets={"BTC": 1.0}, prices={"BTC": 60_000.0},
        positions=[{**option, "implied_volatility": 0.5}],
    )  # fmt: skip
    row = written.positions.iloc[0]
    assert row.initial_margin == pytest.approx(initial)
    assert row.maintenance_margin == pytest.approx(maintenance)


# --- Hyperliquid


def test_hd_200_million_of_bitcoin_ask_3_125_million() -> None:
    answer = margin(
        venue="hyperliquid", mode="cross", at="2026-06-01", leverage=20, wallets={"USDC": 50_000_000},
        positions=[{"symbol": "BTC/USDC:USDC", "contracts": 2000, "entry": 100_000, "mark": 100_000}],
        prices={"USDC": 1.0, "BTC": 100_000},
    )  # fmt: skip
    assert answer.positions.maintenance_margin[0] == pytest.approx(150e6 * 0.0125 + 50e6 * 0.025)
    assert answer.positions.maintenance_margin[0] == pytest.approx(3_125_000)


def test_a_borrowing_account_is_liquidated_above_a_ratio_of_0_95() -> None:
    """100 HYPE at 40 count 0.5 + 0.5 x 0.5 = 75 %: 3,000. Debt 2,000 and 20 beside it: 2,020 / 3,000 = 0.6733."""
    answer = margin(
        venue="hyperliquid", mode="portfolio", at="2026-07-01", wallets={"HYPE": 100, "USDC": -2000},
        prices={"USDC": 1.0, "HYPE": 40.0},
    )  # fmt: skip
    assert answer.account.maintenance_margin == pytest.approx(2020.0)
    assert answer.account.collateral_equity == pytest.approx(3000.0)
    assert answer.account.venue_ratio == pytest.approx(2020 / 3000)
    found = answer.liquidation("HYPE")
    assert found.price == pytest.approx(2020 / 0.95 / 75)
