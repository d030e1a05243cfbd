"""What happened and when: fills, refusals, what the venue warned of, took or moved, each with its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from backtest.report.figures.equity import forced_words, times_of
from backtest.report.figures.panel import Panel, marks
from backtest.report.ink import INK
from backtest.report.subject import LOST, Subject

MOST_MARKS = 600  # of one kind: more are drawn as groups, and told as such
MOVED = ("top-up", "refill", "auto-exchange")
ROWS = ("fills", "refused", "calls", "moved", "forced")
APART = 0.16  # of a row, buys above and sells below


def events_panel(subject: Subject) -> Panel | None:
    """A row a kind of event; None where nothing ever happened."""
    found = [
        ("fills", "Buy", INK["buy"], "triangle-up", grouped(fills_of(subject, 1))),
        ("fills", "Sell", INK["sell"], "triangle-down", grouped(fills_of(subject, -1))),
        ("refused", "Refused or cut", INK["other"], "circle-open", grouped(refusals_of(subject))),
        ("calls", "Margin call", INK["call"], "diamond", grouped(incidents_of(subject, "calls"))),
        ("moved", "Top-up, refill, exchange", INK["moved"], "square", grouped(incidents_of(subject, "moved"))),
        ("forced", "Forced step", INK["level"], "x", grouped(incidents_of(subject, "forced"))),
    ]  # fmt: skip
    found = [each for each in found if len(each[4])]
    if not found:
        return None
    rows = [row for row in ROWS if any(each[0] == row for each in found)]
    height = {row: float(len(rows) - k) for k, row in enumerate(rows)}
    aside = {"Buy": APART, "Sell": -APART}
    traces: list[Any] = [
        marks(
            name,
            ink,
            symbol,
            times_of(told),
            np.full(len(told), height[row] + aside.get(name, 0.0)),
            told["words"].tolist(),
            size=7 if row == "refused" else 9,
        )
        for row, name, ink, symbol, told in found
    ]
    axis = {
        "tickvals": list(height.values()), "ticktext": list(height), "range": [0.4, len(rows) + 0.6],
        "showgrid": True,
    }  # fmt: skip
    return Panel(
        "events", "What happened", "Point at a mark, or touch it, for its numbers.", traces, axis,
        height=70 + 28 * len(rows),
    )  # fmt: skip


def fills_of(subject: Subject, sign: int) -> pd.DataFrame:
    """Buys (1) or sells (-1): time and words."""
    rows = subject.fills
    mine = rows[np.sign(rows["contracts"].astype(float)) == sign] if len(rows) else rows
    return _told(mine, [_fill_words(row) for row in mine.to_dict("records")])


def _fill_words(row: dict[Any, Any]) -> str:
    side = "Buy" if row["contracts"] > 0 else "Sell"
    cause = "" if row["cause"] == "order" else f" ({row['cause']})"
    numbers = (
        f"mark {row['mark']:,.8g}, {row['notional_usd']:,.0f} USD, fee {row['fee']:,.6g} {row['fee_asset']}, "
        f"realised {row['realised']:,.6g} {row['settle']}"
    )
    what = f"{side} {abs(row['contracts']):,.8g} {row['symbol']} at {row['price']:,.8g}{cause}"
    return f"{row['time']:%Y-%m-%d %H:%M}  {what}<br>{numbers}"


def refusals_of(subject: Subject) -> pd.DataFrame:
    """Orders that were refused, cut or cancelled for a reason."""
    rows = subject.record.of("orders", subject.account)
    mine = rows[rows["reason"] != ""] if len(rows) else rows
    words = [
        f"{row['time']:%Y-%m-%d %H:%M}  {row['kind']} {row['contracts']:+,.8g} {row['symbol']}: {row['state']}, "
        f"{row['reason']}<br>filled {row['filled']:,.8g}"
        for row in mine.to_dict("records")
    ]
    return _told(mine, words)


def incidents_of(subject: Subject, kind: str) -> pd.DataFrame:
    """Incidents of a kind: what the venue took, what was moved, or anything else it did or warned of."""
    rows = subject.incidents
    if rows.empty:
        return _told(rows, [])
    lost, moved = rows["rung"].isin(LOST), rows["rung"].isin(MOVED)
    mine = rows[{"forced": lost, "moved": moved}.get(kind, ~lost & ~moved)]
    return _told(mine, [incident_words(row) for _, row in mine.iterrows()])


def incident_words(row: pd.Series) -> str:
    """An incident with the numbers it saw."""
    saw = [
        f"{name} {row[name]:,.0f} USD"
        for name in ("collateral", "maintenance", "amount_usd")
        if pd.notna(row.get(name)) and row[name]
    ]
    return forced_words(row) + ("<br>" + ", ".join(saw).replace("amount_usd", "amount") if saw else "")


def _told(rows: pd.DataFrame, words: list[str]) -> pd.DataFrame:
    times = pd.DatetimeIndex(rows["time"] if len(rows) else [], tz="UTC")
    return pd.DataFrame({"time": times, "words": words})


def grouped(told: pd.DataFrame, most: int = MOST_MARKS) -> pd.DataFrame:
    """At most `most` marks: neighbours in time become one, which says how many it stands for and the first of them."""
    if len(told) <= most:
        return told
    group = np.arange(len(told)) * most // len(told)
    first = np.flatnonzero(np.diff(group, prepend=-1))
    many = np.diff(np.append(first, len(told)))
    rows = told.iloc[first].copy()
    rows["words"] = [
        f"{n} here, the first:<br>{words}" if n > 1 else words for n, words in zip(many, rows["words"], strict=True)
    ]
    return rows
