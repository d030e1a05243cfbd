"""The page and the figures of a sweep: their numbers, what they say of chance and of the dead, and what they weigh."""

from __future__ import annotations

import gzip
import json
import re
import tomllib
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sweep_found import BAND, MARGIN, ROOT, config, figures, found, many, six
from typer.testing import CliRunner

import backtest
from backtest.cli import app
from backtest.config import load_config
from backtest.errors import InputError
from backtest.report.points import Points, cells, drawn, short_names
from backtest.research.point_config import filled
from backtest.research.points import Base, points_of
from backtest.research.sweep_result import SweepResult, _of_windows, words_of


def packed(page: str, name: str) -> Any:
    """What a page holds packed under a name."""
    told = re.search(rf'id="packed-{name}">([^<]*)<', page)
    assert told is not None
    return json.loads(gzip.decompress(b64decode(told[1])))


def text_of(result: SweepResult, folder: Path, **asked: Any) -> str:
    return result.report(folder / "page.html", **asked).read_text(encoding="utf-8")


# The map


def test_a_cell_of_the_map_is_the_figure_of_its_point_and_one_that_failed_is_a_gap() -> None:
    drawing = six().plot_heatmap(BAND, MARGIN).data[0]
    assert np.asarray(drawing.z).tolist()[1] == [3.0, -1.0, 0.5]
    assert np.asarray(drawing.z).tolist()[0][:2] == [1.0, 2.0] and np.isnan(drawing.z[0][2])
    assert np.asarray(drawing.customdata).tolist() == [[1, 1, 0], [1, 1, 1]]
    assert [list(row) for row in drawing.text] == [["1.00", "2.00", "–"], ["3.00", "-1.00", "0.50"]]


def test_over_one_setting_a_cell_is_the_mean_of_its_points() -> None:
    drawing = six().plot_heatmap(BAND)
    # (1 + 3) / 2, (2 - 1) / 2, and of the last band the one that did not fail
    assert np.asarray(drawing.data[0].z).tolist() == [[2.0, 0.5, 0.5]]
    assert list(drawing.layout.xaxis.ticktext) == ["0.02", "0.05", "0.1"]


def test_blue_is_less_drawdown_and_more_return() -> None:
    gain, fall = (six().plot_heatmap(BAND, MARGIN, s).data[0].colorscale for s in ("Sharpe", "Max Drawdown [%]"))
    assert (gain[0][1], gain[-1][1]) == (fall[-1][1], fall[0][1])


def test_a_setting_with_a_value_a_point_is_cut_into_groups_of_as_many() -> None:
    result = many(400, statistics=6)
    points = Points(result.points, result.settings)
    axis = points.axis(BAND)
    assert axis.grouped and len(axis.labels) == 10
    assert np.bincount(axis.places).tolist() == [40] * 10
    means, counts = cells(points, axis, points.axis("strategy.params.hedge_share"), "Sharpe")
    assert counts.sum() == 400
    low = result.points[BAND] < np.quantile(result.points[BAND], 0.1)
    share = result.points["strategy.params.hedge_share"]
    corner = result.points[low & (share < np.quantile(share, 0.1))]["Sharpe"]
    assert (means[0, 0], counts[0, 0]) == (pytest.approx(corner.mean()), len(corner))


@pytest.mark.parametrize("x, words", [("strategy.params.bnd", "did you mean 'strategy.params.band'"), ("Sharpe", "")])
def test_a_map_of_what_was_not_tried_is_refused_with_the_nearest(x: str, words: str) -> None:
    with pytest.raises(InputError, match=f"'{x}' was not tried; .*{words}"):
        six().plot_heatmap(x)
    with pytest.raises(InputError, match="no statistic 'Sharp' in the points; did you mean 'Sharpe'"):
        six().plot_heatmap(BAND, statistic="Sharp")


def test_names_of_settings_are_as_short_as_they_can_be_told_apart() -> None:
    assert short_names(["strategy.params.band", "account.0.margin", "account.1.margin"]) == {
        "strategy.params.band": "band", "account.0.margin": "0.margin", "account.1.margin": "1.margin",
    }  # fmt: skip


# The lines


def test_every_point_that_lived_is_a_line_through_its_settings_and_figures() -> None:
    drawing = six().plot_parallel(beside=["Lowest Margin Ratio"]).data[0]
    axes = {axis.label: np.asarray(axis["values"]).tolist() for axis in drawing.dimensions}
    assert axes["band"] == [0.02, 0.02, 0.05, 0.05, 0.1]
    assert axes["margin"] == [0, 1, 0, 1, 1]
    assert axes["Sharpe"] == np.asarray(drawing.line.color).tolist() == [1.0, 3.0, 2.0, -1.0, 0.5]
    assert axes["Lowest Margin Ratio"] == [1.5] * 5  # the last required nothing: at the top of its axis
    assert list(drawing.customdata) == [0, 1, 2, 3, 5]


def test_of_many_lines_the_best_the_worst_and_evenly_those_between_are_drawn() -> None:
    assert drawn(np.arange(101.0), 5).tolist() == [0, 25, 50, 75, 100]
    assert drawn(np.array([3.0, np.nan, 1.0]), 5).tolist() == [0, 2]
    assert len(many(3_000, statistics=4).plot_parallel().data[0].customdata) == 2_000


# The page


def test_a_best_point_that_shares_its_figure_with_others_says_so() -> None:
    found = six()
    tied = found.points["status"] == "ok"
    alike = replace(found, points=found.points.assign(Sharpe=found.points["Sharpe"].where(~tied, 1.0)))
    assert "(no better than 4 others)" in words_of(alike)


def test_the_page_says_of_how_many_the_best_is_and_how_many_died_or_failed(tmp_path: Path) -> None:
    page = text_of(six(), tmp_path)
    assert words_of(six()) == (
        "6 points tried. Of 5 points that ran, liquidated: 1; undecided: 1. Without figures: 1 row, the first: "
        "ZeroDivisionError: division by zero (careless.py, line 4). Best by Sharpe: 3.00 with strategy.params.band = "
        "0.02, account.margin = portfolio. It is the best of 6 on the very span they were tried on; [sweep.split] "
        "judges it on another."
    )
    assert "Best by Sharpe: 3.00 with strategy.params.band = 0.02, account.margin = portfolio" in page
    assert "3 of 6 survived" in page
    tiles = dict(re.findall(r'<div class="tile"><b>([^<]*)</b><span>([^<]*)</span>', page.replace("\n", "")))
    assert tiles["3.00"] == "best Sharpe, point 1, in sample"
    assert "<b>1.00</b><span>median Sharpe of all points</span>" in page  # of -1, 0.5, 1, 2, 3
    assert "ZeroDivisionError" in page[page.index('id="failures"') :]


def test_a_point_that_never_filled_anything_wins_nothing_and_is_counted(tmp_path: Path) -> None:
    """Six points; the third asked for nothing: no drawdown, no capital, and a Sharpe of nothing."""
    rows = [figures(1.0, 5.0, 20.0) | {"Fills": 4} for _ in range(6)]
    rows[2] = figures(0.0, 0.0, 0.0) | {"Fills": 0}
    rows[4] = figures(2.0, 5.0, 10.0) | {"Fills": 4}
    result = found(rows)
    assert result.best("Max Drawdown [%]")["point"] == 4
    assert 2 not in result.leaders("Max Drawdown [%]")["point"].tolist()
    assert "Never filled anything, and left out of the choice: 1 point." in words_of(result)
    page = result.report(tmp_path / "page.html", "Max Drawdown [%]").read_text()
    assert "best Max Drawdown [%], point 4" in page


def test_windows_are_averaged_where_the_choice_has_a_value_on_both_spans() -> None:
    """Chosen in two of three; 1 and 3 in sample, 2 after the second alone: 3 against 2, not 2 against 2."""
    windows = pd.DataFrame(
        {"statistic": "Sharpe", "in_sample": [1.0, 3.0, np.nan], "out_of_sample": [np.nan, 2.0, np.nan]}
    )
    assert _of_windows(windows) == (
        "Chosen in 2 of 3 windows by Sharpe: 3.00 on the span they were chosen on, 2.00 on the span after it, on "
        "average over the 1 that have both."
    )


@pytest.mark.parametrize("said", [{}, {"lowest": True}])
def test_the_best_drawdown_is_the_lowest_whether_that_is_said_or_not(said: dict[str, bool], tmp_path: Path) -> None:
    page = text_of(six(), tmp_path, statistic="Max Drawdown [%]", **said)
    assert "Best by Max Drawdown [%]: 5.00 with strategy.params.band = 0.1, account.margin = portfolio" in page
    assert "5.00</b><span>best Max Drawdown [%], point 5" in page
    with pytest.raises(InputError, match="did you mean 'Sharpe'"):
        six().report(tmp_path / "page.html", statistic="Sharp")


def test_the_figures_in_the_page_are_those_of_the_frame(tmp_path: Path) -> None:
    result = six()
    rows = packed(text_of(result, tmp_path), "rows")
    for said, figure in zip(rows["statistics"], rows["figures"], strict=True):
        held = np.frombuffer(b64decode(figure["bdata"]), dtype=f"<{figure['dtype']}")
        np.testing.assert_array_equal(held, result.points[said["name"]].to_numpy(np.float64))
    assert {each["name"] for each in rows["statistics"]} >= {"Sharpe", "Max Drawdown [%]", "Liquidations"}


def test_the_config_of_a_point_on_the_page_is_the_run_that_it_was(tmp_path: Path) -> None:
    sweep = {"list": [
        {MARGIN: "multi_asset", "account.leverage.default": 3},
        {BAND: 0.07, "data.start": "2024-06-03", "guards.max_utilization": 0.5},
        {"account.refill": {"trigger": 1.5, "target": 2.0}, MARGIN: "cross"},
    ]}  # fmt: skip
    result = found([figures(1.0, 1.0, 1.0)] * 3, sweep)
    base = Base(load_config(config(sweep)))
    for k, point in enumerate(points_of(result.swept)):
        told = tomllib.loads(filled(result.configs(), k))
        assert load_config(told).resolved() == base.at(point).resolved()


def test_a_path_within_another_one_is_in_the_config_as_well() -> None:
    sweep = {"list": [{"account.leverage": {"default": 2}}, {"account.0.leverage.default": 7}]}
    result = found([figures(1.0, 1.0, 1.0)] * 2, sweep)
    told = [tomllib.loads(filled(result.configs(), k))["account"][0]["leverage"]["default"] for k in range(2)]
    assert told == [2, 7]


def test_what_a_config_or_an_error_says_cannot_become_part_of_the_page(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    sweep = {"grid": {"strategy.params.band": [0.02, 0.05], MARGIN: ["portfolio", evil]}}
    good = {**figures(1.0, 5.0, 20.0), f"Sharpe ({evil})": 1.0}
    page = text_of(found([good, f"refused {evil}", good, evil], sweep, name=evil), tmp_path)
    assert evil not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
    assert page.count("<script") == 6  # theme, plotly.js, figures, the page's own; rows and the sweep's own
    assert page.count("</script>") == 6
    assert "<script" not in json.dumps(packed(page, "figures"))
    shown = [each["shown"] for each in packed(page, "rows")["statistics"]]
    assert not any("<script" in each for each in shown) and any("&lt;script" in each for each in shown)


def test_the_page_asks_the_network_for_nothing_and_holds_plotly_once(tmp_path: Path) -> None:
    page = text_of(six(), tmp_path)
    assert not re.search(r'(?:src|href)="(?!#)', page)
    assert "@import" not in page and "url(" not in page
    assert page.count('id="packed-plotly"') == 1


def test_ten_thousand_points_are_a_page_of_less_than_five_megabytes_that_says_what_it_left_out(tmp_path: Path) -> None:
    result = many(10_000)
    page = text_of(result, tmp_path)
    assert len(page) < 5_000_000
    kept = np.frombuffer(b64decode(packed(page, "rows")["point"]["bdata"]), dtype="<i4")
    assert f"This page holds {len(kept):,} of 10,000 rows" in page
    assert {int(result.points["Sharpe"].idxmax()), int(result.points["Sharpe"].idxmin())} <= set(kept.tolist())
    assert "Figures are held to seven digits." in page


def test_a_sweep_of_which_nothing_lived_is_a_page_of_its_reasons(tmp_path: Path) -> None:
    page = text_of(found(["it broke"] * 6), tmp_path)
    assert "none ran" in page and "6 rows, 1 reason." in page
    assert "packed-rows" not in page


# A sweep that was lived


@pytest.fixture
def lived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a walk forward over eight days, lived by the command, with its page."""
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    split = {"kind": "walk_forward", "train": "4d", "test": "2d", "statistic": "Total Return [%]"}
    given = config({"grid": {"strategy.params.hedge_share": [0.5, 1.0]}, "split": split, "curves": "1d"})
    (tmp_path / "sweep.json").write_text(json.dumps(given))
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["sweep", str(tmp_path / "sweep.json"), "--out", str(out), "--report", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["report"] == str(out / "report.html")
    return out


def test_a_sweep_is_read_again_and_its_page_is_the_same_byte_for_byte(lived: Path) -> None:
    again = backtest.load_sweep(lived)
    assert again.report(lived.parent / "again.html").read_bytes() == (lived / "report.html").read_bytes()
    assert len(again.curves) and again.trials == 2 and again.settings == ["strategy.params.hedge_share"]
    assert again.windows is not None and again.windows["point"].dtype == "Int64"
    done = CliRunner().invoke(app, ["report", str(lived), "--by", "Sharpe", "--out", str(lived.parent / "by.html")])
    assert done.exit_code == 0, done.output
    assert "best Sharpe, point" in (lived.parent / "by.html").read_text()
    resumed = CliRunner().invoke(app, ["sweep", str(lived.parent / "sweep.json"), "--out", str(lived), "--quiet"])
    assert resumed.exit_code == 0, resumed.output  # the page is not in the way of going on


def test_the_windows_tell_in_and_out_of_sample_and_their_choice_can_be_run(lived: Path) -> None:
    result = backtest.load_sweep(lived)
    page = (lived / "report.html").read_text()
    windows = page[page.index('id="windows"') : page.index('id="failures"')]
    assert result.windows is not None and len(result.windows) == 2
    for value in [*result.windows["in_sample"], *result.windows["out_of_sample"]]:
        assert f"{value:,.2f}</td>" in windows
    row = result.points[result.points["part"] == "test"].iloc[0]
    told = tomllib.loads(filled(result.configs(), int(row.name)))
    assert backtest.run(told).stats["Total Return [%]"] == row["Total Return [%]"]


def test_a_folder_that_is_no_finished_sweep_is_told(lived: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no sweep there \(it has no sweep.json\)"):
        backtest.load_sweep(tmp_path / "nothing")
    journal = json.loads((lived / "sweep.json").read_text())
    (lived / "points.parquet").write_bytes(b"half a file")
    with pytest.raises(InputError, match=r"points.parquet: cannot be read"):
        backtest.load_sweep(lived)
    (lived / "sweep.json").write_text(json.dumps({**journal, "result": None}))
    with pytest.raises(InputError, match="was stopped before its end"):
        backtest.load_sweep(lived)


def test_by_is_of_a_sweep(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(tmp_path), "--by", "Sharpe"])
    assert done.exit_code == 2
    assert "is of a sweep" in done.output.replace("\n", " ")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda said: said.pop("name"), "sweep.json: cannot be understood (KeyError: 'name')"),
        (lambda said: said.update(trials="many"), "sweep.json: cannot be understood (ValueError: invalid literal"),
        (lambda said: said.update(config=5), "sweep.json: cannot be understood (TypeError:"),
        (lambda said: said["config"].pop("data"), "sweep.json: cannot be understood (config: data: is missing"),
    ],
)
def test_a_sweeps_journal_that_lacks_something_is_refused(
    lived: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    said = json.loads((lived / "sweep.json").read_text())
    change(said)
    (lived / "sweep.json").write_text(json.dumps(said))
    with pytest.raises(InputError) as refused:
        backtest.load_sweep(lived)
    assert words in str(refused.value) and "sweep again" in str(refused.value)


def test_points_of_another_sweep_are_refused(lived: Path) -> None:
    path = lived / "points.parquet"
    pd.read_parquet(path).assign(point=7).to_parquet(path)
    with pytest.raises(InputError, match=r"points\.parquet: has a point 7 of 2, from 0"):
        backtest.load_sweep(lived)
