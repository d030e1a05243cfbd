"""Which way a figure is better: more return, less drawdown; of many others neither."""

from __future__ import annotations

HIGHER = (
    "Total Return [%]", "Lowest Margin Ratio", "Lowest Margin Ratio, close", "Lowest Margin Ratio, low then high",
    "Lowest Margin Ratio, each worst", "Return on Least Capital [%]", "Return on Margin [%]", "Funding",
)  # fmt: skip
LOWER = (
    "Least Capital", "Peak Utilization", "Average Initial Margin", "Peak Initial Margin", "Max Drawdown [%]",
    "Average Haircut", "Worst Haircut",
)  # fmt: skip
ALSO_HIGHER = ("Sharpe", "Sortino", "Calmar", "Annualised Return [%]", "End Equity")
ALSO_LOWER = ("Volatility [%]", "Liquidations", "Refusals")
"""Between points of a sweep; between margin modes they say little of the mode."""


def way(label: str) -> int:
    """1 where more of a figure is better, -1 where less is, 0 where neither; `label (account)` as `label`."""
    label = label if _known(label) else label.rpartition(" (")[0]
    return 1 if label in (*HIGHER, *ALSO_HIGHER) else -1 if label in (*LOWER, *ALSO_LOWER) else 0


def _known(label: str) -> bool:
    return label in (*HIGHER, *ALSO_HIGHER, *LOWER, *ALSO_LOWER)
