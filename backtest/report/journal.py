"""What a run stands on, as the sections at the end of its page: fidelity, assumptions, rules in force, data files."""

from __future__ import annotations

from html import escape
from typing import Any

import pandas as pd

from backtest.report.html import words
from backtest.report.tables import listed, rows_of

LONGEST = 240
MARKS = {
    "T": "stated by the venue", "N": "inferred from its numbers", "D": "derived", "S": "second-hand",
    "G": "general knowledge",
}  # fmt: skip


def journal_sections(manifest: dict[str, Any]) -> list[str]:
    """Rules with their dates and sources, and how true the prices were."""
    return [rules_section(manifest["rules"]), stands_on(manifest)]


def rules_section(rows: list[dict[str, Any]]) -> str:
    """Every rule that was in force: the assumed ones first and counted, then all of them."""
    frame = rules_frame(rows)
    assumed = frame[frame["known"].str.startswith("assumed")] if len(frame) else frame
    unreal = sum(bool(row.get("counterfactual")) for row in rows)
    numbers = len({(row.get("table"), row.get("key")) for row in rows if row.get("assumed")})
    counted = (
        f"{len(rows)} rows of the venue's tables were in force at one time or another; {len(assumed)} of them "
        f"({numbers} number{'' if numbers == 1 else 's'}) are assumed, as no page states them."
        + (f" {unreal} are COUNTERFACTUAL: not what the venue had on those dates." if unreal else "")
    )
    told = f'<h2 id="rules">Rules in force</h2><p>{escape(counted)}</p>'
    if len(assumed):
        told += f"<details open><summary>Assumed ({len(assumed)})</summary>{_table(assumed)}</details>"
    return told + f"<details><summary>All rules ({len(frame)})</summary>{_table(frame, tall=True)}</details>"


def _table(frame: pd.DataFrame, tall: bool = False) -> str:
    return rows_of(frame, most=1000, tall=tall or len(frame) > 8, wide=("value", "source", "known"))


def rules_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rule rows as a reader wants them: what, its value, from when, whence, and how well it is known."""
    found = [
        {
            "rule": str(row.get("table", "")).replace("_", " "), "of": str(row.get("key", "")).replace("_", " "),
            "value": value_words(row.get("value")), "from": _day(row.get("valid_from_us")), "known": _known(row),
            "source": _short(str(row.get("source", ""))),
        }
        for row in rows
    ]  # fmt: skip
    return pd.DataFrame(found, columns=["rule", "of", "value", "from", "known", "source"])


def _known(row: dict[str, Any]) -> str:
    if row.get("assumed"):
        reason = str(row.get("reason") or "")
        return "assumed" + (f": {reason}" if reason else "")
    return MARKS.get(str(row.get("mark", "")), str(row.get("mark", "")))


def value_words(value: Any) -> str:
    """A rule's value: a number, or the first of its steps and how many there are."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        first = ", ".join(f"{key.replace('_', ' ')} {_plain(each)}" for key, each in value[0].items())
        return _short(f"{first}" + (_more(len(value) - 1) if len(value) > 1 else ""))
    return _short(_plain(value))


def _more(steps: int) -> str:
    return f"; {steps} more step{'' if steps == 1 else 's'}"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_plain(each) for each in value)
    return f"{value:,.8g}" if isinstance(value, int | float) else str(value)


def _day(time_us: Any) -> str:
    return f"{pd.Timestamp(int(time_us), unit='us'):%Y-%m-%d}" if time_us else ""


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def stands_on(manifest: dict[str, Any]) -> str:
    """How true the prices were, what was assumed, what a reader must know, and the files."""
    return "".join([
        '<h2 id="stands-on">What it stands on</h2>',
        "<h3>How true the prices were</h3>", listed(fidelity(manifest)),
        "<h3>Notes</h3>", listed(manifest["notes"]),
        f"<details><summary>Assumptions</summary>{listed(manifest['assumptions'])}</details>",
        f"<details><summary>Data files ({len(manifest['data'])})</summary>",
        rows_of(pd.DataFrame(manifest["data"]), most=500, tall=True), "</details>",
    ])  # fmt: skip


def fidelity(manifest: dict[str, Any]) -> list[str]:
    """Which prices were the venue's own and which stood in for them, and what hung on a bar's unknown path."""
    found = [
        f"{symbol}: {_MARK_WORDS.get(source, f'its mark is {source}')}" for symbol, source in manifest["prices"].items()
    ]
    found += [f"{asset} is valued by {_index_words(source)}" for asset, source in manifest["indexes"].items()]
    for flag, count in manifest.get("funding_marks", {}).items():
        found.append(f"{words(int(count))} funding payments rest on: {flag}")
    for account, count in manifest.get("ambiguous_bars", {}).items():
        many = f"{words(int(count))} bars in which one reading of the path survives and another does not"
        found.append(f"account {account}: {many if count else 'no bar whose reading decides survival'}")
    gaps = manifest["config"].get("prices", {}).get("gaps")
    if gaps:
        held = "a missing bar would have stopped the run" if gaps == "error" else "missing bars are held, without fills"
        found.append(f"gaps: {held}")
    return found


_MARK_WORDS = {
    "mark": "the venue's mark",
    "mark-close proxy": "a PROXY: only closes of the mark are stored, its highs and lows are made from traded prices",
    "last": "a PROXY: traded prices stand in for the mark",
    "spot": "its own traded price",
}


def _index_words(source: str) -> str:
    kind, _, of = source.partition(":")
    if kind == "index":
        return f"the index {of}"
    if kind == "spot":
        return f"a PROXY: traded spot, {of}"
    return source
