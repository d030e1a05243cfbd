"""The prefix check: a table of targets, made again from truncated history, must not change in the part both know.

A strategy whose past moves when the future is taken away has looked ahead, and its backtest is worth nothing.

What it cannot find: a peek whose effect shows only at bars where history is not cut (at most 24 cuts: spread over it,
before the largest moves of price, after the rows that change most), and knowledge that does not come from the market
it is given - a table kept from an earlier call, a file, a parameter fitted on the same years.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from math import gcd

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.errors import InputError, is_number
from backtest.market.history import History
from backtest.strategy.hooks import asking, overrides
from backtest.strategy.market import Market
from backtest.strategy.strategy import Strategy
from backtest.strategy.targets import Targets
from backtest.units import HEADROOM

CUTS = (0.13, 0.31, 0.5, 0.68, 0.87)
CHANGES = 8  # cuts right after rows that say something new: a peek one bar ahead shows only in a table's last row
LARGEST = 5  # cuts right after the rows whose values change most, and right before the largest moves of price
LEAST_BARS = 3
MOST_CUTS = 24
STRIDE = 0.618  # of all rows, lies between the cuts of two turns: the golden ratio, so that few turns are spread well
NUMBERS = ("floating", "integer", "mixed-integer-float", "decimal", "empty")  # in pandas' words


def checked_targets(strategy: Strategy, history: History, turn: int | None = None) -> tuple[Targets, Said] | None:
    """The strategy's targets and what they say, or None if it is a callback. InputError names bar, symbol and both
    values if it looked ahead.

    `turn`: which cut alone to check it at, for one of many runs of a strategy; None: at all.
    """
    if not overrides(type(strategy), "targets"):
        return None
    market = Market(history)
    targets = _asked(strategy, market)
    if targets is None:
        raise InputError(
            f"{type(strategy).__name__}.targets gave nothing; give Targets(frame), or write on_bar instead"
        )
    said = said_by(targets.frame, market)
    must_be_watched(said, targets, market)
    must_be_priced(said, targets, market)
    for cut in cuts_of(said, history) if turn is None else cut_of(said, turn, len(history.time)):
        shorter = market.before(cut)
        again = _asked(type(strategy)(**strategy.params.model_dump()), shorter)
        if again is not None:
            compare_terms(strategy, targets, again, shorter)
        then = said_by(again.frame, shorter) if again else None
        if then is None or not then.is_as(said.before(cut)):
            compare_past(strategy, said.on(market), then.on(shorter) if then else None, cut)
    return targets, said


@dataclass(frozen=True)
class Said:
    """What a table says: of which bars, in order, and of which symbols; NaN leaves a position alone."""

    bars: npt.NDArray[np.int64]
    symbols: list[str]
    values: npt.NDArray[np.float64]  # [row, symbol]

    def before(self, cut: int) -> Said:
        """The rows of the first bars."""
        rows = int(np.searchsorted(self.bars, cut))
        return Said(self.bars[:rows], self.symbols, self.values[:rows])

    def is_as(self, other: Said) -> bool:
        """Whether another says the same of the same, to the bit."""
        return (
            self.symbols == other.symbols
            and np.array_equal(self.bars, other.bars)
            and np.array_equal(self.values.view(np.int64), other.values.view(np.int64))
        )

    def on(self, market: Market) -> pd.DataFrame:
        """The table on every bar of a market."""
        values = np.full((len(market.time), len(self.symbols)), np.nan)
        values[self.bars] = self.values
        return pd.DataFrame(values, index=market.time, columns=self.symbols)


def _asked(strategy: Strategy, market: Market) -> Targets | None:
    """The strategy's answer on a history. InputError where it is something else than a table."""
    with asking(strategy, "targets", market.ends_us, "on history up to"):
        targets: object = strategy.targets(market)
        if targets is not None and not isinstance(targets, Targets):
            raise InputError(f"it gave a {type(targets).__name__}; give Targets(frame)")
        return targets


def compare_terms(strategy: Strategy, whole: Targets, part: Targets, known: Market) -> None:
    """InputError where two tables of one strategy are to be read otherwise: a band that the future has made."""
    for name in ("unit", "band", "together"):
        one, other = getattr(whole, name), getattr(part, name)
        if one != other:
            raise InputError(
                f"{type(strategy).__name__} looks ahead: {name} of its targets is {one!r} knowing all of history and "
                f"{other!r} knowing it up to {known.time[-1]:%Y-%m-%d %H:%M}"
            )


def must_be_watched(said: Said, targets: Targets, market: Market) -> None:
    """InputError for a row of whose symbols the band names none: it would never be followed."""
    watched = np.array([np.isfinite(targets.band_of(symbol)) for symbol in said.symbols], bool)
    if targets.band is None or watched.all():
        return
    alone = np.isnan(said.values[:, watched]).all(axis=1)
    if alone.any():
        at = f"{market.time[said.bars[alone.argmax()]]:%Y-%m-%d %H:%M}"
        seen = [symbol for symbol, looked_at in zip(said.symbols, watched, strict=True) if looked_at]
        raise InputError(
            f"targets: the row at {at} names no symbol that the band looks at ({', '.join(seen)}), so "
            "it would never be followed; name one in it, or give the band for all"
        )


def must_be_priced(said: Said, targets: Targets, market: Market) -> None:
    """InputError for a size that a price has to make contracts of, at a close when nobody knew one: what the history
    holds there is the price it will open at. No size at all is none at any price.
    """
    for column, symbol in enumerate(said.symbols):
        early = said.values[: np.searchsorted(said.bars, market.sized_from(symbol, targets.unit)), column]
        wishes = (early != 0.0) & ~np.isnan(early)
        if wishes.any():
            row = int(wishes.argmax())
            raise InputError(
                f"targets: {early[row]:g} of {symbol} at {market.time[said.bars[row]]:%Y-%m-%d %H:%M} (unit = "
                f"{targets.unit!r}) cannot be told in contracts: it had no price by that close; write NaN until it has"
            )


def cuts_of(said: Said, history: History) -> list[int]:
    """Numbers of bars after which the table is made again: spread over history, after rows that differ from the one
    before, after those that differ most, and right before the largest moves of a traded price.
    """
    bars, values = len(history.time), said.values
    same = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    news = np.ones(len(values), bool)
    news[1:] = ~same.all(axis=1) | (np.diff(said.bars) > 1)  # that a row stands there at all is news as well
    rows = said.bars[news]
    chosen = rows[np.linspace(0, len(rows) - 1, min(CHANGES, len(rows))).astype(int)] + 1
    wished = [
        *(int(bars * share) for share in CUTS),
        *(int(cut) for cut in largest_moves(said.symbols, history)),
        *(int(row) + 1 for row in said.bars[largest_changes(said)]),
        *(int(cut) for cut in chosen),
    ]
    kept = dict.fromkeys(max(cut, LEAST_BARS) for cut in wished)
    return sorted([cut for cut in kept if cut < bars][:MOST_CUTS])


def cut_of(said: Said, turn: int, bars: int) -> list[int]:
    """The number of bars right after a row, another one at each turn until all had theirs; none without such a row."""
    rows = said.bars[(said.bars + 1 >= LEAST_BARS) & (said.bars + 1 < bars)]
    many = len(rows)
    if not many:
        return []
    stride = next(step for step in count(int(STRIDE * many)) if gcd(step, many) == 1)
    return [int(rows[turn * stride % many]) + 1]


def largest_moves(symbols: Sequence[str], history: History) -> npt.NDArray[np.int64]:
    """The bars over which a traded symbol's close moved furthest, of any of them: cut there, the bar is not known."""
    moves = np.zeros(max(0, len(history.time) - 1))
    for k, instrument in enumerate(history.instruments):
        if instrument.symbol in symbols:
            close = history.close[k]
            np.maximum(moves, np.abs(close[1:] / close[:-1] - 1.0), out=moves)
    return where_largest(moves) + 1


def largest_changes(said: Said) -> npt.NDArray[np.int64]:
    """The rows that differ most from the bar before, each column by its own largest value; a bar without is all 0."""
    sizes = np.nan_to_num(said.values)
    scale = np.abs(sizes).max(axis=0, initial=0.0)
    shares = sizes / np.where(scale > 0.0, scale, 1.0)
    before = np.zeros_like(shares)
    before[1:] = np.where(np.diff(said.bars)[:, None] > 1, 0.0, shares[:-1])
    return where_largest(np.abs(shares - before).sum(axis=1))


def where_largest(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Where the LARGEST values above 0 are, largest first, of equal ones the earlier."""
    left, found = values.copy(), list[int]()
    for _ in range(min(LARGEST, len(values))):
        at = int(left.argmax())
        if left[at] > 0.0:
            found.append(at)
            left[at] = 0.0
    return np.array(found, np.int64)


def compare_past(strategy: Strategy, whole: pd.DataFrame, part: pd.DataFrame | None, cut: int) -> None:
    """InputError at the first cell in which the two tables differ before the cut."""
    if part is None:
        raise InputError(f"{type(strategy).__name__} gives targets on all of history and none on its first {cut} bars")
    silent = np.full(cut, np.nan)
    for symbol in whole.columns.union(part.columns, sort=False):  # a universe chosen afterwards shows in the columns
        one = whole[symbol].to_numpy()[:cut] if symbol in whole else silent
        other = part[symbol].to_numpy() if symbol in part else silent
        if np.array_equal(one, other, equal_nan=True):
            continue
        same = np.isclose(one, other, rtol=1e-12, atol=0.0, equal_nan=True)
        if not same.all():
            bar = int(np.argmin(same))
            at, known = f"{whole.index[bar]:%Y-%m-%d %H:%M}", f"{whole.index[cut]:%Y-%m-%d %H:%M}"
            raise InputError(
                f"{type(strategy).__name__} looks ahead: its target of {symbol} at {at} is {one[bar]:.12g} knowing all "
                f"of history and {other[bar]:.12g} knowing it up to {known}; row i may only use what closed by bar i"
            )


def said_by(frame: pd.DataFrame, market: Market) -> Said:
    """The rows of a table by bar. InputError for unknown symbols, stray times and values that are no size."""
    known, symbols = market.symbols, frame.columns.tolist()
    for symbol in symbols:
        if symbol not in known:
            raise InputError(f"targets: {symbol!r} is not in this run; valid: {', '.join(known)}")
    if not isinstance(frame.index, pd.DatetimeIndex) or frame.index.tz is None:
        raise InputError("targets: the index must be bar open times in UTC (use market.time)")
    if frame.index.has_duplicates:
        raise InputError(f"targets: {frame.index[frame.index.duplicated()][0]} stands there twice")
    try:
        bars = market.bars_of(frame.index)
    except pd.errors.OutOfBoundsDatetime:
        raise InputError("targets: the index has a time that no bar can have; use market.time") from None
    if (bars < 0).any():
        raise InputError(f"targets: {frame.index[bars < 0].min()} is not the open of a bar of this run")
    if frame.columns.has_duplicates:
        raise InputError(f"targets: {frame.columns[frame.columns.duplicated()][0]!r} has two columns")
    said = frame.to_numpy()
    try:
        if said.dtype != np.float64:  # if it is, every column is one of numbers
            for symbol in symbols:
                _must_be_sizes(symbol, frame[symbol])
            said = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    except (OverflowError, TypeError, ValueError) as error:
        raise InputError(f"targets: every value must be a number or NaN ({error})") from error
    if np.isinf(said).any():
        raise InputError("targets: an infinite size; write NaN to leave a position alone")
    too_large = np.argwhere(np.abs(said) > HEADROOM)
    if len(too_large):
        row, column = min(too_large.tolist(), key=lambda cell: (bars[cell[0]], cell[1]))
        raise InputError(
            f"targets: {said[row, column]:g} of {symbols[column]} at "
            f"{market.time[bars[row]]:%Y-%m-%d %H:%M} do not fit the ledger (largest amount {HEADROOM:,} units)"
        )
    order = np.argsort(bars, kind="stable")
    order = order[~np.isnan(said[order]).all(axis=1)]
    return Said(bars[order], symbols, np.ascontiguousarray(said[order]))


def _must_be_sizes(symbol: str, column: pd.Series) -> None:
    """InputError for a column of what is no number: a signal that is true or false says no size, nor does text."""
    types, kind, found = pd.api.types, column.dtype, ""
    if types.is_bool_dtype(kind):
        raise InputError(f"targets: {symbol} is true or false; write a size, such as signal * 10.0")
    if types.is_object_dtype(kind) or isinstance(kind, pd.CategoricalDtype):
        if types.infer_dtype(column) not in NUMBERS:
            wrong = [each for each in column if not _is_size(each)]
            found = f"has {wrong[0]!r}" if wrong else ""
    elif not types.is_numeric_dtype(kind) or types.is_complex_dtype(kind):
        found = f"is of kind {kind}"
    if found:
        raise InputError(f"targets: every value must be a number or NaN; {symbol} {found}")


def _is_size(value: object) -> bool:
    """Whether it is a number or nothing."""
    return is_number(value) or isinstance(value, Decimal) or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))
