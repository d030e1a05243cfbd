"""A result's figures as plotly figures of their own, to be shown in a notebook or styled further."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from backtest.errors import InputError, nearest
from backtest.report.distance import distances
from backtest.report.figures.carried import carried_panels
from backtest.report.figures.distance import distance_panels
from backtest.report.figures.equity import equity_panel
from backtest.report.figures.events import events_panel
from backtest.report.figures.margins import margin_panels, position_panels, utilization_panel
from backtest.report.figures.overview import equities_panel, ratios_panel
from backtest.report.figures.panel import stacked
from backtest.report.figures.ratio import ratio_panel
from backtest.report.figures.stress import stress_figure
from backtest.report.figures.waterfall import months_figure, waterfall_figure
from backtest.report.stress import stress_of
from backtest.report.subject import Subject

if TYPE_CHECKING:
    from backtest.report.result import Result


def overview(result: Result) -> go.Figure:
    """Equity and margin ratio: of one account with all of the venue's levels, of several over one another."""
    subjects = {name: Subject(result, name) for name in result.record.account_names}
    if len(subjects) > 1:
        return stacked([equities_panel(subjects), ratios_panel(subjects)], result.name)
    (subject,) = subjects.values()
    panels = [equity_panel(subject), events_panel(subject), ratio_panel(subject)]
    return stacked([panel for panel in panels if panel is not None], subject.title)


def modes_over(runs: Mapping[str, Result], title: str) -> go.Figure:
    """The first accounts of several runs over one another."""
    subjects = {mode: Subject(run) for mode, run in runs.items()}
    return stacked([equities_panel(subjects), ratios_panel(subjects)], title)


def margin(result: Result, account: int | str = 0) -> go.Figure:
    """Everything about one account's margin over one time axis."""
    subject = Subject(result, account)
    asked = distances(subject)
    panels = [
        ratio_panel(subject), *margin_panels(subject), *position_panels(subject, asked), utilization_panel(subject),
        *distance_panels(subject, asked),
    ]  # fmt: skip
    return stacked(panels, subject.title).update_layout(margin_t=116)  # its legend takes two rows under the title


def waterfall(result: Result, account: int | str = 0, by: str | None = None) -> go.Figure:
    """The parts of one account's profit, of the whole run or (`by="month"`) of each month. InputError for another."""
    if by not in (None, "month"):
        raise InputError(f"by = {by!r}: {nearest(str(by), ['month'])}; leave it out for the whole run")
    return waterfall_figure(Subject(result, account)) if by is None else months_figure(Subject(result, account))


def carry(result: Result, account: int | str = 0) -> go.Figure:
    """What one account's positions earned by being held. InputError where neither funding nor basis came to a cent."""
    subject = Subject(result, account)
    panels = carried_panels(subject)
    if not panels:
        raise InputError(f"{subject.title}: no funding was paid and no basis moved; there is nothing to draw")
    return stacked(panels, subject.title)


def stressed(result: Result, account: int | str = 0, at: str | None = None) -> go.Figure:
    """Margin ratios over two moves, at the bar that holds a time, or at some of the run's with a slider."""
    subject = Subject(result, account)
    bars = None if at is None else [(subject.standing.bar_of(at), "as asked")]
    return stress_figure(stress_of(subject, bars), subject.title)
