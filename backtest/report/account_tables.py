"""The tables of one account: its statistics, the days it lost most on, and every step of every liquidation."""

from __future__ import annotations

from typing import Any

import pandas as pd

from backtest.report.html import words
from backtest.report.months import worst_days
from backtest.report.subject import LOST, Subject
from backtest.report.tables import cards, rows_of

STEPS = ("time", "wallet", "rung", "symbol", "side", "ratio", "collateral", "maintenance", "contracts", "price",
         "amount_usd", "note")  # fmt: skip
BEFORE = pd.Timedelta(days=1)
"""Incidents so long before a liquidation belong to its story."""


def figures_section(subject: Subject, suffix: str = "") -> str:
    """All statistics."""
    return f'<h2 id="figures{suffix}">Figures</h2>{cards(subject.result.figures[[subject.name]])}'


def days_section(subject: Subject, suffix: str = "") -> str:
    """The worst days, and what made them so."""
    table = worst_days(subject.rows, subject.parts)
    return (
        f'<h2 id="days{suffix}">Worst days</h2><p class="quiet small">Change of equity in USD, without what was paid '
        f"in or out, by its parts; 00:00 to 00:00 UTC.</p>{rows_of(table, told=_day_words)}"
    )


def _day_words(column: str, value: Any) -> str:
    if column == "day":
        return f"{value:%Y-%m-%d}"
    return words(value if "ratio" in column else round(float(value), 2))


def liquidations_section(subject: Subject, suffix: str = "") -> str:
    """Every forced step with the numbers it saw, and what the venue did in the day before."""
    told, others = liquidation_story(subject), other_incidents(subject)
    head = f'<h2 id="liquidations{suffix}">Liquidations, step by step</h2>'
    if told.empty:
        head += '<p class="quiet">The venue took nothing.</p>'
    else:
        head += rows_of(told, told=_step_words, tall=True, wide=("note",))
    if len(others):
        head += (
            f"<details><summary>Other incidents ({len(others)})</summary>"
            f"{rows_of(others, told=_step_words, tall=True, wide=('note',))}</details>"
        )
    return head


def _step_words(column: str, value: Any) -> str:
    if column == "ratio" and isinstance(value, float):
        return f"{value:.4g}" if pd.notna(value) else "–"
    if column in ("contracts", "price") and isinstance(value, float):
        return f"{value:,.8g}" if value else ""
    if column == "amount_usd" and not value:
        return ""
    return words(value)


def liquidation_story(subject: Subject) -> pd.DataFrame:
    """Incidents of the day before each forced step and of its own bar, in their order; columns that say something."""
    rows = subject.incidents
    if rows.empty or subject.forced.empty:
        return rows.iloc[:0]
    near = pd.Series(False, index=rows.index)
    for time in subject.forced["time"].unique():
        near |= (rows["time"] > time - BEFORE) & (rows["time"] <= time)
    return _told(rows[near])


def other_incidents(subject: Subject) -> pd.DataFrame:
    """What belongs to no liquidation: warnings, top-ups, refills, exchanges."""
    rows = subject.incidents
    if rows.empty:
        return rows
    return _told(rows[~rows["rung"].isin(LOST) & ~rows.index.isin(liquidation_story(subject).index)])


def _told(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns of an incident that are filled anywhere."""
    kept = [name for name in STEPS if name in rows and _filled(rows[name])]
    return rows[kept]


def _filled(column: pd.Series) -> bool:
    return bool((column.notna() & (column != "") & (column != 0.0)).any())
