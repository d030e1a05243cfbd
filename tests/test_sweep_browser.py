"""The page of a sweep in a real browser: drawn without complaint; what is pressed shows the right numbers."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import LAPTOP, PHONE, Browser, drawn, find_browser
from sweep_found import BAND, MARGIN, config, figures, found, many, six

from backtest.config import load_config
from backtest.report.html import words
from backtest.research.points import Base

CELLS = "report.drawn.get('cells').gd"
LINES = "report.drawn.get('lines-of-points').gd"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six points: the best is point 1, one failed."""
    find_browser()
    return six().report(tmp_path_factory.mktemp("page") / "report.html")


def opened(browser: Browser, page: Path, size: tuple[int, int] = LAPTOP, dark: bool = False) -> Browser:
    """The page, all of it drawn."""
    return drawn(browser, page, size, dark, once="window.report?.sweep")


def choose(browser: Browser, what: str, option: str) -> None:
    """An option of a drop-down, by its words."""
    picker = f"document.querySelector('[data-choose={what}]')"
    found_ = f"[...{picker}.options].find((each) => each.text === {json.dumps(option)}).value"
    browser.ask(f"{picker}.value = {found_}; {picker}.dispatchEvent(new Event('change'))")


def cells(browser: Browser) -> list[list[float | None]]:
    return list(browser.ask(f"{CELLS}.data[0].z"))


def which(browser: Browser) -> str:
    return str(browser.ask("document.querySelector('[data-which]').textContent"))


def figure(browser: Browser, label: str) -> str:
    """A figure of the point that is shown."""
    rows = "[...document.querySelectorAll('[data-figures] tr')]"
    return str(
        browser.ask(f"{rows}.find((row) => row.cells[0].textContent === {json.dumps(label)}).cells[1].textContent")
    )


def shown_config(browser: Browser) -> dict[str, Any]:
    """The config that is shown, as it would be run."""
    text = browser.ask("document.querySelector('[data-config]').textContent")
    return load_config(tomllib.loads(text)).resolved()


@pytest.mark.parametrize("size", [LAPTOP, PHONE])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_is_drawn_within_the_window_without_a_complaint_and_without_the_network(
    browser: Browser, page: Path, size: tuple[int, int], dark: bool
) -> None:
    opened(browser, page, size, dark)
    assert browser.ask("document.querySelectorAll('.plot .main-svg').length") >= 2
    assert browser.ask("document.querySelectorAll('.waiting').length") == 0
    assert browser.ask("document.documentElement.scrollWidth") <= size[0]
    assert browser.errors == []
    assert [each for each in browser.asked if not each.startswith(("file:", "data:", "blob:"))] == []


def test_the_best_point_is_shown_first_with_its_figures_and_the_config_to_run_it_again(
    browser: Browser, page: Path
) -> None:
    opened(browser, page)
    assert which(browser) == "Point 1"
    assert (figure(browser, "Sharpe"), figure(browser, "Least Capital")) == ("3.00", "12,346")
    point = {BAND: 0.02, MARGIN: "portfolio"}
    assert shown_config(browser) == Base(load_config(config({"grid": {BAND: [0.02]}}))).at(point).resolved()


def test_a_press_on_a_cell_shows_its_point_and_config(browser: Browser, page: Path) -> None:
    opened(browser, page)
    box = browser.ask(f"""(() => {{
      const gd = {CELLS}, {{ xaxis, yaxis }} = gd._fullLayout, at = gd.getBoundingClientRect();
      gd.scrollIntoView({{block: "center", behavior: "instant"}});
      const now = gd.getBoundingClientRect();
      return [now.left + xaxis._offset + xaxis.d2p(1), now.top + yaxis._offset + yaxis.d2p(0)];
    }})()""")
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)
    browser.until("document.querySelector('[data-which]').textContent === 'Point 2'")
    told = shown_config(browser)
    assert (told["strategy"]["params"]["band"], told["account"][0]["margin"]) == (0.05, "multi_asset")
    assert (figure(browser, "Sharpe"), figure(browser, "Total Return [%]")) == ("2.00", "10")
    assert browser.errors == []


def test_the_drop_downs_change_the_map(browser: Browser, page: Path) -> None:
    opened(browser, page)
    assert cells(browser) == [[1.0, 2.0, None], [3.0, -1.0, 0.5]]
    choose(browser, "statistic", "Max Drawdown [%]")
    assert cells(browser) == [[20.0, 10.0, None], [30.0, 60.0, 5.0]]
    choose(browser, "x", "margin")
    choose(browser, "y", "band")
    assert cells(browser) == [[20.0, 30.0], [10.0, 60.0], [None, 5.0]]
    choose(browser, "y", "nothing")
    assert cells(browser) == [[15.0, pytest.approx(95 / 3)]]  # (20 + 10) / 2 and (30 + 60 + 5) / 3
    assert browser.ask(f"{CELLS}.data[0].text[0][0]") == "15.00"
    assert browser.errors == []


def test_points_of_one_cell_are_turned_over_the_best_first(browser: Browser, page: Path) -> None:
    opened(browser, page)
    choose(browser, "y", "nothing")
    browser.ask(f"{CELLS}.emit('plotly_click', {{points: [{{x: 1, y: 0}}]}})")
    assert which(browser) == "Point 2"  # a Sharpe of 2 before one of -1
    assert "1 of the 2 in this cell" in browser.ask("document.querySelector('[data-of]').textContent")
    browser.ask("document.querySelector('[data-turn=\"1\"]').click()")
    assert which(browser) == "Point 3"
    assert figure(browser, "Survived") == "no: 2024-06-03 04:00"


def keep(browser: Browser, bands: str, sharpes: str) -> None:
    """Choose along the first axis of the lines and the third, as a reader does by dragging."""
    change = f"{{'dimensions[0].constraintrange': {bands}, 'dimensions[2].constraintrange': {sharpes}}}"
    browser.ask(f"Plotly.restyle({LINES}, {change}).then(() => 1)")


def test_what_is_kept_along_an_axis_is_what_the_map_shows(browser: Browser, page: Path) -> None:
    opened(browser, page)
    keep(browser, "[[0.01, 0.06]]", "[[0, 5]]")
    browser.until("document.querySelector('[data-count]').textContent === '3 of 6 rows kept'")
    # bands of 2 and 5 % with a Sharpe of at least 0
    assert cells(browser) == [[1.0, 2.0, None], [3.0, None, None]]
    keep(browser, "[null]", "[null]")
    browser.until("document.querySelector('[data-count]').textContent === ''")
    assert cells(browser) == [[1.0, 2.0, None], [3.0, -1.0, 0.5]]


def test_a_press_on_a_line_shows_its_point(browser: Browser, page: Path) -> None:
    opened(browser, page)
    box = browser.ask(f"""(() => {{
      {LINES}.scrollIntoView({{block: "center", behavior: "instant"}});
      const axes = [...{LINES}.querySelectorAll(".y-axis path.domain")].map((each) => each.getBoundingClientRect());
      return axes.slice(0, 2).map((box) => [box.left, box.top, box.bottom]);
    }})()""")
    (left, top, bottom), (right, *_) = box
    # point 2, a quarter of the way from its band of 5 % (of 2 to 10) down to multi_asset, the lowest
    height = bottom - (bottom - top) * (0.05 - 0.02) / (0.1 - 0.02) * 0.75
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        at = {"x": left + (right - left) / 4, "y": height, "button": "left", "clickCount": 1}
        browser.call("Input.dispatchMouseEvent", type=kind, **at)
    browser.until("document.querySelector('[data-which]').textContent === 'Point 2'")
    assert shown_config(browser)["strategy"]["params"]["band"] == 0.05


def test_a_row_of_a_table_shows_its_point_and_one_that_failed_its_error(browser: Browser, page: Path) -> None:
    opened(browser, page)
    browser.ask("document.querySelector('tr[data-row=\"3\"]').click()")
    assert which(browser) == "Point 3"
    assert "chosen" in browser.ask("document.querySelector('tr[data-row=\"3\"]').className")
    browser.ask(
        "document.querySelector('tr[data-row=\"4\"]').dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter'}))"
    )
    assert which(browser) == "Point 4"
    assert "ZeroDivisionError" in browser.ask("document.querySelector('[data-error]').textContent")
    assert shown_config(browser)["account"][0]["margin"] == "multi_asset"


def test_the_copy_button_copies_the_config(browser: Browser, page: Path) -> None:
    opened(browser, page)
    browser.ask("window.told = null; navigator.clipboard.writeText = async (text) => { window.told = text; }")
    browser.ask("document.querySelector('[data-copy]').click()")
    browser.until("document.querySelector('[data-copy]').textContent === 'Copied'")
    assert browser.ask("window.told === document.querySelector('[data-config]').textContent")


def test_figures_are_told_as_everywhere_else(browser: Browser, page: Path) -> None:
    opened(browser, page)
    values = [0.0, 0.125, 1.005, -0.00874, 0.00123, 1.5e-7, 12_345.67, 999.999, -1234.5, 0.01, 2.5, 4.24e45, -1e12]
    told = browser.ask(f"{json.dumps(values)}.map((value) => report.sweep.words(value))")
    assert told == [words(value) for value in values]
    assert browser.ask("[NaN, Infinity, -Infinity].map((value) => report.sweep.words(value))") == ["–", "∞", "−∞"]


def test_what_a_setting_says_is_shown_as_text(browser: Browser, tmp_path: Path) -> None:
    evil = "<img src=x onerror=window.hit=1>"
    result = found([{**figures(1.0, 2.0, 3.0), "Note": evil}, evil], {"list": [{MARGIN: evil}, {MARGIN: "cross"}]})
    opened(browser, result.report(tmp_path / "evil.html"))
    browser.ask("document.querySelector('tr[data-row=\"1\"]').click()")
    assert browser.ask("document.querySelector('[data-error]').textContent") == f"failed: {evil}"
    browser.ask("document.querySelector('tr[data-row=\"0\"]').click()")
    assert evil in browser.ask("document.querySelector('[data-config]').textContent")
    assert browser.ask("window.hit") is None
    assert browser.ask("document.querySelectorAll('img').length") == 0


@pytest.mark.slow
def test_ten_thousand_points_are_drawn_and_thinned(browser: Browser, tmp_path: Path) -> None:
    result = many(10_000, statistics=10)
    opened(browser, result.report(tmp_path / "many.html"))
    assert browser.ask(f"{LINES}.data[0].customdata.length") == 2_000
    held = np.array(cells(browser), dtype=float)
    drawn = result.plot_heatmap(*result.settings).data[0].z
    np.testing.assert_allclose(held, np.asarray(drawn), rtol=1e-12)
    assert which(browser) == f"Point {result.points['Sharpe'].idxmax()}"
    assert browser.errors == []
