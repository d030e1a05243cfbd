"""What accounts can tell between two bars, in the units a person uses: what they hold, owe and wait for, and what was
required of them at the last close.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import proxy

from backtest.engine.plan import Plan
from backtest.errors import InputError, nearest
from backtest.state import (
    LIVE_ORDERS, ORDER_KINDS, O_ACCOUNT, O_CONTRACTS, O_FILLED, O_FLAGS, O_KIND, O_POSITION, O_STATE, P_EQUITY,
    TO_TARGET, WAITING, W_COLLATERAL, W_INITIAL, W_MAINTENANCE, Book, Tape,
)  # fmt: skip
from backtest.units import STEP, amount_of

if TYPE_CHECKING:
    from backtest.market.history import History

SIDES = ("long", "short")


class Remembered(dict[str, float]):
    """Numbers by name, each worked out when it is first asked for."""

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[str], float]) -> None:
        self._read = read

    def __missing__(self, name: str) -> float:
        number = self[name] = self._read(name)
        return number


class Statement:
    """Some accounts over one history, as they stand at the close of `bar`, the last one; -1 before the first."""

    def __init__(self, history: History, plans: Sequence[Plan], tape: Tape, book: Book) -> None:
        self.history, self.plans, self.tape, self.book = history, list(plans), tape, book
        self.symbols = {instrument.symbol: k for k, instrument in enumerate(history.instruments)}
        self.assets = {asset: k for k, asset in enumerate(history.assets)}
        self.bar = -1
        own = proxy(self)  # no circle: what is done with gives its arrays back at once
        self._positions = [Remembered(partial(Statement.contracts, own, k)) for k in range(len(plans))]
        self._balances = [Remembered(partial(Statement.balance, own, k)) for k in range(len(plans))]

    def _symbol(self, symbol: str) -> int:
        if symbol not in self.symbols:
            raise InputError(f"{symbol!r} is not in this run; {nearest(symbol, self.symbols)}")
        return self.symbols[symbol]

    def position_of(self, account: int, symbol: str, side: str | None) -> int:
        """Number of a position; in hedge mode a future's side must be named. InputError where it must not or is not."""
        k, plan = self._symbol(symbol), self.plans[account]
        spot = self.history.instruments[k].kind == "spot"
        if side is None:
            if plan.two_sided and not spot:
                raise InputError(
                    f'{symbol}: account {plan.name!r} is in hedge mode; say position_side = "long" or "short"'
                )
            return k
        if side not in SIDES:
            raise InputError(f"{symbol}: no position_side {side!r}; {nearest(side, SIDES)}")
        if spot:
            raise InputError(f"{symbol}: coins have no position_side ({side!r}); leave it out")
        if not plan.two_sided:
            raise InputError(
                f"{symbol}: position_side = {side!r}, but account {plan.name!r} holds one position a symbol; "
                'leave it out, or write position_mode = "hedge" in the account'
            )
        return k + len(self.symbols) * SIDES.index(side)

    def side_of(self, account: int, position: int) -> str | None:
        """The side of a position in hedge mode, long or short; None where a symbol has one position."""
        n = len(self.symbols)
        if not self.plans[account].two_sided or self.history.instruments[position % n].kind == "spot":
            return None
        return SIDES[position // n]

    def asset_of(self, asset: str) -> int:
        if asset not in self.assets:
            raise InputError(f"asset {asset!r} is not in this run; {nearest(asset, self.assets)}")
        return self.assets[asset]

    def wallet_of(self, account: int, name: str, asset: str) -> int:
        """Number of a wallet by the name a user writes. InputError where the account has none such for the asset."""
        plan = self.plans[account]
        try:
            return plan.shape.wallet(name, self.asset_of(asset))
        except InputError as error:
            raise InputError(f"{asset} of account {plan.name!r}: {error}") from None

    def balance(self, account: int, asset: str, wallet: str | None = None) -> float:
        """Units of an asset in one wallet, or in all of them (coins under way included, loans deducted)."""
        a = self.asset_of(asset)
        if wallet is not None:
            return amount_of(int(self.book.balance[self.wallet_of(account, wallet, asset), a, account]))
        return amount_of(sum(self.book.balance[:, a, account].tolist()))

    def contracts(self, account: int, symbol: str, side: str | None = None) -> float:
        """Signed contracts of a future, in hedge mode of one `side` or both together; of spot, the coins in the spot
        wallet less those owed.
        """
        k = self._symbol(symbol)
        shape = self.plans[account].shape
        if side is not None:
            return amount_of(int(self.book.contracts[self.position_of(account, symbol, side), account]))
        if self.history.instruments[k].kind != "spot":
            return amount_of(sum(self.book.contracts[k :: len(self.symbols), account].tolist()))
        base = self.asset_of(self.history.instruments[k].base)
        owed = self.book.balance[shape.loans, base, account] if shape.loans >= 0 else 0
        return amount_of(int(self.book.balance[shape.spot, base, account] + owed))

    def positions(self, account: int) -> Mapping[str, float]:
        """Net `contracts` by symbol, read when they are asked for and kept until the account lives on."""
        return self._positions[account]

    def balances(self, account: int) -> Mapping[str, float]:
        """Whole `balance` by asset, read when it is asked for and kept until the account lives on."""
        return self._balances[account]

    def forget(self) -> None:
        """Nothing that was read holds any longer: the accounts live on, or money moves."""
        for each in (*self._positions, *self._balances):
            each.clear()

    def entry_price(self, account: int, symbol: str, side: str | None = None) -> float:
        """Average price of a future's open contracts, in hedge mode of one side; NaN when flat."""
        k = self.position_of(account, symbol, side)
        instrument = self.history.instruments[k % len(self.symbols)]
        cost, contracts = self.book.cost[k, account], self.book.contracts[k, account]
        if contracts == 0:
            return float("nan")
        if instrument.kind == "inverse":
            return float(-instrument.contract_size * contracts / cost)
        return float(cost / contracts / instrument.contract_size)

    def equity(self, account: int) -> float:
        """USD, no haircut, at the last close (before the first: the deposits at the first open)."""
        if self.bar < 0:
            worth = self.book.balance[:, :, account] * STEP * self.history.index_open[:, 0]
            return float(worth.sum())
        return float(self.book.path[P_EQUITY, account, self.bar])

    def collateral_equity(self, account: int) -> float:
        """USD that count for margin at the last close."""
        return self._at_close(W_COLLATERAL, account)

    def initial_margin(self, account: int) -> float:
        """USD required to hold what is held, at the last close."""
        return self._at_close(W_INITIAL, account)

    def maintenance_margin(self, account: int) -> float:
        """USD below which the venue liquidates, at the last close."""
        return self._at_close(W_MAINTENANCE, account)

    def _at_close(self, column: Any, account: int) -> float:
        """Of all wallets together, in their order."""
        return float(sum(self.book.wallet_path[column, :, account, self.bar].tolist())) if self.bar >= 0 else 0.0

    def margin_ratio(self, account: int) -> float:
        """Lowest collateral / maintenance of a wallet at the last close; +inf without requirement."""
        if self.bar < 0:
            return float("inf")
        collateral, _, maintenance = self.book.wallet_path[:, :, account, self.bar].tolist()
        pairs = zip(collateral, maintenance, strict=True)
        return min((counts / asked for counts, asked in pairs if asked > 0), default=float("inf"))

    def can_borrow(self, account: int, asset: str) -> bool:
        """Whether the account may borrow an asset: it has a loan wallet, and the tape a rate."""
        return self.plans[account].shape.loans >= 0 and self.tape.borrow_row[account, self.asset_of(asset)] >= 0

    def open_orders(self, account: int) -> list[dict[str, Any]]:
        """Waiting orders: id, symbol, kind, contracts still to fill, price, trigger."""
        found = []
        for order in self.book.live[: self.book.count[LIVE_ORDERS]].tolist():
            row, prices = self.book.order[order], self.book.order_price[order]
            if row[O_ACCOUNT] == account and row[O_STATE] == WAITING:
                aimed = bool(row[O_FLAGS] & TO_TARGET)
                found.append({
                    "id": order,
                    "symbol": self.history.instruments[row[O_POSITION] % len(self.symbols)].symbol,
                    "kind": ORDER_KINDS[row[O_KIND]],
                    "contracts": amount_of(int(row[O_CONTRACTS] - (0 if aimed else row[O_FILLED]))),
                    "target": aimed,
                    "price": float(prices[0]) or None,
                    "trigger": float(prices[1]) or None,
                    "position_side": self.side_of(account, int(row[O_POSITION])),
                })  # fmt: skip
        return found
