"""What the account is worth, and what of it the venue counts: the gap between the two lines is the haircut."""

from __future__ import annotations

import pandas as pd

from backtest.report.figures.panel import Panel, line, marks
from backtest.report.ink import INK, faint
from backtest.report.statistics import forced_moments
from backtest.report.subject import Subject
from backtest.report.thin import kept


def equity_panel(subject: Subject) -> Panel:
    """Equity and collateral equity, with a cross where the venue took something."""
    equity, counted = subject.column("equity"), subject.column("collateral_equity")
    at = kept([equity, counted, equity - counted], subject.moments)
    traces = [
        line("Equity", INK["equity"], subject.times[at], equity[at]),
        line(
            "Collateral equity", INK["collateral"], subject.times[at], counted[at], fill="tonexty",
            fillcolor=faint(INK["collateral"]), customdata=(equity - counted)[at],
            hovertemplate="Collateral equity: %{y:,.0f} USD (haircut %{customdata:,.0f})<extra></extra>",
        ),
    ]  # fmt: skip
    taken = forced_moments(subject.record, subject.account)
    if len(taken):
        words = [forced_words(row) for _, row in taken.iterrows()]
        heights = equity[subject.bars_of(taken["time"])]
        traces.append(marks("Liquidation", INK["level"], "x", times_of(taken), heights, words))
    return Panel(
        "equity", "Equity", "What the account is worth, and what of it the venue counts as margin; the shaded gap is "
        "the haircut.", traces, {"title": {"text": "USD"}, "tickformat": "~s"}, height=260,
    )  # fmt: skip


def times_of(rows: pd.DataFrame) -> object:
    """Times of a frame's rows, naive UTC."""
    return pd.DatetimeIndex(rows["time"]).tz_localize(None).to_numpy()


def forced_words(row: pd.Series) -> str:
    """One forced step in words and numbers."""
    words = f"{row['rung']} {row.get('symbol') or ''}".strip()
    numbers = [f"{row['time']:%Y-%m-%d %H:%M}"]
    if pd.notna(row.get("ratio")):
        numbers.append(f"ratio {row['ratio']:.3g}")
    if row.get("contracts"):
        numbers.append(f"{row['contracts']:+,.6g} at {row['price']:,.6g}")
    return f"{words}: " + ", ".join([*numbers, f"wallet {row['wallet']}"])
