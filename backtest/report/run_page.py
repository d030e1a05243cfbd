"""The report of a run: the verdict first, then the way there, where the money came from, and what it all stands on."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from backtest.report.account_tables import days_section, figures_section, liquidations_section
from backtest.report.distance import distances
from backtest.report.figures.carried import carried_panels
from backtest.report.figures.distance import distance_panels
from backtest.report.figures.equity import equity_panel
from backtest.report.figures.events import events_panel
from backtest.report.figures.margins import margin_panels, position_panels, utilization_panel
from backtest.report.figures.overview import equities_panel, ratios_panel
from backtest.report.figures.panel import Panel
from backtest.report.figures.ratio import ratio_panel
from backtest.report.html import words
from backtest.report.journal import journal_sections
from backtest.report.money_sections import money_section, stress_section
from backtest.report.page import Drawings, head, menu, page, zooms
from backtest.report.subject import Subject
from backtest.report.verdict import Verdict, verdict_of

if TYPE_CHECKING:
    from backtest.report.result import Result

TILES = (
    ("Total Return [%]", " %", "return"), ("Max Drawdown [%]", " %", "largest drawdown"),
    ("Lowest Margin Ratio", "", "lowest margin ratio"), ("Return on Margin [%]", " %", "return on average margin"),
    ("Least Capital", "", "least capital"), ("Funding", "", "funding"), ("Worst Haircut", "", "worst haircut"),
    ("Liquidations", "", "liquidations"),
)  # fmt: skip
MONTH = np.timedelta64(30, "D")
AROUND = 60  # bars on either side of a moment that a button zooms to
SECTIONS = (
    ("way", "The way there"), ("money", "Where the money came from"), ("stress", "Stress"), ("figures", "Figures"),
    ("days", "Worst days"), ("liquidations", "Liquidations"), ("rules", "Rules"), ("stands-on", "What it stands on"),
)  # fmt: skip


def run_page(result: Result) -> str:
    """The whole page of a run, self-contained."""
    manifest, drawings = result.manifest, Drawings()
    subjects = [Subject(result, number) for number in range(len(result.record.account_names))]
    verdicts = [verdict_of(subject) for subject in subjects]
    top = [head(manifest["name"], _under(result)), "<main>", *_verdicts(subjects, verdicts)]
    blocks = [_account_block(drawings, subject, number) for number, subject in enumerate(subjects)]
    parts = [
        *top, _tiles(subjects[0]) if len(subjects) == 1 else "", "</main>", menu(SECTIONS), "<main>",
        *_together(drawings, subjects), *blocks, *journal_sections(manifest), "</main>",
    ]  # fmt: skip
    return page(manifest["name"], parts, drawings, _foot(result))


def _under(result: Result) -> str:
    """Accounts, span and strategy."""
    manifest = result.manifest
    config = manifest["config"]
    venues = [account["venue"] for account in config["account"]]
    accounts = ", ".join(
        f"{account['name']}: {venues[min(k, len(venues) - 1)]}, {account['mode']}"
        for k, account in enumerate(manifest["accounts"])
    )
    span = f"{config['data']['start'][:10]} to {config['data']['end'][:10]}, bars of {config['data']['interval']}"
    return f"{accounts} · {span} · {config['strategy']['class']}"


def _verdicts(subjects: list[Subject], verdicts: list[Verdict]) -> list[str]:
    """A sentence an account, its state beside it."""
    named = len(subjects) > 1
    return [
        f'<div class="verdict {told.state}"><span class="badge {told.state}">'
        f"{escape(f'{subject.name}: ' if named else '')}{told.state}</span><p>{escape(told.sentence)}</p></div>"
        for subject, told in zip(subjects, verdicts, strict=True)
    ]


def _tiles(subject: Subject) -> str:
    """The figures a reader asks for first."""
    figures = subject.result.figures[subject.name]
    tiles = [
        f'<div class="tile"><b>{escape(words(figures[label]))}{unit}</b><span>{escape(told)}</span></div>'
        for label, unit, told in TILES
        if label in figures.index
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _together(drawings: Drawings, subjects: list[Subject]) -> list[str]:
    """Several accounts over one another, and the choice of the one looked at below."""
    if len(subjects) < 2:
        return []
    by_name = {subject.name: subject for subject in subjects}
    span = span_of(subjects[0])
    options = "".join(
        f'<option value="{k}">{escape(s.name)} ({escape(s.mode)})</option>' for k, s in enumerate(subjects)
    )
    return [
        '<h2 id="accounts">All accounts</h2>', zooms("all", [("Whole run", None)]),
        *(drawings.panel("all", panel, span) for panel in (equities_panel(by_name), ratios_panel(by_name))),
        f'<p style="margin-top:26px"><label>Account <select data-accounts>{options}</select></label></p>',
    ]  # fmt: skip


def _account_block(drawings: Drawings, subject: Subject, number: int) -> str:
    """All sections of one account; of several the first is shown."""
    first = "" if number == 0 else f"-{number}"
    group = f"account{number}"
    parts = [
        f'<h2 id="way{first}">The way there</h2>', zooms(group, zoom_spans(subject)),
        *way_there(drawings, subject, group),
        money_section(drawings, subject, group, first), stress_section(drawings, subject, group, first),
        figures_section(subject, first), days_section(subject, first), liquidations_section(subject, first),
    ]  # fmt: skip
    hidden = " hidden" if number else ""
    return f'<div data-account="{number}"{hidden}>{"".join(parts)}</div>'


def way_there(drawings: Drawings, subject: Subject, group: str) -> list[str]:
    """The panels over time of one account, zoomed together."""
    span = span_of(subject)
    asked = distances(subject)
    margins, positions = margin_panels(subject), position_panels(subject, asked)
    stacks = [*(margins if len(margins) > 1 else []), *positions]
    panels: list[Panel | None] = [
        equity_panel(subject), events_panel(subject), ratio_panel(subject), *margins, *positions,
        utilization_panel(subject), *distance_panels(subject, asked), *carried_panels(subject),
    ]  # fmt: skip
    return [
        drawings.panel(group, panel, span, fit=panel.key != "events" and panel not in stacks)
        for panel in panels
        if panel is not None
    ]


def span_of(subject: Subject) -> tuple[float, float]:
    """First and last time of the run, milliseconds, with a little air."""
    first, last = (float(time.astype("datetime64[ms]").astype(np.float64)) for time in subject.times[[0, -1]])
    air = 0.01 * (last - first) or 3_600_000.0
    return first - air, last + air


def zoom_spans(subject: Subject) -> list[tuple[str, tuple[float, float] | None]]:
    """The whole run, the worst bar, and the first liquidation."""
    found: list[tuple[str, tuple[float, float] | None]] = [("Whole run", None)]
    if subject.worst_bar is not None:
        found.append(("Worst bar", _around(subject, subject.worst_bar)))
    if len(subject.forced):
        first = int(subject.bars_of(subject.forced["time"])[0])
        if first != subject.worst_bar:
            found.append(("First liquidation", _around(subject, first)))
    if subject.times[-1] - subject.times[0] > 2 * MONTH:
        first = int(np.searchsorted(subject.times, subject.times[-1] - MONTH))
        found.append(("Last 30 days", _between(subject, first, len(subject.times) - 1)))
    return found


def _around(subject: Subject, bar: int) -> tuple[float, float]:
    return _between(subject, bar - AROUND, bar + AROUND)


def _between(subject: Subject, first: int, last: int) -> tuple[float, float]:
    bars = subject.times[np.clip([first, last], 0, len(subject.times) - 1)]
    start, end = bars.astype("datetime64[ms]").astype(np.float64)
    return float(start), float(end)


def _foot(result: Result) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result.manifest["versions"].items())
    return escape(f"Made by collateral-backtest from the run's own frames: {versions}.")
