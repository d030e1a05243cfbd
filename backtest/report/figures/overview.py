"""All accounts of a run, or all modes of a comparison, over one another: equity, and margin ratios on one log axis."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from backtest.report.figures.equity import forced_words, times_of
from backtest.report.figures.panel import Panel, level_line, line, marks
from backtest.report.figures.ratio import level_words, log_axis, on_log
from backtest.report.ink import mode_ink
from backtest.report.statistics import forced_moments
from backtest.report.subject import Floats, Subject
from backtest.report.thin import kept


def equities_panel(subjects: Mapping[str, Subject]) -> Panel:
    """Equity of each, in its own colour everywhere; a cross where the venue took something."""
    traces = []
    for number, (label, subject) in enumerate(subjects.items()):
        equity, ink = subject.column("equity"), mode_ink(label, number)
        at = kept([equity], subject.moments)
        width = 2.8 - 1.6 * number / max(1, len(subjects) - 1)
        traces.append(line(label, ink, subject.times[at], equity[at], width=width, legendgroup=label))
        traces += _taken(subject, label, ink, equity)
    return Panel(
        "equities", "Equity", "Lines that run together show by their width; a cross is a liquidation.", traces,
        {"title": {"text": "USD"}, "tickformat": "~s"}, height=300,
    )  # fmt: skip


def ratios_panel(subjects: Mapping[str, Subject]) -> Panel:
    """The lowest margin ratio of every bar of each, and the levels at which their venues liquidate."""
    traces, drawn, levels = [], [], dict[float, str]()
    for number, (label, subject) in enumerate(subjects.items()):
        real, ink = subject.column("worst_ratio"), mode_ink(label, number)
        ratios = on_log(real)
        at = kept([ratios, np.where(np.isfinite(real), real, np.nan)], subject.moments)
        width = 2.4 - 1.2 * number / max(1, len(subjects) - 1)
        traces.append(
            line(
                label, ink, subject.times[at], ratios[at], "", 3, width=width, legendgroup=label, showlegend=False,
                customdata=real[at], hovertemplate=f"{label}: %{{customdata:,.4~g}}<extra></extra>",
            )
        )  # fmt: skip
        traces += _taken(subject, label, ink, ratios)
        drawn.append(ratios)
        for ratio, action in subject.record.levels_of(subject.account):
            if action == "liquidate":
                levels[ratio] = level_words(ratio, action)
    return Panel(
        "ratios", "Margin ratio", "Lowest inside each bar, of the worst wallet; a gap is a bar on which nothing was "
        "required.", traces, log_axis(drawn, list(levels)), [level_line(r, w, True) for r, w in levels.items()],
        keeps=list(levels), height=300,
    )  # fmt: skip


def _taken(subject: Subject, label: str, ink: str, heights: Floats) -> list[object]:
    """Crosses on a line, without a key of their own."""
    taken = forced_moments(subject.record, subject.account)
    if taken.empty:
        return []
    words = [f"{label}: {forced_words(row)}" for _, row in taken.iterrows()]
    at = heights[subject.bars_of(taken["time"])]
    return [
        marks(
            f"{label} liquidation", ink, "x", times_of(taken), at, words, showlegend=False, key=False, legendgroup=label
        )
    ]
