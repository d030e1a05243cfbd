"""Against margin that is lowest just before a crash: the three tools of which a European clearing house needs one.

a  a buffer of a quarter on top, which may be used up when margin rises, so that the call is smaller then
b  at least a quarter of the weight on stressed observations
c  never below what ten years of moves ask for

Tool b is in `margin.tail` already (`stressed_weight`), and a floor on gross beside it. Source: Article 28 of Commission
Delegated Regulation (EU) 153/2013.
"""

from __future__ import annotations

from backtest.kernel import entry

BUFFER = 0.25  # tool a: least share of the calculated margin
STRESSED_WEIGHT = 0.25  # tool b: least weight
FLOOR_YEARS = 10  # tool c


@entry
def with_buffer(margin, buffer, released):
    """Tool a: margin with a buffer of which a share `released` (0 all there, 1 used up) has been given back."""
    return margin * (1.0 + buffer * (1.0 - released))


@entry
def released_share(margin, calm, buffer):
    """Share of the buffer to release, so that margin stays at calm x (1 + buffer) for as long as the buffer lasts.

    `calm` is the margin at which the buffer was built up. Needs margin > 0 and buffer > 0.
    """
    kept = (calm * (1.0 + buffer) / margin - 1.0) / buffer
    return 1.0 - min(max(kept, 0.0), 1.0)


@entry
def with_stress(margin, stressed, weight):
    """Tool b: margin with `weight` on what stressed observations ask for."""
    return (1.0 - weight) * margin + weight * stressed


@entry
def with_floor(margin, long_run):
    """Tool c: margin no lower than that of the long run."""
    return max(margin, long_run)
