"""The run as a still picture for its folder, or for a page of text: the same panels give the same bytes."""

from __future__ import annotations

from pathlib import Path

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from backtest.report.ink import GRID, INK
from backtest.report.panels import TICKS, Panels

SIZE, DPI = (11.0, 6.6), 100  # inches, points an inch
SMALL = 9  # points of letters beside the drawing
DATES = ["%Y", "%b %Y", "%d %b", "%d %b %H:%M", "%H:%M", "%H:%M:%S"]  # by what the ticks count, years to seconds


def write_picture(what: Panels, path: Path) -> None:
    """The panels as a PNG, whatever the reader's own drawing style is."""
    with matplotlib.style.context("default"):
        figure = Figure(figsize=SIZE, dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        above, below = figure.subplots(2, sharex=True, height_ratios=[0.58, 0.42])
        figure.subplots_adjust(left=0.08, right=0.88, top=0.885, bottom=0.06, hspace=0.07)
        figure.text(0.08, 0.965, what.title, fontsize=13, va="center")
        _money(above, what)
        _ratios(below, what)
        figure.legend(
            handles=_legend(what), loc="center left", bbox_to_anchor=(0.072, 0.918), ncols=7, frameon=False,
            fontsize=SMALL, handlelength=1.5, columnspacing=1.4, borderaxespad=0,
        )  # fmt: skip
        figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})


def _money(axes: Axes, what: Panels) -> None:
    """Equity lines, and a cross where the venue took something."""
    for line in what.money:
        axes.plot(line.times, line.values, color=line.ink, linewidth=line.width)
    for marks in what.crosses:
        axes.plot(marks.times, marks.values, "X", color=marks.ink, markersize=9, markeredgecolor="white", zorder=5)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    _quiet(axes, "USD")


def _ratios(axes: Axes, what: Panels) -> None:
    """Ratio lines on a logarithmic scale, and the venue's levels with their words beside them."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(FixedLocator(list(TICKS)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda tick, _: TICKS[tick])
    for line in what.ratios:
        axes.plot(line.times, line.values, color=line.ink, linewidth=line.width)
    for level, height in zip(what.levels, what.label_heights(0.07), strict=True):
        axes.axhline(level.ratio, color=level.ink, linewidth=1, linestyle="-" if level.liquidates else ":")
        axes.annotate(
            level.words, (1.0, height), xycoords=("axes fraction", "data"), xytext=(5, 0), textcoords="offset points",
            color=level.ink, fontsize=SMALL, va="center", annotation_clip=False,
        )  # fmt: skip
    axes.set_ylim(what.ratio_range)
    _quiet(axes, "margin ratio")
    dates = AutoDateLocator(maxticks=10)
    axes.xaxis.set_major_locator(dates)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(dates, formats=DATES, zero_formats=DATES, show_offset=False))


def _quiet(axes: Axes, label: str) -> None:
    """A panel without box, its grid behind the lines."""
    axes.set_ylabel(label, fontsize=SMALL)
    axes.tick_params(labelsize=SMALL, length=0)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.margins(x=0.0)


def _legend(what: Panels) -> list[Line2D]:
    """Every label once, and what a cross means."""
    lines = {line.label: line.ink for line in (*what.money, *what.ratios)}
    handles = [Line2D([], [], color=ink, linewidth=2, label=label) for label, ink in lines.items()]
    if what.crosses:
        ink = INK["other"] if what.crosses[0].label else what.crosses[0].ink
        handles.append(Line2D([], [], color=ink, marker="X", linestyle="", label="Liquidation"))
    return handles
