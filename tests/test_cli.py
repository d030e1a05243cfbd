"""The command line: what it prints, where it writes, and how it says no."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import pytest
from test_report import cash
from typer.testing import CliRunner

import backtest
from backtest import kernel
from backtest.cli import app
from backtest.engine.advance import advance
from backtest.engine.capacity import largest_order
from backtest.engine.orders import cancel_order, place
from backtest.engine.transfers import ask_transfer
from backtest.engine.weigh import weigh
from backtest.ledger.post import post
from backtest.report.result import Result
from backtest.strategy import Strategy
from backtest.strategy.hooks import asking

RUN = """
name = "carry"
[data]
store = "data/sample"
start = 2024-01-01
end = 2024-06-30
[[account]]
deposit = { USDT = 10_000 }
[strategy]
class = "hand:Made"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in, with a good config; the engine hands back a record made by hand."""

    def run(config: Any, progress: Any = None) -> Result:
        return Result(cash([110.0, 99.0], worst_ratio=[3.0, 1.4]))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(vars(backtest), "run", run)
    (tmp_path / "carry.toml").write_text(RUN)
    return tmp_path


def test_a_run_prints_its_figures_and_leaves_a_folder(folder: Path) -> None:
    done = CliRunner().invoke(app, ["run", "carry.toml"])
    assert done.exit_code == 0, done.output
    assert "Total Return [%]" in done.stdout
    for name in ("account.parquet", "stats.json", "picture.png"):
        assert (folder / "results" / "carry" / name).is_file()
    assert "Picture:       results/carry/picture.png" in done.stdout


def test_the_core_compiled_ahead_leaves_nothing_for_the_first_run_to_compile() -> None:
    """What a run and the calculator call from Python has been compiled once `warm` is done."""
    assert json.loads(CliRunner().invoke(app, ["warm", "--json"]).stdout)["seconds"] > 0.0
    called = [advance, post, place, cancel_order, ask_transfer, largest_order, weigh]
    assert [each.__name__ for each in called if not numba.config.DISABLE_JIT and not each.signatures] == []


def test_a_first_run_says_that_it_compiles(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "CACHE", folder / "nothing yet")
    monkeypatch.setattr(numba.config, "DISABLE_JIT", False)
    assert "Compiling the core" in CliRunner().invoke(app, ["run", "carry.toml"]).stderr
    (folder / "nothing yet" / "backtest.engine.advance").mkdir(parents=True)
    assert "Compiling" not in CliRunner().invoke(app, ["run", "carry.toml"]).stderr


def test_json_is_one_object_and_nothing_else(folder: Path) -> None:
    done = CliRunner().invoke(app, ["run", "carry.toml", "--json", "--out", "elsewhere"])
    answer = json.loads(done.stdout)
    assert answer["folder"] == "elsewhere"
    assert answer["figures"]["main"]["Total Return [%]"] == pytest.approx(-1.0)


def test_bad_input_is_told_on_the_error_stream_with_code_2(folder: Path) -> None:
    (folder / "carry.toml").write_text(RUN + "[guards]\nmax_utilisation = 0.7\n")
    done = CliRunner().invoke(app, ["run", "carry.toml"])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "carry.toml: guards.max_utilisation" in done.stderr
    assert "did you mean 'max_utilization'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_that_breaks_says_where_with_code_3(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(config: Any, progress: Any = None) -> Result:
        raise ZeroDivisionError("no hedge ratio")

    monkeypatch.setitem(vars(backtest), "run", broken)
    done = CliRunner().invoke(app, ["run", "carry.toml"])
    assert done.exit_code == 3
    assert "ZeroDivisionError: no hedge ratio (test_cli.py, line" in done.stderr


def test_a_strategy_that_breaks_says_where_with_code_3(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(config: Any, progress: Any = None) -> Result:
        with asking(Strategy(), "on_bar", 0):
            raise ZeroDivisionError("no hedge ratio")

    monkeypatch.setitem(vars(backtest), "run", broken)
    done = CliRunner().invoke(app, ["run", "carry.toml"])
    assert done.exit_code == 3
    told = "Strategy.on_bar at the bar of 1970-01-01 00:00: ZeroDivisionError: no hedge ratio"
    assert re.search(rf"The strategy failed:\n  {told} \(test_cli.py, line \d+\)\n", done.stderr)


def test_a_place_for_the_result_is_looked_for_before_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(config: Any, progress: Any = None) -> Result:
        raise AssertionError("the run was started")

    monkeypatch.setitem(vars(backtest), "run", never)
    monkeypatch.setitem(vars(backtest), "compare", never)
    for verb in ("run", "compare"):
        for where in ("carry.toml", "."):
            done = CliRunner().invoke(app, [verb, "carry.toml", "--out", where])
            assert done.exit_code == 2
            assert "choose another with --out" in done.stderr or "choose one of its own" in done.stderr


def test_what_the_system_refuses_is_bad_input_and_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(config: Any, progress: Any = None) -> Result:
        raise OSError(28, "No space left on device", "cache.bin")

    monkeypatch.setitem(vars(backtest), "run", full)
    done = CliRunner().invoke(app, ["run", "carry.toml"])
    assert done.exit_code == 2
    assert "cache.bin: No space left on device" in done.stderr


def test_the_report_page_can_be_written_again(folder: Path) -> None:
    CliRunner().invoke(app, ["run", "carry.toml", "--report"])
    done = CliRunner().invoke(app, ["report", "results/carry", "--out", "again.html"])
    assert done.exit_code == 0, done.output
    assert (folder / "again.html").read_bytes() == (folder / "results" / "carry" / "report.html").read_bytes()


def test_a_folder_that_is_no_result_is_refused(folder: Path) -> None:
    done = CliRunner().invoke(app, ["report", "."])
    assert done.exit_code == 2
    assert "no saved run there" in done.stderr


def test_rules_of_a_date_need_a_venue_and_a_date_that_it_has_rules_of(folder: Path) -> None:
    nameless = CliRunner().invoke(app, ["venues", "--at", "2024-01-01"])
    assert nameless.exit_code == 2
    assert "say of which venue" in nameless.stderr
    early = CliRunner().invoke(app, ["venues", "binance", "--at", "2015-01-01"])
    assert early.exit_code == 2
    assert "its rules are known from 20" in early.stderr


STOPPED = """
import os, signal, sys
sys.path[:0] = [{tests!r}, {root!r}]
import backtest
from backtest.cli import app
from backtest.report.result import Result
from backtest.strategy import Strategy
from backtest.strategy.hooks import asking
from test_report import cash
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background has none
vars(backtest)["run"] = lambda config, progress=None: Result(cash([110.0]))
Result._page = lambda self: os.kill(os.getpid(), signal.{name})
app(["run", "carry.toml", "--report"])
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_run_that_is_stopped_while_it_writes_leaves_nothing(folder: Path, name: str) -> None:
    here = Path(__file__).parent
    code = STOPPED.format(tests=str(here), root=str(here.parent), name=name)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)
    assert done.returncode not in (0, 3)
    assert "Traceback" not in done.stderr
    assert not list(folder.glob("results/*")) and not list(folder.glob("results/.*"))


def test_importing_the_package_or_its_command_loads_nothing_heavy() -> None:
    look = "import sys, backtest.cli; print([name for name in ('pandas', 'numba', 'plotly') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_loads_nothing_that_it_does_not_use() -> None:
    look = (
        "import sys, backtest; backtest.run('configs/hedged_long.toml'); "
        "print([name for name in ('vectorbt', 'plotly', 'matplotlib', 'ray', 'ccxt', 'scipy.linalg') "
        "if name in sys.modules])"
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


def test_the_sample_store_is_made_listed_and_found_sound(folder: Path) -> None:
    assert CliRunner().invoke(app, ["data", "sample", "store"]).exit_code == 0
    listed = json.loads(CliRunner().invoke(app, ["data", "list", "store", "--json"]).stdout)["series"]
    assert {"BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"} <= {row["symbol"] for row in listed}
    checked = CliRunner().invoke(app, ["data", "check", "store", "--json"])
    assert [row for row in json.loads(checked.stdout)["findings"] if row["severity"] == "error"] == []
    assert checked.exit_code == 0


def test_a_table_is_imported_under_the_symbol_it_is_said_to_be(folder: Path) -> None:
    (folder / "bars.csv").write_text(
        "time,open,high,low,close,volume\n2024-01-01,10,12,9,11,5\n2024-01-02,11,13,10,12,6\n"
    )
    words = ["data", "import", "bars.csv", "--store", "store", "--format", "tidy", "--series", "bars-1d"]
    assert "say what the table is" in CliRunner().invoke(app, words).stderr
    done = CliRunner().invoke(app, [*words, "--symbol", "BTC/USDT", "--json"])
    assert done.exit_code == 0, done.output
    assert [row["symbol"] for row in json.loads(done.stdout)["imported"]] == ["BTC/USDT"]


def test_a_tables_own_columns_and_zone_are_said_on_the_command_line(folder: Path) -> None:
    (folder / "bars.csv").write_text("Date,Open,High,Low,Last,Vol\n2024-01-01 09:00,10,12,9,11,5\n")
    words = ["data", "import", "bars.csv", "--store", "s", "--format", "tidy", "--series", "bars-1h"]
    words += ["--symbol", "BTC/USDT", "--tz", "Asia/Tokyo", "--json"]
    pairs = ["Date=time", "Open=open", "High=high", "Low=low", "Vol=volume"]
    words += [word for pair in pairs for word in ("--column", pair)]
    missing = CliRunner().invoke(app, words)
    assert missing.exit_code == 2
    assert "say which it is: --column THEIRS=close" in " ".join(missing.stderr.split())
    done = CliRunner().invoke(app, [*words, "--column", "Last=close"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["imported"][0]["first_us"] == 1_704_067_200_000_000  # 00:00 UTC
    assert "contract terms assumed" in json.loads(done.stdout)["imported"][0]["note"]
    future = [word.replace("BTC/USDT", "BTC/USDT:USDT") for word in words]  # whose terms the venue prints
    done = CliRunner().invoke(app, [*future, "--column", "Last=close"])
    assert json.loads(done.stdout)["imported"][0]["note"] == ""
    for pair in ("Last", "=close", "Last="):
        assert "such as --column Open=open" in CliRunner().invoke(app, [*words, "--column", pair]).stderr


def test_an_option_that_a_format_would_not_heed_is_refused(folder: Path) -> None:
    for form, option in (("vision", "--symbol"), ("layout", "--venue"), ("layout", "--tz"), ("vision", "--column")):
        done = CliRunner().invoke(app, ["data", "import", ".", "--format", form, option, "x=y"])
        assert done.exit_code == 2
        assert f"{option} says nothing to --format {form}" in done.stderr


def test_a_shorter_import_says_in_its_row_what_it_replaced(folder: Path) -> None:
    head, row = "time,open,high,low,close,volume\n", "2024-01-0{},10,12,9,11,5\n"
    words = ["data", "import", "bars.csv", "--store", "s", "--format", "tidy", "--series", "bars-1d"]
    words += ["--symbol", "BTC/USDT"]
    (folder / "bars.csv").write_text(head + row.format(1) + row.format(2))
    assert "REPLACED" not in CliRunner().invoke(app, words).stdout
    (folder / "bars.csv").write_text(head + row.format(2))
    assert "REPLACED 2 rows" in CliRunner().invoke(app, words).stdout


def test_an_unknown_format_is_answered_with_the_nearest(folder: Path) -> None:
    done = CliRunner().invoke(app, ["data", "import", ".", "--format", "visoin"])
    assert done.exit_code == 2
    assert "did you mean 'vision'?" in done.stderr


def test_code_compiled_from_other_sources_goes_after_a_month_and_nothing_else_does(tmp_path: Path) -> None:
    mine, old, young, hexed = (tmp_path / (letter * 20) for letter in "abcd")
    holiday, pictures = tmp_path / "holiday-pictures-2019", tmp_path / "family-pictures-2020"
    for each in (old, young, hexed, holiday, pictures):
        (each / "backtest.engine.advance").mkdir(parents=True)
        (each / "backtest.engine.advance" / "advance.1.nbc").write_bytes(b"code")
    (hexed / "a.txt").write_text("not ours")
    for each in (old, hexed, holiday, pictures):
        os.utime(each, (0, 0))
    kernel.forget_old(tmp_path, mine.name)
    there = [each.exists() for each in (mine, old, young, hexed, holiday, pictures)]
    assert there == [True, False, True, True, True, True]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="asks who owns a folder")
def test_compiled_code_is_not_taken_from_a_folder_that_others_can_write_to(tmp_path: Path) -> None:
    own, open_to_all = tmp_path / "own", tmp_path / "open"
    open_to_all.mkdir(mode=0o777)
    open_to_all.chmod(0o777)
    assert kernel.own_folder(own) == own == kernel.own_folder(own)
    other = kernel.own_folder(open_to_all)
    assert other not in (own, open_to_all) and other.is_dir()
    other.rmdir()
