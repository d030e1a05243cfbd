"""What an account's parts are reckoned with: amounts that stand still between some bars, and moves from bar to bar."""

from __future__ import annotations

import numpy as np

from backtest.report.record import Floats, Ints, summed

QUOTES = frozenset(("USD", "USDT", "USDC", "FDUSD", "BUSD", "TUSD", "DAI", "USDE", "EUR", "BNFCR", "BFUSD"))
"""Currencies that things are priced in: their own moves are `fx`, a coin's are `price`."""


def part_of_asset(asset: str) -> str:
    """Where an asset's own price moves are booked."""
    return "fx" if asset in QUOTES else "price"


class Steps:
    """What stands still between some bars: sums so far, or what a position cost."""

    def __init__(self, bars: Ints, values: Floats) -> None:
        self.bars, self.values = bars, np.concatenate(([0.0], values))

    @staticmethod
    def summed(bars: Ints, amounts: Floats) -> Steps:
        """Amounts added up, bar by bar."""
        known = np.unique(bars)
        return Steps(known, np.cumsum(on(known, bars, amounts)))

    def after(self, bars: Ints) -> Floats:
        """The value after each of some bars."""
        return self.values[np.searchsorted(self.bars, bars, side="right")]

    def before(self, part: slice) -> Floats:
        """The value that each bar of a stretch began with."""
        return self.after(np.arange(part.start - 1, part.stop - 1))


def on(known: Ints, bars: Ints, amounts: Floats) -> Floats:
    """Amounts summed into some bars, all of which are known."""
    return summed(np.searchsorted(known, bars), amounts, len(known))


def moves(after: Floats, start: float) -> Floats:
    """By how much each bar changed it, from what each ended with."""
    moved = np.empty_like(after)
    moved[:1] = after[:1] - start
    np.subtract(after[1:], after[:-1], out=moved[1:])
    return moved
