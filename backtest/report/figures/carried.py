"""What holding earned and cost, added up on the way: funding by contract, and the basis between mark and index."""

from __future__ import annotations

import numpy as np

from backtest.report.figures.panel import Panel, line
from backtest.report.ink import INK, PART_INK, SERIES, faint
from backtest.report.months import LEAST_SHOWN
from backtest.report.record import Ints, summed
from backtest.report.subject import Floats, Subject
from backtest.report.thin import kept

MOST_SYMBOLS = 6


def carried_panels(subject: Subject) -> list[Panel]:
    """Both panels; none of what never came to anything."""
    panels = {"funding": funding_panel, "basis": basis_panel}
    return [panel(subject) for part, panel in panels.items() if subject.parts[part].abs().max() >= LEAST_SHOWN]


def funding_panel(subject: Subject) -> Panel:
    """Funding received (paid: below zero) to date, in all and, of several contracts, by contract."""
    total = subject.earned("funding")
    lines: dict[str, Floats] = {"Funding": total}
    own = funding_by_symbol(subject)
    if 1 < len(own) <= MOST_SYMBOLS:
        lines |= own
    at = kept(list(lines.values()), subject.moments)
    traces = [_line(subject, name, values, at, number) for number, (name, values) in enumerate(lines.items())]
    return Panel(
        "funding", "Cumulative funding", "Received so far; it falls where the account paid.", traces, _dollars(),
        height=180,
    )  # fmt: skip


def _line(subject: Subject, name: str, values: Floats, at: Ints, number: int) -> object:
    if number == 0:
        ink = PART_INK["funding"]
        return line(name, ink, subject.times[at], values[at], fill="tozeroy", fillcolor=faint(ink))
    return line(name, SERIES[(number + 2) % len(SERIES)], subject.times[at], values[at], width=1.0)


def funding_by_symbol(subject: Subject) -> dict[str, Floats]:
    """Funding to date [bar] by contract, USD at each bar's close index."""
    rows = subject.record.of("ledger", subject.account)
    rows = rows[rows["kind"] == "funding"]
    prices, at = subject.standing.prices, subject.bars_of(rows["time"])
    found: dict[str, Floats] = {}
    for symbol in rows["instrument"].unique():
        mine = (rows["instrument"] == symbol).to_numpy()
        assets = rows["asset"].to_numpy()[mine]
        usd = np.array([prices[a][bar] if a in prices else 1.0 for a, bar in zip(assets, at[mine], strict=True)])
        amounts = rows["amount"].to_numpy(dtype=np.float64)[mine] * usd
        found[str(symbol)] = np.cumsum(summed(at[mine], amounts, len(subject.times)))
    return found


def basis_panel(subject: Subject) -> Panel:
    """What the marks' moves against their index earned to date."""
    values = subject.earned("basis")
    at = kept([values], subject.moments)
    traces = [line("Basis", PART_INK["basis"], subject.times[at], values[at])]
    return Panel(
        "basis", "Cumulative basis", "What the marks' moves away from the index, and back to it, earned so far.",
        traces, {**_dollars(), "zeroline": True, "zerolinecolor": INK["other"]}, height=170,
    )  # fmt: skip


def _dollars() -> dict[str, object]:
    return {"title": {"text": "USD"}, "tickformat": "~s"}
