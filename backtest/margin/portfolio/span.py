"""stub"""

from __future__ import annotations
from backtest.kernel import kernel

NAMES: tuple[str, ...] = ()
LADDERS: tuple[str, ...] = ()
PARTS: tuple[str, ...] = ()


@kernel
def charge_span(charge, cell, leg, many, number, grid, band):
    """stub"""
    charge[0] = 0.0
