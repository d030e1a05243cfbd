"""Auto-deleveraging: which winners pay for what the losers could not, and how much of their equity.

A budget (the share of the deficit that is to be taken) is spread over the winners as haircuts, fractions of equity.
Queue: the first of the ranking pays with all it has before the second pays at all. Pro rata: all pay alike, or in
proportion to a weight such as leverage, nobody more than all. In a hedged book deleveraging closes the winning short
and leaves the spot naked. Source: Chitra, arXiv 2512.01112.
"""

from __future__ import annotations

from collections.abc import Sequence


def equity_at(contracts: float, entry: float, collateral: float, mark: float) -> float:
    """Collateral and profit at the mark."""
    return collateral + contracts * (mark - entry)


def queue(equity: Sequence[float], ranking: Sequence[int], budget: float) -> list[float]:
    """Haircut by account: along the ranking (places in `equity`), each in full until the budget is covered.

    The venue chooses what it ranks by (profit x leverage, leverage alone). Accounts without equity pay nothing.
    """
    haircut, left = [0.0] * len(equity), budget
    for k in ranking:
        if equity[k] > 0.0:
            taken = min(left, equity[k])
            haircut[k], left = taken / equity[k], left - taken
    return haircut


def pro_rata(equity: Sequence[float], budget: float, weight: Sequence[float] | None = None) -> list[float]:
    """Haircut by account in proportion to `weight` (alike if None), 1 at most; the sum of haircut x equity is budget.

    What an account that has reached 1 leaves uncovered the others bear, in the same proportion. Asks for no more than
    the winners have: a larger budget takes all of it.
    """
    weights = [1.0] * len(equity) if weight is None else list(weight)
    haircut, left = [0.0] * len(equity), budget
    paying = [k for k, amount in enumerate(equity) if amount > 0.0 and weights[k] > 0.0]
    while paying and left > 0.0:
        level = left / sum(weights[k] * equity[k] for k in paying)
        full = [k for k in paying if weights[k] * level >= 1.0]
        for k in full or paying:
            haircut[k] = 1.0 if full else weights[k] * level
        left = left - sum(equity[k] for k in full) if full else 0.0
        paying = [k for k in paying if k not in full]
    return haircut
