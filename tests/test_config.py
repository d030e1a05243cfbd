"""A run's file: what is filled in, and how every kind of mistake is told, with its place and its cure."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.config import load_config
from backtest.config.types import duration_us
from backtest.errors import InputError

MINIMAL = """
name = "carry"
[data]
store = "data/sample"
start = 2024-01-01
end = 2024-06-30
[[account]]
deposit = { USDT = 10_000, BTC = 1.5 }
[strategy]
class = "strategies.funding_carry:FundingCarry"
"""


def good() -> dict[str, Any]:
    return {
        "name": "carry",
        "data": {"store": "data/sample", "start": "2024-01-01", "end": "2024-06-30"},
        "account": [{"deposit": {"USDT": 10_000}}],
        "strategy": {"class": "strategies.funding_carry:FundingCarry"},
    }


def changed(place: str, value: object) -> dict[str, Any]:
    """The good run with one setting put in, e.g. `account.0.leverage`."""
    config = good()
    *tables, key = place.split("/")
    here: Any = config
    for table in tables:
        here = here[int(table)] if table.isdigit() else here.setdefault(table, {})
    here[key] = value
    return config


def complaint(config: object) -> str:
    with pytest.raises(InputError) as caught:
        load_config(config)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_minimal_file_is_a_whole_run_with_concrete_defaults(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(MINIMAL)
    config = load_config(tmp_path / "run.toml")
    assert config.data.start == datetime(2024, 1, 1, tzinfo=UTC)
    assert config.data.start_us == 1_704_067_200_000_000
    assert config.account[0].deposits() == [(None, "USDT", 10_000.0), (None, "BTC", 1.5)]
    assert (config.account[0].margin, config.account[0].venue, config.data.interval) == ("cross", "binance", "1h")
    assert (config.execution.slippage_bps, config.execution.path) == (2.0, "low_then_high")


def test_the_resolved_run_is_json_and_loads_to_the_same_run(tmp_path: Path) -> None:
    config = load_config(changed("account/0/leverage", {"SOL/USDT:USDT": 3}))
    (tmp_path / "again.json").write_text(json.dumps(config.resolved()))
    assert load_config(tmp_path / "again.json").resolved() == config.resolved()


def test_one_leverage_holds_for_every_instrument_without_its_own() -> None:
    account = load_config(changed("account/0/leverage", {"default": 10, "SOL/USDT:USDT": 3})).account[0]
    assert (account.leverage_of("BTC/USDT:USDT"), account.leverage_of("SOL/USDT:USDT")) == (10.0, 3.0)


def test_deposits_may_name_their_wallets() -> None:
    account = load_config(changed("account/0/deposit", {"spot": {"BTC": 1}, "usdm": {"USDT": 500}})).account[0]
    assert account.deposits() == [("spot", "BTC", 1.0), ("usdm", "USDT", 500.0)]


def test_deposits_may_be_numbers_of_numpy() -> None:
    given = {"spot": {"BTC": np.int64(1)}, "USDT": np.float32(500.0)}
    account = load_config(changed("account/0/deposit", given)).account[0]
    assert repr(account.deposits()) == "[('spot', 'BTC', 1.0), (None, 'USDT', 500.0)]"


def test_axes_that_make_a_preset_name_it() -> None:
    account = {"deposit": {"USDT": 1}, "scope": "cross", "collateral_axis": "multi", "requirement": "tail"}
    assert load_config(changed("account", [account])).account[0].margin == "portfolio"


def test_axes_left_out_are_those_of_the_preset() -> None:
    account = {"deposit": {"USDT": 1}, "margin": "portfolio", "requirement": "tail"}
    assert load_config(changed("account", [account])).account[0].requirement == "tail"


def test_a_time_in_another_zone_is_the_same_moment_in_utc() -> None:
    assert load_config(changed("data/start", "2024-01-01T08:00:00+08:00")).data.start_us == 1_704_067_200_000_000


def test_durations_are_whole_numbers_with_a_unit() -> None:
    assert [duration_us(text) for text in ("0s", "30m", "1h", "2d")] == [
        0,
        1_800_000_000,
        3_600_000_000,
        172_800_000_000,
    ]


def test_a_store_is_found_from_the_file_when_the_command_runs_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "data" / "sample").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "configs" / "run.toml").write_text(MINIMAL)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_config(tmp_path / "configs" / "run.toml").data.folder == tmp_path / "data" / "sample"


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("guards/max_utilisation", 0.7, ["guards.max_utilisation", "0.7", "did you mean 'max_utilization'"]),
        ("exection", {}, ["exection", "did you mean 'execution'"]),
        ("account/0/leverge", 3, ["account[0].leverge", "did you mean 'leverage'"]),
        (
            "account/0/refill",
            {"trigger": 1, "target": 2, "dely": "1h"},
            ["account[0].refill.dely", "did you mean 'delay'"],
        ),
        ("strategy/clas", "x", ["strategy.clas", "did you mean 'class'"]),
        (
            "events",
            [{"kind": "outtage", "time": "2024-01-02"}],
            ["events[0].kind = 'outtage'", "did you mean 'outage'"],
        ),
        ("events", [{"time": "2024-01-02"}], ["events[0].kind: is missing"]),
        ("account/0/margin", "portfoliio", ["account[0].margin", "'portfoliio'", "did you mean 'portfolio'"]),
        ("account/0/leverage", {"default": 0.5}, ["account[0].leverage.default", "0.5", "greater than or equal to 1"]),
        ("account/0/leverage", {"BTCUSDT": 3}, ["account[0].leverage", "BTCUSDT"]),
        ("account/0/isolated", ["SOLUSDT"], ["account[0].isolated[0]", "SOLUSDT"]),
        ("account/0/deposit", {}, ["account[0].deposit", "nothing is deposited"]),
        ("account/0/deposit", {"USDT": 0}, ["account[0].deposit", "USDT = 0", "must be positive"]),
        ("account/0/deposit", {"USDT": -5}, ["USDT = -5", "must be positive"]),
        ("account/0/deposit", {"USDT": "much"}, ["account[0].deposit", "USDT = 'much'", "write a number"]),
        ("account/0/deposit", {"spott": {"BTC": 1}}, ["no wallet 'spott'", "did you mean 'spot'"]),
        ("account/0/transfer", {"delay": "one hour"}, ["account[0].transfer.delay", "one hour", "'30m'"]),
        ("account/0/top_up", {"trigger": 2, "target": 1}, ["account[0].top_up", "target (1)", "raise the target"]),
        ("account/0/scope", "isolatd", ["account[0]", "isolatd", "valid: isolated + settlement + tiers"]),
        ("account", [], ["account", "at least 1"]),
        ("data/start", "2024-07-01", ["data", "not after start (2024-07-01 00:00)", "swap them"]),
        ("data/start", "yesterday", ["data.start", "'yesterday' is not a date", "2024-01-31"]),
        ("data/interval", "2h", ["data.interval", "'2h'", "valid: 1m"]),
        ("execution/path", "low_high", ["execution.path", "'low_high'", "did you mean 'low_then_high'"]),
        ("execution/slippage_bps", "2", ["execution.slippage_bps", "'2'", "write a number"]),
        ("execution/volume_share", 1.5, ["execution.volume_share", "1.5", "less than or equal to 1"]),
        ("execution/limit_touch", 1, ["execution.limit_touch", "write true or false"]),
        ("prices/gaps", "fill", ["prices.gaps", "'fill'", "valid: error, hold"]),
        ("guards", 3, ["guards", "3", "write a table"]),
        ("strategy/class", "BasisTrade", ["strategy.class", "'BasisTrade'", "module:Class"]),
        ("name", "../up", ["name", "'../up'", "letters"]),
        ("compare/modes", ["crosss"], ["compare.modes[0]", "'crosss'", "did you mean 'cross'"]),
    ],
)
def test_a_wrong_setting_is_told_with_its_place_and_its_cure(place: str, value: object, said: list[str]) -> None:
    message = complaint(changed(place, value))
    assert [words for words in said if words not in message] == [], message


def test_a_flow_outside_the_run_is_refused_with_the_span() -> None:
    flows = [{"time": "2025-01-01", "asset": "USDT", "amount": 5}]
    assert "account[0].flows[0].time = 2025-01-01 00:00 lies outside" in complaint(changed("account/0/flows", flows))


def test_every_mistake_is_told_at_once() -> None:
    config = changed("guards/max_utilisation", 1)
    config["data"]["interval"] = "7m"
    assert len(complaint(config).splitlines()) == 2


def test_two_accounts_of_one_name_are_refused() -> None:
    assert "two accounts are named 'main'" in complaint(changed("account", [{"deposit": {"USDT": 1}}] * 2))


def test_a_missing_section_is_named() -> None:
    config = good()
    del config["strategy"]
    assert "strategy: is missing" in complaint(config)


def test_broken_toml_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('name = "x"\n[data\n')
    message = complaint(tmp_path / "run.toml")
    assert "run.toml: not valid TOML" in message
    assert "line 2" in message


def test_a_file_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "hedged_long.toml").write_text(MINIMAL)
    assert "did you mean 'hedged_long.toml'" in complaint(tmp_path / "hedged_lng.toml")


def test_the_file_is_named_beside_the_key(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(MINIMAL + "[guards]\nmin_ratio = 1.2\n")
    assert "run.toml: guards.min_ratio" in complaint(tmp_path / "run.toml")


def test_a_text_file_is_no_run(tmp_path: Path) -> None:
    assert "a run is a .toml or .json file" in complaint(tmp_path / "run.yaml")
