"""A saved run of which something is missing, doubled or changed is refused with the file and the place, never told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from test_report import cash
from typer.testing import CliRunner

from backtest.cli import app
from backtest.errors import InputError
from backtest.report.result import Result, load


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Four days of a dollar account: 100 became 110, 99, 99 and 118.8."""
    return Result(cash([110.0, 99.0, 99.0, 118.8])).save(tmp_path / "run")


def change_frame(run: Path, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """A saved frame, changed."""
    path = run / f"{name}.parquet"
    change(pd.read_parquet(path)).to_parquet(path)


def change_json(run: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """A saved table, changed in place."""
    said = json.loads((run / name).read_text())
    change(said)
    (run / name).write_text(json.dumps(said))


@pytest.mark.parametrize(
    ("frame", "change", "words"),
    [
        ("account", lambda rows: rows[:0], "account.parquet: has no row of account 'main'"),
        ("account", lambda rows: pd.concat([rows, rows]), "the bars of account 'main' are not in order"),
        ("account", lambda rows: rows[::-1], "the bars of account 'main' are not in order"),
        ("account", lambda rows: rows[:2], "explain.parquet: has 4 rows, account.parquet 2"),
        ("account", lambda rows: rows.assign(time=pd.NaT), "account.parquet: row 0 has no time"),
        ("account", lambda rows: rows.assign(time="noon"), "account.parquet: column 'time' holds str, not times"),
        ("account", lambda rows: rows.assign(equity="much"), "account.parquet: column 'equity' holds str, not numbers"),
        (
            "account", lambda rows: rows.assign(equity=[110.0, 99.0, float("nan"), 118.8]),
            "account.parquet: equity = nan in row 2 is no amount",
        ),
        ("account", lambda rows: rows.assign(worst_ratio=float("nan")), "worst_ratio is unknown in row 0"),
        ("ledger", lambda rows: rows.assign(account="other"), "ledger.parquet: has rows of 'other'"),
        ("ledger", lambda rows: rows.assign(asset=1.0), "ledger.parquet: column 'asset' holds float64, not text"),
        ("explain", lambda rows: rows[1:], "explain.parquet: has 3 rows, account.parquet 4"),
        ("prices", lambda rows: rows.assign(time=rows["time"] + pd.Timedelta("1h")), "prices.parquet: has bars that"),
    ],
)  # fmt: skip
def test_a_frame_that_is_not_the_runs_is_named_with_what_is_wrong(
    run: Path, frame: str, change: Callable[[pd.DataFrame], pd.DataFrame], words: str
) -> None:
    change_frame(run, frame, change)
    with pytest.raises(InputError) as refused:
        load(run)
    assert words in str(refused.value) and "run it again" in str(refused.value)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("manifest.json", lambda said: said.pop("name"), "manifest.json: name: is missing"),
        ("manifest.json", lambda said: said.update(accounts=[]), "manifest.json: accounts = []"),
        ("manifest.json", lambda said: said["accounts"][0].update(levels=[[1.0]]), "accounts[0].levels[0] = [1.0]"),
        ("manifest.json", lambda said: said.pop("rules"), "manifest.json: rules: is missing"),
        ("manifest.json", lambda said: said["config"]["data"].pop("interval"), "config.data.interval: is missing"),
        ("manifest.json", lambda said: said["config"].update(account=[]), "config.account = []"),
        ("manifest.json", lambda said: said.update(notes="all well"), "manifest.json: notes = 'all well'"),
        ("stats.json", lambda said: said["figures"]["main"].pop("Survived"), "figures.main.Survived: is missing"),
        ("stats.json", lambda said: said["figures"]["main"].update(Survived="perhaps"), "Survived = 'perhaps'"),
        ("stats.json", lambda said: said["figures"]["main"].update(Start="noon"), "Start: 'noon' is no time"),
        (
            "stats.json", lambda said: said.update(figures={"other": said["figures"]["main"]}),
            "stats.json: figures is of 'other', the run is of 'main'",
        ),
    ],
)  # fmt: skip
def test_a_journal_or_figure_that_is_not_the_runs_is_named_with_what_is_wrong(
    run: Path, file: str, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    change_json(run, file, change)
    with pytest.raises(InputError) as refused:
        load(run)
    assert words in str(refused.value) and "run it again" in str(refused.value)


def test_the_command_line_refuses_half_a_run_and_writes_no_page(run: Path) -> None:
    change_frame(run, "account", lambda rows: rows[:2])
    for words in (["report", str(run)], ["diff", str(run), str(run)]):
        done = CliRunner().invoke(app, words)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "explain.parquet" in done.stderr
    assert not (run / "report.html").exists()


def test_a_journal_of_a_later_version_may_say_more(run: Path) -> None:
    change_json(run, "manifest.json", lambda said: said.update(weather="fair"))
    assert load(run).stats["End Equity"] == 118.8


@pytest.mark.parametrize("account", [1, -1])
def test_an_account_by_a_number_that_the_run_has_not_is_refused(run: Path, account: int) -> None:
    with pytest.raises(InputError, match=f"no account {account} in this run; it has 1, numbered from 0"):
        load(run).standing(account)
