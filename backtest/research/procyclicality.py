"""Margin that does not jump in a crisis: the three tools of EMIR, Delegated Regulation 153/2013, Article 28.

A clearing house applies at least one of them. Each works on margins in one currency, whatever model they come from.
"""

from __future__ import annotations

BUFFER = 0.25  # Article 28(1)(a): at least this much on top
STRESSED_WEIGHT = 0.25  # Article 28(1)(b): at least this weight


def buffered(margin: float, *, buffer: float = BUFFER, released: float = 0.0) -> float:
    """(a): margin x (1 + buffer x (1 - released)); `released`, 0 to 1, is the part of the buffer used up in stress."""
    return margin * (1.0 + buffer * (1.0 - released))


def stress_weighted(margin: float, stressed_margin: float, *, weight: float = STRESSED_WEIGHT) -> float:
    """(b): (1 - weight) x margin + weight x the margin from stressed observations."""
    return (1.0 - weight) * margin + weight * stressed_margin


def floored(margin: float, ten_year_margin: float) -> float:
    """(c): the higher of margin and the margin that the volatility of ten years asks for."""
    return max(margin, ten_year_margin)
