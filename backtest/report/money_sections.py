"""The sections of a page on money and on stress: parts of the profit, and what two moves at once would have done."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from backtest.report.figures.stress import stress_figure
from backtest.report.figures.waterfall import months_figure, months_of, waterfall_figure
from backtest.report.html import words
from backtest.report.page import Drawings
from backtest.report.stress import Stress, stress_of
from backtest.report.subject import Subject
from backtest.report.tables import rows_of


def money_section(drawings: Drawings, subject: Subject, group: str, suffix: str = "") -> str:
    """The waterfall of the whole run, and the same by month, drawn and as a table."""
    months = months_of(subject)
    table = months.assign(sum=months.sum(axis=1)).rename_axis("month").reset_index()
    table["month"] = [f"{month:%Y-%m}" for month in table["month"]]
    return "".join([
        f'<h2 id="money{suffix}">Where the money came from</h2><div class="two">',
        drawings.frame(
            f"{group}-waterfall", waterfall_figure(subject), "The whole run", "The parts sum to the change in equity, "
            "USD. Hatched, aside: equity that did not count as margin; a haircut is no loss.", 380, kind="plain",
        ),
        drawings.frame(
            f"{group}-months", months_figure(subject), "By month", "The same parts, each month's upon one another; the "
            "dash is their sum.", 380, kind="plain",
        ),
        "</div><details><summary>The months as a table</summary>", rows_of(table, tall=True, told=_month_words),
        "</details>",
    ])  # fmt: skip


def _month_words(column: str, value: Any) -> str:
    return str(value) if column == "month" else words(round(float(value), 2))


def stress_section(drawings: Drawings, subject: Subject, group: str, suffix: str = "") -> str:
    """The map, the slider that chooses its bar, and how far each coin alone would have to go."""
    stress = stress_of(subject)
    head = f'<h2 id="stress{suffix}">Stress: two moves at once</h2>'
    if not stress.maps:
        why = stress.left_out or "no bar required any margin"
        return f'{head}<p class="quiet">Nothing to be asked: {escape(why)}.</p>'
    name = f"{group}-stress"
    return f"<section>{head}{_slider(stress, name)}{_frame(drawings, stress, subject, name)}</section>"


def _frame(drawings: Drawings, stress: Stress, subject: Subject, name: str) -> str:
    says = (
        f"Margin ratio after a move of {stress.first} (rows) and of {stress.second} (columns) in one jump, nothing "
        f"traded: red is at or below the venue's level. {stress.fidelity}"
    )
    return drawings.frame(
        name, stress_figure(stress, subject.title), "Margin ratio after two moves", says, 470, kind="plain"
    )


def _slider(stress: Stress, name: str) -> str:
    said = json.dumps([{"label": each.label, "words": each.says} for each in stress.maps])
    first = stress.maps[stress.worst]
    return (
        f'<div class="slider"><label for="{name}-bar">Bar</label><input id="{name}-bar" type="range" min="0" '
        f'max="{len(stress.maps) - 1}" step="1" value="{stress.worst}" data-stress="{name}" data-said="{escape(said)}">'
        f"<output>{escape(first.label)}</output></div><p data-said>{escape(first.says)}</p>"
    )
