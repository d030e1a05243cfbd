"""The same book in other modes and at other venues: in their dollar, with the same coins, or a reason why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from test_calculator import BTC, ETH, held
from typer.testing import CliRunner

from backtest.calculator import compare_modes, compare_venues, margin
from backtest.cli import app
from backtest.errors import InputError

pytestmark = pytest.mark.jit_off

AT = "2026-10-01"


def at_venues(**account: Any) -> pd.DataFrame:
    given = {"venue": "binance", "mode": "multi_asset", "at": AT, "leverage": 5, **account}
    return compare_venues(margin(given)).set_index(["venue", "mode"])


HEDGED = {
    "wallets": {"BTC": 1.0, "USDT": 20_000.0}, "positions": [held(BTC, -1.0, 60_000.0, 60_500.0)],
    "prices": {"BTC": 60_480.0},
}  # fmt: skip


def test_a_short_in_usdt_is_one_in_usdc_at_hyperliquid_deribit_and_paradex() -> None:
    """20,000 and a coin of 60,480, less 500: the coin backs nothing in cross. Initial a fifth of 60,500; maintenance
    1.25 % (half of 1 / 40) at Hyperliquid, 1 % and 0.00005 of a coin more at Deribit; Paradex charges the scenario of
    16 %, halved for maintenance."""
    rows = at_venues(**HEDGED)
    names = {"hyperliquid", "deribit", "paradex"}
    told = rows[rows["note"] != ""]
    assert set(told.index.get_level_values("venue")) == names
    assert set(told["note"]) == {"BTC/USDT:USDT as BTC/USDC:USDC"}
    assert (rows["why_not"] == "").all()
    assert rows["equity"].astype(float).to_numpy() == pytest.approx(79_980.0)
    hyperliquid, deribit = rows.loc[("hyperliquid", "cross")], rows.loc[("deribit", "cross")]
    assert hyperliquid["collateral_equity"] == pytest.approx(19_500.0)
    assert hyperliquid["initial_margin"] == pytest.approx(12_100.0)
    assert hyperliquid["maintenance_margin"] == pytest.approx(0.0125 * 60_500)
    assert deribit["maintenance_margin"] == pytest.approx((0.01 + 0.00005) * 60_480)
    paradex = rows.loc[("paradex", "portfolio")]
    assert paradex["collateral_equity"] == pytest.approx(19_500.0)
    assert paradex["initial_margin"] == pytest.approx(0.16 * 60_500)
    assert paradex["maintenance_margin"] == pytest.approx(0.08 * 60_500)


def test_a_book_in_usdc_stands_in_usdt_where_only_that_is_known() -> None:
    """Binance and Bybit have BTC in USDC too; OKX has not: 0.45 % of 60,000 there."""
    rows = at_venues(
        venue="hyperliquid", mode="cross", wallets={"USDC": 30_000.0},
        positions=[held("BTC/USDC:USDC", 1.0, 60_000.0, 60_000.0)],
    )  # fmt: skip
    assert rows.loc[("okx", "cross"), "note"] == "BTC/USDC:USDC as BTC/USDT:USDT"
    assert rows.loc[("okx", "cross"), "maintenance_margin"] == pytest.approx(0.0045 * 60_000)
    assert rows.loc[("okx", "cross"), "collateral_equity"] == pytest.approx(30_000.0)
    assert rows.loc[("binance", "cross"), "note"] == ""


def test_a_dollar_worth_99_cents_is_exchanged_at_that_and_nothing_is_won_or_lost() -> None:
    """1,000 USDT, 100 earned on a tenth of a coin: 1,100 x 0.99. Maintenance 1.25 % of 6,100 USDT. A loan of 50 USDT is
    one of 49.5 USDC; an order at 59,000 USDT waits at 58,410."""
    rows = at_venues(
        wallets={"USDT": 1000.0}, positions=[held(BTC, 0.1, 60_000.0, 61_000.0)],
        prices={"USDT": 0.99, "BTC": 60_390.0}, orders=[{"symbol": BTC, "contracts": -0.1, "price": 62_000.0}],
    )  # fmt: skip
    row = rows.loc[("hyperliquid", "cross")]
    assert row["note"] == "BTC/USDT:USDT as BTC/USDC:USDC; 1 USDT as 0.99 USDC"
    assert row["equity"] == pytest.approx(0.99 * 1100)
    assert row["collateral_equity"] == pytest.approx(0.99 * 1100)
    assert row["maintenance_margin"] == pytest.approx(0.0125 * 6100 * 0.99)
    assert row["equity"] == pytest.approx(rows.loc[("binance", "cross"), "equity"])


def test_a_balance_in_the_other_dollar_is_added_to() -> None:
    rows = at_venues(**{**HEDGED, "wallets": {"USDT": 20_000.0, "USDC": 5000.0}, "prices": {"BTC": 60_480.0}})
    assert rows.loc[("hyperliquid", "cross"), "collateral_equity"] == pytest.approx(24_500.0)
    assert rows.loc[("binance", "cross"), "collateral_equity"] == pytest.approx(19_500.0)


def test_100_contracts_of_a_hundredth_at_okx_are_one_bitcoin_everywhere() -> None:
    """0.4 % of 60,000 at Binance, 0.5 % at the generic venue; and 1 bitcoin typed at Binance is one at OKX: 0.45 %."""
    rows = at_venues(
        venue="okx", mode="cross", wallets={"USDT": 20_000.0}, positions=[held(BTC, -100, 60_000.0, 60_000.0)]
    )
    assert rows.loc[("binance", "cross"), "maintenance_margin"] == pytest.approx(240.0)
    assert rows.loc[("generic", "cross"), "maintenance_margin"] == pytest.approx(300.0)
    back = at_venues(wallets={"USDT": 20_000.0}, positions=[held(BTC, -1.0, 60_000.0, 60_000.0)])
    assert back.loc[("okx", "cross"), "maintenance_margin"] == pytest.approx(270.0)


@pytest.mark.parametrize(
    ("venue", "symbol", "told"),
    [
        ("deribit", ETH, "deribit: no ETH/USDT:USDT or ETH/USDC:USDC on 2026-10-01"),
        ("hyperliquid", f"{BTC}-261225", "hyperliquid: no BTC/USDT:USDT-261225 or BTC/USDC:USDC-261225 on 2026-10-01"),
        ("hyperliquid", "BTC/USD:BTC", "hyperliquid: no BTC/USD:BTC on 2026-10-01"),
        ("paradex", "BTC/USD:BTC", "paradex: no BTC/USD:BTC on 2026-10-01"),
    ],
)
def test_a_venue_without_such_a_contract_says_so_in_one_short_line(venue: str, symbol: str, told: str) -> None:
    rows = at_venues(wallets={"USDT": 20_000.0}, positions=[held(symbol, 1.0, 3000.0, 3000.0)], prices={"USDT": 1.0})
    refused = rows.loc[venue]
    assert set(refused["why_not"]) == {told}
    assert refused["equity"].isna().all()


def test_before_deribit_had_contracts_in_usdc_none_stands_for_one_in_usdt() -> None:
    rows = at_venues(**HEDGED, at="2024-10-01")
    assert rows.loc[("deribit", "cross"), "why_not"] == "deribit: no BTC/USDT:USDT or BTC/USDC:USDC on 2024-10-01"


def test_contracts_in_both_dollars_do_not_become_one() -> None:
    book = [held(BTC, -1.0, 60_000.0, 60_000.0), held("BTC/USDC:USDC", 1.0, 60_000.0, 60_000.0)]
    rows = at_venues(wallets={"USDT": 20_000.0}, positions=book)
    assert "would be one contract, BTC/USDC:USDC" in rows.loc[("hyperliquid", "cross"), "why_not"]
    assert rows.loc[("binance", "cross"), "why_not"] == ""


def test_an_inverse_contract_keeps_its_name_and_its_dollars_elsewhere() -> None:
    """600 contracts of 100 dollars at 60,000 are one bitcoin at Deribit as well: 1 % and 0.005 % of it."""
    rows = at_venues(
        mode="cross", wallets={"BTC": 1.0}, positions=[held("BTC/USD:BTC", -600, 60_000.0, 60_000.0)],
        instruments={"BTC/USD:BTC": {"contract_size": 100}},
    )  # fmt: skip
    row = rows.loc[("deribit", "cross")]
    assert row["note"] == ""
    assert row["maintenance_margin"] == pytest.approx((0.01 + 0.00005) * 60_000)


def test_the_accounts_own_row_is_the_account() -> None:
    """An isolated long whose margin nobody gave holds its notional over its leverage: 12,000, in every mode."""
    answer = margin({
        "venue": "binance", "mode": "isolated", "at": AT, "wallets": {"USDT": 1000.0}, "leverage": 5,
        "positions": [held(BTC, 1.0, 60_000.0, 60_000.0)],
    })  # fmt: skip
    modes = compare_modes(answer).set_index("mode")
    assert modes["equity"].astype(float).to_numpy() == pytest.approx(13_000.0)
    assert modes.loc["isolated", "available"] == answer.account["available"]


def test_an_isolated_position_keeps_the_margin_it_was_given() -> None:
    answer = margin({
        "venue": "binance", "mode": "cross", "at": AT, "wallets": {"USDT": 1000.0}, "leverage": 5,
        "positions": [held(BTC, 1.0, 60_000.0, 60_000.0, isolated=True, margin=9000.0)],
    })  # fmt: skip
    rows = compare_venues(answer).set_index(["venue", "mode"])
    assert rows.loc[("generic", "isolated"), "available"] == pytest.approx(1000.0)
    assert rows.loc[("generic", "cross"), "collateral_equity"] == pytest.approx(10_000.0)


def test_margins_that_the_wallet_cannot_pay_are_told() -> None:
    """A bitcoin of 60,000 at 5x takes 12,000; 5,000 are there."""
    rows = at_venues(mode="cross", wallets={"USDT": 5000.0}, positions=[held(BTC, 1.0, 60_000.0, 60_000.0)])
    assert rows.loc[("binance", "isolated"), "note"] == "the positions' margins take 7,000.00 USDT more than there is"


def test_a_contract_in_the_wrong_dollar_is_refused_at_paradex_with_the_right_one() -> None:
    with pytest.raises(InputError, match=r"paradex: no fees of linear contracts .* settle in USDC"):
        margin({
            "venue": "paradex", "mode": "portfolio", "at": AT, "wallets": {"USDT": 20_000.0},
            "positions": [held(BTC, 1.0, 60_000.0, 60_000.0)],
        })  # fmt: skip


def test_on_the_screen_notes_and_refusals_are_lines_below_the_table(tmp_path: Path) -> None:
    path = tmp_path / "account.toml"
    path.write_text(
        f'venue = "binance"\nmode = "cross"\nat = {AT}\nleverage = 5\n[wallets]\nUSDT = 20_000\n[[positions]]\n'
        f'symbol = "{BTC}"\ncontracts = 1.0\nmark = 60_000\n'
        f'[[positions]]\nsymbol = "{ETH}"\ncontracts = 1.0\nmark = 3_000'
    )
    shown = CliRunner().invoke(app, ["margin", str(path), "--compare", "--venues"]).stdout
    assert "- deribit (cross, multi_asset, portfolio): no ETH/USDT:USDT or ETH/USDC:USDC on 2026-10-01\n" in shown
    assert "BTC/USDT:USDT as BTC/USDC:USDC; ETH/USDT:USDT as ETH/USDC:USDC\n" in shown
    assert "why not" not in shown


OWN_RULES = {
    "venue": "binance", "mode": "cross", "at": AT, "leverage": 5, "wallets": {"USDT": 20_000.0},
    "positions": [
        held(BTC, -0.5, 65_000.0, 67_000.0), held(ETH, 2.0, 3_300.0, 3_400.0, isolated=True, margin=700.0),
    ],
    "rules": {"tiers": {ETH: [[0, 0.01, 100]]}},
}  # fmt: skip


def test_where_it_stands_an_account_keeps_its_isolated_wallet_when_its_own_rules_are_left_out() -> None:
    """700 set apart and 200 of profit against 1 % of 6,800 by its own rules, 0.4 % by Binance's."""
    answer = margin(OWN_RULES)
    assert answer.account["margin_ratio"] == pytest.approx(900 / 68)
    row = compare_venues(answer).set_index(["venue", "mode"]).loc[("binance", "cross")]
    assert row["margin_ratio"] == pytest.approx(900 / 27.2)
    assert row["note"] == "by the venue's rules, without the account's [rules]"


def test_what_was_assumed_of_an_account_is_said_after_a_move_too(tmp_path: Path) -> None:
    (tmp_path / "account.json").write_text(json.dumps(OWN_RULES))
    done = CliRunner().invoke(app, ["margin", str(tmp_path / "account.json"), "--move", "BTC=-0.3", "--compare"])
    assert done.exit_code == 0, done.output
    assert "no price of USDT: taken as 1 USD" in done.stdout
    assert "The same book in every mode" in done.stdout


def test_dollars_stand_to_the_cent_at_the_right_of_their_columns(tmp_path: Path) -> None:
    """The isolated wallet: 900 against 1,360 to open (6,800 at 5x) and 68 to keep (1 %)."""
    (tmp_path / "account.json").write_text(json.dumps(OWN_RULES))
    screen = CliRunner().invoke(app, ["margin", str(tmp_path / "account.json")]).stdout
    wallets = screen[screen.index("\nWallets") :].splitlines()
    heads, *rows = wallets[2:5]
    assert {"900.00", "1,360.00", "68.00", "13.24"} <= {word for row in rows for word in row.split()}
    edge = heads.index("collateral equity") + len("collateral equity")
    assert all(row[edge - 3] == "." and row[edge] == " " for row in rows)
