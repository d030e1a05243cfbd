"""The report page as text: the verdict in words, what is escaped, what it weighs, and that it can be made again."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pandas as pd
from test_report import SPOT, cash, history, ledger, made
from test_report_figures import forced, sample, subject

import backtest
from backtest.market.history import History
from backtest.report.account_tables import liquidation_story, other_incidents
from backtest.report.journal import fidelity, rules_section, value_words
from backtest.report.record import RunRecord
from backtest.report.result import Result, load
from backtest.report.tables import labelled, rows_of
from backtest.report.verdict import verdict_of

MINUTE_US = 60_000_000


def test_the_verdict_of_a_survivor_has_its_lowest_ratio_its_return_and_its_drawdown() -> None:
    record = cash([110.0, 99.0], worst_ratio=[3.0, 1.4], initial_margin=[20.0, 20.0], utilization=[0.2, 0.2])
    verdict = verdict_of(subject(record))
    assert verdict.state == "survived"
    # 100 -> 99; drawdown 11 of 110; 1 lost on 20 of margin
    assert verdict.sentence == (
        "Survived. Its lowest margin ratio was 1.40, on 2024-01-02 00:00 in wallet unified; the venue liquidates at 1. "
        "Return -1.00 % (100.00 to 99.00 USD), -5.0 % on its average initial margin at 5x; largest drawdown 10.00 %, "
        "on 2024-01-02 00:00."
    )


def test_the_verdict_of_the_dead_says_when_by_which_step_and_in_which_wallet() -> None:
    record = cash([100.0, 40.0], worst_ratio=[2.0, 0.8])
    record.incidents = pd.DataFrame([forced(1, "reduce"), forced(1, "takeover")])
    verdict = verdict_of(subject(record))
    assert verdict.state == "liquidated"
    assert verdict.sentence.startswith(
        'Liquidated on 2024-01-02 00:00 UTC by the venue\'s step "reduce" on BTC/USDT:USDT, wallet unified at a ratio '
        "of 0.8. Its lowest margin ratio was 0.80,"
    )


def test_a_ratio_below_that_of_the_forced_step_is_one_that_nobody_let_come() -> None:
    record = cash([100.0, 40.0], worst_ratio=[2.0, -7.36])
    record.incidents = pd.DataFrame([forced(1, "reduce")])
    assert "lowest margin ratio was -7.36 had nothing been sold on the way," in verdict_of(subject(record)).sentence


def test_the_verdict_is_undecided_where_only_one_reading_of_the_path_liquidates() -> None:
    record = cash([100.0, 40.0], worst_ratio=[2.0, 0.9], ratio_close=[2.5, 1.3])
    record.incidents = pd.DataFrame([forced(1, "reduce")])
    verdict = verdict_of(subject(record))
    assert verdict.state == "undecided"
    assert verdict.sentence.startswith("Undecided inside the bar of 2024-01-02 00:00 UTC: liquidated on one reading")


def test_a_run_that_required_nothing_says_so() -> None:
    assert "Nothing it held ever required margin." in verdict_of(subject(cash([100.0]))).sentence


def test_what_a_config_says_cannot_become_part_of_the_page(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    record = cash([110.0, 99.0], worst_ratio=[3.0, 1.4])
    record.config = record.config.model_copy(update={"name": evil})
    record.notes = [f"note {evil}"]
    record.account_names = [f"main{evil}"]
    for frame in (record.account, record.ledger):
        frame["account"] = record.account_names[0]
    page = Result(record).report(tmp_path / "page.html").read_text()
    assert evil not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert page.count("<script") == 4  # the theme, plotly.js and the numbers, both packed, and the page's own
    assert "<script" not in figures_of(page)
    assert evil not in Result(record)._repr_html_()
    assert evil not in str(Result(record).plot().layout.title.text)


def figures_of(page: str) -> str:
    """The page's figures, unpacked."""
    packed = re.search(r'id="packed-figures">([^<]*)<', page)
    assert packed is not None
    return gzip.decompress(b64decode(packed[1])).decode()


def test_the_page_asks_the_network_for_nothing(tmp_path: Path) -> None:
    page = Result(cash([110.0, 99.0])).report(tmp_path / "page.html").read_text()
    assert not re.search(r'(?:src|href)="(?!#)', page)
    assert "@import" not in page and "url(" not in page


def test_the_page_of_a_loaded_run_is_that_of_the_run_itself_byte_for_byte(tmp_path: Path) -> None:
    result = sample("isolated", end="2023-06-01")
    folder = result.save(tmp_path / "run", page=True)
    again = load(folder)
    assert again.report(tmp_path / "again.html").read_bytes() == (folder / "report.html").read_bytes()
    bar = again.account["time"].iloc[700]
    assert again.snapshot(bar) == result.snapshot(bar)
    pd.testing.assert_frame_equal(again.explain(by="month"), result.explain(by="month"), check_dtype=False)


def a_year_of_minutes() -> RunRecord:
    """A dollar account over 525,600 bars, its equity and ratio wandering."""
    bars = 525_600
    random = np.random.default_rng(8)
    equity = 1000.0 + random.normal(size=bars).cumsum() * 0.01
    ratios = np.exp(random.normal(size=bars).cumsum() * 0.001) + 1.0
    few = history((SPOT,), [[1.0]], [1.0], [1.0], [1.0])
    long: dict[str, object] = {}
    for name, value in vars(few).items():
        wide = isinstance(value, np.ndarray) and value.ndim == 2
        long[name] = np.repeat(value, bars, axis=1) if wide else value
    long |= {"time": few.time[0] + np.arange(bars) * MINUTE_US, "interval_us": MINUTE_US}
    past = History(**long)  # type: ignore[arg-type]
    stamps = pd.to_datetime(past.time, unit="us", utc=True)
    columns = dict.fromkeys(
        ("margin_ratio", "worst_ratio", "ratio_close", "ratio_low_then_high", "ratio_each_worst"), ratios
    )
    rows = pd.DataFrame({
        "time": stamps, "account": "main", "equity": equity, "collateral_equity": 0.9 * equity,
        "initial_margin": 100.0 + random.random(bars), "maintenance_margin": 50.0 + random.random(bars),
        "worst_wallet": "unified", "utilization": 0.1 + 0.01 * random.random(bars), "cash_usd": equity,
        "liquidation_level": 1.0, **columns,
    })  # fmt: skip
    return made(past, {"account": rows, "ledger": ledger((0, "USDT", "deposit", 1000.0, ""))})


def test_a_year_of_minutes_is_a_page_of_less_than_five_megabytes_with_its_extremes_in_it(tmp_path: Path) -> None:
    record = a_year_of_minutes()
    page = Result(record).report(tmp_path / "page.html")
    assert page.stat().st_size < 5_000_000
    drawn = json.loads(figures_of(page.read_text()))["account0-equity"]["data"][0]["y"]
    values = np.frombuffer(b64decode(drawn["bdata"]), dtype="<f8")
    assert (values.min(), values.max()) == (record.account["equity"].min(), record.account["equity"].max())


def test_liquidations_are_told_step_by_step_with_what_came_in_the_day_before() -> None:
    record = cash([100.0] * 5, worst_ratio=[2.0] * 4 + [0.8])
    rows = [forced(0, "warn"), forced(2, "top-up"), forced(4, "warn"), forced(4, "cancel orders"), forced(4, "reduce")]
    record.incidents = pd.DataFrame(rows)
    of = subject(record)
    assert liquidation_story(of)["rung"].tolist() == ["warn", "cancel orders", "reduce"]
    assert other_incidents(of)["rung"].tolist() == ["warn", "top-up"]
    assert "side" not in liquidation_story(of)  # says nothing in a one-way account


def test_the_rules_count_what_is_assumed_and_say_why() -> None:
    row = {"table": "fee", "key": "taker", "value": 0.0004, "valid_from_us": 1_568_332_800_000_000, "mark": "T",
           "source": "the page", "assumed": False, "reason": "", "counterfactual": False}  # fmt: skip
    guess = {**row, "key": "half_spread", "assumed": True, "reason": "not published", "mark": "G"}
    told = rules_section([row, guess, {**guess, "valid_from_us": 1_600_000_000_000_000}])
    assert "3 rows of the venue&#x27;s tables" in told
    assert "2 of them (1 number) are assumed" in told
    assert "assumed: not published" in told
    assert "stated by the venue" in told and "2019-09-13" in told
    assert "COUNTERFACTUAL" in rules_section([{**row, "counterfactual": True}])


def test_a_rule_of_steps_is_told_by_its_first_and_how_many_follow() -> None:
    tiers = [{"floor": 0.0, "rate": 0.005, "max_leverage": 100.0}, {"floor": 1e5, "rate": 0.01, "max_leverage": 50.0}]
    assert value_words(tiers) == "floor 0, rate 0.005, max leverage 100; 1 more step"
    assert value_words(["cancel_orders", "reduce"]) == "cancel_orders, reduce"
    assert value_words(False) == "no"


def test_prices_that_stood_in_for_the_venues_own_are_called_proxies() -> None:
    said = {
        "prices": {"A": "mark", "B": "mark-close proxy"},
        "indexes": {"ETH": "index:ETH/USD", "XYZ": "spot:XYZ/USDT×USDT"},
        "funding_marks": {"previous mark close": 4}, "ambiguous_bars": {"main": 0, "other": 2},
        "config": {"prices": {"gaps": "hold"}},
    }  # fmt: skip
    told = fidelity(said)
    assert "A: the venue's mark" in told
    assert any(each.startswith("B: a PROXY") for each in told)
    assert "XYZ is valued by a PROXY: traded spot, XYZ/USDT×USDT" in told
    assert "4 funding payments rest on: previous mark close" in told
    assert any(each.startswith("account other: 2 bars") for each in told)
    assert "gaps: missing bars are held, without fills" in told


def test_tables_escape_and_say_how_many_rows_were_left_out() -> None:
    told = rows_of(pd.DataFrame({"a <b>": ["<i>"] * 5}), most=3)
    assert "a &lt;b&gt;" in told and "&lt;i&gt;" in told and "<i>" not in told
    assert "3 of 5 rows." in told
    assert 'class="n best"' in labelled(pd.DataFrame({"x": [1.0], "y": [2.0]}, index=["r"]), {"r": "y"})


def test_several_accounts_have_a_block_each_and_stand_over_one_another(tmp_path: Path) -> None:
    config = backtest.load_config(Path(__file__).resolve().parent.parent / "configs" / "hedged_long.toml").resolved()
    store = str(Path(__file__).resolve().parent.parent / "data" / "sample")
    config["data"] |= {"store": store, "end": "2023-02-01"}
    config["account"].append({**config["account"][0], "name": "second", "margin": "cross"})
    page = backtest.run(config).report(tmp_path / "two.html").read_text()
    assert '<option value="1">second (cross)</option>' in page
    assert 'data-account="1" hidden' in page
    assert {"all-equities", "all-ratios", "account0-equity", "account1-equity"} <= set(json.loads(figures_of(page)))
