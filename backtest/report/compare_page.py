"""The page of a comparison: the verdict, all modes over one another, where they first parted, and both tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from backtest.report.better import HIGHER, LOWER
from backtest.report.figures.modes import capital_figure, parts_figure
from backtest.report.figures.overview import equities_panel, ratios_panel
from backtest.report.html import words
from backtest.report.ink import mode_ink
from backtest.report.page import Drawings, head, menu, page, zooms
from backtest.report.run_page import span_of, zoom_spans
from backtest.report.subject import Subject
from backtest.report.tables import labelled, listed, rows_of

if TYPE_CHECKING:
    from backtest.report.result import Result

Parting = tuple[str, str, pd.Timestamp]
SECTIONS = (
    ("modes", "Side by side"),
    ("parting", "Where they parted"),
    ("orders", "Same fills"),
    ("signals", "Each on its own"),
    ("notes", "Notes"),
)
SAYS = {
    "orders": "One unconstrained run's fills, replayed in every mode: nothing is refused or liquidated, so the columns "
    "differ by margin alone.",
    "signals": "The strategy on each account's own state, with refusals, cuts and liquidations.",
}


def compare_page(
    name: str, verdict: str, experiments: Mapping[str, pd.DataFrame], runs: Mapping[str, Result],
    parting: tuple[Parting, str] | None, notes: Sequence[str], pages: bool = False,
) -> str:  # fmt: skip
    """The whole page. `experiments`: the tables by "orders" and "signals"; `parting`: the first, and why, in words;
    `pages`: whether each mode's own page lies beside this one.
    """
    drawings, subjects = Drawings(), {mode: Subject(result) for mode, result in runs.items()}
    title = f"{name}: margin modes side by side"
    first = next(iter(subjects.values()))
    dead = [m for m in subjects if str(experiments["signals"].at["Survived", m]) != "yes"]
    state = "survived" if not dead else "liquidated" if len(dead) == len(subjects) else "undecided"
    told = "all survived" if not dead else f"{len(subjects) - len(dead)} of {len(subjects)} survived"
    parts = [
        head(title, _under(first)), "<main>",
        f'<div class="verdict {state}"><span class="badge {state}">{told}</span><p>{escape(verdict)}</p></div>',
        _modes_list(subjects, experiments["signals"], pages), "</main>", menu(SECTIONS), "<main>",
        *_side_by_side(drawings, subjects, experiments),
        _parting_section(subjects, parting),
        *(_experiment(key, table) for key, table in experiments.items()),
        f'<h2 id="notes">Notes</h2>{listed(notes)}', "</main>",
    ]  # fmt: skip
    foot = escape("Made by collateral-backtest from the runs' own frames.")
    return page(title, parts, drawings, foot)


def _under(subject: Subject) -> str:
    config = subject.record.config
    span = f"{config.data.start:%Y-%m-%d} to {config.data.end:%Y-%m-%d}, bars of {config.data.interval}"
    return f"{config.account[0].venue} · {span} · {config.strategy.name}"


def _modes_list(subjects: Mapping[str, Subject], signals: pd.DataFrame, pages: bool) -> str:
    """Every mode with its colour and whether it lived; a link to its own page where there is one."""
    tiles = []
    for number, (mode, subject) in enumerate(subjects.items()):
        swatch = f'<i class="swatch" style="background:{mode_ink(mode, number)}"></i>'
        label = escape(mode if subject.mode in (mode, subject.name) else f"{mode} ({subject.mode})")
        name = f'<a href="{escape(mode.replace(" ", "%20"))}/report.html">{label}</a>' if pages else label
        survived = str(signals.at["Survived", mode])
        lived = "survived" if survived == "yes" else survived
        ratio = words(float(signals.at["Lowest Margin Ratio", mode]))
        gain = words(float(signals.at["Total Return [%]", mode]))
        tiles.append(
            f'<div class="tile"><b class="small">{swatch}{name}</b><span>{escape(lived)}; lowest ratio {ratio}; return '
            f"{gain} %</span></div>"
        )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _side_by_side(
    drawings: Drawings, subjects: Mapping[str, Subject], experiments: Mapping[str, pd.DataFrame]
) -> list[str]:
    """Equity and ratios over one time axis; least capital; where the money came from, a bar a mode."""
    first = next(iter(subjects.values()))
    over_time = equities_panel(subjects), ratios_panel(subjects)
    spans = zoom_spans(first)[:1]
    for mode, subject in subjects.items():
        spans += [(f"{words_}, {mode}", span) for words_, span in zoom_spans(subject) if words_ == "First liquidation"]
    return [
        '<h2 id="modes">Side by side, each on its own state</h2>', zooms("modes", spans[:6]),
        *(drawings.panel("modes", panel, span_of(first)) for panel in over_time),
        '<div class="two">',
        drawings.frame(
            "capital", capital_figure(experiments["orders"]), "Least capital for the same fills", "USD that the same "
            "fills needed in every mode; lower is better.", 320, kind="plain",
        ),
        drawings.frame(
            "parts", parts_figure(subjects), "Where the money came from", "Each account on its own; the dash is the "
            "change in equity, USD.", 320, kind="plain",
        ), "</div>",
    ]  # fmt: skip


def _parting_section(subjects: Mapping[str, Subject], parting: tuple[Parting, str] | None) -> str:
    """Which two accounts parted first, why, and how every account stood at that bar."""
    head_ = '<h2 id="parting">Where they first parted</h2>'
    if parting is None:
        return f"{head_}<p>All modes traded alike to the end.</p>"
    (_, _, at), why = parting
    rows = [{"mode": mode, **_stood(subject, at)} for mode, subject in subjects.items()]
    return f"{head_}<p>{escape(why)}</p>{rows_of(pd.DataFrame(rows), wide=('what happened',))}"


def _stood(subject: Subject, at: pd.Timestamp) -> dict[str, Any]:
    """One account at one bar: its ratio, its money, and what happened to it there."""
    bar = int(subject.bars_of([at])[0])
    row = subject.rows.iloc[bar]
    fills, incidents = (
        frame[frame["time"] == at] if len(frame) else frame for frame in (subject.fills, subject.incidents)
    )
    told = [
        f"{f['cause']}: {f['contracts']:+,.6g} {f['symbol']} at {f['price']:,.6g}" for f in fills.to_dict("records")
    ]
    told = [*dict.fromkeys(str(rung) for rung in incidents["rung"]), *told] if len(incidents) else told
    return {
        "lowest ratio": float(row["worst_ratio"]) if np.isfinite(row["worst_ratio"]) else float("nan"),
        "wallet": row["worst_wallet"], "equity": float(row["equity"]),
        "collateral equity": float(row["collateral_equity"]), "maintenance": float(row["maintenance_margin"]),
        "what happened": "; ".join(told) or "nothing",
    }  # fmt: skip


def _experiment(key: str, table: pd.DataFrame) -> str:
    """One table, the best of each row in bold."""
    title = {"orders": "Orders: the same fills in every mode", "signals": "Signals: each account on its own"}[key]
    return (
        f'<h2 id="{key}">{escape(title)}</h2><p class="quiet small">{escape(SAYS[key])} Bold: the best of a row.</p>'
        f"{labelled(table, best_of(table))}"
    )


def best_of(table: pd.DataFrame) -> dict[str, str]:
    """By label the mode that is best in it; none where all are alike, or where more is neither better nor worse."""
    found = {}
    for label in table.index.intersection([*HIGHER, *LOWER]):
        values = pd.to_numeric(table.loc[label], errors="coerce")
        if values.notna().sum() > 1 and not np.allclose(values.dropna(), values.dropna().iloc[0], rtol=1e-4):
            found[str(label)] = str(values.idxmax() if label in HIGHER else values.idxmin())
    return found
