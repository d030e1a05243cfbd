"""The mark of each contract that was held, with its extremes, against the price at which the account is liquidated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from backtest.report.columns import naive
from backtest.report.distance import distances
from backtest.report.figures.panel import Panel, line
from backtest.report.ink import INK, faint
from backtest.report.subject import Floats, Subject
from backtest.report.thin import kept

MOST_PANELS = 6
AROUND = 48  # bars of a mark before and after it was held
WORDS = {
    "alone": ("Liquidation, this mark alone", INK["level"], "solid"),
    "together": ("Liquidation, the coin and all its contracts together", INK["collateral"], "dot"),
}
FAR = 4.0  # times the mark, up or down: a price further off says no more than that it is far


def distance_panels(subject: Subject, asked: pd.DataFrame | None = None) -> list[Panel]:
    """A panel a perpetual, or a family of dated futures, that was ever held; nearest to liquidation first. `asked`: the
    subject's `distances`, where they are known already.
    """
    asked = distances(subject) if asked is None else asked
    if asked.empty:
        return []
    found = [
        (nearness(rows), _panel(subject, str(name), rows)) for name, rows in asked.groupby(names_of(asked), sort=False)
    ]
    return [panel for _, panel in sorted(found, key=lambda pair: pair[0])][:MOST_PANELS]


def names_of(asked: pd.DataFrame) -> pd.Series:
    """What each row's position is drawn as: its symbol or family, and its side where there are two."""
    return family_of(asked["symbol"]) + asked["side"].map(lambda side: f" {side}" if side else "")


def family_of(symbols: pd.Series) -> pd.Series:
    """Dated futures of one kind together: they are held one after the other."""
    return symbols.map(lambda symbol: f"{symbol.split('-')[0]}, dated" if "-" in symbol else symbol)


def nearness(rows: pd.DataFrame) -> float:
    """The least distance of a mark from a liquidation price, as a logarithm; infinite where there is none."""
    apart = np.abs(np.log(rows[["alone", "together"]].astype(float).div(rows["mark"].astype(float), axis=0)))
    return float(np.nanmin(apart.to_numpy(), initial=np.inf))


def _panel(subject: Subject, name: str, rows: pd.DataFrame) -> Panel:
    bands: list[Any] = []
    lines: list[Any] = []
    for number, (symbol, mine) in enumerate(rows.groupby("symbol", sort=False)):
        drawn = _mark(subject, str(symbol), mine, first=number == 0)
        bands += drawn[:-1]
        lines += [drawn[-1], *_prices(mine, [each.name for each in lines])]
    return Panel(
        f"distance {name}".replace(",", ""), f"{name}: mark and liquidation price", says(rows), [*bands, *lines],
        {"title": {"text": "price"}}, height=210,
    )  # fmt: skip


def _mark(subject: Subject, symbol: str, rows: pd.DataFrame, first: bool) -> list[Any]:
    """Low and high as a band, and the close, while the contract was held and a little before and after."""
    times, low, high, close = marks_of(subject, symbol)
    held = np.searchsorted(times, naive(rows["time"])[[0, -1]])
    start, end = max(0, held[0] - AROUND), min(len(times), held[1] + AROUND)
    times, low, high, close = times[start:end], low[start:end], high[start:end], close[start:end]
    at = kept([low, high, close], [bar - start for bar in subject.moments if start <= bar < end])
    quiet: dict[str, Any] = {"width": 0, "showlegend": False, "key": False, "hoverinfo": "skip", "hovertemplate": None}
    ink, places = INK["mark"], digits(close)
    return [
        line("Low", ink, times[at], low[at], "", 6, **quiet),
        line("Low to high", ink, times[at], high[at], "", 6, fill="tonexty", fillcolor=faint(ink, 0.3), **quiet),
        line("Mark", ink, times[at], close[at], "", places, width=1.2, legendgroup="Mark", showlegend=first),
    ]


def _prices(rows: pd.DataFrame, named: list[str]) -> list[Any]:
    """Both liquidation prices where they are near enough to be drawn, a point where they were asked for. Between a
    position that was closed and the next one there is none.
    """
    traces, marks = [], rows["mark"].to_numpy(float)
    again = np.flatnonzero(np.diff(rows["since"].to_numpy(np.int64))) + 1
    times = np.insert(naive(rows["time"]), again, naive(rows["time"])[again])
    for column, (words, ink, dash) in WORDS.items():
        prices = within_reach(rows[column].to_numpy(float), marks)
        if np.isfinite(prices).any():
            drawn = line(
                words, ink, times, np.insert(prices, again, np.nan), "", digits(marks), dash=dash, width=1.6,
                legendgroup=words, showlegend=words not in named,
            )  # fmt: skip
            traces.append(drawn.update(mode="lines+markers", marker={"size": 3, "color": ink}))
    return traces


def marks_of(subject: Subject, symbol: str) -> tuple[Any, Floats, Floats, Floats]:
    """Times, and low, high and close of a symbol's mark by bar."""
    prices = subject.result.prices
    mine = prices[prices["name"] == symbol]
    low, high, close = (mine[name].to_numpy(dtype=np.float64) for name in ("low", "high", "close"))
    return naive(mine["time"]), low, high, close


def within_reach(prices: Floats, marks: Floats) -> Floats:
    """Prices a drawing of the marks can hold; further ones are gaps."""
    with np.errstate(invalid="ignore"):
        return np.where((prices < FAR * marks) & (prices > marks / FAR), prices, np.nan)


def says(rows: pd.DataFrame) -> str:
    """How many bars were asked, and at how many of them there was a price near enough to be drawn."""
    marks = rows["mark"].to_numpy(float)
    drawn = [int(np.isfinite(within_reach(rows[c].to_numpy(float), marks)).sum()) for c in ("alone", "together")]
    if not any(drawn):
        return (
            f"At none of {len(rows)} bars asked would a price within {FAR:g} times the mark have liquidated the "
            "account, of this contract alone or of its coin."
        )
    return (
        f"Asked of the margin calculator at the {len(rows)} points; a price beyond {FAR:g} times the mark is not drawn."
        " The shaded band is each bar's low and high."
    )


def digits(prices: Floats) -> int:
    """Decimals that tell five digits of a price."""
    middle = float(np.nanmedian(np.abs(prices))) if len(prices) else 1.0
    return int(np.clip(4 - np.floor(np.log10(max(middle, 1e-8))), 0, 8))
