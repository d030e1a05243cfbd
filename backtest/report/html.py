"""The run as one page that needs nothing else: picture, figures, where the money came from, incidents, assumptions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

MOST_ROWS = 200

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1d2733;max-width:1180px;margin:2em auto;padding:0 1.2em}
h1{font-size:1.5em;margin-bottom:.1em} h2{font-size:1.12em;margin:2em 0 .5em;border-bottom:1px solid #dde3ea}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th{text-align:left;font-weight:600;color:#46566a} td,th{padding:.22em .8em .22em 0;border-bottom:1px solid #eef1f4}
td.n{text-align:right} .side{display:flex;gap:3.5em;flex-wrap:wrap} .quiet{color:#67778a} .scroll{overflow-x:auto}
.verdict{font-weight:600} .bad{color:#b3261e}
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page of parts that are already HTML."""
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A heading with what stands under it."""
    return f"<h2>{escape(title)}</h2>\n" + "\n".join(parts)


def words(value: Any) -> str:
    """One figure as a reader wants it: thousands parted, four digits where small, times without seconds."""
    if value is None or value is pd.NaT:
        return "–"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, bool | np.bool_ | str):
        return str(value)
    if isinstance(value, int | np.integer):
        return f"{int(value):,}"
    if isinstance(value, float | np.floating):
        return _number(float(value))
    return str(value)


def _number(value: float) -> str:
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= 0.01 else f"{value:.3g}"


def figures_table(figures: pd.DataFrame) -> str:
    """Labels down the side, one column an account (or mode)."""
    head = "" if figures.shape[1] == 1 else _row("th", ["", *map(str, figures.columns)])
    rows = [_labelled(str(label), figures.loc[label].tolist()) for label in figures.index]
    return f"<table>{head}{''.join(rows)}</table>"


def _labelled(label: str, values: Sequence[Any]) -> str:
    cells = "".join(f'<td class="n">{escape(words(value))}</td>' for value in values)
    return f"<tr><th>{escape(label)}</th>{cells}</tr>"


def _row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def frame_table(frame: pd.DataFrame, most: int = MOST_ROWS) -> str:
    """A frame's first rows, and how many there are in all."""
    if frame.empty:
        return '<p class="quiet">None.</p>'
    head = _row("th", [str(column).replace("_", " ") for column in frame.columns])
    body = "".join(_row("td", [words(value) for value in row]) for row in frame.head(most).itertuples(index=False))
    more = f'<p class="quiet">{most} of {len(frame):,} rows.</p>' if len(frame) > most else ""
    return f'<div class="scroll"><table>{head}{body}</table></div>{more}'


def word_list(items: Iterable[str]) -> str:
    """Sentences, one a bullet."""
    lines = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul>{lines}</ul>" if lines else '<p class="quiet">None.</p>'


def report_page(
    manifest: dict[str, Any],
    figures: pd.DataFrame,
    parts: pd.DataFrame,
    incidents: pd.DataFrame,
    pictures: Sequence[str],
) -> str:
    """The report of a run, from what its folder holds."""
    config = manifest["config"]
    modes = ", ".join(f"{account['name']} ({account['mode']})" for account in manifest["accounts"])
    span = f"{config['data']['start'][:10]} to {config['data']['end'][:10]}, bars of {config['data']['interval']}"
    under = escape(f"{modes}; {span}; {config['strategy']['class']}")
    head = f'<h1>{escape(manifest["name"])}</h1><p class="quiet">{under}</p>'
    side = (
        f'<div class="side"><div>{section("Figures", figures_table(figures))}</div>'
        f"<div>{section('Where the money came from (USD)', figures_table(parts))}"
        '<p class="quiet">The parts sum to the change in equity. Haircut is no loss, so not among them.</p></div></div>'
    )
    found = section("Incidents", frame_table(incidents))
    return page(manifest["name"], [head, *pictures, side, found, *journal_sections(manifest)])


def journal_sections(manifest: dict[str, Any]) -> list[str]:
    """What the run stood on: assumptions, price sources, notes, rules and files."""
    sources = [f"{symbol}: mark = {source}" for symbol, source in manifest["prices"].items()]
    sources += [f"{asset}: index = {source}" for asset, source in manifest["indexes"].items()]
    return [
        section("Assumptions", word_list(manifest["assumptions"])),
        section("Prices", word_list(sources)),
        section("Notes", word_list(manifest["notes"])),
        section("Rules in force", frame_table(rules_frame(manifest["rules"]))),
        section("Data", frame_table(pd.DataFrame(manifest["data"]))),
    ]


def rules_frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Rule rows as a table; long values cut, assumed ones kept as they are marked."""
    return pd.DataFrame([{key: _short(value) for key, value in row.items()} for row in rows])


def _short(value: Any, most: int = 70) -> Any:
    text = value if isinstance(value, str) else str(value) if isinstance(value, list | dict) else None
    if text is None:
        return value
    return text if len(text) <= most else text[: most - 1] + "…"
