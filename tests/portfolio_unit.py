"""One unit on the table: legs written by hand, a page asked, its parts by name. For single rules, uncompiled."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import portfolio_legs
import pytest

from backtest.margin.portfolio.unit import (
    CELL_ROWS,
    CHARGES,
    EXTRA_CELLS,
    FIRST_PART,
    IS_FUTURE,
    IS_OPTION,
    IS_SPOT,
    NUMBERS,
)

UNCOMPILED = [
    pytest.mark.jit_off,
    pytest.mark.skipif(
        os.environ.get("NUMBA_DISABLE_JIT") != "1", reason="asks single rules, which can be called uncompiled only"
    ),
]


def leg(coins: float, index: float, price: float | None = None, kind: str = "future", **more: float) -> np.ndarray:
    """A column of the table of legs; `more`: years, coined, usd, settle, strike, call, volatility, forward."""
    kinds = {"spot": IS_SPOT, "future": IS_FUTURE, "option": IS_OPTION}
    usual = {"index": index, "forward": index, "settle": 1.0, "position": -1.0 if kind == "spot" else 0.0}
    return portfolio_legs.leg(kinds[kind], coins, index if price is None else price, **{**usual, **more})


class Unit:
    """A page asked of some legs."""

    def __init__(
        self, page: Any, charge_page: Any, legs: list[np.ndarray], grid: Any, bands: Any = (), **numbers: float
    ):
        self.page = page
        self.leg = np.ascontiguousarray(np.column_stack(legs))
        self.grid = np.ascontiguousarray(np.array(grid, float).T)
        number = np.zeros(NUMBERS)
        for name, value in numbers.items():
            number[page.NAMES.index(name)] = value
        steps = max([1] + [len(rows) for rows in bands])
        band = np.zeros((max(1, len(bands)), 2, steps))
        band[:, 0] = np.inf
        for k, rows in enumerate(bands):
            band[k, :, : len(rows)] = np.array(rows, float).T
        self.number, self.band = number, band
        self.charge, self.cell = np.zeros(CHARGES), np.zeros((CELL_ROWS, self.grid.shape[1] + EXTRA_CELLS))
        charge_page(self.charge, self.cell, self.leg, len(legs), number, self.grid, band)

    def part(self, name: str) -> float:
        """A part of the charge by the page's name for it."""
        return float(self.charge[FIRST_PART + self.page.PARTS.index(name)])
