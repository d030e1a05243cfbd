"""One bar, and all of them: the table of contents of the engine.

Rows of targets become orders, by what the last close left. At a bar's open money arrives and leaves, contracts are
delivered, funding and interest are paid, dead orders are cancelled, overdrawn assets are exchanged, margin is checked
at the open prices; then futures wallets are refilled and orders fill; then the account lives through the bar's path and
on, to the next thing that could change its contracts. Nothing here can see the future.

Who asks for nothing is taken further: on through quiet bars, in which nothing but prices happens. The books stay as
they were at the close before, so to come back to it is to set the cursors.
"""

from __future__ import annotations

from backtest.engine.events import happen, next_payment
from backtest.engine.exchange import exchange_overdrafts
from backtest.engine.forced import note
from backtest.engine.attempt import fill_orders
from backtest.engine.orders import any_due, cancel_dead, next_fill
from backtest.engine.refill import refill
from backtest.engine.path import STEPS, note_opening, visit
from backtest.engine.stretch import hold, live_through
from backtest.engine.targets import follow_targets, patience
from backtest.engine.transfers import move_transfers, next_transfer
from backtest.kernel import entry, kernel
from backtest.ledger.post import has_room
from backtest.margin.moment import set_moment
from backtest.margin.row_leaves import clear
from backtest.margin.wallets import list_held
from backtest.state import (
    ASKING, BACKS_NOTHING, BLOCK, EXCHANGED, LIVE_ORDERS, LIVED, LOOK_INSIDE, MARKET, NOTHING, OPEN, ORDER_ROWS,
    O_ACCOUNT, O_KIND, POSITIONS, REFILL_TRIGGER, SHORT_OF_ROWS, TOO_LARGE, TRANSFER_ROWS, UNBOUND,
)  # fmt: skip

LEGS = 4  # of a bar's path


@entry
def advance(book, rules, tape, last, ahead, alone, first):
    """Live every account up to bar `last`, and on before `ahead`: `advance_all`. Or the one account `alone` (-1: all),
    which has opened its bar, through bars `first` to last-1, in which nothing but prices happens.

    Both are one entry, so that the engine is compiled once.
    """
    if alone == NOTHING:
        return advance_all(book, rules, tape, last, ahead)
    live_through(book, rules, tape, alone, first, last)
    return LIVED


@kernel
def advance_all(book, rules, tape, last, ahead):
    """Live every account up to bar `last`, and on before `ahead` for as long as every bar is quiet for all of them.

    Stops early where room for rows runs short, where the inside of a bar is asked of finer ones, or where a target is
    too large: see `book.cursor`.
    Where `ahead` is no later than `last`, there all stop.
    """
    for account in range(book.contracts.shape[1]):
        while book.cursor[account] < last:
            bar = book.cursor[account]
            if not room_for_bar(book, tape, account, bar):
                return SHORT_OF_ROWS
            if not follow_targets(book, rules, tape, account, bar):
                book.count[ASKING] = account
                return TOO_LARGE
            open_bar(book, rules, tape, account, bar)
            end = stretch_end(book, rules, tape, account, bar, reach(bar, last, ahead))
            if end > last:
                end = next_payment(book, rules, tape, account, bar, end)
            book.cursor[account] = hold(book, rules, tape, account, bar, end)
            if book.cursor[account] == bar:
                book.count[ASKING] = account
                return LOOK_INSIDE
    stop_together(book)
    return LIVED


@kernel
def reach(bar, last, ahead):
    """How far a stretch from `bar` on may go: beyond `last` only from the bar before it, whose balances then stay."""
    if ahead <= last:
        return last
    return ahead if bar + 1 == last else last - 1


@kernel
def stop_together(book):
    """Where the first account would have to stop, all do: what the others lived through beyond was quiet."""
    first = book.cursor[0]
    for account in range(book.cursor.shape[0]):
        first = min(first, book.cursor[account])
    for account in range(book.cursor.shape[0]):
        book.cursor[account] = first


@kernel
def room_for_bar(book, tape, account, bar):
    """Whether the rows of one bar and of the cash events of the stretch after it will fit, at their most."""
    wallets, assets, positions = book.balance.shape[0], book.balance.shape[1], book.contracts.shape[0]
    end = min(bar + BLOCK, len(tape.time))
    events = tape.event_at[end] - tape.event_at[bar]
    per_event = 2 * positions + wallets * assets
    waiting = book.count[LIVE_ORDERS]
    trades = 2 * waiting + forced_at_most(book, account, waiting) + positions + 8
    rows = 12 * trades + 4 * wallets * assets + events * per_event
    orders = book.count[ORDER_ROWS] + positions + 8 <= book.order.shape[0]
    orders = orders and book.count[TRANSFER_ROWS] + wallets <= book.transfer.shape[0]
    return (
        orders
        and book.count[LIVE_ORDERS] + positions + 8 <= book.live.shape[0]
        and has_room(book, rows, trades, 2 * trades + 64)
    )


@kernel
def forced_at_most(book, account, waiting):
    """Forced sales that one bar could see: each leg of its path, cut in two by every order met on it, walked in steps,
    and everything held cut twice at each.
    """
    held, parts = waiting, LEGS
    for m in range(book.count[LIVE_ORDERS]):
        order = book.live[m]
        if book.order[order, O_ACCOUNT] == account and book.order[order, O_KIND] != MARKET:
            parts += 1
    for wallet in range(book.balance.shape[0]):
        held += book.held[account, wallet, POSITIONS, 0]
    return min(held, book.contracts.shape[0]) * 2 * parts * (STEPS + 4 * book.balance.shape[0])


@kernel
def open_bar(book, rules, tape, account, bar):
    """Everything that happens at a bar's open, in order."""
    list_held(book, rules, account)
    clear(book.taken)
    set_moment(book, rules, tape, account, bar, OPEN, OPEN, 1.0)
    move_transfers(book, rules, tape, account, bar)
    happen(book, rules, tape, account, bar)
    cancel_dead(book, rules, tape, account, bar)
    exchange(book, rules, tape, account, bar)
    fills = any_due(book, rules, tape, account, bar)
    acts = fills or rules.choice[account, REFILL_TRIGGER] > 0.0
    fails = note_opening(book, rules, tape, account, bar, acts)
    if fails and rules.switch[account, UNBOUND] == 0:
        visit(book, rules, tape, account, bar, OPEN, OPEN, 1.0, 1.0)
    refill(book, rules, tape, account, bar)
    if fills:
        fill_orders(book, rules, tape, account, bar)
        exchange(book, rules, tape, account, bar)


@kernel
def exchange(book, rules, tape, account, bar):
    """Auto-exchange of overdrawn assets in wallets that hold more than one; an unbound account keeps its debts."""
    shape = rules.shape[account]
    if rules.switch[account, UNBOUND] != 0:
        return
    for wallet in range(book.balance.shape[0]):
        if rules.model[shape, wallet] != BACKS_NOTHING and rules.settle[shape, wallet] < 0:
            sold = exchange_overdrafts(book, rules, tape, account, wallet, bar)
            if sold > 0.0:
                note(book, bar, account, wallet, EXCHANGED, NOTHING, 0.0, 0.0, 0.0, 0.0, OPEN, sold)


@kernel
def stretch_end(book, rules, tape, account, bar, last):
    """First bar after `bar` at which contracts, rules or orders of the account may change."""
    end = min(last, bar + patience(book, tape, bar))
    if rules.choice[account, REFILL_TRIGGER] > 0.0:
        end = bar + 1  # looked at on every open
    if bar + 1 < len(tape.time):
        end = min(end, tape.stops_at[bar + 1])
    end = next_transfer(book, account, bar, end)
    return next_fill(book, rules, tape, account, bar, end)
