"""An order as a strategy writes it: what, how much, and on which condition. Nothing is traded before the next bar
opens.
"""

from __future__ import annotations

from dataclasses import dataclass

from backtest.errors import InputError, nearest

KINDS = ("market", "limit", "stop", "take_profit")


@dataclass(frozen=True)
class Order:
    """Buy (`contracts` > 0) or sell, or bring the position to `target` contracts; spot contracts are coins.

    `limit` needs a `price`, `stop` and `take_profit` a `trigger` (read off `mark` or `last`). InputError for an order that
    says neither or both of size and target, or lacks its price.
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

    def __post_init__(self) -> None:
        if (self.contracts is None) == (self.target is None):
            raise InputError(
                f"order in {self.symbol}: say either contracts or target, not {'both' if self.target else 'neither'}"
            )
        amount = self.contracts if self.contracts is not None else self.target
        if amount is None or amount != amount or abs(amount) == float("inf"):
            raise InputError(f"order in {self.symbol}: {amount!r} is not a number of contracts")
        if self.kind not in KINDS:
            raise InputError(f"order in {self.symbol}: no kind {self.kind!r}; {nearest(self.kind, KINDS)}")
        if self.trigger_by not in ("mark", "last"):
            raise InputError(f"order in {self.symbol}: trigger_by is 'mark' or 'last', not {self.trigger_by!r}")
        if self.kind == "limit" and not self.price:
            raise InputError(f"limit order in {self.symbol} needs a price")
        if self.kind in ("stop", "take_profit") and not self.trigger:
            raise InputError(f"{self.kind} order in {self.symbol} needs a trigger")
        if self.target is not None and self.kind != "market":
            raise InputError(f"{self.kind} order in {self.symbol}: only a market order can aim at a target")
