"""What a Paradex account owes beside its portfolio margin: margin for orders, and shared losses.

Source: docs.paradex.trade/risk (repository tradeparadex/paradex-docs, 2026-08-20). Its text on socialised losses
contradicts its example; see `socialised_share`.
"""

from __future__ import annotations


def net_initial_margin(
    position: float, buys: float, sells: float, mark: float, fraction: float
) -> tuple[float, float, float]:
    """Coins that could be opened long and short, and initial margin in USD of the larger side.

    `position` signed, `buys` and `sells` resting orders, all in coins; `fraction` the initial margin fraction.
    """
    long, short = max(0.0, buys + position), max(0.0, sells - position)
    return long, short, max(long, short) * mark * fraction


def socialised_share(bankrupt: float, insurance: float, balance: float) -> tuple[float, float]:
    """Share by which a withdrawal is cut, and the loss beyond the insurance fund, USD.

    By the formula of the page: loss / (balance + loss), with `balance` the users' own. Read so it agrees with the
    page's example (1,000 / 4,000); with the insurance fund counted into the balance it would not.
    """
    loss = max(bankrupt - insurance, 0.0)
    return (loss / (balance + loss) if loss > 0.0 else 0.0), loss
