"""Tables of a page: frames and figures as HTML, numbers as a reader wants them, everything else escaped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from backtest.report.html import words

MOST_ROWS = 200
LONG = 24  # letters of a cell that keeps to one line
CARDS: dict[str, tuple[str, ...]] = {
    "Span": ("Start", "End", "Duration", "Margin Mode", "Numeraire", "Start Equity", "End Equity",
             "Deposits and Withdrawals"),
    "Return": ("Total Return [%]", "Annualised Return [%]", "Return of Holding the Deposit [%]", "Volatility [%]",
               "Sharpe", "Sortino", "Max Drawdown [%]", "Max Drawdown At", "Calmar"),
    "Payments": ("Funding", "Fees", "Interest", "Liquidation Cost"),
    "Events": ("Survived", "Fills", "Refusals", "Liquidations"),
    "Capital": ("Average Initial Margin", "Peak Initial Margin", "Least Capital", "Return on Least Capital [%]",
                "Return on Margin [%]", "Leverage Assumed"),
}  # fmt: skip
"""Which figures stand together; those of no card are about margin."""
MARGIN = "Margin"


def cards(figures: pd.DataFrame) -> str:
    """Figures in groups, one column an account."""
    named = {label for labels in CARDS.values() for label in labels}
    groups = {**CARDS, MARGIN: tuple(label for label in figures.index if label not in named)}
    found = []
    for title in ("Return", "Events", "Capital", MARGIN, "Payments", "Span"):
        mine = figures.loc[[label for label in groups[title] if label in figures.index]]
        if len(mine):
            found.append(f'<div class="card"><h3>{escape(title)}</h3>{labelled(mine)}</div>')
    return f'<div class="cards">{"".join(found)}</div>'


def labelled(figures: pd.DataFrame, best: Mapping[str, str] | None = None) -> str:
    """Labels down the side, a column an account or mode; `best`: by label the column that stands out."""
    head = "" if figures.shape[1] == 1 else _head(["", *map(str, figures.columns)], numbers=True)
    rows = []
    for label in figures.index:
        cells = [
            _cell(words(value), _kind(words(value), (best or {}).get(str(label)) == column))
            for column, value in zip(figures.columns, figures.loc[label].tolist(), strict=True)
        ]
        rows.append(f'<tr><th scope="row">{escape(str(label))}</th>{"".join(cells)}</tr>')
    return f'<div class="scroll"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'


def _kind(text: str, best: bool) -> str:
    """Numbers keep to one line, sentences may break."""
    return "n" + (" long" if len(text) > LONG else "") + (" best" if best else "")


def rows_of(
    frame: pd.DataFrame, most: int = MOST_ROWS, tall: bool = False, told: Callable[[str, Any], str] | None = None,
    wide: Iterable[str] = (), keys: Sequence[int] | None = None,
) -> str:  # fmt: skip
    """A frame's first rows, and how many there are in all. `told(column, value)`: how a value is worded; `keys`: by row
    the number that the page's script knows it by, where a row can be pressed.
    """
    if frame.empty:
        return '<p class="quiet">None.</p>'
    say = told or (lambda _, value: words(value))
    numeric = {name for name in frame if pd.api.types.is_numeric_dtype(frame[name]) and frame[name].dtype != bool}
    wide = set(wide)
    head = _head([str(column).replace("_", " ") for column in frame], [column in numeric for column in frame])
    rows = []
    for number, values in enumerate(frame.head(most).itertuples(index=False, name=None)):
        cells = []
        for column, value in zip(frame.columns, values, strict=True):
            text = say(str(column), value)
            kind = "n" if column in numeric else "wide" if column in wide else "" if len(text) > LONG else "short"
            below = isinstance(value, float | np.floating) and value < 0 and text != "0"
            cells.append(_cell(text, f"{kind} low".strip() if below else kind))
        key = "" if keys is None else f' data-row="{keys[number]}" tabindex="0"'
        rows.append(f"<tr{key}>{''.join(cells)}</tr>")
    more = f'<p class="quiet small">{most:,} of {len(frame):,} rows.</p>' if len(frame) > most else ""
    kind = "scroll tall" if tall else "scroll"
    return f'<div class="{kind}"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>{more}'


def listed(items: Iterable[str]) -> str:
    """Sentences, one a bullet."""
    lines = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul>{lines}</ul>" if lines else '<p class="quiet">None.</p>'


def _head(names: Sequence[str], numbers: bool | Sequence[bool] = False) -> str:
    right = [numbers] * len(names) if isinstance(numbers, bool) else numbers
    cells = "".join(_cell(name, "n" if n else "", "th") for name, n in zip(names, right, strict=True))
    return f"<thead><tr>{cells}</tr></thead>"


def _cell(text: str, kind: str = "", tag: str = "td") -> str:
    classed = f' class="{kind}"' if kind else ""
    return f"<{tag}{classed}>{escape(text)}</{tag}>"
