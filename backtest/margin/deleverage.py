"""Auto-deleveraging: who among the winners pays for what the losers could not.

A policy answers with haircuts, by winner the fraction of equity taken; together they take the budget, which may not
exceed the winners' equity. Source: Chitra, arXiv 2512.01112.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from backtest.errors import InputError

Floats = npt.NDArray[np.float64]


def queue(equity: Sequence[float], rank: Sequence[float], budget: float) -> Floats:
    """Haircuts [winner] filled from the highest `rank` (PnL x leverage at most venues); equal ranks keep their order.

    `equity` > 0 and `budget` in USD. Source: arXiv 2512.01112, the queue policy.
    """
    worth = _winners(equity, budget)
    taken, left = np.zeros_like(worth), budget
    for i in np.argsort(-np.asarray(rank, dtype=np.float64), kind="stable"):
        taken[i] = min(left, worth[i])
        left -= taken[i]
    return taken / worth


def pro_rata(equity: Sequence[float], budget: float) -> Floats:
    """The same haircut of every winner: budget / sum of equity. Source: arXiv 2512.01112, pro rata."""
    worth = _winners(equity, budget)
    return np.full_like(worth, budget / worth.sum())


def levered_pro_rata(equity: Sequence[float], leverage: Sequence[float], budget: float) -> Floats:
    """Haircuts in proportion to leverage; who would lose more than all equity loses all, and the others the rest.

    `leverage` > 0 by winner. Source: arXiv 2512.01112, levered pro rata.
    """
    return capped_pro_rata(equity, np.ones(len(equity)), budget, leverage)


def capped_pro_rata(
    equity: Sequence[float], cap: Sequence[float] | Floats, budget: float, weight: Sequence[float] | None = None
) -> Floats:
    """Haircuts in one proportion (of `weight`, if given) up to each winner's `cap`, a fraction of equity.

    Water-filling: what a capped winner does not pay the others share; the order of accounts does not matter. Refuses
    a budget beyond the sum of cap x equity. Source: arXiv 2512.01112, capped pro rata.
    """
    worth = _winners(equity, budget)
    share = np.ones_like(worth) if weight is None else np.asarray(weight, dtype=np.float64)
    limit = np.minimum(np.asarray(cap, dtype=np.float64), 1.0)
    if budget > float(limit @ worth) * (1.0 + 1e-12):
        raise InputError(f"deleverage: budget {budget:g} is more than the caps let anyone take, {limit @ worth:g}")
    haircut, left = limit.copy(), budget
    full_at = limit / share  # the common level at which each winner's cap binds
    order = np.argsort(full_at, kind="stable")
    for k, i in enumerate(order):
        rest = order[k:]
        level = left / float(share[rest] @ worth[rest])
        if level <= full_at[i]:
            haircut[rest] = level * share[rest]
            break
        left -= float(limit[i] * worth[i])
    return haircut


def socialised_loss(bankrupt: float, *, insurance: float, total_balance: float) -> float:
    """Fraction by which every withdrawal is cut: what insurance does not cover / total balance; at most 1.

    `bankrupt`: the sum below zero of accounts, positive. Source: docs.paradex.trade/risk, as its example computes.
    """
    return min(1.0, max(0.0, bankrupt - insurance) / total_balance)


def _winners(equity: Sequence[float], budget: float) -> Floats:
    """The winners' equity, once it is known to pay the budget."""
    worth = np.asarray(equity, dtype=np.float64)
    if not bool((worth > 0.0).all()):
        raise InputError(f"deleverage: a winner's equity must be above 0; the lowest is {worth.min():g}")
    if not 0.0 <= budget <= worth.sum():
        raise InputError(f"deleverage: budget {budget:g} must be between 0 and the winners' equity {worth.sum():g}")
    return worth
