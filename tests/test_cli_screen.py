"""What a run and a comparison show on a terminal, and what of it goes down a pipe."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from rich.text import Text
from test_cli import RUN
from test_report import cash, day
from typer.testing import CliRunner

import backtest
from backtest.cli import app
from backtest.cli.screen import print_figures, print_rows
from backtest.report.result import Result
from backtest.report.statistics import statistics
from backtest.research.compare import Comparison

ESCAPE = "\x1b"
SCREEN = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "80"}


def lost() -> Result:
    """100 USD at a ratio of 3, then 99 at 1.4, then liquidated at 0.5, then 20 without a position."""
    record = cash([110.0, 99.0, 20.0, 20.0], worst_ratio=[3.0, 1.4, 0.5, float("inf")])
    taken = {"time": day(2), "account": "main", "wallet": "unified", "rung": "close", "symbol": "BTC/USDT:USDT"}
    record.incidents = pd.DataFrame([{**taken, "ratio": 0.5, "note": ""}])
    return Result(record)


def side_by_side() -> Comparison:
    """One mode lost its position and ended at 20 USD, the other ended at 99."""
    runs = {"cross": lost(), "generic scenarios": Result(cash([110.0, 99.0], worst_ratio=[3.0, 1.4]))}
    signals = pd.concat([statistics(result.record).rename(mode) for mode, result in runs.items()], axis=1)
    breach = pd.DataFrame({"cross": ["2024-01-03 00:00"], "generic scenarios": ["never"]}, index=["First Breach"])
    return Comparison("hand", pd.concat([breach, signals]), signals, "One lived.", ["a note"], None, runs)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in, with a good config; the engine hands back what was made by hand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(vars(backtest), "run", lambda config, progress=None: lost())
    monkeypatch.setitem(vars(backtest), "compare", lambda config, progress=None, part=None: side_by_side())
    (tmp_path / "carry.toml").write_text(RUN)
    return tmp_path


def shown(verb: str, *words: str, **env: str) -> str:
    """What a verb prints of the config."""
    done = CliRunner().invoke(app, [verb, "carry.toml", *words], env=env)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    return done.stdout


def unstyled(text: str) -> str:
    return Text.from_ansi(text).plain


@pytest.mark.usefixtures("folder")
def test_a_run_ends_with_its_verdict_and_its_margin_ratio_on_a_line() -> None:
    """To three times the level: 3 is the highest block, 1.4 is log(1.4)/log(3) = 0.31 of the way, two of seven."""
    lines = shown("run").splitlines()
    assert lines[0] == "hand: main (portfolio)"
    assert lines[1].startswith("Liquidated on 2024-01-03 00:00 UTC")
    at = next(k for k, line in enumerate(lines) if line.startswith("Margin ratio"))
    assert lines[at] == "Margin ratio, log scale from 1 (liquidation) to 3.00"
    assert lines[at + 1] == "  █▄×·"
    assert lines[at + 2] == "    ╰ 0.50, 2024-01-03 00:00"
    assert lines[at + 3] == "  2024-01-01 to 2024-01-04"
    assert lines[at + 4] == "  × liquidated 2024-01-03 00:00"


@pytest.mark.usefixtures("folder")
def test_a_run_shows_the_figures_that_decide_money_beside_margin() -> None:
    """100 became 20, by way of 110: 80 percent lost, and 90 of 110 from the high."""
    lines = [" ".join(line.split()) for line in shown("run").splitlines()]
    assert "Total Return [%] -80.00 Least Capital 100.00" in lines
    assert any(line.startswith("Max Drawdown [%] 81.82") for line in lines)
    assert any(line.endswith("Liquidations 1") for line in lines)


@pytest.mark.usefixtures("folder")
def test_an_account_that_did_nothing_needs_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(backtest), "run", lambda config, progress=None: Result(cash([100.0, 100.0])))
    lines = shown("run").splitlines()
    assert "Margin ratio: nothing held ever required margin" in lines
    assert not any(line.startswith("Where the money came from") for line in lines)


@pytest.mark.usefixtures("folder")
def test_every_account_of_a_run_has_its_column_and_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two accounts of the same 100 USD: one ended at 99, the other at 50."""
    main, other = (cash([110.0, end], worst_ratio=[3.0, ratio]) for end, ratio in ((99.0, 1.4), (50.0, 3.0)))
    for name in ("account", "ledger"):
        both = [getattr(main, name), getattr(other, name).assign(account="other")]
        setattr(main, name, pd.concat(both, ignore_index=True))
    main.account_names, main.modes = ["main", "other"], ["portfolio", "cross"]
    monkeypatch.setitem(vars(backtest), "run", lambda config, progress=None: Result(main))
    lines = [" ".join(line.split()) for line in shown("run").splitlines()]
    assert {"main other", "Total Return [%] -1.00 -50.00"} <= set(lines)
    assert lines[lines.index("Margin ratio of main, log scale from 1 (liquidation) to 3.00") + 1] == "█▄"
    assert lines[lines.index("Margin ratio of other, log scale from 1 (liquidation) to 3.00") + 1] == "██"


@pytest.mark.usefixtures("folder")
def test_a_comparison_shows_a_mode_a_row_and_a_line_of_one_scale_each() -> None:
    printed = shown("compare")
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert "cross 2024-01-03 00:00 0.50 100.00 -80.00" in lines
    assert "cross no 1 0 81.82 -80.00" in lines
    assert lines[lines.index("cross no 1 0 81.82 -80.00") + 1] == "2024-01-03 00:00"
    assert "cross █▄×· 0.50, 2024-01-03 00:00" in lines
    assert "generic scenarios █▄ 1.40, 2024-01-02 00:00" in lines
    assert "One lived." in lines and "- a note" in lines


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("verb", ["run", "compare"])
def test_nothing_but_text_goes_down_a_pipe(verb: str) -> None:
    assert ESCAPE not in shown(verb, TERM="xterm-256color")


COLOURED = re.compile(ESCAPE + r"\[[\d;]*\b(3[0-7]|38|9[0-7])[;m]")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("verb", ["run", "compare"])
def test_colours_are_left_out_where_they_are_not_wished(verb: str) -> None:
    assert COLOURED.search(shown(verb, **SCREEN))
    assert not COLOURED.search(shown(verb, **SCREEN, NO_COLOR="1"))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("verb", ["run", "compare"])
@pytest.mark.parametrize("columns", [60, 80])
def test_all_of_it_fits_the_screen(verb: str, columns: int) -> None:
    lines = unstyled(shown(verb, **{**SCREEN, "COLUMNS": str(columns)})).splitlines()
    assert max(map(len, lines)) <= columns
    assert "…" not in "".join(lines)
    assert any("█▄×·" in line for line in lines)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("verb", ["run", "compare"])
def test_quiet_says_nothing_and_still_writes(folder: Path, verb: str) -> None:
    assert shown(verb, "--quiet", "--out", "here") == ""
    assert (folder / "here" / "picture.png").is_file()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("verb", ["run", "compare"])
def test_quiet_is_not_silent_about_errors(verb: str) -> None:
    done = CliRunner().invoke(app, [verb, "nowhere.toml", "--quiet"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "nowhere.toml" in done.stderr


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("verb", ["run", "compare"])
def test_json_holds_finite_numbers_or_nulls(verb: str) -> None:
    def unknown(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    told = json.loads(shown(verb, "--json", **SCREEN), parse_constant=unknown)
    figures = told["figures"]["main"] if verb == "run" else told["signals (each account on its own)"]["cross"]
    assert figures["Total Return [%]"] == pytest.approx(-80.0)
    assert figures["Return on Margin [%]"] is None  # no margin was ever required
    assert figures["Start"] == "2024-01-01T00:00:00+00:00"
    assert not {"inf", "-inf", "nan"} & {value for value in figures.values() if isinstance(value, str)}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("verb", ["run", "compare"])
def test_a_page_is_written_where_it_is_wished_and_the_words_say_which(folder: Path, verb: str) -> None:
    assert "Report page:   backtest report 'my results'\n" in shown(verb, "--out", "my results")
    assert not list(folder.rglob("report.html"))
    assert "Report page:   my results/report.html\n" in shown(verb, "--out", "my results", "--report")
    assert (folder / "my results" / "report.html").is_file()


ON_A_TERMINAL = """
import sys, time
sys.path[:0] = [{tests!r}, {root!r}]
import backtest
from backtest.cli import app
from backtest.cli.screen import print_figures, print_rows
from test_cli_screen import lost
def run(config, progress=None):
    for done in range(1, 5):
        time.sleep(0.15)
        progress and progress(10_000 * done, 40_000)
    return lost()
vars(backtest)["run"] = run
app(["run", "carry.toml", *sys.argv[1:]])
"""


def on_a_terminal(*words: str) -> str:
    """Everything that a run writes on a terminal of 80 columns while it lives through 40,000 bars."""
    here = Path(__file__).parent
    code = ON_A_TERMINAL.format(tests=str(here), root=str(here.parent))
    keyboard, screen = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    done = subprocess.Popen([sys.executable, "-c", code, *words], stdin=screen, stdout=screen, stderr=screen, env=env)
    os.close(screen)
    seen = b""
    while part := read_or_nothing(keyboard):
        seen += part
    os.close(keyboard)
    assert done.wait(60) == 0, seen.decode()
    return seen.decode()


def read_or_nothing(keyboard: int) -> bytes:
    """What a terminal has to show; nothing once its program has gone, which Linux tells as an error."""
    try:
        return os.read(keyboard, 65536)
    except OSError:
        return b""


@pytest.mark.usefixtures("folder")
def test_long_work_tells_its_stage_its_rate_and_the_time_left() -> None:
    seen = re.sub(ESCAPE + r"\[[\d;?]*[a-zA-Z]", "", on_a_terminal())
    for words in ("carry: reading", "carry: living", "carry: writing", "25%", "bars/s", "left"):
        assert words in seen, words


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_no_progress_is_shown_where_it_is_not_wished(option: str) -> None:
    assert "living" not in on_a_terminal(option)


def test_progress_goes_nowhere_in_a_pipe(folder: Path) -> None:
    code = ON_A_TERMINAL.format(tests=str(Path(__file__).parent), root=str(Path(__file__).parent.parent))
    env = {**os.environ, "FORCE_COLOR": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=env, check=True)
    assert done.stderr == ""


def test_a_heading_folds_at_its_blanks_and_never_inside_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seven columns by their longest words: 13 + 5 + 10 + 9 + 11 + 4 + 9 and two beside each, 75; on one line 99."""
    console = Console(width=80)
    monkeypatch.setattr("backtest.cli.screen.open_console", lambda: console)
    names = ("wallet", "asset", "collateral equity", "initial margin", "maintenance margin", "open loss", "available")
    print_rows(
        [dict.fromkeys(names, "19,000.00") | {"wallet": "ETH/USDT:USDT", "asset": "USDT", "open loss": "0.00"}],
        "Wallets",
        keys=1,
    )
    printed = capsys.readouterr().out
    assert "maintenance" in printed
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.usefixtures("folder")
def test_a_screen_without_block_letters_gets_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import ConsoleOptions

    monkeypatch.setattr(ConsoleOptions, "ascii_only", property(lambda options: True))
    lines = shown("run").splitlines()
    at = next(k for k, line in enumerate(lines) if line.startswith("Margin ratio"))
    assert lines[at + 1] == "  #-x "
    assert "".join(lines[at:]).isascii()


@pytest.mark.parametrize("name", ["a[b]", "x[/b]", "[red]", "<b>"])
def test_names_with_brackets_are_printed_as_they_were_written(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_figures(pd.DataFrame({name: ["yes"], "other": ["no"]}, index=["Survived"]), name)
    print_rows([{name: 1}], name)
    assert capsys.readouterr().out.count(name) == 4
