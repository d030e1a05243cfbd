"""What was last made of a history, kept while the history is there: many accounts are taken through the same one."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

from backtest.market.history import History

Made = TypeVar("Made")


class Last(Generic[Made]):
    """The last thing made, of which history, and for what. Accounts may ask side by side: each gets its own answer."""

    def __init__(self) -> None:
        self._kept: tuple[weakref.ref[History], object, Made] | None = None

    def of(self, history: History, made_for: object, make: Callable[[], Made]) -> Made:
        """What `make` makes, or made the last time for the same."""
        kept = self._kept
        if kept is not None and kept[0]() is history and kept[1] == made_for:
            return kept[2]
        made = make()
        self._kept = weakref.ref(history, self._forget), made_for, made
        return made

    def _forget(self, gone: weakref.ref[History]) -> None:
        if self._kept is not None and self._kept[0] is gone:
            self._kept = None
