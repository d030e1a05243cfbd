"""What a run, a comparison, a sweep or an account shows as the last line of a notebook's cell: the verdict, then a
short table. Whatever a config says is escaped; the whole of it stays in the object's frames.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from backtest.report.html import figures_table, frame_table
from backtest.report.subject import Subject
from backtest.report.verdict import verdict_of

if TYPE_CHECKING:
    from backtest.calculator.snapshot import Snapshot
    from backtest.report.result import Result
    from backtest.research.compare import Comparison
    from backtest.research.sweep_result import SweepResult

FIRST_LOOK = (
    "Margin Mode", "Survived", "Lowest Margin Ratio", "Lowest Margin Ratio At", "Peak Utilization", "Liquidations",
    "Start Equity", "End Equity", "Total Return [%]", "Return of Holding the Deposit [%]", "Max Drawdown [%]", "Sharpe",
    "Funding", "Fees", "Least Capital",
)  # fmt: skip
"""The figures that are looked at first, in the order in which they are asked."""
POINT_FIGURES = ("status", "Total Return [%]", "Sharpe", "Max Drawdown [%]", "Lowest Margin Ratio", "Liquidations")
MOST_POINTS = 20


def result_cell(result: Result) -> str:
    """A run: a verdict an account, and its first figures."""
    names = result.record.account_names
    told = [
        _sentence((f"{name}: " if len(names) > 1 else "") + verdict_of(Subject(result, name)).sentence)
        for name in names
    ]
    first = result.figures.loc[[label for label in FIRST_LOOK if label in result.figures.index]]
    more = f"{len(result.figures)} figures in all: .stats"
    return f"{_title(result.name)}{''.join(told)}{figures_table(first)}{_aside(more)}"


def comparison_cell(comparison: Comparison) -> str:
    """A comparison: the verdict, and both experiments."""
    tables = [f"<h4>{escape(name)}</h4>{figures_table(table)}" for name, table in comparison.tables().items()]
    return f"{_title(comparison.name)}{_sentence(comparison.verdict)}{''.join(tables)}"


def sweep_cell(sweep: SweepResult, verdict: str) -> str:
    """A sweep: its verdict, then its windows, or where there are none its first points."""
    if sweep.windows is not None:
        shown = sweep.windows.drop(columns=["window", "statistic", "trials"])
        return f"{_title(sweep.name)}{_sentence(verdict)}{frame_table(shown)}"
    names = [*sweep.settings, *(name for name in POINT_FIGURES if name in sweep.points)]
    more = f"{len(sweep.points)} points, every figure of each: .points"
    return f"{_title(sweep.name)}{_sentence(verdict)}{frame_table(sweep.points[names].head(MOST_POINTS))}{_aside(more)}"


def snapshot_cell(snapshot: Snapshot) -> str:
    """An account as it was typed in: balances, positions, prices."""
    at = f", rules of {snapshot.at:%Y-%m-%d}" if snapshot.at else ""
    tables = [f"<h4>{name}</h4>{frame_table(frame)}" for name, frame in snapshot_frames(snapshot).items() if len(frame)]
    about = f"{snapshot.venue}, {snapshot.mode}{at}; backtest.margin(...) says what the venue requires of it."
    return f"{_title(snapshot.name)}{_sentence(about)}{''.join(tables)}"


def snapshot_frames(snapshot: Snapshot) -> dict[str, pd.DataFrame]:
    """Tables of an account: `wallets` (wallet, asset, balance), `positions` and `orders` (what was said of each),
    `prices` (USD a coin, or the mark of a symbol).
    """
    balances = [
        {"wallet": wallet, "asset": asset, "balance": amount}
        for key, given in snapshot.wallets.items()
        for wallet, asset, amount in _balances(key, given)
    ]
    balances += [{"wallet": "loans", "asset": asset, "balance": -amount} for asset, amount in snapshot.loans.items()]
    return {
        "wallets": pd.DataFrame(balances),
        "positions": pd.DataFrame([p.model_dump(exclude_none=True) for p in snapshot.positions]),
        "orders": pd.DataFrame([order.model_dump(exclude_none=True) for order in snapshot.orders]),
        "prices": pd.DataFrame(snapshot.prices.items(), columns=["price of", "USD"]),
    }


def _balances(key: str, given: float | dict[str, float]) -> list[tuple[str, str, float]]:
    """Wallet, asset and amount of one key of `wallets`, which is an asset, or a wallet that holds some."""
    return [(key, asset, amount) for asset, amount in given.items()] if isinstance(given, dict) else [("", key, given)]


def _title(name: str) -> str:
    return f"<h3>{escape(name)}</h3>"


def _sentence(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _aside(text: str) -> str:
    return f"<p><small>{escape(text)}</small></p>"
