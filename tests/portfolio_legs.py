"""Legs of a risk unit for the tests of portfolio-margin pages, a page's answer by name, and option values by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from backtest.margin.portfolio import unit

Leg = np.ndarray


def leg(kind: float, coins: float, price: float, **more: float) -> Leg:
    column = np.zeros(unit.LEG_ROWS)
    given = {"kind": kind, "coins": coins, "price": price, "index": price, "usd": 1.0, "forward": price, **more}
    for name, value in given.items():
        column[getattr(unit, f"LEG_{name.upper()}")] = value
    return column


def future_leg(
    coins: float, price: float, *, index: float | None = None, years: float = 0.0, coined: bool = False
) -> Leg:
    return leg(unit.IS_FUTURE, coins, price, index=index or price, years=years, coined=float(coined))


def spot_leg(coins: float, price: float) -> Leg:
    return leg(unit.IS_SPOT, coins, price, position=-1.0)


def option_leg(
    coins: float, strike: float, forward: float, *, years: float, volatility: float, call: int, price: float,
    coined: bool = False,
) -> Leg:  # fmt: skip
    more = {"strike": strike, "years": years, "volatility": volatility, "call": float(call), "coined": float(coined)}
    return leg(unit.IS_OPTION, coins, price, index=forward, forward=forward, **more)


def legs_of(legs: Sequence[Leg]) -> np.ndarray:
    return np.ascontiguousarray(np.array(legs).T) if len(legs) else np.zeros((unit.LEG_ROWS, 1))


class Asked:
    """What a page charged: margins and parts by name, profit by scenario."""

    def __init__(
        self, page: Callable[..., None], names: Any, numbers: Mapping[str, float], legs: np.ndarray, grid: np.ndarray,
        wide: int | None = None,
    ) -> None:  # fmt: skip
        assert set(numbers) == set(names.NAMES)
        assert len(names.NAMES) <= unit.NUMBERS and unit.FIRST_PART + len(names.PARTS) <= unit.CHARGES
        number = np.zeros(unit.NUMBERS)
        number[: len(names.NAMES)] = [numbers[name] for name in names.NAMES]
        self.charge, cell = np.full(unit.CHARGES, 99.0), np.full((unit.CELL_ROWS, wide or grid.shape[1]), 99.0)
        many = int(np.count_nonzero(legs.any(axis=0)))
        page(self.charge, cell, legs, many, number, np.ascontiguousarray(grid), np.zeros((1, 2, 1)))
        self.maintenance, self.initial, self.delta = (float(self.charge[k]) for k in range(3))
        self.moves, self.cells, self.parts = cell[unit.CELL_MOVE], cell[unit.CELL_PROFIT], names.PARTS

    def part(self, name: str) -> float:
        return float(self.charge[unit.FIRST_PART + self.parts.index(name)])


def call_leg(forward: float, strike: float, years: float, volatility: float) -> float:
    """Black's call in the quote currency."""
    spread = volatility * years**0.5
    above = np.log(forward / strike) / spread + spread / 2
    normal = NormalDist().cdf
    return float(forward * normal(above) - strike * normal(above - spread))


def put_leg(forward: float, strike: float, years: float, volatility: float) -> float:
    """By put-call parity."""
    return call_leg(forward, strike, years, volatility) - forward + strike
