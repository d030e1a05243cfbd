"""The mark of each contract that was held, with its extremes, against the price at which the account is liquidated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from backtest.report.distance import distances
from backtest.report.figures.panel import Panel, line
from backtest.report.ink import INK, faint
from backtest.report.subject import Floats, Subject, naive
from backtest.report.thin import kept

MOST_PANELS = 6
FAR = 4.0  # times the mark, up or down: a price further off says no more than that it is far


def distance_panels(subject: Subject) -> list[Panel]:
    """A panel a position that was ever held, nearest to liquidation first; at most `MOST_PANELS`."""
    asked = distances(subject)
    found = []
    for (symbol, side), rows in asked.groupby(["symbol", "side"], sort=False):
        panel = _panel(subject, str(symbol), str(side), rows)
        found.append((nearness(rows), panel))
    return [panel for _, panel in sorted(found, key=lambda pair: pair[0])][:MOST_PANELS]


def nearness(rows: pd.DataFrame) -> float:
    """The least distance of a mark from a liquidation price, as a logarithm; infinite where there is none."""
    apart = np.abs(np.log(rows[["alone", "together"]].astype(float).div(rows["mark"].astype(float), axis=0)))
    return float(np.nanmin(apart.to_numpy(), initial=np.inf))


def _panel(subject: Subject, symbol: str, side: str, rows: pd.DataFrame) -> Panel:
    times, low, high, close = marks_of(subject, symbol)
    inside = (times >= naive(rows["time"])[0]) & (times <= naive(rows["time"])[-1])
    times, low, high, close = times[inside], low[inside], high[inside], close[inside]
    near = [bar - int(np.argmax(inside)) for bar in subject.moments if inside[bar]]
    at = kept([low, high, close], near)
    traces: list[Any] = [
        line(
            "Low", INK["mark"], times[at], low[at], "", 6, width=0, showlegend=False, key=False,
            hoverinfo="skip", hovertemplate=None,
        ),
        line(
            "Low to high", INK["mark"], times[at], high[at], "", 6, width=0, fill="tonexty", showlegend=False,
            key=False, fillcolor=faint(INK["mark"], 0.3), hoverinfo="skip", hovertemplate=None,
        ),
        line("Mark", INK["mark"], times[at], close[at], "", digits(close), width=1.2),
    ]  # fmt: skip
    for column, words, dash in (("alone", "Liquidation, this mark alone", "solid"), ("together", _WORDS, "dot")):
        prices = within_reach(rows[column].to_numpy(float), rows["mark"].to_numpy(float))
        if np.isfinite(prices).any():
            ink = INK["level"] if column == "alone" else INK["collateral"]
            traces.append(line(words, ink, naive(rows["time"]), prices, "", digits(close), dash=dash, width=1.6))
    name = f"{symbol} {side}".strip()
    return Panel(
        f"distance {name}", f"{name}: mark and liquidation price", says(rows), traces, {"title": {"text": "price"}},
        height=210,
    )  # fmt: skip


_WORDS = "Liquidation, the coin and all its contracts together"


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
        f"Asked of the margin calculator at {len(rows)} bars; a price beyond {FAR:g} times the mark is not drawn. The "
        "shaded band is each bar's low and high."
    )


def digits(prices: Floats) -> int:
    """Decimals that tell five digits of a price."""
    middle = float(np.nanmedian(np.abs(prices))) if len(prices) else 1.0
    return int(np.clip(4 - np.floor(np.log10(max(middle, 1e-8))), 0, 8))
