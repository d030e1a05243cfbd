"""The accounts of a run, alive: what may be read of them and asked of them between two bars.

A session holds the three bundles, moves them forward to a bar, and answers in units a person uses. It is the only way
from Python into the engine: a strategy's desk, the comparison of modes and the tests all come through here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import proxy

import numpy as np
import numpy.typing as npt

from backtest.engine.advance import advance
from backtest.engine.book import grow, make_book
from backtest.engine.capacity import largest_order
from backtest.engine.inside import Inside, look_inside, with_room
from backtest.engine.orders import cancel_order, place
from backtest.engine.tables import Plan, make_rules
from backtest.engine.tape import Event, make_tape
from backtest.engine.transfers import ask_transfer
from backtest.errors import InputError, nearest
from backtest.kernel import direct
from backtest.ledger.kinds import DEPOSIT, WITHDRAWAL
from backtest.ledger.post import post
from backtest.state import (
    ARRIVED, T_ACCOUNT, T_ASSET, T_MOVED, T_STATE, UNDER_WAY, ASKING, BY_LAST, FORCED, LIVE_ORDERS, LIVED, LOOK_INSIDE,
    O_ACCOUNT, O_CONTRACTS, O_FILLED, O_FLAGS, O_KIND, O_POSITION, O_STATE, ORDER_KINDS, ORDER_ROWS,
    P_EQUITY, POST_ONLY, REDUCE_ONLY, TO_TARGET, TRANSFER_ROWS, W_COLLATERAL, W_INITIAL, W_MAINTENANCE, WAITING,
)  # fmt: skip
from backtest.units import STEP, to_steps

if TYPE_CHECKING:
    from backtest.market.finer import FinerBars
    from backtest.market.history import History

Floats = npt.NDArray[np.float64]
SIDES = ("long", "short")
AIMED, POSTED, REDUCING, LAST = (int(flag) for flag in (TO_TARGET, POST_ONLY, REDUCE_ONLY, BY_LAST))

advance_now, place_now, post_now = direct(advance, outermost=True), direct(place), direct(post)


@dataclass(frozen=True)
class Crossing:
    """A transfer to another account: its row, whose it will be, in which wallet, at the open of which bar."""

    row: int
    account: int
    wallet: int
    arrives: int


class Remembered(dict[str, float]):
    """Numbers by name, each worked out when it is first asked for."""

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[str], float]) -> None:
        self._read = read

    def __missing__(self, name: str) -> float:
        number = self[name] = self._read(name)
        return number


class Session:
    """Some accounts over one history. `bar` is the last bar that has closed; -1 before the first.

    The accounts may have lived further, through bars before `lived` in which nothing but prices happened. The books are
    those of `bar` then, and whoever walks through the bars `ahead` sets `bar` to one after the other: it is at the
    close of `bar` that a session answers. A request takes the accounts back to it, and empties `ahead`.
    """

    def __init__(
        self,
        history: History,
        plans: Sequence[Plan],
        events: Iterable[Event] = (),
        targets: Floats | None = None,
        borrow: Sequence[Sequence[Floats | None]] = (),
        tail: tuple[Floats, npt.NDArray[np.int64]] | None = None,
        finer: FinerBars | None = None,
    ) -> None:
        self.history, self.plans, self.finer = history, list(plans), finer
        self.looked_into: list[Inside] = []
        self.under_way: list[Crossing] = []
        self.rules, rules_at = make_rules(plans, history)
        self.tape = make_tape(history, rules_at, events, targets, borrow, tail, None if finer is None else finer.flags)
        self.book = make_book(self.rules, self.tape, room=history.room)
        self.symbols = {instrument.symbol: k for k, instrument in enumerate(history.instruments)}
        self.assets = {asset: k for k, asset in enumerate(history.assets)}
        self.bar, self.lived, self.requests = -1, 0, 0
        self._held = 0  # first bar since room was last given back
        self.ahead: list[int] = []
        own = proxy(self)  # no circle: a session that is done with gives its arrays back at once
        self._positions = [Remembered(partial(Session.contracts, own, k)) for k in range(len(plans))]
        self._balances = [Remembered(partial(Session.balance, own, k)) for k in range(len(plans))]

    # Moving on

    def deposit(self, account: int, wallet: int, asset: str, amount: float) -> None:
        """Pay in before the first bar."""
        steps = to_steps(amount, f"deposit of {asset}")
        self._forget()
        post_now(self.book, 0, account, wallet, self.assets[asset], int(DEPOSIT), steps, -1, -1)

    def advance(self, last: int, ahead: int = 0) -> None:
        """Live through every bar before `last`, all accounts together where money arrives from one in another; then on
        before `ahead`, up to the first bar in which more happens than prices: `lived` says how far that was.
        """
        if self.under_way:
            ahead = 0  # money that crosses is handed over between two bars: nobody lives past its arrival
            for crossing in sorted({each.arrives for each in self.under_way if each.arrives < last}):
                self._live_until(crossing, crossing)
                self._hand_over(crossing)
        self._live_until(last, max(last, ahead))

    def _live_until(self, last: int, ahead: int) -> None:
        """Live through every bar before `last`, and quiet ones before `ahead`; of every chunk that was lived through
        the room is given back.
        """
        chunk = self.history.room.chunk or len(self.history.time)
        for stop in range(self._held + chunk, last, chunk):
            self._live_through(stop, stop)
            self._give_back()
        self._live_through(last, ahead)
        if self.lived - self._held >= chunk:
            self._give_back()

    def _give_back(self) -> None:
        """Hold no bar in memory that has been lived through."""
        self.history.room.give_back()
        self._held = self.lived

    def _live_through(self, last: int, ahead: int) -> None:
        """Live through every bar before `last`, and quiet ones before `ahead`; room is made as rows run short."""
        self._make_room()
        self._forget()
        while (reached := advance_now(self.book, self.rules, self.tape, last, ahead)) != LIVED:
            if reached == LOOK_INSIDE:
                self._look_inside(int(self.book.count[ASKING]))
            else:
                self.book = grow(self.book)
        self.bar, self.lived = last - 1, int(self.book.cursor[0])

    def _come_back(self) -> None:
        """For a request: put every account back to the close of `bar`. Beyond it were only prices, so the books are
        those of then; the bars ahead are to be lived through anew.
        """
        self.requests += 1
        self.ahead.clear()
        if self.lived > self.bar + 1:
            self.lived = self.bar + 1
            self.book.cursor[:] = self.lived

    def _hand_over(self, bar: int) -> None:
        """What one account sent another, out of its transit wallet at the open of `bar` and into the other's own."""
        self.book = with_room(self.book)
        for each in [each for each in self.under_way if each.arrives == bar]:
            row = self.book.transfer[each.row]
            if row[T_STATE] == UNDER_WAY:
                sender, asset, moved = int(row[T_ACCOUNT]), int(row[T_ASSET]), int(row[T_MOVED])
                transit = self.plans[sender].shape.transit
                post_now(self.book, bar, sender, transit, asset, int(WITHDRAWAL), -moved, -1, -1)
                post_now(self.book, bar, each.account, each.wallet, asset, int(DEPOSIT), moved, -1, -1)
                row[T_STATE] = ARRIVED
        self.under_way = [each for each in self.under_way if each.arrives != bar]

    def _look_inside(self, account: int) -> None:
        """Live the account through the bar it has just opened, on finer bars where the store has them."""
        bar = int(self.book.cursor[account])
        fine = None if self.finer is None else self.finer.inside(bar)
        self.book = with_room(self.book)
        look_inside(self.book, self.rules, self.tape, fine, account, bar)
        if fine is not None:
            self.looked_into.append(Inside(account, bar, fine.interval_us))

    def _make_room(self, more: int = 64) -> None:
        """Room for so many more orders and transfers."""
        orders, transfers = int(self.book.count[ORDER_ROWS]), int(self.book.count[TRANSFER_ROWS])
        if max(orders, transfers) + more > len(self.book.order):
            self.book = grow(self.book, max(orders, transfers) + more)

    # Asking

    def submit(self, account: int, orders: Sequence[Any], together: bool = False) -> list[int]:
        """Write orders down; they are judged from the next bar's open on. Returns their ids."""
        self._come_back()
        self._make_room(len(orders) + 64)
        group = int(self.book.count[ORDER_ROWS])
        return [
            self._place(account, order, group if together else int(self.book.count[ORDER_ROWS])) for order in orders
        ]

    def _place(self, account: int, order: Any, group: int) -> int:
        position = self._position(account, order.symbol, order.position_side)
        aimed = order.target is not None
        steps = to_steps(float(order.target if aimed else order.contracts), f"order in {order.symbol}")
        flags = (
            (AIMED if aimed else 0)
            | (POSTED if order.post_only else 0)
            | (REDUCING if order.reduce_only else 0)
            | (LAST if order.trigger_by == "last" else 0)
        )
        kind = ORDER_KINDS.index(order.kind)
        return int(
            place_now(
                self.book,
                self.bar,
                account,
                position,
                kind,
                flags,
                group,
                steps,
                order.price or 0.0,
                order.trigger or 0.0,
            )
        )

    def replay_fill(self, account: int, bar: int, position: int, contracts: int, price: float, as_maker: bool) -> None:
        """Write down a fill that will happen at the open of `bar` at this price, whatever the account's rules say."""
        self._make_room()
        kind = ORDER_KINDS.index("limit" if as_maker else "market")
        group = int(self.book.count[ORDER_ROWS])
        place_now(self.book, bar - 1, account, position, kind, int(FORCED), group, contracts, price, 0.0)

    def cancel(self, account: int, order_id: int) -> None:
        """Take a waiting order back. InputError for an id that is not this account's."""
        if not 0 <= order_id < self.book.count[ORDER_ROWS] or self.book.order[order_id, O_ACCOUNT] != account:
            raise InputError(f"account {self.plans[account].name!r} has no order {order_id}")
        self._come_back()
        cancel_order(self.book, self.rules, order_id, self.bar)

    def transfer_to(self, account: int, other: str, asset: str, amount: float, source: str, target: str) -> None:
        """Ask for a transfer to another account: as between wallets, but a bar at least under way. It is a withdrawal
        here and a deposit there, when it arrives.
        """
        self._come_back()
        self._make_room()
        names = [plan.name for plan in self.plans]
        if other not in names:
            raise InputError(f"no account {other!r} in this run; {nearest(other, names)}")
        plan, a, k = self.plans[account], self._asset(asset), names.index(other)
        leaves, arrives = self._leaves_and_arrives(plan)
        wallet, own = self.plans[k].shape.wallet(target, a), plan.shape.wallet(source, a)
        steps, never = to_steps(amount, f"transfer of {asset}"), len(self.history.time) + 1
        row = ask_transfer(self.book, leaves, never, account, a, own, plan.shape.transit, steps)
        self.under_way.append(Crossing(int(row), k, wallet, max(arrives, leaves + 1)))

    def _leaves_and_arrives(self, plan: Plan) -> tuple[int, int]:
        """Bars at whose opens a transfer asked for now leaves and, after the account's declared delay, arrives."""
        leaves = self.bar + 1
        arrival = int(self.history.time[min(leaves, len(self.history.time) - 1)]) + plan.transfer_delay_us
        return leaves, max(leaves, int(np.searchsorted(self.history.time, arrival)))

    def transfer(self, account: int, asset: str, amount: float, source: str, target: str) -> None:
        """Ask for a transfer between two wallets; it leaves at the next open and takes the account's declared delay."""
        self._come_back()
        self._make_room()
        plan, a = self.plans[account], self._asset(asset)
        leaves, arrives = self._leaves_and_arrives(plan)
        wallets = plan.shape.wallet(source, a), plan.shape.wallet(target, a)
        ask_transfer(self.book, leaves, arrives, account, a, *wallets, to_steps(amount, f"transfer of {asset}"))

    def max_contracts(self, account: int, order: Any) -> float:
        """Largest size of an order's kind and side that every rule would accept at the last close, in contracts."""
        position = self._position(account, order.symbol, order.position_side)
        wish = order.contracts if order.contracts is not None else order.target
        if self.bar < 0 or not wish:
            return 0.0
        self.book = grow(self.book) if self.book.count[0] + 4096 > len(self.book.ledger) else self.book
        return (
            float(largest_order(self.book, self.rules, self.tape, self.bar, account, position, 1 if wish > 0 else -1))
            * STEP
        )

    # Reading

    def _symbol(self, symbol: str) -> int:
        if symbol not in self.symbols:
            raise InputError(f"{symbol!r} is not in this run; {nearest(symbol, self.symbols)}")
        return self.symbols[symbol]

    def _position(self, account: int, symbol: str, side: str | None) -> int:
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

    def _asset(self, asset: str) -> int:
        if asset not in self.assets:
            raise InputError(f"asset {asset!r} is not in this run; {nearest(asset, self.assets)}")
        return self.assets[asset]

    def balance(self, account: int, asset: str, wallet: str | None = None) -> float:
        """Units of an asset in one wallet, or in all of them (coins under way included, loans deducted)."""
        a = self._asset(asset)
        if wallet is not None:
            return float(self.book.balance[self.plans[account].shape.wallet(wallet, a), a, account]) * STEP
        return float(sum(self.book.balance[:, a, account].tolist())) * STEP

    def contracts(self, account: int, symbol: str, side: str | None = None) -> float:
        """Signed contracts of a future, in hedge mode of one `side` or both together; of spot, the coins in the spot
        wallet less those owed.
        """
        k = self._symbol(symbol)
        shape = self.plans[account].shape
        if side is not None:
            return float(self.book.contracts[self._position(account, symbol, side), account]) * STEP
        if self.history.instruments[k].kind != "spot":
            return float(sum(self.book.contracts[k :: len(self.symbols), account].tolist())) * STEP
        base = self._asset(self.history.instruments[k].base)
        owed = self.book.balance[shape.loans, base, account] if shape.loans >= 0 else 0
        return float(self.book.balance[shape.spot, base, account] + owed) * STEP

    def positions(self, account: int) -> Mapping[str, float]:
        """Net `contracts` by symbol, read when they are asked for and kept until the account lives on."""
        return self._positions[account]

    def balances(self, account: int) -> Mapping[str, float]:
        """Whole `balance` by asset, read when it is asked for and kept until the account lives on."""
        return self._balances[account]

    def _forget(self) -> None:
        for each in (*self._positions, *self._balances):
            each.clear()

    def entry_price(self, account: int, symbol: str, side: str | None = None) -> float:
        """Average price of a future's open contracts, in hedge mode of one side; NaN when flat."""
        k = self._position(account, symbol, side)
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
        return self.plans[account].shape.loans >= 0 and self.tape.borrow_row[account, self._asset(asset)] >= 0

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
                    "contracts": float(row[O_CONTRACTS] - (0 if aimed else row[O_FILLED])) * STEP,
                    "target": aimed,
                    "price": float(prices[0]) or None,
                    "trigger": float(prices[1]) or None,
                    "position_side": self.side_of(account, int(row[O_POSITION])),
                })  # fmt: skip
        return found
