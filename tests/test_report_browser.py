"""The report in a real browser: it draws without complaint on a laptop and a phone, and does what its controls say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser import LAPTOP, PHONE, Browser, drawn, find_browser
from test_report_figures import sample

from backtest.research.compare import compare

ROOT = Path(__file__).resolve().parent.parent
MAP = "report.drawn.get('account0-stress').gd"
SEEN = f"{MAP}.data.findIndex((trace) => trace.visible === true)"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run that is liquidated."""
    find_browser()
    return sample("isolated", end="2023-07-01").report(tmp_path_factory.mktemp("page") / "report.html")


def xrange(browser: Browser, panel: str) -> list[Any]:
    """The span of time that a panel shows, milliseconds."""
    at = f"report.drawn.get('account0-{panel}').gd._fullLayout.xaxis"
    return list(browser.ask(f"{at}.range.map((end) => {at}.r2l(end))"))


@pytest.mark.parametrize("size", [LAPTOP, PHONE])
@pytest.mark.parametrize("dark", [False, True])
def test_every_figure_is_drawn_within_the_window_without_a_complaint_and_without_the_network(
    browser: Browser, page: Path, size: tuple[int, int], dark: bool
) -> None:
    drawn(browser, page, size, dark)
    figures = browser.ask("document.querySelectorAll('.plot').length")
    assert figures >= 10
    assert browser.ask("document.querySelectorAll('.plot .main-svg').length") >= figures
    assert browser.ask("document.querySelectorAll('.waiting').length") == 0
    assert browser.ask("document.documentElement.scrollWidth") <= size[0]
    wide = "[...document.querySelectorAll('.plot')].filter((place) => place.getBoundingClientRect().right > innerWidth)"
    assert browser.ask(f"{wide}.length") == 0
    assert browser.errors == []
    assert [each for each in browser.asked if not each.startswith(("file:", "data:", "blob:"))] == []


def test_moving_the_slider_shows_the_map_of_another_bar(browser: Browser, page: Path) -> None:
    drawn(browser, page)
    first, words = browser.ask(SEEN), browser.ask("document.querySelector('.slider output').textContent")
    told = browser.ask("document.querySelector('p[data-said]').textContent")
    slider = "document.querySelector('[data-stress]')"
    assert browser.ask(f"+{slider}.value") == first
    browser.ask(f"{slider}.value = {first} === 0 ? 1 : 0; {slider}.dispatchEvent(new Event('input'))")
    assert browser.ask(SEEN) == (1 if first == 0 else 0)
    assert browser.ask("document.querySelector('.slider output').textContent") != words
    assert browser.ask("document.querySelector('p[data-said]').textContent") != told
    assert browser.errors == []


def test_light_and_dark_follow_the_reader_and_the_button(browser: Browser, page: Path) -> None:
    drawn(browser, page, dark=True)
    ink = "report.drawn.get('account0-equity').gd._fullLayout.xaxis.gridcolor"
    paper = "getComputedStyle(document.body).backgroundColor"
    assert browser.ask("document.documentElement.dataset.theme") == "dark"
    before, sheet = browser.ask(ink), browser.ask(paper)
    browser.ask("document.getElementById('theme').click()")
    assert browser.ask("document.documentElement.dataset.theme") == "light"
    assert browser.ask(ink) != before
    assert browser.ask(paper) != sheet
    browser.ask("localStorage.removeItem('theme')")


def test_a_zoom_moves_every_panel_and_the_heights_follow_what_is_in_view(browser: Browser, page: Path) -> None:
    drawn(browser, page)
    heights = "report.drawn.get('account0-equity').gd._fullLayout.yaxis.range"
    whole = browser.ask(heights)
    buttons = "[...document.querySelectorAll('[data-zoom=account0]')]"
    browser.ask(f"{buttons}.find((each) => each.textContent === 'Worst bar').click()")
    spans = [xrange(browser, panel) for panel in ("equity", "ratio", "events", "utilization", "funding")]
    assert all(span == spans[0] for span in spans)
    assert spans[0][1] - spans[0][0] == 120 * 3_600_000  # sixty hourly bars on either side
    near = browser.ask(heights)
    assert near[1] - near[0] < whole[1] - whole[0]
    browser.ask(f"{buttons}[0].click()")
    assert browser.ask(heights) == whole


def test_a_zoom_with_the_mouse_in_one_panel_is_followed_by_the_others(browser: Browser, page: Path) -> None:
    drawn(browser, page)
    span = "{'xaxis.range[0]': '2023-03-01', 'xaxis.range[1]': '2023-03-11'}"
    browser.ask(f"Plotly.relayout(report.drawn.get('account0-ratio').gd, {span}).then(() => 1)")
    browser.until("report.drawn.get('account0-equity').gd._fullLayout.xaxis.range[0].startsWith('2023-03-01')")
    assert xrange(browser, "equity") == xrange(browser, "ratio")


def test_pointing_at_a_panel_tells_the_values_of_that_bar_in_all_of_them(browser: Browser, page: Path) -> None:
    drawn(browser, page)
    browser.ask("""(() => {
      const place = document.getElementById('account0-ratio'), box = place.getBoundingClientRect();
      const middle = {clientX: box.left + box.width / 2, clientY: box.top + 40, bubbles: true};
      place.dispatchEvent(new MouseEvent('mousemove', middle));
    })()""")
    told = "document.getElementById('account0-equity').closest('.panel').querySelector('output')"
    browser.until(f"{told}.textContent !== ''")
    value = float(browser.ask(f"{told}.textContent").replace(",", ""))
    assert 90_000 < value < 100_000  # dollars: the account was worth 94,015 at the start and 96,165 at the end of May
    assert "2023-0" in browser.ask("document.querySelector('[data-when]').textContent")


def test_a_line_is_hidden_and_shown_by_its_key(browser: Browser, page: Path) -> None:
    drawn(browser, page)
    key = "document.getElementById('account0-equity').closest('.panel').querySelector('.key')"
    seen = "report.drawn.get('account0-equity').gd.data[0].visible"
    browser.ask(f"{key}.click()")
    assert browser.ask(seen) is False
    browser.ask(f"{key}.click()")
    assert browser.ask(seen) is True


def test_the_page_of_a_comparison_is_drawn_without_a_complaint(browser: Browser, tmp_path: Path) -> None:
    page = compare(ROOT / "configs" / "hedged_long.toml", modes=["isolated", "portfolio"]).report(
        tmp_path / "page.html"
    )
    for size in (LAPTOP, PHONE):
        drawn(browser, page, size)
        assert browser.ask("document.querySelectorAll('.plot .main-svg').length") >= 4
        assert browser.ask("document.documentElement.scrollWidth") <= size[0]
        inks = (
            "report.drawn.get('modes-{}').gd.data.filter((t) => t.mode === 'lines').map((t) => t.name + t.line.color)"
        )
        assert browser.ask(inks.format("equities")) == browser.ask(inks.format("ratios"))
    assert browser.errors == []
