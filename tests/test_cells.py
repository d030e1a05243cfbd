"""What a result, a comparison, a sweep and an account show in a notebook: the verdict, the figures, and no markup of a
config's own.
"""

from __future__ import annotations

import re

import pandas as pd
from test_report import cash

from backtest.calculator.snapshot import read_snapshot
from backtest.config import Sweep
from backtest.report.cells import snapshot_frames
from backtest.report.html import words
from backtest.report.result import Result
from backtest.research.compare import Comparison
from backtest.research.sweep_result import SweepResult

EVIL = "<img src=x onerror=alert(1)>"


def seen(html: str) -> str:
    """The text between the tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_a_run_shows_its_verdict_before_its_figures() -> None:
    shown = seen(Result(cash([110.0, 99.0], worst_ratio=[3.0, 1.4]))._repr_html_())
    assert shown.startswith("hand Survived. Its lowest margin ratio was 1.40")
    assert "Total Return [%] -1.00" in shown  # 100 -> 99
    assert "figures in all: .stats" in shown


def test_a_good_day_told_as_a_year_is_no_line_of_digits() -> None:
    """A third more in a day is 10^45 times as much in a year: that is told by its power of ten."""
    assert [words(each) for each in (3678.34, 999_999_999_999.0, 1e12, -4.2e45)] == [
        "3,678", "999,999,999,999", "1e+12", "-4.2e+45",
    ]  # fmt: skip


def test_a_comparison_shows_its_verdict_before_its_tables() -> None:
    table = pd.DataFrame({"cross": {"Least Capital": 1234.0}})
    comparison = Comparison("two", table, table, f"Cross is dear {EVIL}.", [], Result(cash([1.0])), {})
    shown = comparison._repr_html_()
    assert EVIL not in shown
    assert seen(shown).startswith("two Cross is dear")
    assert seen(shown).count("Least Capital 1,234") == 2


def sweep(**more: object) -> SweepResult:
    """Two points of a band, the second the better one."""
    points = pd.DataFrame({
        "point": [0, 1], "band": [0.02, 0.05], "status": "ok", "error": "", "Sharpe": [1.0, 2.5],
    })  # fmt: skip
    if "windows" in more:
        points = points.assign(window=0, part="train")
    tried = Sweep(list=[{"strategy.params.band": band} for band in (0.02, 0.05)])
    return SweepResult(**{"name": EVIL, "points": points, "windows": None, "curves": pd.DataFrame(), "trials": 2,
                          "settings": ["band"], "folder": None, "config": {}, "swept": tried} | more)  # fmt: skip


def test_a_sweep_shows_of_how_many_its_best_is_the_best() -> None:
    shown = sweep()._repr_html_()
    assert EVIL not in shown
    assert "2 points tried. Best by Sharpe: 2.50 with band = 0.05." in seen(shown)
    assert "band status Sharpe 0.02 ok 1.00 0.05 ok 2.50" in seen(shown)


def test_a_sweep_with_windows_shows_what_each_choice_was_worth_afterwards() -> None:
    windows = pd.DataFrame({
        "window": [0], "train_start": [pd.Timestamp("2024-01-01", tz="UTC")], "band": [0.05], "statistic": "Sharpe",
        "in_sample": [2.5], "out_of_sample": [0.5], "status": "ok", "trials": 2,
    })  # fmt: skip
    shown = seen(sweep(windows=windows)._repr_html_())
    assert "2.50 on the span they were chosen on, 0.50 on the span after it" in shown
    assert "2024-01-01 00:00 0.05 2.50 0.50 ok" in shown


def test_an_account_shows_what_was_typed_in() -> None:
    account = read_snapshot({
        "name": EVIL, "mode": "cross", "at": "2024-06-01", "wallets": {"spot": {"BTC": 0.5}, "usdm": {"USDT": 1000}},
        "loans": {"ETH": 2.0}, "positions": [{"symbol": "BTC/USDT:USDT", "contracts": -1, "mark": 60_000}],
    })  # fmt: skip
    shown = account._repr_html_()
    assert EVIL not in shown
    assert "binance, cross, rules of 2024-06-01" in seen(shown)
    balances = snapshot_frames(account)["wallets"].to_numpy().tolist()
    assert balances == [["spot", "BTC", 0.5], ["usdm", "USDT", 1000.0], ["loans", "ETH", -2.0]]
    assert "BTC/USDT:USDT -1.00 60,000" in seen(shown)
