"""Accounts of other venues lived through days of the sample, and what the calculator says of their last close."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backtest
from backtest.errors import InputError
from backtest.market.schema import Instrument
from backtest.market.store import Store
from backtest.strategy import Bar, Desks, Params, Strategy

pytestmark = pytest.mark.jit_off

ROOT = Path(__file__).resolve().parent.parent
FUTURE, MARK = "ETH/USDT:USDT", "mark-1h"


def lived(venue: str, mode: str, **account: Any) -> Any:
    """The hedged long of the sample, three days of June 2024, under another venue's rules."""
    config = tomllib.loads((ROOT / "configs" / "hedged_long.toml").read_text(encoding="utf-8"))
    config["data"] |= {"store": str(ROOT / "data/sample"), "start": "2024-06-01", "end": "2024-06-04"}
    config["data"]["venues"] = ["binance"]
    config["account"][0] |= {"venue": venue, "margin": mode, **account}
    config["rules"] = {"outside": "nearest", "counterfactual": True}
    return backtest.run(config)


def last_close(series: str, symbol: str, at: Any) -> float:
    columns = Store(ROOT / "data/sample").need("binance", symbol, series)
    row = int((columns["time"] == at.value // 1000).argmax())
    return float(columns["close"][row])


@pytest.mark.parametrize(
    "venue, mode",
    [
        ("binance", "portfolio"),
        ("bybit", "multi_asset"),
        ("bybit", "portfolio"),
        ("okx", "multi_asset"),
        ("okx", "portfolio"),
        ("generic", "multi_asset"),
        ("generic", "portfolio"),
    ],
)
def test_a_run_and_the_calculator_ask_the_same_of_the_same_account(venue: str, mode: str) -> None:
    result = lived(venue, mode)
    final = result.account.iloc[-1]
    balances = result.ledger.groupby("asset")["amount"].sum()
    position = result.positions.iloc[-1]
    answer = backtest.margin({
        "venue": venue, "mode": mode, "at": str(final.time), "leverage": 5,
        "outside": "nearest", "counterfactual": True,
        "wallets": {asset: float(amount) for asset, amount in balances.items()},
        "positions": [{
            "symbol": FUTURE, "contracts": float(position.contracts),
            "entry": float(position.cost / position.contracts),
            "mark": last_close(MARK, FUTURE, final.time),
        }],
        "prices": {asset: last_close("index-1h", f"{asset}/USD", final.time) for asset in ("USDT", "ETH")},
        "instruments": {FUTURE: {"contract_size": 1.0}},
    })  # fmt: skip
    for name in ("equity", "collateral_equity", "initial_margin", "maintenance_margin"):
        assert answer.account[name] == pytest.approx(final[name], rel=1e-9), name


def test_under_span_a_bitcoin_against_as_much_ether_is_credited_half_of_both_scans() -> None:
    """16 % of 60,000 on either side are 9,600; one spread of 1 to 20, half of each: 9,600 are left."""

    def asked(ether: float) -> Any:
        return backtest.margin({
            "venue": "generic", "mode": "portfolio", "model": "span", "at": "2024-06-01", "wallets": {"USDT": 50_000.0},
            "positions": [
                {"symbol": "BTC/USDT:USDT", "contracts": 1.0, "entry": 60_000.0, "mark": 60_000.0},
                {"symbol": "ETH/USDT:USDT", "contracts": ether, "entry": 3_000.0, "mark": 3_000.0},
            ],
        }).account  # fmt: skip

    assert asked(-20.0)["maintenance_margin"] == pytest.approx(9_600.0)
    assert asked(-20.0)["initial_margin"] == pytest.approx(1.3 * 9_600.0)
    assert asked(-10.0)["maintenance_margin"] == pytest.approx(9_600.0 + 4_800.0 - 2 * 0.5 * 4_800.0)
    assert asked(20.0)["maintenance_margin"] == pytest.approx(19_200.0)


def test_a_run_takes_its_own_numbers_of_the_tail_model_and_says_so() -> None:
    usual = lived("generic", "portfolio", requirement="tail")
    ours = lived("generic", "portfolio", requirement="tail", tail={"buffer": 0.25, "confidence": 0.995})
    said = {row["key"]: row["value"] for row in ours.manifest["rules"] if row["table"] == "account"}
    assert said == {"tail buffer": 0.25, "tail confidence": 0.995}
    assert (ours.account.maintenance_margin >= usual.account.maintenance_margin - 1e-9).all()
    few = "account main: 72 of 72 bars had fewer than 20 past moves: the scenario grid stood in for the tail"
    assert few in ours.manifest["notes"]


def test_two_accounts_of_one_run_look_back_each_by_its_own_window() -> None:
    def required(*days: int) -> Any:
        config = tomllib.loads((ROOT / "configs" / "hedged_long.toml").read_text(encoding="utf-8"))
        config["data"] |= {"store": str(ROOT / "data/sample"), "interval": "8h", "end": "2023-06-01"}
        account = config["account"][0] | {"venue": "generic", "margin": "portfolio", "requirement": "tail"}
        config["account"] = [account | {"name": str(each), "tail": {"window_days": each}} for each in days]
        config["rules"] = {"outside": "nearest", "counterfactual": True}
        config["strategy"] = {"class": ShortInEach, "params": {"accounts": [str(each) for each in days]}}
        return backtest.run(config).account.set_index(["account", "time"])["maintenance_margin"]

    short, long, both = required(30), required(120), required(30, 120)
    assert not np.allclose(short.to_numpy(), long.to_numpy())
    assert both["30"].equals(short["30"]) and both["120"].equals(long["120"])


class Accounts(Params):
    accounts: tuple[str, ...]


class ShortInEach(Strategy):
    """More ETH sold short on the first day than there are, in each account of the run."""

    Params = Accounts
    schedule = "1d"

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        return [FUTURE]

    def on_bar(self, bar: Bar, desk: Desks) -> None:
        for name in self.params.accounts if bar.number < 3 else ():
            desk[name].target(FUTURE, contracts=-60.0)


def test_numbers_of_the_tail_model_are_refused_where_margin_is_not_by_tail() -> None:
    with pytest.raises(InputError, match=r"45 days holds 15 moves of 3, and the model waits for 20; .* = 60 or more"):
        lived("generic", "portfolio", requirement="tail", tail={"window_days": 45, "horizon_days": 3})
    with pytest.raises(InputError, match="tail would do nothing: 'portfolio' at generic is margined by scenarios"):
        lived("generic", "portfolio", tail={"buffer": 0.25})


@pytest.mark.parametrize("model", ["span", "tims"])
def test_a_hedge_at_the_generic_venue_may_be_margined_by_span_or_tims(model: str) -> None:
    """Spot is no part of SPAN's commodity: the short alone asks its scan range. TIMS sets the coin against it."""
    ours, other = lived("generic", "portfolio"), lived("generic", "portfolio", model=model)
    assert other.account.maintenance_margin.iloc[-1] > 0.0
    assert other.account.maintenance_margin.iloc[-1] != ours.account.maintenance_margin.iloc[-1]
