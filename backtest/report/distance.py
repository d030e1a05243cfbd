"""How far each position was from its liquidation price, at some of a run's bars, by the margin calculator.

Two prices of a contract are asked for. `alone`: its mark moves and nothing else, as venues show it. `together`: the
coin moves with every contract of it, and coins held as collateral are worth more or less too. Either may not exist:
then no such move liquidates the account. The calculator's search takes some milliseconds a price, so not every bar is
asked: evenly spread ones, those on which positions changed, and those a reader will look at closely.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from backtest.errors import InputError
from backtest.market.schema import parse_symbol
from backtest.report.columns import naive
from backtest.report.record import Ints
from backtest.report.subject import Subject

COLUMNS = ("time", "symbol", "side", "since", "mark", "alone", "together", "initial", "maintenance")
MOST_ASKED = 48  # positions in all, at so many bars


def distances(subject: Subject, most: int = MOST_ASKED) -> pd.DataFrame:
    """Rows of `COLUMNS`: at a bar's close the mark of a position, its two liquidation prices (NaN where there is none)
    and its margins. Prices in the contract's quote currency, `together` in USD a coin; margins in USD, beside the other
    positions where tiers ask for them, and those of the position alone where scenarios do. `since`: the bar at which
    the position was opened, out of nothing or out of the other side.
    """
    rows = [row for bar in asked_bars(subject, most) for row in _ask(subject, bar)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def asked_bars(subject: Subject, most: int) -> list[int]:
    """Bars with a position that are asked, so that prices in all are about `most`."""
    held = _held(subject)
    bars = np.flatnonzero(held)
    if not len(bars):
        return []
    many = max(8, int(most * len(bars) / held.sum()))
    spread = bars[np.unique(np.linspace(0, len(bars) - 1, many // 2).astype(int))]
    changed = np.unique(np.concatenate([subject.bars_of(each[0]) for each in subject.standing.sides.values()]))
    around = [bar + step for bar in subject.moments for step in (-1, 0)]
    wished = [bar for bar in (*changed[: many // 4], *(changed[: many // 4] - 1), *around) if 0 <= bar < len(held)]
    return sorted({int(bar) for bar in (*spread, *wished) if held[bar]})


def _held(subject: Subject) -> Ints:
    """How many positions were open after each bar."""
    held = np.zeros(len(subject.times), np.int64)
    for times, contracts, _ in subject.standing.sides.values():
        at = np.searchsorted(naive(times), subject.times, side="right") - 1
        held += (at >= 0) & (contracts[np.maximum(at, 0)] != 0.0)
    return held


def opened(subject: Subject, symbol: str, side: str, bar: int) -> int:
    """The bar at which a position that is open was last opened out of nothing, or out of the other side."""
    times, contracts, _ = subject.standing.sides[symbol, side]
    last = int(np.searchsorted(naive(times), subject.times[bar], side="right"))
    before = np.concatenate([[0.0], contracts[: last - 1]])
    turns = np.flatnonzero(np.sign(contracts[:last]) != np.sign(before))
    return int(subject.bars_of(times)[turns[-1]])


def _ask(subject: Subject, bar: int) -> list[dict[str, object]]:
    """Every open position at one bar; none where the account cannot be put to the calculator."""
    from backtest.calculator.answer import Answer
    from backtest.calculator.book import place_snapshot
    from backtest.calculator.solve import account_price, leg_price

    try:
        placed = place_snapshot(subject.standing.snapshot(bar))
    except InputError:
        return []
    together: dict[str, float | None] = {}
    rows: list[dict[str, object]] = []
    for position, asked in zip(placed.snapshot.positions, Answer(placed).margins, strict=True):
        number, base = placed.number(position), parse_symbol(position.symbol)[0]
        if base not in together:
            found = account_price(placed, base)
            together[base] = found.price if found else None
        mark = float(placed.marks[int(placed.rules.instrument[number])])
        side = ("long" if (position.contracts or 0.0) > 0 else "short") if placed.plan.two_sided else ""
        rows.append(
            {
                "time": subject.rows["time"].iloc[bar], "symbol": position.symbol, "side": side,
                "since": opened(subject, position.symbol, side, bar), "mark": mark,
                "alone": leg_price(placed, number), "together": together[base],
                "initial": asked["initial_margin_usd"], "maintenance": asked["maintenance_margin_usd"],
            }
        )  # fmt: skip
    return rows
