"""What a run tells, on records made by hand: every expected figure is worked out beside it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest

import backtest
from backtest.config import load_config
from backtest.errors import InputError
from backtest.market.history import History
from backtest.market.schema import Instrument
from backtest.market.store import write_instruments, write_series
from backtest.report.capital import least_capital
from backtest.report.explain import explain
from backtest.report.folder import check_target
from backtest.report.manifest import manifest
from backtest.report.panels import panels
from backtest.report.picture import write_picture
from backtest.report.record import FRAMES, RunRecord, empty
from backtest.report.result import Result, load
from backtest.report.statistics import Performance, drawdown, statistics, survival
from backtest.research.run import prepare
from backtest.strategy.strategy import Strategy

DAY_US = 86_400_000_000
START = pd.Timestamp("2024-01-01", tz="UTC")
SPOT = Instrument("BTC/USDT", "spot", "BTC", "USDT", "USDT", 1.0, 0.01, 1e-5, 5.0, None, None, None, "hand")
PERP = Instrument("BTC/USDT:USDT", "linear", "BTC", "USDT", "USDT", 1.0, 0.1, 0.001, 5.0, None, None, None, "hand")
COIN = Instrument("BTC/USD:BTC", "inverse", "BTC", "USD", "BTC", 100.0, 0.1, 1.0, 0.0, None, None, None, "hand")


def history(
    instruments: tuple[Instrument, ...],
    marks: list[list[float]],
    btc: list[float],
    usdt: list[float],
    opens: list[float],
) -> History:
    """Daily bars; marks by instrument at the closes, index of BTC and USDT at the closes, BTC's index at the opens."""
    bars = len(btc)
    mark, index = np.array(marks, dtype=float), np.array([btc, usdt], dtype=float)
    index_open = np.array([opens, [1.0, *usdt[:-1]]])
    flat: dict[str, Any] = dict.fromkeys(("open", "high", "low", "close", "mark_open", "mark_low", "mark_high"), mark)
    none, nothing = np.zeros(0, dtype=np.int64), np.zeros(0)
    return History(
        time=np.arange(bars, dtype=np.int64) * DAY_US + START.value // 1000,
        interval_us=DAY_US, instruments=instruments, assets=("BTC", "USDT"), **flat,
        volume=np.zeros_like(mark), mark_close=mark, worst_low=mark, worst_high=mark,
        mark_source=tuple("mark" for _ in instruments), index_open=index_open, index_low=index, index_high=index,
        index_close=index, index_source=("index:BTC/USD", "constant 1.0"), tradable=np.ones(mark.shape, dtype=bool),
        funding_bar=none, funding_instrument=none, funding_rate=nothing, funding_price=nothing, funding_time=none,
        funding_flag=np.zeros(0, dtype=np.int8), delivery_bar=none, delivery_instrument=none, delivery_price=nothing,
        delivery_source=(), daily_volatility=np.zeros_like(mark), daily_volume=np.zeros_like(mark),
        borrow_rate=np.zeros_like(index), has_borrow=np.zeros(2, dtype=bool), notes=("a note",),
    )  # fmt: skip


def day(bar: int) -> pd.Timestamp:
    return START + pd.Timedelta(days=bar)


def account_frame(equity: list[float], **columns: list[float]) -> pd.DataFrame:
    """The account's rows, quiet where nothing is said."""
    bars = len(equity)
    ratios = columns.get("worst_ratio", [np.inf] * bars)
    frame = {
        "time": [day(k) for k in range(bars)], "account": "main", "equity": equity, "collateral_equity": equity,
        "initial_margin": [0.0] * bars, "maintenance_margin": [0.0] * bars,
        "margin_ratio": ratios, "worst_ratio": ratios,
        "worst_wallet": "unified", "ratio_close": ratios, "ratio_low_then_high": ratios, "ratio_each_worst": ratios,
        "utilization": [0.0] * bars, "cash_usd": equity, "liquidation_level": [1.0] * bars,
    }  # fmt: skip
    return pd.DataFrame(frame | columns)


def ledger(*rows: tuple[int, str, str, float, str]) -> pd.DataFrame:
    """Rows of (bar, asset, kind, amount, instrument)."""
    columns = [
        {
            "time": day(max(bar, 0)), "bar": bar, "account": "main", "wallet": "unified", "asset": asset, "kind": kind,
            "amount": amount, "steps": round(amount * 1e8), "instrument": instrument, "order": -1,
        }
        for bar, asset, kind, amount, instrument in rows
    ]  # fmt: skip
    return pd.DataFrame(columns, columns=list(FRAMES["ledger"]))


def fill(bar: int, symbol: str, contracts: float, price: float, mark: float, cause: str = "order") -> dict[str, Any]:
    return {
        "time": day(bar), "bar": bar, "account": "main", "symbol": symbol, "contracts": contracts, "price": price,
        "mark": mark, "notional_usd": abs(contracts * price), "cause": cause, "point": "open", "fee": 0.0,
        "fee_asset": "USDT", "realised": 0.0, "settle": "USDT", "order": 0,
    }  # fmt: skip


def position(bar: int, symbol: str, contracts: float, cost: float) -> dict[str, Any]:
    return {"time": day(bar), "account": "main", "symbol": symbol, "contracts": contracts, "cost": cost}


def made(past: History, frames: dict[str, pd.DataFrame], **config: Any) -> RunRecord:
    """A record of one account called main; frames not given are empty."""
    settings = {
        "name": "hand", "data": {"store": "nowhere", "start": "2024-01-01", "end": "2024-12-31", "interval": "1d"},
        "account": [{"margin": "portfolio", "deposit": {"USDT": 100}}], "strategy": {"class": "hand:Made"},
    } | config  # fmt: skip
    given = {name: frames.get(name, empty(name)) for name in FRAMES}
    return RunRecord(load_config(settings), past, (), ["main"], ["portfolio"], **given, seconds=1.0, stored=False)


def cash(equity: list[float], *flows: tuple[int, str, str, float, str], **columns: list[float]) -> RunRecord:
    """A dollar account that started with 100 and then had this equity at the closes."""
    past = history((SPOT,), [[1.0] * len(equity)], [1.0] * len(equity), [1.0] * len(equity), [1.0] * len(equity))
    books = ledger((0, "USDT", "deposit", 100.0, ""), *flows)
    return made(past, {"account": account_frame(equity, **columns), "ledger": books})


def test_total_and_daily_returns_are_those_of_the_closes() -> None:
    record = cash([110.0, 99.0, 99.0, 118.8])
    # 100 -> 110 -> 99 -> 99 -> 118.8: +10 %, -10 %, 0, +20 %
    returns = Performance(record, 0).daily
    np.testing.assert_allclose(returns.to_numpy(), [0.10, -0.10, 0.0, 0.20])
    assert returns.index.tolist() == [pd.Timestamp(f"2024-01-0{k}") for k in (1, 2, 3, 4)]
    stats = statistics(record)
    assert stats["Total Return [%]"] == pytest.approx(18.8)
    # mean 0.05; squares of deviations .0025 .0225 .0025 .0225 = 0.05; / 3 -> sd 0.1290994; 0.05 x sqrt(365) / sd
    assert stats["Sharpe"] == pytest.approx(0.05 * 365**0.5 / (0.05 / 3) ** 0.5)
    # below zero only -0.10: sqrt(0.01 / 4) = 0.05, so the ratio is sqrt(365)
    assert stats["Sortino"] == pytest.approx(365**0.5)
    assert stats["Max Drawdown [%]"] == pytest.approx(10.0)
    assert stats["Annualised Return [%]"] == pytest.approx(100 * (1.188 ** (365 / 4) - 1))


def test_a_deposit_on_the_way_is_not_a_gain() -> None:
    # 100 -> 110; 110 come in at the next open -> 220, which earn 10 % -> 242: two days of 10 %
    record = cash([110.0, 242.0], (1, "USDT", "deposit", 110.0, ""))
    np.testing.assert_allclose(Performance(record, 0).daily.to_numpy(), [0.1, 0.1])
    assert statistics(record)["Total Return [%]"] == pytest.approx(21.0)
    assert statistics(record)["Deposits and Withdrawals"] == pytest.approx(110.0)


def test_there_are_no_returns_after_ruin() -> None:
    record = cash([50.0, -5.0, -5.0, 20.0])
    np.testing.assert_allclose(Performance(record, 0).daily.to_numpy(), [-0.5, -1.0])
    assert statistics(record)["Total Return [%]"] == -100.0


def test_a_drawdown_is_measured_from_the_start_too() -> None:
    assert drawdown(np.array([0.8, 0.9, 0.6])) == pytest.approx(0.4)


def test_the_deepest_drawdown_has_a_date_and_one_that_never_was_has_none() -> None:
    """100, 110, 99, 99, 118.8: ten percent under 110, first on the second day."""
    assert statistics(cash([110.0, 99.0, 99.0, 118.8]))["Max Drawdown At"] == day(1)
    assert statistics(cash([80.0, 90.0, 60.0]))["Max Drawdown At"] == day(2)
    assert statistics(cash([100.0, 110.0]))["Max Drawdown At"] is None


def test_holding_the_deposit_is_the_index_of_what_was_paid_in() -> None:
    # 1 BTC at 100 and 100 USDT: 200; at the end 1 x 130 + 100 = 230, +15 %
    past = history((SPOT,), [[120.0, 130.0]], [120.0, 130.0], [1.0, 1.0], [100.0, 120.0])
    books = ledger((0, "BTC", "deposit", 1.0, ""), (0, "USDT", "deposit", 100.0, ""))
    record = made(past, {"account": account_frame([220.0, 230.0]), "ledger": books})
    assert statistics(record)["Return of Holding the Deposit [%]"] == pytest.approx(15.0)
    assert explain(record)["price"] == pytest.approx(30.0)


def test_equity_can_be_counted_in_a_coin() -> None:
    # worth 200 USD at 100 a coin = 2 BTC, and 260 USD at 130 = 2 BTC: nothing gained in coin
    past = history((SPOT,), [[100.0, 130.0]], [100.0, 130.0], [1.0, 1.0], [100.0, 100.0])
    books = ledger((0, "BTC", "deposit", 2.0, ""))
    frames = {"account": account_frame([200.0, 260.0]), "ledger": books}
    record = made(past, frames, report={"numeraire": "BTC"})
    assert statistics(record)["End Equity"] == pytest.approx(2.0)
    assert statistics(record)["Total Return [%]"] == pytest.approx(0.0)


def test_margin_figures_name_the_worst_moment_and_its_wallet() -> None:
    record = cash(
        [100.0, 100.0, 100.0], worst_ratio=[3.0, 1.4, 2.0], ratio_each_worst=[2.0, 1.1, 1.5],
        initial_margin=[0.0, 20.0, 40.0], utilization=[0.0, 0.2, 0.4], collateral_equity=[95.0, 80.0, 90.0],
    )  # fmt: skip
    stats = statistics(record)
    assert (stats["Lowest Margin Ratio"], stats["Lowest Margin Ratio At"]) == (1.4, day(1))
    assert stats["Lowest Margin Ratio, each worst"] == 1.1
    assert (stats["Average Initial Margin"], stats["Peak Initial Margin"], stats["Peak Utilization"]) == (
        30.0,
        40.0,
        0.4,
    )
    assert stats["Average Haircut"] == pytest.approx((5 + 20 + 10) / 3)
    assert stats["Worst Haircut"] == 20.0
    assert stats["Leverage Assumed"] == "5x"


def test_least_capital_is_the_start_less_what_was_never_needed() -> None:
    # headroom on the way: 100 - 30 = 70, then 80 - max(25, 1 x 40) = 40, so 60 of the 100 were needed
    record = cash([100.0, 80.0])
    record.wallets = pd.DataFrame(
        {
            "time": [day(0), day(1)], "account": "main", "wallet": "unified", "collateral": [100.0, 80.0],
            "initial_margin": [30.0, 25.0], "maintenance_margin": [10.0, 40.0],
            "headroom": [70.0, 40.0],
        }
    )  # fmt: skip
    assert least_capital(record, 0) == pytest.approx(60.0)
    # lost 20 on the 60 needed
    assert statistics(record)["Return on Least Capital [%]"] == pytest.approx(100 * -20 / 60)


@pytest.mark.parametrize(
    ("close", "low_high", "each", "verdict"),
    [(2.0, 1.5, 1.2, "yes"), (2.0, 1.5, 0.9, "undecided inside the bar (2024-01-01 00:00)")],
)
def test_survival_is_undecided_where_the_paths_disagree(
    close: float, low_high: float, each: float, verdict: str
) -> None:
    record = cash(
        [100.0], worst_ratio=[low_high], ratio_close=[close], ratio_low_then_high=[low_high], ratio_each_worst=[each]
    )
    assert survival(record, 0) == verdict


def test_a_later_liquidation_that_every_reading_shares_decides() -> None:
    record = cash([100.0, 80.0], ratio_close=[2.0, 0.9], ratio_low_then_high=[0.9, 0.8], ratio_each_worst=[0.9, 0.8])
    rows = [{"time": day(bar), "account": "main", "wallet": "unified", "rung": "reduce"} for bar in (0, 1)]
    record.incidents = pd.DataFrame(rows)
    assert survival(record, 0) == "no: 2024-01-02 00:00 (on one reading 2024-01-01 00:00)"


def test_a_liquidation_is_dated_and_counted_once_a_bar() -> None:
    record = cash([100.0, 40.0], worst_ratio=[2.0, 0.9])
    row = {"time": day(1), "account": "main", "wallet": "unified", "symbol": PERP.symbol}
    record.incidents = pd.DataFrame([row | {"rung": rung} for rung in ("cancel orders", "reduce", "takeover")])
    assert survival(record, 0) == "no: 2024-01-02 00:00"
    assert statistics(record)["Liquidations"] == 1


def test_a_gap_through_the_level_at_the_open_is_decided_on_every_path() -> None:
    record = cash([100.0, 40.0], worst_ratio=[2.0, np.inf])
    record.incidents = pd.DataFrame([{"time": day(1), "account": "main", "wallet": "unified", "rung": "reduce"}])
    assert survival(record, 0) == "no: 2024-01-02 00:00"


def test_a_liquidation_that_only_one_path_sees_is_undecided() -> None:
    record = cash([100.0, 40.0], worst_ratio=[2.0, 0.9], ratio_close=[2.5, 1.3])
    record.incidents = pd.DataFrame([{"time": day(1), "account": "main", "wallet": "unified", "rung": "reduce"}])
    assert survival(record, 0) == "undecided inside the bar (2024-01-02 00:00)"


def test_a_spot_purchase_is_taken_apart_into_slippage_fee_and_price() -> None:
    # 1,000 USDT; buys 2 BTC at 101 (mark 100), fee 0.002 BTC; BTC closes at 110, then 120
    past = history((SPOT,), [[110.0, 120.0]], [110.0, 120.0], [1.0, 1.0], [100.0, 110.0])
    books = ledger(
        (0, "USDT", "deposit", 1000.0, ""),
        (0, "USDT", "buy", -202.0, SPOT.symbol), (0, "BTC", "buy", 2.0, SPOT.symbol),
        (0, "BTC", "fee", -0.002, SPOT.symbol),
    )  # fmt: skip
    equity = [798.0 + 1.998 * 110, 798.0 + 1.998 * 120]
    frames = {
        "account": account_frame(equity),
        "ledger": books,
        "fills": pd.DataFrame([fill(0, SPOT.symbol, 2.0, 101.0, 100.0)]),
    }
    parts = explain(made(past, frames))
    assert parts["execution"] == pytest.approx(-2.0)  # 2 x (100 - 101)
    assert parts["fees"] == pytest.approx(-0.22)  # 0.002 x 110
    assert parts["price"] == pytest.approx(2 * 10 + 1.998 * 10)
    assert parts["residual"] == pytest.approx(0.0, abs=1e-9)
    assert parts.sum() == pytest.approx(equity[-1] - 1000.0)


def test_a_linear_short_splits_into_price_basis_and_fx() -> None:
    # short 2 at 99 when the mark is 100 and the index 98. Marks 103, 105; BTC 100, 104 USD; USDT 1.00 then 0.98
    past = history((PERP,), [[103.0, 105.0]], [100.0, 104.0], [1.0, 0.98], [98.0, 100.0])
    books = ledger((0, "USDT", "deposit", 1000.0, ""), (1, "USDT", "funding", 3.0, PERP.symbol))
    frames = {
        "account": account_frame([1000.0 - 2 * 103 + 198, (1003.0 - 2 * 105 + 198) * 0.98]),
        "ledger": books, "fills": pd.DataFrame([fill(0, PERP.symbol, -2.0, 99.0, 100.0)]),
        "positions": pd.DataFrame([position(0, PERP.symbol, -2.0, -198.0)]),
    }  # fmt: skip
    parts = explain(made(past, frames))
    assert parts["execution"] == pytest.approx(-2.0)  # -2 x (100 - 99)
    # first bar, from the fill: index 98 -> 100 is -4; second bar: -2 x (104 - 100) = -8
    assert parts["price"] == pytest.approx(-12.0)
    # first bar: the mark went 100 -> 103, 2 of the 3 are the index: -2. Second bar, in USDT: mark +2, index
    # 104 / 0.98 - 100
    assert parts["basis"] == pytest.approx(-2.0 - 2 * (2.0 - (104 / 0.98 - 100)) * 0.98)
    assert parts["funding"] == pytest.approx(3 * 0.98)
    # 1,000 USDT and a loss of 8, each losing 2 cents; and the index move in USDT that is none in USD
    held = (1000.0 - 8.0) * -0.02
    assert parts["fx"] == pytest.approx(held + (-2 * (104 / 0.98 - 100) * 0.98 + 8.0))
    assert parts["residual"] == pytest.approx(0.0, abs=1e-9)


def test_an_inverse_short_closed_at_a_profit_leaves_no_residual() -> None:
    # short 10 contracts of 100 USD at 50,000 with mark 50,000, bought back next day at 40,000 (mark 40,000):
    # profit 1,000 x (1 / 40,000 - 1 / 50,000) = 0.005 BTC, which at 40,000 is 200 USD
    past = history((COIN,), [[50_000.0, 40_000.0]], [50_000.0, 40_000.0], [1.0, 1.0], [50_000.0, 50_000.0])
    past.index_open[0, 1] = 40_000.0
    books = ledger((0, "BTC", "deposit", 1.0, ""), (1, "BTC", "realised", 0.005, COIN.symbol))
    frames = {
        "account": account_frame([50_000.0, 1.005 * 40_000]), "ledger": books,
        "fills": pd.DataFrame([fill(0, COIN.symbol, -10.0, 5e4, 5e4), fill(1, COIN.symbol, 10.0, 4e4, 4e4)]),
        "positions": pd.DataFrame([position(0, COIN.symbol, -10.0, 0.02), position(1, COIN.symbol, 0.0, 0.0)]),
    }  # fmt: skip
    parts = explain(made(past, frames))
    assert parts["price"] == pytest.approx(-10_000.0 + 200.0)
    assert parts["execution"] == pytest.approx(0.0, abs=1e-9)
    assert parts["basis"] == pytest.approx(0.0, abs=1e-9)
    assert parts["residual"] == pytest.approx(0.0, abs=1e-8)


def test_a_ledger_that_lost_a_profit_shows_it_as_residual() -> None:
    # the long of 100 sold at 110 made 10, which the ledger does not have
    past = history((PERP,), [[100.0, 110.0]], [100.0, 110.0], [1.0, 1.0], [100.0, 110.0])
    fills = [fill(0, PERP.symbol, 1.0, 100.0, 100.0), fill(1, PERP.symbol, -1.0, 110.0, 110.0)]
    frames = {
        "account": account_frame([50.0, 50.0]), "ledger": ledger((0, "USDT", "deposit", 50.0, "")),
        "fills": pd.DataFrame(fills),
        "positions": pd.DataFrame([position(0, PERP.symbol, 1.0, 100.0), position(1, PERP.symbol, 0.0, 0.0)]),
    }  # fmt: skip
    parts = explain(made(past, frames))
    assert (parts["price"], parts["execution"], parts["residual"]) == pytest.approx((10.0, 0.0, -10.0))


def test_a_forced_fill_costs_its_impact_and_its_fee_as_liquidation() -> None:
    # long 1 from 100 (mark 100), forced out at 88 when the mark is 90; clearance fee 0.5
    past = history((PERP,), [[100.0, 90.0]], [100.0, 90.0], [1.0, 1.0], [100.0, 100.0])
    books = ledger(
        (0, "USDT", "deposit", 50.0, ""), (1, "USDT", "realised", -12.0, PERP.symbol),
        (1, "USDT", "liquidation_fee", -0.5, PERP.symbol), (1, "USDT", "insurance", 0.25, ""),
    )  # fmt: skip
    frames = {
        "account": account_frame([50.0, 37.75]), "ledger": books,
        "fills": pd.DataFrame(
            [fill(0, PERP.symbol, 1.0, 100.0, 100.0), fill(1, PERP.symbol, -1.0, 88.0, 90.0, "liquidation")]
        ),
        "positions": pd.DataFrame([position(0, PERP.symbol, 1.0, 100.0), position(1, PERP.symbol, 0.0, 0.0)]),
    }  # fmt: skip
    record = made(past, frames)
    parts = explain(record)
    assert parts["liquidation"] == pytest.approx(-2.5)
    assert parts["insurance and write-off"] == pytest.approx(0.25)
    assert parts["price"] + parts["basis"] == pytest.approx(-10.0)
    assert parts["residual"] == pytest.approx(0.0, abs=1e-9)
    assert statistics(record)["Liquidation Cost"] == pytest.approx(-2.5)


def test_a_saved_run_loads_with_the_same_figures_and_frames(tmp_path: Path) -> None:
    result = Result(cash([110.0, 99.0, 99.0, 118.8], worst_ratio=[np.inf, 1.4, 2.0, 2.0]))
    again = load(result.save(tmp_path / "run"))
    pd.testing.assert_series_equal(again.stats, result.stats, check_dtype=False)
    pd.testing.assert_series_equal(again.returns, result.returns, check_freq=False)
    pd.testing.assert_frame_equal(again.account, result.account, check_dtype=False)
    assert again.explain().tolist() == result.explain().tolist()


def test_the_same_run_saved_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        Result(cash([110.0, 99.0], worst_ratio=[np.inf, 1.4])).save(tmp_path / name, page=True)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert [
        name for name in files if (tmp_path / "one" / name).read_bytes() != (tmp_path / "two" / name).read_bytes()
    ] == []
    assert {"account.parquet", "ledger.parquet", "stats.json", "manifest.json", "report.html", "picture.png"} <= set(
        files
    )


def test_the_manifest_tells_what_was_assumed(tmp_path: Path) -> None:
    Result(cash([110.0])).save(tmp_path / "run")
    journal = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert journal["config"]["execution"]["path"] == "low_then_high"
    assert journal["prices"] == {"BTC/USDT": "mark"}
    assert journal["notes"] == ["a note"]
    assert any("2 bps of slippage" in words for words in journal["assumptions"])


def test_saving_over_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="exists and is no run folder of ours"):
        Result(cash([110.0])).save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_somebody_elses_manifest_does_not_make_a_folder_ours(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "manifest.json").write_text('{"name": "a web page", "icons": []}')
    with pytest.raises(InputError, match="exists and is no run folder of ours"):
        Result(cash([110.0])).save(tmp_path / "site")
    assert (tmp_path / "site" / "manifest.json").read_text().startswith('{"name": "a web page"')


def test_a_file_put_into_a_result_folder_is_not_thrown_away_with_it(tmp_path: Path) -> None:
    folder = Result(cash([110.0])).save(tmp_path / "run")
    (folder / "my notes.txt").write_text("buy the dip")
    with pytest.raises(InputError, match=r"holds what no run wrote: my notes\.txt; move it away"):
        Result(cash([99.0])).save(folder)
    (folder / "my notes.txt").unlink()
    assert load(Result(cash([99.0])).save(folder)).stats["End Equity"] == 99.0
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


def test_a_link_to_a_result_folder_stays_a_link(tmp_path: Path) -> None:
    Result(cash([110.0])).save(tmp_path / "disk" / "run")
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "run")
    Result(cash([99.0])).save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert load(tmp_path / "disk" / "run").stats["End Equity"] == 99.0


def test_places_no_folder_can_be_written_to_are_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    places = {"../file": "is a file", "../file/run": "is a file", ".": "you are in", "..": "you are in"}
    places |= {"n" * 300: "longer than 255 bytes", "a/" + "n" * 300: "longer than 255 bytes"}
    for place, words in places.items():
        with pytest.raises(InputError, match=words):
            check_target(place)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(InputError, match="may not be written to"):
        check_target(tmp_path / "locked" / "run")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "here"]


def test_a_save_that_breaks_leaves_the_old_folder_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Result(cash([110.0])).save(tmp_path / "run")

    def stopped(self: Result) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(Result, "_page", stopped)
    with pytest.raises(KeyboardInterrupt):
        Result(cash([99.0])).save(tmp_path / "run", page=True)
    assert [each.name for each in tmp_path.iterdir()] == ["run"]
    assert load(tmp_path / "run").stats["End Equity"] == 110.0


def test_a_report_page_is_not_written_over_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder; name the page to write, such as .*report\.html"):
        Result(cash([110.0])).report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_loading_what_is_no_result_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no saved run there"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("manifest.json", b"{}", "is no manifest of a run"),
        ("manifest.json", b"\xff\xfe\x00", "cannot be read"),
        ("manifest.json", b"[1, 2]", "is a list, not a table"),
        ("stats.json", b"{}", "figures: is missing"),
        ("stats.json", b'{"figures": {"main": 5}, "explain": {}}', "figures.main = 5: write a table"),
        ("stats.json", b"", "cannot be read"),
        ("account.parquet", b"garbage", "cannot be read as Parquet"),
        ("returns.parquet", b"PAR1", "cannot be read as Parquet"),
    ],
)
def test_a_saved_file_that_is_damaged_is_named(tmp_path: Path, file: str, content: bytes, words: str) -> None:
    folder = Result(cash([110.0])).save(tmp_path / "run")
    (folder / file).write_bytes(content)
    with pytest.raises(InputError, match=f"{file}: {words}"):
        load(folder)


def test_a_saved_frame_or_manifest_that_lacks_a_part_is_named(tmp_path: Path) -> None:
    folder = Result(cash([110.0])).save(tmp_path / "run")
    whole = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(json.dumps(json.loads(whole) | {"accounts": [{"name": "main"}]}))
    with pytest.raises(InputError, match=r"manifest\.json: accounts\[0\]\.mode: is missing"):
        load(folder)
    (folder / "manifest.json").write_text(whole)
    pd.DataFrame({"time": [day(0)]}).to_parquet(folder / "fills.parquet")
    with pytest.raises(InputError, match=r"fills\.parquet: has no column 'bar'"):
        load(folder)


def test_a_run_of_a_class_within_a_function_can_be_loaded(tmp_path: Path) -> None:
    class Local(Strategy):
        """Known to this test alone."""

    record = cash([110.0])
    record.config = record.config.model_copy(
        update={"strategy": record.config.strategy.model_copy(update={"class_": Local})}
    )
    again = load(Result(record).save(tmp_path / "run"))
    assert again.record.config.strategy.name.endswith("<locals>.Local")
    assert again.save(tmp_path / "copy").is_dir()


def test_the_picture_draws_the_venues_levels_and_marks_liquidations() -> None:
    record = cash([100.0, 40.0], worst_ratio=[2.0, 0.9])
    record.levels = [[(1.0, "liquidate"), (1.2, "reduce_only")]]
    row = {"time": day(1), "account": "main", "wallet": "unified", "symbol": PERP.symbol, "rung": "reduce"}
    record.incidents = pd.DataFrame([row])
    picture = Result(record).plot()
    assert [shape.y0 for shape in picture.layout.shapes] == [1.2, 1.0]
    crosses = [trace for trace in picture.data if trace.name == "Liquidation"]
    assert [list(trace.y) for trace in crosses] == [[40.0]]


def test_words_of_levels_that_lie_close_stand_apart_in_their_order() -> None:
    record = cash([100.0, 90.0], worst_ratio=[100.0, 5.0])
    record.levels = [[(1.0, "liquidate"), (1.02, "reduce_only")]]
    drawn = panels(record)
    # axis from 0.8 x 1 to 1.25 x 100; a tenth of it apart means a ratio of (125 / 0.8) ** 0.1
    assert [level.words for level in drawn.levels] == ["reduce only 1.02", "liquidate 1"]
    assert drawn.label_heights(0.1) == pytest.approx([(125 / 0.8) ** 0.1, 1.0])


def test_ratios_without_requirement_are_gaps_and_those_far_off_are_drawn_at_the_edge() -> None:
    ratios = panels(cash([1.0] * 4, worst_ratio=[np.inf, 5e6, 7.0, -3.0])).ratios[0].values
    np.testing.assert_array_equal(ratios, [np.nan, 1000.0, 7.0, 0.1])


def test_a_run_that_required_nothing_is_drawn_too(tmp_path: Path) -> None:
    assert (Result(cash([100.0, 90.0])).save(tmp_path / "run") / "picture.png").read_bytes()[:4] == b"\x89PNG"


def test_the_picture_does_not_hang_on_the_readers_drawing_style(tmp_path: Path) -> None:
    record = cash([110.0, 99.0], worst_ratio=[3.0, 1.4])
    write_picture(panels(record), tmp_path / "one.png")
    with matplotlib.rc_context({"font.size": 30, "savefig.dpi": 7, "axes.facecolor": "black", "text.color": "white"}):
        write_picture(panels(record), tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_the_report_needs_no_network(tmp_path: Path) -> None:
    page = Result(cash([110.0, 99.0])).report(tmp_path / "deep" / "report.html").read_text()
    assert 'src="http' not in page
    assert "Sharpe" in page


def test_the_manifest_carries_the_hash_of_every_file_that_was_read(tmp_path: Path) -> None:
    days = np.arange(2, dtype=np.int64) * DAY_US
    price = np.array([1.0, 2.0])
    bars = {"time": days, "open": price, "high": price, "low": price, "close": price, "volume": price}
    write_instruments(tmp_path / "store", "binance", [SPOT])
    write_series(tmp_path / "store", "binance", SPOT.symbol, "bars-1d", bars, {})
    write_series(tmp_path / "store", "binance", "DOGE/USDT", "bars-1d", bars, {})
    record = cash([110.0])
    data = {"store": str(tmp_path / "store"), "start": "2024-01-01", "end": "2024-12-31", "interval": "1d"}
    record.config, record.stored = load_config(record.config.resolved() | {"data": data}), True
    written = (tmp_path / "store" / "binance" / "BTC-USDT" / "bars-1d.parquet").read_bytes()
    sha256 = hashlib.sha256(written).hexdigest()
    expected = [{"venue": "binance", "symbol": "BTC/USDT", "series": "bars-1d", "sha256": sha256}]
    assert manifest(record)["data"] == expected


def test_a_history_that_was_given_is_named_by_its_own_hash_whatever_lies_in_the_store(sample_store: Path) -> None:
    config = {
        "name": "given", "data": {"store": str(sample_store), "start": "2024-01-01", "end": "2024-01-04"},
        "account": [{"margin": "portfolio", "deposit": {"USDT": 100}}],
        "strategy": {"class": "strategies.hedged_long:HedgedLong"},
    }  # fmt: skip
    past = prepare(config).history
    told, other = (
        backtest.run(config, data=each).manifest["data"] for each in (past, replace(past, notes=("another",)))
    )
    assert [row["series"] for row in told] == ["in memory"]
    assert told[0]["sha256"] != other[0]["sha256"]
    assert len(backtest.run(config).manifest["data"]) > 1
