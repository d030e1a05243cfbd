"""An order as a strategy writes it: what, how much, and on which condition. Nothing is traded before the next bar
opens.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from backtest.errors import InputError, is_number, nearest

KINDS = ("market", "limit", "stop", "take_profit")
TRIGGERS = ("mark", "last")
SIDES = ("long", "short")


@dataclass(frozen=True)
class Order:
    """Buy (`contracts` > 0) or sell, or bring the position to `target` contracts; spot contracts are coins.

    `limit` needs a `price`, `stop` and `take_profit` a `trigger` (read off `mark` or `last`). InputError for an
    order that says neither or both of size and target, or lacks its price.

    In hedge mode a future's order names the position it changes, `position_side` "long" or "short": selling the long
    closes it, selling the short opens it. Sizes keep their sign, so a short's target is negative.
    """

    symbol: str
    contracts: float | None = None
    target: float | None = None
    kind: str = "market"
    price: float | None = None
    trigger: float | None = None
    trigger_by: str = "mark"
    post_only: bool = False
    reduce_only: bool = False
    position_side: str | None = None

    def __post_init__(self) -> None:
        if (self.contracts is None) == (self.target is None):
            said = "neither" if self.contracts is None else "both"
            raise InputError(f"order in {self.symbol}: say either contracts or target, not {said}")
        amount = self.contracts if self.contracts is not None else self.target
        if not is_number(amount):
            raise InputError(f"order in {self.symbol}: {amount!r} is not a number of contracts")
        if amount is None or amount != amount or abs(amount) == float("inf"):
            raise InputError(f"order in {self.symbol}: {amount!r} is not a number of contracts")
        if self.kind not in KINDS:
            raise InputError(f"order in {self.symbol}: no kind {self.kind!r}; {nearest(self.kind, KINDS)}")
        self._must_mean_its_terms()
        self._must_be_on_its_side()
        if self.trigger_by not in TRIGGERS:
            raise InputError(f"order in {self.symbol}: trigger_by is 'mark' or 'last', not {self.trigger_by!r}")
        if self.kind == "limit":
            self._must_be_a_price("price", self.price)
        if self.kind in ("stop", "take_profit"):
            self._must_be_a_price("trigger", self.trigger)
        if self.target is not None and self.kind != "market":
            raise InputError(f"{self.kind} order in {self.symbol}: only a market order can aim at a target")

    def _must_mean_its_terms(self) -> None:
        """Refuse a term that its kind of order has not: it would do nothing, and look as if it did."""
        where = f"order in {self.symbol}"
        if self.kind != "limit" and self.price is not None:
            cure = 'say kind="limit"' if self.kind == "market" else "it fills at the market once triggered"
            raise InputError(f"{where}: a {self.kind} order has no price; {cure} (price = {self.price!r})")
        if self.kind in ("market", "limit") and self.trigger is not None:
            raise InputError(
                f'{where}: a {self.kind} order has no trigger; say kind="stop" or "take_profit" '
                f"(trigger = {self.trigger!r})"
            )
        if self.post_only and self.kind != "limit":
            raise InputError(f'{where}: a {self.kind} order cannot be post_only; say kind="limit"')

    def _must_be_on_its_side(self) -> None:
        if self.position_side is None:
            return
        where = f"order in {self.symbol}"
        if self.position_side not in SIDES:
            raise InputError(f"{where}: no position_side {self.position_side!r}; {nearest(self.position_side, SIDES)}")
        if self.target and (self.target > 0) != (self.position_side == "long"):
            sign = "above" if self.position_side == "long" else "below"
            raise InputError(f"{where}: a {self.position_side}'s target is not {sign} 0, found {self.target!r}")

    def _must_be_a_price(self, name: str, value: float | None) -> None:
        if value is None or not is_number(value) or not 0.0 < value < inf:
            raise InputError(f"{self.kind} order in {self.symbol} needs a {name} above 0, not {value!r}")


@dataclass(frozen=True)
class OpenOrder:
    """An order that waits: `contracts` still to be filled or, where it is a `target`, the position it aims at."""

    id: int
    symbol: str
    kind: str
    contracts: float
    target: bool
    price: float | None
    trigger: float | None
    position_side: str | None = None
