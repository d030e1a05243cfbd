"""The Book's arrays: made empty, given the first deposit, made larger when rows run short."""

from __future__ import annotations

import numpy as np

from backtest.kernel import plain
from backtest.ledger.kinds import KIND_NAMES
from backtest.market.room import MEMORY, Room
from backtest.margin.tail import worst_of
from backtest.margin.portfolio.unit import CELL_ROWS, CHARGES, EXTRA_CELLS, LEG_ROWS
from backtest.state import (
    BLOCK, COUNTERS, FILL_COLUMNS, FILL_ROWS, I64, INCIDENT_COLUMNS, INCIDENT_ROWS, LEDGER_COLUMNS, LEDGER_ROWS,
    LIVE_ORDERS, ORDER_COLUMNS, ORDER_ROWS, PATH_COLUMNS, SCRATCH_ROWS, TRANSFER_COLUMNS, TRANSFER_ROWS, Book,
    Rules, TAIL_LEVEL, Tape, WALLET_COLUMNS,
)  # fmt: skip

FIRST_ROWS = 8192  # enough for a year of a trade a day: a sweep makes a book a point
NEXT_ROWS = 65_536
STRIDE = BLOCK + 24  # room of a scratch row: rows a power of two apart would fall on the same lines of the cache
GROWING = {
    "ledger": LEDGER_ROWS, "fill": FILL_ROWS, "fill_price": FILL_ROWS, "order": ORDER_ROWS, "order_price": ORDER_ROWS,
    "live": LIVE_ORDERS, "transfer": TRANSFER_ROWS, "incident": INCIDENT_ROWS,
}  # fmt: skip
"""Tables that are made longer, and which counter tells how many of their rows are written."""


def make_book(rules: Rules, tape: Tape, record: bool = True, rows: int = FIRST_ROWS, room: Room = MEMORY) -> Book:
    """An empty book for the accounts of the rules; `record`: keep the path bar by bar, in this room."""
    accounts, wallets, assets = len(rules.shape), rules.model.shape[1], tape.index_row.shape[1]
    positions, instruments = len(rules.instrument), len(rules.kind)
    bars = len(tape.time) if record else 0
    widest = 1 + max(assets, positions)
    saved = wallets * assets + len(KIND_NAMES) * assets + 2 * positions + assets + 8
    rows = max(rows, 64 * (positions + wallets * assets) + 1024)
    return Book(
        balance=np.zeros((wallets, assets, accounts), I64),
        contracts=np.zeros((positions, accounts), I64),
        cost=np.zeros((positions, accounts), I64),
        total=np.zeros((len(KIND_NAMES), assets, accounts), I64),
        count=np.zeros(COUNTERS, I64),
        cursor=np.zeros(accounts, I64),
        topped_up=np.zeros((positions, accounts), I64),
        ledger=np.zeros((rows, LEDGER_COLUMNS), I64),
        fill=np.zeros((rows, FILL_COLUMNS), I64),
        fill_price=np.zeros((rows, 2)),
        order=np.zeros((rows, ORDER_COLUMNS), I64),
        order_price=np.zeros((rows, 2)),
        live=np.zeros(rows, I64),
        transfer=np.zeros((rows, TRANSFER_COLUMNS), I64),
        incident=np.zeros((rows, INCIDENT_COLUMNS)),
        resting=np.zeros((2, positions, accounts)),
        held=np.zeros((accounts, wallets, 4, widest), I64),
        running=np.zeros((wallets, assets, STRIDE), I64),
        need=np.zeros((SCRATCH_ROWS, STRIDE)),
        here=np.zeros((4 * instruments + 2 * assets, 1)),
        taken=np.zeros(instruments),
        reserve=np.zeros(assets),
        pace=np.zeros((2, wallets)),
        gap=np.zeros((2, wallets)),
        principal=np.zeros((assets, accounts), I64),
        spare=np.zeros((3, max(4, positions + assets))),
        tail_delta=np.zeros((assets, STRIDE if has_tail(tape) else 0)),
        tail_basis=np.zeros((instruments, STRIDE if has_tail(tape) else 0)),
        coins=np.zeros((assets, STRIDE)),
        leg=np.zeros((LEG_ROWS, positions + 1)),
        charge=np.zeros((assets, CHARGES)),
        cell=np.zeros((assets, CELL_ROWS, rules.grid.shape[3] + EXTRA_CELLS)),
        worst=np.zeros((worst_rows(rules, tape), STRIDE)),
        saved=np.zeros(saved, I64),
        path=room.zeros((PATH_COLUMNS, accounts, bars)),
        wallet_path=room.zeros((WALLET_COLUMNS, wallets, accounts, bars)),
        headroom=room.zeros((wallets, accounts, bars)),
        opened=np.zeros(wallets),
    )


def has_tail(tape: Tape) -> bool:
    """Whether any account is margined by the tail of past moves."""
    return len(tape.tail_rows) > 0


def worst_rows(rules: Rules, tape: Tape) -> int:
    """Losses that the tail model ever keeps of a window, its long run included."""
    levels = rules.risk[:, TAIL_LEVEL]
    if not has_tail(tape) or not levels.any():
        return 0
    first, end, _, long_run, past = tape.tail_rows.swapaxes(0, 1)
    longest = int(np.maximum(end - first, past - long_run).max())
    return int(plain(worst_of)(longest, float(levels[levels > 0.0].min())))


def grow(book: Book, least: int = 0) -> Book:
    """The same book with more room for rows: NEXT_ROWS, then twice as many each time, and `least` at least; what is
    written stays as it is.
    """
    larger = {}
    for name, counter in GROWING.items():
        old, written = getattr(book, name), int(book.count[counter])
        rows = max(2 * len(old), NEXT_ROWS, least)
        new = np.zeros((rows, *old.shape[1:]), old.dtype)  # untouched memory costs nothing yet
        new[:written] = old[:written]
        larger[name] = new
    return book._replace(**larger)
