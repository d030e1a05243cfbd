"""The page of a sweep: what is best and what that is worth, a map of any two settings, every point as a line, and each
point's config to run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from backtest.report.better import way
from backtest.report.figures.sweep import MOST_LINES, figures_beside, heatmap_figure, parallel_figure, windows_figure
from backtest.report.html import counted, words
from backtest.report.page import Drawings, asset, head, menu, page
from backtest.report.points import OK, Points, short_names, traded
from backtest.report.sweep_data import MOST_EXACT, packed_rows, rows_kept
from backtest.report.tables import listed, rows_of

if TYPE_CHECKING:
    from backtest.research.sweep_result import SweepResult

MOST = 10  # rows of the best, and of the worst
MOST_ERRORS = 100
SURVIVED = "Survived"
POINT = (
    '<section class="point" id="point" aria-live="polite"><h3 data-which></h3><p class="quiet small" data-of></p>'
    '<p data-error></p><div class="tab"><button type="button" data-turn="-1" hidden>Previous</button>'
    '<button type="button" data-turn="1" hidden>Next</button>'
    '<button type="button" data-copy>Copy the config</button></div><div class="both"><div class="scroll tall">'
    "<table data-figures><tbody></tbody></table></div><pre data-config></pre></div></section>"
)
"""Where the script tells one point: its figures and its config."""


def sweep_page(result: SweepResult, verdict: str, statistic: str, lowest: bool = False) -> str:
    """The whole page, self-contained. `verdict`: the sweep in words; `statistic`: what the best is chosen by, its
    highest value or its `lowest`. InputError for what is no statistic.
    """
    whole, drawings = Points(result.points, result.settings), Drawings()
    kept = rows_kept(whole, statistic)
    frame = result.points.iloc[kept].reset_index(drop=True)
    points = Points(frame, result.settings)
    order = ranked(points, statistic, lowest)
    parts = [
        head(f"{result.name}: {result.trials:,} points tried", _under(result)), "<main>", _verdict(whole, verdict),
        _tiles(result, whole, statistic, order, points), "</main>", menu(_sections(result, whole)), "<main>",
        *(_map_section(drawings, points, statistic) if len(order) else []),
        *([_ends_section(points, order, statistic)] if len(order) else []),
        *([_windows_section(drawings, result, frame)] if result.windows is not None and len(order) else []),
        _failures_section(points), '<h2 id="notes">What it stands on</h2>',
        listed(_notes(result, whole, points)), "</main>",
    ]  # fmt: skip
    foot = escape("Made by collateral-backtest from the sweep's own rows.")
    if not len(order):
        return page(result.name, parts, None, foot)
    data = packed_rows(points, result.configs(), kept, statistic, int(order[0]))
    return page(result.name, parts, drawings, foot, f"\n{data}<script>{asset('sweep.js')}</script>")


def ranked(points: Points, statistic: str, lowest: bool) -> Any:
    """Rows of the frame (by position) that traded and have the statistic, the best first; of equal ones the first."""
    if statistic not in points.figures:
        return np.array([], dtype=np.int64)
    values = points.values(statistic) * (1.0 if lowest else -1.0)
    order = np.argsort(values, kind="stable")
    at = points.rows.index.to_numpy()[order]
    return at[~np.isnan(values[order]) & np.isin(at, traded(points.lived()).index)]


def _under(result: SweepResult) -> str:
    """Which settings, on what."""
    config = result.config
    span = f"{config['data']['start'][:10]} to {config['data']['end'][:10]}, bars of {config['data']['interval']}"
    venues = ", ".join(dict.fromkeys(str(account.get("venue")) for account in config["account"]))
    return f"{', '.join(short_names(result.settings).values())} · {venues} · {span} · {config['strategy']['class']}"


def _verdict(points: Points, verdict: str) -> str:
    """The paragraph, and beside it how many lived."""
    ends, lived = points.ends(), len(points.lived())
    all_lived = ends["survived"] == len(points.rows)
    state = "survived" if all_lived else "liquidated" if ends["liquidated"] == lived else "undecided"
    some = f"{ends['survived']:,} of {len(points.rows):,} survived" if lived else "none ran"
    told = "all survived" if all_lived else some
    return f'<div class="verdict {state}"><span class="badge {state}">{told}</span><p>{escape(verdict)}</p></div>'


def _tiles(result: SweepResult, whole: Points, statistic: str, order: Any, points: Points) -> str:
    """The figures a reader asks for first."""
    ends = whole.ends()
    tiles = [(f"{result.trials:,}", "trials: points there were to choose from")]
    if len(order):
        best = points.frame.loc[order[0]]
        tiles.append((words(float(best[statistic])), f"best {statistic}, point {best['point']}, in sample"))
    if result.windows is not None:
        split = ("in_sample", "chosen on"), ("out_of_sample", "on the span after it")
        both = result.windows.dropna(subset=[column for column, _ in split])
        for column, told in split:
            mean = float(both[column].mean())
            tiles.append((words(mean), f"{result.windows['statistic'].iloc[0]} {told}, mean of the windows"))
    elif len(order):
        middle = float(np.nanmedian(whole.values(statistic)))
        tiles.append((words(middle), f"median {statistic} of all points"))
        tiles.append((f"{ends['survived']:,}", "survived"))
    tiles += [
        (f"{ends['liquidated']:,}", "liquidated"), (f"{ends['undecided']:,}", "undecided inside a bar"),
        (f"{ends['failed']:,}", "failed"), (f"{ends['refused']:,}", "refused by the rules or the config"),
    ]  # fmt: skip
    cells = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(told)}</span></div>' for value, told in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _sections(result: SweepResult, points: Points) -> list[tuple[str, str]]:
    some = [("map", "Map"), ("lines", "Lines"), ("ends", "Best and worst")] if len(points.lived()) else []
    windows = [("windows", "Windows")] if result.windows is not None and some else []
    return [*some, *windows, ("failures", "Without figures"), ("notes", "What it stands on")]


def _map_section(drawings: Drawings, points: Points, statistic: str) -> list[str]:
    """The choice of axes, the map and the point beside it, and the lines."""
    moved = points.moved
    x, y = moved[0], moved[1] if len(moved) > 1 else None
    rows = int((~np.isnan(points.values(statistic))).sum())
    lines = f"{min(rows, MOST_LINES):,} of {len(points.rows):,} rows are drawn"
    among = ", the best and worst among them" if rows > MOST_LINES else ""
    return [
        '<h2 id="map">Settings against figures</h2>', _choices(points, statistic, x, y),
        '<div class="two map"><div>',
        drawings.frame(
            "cells", heatmap_figure(points, x, y, statistic), "Two settings", "Each cell is the mean of its points; "
            "blue is better, rust is worse, violet is neither. Press a cell for its points.", 430, kind="plain",
        ), f"</div>{POINT}</div>",
        '<h3 id="lines" class="anchor"></h3>',
        drawings.frame(
            "lines-of-points", parallel_figure(points, statistic), "Every point as a line", "Drag along an axis to "
            "keep what crosses it there; the map then shows those points alone. Press a line for its point. "
            f"{lines}{among}.",
            420, kind="lines",
        ),
    ]  # fmt: skip


def _choices(points: Points, statistic: str, x: str, y: str | None) -> str:
    """Drop-downs: both axes, the statistic, and of several windows the one looked at."""
    names = short_names(points.settings)
    number = {name: k for k, name in enumerate(points.settings)}
    settings = [(str(number[name]), names[name]) for name in points.moved]
    figures = [(str(k), name) for k, name in enumerate(points.figures)]
    found = [
        _picker("x", "Across", settings, str(number[x])),
        _picker("y", "Up", [*settings, ("", "nothing")], "" if y is None else str(number[y])),
        _picker("statistic", "Statistic", figures, str(points.figures.index(statistic))),
    ]
    if "window" in points.rows and points.rows["window"].nunique() > 1:
        windows = [("", "all"), *((str(k), str(k)) for k in sorted(points.rows["window"].unique()))]
        found.append(_picker("window", "Train window", windows, ""))
    return f'<div class="choose">{"".join(found)}<span class="quiet small" data-count></span></div>'


def _picker(key: str, label: str, options: Sequence[tuple[str, str]], chosen: str) -> str:
    told = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(text)}</option>'
        for value, text in options
    )
    return f'<label>{escape(label)} <select data-choose="{key}">{told}</select></label>'


def _ends_section(points: Points, order: Any, statistic: str) -> str:
    """The best and the worst rows; pressed, a row shows its point."""
    best = order[:MOST]
    worst = order[len(best) :][::-1][:MOST]
    parts = [f'<h2 id="ends">Best and worst by {escape(statistic)}</h2>', _rows(points, best, statistic)]
    if len(worst):
        parts.append(f"<h3>Worst first</h3>{_rows(points, worst, statistic)}")
    return "".join(parts)


def _rows(points: Points, at: Any, statistic: str) -> str:
    names = short_names(points.settings)
    columns = [*points.moved, *figures_beside(points, statistic)]
    lived = [name for name in points.frame if str(name).startswith(SURVIVED)]
    place = ["point", *(name for name in ("window",) if name in points.frame and name not in columns)]
    table = points.frame.loc[at, [*place, *columns, *lived]].rename(columns=names)
    settings = {"point", *(names[name] for name in points.settings)}
    return rows_of(table, told=lambda column, value: _setting_words(value) if column in settings else words(value),
                   keys=[int(k) for k in at])  # fmt: skip


def _setting_words(value: Any) -> str:
    """A setting to six digits, as it was tried; a point's number without commas."""
    return f"{value:.6g}" if isinstance(value, float) else _missing(value) if value is pd.NA else str(value)


def _windows_section(drawings: Drawings, result: SweepResult, frame: pd.DataFrame) -> str:
    """Each window's choice, in sample and out of it."""
    windows = result.windows
    assert windows is not None
    names = short_names(result.settings)
    inside, outside = windows["in_sample"], windows["out_of_sample"]
    lowest, both = result.lowest_is_best(result.statistic), int((inside.notna() & outside.notna()).sum())
    fell = int(((outside > inside) if lowest else (outside < inside)).sum())
    without = f" ({len(windows) - both} more have no value on one of the two)" if both < len(windows) else ""
    says = (
        f"In {fell} of {both} windows{without} the choice did worse on the span after it than on the span it was "
        "chosen on; every account of a test window starts afresh."
    )
    days = ("train_start", "test_start", "test_end")
    table = windows.assign(**{name: windows[name].dt.strftime("%Y-%m-%d") for name in days}).rename(columns=names)
    keys = [_row_of(frame, row) for row in windows.to_dict("records")]
    settings = {"point", *names.values()}
    told = rows_of(table, told=lambda column, value: _setting_words(value) if column in settings else _missing(value),
                   keys=keys)  # fmt: skip
    return '<h2 id="windows">Windows</h2>' + drawings.frame(
        "windows-chart", windows_figure(windows), "In and out of sample", says, 300, kind="plain"
    ) + told  # fmt: skip


def _missing(value: Any) -> str:
    return "–" if value is pd.NA else words(value)


def _row_of(frame: pd.DataFrame, window: dict[Any, Any]) -> int:
    """The row of the choice on its test window, else on its train window, else -1."""
    if pd.isna(window["point"]):
        return -1
    mine = frame[(frame["window"] == window["window"]) & (frame["point"] == window["point"])]
    return int(mine.index[-1]) if len(mine) else -1


def _failures_section(points: Points) -> str:
    """Rows without figures, alike errors together."""
    lost = points.frame[points.frame["status"] != OK]
    head_ = '<h2 id="failures">Points without figures</h2>'
    if lost.empty:
        return f'{head_}<p class="quiet">None: every point has figures.</p>'
    names = short_names(points.settings)
    alike = lost.groupby(["status", "error"], sort=False).agg(rows=("point", "size"), first=("point", "first"))
    told = f"<p>{counted(len(lost), 'row')}, {counted(len(alike), 'reason')}.</p>"
    table = alike.reset_index()[["rows", "status", "error", "first"]].rename(columns={"first": "first point"})
    reasons = rows_of(table, most=MOST_ERRORS, wide=("error",), tall=len(alike) > MOST)
    columns = [*(name for name in ("window", "part") if name in lost), "point", *points.tried, "status", "error"]
    table = lost[list(dict.fromkeys(columns))].rename(columns=names)
    each = rows_of(table, most=MOST_ERRORS, tall=True, wide=("error",), keys=[int(k) for k in lost.index])
    return f"{head_}{told}{reasons}<details><summary>Each of them</summary>{each}</details>"


def _notes(result: SweepResult, whole: Points, points: Points) -> list[str]:
    """What a reader must know of the page and of the sweep."""
    found = [
        f"The best of {result.trials:,} trials is the luckiest as well as the best: the more points, the more of its "
        "figure is chance.",
    ]
    if result.windows is None:
        found.append("All points were judged on the span they were chosen on: no [sweep.split] held anything back.")
    else:
        found.append("Map and lines show the train parts, where all points ran; test parts hold the choices alone.")
    grouped = [name for name in points.moved if points.axis(name).grouped]
    if grouped:
        names = short_names(points.settings)
        found.append(
            f"{', '.join(names[name] for name in grouped)}: many values, cut on the map into groups of as many points."
        )
    if len(points.frame) < len(whole.frame):
        found.append(
            f"This page holds {len(points.frame):,} of {len(whole.frame):,} rows, the best and worst among them, so "
            "that it stays small; points.parquet has them all, and the verdict counts them all."
        )
    digits = (
        "to seven digits" if len(points.frame) * len(points.figures) > MOST_EXACT else "as they are in points.parquet"
    )
    return [*found, f"Figures are held {digits}.", f"Colours follow the figure: {_better(points)}"]


def _better(points: Points) -> str:
    higher = [name for name in points.figures if way(name) > 0][:3]
    lower = [name for name in points.figures if way(name) < 0][:3]
    return f"more is better of {', '.join(higher) or 'none'} and such; less of {', '.join(lower) or 'none'} and such."
