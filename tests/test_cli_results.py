"""What was run before, on the command line: listed, held beside each other, and reported on again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.text import Text
from test_report import SPOT, account_frame, cash, history, ledger, made
from typer.testing import CliRunner

from backtest.cli import app
from backtest.errors import InputError
from backtest.report.catalogue import entries
from backtest.report.differences import differences, unequal
from backtest.report.result import Result, load
from backtest.report.statistics import statistics
from backtest.research.compare import Comparison
from backtest.research.compared import load_comparison

NOON = 1_732_700_000.0  # seconds: 2024-11-27 09:33 UTC


def said(*words: object, code: int = 0, **env: str) -> str:
    """What a command prints."""
    done = CliRunner().invoke(app, [str(word) for word in words], env=env)
    assert done.exit_code == code, done.output
    return done.stdout


def refused(*words: object) -> str:
    """What a command says on the error stream of input that it cannot take."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def saved(folder: Path, equity: list[float], at: float = NOON, **columns: list[float]) -> Path:
    """A run in a folder, written at a time."""
    Result(cash(equity, **columns)).save(folder)
    os.utime(folder / "manifest.json", (at, at))
    return folder


def compared(folder: Path, page: bool = False) -> Path:
    """Two modes of one run: 100 USD became 110 under one and 99 under the other."""
    runs = {"cross": Result(cash([110.0])), "portfolio": Result(cash([99.0], worst_ratio=[2.0]))}
    tables = [statistics(result.record).rename(mode) for mode, result in runs.items()]
    signals = pd.concat(tables, axis=1)
    orders = pd.concat([pd.DataFrame({mode: ["never"] for mode in runs}, index=["First Breach"]), signals])
    Comparison("hand", orders, signals, "Both lived.", ["a note"], None, runs).save(folder, page)
    os.utime(folder / "comparison.json", (NOON, NOON))
    return folder


def swept(folder: Path, done: bool = True) -> Path:
    """Three points: two lived, one of them to no good end, and one was refused."""
    folder.mkdir()
    config = {
        "data": {"start": "2024-01-01T00:00:00Z", "end": "2024-12-31T00:00:00Z"},
        "account": [{"margin": "cross"}],
    }
    journal = {
        "name": "tries",
        "config": config,
        "sweep": {},
        "trials": 3,
        "versions": {},
        "result": {"ok": 2} if done else None,
    }
    (folder / "sweep.json").write_text(json.dumps(journal))
    if done:
        points = {
            "status": ["ok", "ok", "refused"],
            "Survived": ["yes", "no: 2024-03-05 12:00", None],
            "Total Return [%]": [12.5, -80.0, None],
            "Lowest Margin Ratio": [3.0, 0.9, None],
        }
        pd.DataFrame(points).to_parquet(folder / "points.parquet")
    return folder


# Listed


def test_every_result_is_listed_with_what_became_of_it_the_newest_last(tmp_path: Path) -> None:
    saved(tmp_path / "later", [110.0, 99.0], NOON + 60, worst_ratio=[3.0, 1.4])
    saved(tmp_path / "deep" / "earlier", [110.0], NOON - 60)
    compared(tmp_path / "beside")
    swept(tmp_path / "tries")
    rows = {entry.folder: entry for entry in entries(tmp_path)}
    assert list(rows)[:3] == ["deep/earlier", "beside", "later"]  # not the runs inside of the comparison
    run, comparison, sweep = rows["later"], rows["beside"], rows["tries"]
    assert (run.kind, run.name, run.modes, run.verdict) == ("run", "hand", ["portfolio"], "survived")
    assert run.total_return == pytest.approx((-1.0, -1.0))  # 100 became 99
    assert (run.lowest_ratio, run.start, run.end) == (1.4, "2024-01-01", "2024-12-31")
    assert f"{run.written:%Y-%m-%d %H:%M}" == "2024-11-27 09:34"
    assert (comparison.kind, comparison.modes, comparison.verdict) == (
        "comparison",
        ["cross", "portfolio"],
        "2 of 2 survived",
    )
    assert comparison.total_return == pytest.approx((-1.0, 10.0))
    assert (sweep.kind, sweep.verdict, sweep.many) == ("sweep", "1 of 2 survived, 1 failed", 3)
    assert (sweep.total_return, sweep.lowest_ratio) == ((-80.0, 12.5), 0.9)


def test_a_ratio_of_an_account_that_needed_no_margin_is_no_number(tmp_path: Path) -> None:
    saved(tmp_path / "idle", [100.0])
    told = json.loads(said("list", tmp_path, "--json"))["results"]
    assert [row["lowest_ratio"] for row in told] == [None]
    assert "∞" not in said("list", tmp_path)


def test_a_sweep_that_was_stopped_is_not_finished_but_not_damaged(tmp_path: Path) -> None:
    swept(tmp_path / "tries", done=False)
    (entry,) = entries(tmp_path)
    assert (entry.verdict, entry.damaged) == ("not finished", None)


def test_a_table_that_fails_without_a_word_is_told_by_the_kind_of_its_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(path: Path) -> None:
        raise OSError

    swept(tmp_path / "tries")
    monkeypatch.setattr("pyarrow.parquet.read_schema", silent)
    (entry,) = entries(tmp_path)
    assert entry.damaged == "points.parquet cannot be read (OSError)"


def cut(path: Path) -> None:
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    "name, harm, words",
    [
        ("manifest.json", Path.unlink, "manifest.json is missing"),
        ("manifest.json", cut, "manifest.json is cut off or no JSON"),
        ("stats.json", Path.unlink, "stats.json is missing"),
        ("stats.json", lambda path: path.write_text("[]"), "stats.json holds a list, not a table"),
        ("stats.json", lambda path: path.write_text("{}"), "stats.json holds no figures by account"),
        (
            "manifest.json",
            lambda path: path.write_text(path.read_text().replace('"start"', '"begin"')),
            "cannot be understood",
        ),
        ("ledger.parquet", Path.unlink, "ledger.parquet is missing"),
        ("account.parquet", cut, "account.parquet is cut off"),
        ("prices.parquet", lambda path: path.write_bytes(b""), "prices.parquet is cut off"),
    ],
)
def test_a_damaged_run_is_a_row_that_says_so(tmp_path: Path, name: str, harm: Any, words: str) -> None:
    harm(saved(tmp_path / "hurt", [110.0]) / name)
    saved(tmp_path / "whole", [110.0])
    told = {row["folder"]: row["damaged"] for row in json.loads(said("list", tmp_path, "--json"))["results"]}
    assert told["whole"] is None
    assert words in told["hurt"]
    assert words.split()[0] in said("list", tmp_path)


def test_a_comparison_without_the_run_of_a_mode_is_damaged(tmp_path: Path) -> None:
    (compared(tmp_path / "beside") / "cross" / "manifest.json").unlink()
    (entry,) = entries(tmp_path)
    assert entry.damaged == "the run of cross is missing or cannot be read"


def test_what_a_killed_run_left_half_written_is_told(tmp_path: Path) -> None:
    saved(tmp_path / "run", [110.0]).rename(tmp_path / ".run.partial-123")
    (entry,) = entries(tmp_path)
    assert entry.damaged == "being written, or left over from a run that was stopped while it was"


def test_files_of_others_are_no_results(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "manifest.json").write_text('{"name": "a web page", "icons": []}')
    assert said("list", tmp_path).endswith("no results in it\n")
    assert json.loads(said("list", tmp_path, "--json"))["results"] == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "nowhere: there is no such folder" in refused("list", tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    assert "file: is a file" in refused("list", tmp_path / "file")


def test_a_list_fits_a_screen_of_80_columns(tmp_path: Path) -> None:
    compared(tmp_path / "hedged-long-compare")
    swept(tmp_path / "tries")
    lines = unstyled(said("list", tmp_path, FORCE_COLOR="1", COLUMNS="80")).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines[2:4]] == [
        ["hedged-long-compare", "comparison", "2024-01-01", "2", "of", "2", "-1.00", "2.00", "2024-11-27"],
        ["hand", "2", "modes", "2024-12-31", "survived", "to", "10.00", "09:33"],
    ]


def test_a_list_on_a_narrow_screen_folds_names_and_cuts_nothing(tmp_path: Path) -> None:
    compared(tmp_path / "hedged-long-compare")
    lines = unstyled(said("list", tmp_path, FORCE_COLOR="1", COLUMNS="60")).splitlines()
    assert max(map(len, lines)) <= 60
    assert {"2024-11-27", "comparison", "to", "10.00"} <= {word for line in lines for word in line.split()}


def unstyled(text: str) -> str:
    """What a terminal shows, without its colours."""
    return Text.from_ansi(text).plain


# Held beside each other


def test_two_runs_of_one_config_are_said_to_be_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        saved(tmp_path / name, [110.0, 99.0])
    printed = said("diff", tmp_path / "a", tmp_path / "b")
    assert "The two are the same." in printed
    assert "Settings: the same" in printed
    told = json.loads(said("diff", tmp_path / "a", tmp_path / "b", "--json"))
    assert told["same"] and told["same_inputs"] and told["same_results"]
    assert (told["config"], told["figures"], told["partings"]) == ([], [], [])
    assert said("diff", tmp_path / "a", tmp_path / "b", "--quiet") == ""


def test_the_first_bar_at_which_two_equities_part_is_named(tmp_path: Path) -> None:
    """Alike on 2024-01-01 but for the last digits of a sum; 99 and 98.5 a day later."""
    saved(tmp_path / "a", [110.0, 99.0, 120.0])
    saved(tmp_path / "b", [110.0 + 1e-9, 98.5, 130.0])
    told = json.loads(said("diff", tmp_path / "a", tmp_path / "b", "--json"))
    assert told["partings"] == [{"account": "main", "time": "2024-01-02T00:00:00+00:00", "a": 99.0, "b": 98.5}]
    assert "Equity parts at 2024-01-02 00:00 (account main): 99.00 and 98.50 USD." in said(
        "diff", tmp_path / "a", tmp_path / "b"
    )


def test_figures_stand_beside_each_other_with_their_difference(tmp_path: Path) -> None:
    """100 became 120 in one run and 130 in the other: 20 and 30 percent."""
    told = differences(load(saved(tmp_path / "a", [120.0])), load(saved(tmp_path / "b", [130.0])))
    total = next(each for each in told.figures if each.figure == "Total Return [%]")
    assert (total.a, total.b, total.difference) == pytest.approx((20.0, 30.0, 10.0))
    assert told.same_inputs and not told.same_results


def test_settings_are_told_key_by_key(tmp_path: Path) -> None:
    past = history((SPOT,), [[1.0]], [1.0], [1.0], [1.0])
    frames = {"account": account_frame([100.0]), "ledger": ledger((0, "USDT", "deposit", 100.0, ""))}
    for name, margin in (("a", "portfolio"), ("b", "cross")):
        given = made(
            past, frames, account=[{"margin": margin, "deposit": {"USDT": 100}}], execution={"slippage_bps": 2}
        )
        Result(given).save(tmp_path / name)
    told = json.loads(said("diff", tmp_path / "a", tmp_path / "b", "--json"))
    assert {"key": "account[0].margin", "a": "portfolio", "b": "cross"} in told["config"]
    assert told["same_results"] and not told["same"]
    assert "The same became of both." in said("diff", tmp_path / "a", tmp_path / "b")


def edited(folder: Path, change: Any) -> None:
    """Change a saved manifest."""
    journal = json.loads((folder / "manifest.json").read_text())
    change(journal)
    (folder / "manifest.json").write_text(json.dumps(journal))


def test_rules_data_and_versions_are_told_by_their_rows(tmp_path: Path) -> None:
    a, b = (saved(tmp_path / name, [110.0]) for name in ("a", "b"))
    rule = {"table": "collateral", "key": "BTC", "valid_from_us": 1_704_067_200_000_000}
    files = {"venue": "binance", "symbol": "BTC/USDT", "series": "bars-1h"}
    for folder, ratio, digest in ((a, 0.95, "0" * 64), (b, 0.9, "f" * 64)):
        edited(
            folder,
            lambda journal, ratio=ratio, digest=digest: journal.update(
                rules=[{**rule, "value": ratio}],
                data=[{**files, "sha256": digest}],
            ),
        )
    edited(b, lambda journal: journal["versions"].update(numpy="1.0"))
    told = json.loads(said("diff", a, b, "--json"))
    assert told["rules"] == [{"key": "collateral BTC, from 2024-01-01", "a": 0.95, "b": 0.9}]
    assert told["data"] == [{"key": "sha256.binance BTC/USDT bars-1h", "a": "0" * 64, "b": "f" * 64}]
    assert [row["key"] for row in told["versions"]] == ["numpy"]
    printed = said("diff", a, b)
    assert (
        "collateral BTC, from 2024-01-01  0.95  0.9" in " ".join(printed.split(" ")).replace("   ", "  ")
        or "0.95" in printed
    )
    assert "000000000000 " in printed


def test_runs_of_other_times_have_no_bar_to_part_at(tmp_path: Path) -> None:
    a = Result(cash([110.0]))
    late = cash([110.0])
    late.account["time"] += pd.Timedelta(days=400)
    told = differences(a, Result(late))
    assert told.no_bar_in_common and told.partings == []


def test_lists_of_tables_are_gone_through_row_by_row() -> None:
    a = {"account": [{"name": "x", "deposit": {"USDT": 1}}], "hours": [1, 2]}
    b = {"account": [{"name": "x", "deposit": {"USDT": 2}}, {"name": "y"}], "hours": [1, 3]}
    assert [(each.key, each.a, each.b) for each in unequal(a, b)] == [
        ("account[0].deposit.USDT", 1, 2), ("account[1]", None, {"name": "y"}), ("hours", [1, 2], [1, 3]),
    ]  # fmt: skip


def test_quiet_says_by_its_exit_code_whether_two_runs_differ(tmp_path: Path) -> None:
    a, b = saved(tmp_path / "a", [110.0]), saved(tmp_path / "b", [111.0])
    assert said("diff", a, b, "--quiet", code=1) == ""
    assert said("diff", a, a, "--quiet", code=0) == ""
    assert said("diff", a, b) != ""


@pytest.mark.parametrize("columns", [60, 80])
def test_differences_fit_the_screen_and_keep_their_numbers(tmp_path: Path, columns: int) -> None:
    a, b = saved(tmp_path / "a", [120.0]), saved(tmp_path / "b", [130.0])
    screen = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": str(columns)}
    lines = unstyled(said("diff", a, b, **screen)).splitlines()
    told = [line for line in lines if not line.startswith(("a: ", "b: "))]
    assert max(map(len, told)) <= columns
    assert ["20.00", "30.00", "10.00"] in [line.split()[-3:] for line in lines if line.startswith(" Total Return")]


@pytest.mark.parametrize("verb", ["list", "diff"])
def test_no_styles_go_down_a_pipe(tmp_path: Path, verb: str) -> None:
    words = (tmp_path,) if verb == "list" else (tmp_path / "a", tmp_path / "b")
    for name, end in (("a", 120.0), ("b", 130.0)):
        saved(tmp_path / name, [end])
    assert "\x1b" not in said(verb, *words, TERM="xterm-256color")


def test_only_runs_are_held_beside_each_other(tmp_path: Path) -> None:
    run, comparison, sweep = saved(tmp_path / "run", [110.0]), compared(tmp_path / "beside"), swept(tmp_path / "tries")
    assert (
        f"holds a comparison, and runs are compared; name the folder of one of its modes, such as {comparison}/cross"
        in (refused("diff", run, comparison))
    )
    assert "holds a sweep" in refused("diff", sweep, run)
    assert "no saved run there" in refused("diff", run, tmp_path)
    for folder, words in (
        (comparison, "it is of a comparison: load_comparison reads it"),
        (sweep, "load_sweep reads it"),
    ):
        with pytest.raises(InputError, match=words):
            load(folder)
    with pytest.raises(InputError, match="it is of a run: load reads it"):
        load_comparison(run)
    (run / "fills.parquet").unlink()
    assert "fills.parquet: is missing" in refused("diff", run, comparison / "cross")


# Reported on again


def test_a_comparison_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    again = load_comparison(compared(tmp_path / "beside"))
    assert (again.name, again.verdict, again.notes, again.replay) == ("hand", "Both lived.", ["a note"], None)
    assert again.signals.at["Total Return [%]", "cross"] == pytest.approx(10.0)
    assert again.signals.at["Lowest Margin Ratio", "cross"] == float("inf")
    assert list(again.runs) == ["cross", "portfolio"]


def test_the_pages_of_a_comparison_are_written_again_as_they_were(tmp_path: Path) -> None:
    pages = ("report.html", "cross/report.html", "portfolio/report.html")
    folder = compared(tmp_path / "beside", page=True)
    before = {name: (folder / name).read_bytes() for name in pages}
    for name in pages:
        (folder / name).unlink()
    assert said("report", folder) == f"Report page: {folder / 'report.html'}\n"
    assert {name: (folder / name).read_bytes() for name in pages} == before


def test_a_page_elsewhere_leaves_the_folder_alone(tmp_path: Path) -> None:
    folder = compared(tmp_path / "beside")
    assert not list(folder.rglob("report.html"))
    told = json.loads(said("report", folder, "--out", tmp_path / "page.html", "--json"))
    assert told == {"report": str(tmp_path / "page.html")}
    assert "Both lived." in (tmp_path / "page.html").read_text()
    assert not list(folder.rglob("report.html"))


@pytest.mark.parametrize("text, words", [("{", "cannot be read"), ('{"signals": {}}', "is no comparison's")])
def test_a_comparison_that_cannot_be_read_is_refused(tmp_path: Path, text: str, words: str) -> None:
    folder = compared(tmp_path / "beside")
    (folder / "comparison.json").write_text(text)
    with pytest.raises(InputError, match=words):
        load_comparison(folder)
    assert "no saved run there" in refused("report", folder)


def test_a_comparison_that_lost_a_run_says_which_file_is_missing(tmp_path: Path) -> None:
    folder = compared(tmp_path / "beside")
    (folder / "cross" / "ledger.parquet").unlink()
    assert "cross/ledger.parquet: is missing" in refused("report", folder)
