"""How near the account came to what its venue does at a level: the lowest margin ratio of every bar, on a log axis."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from backtest.report.figures.equity import forced_words, times_of
from backtest.report.figures.panel import Panel, level_line, line, marks
from backtest.report.ink import INK
from backtest.report.statistics import forced_moments
from backtest.report.subject import Subject
from backtest.report.thin import kept

Floats = npt.NDArray[np.float64]
FLOOR, CEILING = 0.05, 2000.0  # an axis goes no further: beyond, an account is lost or safe, however far
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SAYS = (
    "Collateral equity over maintenance margin of the worst wallet, at its lowest inside each bar. A gap is a bar on "
    "which nothing was required."
)


def ratio_panel(subject: Subject) -> Panel:
    """The lowest ratio of each bar, the venue's levels, and a cross where it took something."""
    real = subject.column("worst_ratio")
    drawn = on_log(real)
    at = kept([drawn, np.where(np.isfinite(real), real, np.nan)], subject.moments)
    traces = [
        line(
            "Lowest margin ratio", INK["ratio"], subject.times[at], drawn[at], unit="", digits=3,
            customdata=real[at], hovertemplate="Margin ratio: %{customdata:,.4~g}<extra></extra>",
        )
    ]  # fmt: skip
    levels = subject.column("liquidation_level")
    if np.ptp(levels) > 0.0:
        turns = kept([levels])
        traces.append(
            line("Liquidation level", INK["level"], subject.times[turns], levels[turns], "", 2, width=1, shape="hv")
        )
    taken = forced_moments(subject.record, subject.account)
    if len(taken):
        heights = drawn[subject.bars_of(taken["time"])]
        words = [forced_words(row) for _, row in taken.iterrows()]
        traces.append(marks("Taken", INK["level"], "x", times_of(taken), heights, words, showlegend=False, key=False))
    named = subject.record.levels_of(subject.account)
    lines = [level_line(ratio, level_words(ratio, action), action == "liquidate") for ratio, action in named]
    return Panel(
        "ratio", "Margin ratio", SAYS, traces, log_axis([drawn], [ratio for ratio, _ in named]), lines,
        keeps=[subject.liquidation_level], height=240,
    )  # fmt: skip


def on_log(ratios: Floats) -> Floats:
    """Ratios as a log axis can have them: no requirement is a gap; at or below nothing lies on the floor."""
    return np.where(np.isfinite(ratios), np.maximum(ratios, FLOOR), np.nan)


def log_axis(drawn: list[Floats], levels: list[float]) -> dict[str, object]:
    """A logarithmic axis that shows all ratios and levels, with ticks in words a reader knows."""
    values = np.concatenate([*drawn, levels, [1.0]])
    low, high = max(FLOOR, 0.8 * float(np.nanmin(values))), min(CEILING, 1.3 * float(np.nanmax(values)))
    text = [f"≤ {FLOOR:g}" if tick == FLOOR else f"{tick:,g}" for tick in TICKS]
    return {
        "type": "log", "range": [float(np.log10(low)), float(np.log10(max(high, 1.3 * low)))],
        "tickvals": list(TICKS), "ticktext": text, "title": {"text": "ratio"},
    }  # fmt: skip


def level_words(ratio: float, action: str) -> str:
    """A level's action and ratio."""
    return f"{action.replace('_', ' ')} {ratio:g}"
