"""The one door for money: `post` is the only function that changes a balance, and every change is a ledger row.

Whoever wants to pay, move or forgive money says bar, account, wallet, asset, kind and amount in whole steps. Room
for the row is promised before a bar is lived through (`has_room`), so a posted amount is never without its row.
"""

from __future__ import annotations

from backtest.kernel import entry, kernel
from backtest.ledger.kinds import TRANSFER
from backtest.state import (
    FILL_ROWS, INCIDENT_ROWS, L_ACCOUNT, L_AMOUNT, L_ASSET, L_BAR, L_INSTRUMENT, L_KIND, L_ORDER, L_WALLET, LEDGER_ROWS,
    NOTHING,
)  # fmt: skip


@entry
def post(book, bar, account, wallet, asset, kind, amount, instrument, order):
    """Change one balance by `amount` steps, for a reason, and write it down. A change of nothing is no row."""
    if amount == 0:
        return
    book.balance[wallet, asset, account] += amount
    book.total[kind, asset, account] += amount
    row = book.count[LEDGER_ROWS]
    assert row < book.ledger.shape[0]
    book.ledger[row, L_BAR] = bar
    book.ledger[row, L_ACCOUNT] = account
    book.ledger[row, L_WALLET] = wallet
    book.ledger[row, L_ASSET] = asset
    book.ledger[row, L_KIND] = kind
    book.ledger[row, L_AMOUNT] = amount
    book.ledger[row, L_INSTRUMENT] = instrument
    book.ledger[row, L_ORDER] = order
    book.count[LEDGER_ROWS] = row + 1


@kernel
def move(book, bar, account, source, target, asset, kind, amount):
    """Two rows that cancel: the same amount out of one wallet and into another."""
    post(book, bar, account, source, asset, kind, -amount, NOTHING, NOTHING)
    post(book, bar, account, target, asset, kind, amount, NOTHING, NOTHING)


@kernel
def transfer_now(book, bar, account, source, target, asset, amount):
    """An instant transfer between two wallets of one account."""
    move(book, bar, account, source, target, asset, TRANSFER, amount)


@kernel
def has_room(book, ledger_rows, fill_rows, incident_rows):
    """Whether so many more rows fit; asked before a bar, so that no bar is left half-posted."""
    return (
        book.count[LEDGER_ROWS] + ledger_rows <= book.ledger.shape[0]
        and book.count[FILL_ROWS] + fill_rows <= book.fill.shape[0]
        and book.count[INCIDENT_ROWS] + incident_rows <= book.incident.shape[0]
    )
