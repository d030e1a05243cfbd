"""The price at which a position's wallet has just as much as its maintenance margin asks: its liquidation price.

The wallet's balance and what its other positions earn and need are held still; one price moves. With N the position's
notional there, W the balance, U and T the profit and maintenance of the others, d the bracket's deduction:

    W + U + profit(N) = level x (T + rate x N - d)

The bracket must be the one that holds N, which is unknown; as maintenance rises more slowly than notional there is one
solution at most, and it is looked for bracket by bracket. A solution below zero means that no price of this leg
liquidates the wallet. Source: Binance FAQ b3c689c1f50a44cabb3a84e663b81d93 (linear), ceccfcfb4e3a45e3b48b0b1bb1a8ae46
(inverse).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol


class Bracket(Protocol):
    """Maintenance of a notional above `floor` is rate x notional - deduction."""

    @property
    def floor(self) -> float: ...
    @property
    def rate(self) -> float: ...
    @property
    def deduction(self) -> float: ...


def liquidation_price(
    contracts: float,
    entry: float,
    balance: float,
    brackets: Sequence[Bracket],
    *,
    contract_size: float = 1.0,
    inverse: bool = False,
    others_profit: float = 0.0,
    others_maintenance: float = 0.0,
    level: float = 1.0,
) -> float | None:
    """Liquidation price of `contracts` (signed) opened at `entry`; None where this leg alone cannot bring it about.

    `balance`, `others_profit` and `others_maintenance` of the wallet, and the brackets' floors and deductions, are in
    the settlement asset; prices in the quote currency. `level`: the ratio at which the venue liquidates.
    """
    assert contracts != 0.0 and entry > 0.0, "no position, no liquidation price"
    size = abs(contracts) * contract_size
    at_entry = size / entry if inverse else size * entry
    slope = 1.0 if (contracts > 0.0) != inverse else -1.0  # profit by notional; an inverse long's falls in a rise
    spare = balance + others_profit - level * others_maintenance - slope * at_entry
    for bracket, cap in _with_caps(brackets):
        notional = -(spare + level * bracket.deduction) / (slope - level * bracket.rate)
        if bracket.floor < notional <= cap:
            return size / notional if inverse else notional / size
    return None


def _with_caps(brackets: Sequence[Bracket]) -> list[tuple[Bracket, float]]:
    """Each bracket with the notional up to which it holds."""
    caps = [high.floor for _, high in pairwise(brackets)]
    return list(zip(brackets, [*caps, float("inf")], strict=True))
