"""The accounts of a run, alive: what may be read of them and asked of them between two bars.

A session holds the three bundles, moves them forward to a bar, and answers in units a person uses. It is the only way
from Python into the engine: a strategy's desk, the comparison of modes and the tests all come through here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtest.engine.advance import advance
from backtest.engine.book import grow, make_book
from backtest.engine.capacity import largest_order
from backtest.engine.inside import Inside, look_inside, with_room
from backtest.engine.orders import cancel_order, place
from backtest.engine.statement import Statement
from backtest.engine.plan import Plan
from backtest.engine.tables import make_rules
from backtest.engine.tape import Event, PastMoves, TargetRows, make_tape
from backtest.engine.transfers import ask_transfer
from backtest.errors import InputError, nearest
from backtest.kernel import direct
from backtest.ledger.kinds import DEPOSIT, WITHDRAWAL
from backtest.ledger.post import post
from backtest.market.grid import when
from backtest.state import (
    ARRIVED, T_ACCOUNT, T_ASSET, T_MOVED, T_STATE, UNDER_WAY, ASKING, BY_LAST, E_KIND, E_SUBJECT, FORCED, LEAVE,
    LIVED, LOOK_INSIDE, NOTHING, O_ACCOUNT, O_BAR, ORDER_KINDS, ORDER_ROWS, POST_ONLY, REDUCE_ONLY, TARGETS, TOO_LARGE,
    TO_TARGET, TRANSFER_ROWS,
)  # fmt: skip
from backtest.units import HEADROOM, amount_of, to_steps

if TYPE_CHECKING:
    from backtest.market.finer import FinerBars
    from backtest.market.history import History

Floats = npt.NDArray[np.float64]
AIMED, POSTED, REDUCING, LAST = (int(flag) for flag in (TO_TARGET, POST_ONLY, REDUCE_ONLY, BY_LAST))

ALL = int(NOTHING)  # accounts
advance_now, place_now, post_now = direct(advance, outermost=True), direct(place), direct(post)


@dataclass(frozen=True)
class Crossing:
    """A transfer to another account: its row, whose it will be, in which wallet, at the open of which bar."""

    row: int
    account: int
    wallet: int
    arrives: int


class Session(Statement):
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
        targets: TargetRows | None = None,
        borrow: Sequence[Sequence[Floats | None]] = (),
        tail: PastMoves | None = None,
        finer: FinerBars | None = None,
    ) -> None:
        self.finer = finer
        self.looked_into: list[Inside] = []
        self.under_way: list[Crossing] = []
        self.rules, rules_at = make_rules(plans, history)
        tape = make_tape(history, rules_at, events, targets, borrow, tail, None if finer is None else finer.flags)
        super().__init__(history, plans, tape, make_book(self.rules, tape, room=history.room))
        self.lived, self.requests = 0, 0
        self._held = 0  # first bar since room was last given back
        self.ahead: list[int] = []

    # Moving on

    def deposit(self, account: int, wallet: int, asset: str, amount: float) -> None:
        """Pay in before the first bar."""
        steps = to_steps(amount, f"deposit of {asset}")
        self.forget()
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
        self.forget()
        while (reached := advance_now(self.book, self.rules, self.tape, last, ahead, ALL, 0)) != LIVED:
            if reached == LOOK_INSIDE:
                self._look_inside(int(self.book.count[ASKING]))
            elif reached == TOO_LARGE:
                raise self._too_large(int(self.book.count[ASKING]))
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

    def _too_large(self, account: int) -> InputError:
        """Why a row of targets cannot be followed: of its wishes in their order, those before have become orders."""
        bar, orders = int(self.book.cursor[account]), self.book.order[: self.book.count[ORDER_ROWS]]
        events = slice(*self.tape.event_at[bar : bar + 2].tolist())
        rows = self.tape.event[events][self.tape.event[events, E_KIND] == TARGETS, E_SUBJECT]
        wishes = self.tape.target[int(rows[0])]
        placed = int(((orders[:, O_BAR] == bar - 1) & (orders[:, O_ACCOUNT] == account)).sum())
        k = int(np.flatnonzero(wishes != LEAVE)[placed])
        return InputError(
            f"targets: {wishes[k]:g} of {self.history.instruments[k].symbol} at {when(self.history.time[bar - 1])}: "
            f"account {self.plans[account].name!r} would need a size that does not fit the ledger (largest amount "
            f"{HEADROOM:,} units)"
        )

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
        asked = [(order, *self._position_and_steps(account, order)) for order in orders]  # all, before one is placed
        return [self._place(account, *each, group if together else int(self.book.count[ORDER_ROWS])) for each in asked]

    def _position_and_steps(self, account: int, order: Any) -> tuple[int, int]:
        """What an order is in, and its size. InputError where there is no such position, or no room in the ledger."""
        size = order.contracts if order.target is None else order.target
        position = self.position_of(account, order.symbol, order.position_side)
        return position, to_steps(float(size), f"order in {order.symbol}")

    def _place(self, account: int, order: Any, position: int, steps: int, group: int) -> int:
        aimed = order.target is not None
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
        plan, a, k = self.plans[account], self.asset_of(asset), names.index(other)
        leaves, arrives = self._leaves_and_arrives(plan)
        wallet, own = self.wallet_of(k, target, asset), self.wallet_of(account, source, asset)
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
        plan, a = self.plans[account], self.asset_of(asset)
        leaves, arrives = self._leaves_and_arrives(plan)
        wallets = self.wallet_of(account, source, asset), self.wallet_of(account, target, asset)
        ask_transfer(self.book, leaves, arrives, account, a, *wallets, to_steps(amount, f"transfer of {asset}"))

    def max_contracts(self, account: int, order: Any) -> float:
        """Largest size of an order's kind and side that every rule would accept at the last close, in contracts."""
        position = self.position_of(account, order.symbol, order.position_side)
        wish = order.contracts if order.contracts is not None else order.target
        if self.bar < 0 or not wish:
            return 0.0
        self.book = grow(self.book) if self.book.count[0] + 4096 > len(self.book.ledger) else self.book
        side = 1 if wish > 0 else -1
        return amount_of(int(largest_order(self.book, self.rules, self.tape, self.bar, account, position, side)))
