"""The colours of pictures and pages: readable on white and on black, and a margin mode's is its own everywhere."""

from __future__ import annotations

INK = {
    "equity": "#3874c8", "collateral": "#cf7a1c", "ratio": "#2f9464", "level": "#d0453c", "other": "#8a94a0",
    "initial": "#3874c8", "maintenance": "#a35bbd", "mark": "#7d8894", "buy": "#2f9464", "sell": "#cf7a1c",
    "call": "#d19a1b", "moved": "#3874c8",
}  # fmt: skip
MODE_INK = {
    "isolated": "#cf7a1c", "cross": "#d0558e", "multi_asset": "#2f9464", "portfolio": "#3874c8",
    "portfolio_pro": "#7a62d3", "generic scenarios": "#1b9aa8", "generic tail": "#8a7a4f",
}  # fmt: skip
PART_INK = {
    "price": "#3874c8", "basis": "#1b9aa8", "fx": "#8a94a0", "funding": "#2f9464", "fees": "#cf7a1c",
    "execution": "#b08a2e", "interest": "#a35bbd", "liquidation": "#d0453c", "insurance and write-off": "#d0558e",
    "deposits and withdrawals": "#5e6b78", "transfer cost": "#7a62d3", "conversion cost": "#8a7a4f",
    "residual": "#b7bec6",
}  # fmt: skip
SERIES = ("#3874c8", "#cf7a1c", "#2f9464", "#a35bbd", "#1b9aa8", "#d0558e", "#b08a2e", "#7a62d3")
GRID = "#e7e7e7"


def mode_ink(label: str, number: int) -> str:
    """A margin mode's own colour; of any other label the next of a series."""
    return MODE_INK.get(label, SERIES[number % len(SERIES)])


def faint(ink: str, share: float = 0.14) -> str:
    """A colour let through to so much, for areas."""
    red, green, blue = (int(ink[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share})"
