"""What two moves at once would have done to the account as it stood: margin ratios over a grid, at chosen bars.

The account is put to the margin calculator as it stood at the close of a bar, by the rules of that bar, and asked at
every pair of moves: of the two coins it holds most of, or, where it holds one, of that coin and of its futures' basis.
Nothing is traded on the way: it is one jump. Asked without a move, the calculator must give the run's own ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from backtest.errors import InputError
from backtest.market.schema import parse_symbol
from backtest.report.columns import naive
from backtest.report.explain import QUOTES
from backtest.report.months import started
from backtest.report.subject import Floats, Subject

if TYPE_CHECKING:
    from backtest.calculator.book import Placed

COIN_MOVES = tuple(float(step) / 10 for step in range(-5, 6))
BASIS_MOVES = tuple(float(step) / 50 for step in range(-5, 6))
BASIS, NOTHING = "basis", ""
LEAST_BARS, MOST_BARS = 9, 13
SAME = 1e-6


@dataclass(frozen=True)
class StressMap:
    """One bar. `ratios` [first move, second move]; the ratio at its close as `recorded` by the run, and as `asked`."""

    bar: int
    time: pd.Timestamp
    why: str
    ratios: Floats
    level: float
    recorded: float
    asked: float
    says: str

    @property
    def label(self) -> str:
        """When, and why this bar."""
        return f"{self.time:%Y-%m-%d %H:%M} UTC, {self.why}"

    @property
    def agrees(self) -> bool:
        """Whether the calculator, asked without a move, gives the run's own ratio."""
        return bool(np.isclose(self.asked, self.recorded, rtol=SAME, equal_nan=True))


@dataclass(frozen=True)
class Stress:
    """Maps of one account at several bars, over the same moves: of `first` (rows) and `second` (columns)."""

    first: str
    second: str
    maps: list[StressMap]
    left_out: str = ""

    @property
    def first_moves(self) -> Floats:
        """Moves of the rows, as fractions."""
        return np.array(COIN_MOVES)

    @property
    def second_moves(self) -> Floats:
        """Moves of the columns; none where there is nothing else to move."""
        return np.array([0.0] if self.second == NOTHING else BASIS_MOVES if self.is_basis else COIN_MOVES)

    @property
    def is_basis(self) -> bool:
        """Whether the columns move the basis of the first coin's futures."""
        return self.second.endswith(BASIS)

    @cached_property
    def worst(self) -> int:
        """Number of the map to be shown first: the worst bar's."""
        return next((k for k, each in enumerate(self.maps) if "worst" in each.why), 0)

    @property
    def fidelity(self) -> str:
        """Whether the calculator's answers rest on the account as the run had it."""
        apart = [each for each in self.maps if not each.agrees]
        if not apart:
            return "Asked without a move, the calculator gives the run's own ratio at each of these closes."
        return (
            f"At {len(apart)} of {len(self.maps)} closes the calculator's ratio without a move differs from the run's "
            f"({apart[0].time:%Y-%m-%d %H:%M}: {apart[0].asked:.4g}, run {apart[0].recorded:.4g}): waiting orders are "
            "not in the snapshot, and a tail model has no past there."
        )


def stress_of(subject: Subject, bars: list[tuple[int, str]] | None = None) -> Stress:
    """Maps at chosen bars (bar, why), by default `bars_of`; without any where nothing can be moved."""
    coins = coins_of(subject)
    if not coins:
        return Stress("", NOTHING, [], "the account never held or traded a coin")
    first, second = coins[0], _second(subject, coins)
    maps, why_not = [], ""
    for bar, why in bars or bars_of(subject):
        try:
            maps.append(_map(subject, bar, why, first, second))
        except InputError as error:
            why_not = str(error)
    return Stress(first, second, maps, why_not)


def coins_of(subject: Subject) -> list[str]:
    """Coins by what was paid in of them and traded in them, the most first; dollars are none."""
    first, worth = subject.record.first_deposits(subject.account), dict[str, float]()
    for asset, amount in zip(first["asset"], first["amount"].astype(float), strict=True):
        price = subject.standing.prices.get(str(asset))
        worth[str(asset)] = worth.get(str(asset), 0.0) + abs(amount) * (float(price[0]) if price is not None else 1.0)
    for symbol, usd in subject.fills.groupby("symbol")["notional_usd"].sum().items() if len(subject.fills) else ():
        base = parse_symbol(str(symbol))[0]
        worth[base] = worth.get(base, 0.0) + float(usd)
    coins = [coin for coin in worth if coin not in QUOTES and coin in subject.standing.prices]
    return sorted(coins, key=lambda coin: -worth[coin])


def _second(subject: Subject, coins: list[str]) -> str:
    if len(coins) > 1:
        return coins[1]
    futures = any(parse_symbol(s)[0] == coins[0] and parse_symbol(s)[2] is not None for s in subject.standing.terms)
    return f"{coins[0]} {BASIS}" if futures else NOTHING


def bars_of(subject: Subject) -> list[tuple[int, str]]:
    """Bars with why: worst, start, end, the close before the first liquidation, month ends, in a short run others."""
    needed = np.flatnonzero(subject.column("maintenance_margin") > 0.0)
    if not len(needed):
        return []
    found: dict[int, str] = {}
    forced = {int(bar) for bar in subject.bars_of(subject.forced["time"])} if len(subject.forced) else set()
    if forced:
        found[max(0, min(forced) - 1)] = "the close before the first liquidation"
    if subject.worst_bar is not None:
        before = subject.worst_bar in forced and subject.worst_bar > 0
        bar = subject.worst_bar - int(before)
        found.setdefault(bar, "the close before the worst bar" if before else "the worst bar")
        if bar in found and "worst" not in found[bar]:
            found[bar] += ", also the worst bar's"
    found.setdefault(int(needed[0]), "the first bar with a requirement")
    found.setdefault(int(needed[-1]), "the last bar with a requirement")
    months = naive(started(subject.rows["time"], "month"))
    ends = np.intersect1d(np.flatnonzero(months[1:] != months[:-1]), needed).tolist()
    room = MOST_BARS - len(found)
    spread = [ends[k] for k in np.unique(np.linspace(0, len(ends) - 1, room).astype(int))] if ends else []
    for bar in spread:
        found.setdefault(bar, "a month's end")
    if len(found) < LEAST_BARS:
        for at in np.linspace(0, len(needed) - 1, LEAST_BARS).astype(int):
            found.setdefault(int(needed[at]), "on the way")
    return sorted(found.items())


def _map(subject: Subject, bar: int, why: str, first: str, second: str) -> StressMap:
    from backtest.calculator.book import place_snapshot
    from backtest.calculator.ratio import lowest_ratios

    placed = place_snapshot(subject.standing.snapshot(bar))
    still = lowest_ratios(placed, placed.marks[:, None], placed.indexes[:, None])
    rows, columns = np.array(COIN_MOVES), Stress(first, second, []).second_moves
    one, two = (axis.ravel() for axis in np.meshgrid(rows, columns, indexing="ij"))
    ratios = lowest_ratios(placed, *_moved(placed, first, second, one, two)).reshape(len(rows), len(columns))
    row = subject.rows.iloc[bar]
    return StressMap(
        bar, row["time"], why, ratios, placed.level, float(row["margin_ratio"]), float(still[0]),
        _reach(placed, first, second, float(row["margin_ratio"])),
    )  # fmt: skip


def _moved(placed: Placed, first: str, second: str, one: Floats, two: Floats) -> tuple[Floats, Floats]:
    """Marks and indexes after pairs of moves; a coin that the account has nothing of then moves nothing."""
    from backtest.calculator.solve import moved_prices

    coins = {first: one} if second == NOTHING or second.endswith(BASIS) else {first: one, second: two}
    marks, indexes = moved_prices(placed, {c: m for c, m in coins.items() if c in placed.assets}, len(one))
    if second.endswith(BASIS):
        for i, instrument in enumerate(placed.instruments):
            if instrument.base == first and instrument.kind in ("linear", "inverse"):
                quote = indexes[placed.assets.index(instrument.quote)] if instrument.quote in placed.assets else 1.0
                marks[i] = marks[i] + two * indexes[placed.assets.index(first)] / quote
    return marks, indexes


def _reach(placed: Placed, first: str, second: str, ratio: float) -> str:
    """How far each coin alone must move, its contracts along, before the account is liquidated."""
    from backtest.calculator.solve import account_price

    at = "nothing was required" if not np.isfinite(ratio) else f"the ratio was {ratio:,.4g} (level {placed.level:g})"
    words = [f"At this close {at}."]
    for coin in (first, second):
        if coin in placed.assets:
            found = account_price(placed, coin)
            words.append(
                f"{coin} alone, its contracts along, would have to move {found.move:+.1%} to {found.price:,.6g} USD "
                "for it to be liquidated."
                if found
                else f"No move of {coin} alone liquidates it."
            )
    return " ".join(words)
