"""Figures are made of columns, frames of the same columns: what a table shows is what was summed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import backtest
from backtest.report.columns import Columns, Words
from backtest.report.explain import explain_by_bar
from backtest.report.record import FRAMES, RunRecord
from backtest.report.statistics import statistics
from backtest.strategy import Strategy

ROOT = Path(__file__).resolve().parent.parent
PERP = "ETH/USDT:USDT"
MODES = ("cross", "portfolio")


class ShortInEvery(Strategy):
    """Two coins sold short in every account at the first close, one bought back at the 30th."""

    def symbols(self, instruments: Any) -> list[str]:
        return [PERP]

    def on_bar(self, bar: Any, desk: Any) -> None:
        for name in MODES:
            if bar.number in (0, 29):
                desk[name].target(PERP, base=-2.0 if bar.number == 0 else -1.0)


def lived() -> RunRecord:
    """Three days of the sample, two accounts, the second with half of the money."""
    return backtest.run({
        "name": "columns",
        "data": {"store": str(ROOT / "data/sample"), "start": "2023-06-01", "end": "2023-06-04"},
        "account": [
            {"name": name, "margin": name, "deposit": {"USDT": 20_000 / (k + 1)}} for k, name in enumerate(MODES)
        ],
        "strategy": {"class": ShortInEvery},
    }).record  # fmt: skip


def payments() -> Columns:
    """100 and 50 paid in, a fee of 1."""
    frame = {
        "time": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-02"], utc=True),
        "kind": ["deposit", "fee", "deposit"], "amount": [100.0, -1.0, 50.0],
    }  # fmt: skip
    return Columns.of(pd.DataFrame(frame))


def test_deposits_of_100_and_50_are_found_among_a_fee() -> None:
    rows = payments()
    deposits = rows.where(rows.among("kind", "deposit", "withdrawal"))
    assert deposits["amount"].tolist() == [100.0, 50.0]
    assert deposits["time"].tolist() == [1_704_067_200_000_000, 1_704_153_600_000_000]  # microseconds of those days
    assert (len(deposits), "amount" in deposits, "wallet" in deposits) == (2, True, False)


def test_rows_may_be_cut_again_and_lie_below_each_other() -> None:
    rows = payments()
    last = rows.where(slice(1, None)).where(np.array([1]))
    both = Columns.below([last, rows])
    assert both["amount"].tolist() == [50.0, 100.0, -1.0, 50.0]
    assert both["kind"].tolist() == ["deposit", "deposit", "fee", "deposit"]


def test_a_word_is_told_by_its_number_and_minus_one_is_none() -> None:
    symbols = Words(np.array(["BTC", "ETH", "BTC", "ETH", ""], dtype=object), np.array([2, -1, 1, 0]))
    assert symbols.texts.tolist() == ["BTC", "", "ETH", "BTC"]
    assert symbols.among("BTC").tolist() == [True, False, False, True]
    assert symbols.present == ["BTC", "", "ETH"]
    assert symbols.called({"BTC": "fx"}, "price").text(-1) == "fx"


def test_a_column_is_made_once_and_only_when_it_is_asked_for() -> None:
    made: list[str] = []
    rows = Columns(2, {name: lambda name=name: made.append(name) or np.ones(2) for name in ("equity", "cash_usd")})  # type: ignore[misc]
    assert rows["equity"] is rows["equity"]
    assert rows.where(np.array([True, False]))["equity"].tolist() == [1.0]
    assert made == ["equity"]


@pytest.fixture(scope="module")
def record() -> RunRecord:
    return lived()


def test_the_frames_of_two_accounts_show_the_very_columns_of_each(record: RunRecord) -> None:
    for name, columns in FRAMES.items():
        for k in range(len(MODES)):
            shown = record.of(name, k)
            told = record.columns(name, k).frame(columns)
            pd.testing.assert_frame_equal(told, shown.reset_index(drop=True), check_exact=True)
    # two coins sold and one bought back in each account
    assert [record.columns("fills", k)["contracts"].tolist() for k in (0, 1)] == [[-2.0, 1.0]] * 2
    assert [record.columns("ledger", k)["amount"][0] for k in (0, 1)] == [20_000.0, 10_000.0]


def test_figures_and_parts_need_no_frame_and_are_those_of_the_saved_frames() -> None:
    run = lived()
    figures, parts = [statistics(run, k) for k in (0, 1)], [explain_by_bar(run, k) for k in (0, 1)]
    assert [name for name in FRAMES if name in vars(run)] == []
    frames = {name: getattr(run, name) for name in FRAMES}
    saved = RunRecord(run.config, run.history, run.rules, run.account_names, run.modes, **frames)
    for k in (0, 1):
        pd.testing.assert_series_equal(statistics(saved, k), figures[k], check_exact=True)
        pd.testing.assert_frame_equal(explain_by_bar(saved, k), parts[k], check_exact=True)
