"""What is required of an account and what counts for it; each file reads like a page of a rule book.

The folder answers when it is called: `backtest.margin("account.toml")` is the margin calculator, which asks these
rules of one account (`backtest.calculator`).
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backtest.calculator import Answer


class _RuleBook(ModuleType):
    """This module, callable."""

    def __call__(self, account: Any, **what_if: Any) -> Answer:
        """The venue's own numbers for an account; see `backtest.calculator.margin`."""
        from backtest.calculator import margin

        return margin(account, **what_if)


sys.modules[__name__].__class__ = _RuleBook
