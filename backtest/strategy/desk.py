"""The desk: what a strategy may see of its account and ask for.

Orders written here are traded at the next bar's open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, Protocol

import numpy as np

from backtest.errors import InputError, is_number
from backtest.state import INTERNAL
from backtest.strategy.bar import Bar
from backtest.strategy.orders import OpenOrder, Order

OPEN_WALLETS = ("spot", "usdm", "coinm", "unified", "an isolated symbol")


class Port(Protocol):
    """What the engine answers, account by account."""

    def balances(self, account: int) -> Mapping[str, float]: ...
    def positions(self, account: int) -> Mapping[str, float]: ...
    def balance(self, account: int, asset: str, wallet: str | None = None) -> float: ...
    def contracts(self, account: int, symbol: str, side: str | None = None) -> float: ...
    def entry_price(self, account: int, symbol: str, side: str | None = None) -> float: ...
    def equity(self, account: int) -> float: ...
    def collateral_equity(self, account: int) -> float: ...
    def initial_margin(self, account: int) -> float: ...
    def maintenance_margin(self, account: int) -> float: ...
    def margin_ratio(self, account: int) -> float: ...
    def can_borrow(self, account: int, asset: str) -> bool: ...
    def submit(self, account: int, orders: Sequence[Order], together: bool = False) -> list[int]: ...
    def cancel(self, account: int, order_id: int) -> None: ...
    def transfer(self, account: int, asset: str, amount: float, source: str, target: str) -> None: ...
    def transfer_to(self, account: int, other: str, asset: str, amount: float, source: str, target: str) -> None: ...
    def open_orders(self, account: int) -> list[dict[str, Any]]: ...
    def max_contracts(self, account: int, order: Order) -> float: ...


class Desk:
    """One account's desk at the close of one bar."""

    __slots__ = ("_account", "_balances", "_bar", "_port", "_positions")

    def __init__(self, port: Port, account: int, bar: Bar) -> None:
        self._port, self._account, self._bar = port, account, bar
        self._positions, self._balances = port.positions(account), port.balances(account)

    @property
    def equity(self) -> float:
        """USD, no haircut."""
        return self._port.equity(self._account)

    @property
    def collateral_equity(self) -> float:
        """USD that count for margin."""
        return self._port.collateral_equity(self._account)

    @property
    def initial_margin(self) -> float:
        """USD required."""
        return self._port.initial_margin(self._account)

    @property
    def maintenance_margin(self) -> float:
        """USD below which the venue liquidates."""
        return self._port.maintenance_margin(self._account)

    @property
    def margin_ratio(self) -> float:
        """Lowest collateral / maintenance of a wallet at the last close; +inf without requirement."""
        return self._port.margin_ratio(self._account)

    def position(self, symbol: str, position_side: str | None = None) -> float:
        """Signed contracts, in hedge mode of one side ("long", "short") or of both together; of spot, coins in the spot
        wallet less those owed.
        """
        if position_side is None:
            return self._positions[symbol]
        return self._port.contracts(self._account, symbol, position_side)

    def entry_price(self, symbol: str, position_side: str | None = None) -> float:
        """Average price of the open contracts (in hedge mode the side must be named); NaN when flat."""
        return self._port.entry_price(self._account, symbol, position_side)

    def balance(self, asset: str, wallet: str | None = None) -> float:
        """Units of an asset in a wallet, or in all."""
        return self._balances[asset] if wallet is None else self._port.balance(self._account, asset, wallet)

    def can_borrow(self, asset: str) -> bool:
        """Whether the account may borrow an asset and a rate is known."""
        return self._port.can_borrow(self._account, asset)

    def max_size(self, order: Order) -> float:
        """Contracts of the order's side that every rule would accept now, without sign."""
        if not isinstance(order, Order):
            raise InputError(f"max_size: {order!r} is no order; give Order(symbol, contracts=...) of either sign")
        return self._port.max_contracts(self._account, order)

    def contracts_of(self, symbol: str, *, base: float | None = None, usd: float | None = None) -> float:
        """Contracts worth so many coins, or so many USD at the last close; NaN before there is a price, 0 for none."""
        instrument, bar = self._bar.market.instrument(symbol), self._bar
        if (base is None) == (usd is None):
            raise InputError(f"{symbol}: say either base or usd")
        _must_be_number(symbol, base if base is not None else usd)
        if not (base or usd):
            return 0.0
        coins = base if base is not None else (usd or 0.0) / bar.index[instrument.base]
        if instrument.kind == "inverse":
            return coins * bar.mark[symbol] / instrument.contract_size
        return coins / instrument.contract_size

    def as_target(
        self,
        symbol: str,
        *,
        contracts: float | None = None,
        base: float | None = None,
        usd: float | None = None,
        position_side: str | None = None,
    ) -> Order:
        """An order that brings the position to a size, signed, told in contracts, coins or USD at the last close.

        In hedge mode of the side that is named: a long's target is not negative, a short's not positive.
        """
        if sum(size is not None for size in (contracts, base, usd)) != 1:
            raise InputError(f"target of {symbol}: say one of contracts, base and usd")
        aim = contracts if contracts is not None else self.contracts_of(symbol, base=base, usd=usd)
        return Order(symbol, target=aim, position_side=position_side)

    def target(
        self,
        symbol: str,
        *,
        contracts: float | None = None,
        base: float | None = None,
        usd: float | None = None,
        position_side: str | None = None,
    ) -> int:
        """Place `as_target`. Returns the order's id."""
        order = self.as_target(symbol, contracts=contracts, base=base, usd=usd, position_side=position_side)
        return self.together([order])[0]

    def buy(self, symbol: str, contracts: float, **terms: Any) -> int:
        """Place a buy; `terms` as in Order. Returns the order's id."""
        return self._port.submit(self._account, [Order(symbol, contracts=_size(symbol, contracts), **terms)])[0]

    def sell(self, symbol: str, contracts: float, **terms: Any) -> int:
        """Place a sale; `terms` as in Order. Returns the order's id."""
        return self._port.submit(self._account, [Order(symbol, contracts=-_size(symbol, contracts), **terms)])[0]

    def together(self, orders: Sequence[Order]) -> list[int]:
        """Place orders judged as one, on the state after all of them: no leg stays naked by a refusal."""
        for order in orders if isinstance(orders, Sequence) else [orders]:
            if not isinstance(order, Order):
                raise InputError(f"together: {order!r} is no order; give Order(symbol, target=...) or desk.as_target")
        return self._port.submit(self._account, list(orders), together=True)

    def cancel(self, order_id: int) -> None:
        """Take a waiting order back."""
        if isinstance(order_id, bool) or not isinstance(order_id, int | np.integer):
            raise InputError(f"cancel: {order_id!r} is no order's id; give the number that placing it returned")
        self._port.cancel(self._account, order_id)

    def open_orders(self) -> list[OpenOrder]:
        """Waiting orders."""
        return [OpenOrder(**row) for row in self._port.open_orders(self._account)]

    def transfer(self, asset: str, amount: float, source: str, target: str, to: str | None = None) -> None:
        """Move money between wallets: spot, usdm, coinm, unified, or an isolated symbol; `to`: another account's."""
        what = f"transfer of {asset} from {source!r} to {target!r}"
        if not is_number(amount) or not 0.0 < amount < inf:
            raise InputError(f"{what}: the amount must be above 0, found {amount!r}; swap the wallets to move it back")
        if source == target and to is None:
            raise InputError(f"{what}: it would stay where it is; name two wallets")
        for name in (source, target):
            if name in INTERNAL:
                raise InputError(
                    f"{what}: {name!r} is no wallet to move money by hand; valid: {', '.join(OPEN_WALLETS)}"
                )
        if to is None:
            self._port.transfer(self._account, asset, amount, source, target)
        else:
            self._port.transfer_to(self._account, to, asset, amount, source, target)


def _size(symbol: str, contracts: float) -> float:
    """A size without sign. InputError for a negative one: a sign that is wrong somewhere must not become a trade."""
    _must_be_number(symbol, contracts)
    if contracts < 0.0:
        raise InputError(f"{symbol}: the size of a buy or a sale has no sign, found {contracts!r}; use the other verb")
    return contracts


def _must_be_number(symbol: str, size: object) -> None:
    if not is_number(size):
        raise InputError(f"{symbol}: {size!r} is not a size; give a number")


class Desks(Desk):
    """Several accounts' desks by name; the first one's methods directly."""

    __slots__ = ("_desks", "_named")

    def __init__(self, desks: dict[str, Desk]) -> None:
        first = next(iter(desks.values()))
        super().__init__(first._port, first._account, first._bar)
        self._desks = desks
        self._named: set[str] = set()  # desks that were handed out by name

    def __getitem__(self, name: str) -> Desk:
        if name not in self._desks:
            raise InputError(f"no account {name!r}; valid: {', '.join(self._desks)}")
        if name not in self._named:
            self._named.add(name)
            self._bar._lent.append(self._desks[name])
        return self._desks[name]
