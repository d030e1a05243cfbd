"""Backtests of collateralized crypto strategies: what the account was worth, what its venue required, and what it cost.

result = backtest.run("configs/hedged_long.toml")
result.stats
answer = backtest.margin("configs/account.toml")
answer.account
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backtest.config import load_config
    from backtest.errors import InputError
    from backtest.report.result import Result, load
    from backtest.research.compare import compare
    from backtest.research.compared import load_comparison
    from backtest.research.run import run
    from backtest.research.sweep import sweep
    from backtest.research.sweep_result import load_sweep
    from backtest.strategy import Order, Strategy, Targets

__version__ = "0.1.0"
__all__ = [
    "run", "compare", "sweep", "margin", "load", "load_comparison", "load_sweep", "Strategy", "Targets", "Order",
    "Result", "InputError", "load_config", "__version__",
]  # fmt: skip

_HOME = {
    "run": "backtest.research.run",
    "compare": "backtest.research.compare",
    "sweep": "backtest.research.sweep",
    "load": "backtest.report.result",
    "load_comparison": "backtest.research.compared",
    "load_sweep": "backtest.research.sweep_result",
    "Result": "backtest.report.result",
    "Strategy": "backtest.strategy",
    "Targets": "backtest.strategy",
    "Order": "backtest.strategy",
    "InputError": "backtest.errors",
    "load_config": "backtest.config",
}


def __getattr__(name: str) -> object:
    """Public names are fetched when first used, so that `import backtest` costs nothing."""
    if name == "margin":  # the folder of margin rules, which answers for an account when it is called
        return import_module("backtest.margin")
    if name not in _HOME:
        raise AttributeError(f"module 'backtest' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, "margin"})
