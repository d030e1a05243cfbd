"""Money between wallets, and in and out of the account.

A transfer leaves at the next open, as far as the source wallet can spare it, less its cost; under way it lies in
the transit wallet, where it is equity but backs nothing; it arrives after the declared delay. Deposits and
withdrawals come on a schedule.
"""

from __future__ import annotations

from backtest.engine.fills import addable_steps, free_steps, reserved_here
from backtest.kernel import entry, kernel
from backtest.ledger.kinds import DEPOSIT, TRANSFER, TRANSFER_COST, WITHDRAWAL
from backtest.ledger.post import move, post
from backtest.margin.wallets import list_held
from backtest.state import (
    ARRIVED, ASKED, BACKS_NOTHING, E_SUBJECT, I64, NOT_SENT, NOTHING, T_ACCOUNT, T_AMOUNT, T_ARRIVES, T_ASSET,
    T_DEPARTS, T_MOVED, T_SOURCE, T_STATE, T_TARGET, TRANSFER_FEE, TRANSFER_ROWS, UNBOUND, UNDER_WAY,
)  # fmt: skip
from backtest.units import STEP, units


@entry
def ask_transfer(book, departs, arrives, account, asset, source, target, amount):
    """Write a transfer down; it leaves at the open of bar `departs`. Returns its row."""
    row = book.count[TRANSFER_ROWS]
    assert row < book.transfer.shape[0]
    book.transfer[row, T_DEPARTS] = departs
    book.transfer[row, T_ARRIVES] = arrives
    book.transfer[row, T_ACCOUNT] = account
    book.transfer[row, T_ASSET] = asset
    book.transfer[row, T_SOURCE] = source
    book.transfer[row, T_TARGET] = target
    book.transfer[row, T_AMOUNT] = amount
    book.transfer[row, T_STATE] = ASKED
    book.count[TRANSFER_ROWS] = row + 1
    return row


@kernel
def move_transfers(book, rules, tape, account, bar):
    """Send what leaves at this bar and hand over what arrives at it."""
    for row in range(book.count[TRANSFER_ROWS]):
        if book.transfer[row, T_ACCOUNT] == account:
            if book.transfer[row, T_STATE] == ASKED and book.transfer[row, T_DEPARTS] <= bar:
                depart(book, rules, tape, account, bar, row)
            if book.transfer[row, T_STATE] == UNDER_WAY and book.transfer[row, T_ARRIVES] <= bar:
                arrive(book, rules, account, bar, row)


@kernel
def is_margined(rules, account, wallet):
    """Whether positions can lean on a wallet."""
    return rules.model[rules.shape[account], wallet] != BACKS_NOTHING


@kernel
def sendable(book, rules, tape, bar, account, wallet, asset):
    """Steps that may leave a wallet: the whole balance of one that backs nothing, the free part of any other."""
    if not is_margined(rules, account, wallet):
        return max(I64(0), book.balance[wallet, asset, account] - reserved_here(book, rules, account, wallet, asset))
    return free_steps(book, rules, tape, bar, account, wallet, asset)


@kernel
def depart(book, rules, tape, account, bar, row):
    """Into the transit wallet, less the cost; what cannot be spared stays."""
    asset, source = book.transfer[row, T_ASSET], book.transfer[row, T_SOURCE]
    amount = book.transfer[row, T_AMOUNT]
    if rules.switch[account, UNBOUND] == 0:
        amount = min(amount, sendable(book, rules, tape, bar, account, source, asset))
        isolated = rules.isolates[rules.shape[account], book.transfer[row, T_TARGET]] >= 0
        if isolated and is_margined(rules, account, source):
            amount = min(amount, addable_steps(book, rules, tape, bar, account, source, asset))
    cost = min(amount, units(rules.choice[account, TRANSFER_FEE] / STEP))
    if amount - cost <= 0:
        book.transfer[row, T_STATE] = NOT_SENT
        return
    post(book, bar, account, source, asset, TRANSFER_COST, -cost, NOTHING, NOTHING)
    move(book, bar, account, source, rules.transit_wallet[rules.shape[account]], asset, TRANSFER, amount - cost)
    book.transfer[row, T_MOVED] = amount - cost
    book.transfer[row, T_STATE] = UNDER_WAY
    list_held(book, rules, account)


@kernel
def arrive(book, rules, account, bar, row):
    """Out of the transit wallet into its target."""
    transit = rules.transit_wallet[rules.shape[account]]
    asset, target = book.transfer[row, T_ASSET], book.transfer[row, T_TARGET]
    move(book, bar, account, transit, target, asset, TRANSFER, book.transfer[row, T_MOVED])
    book.transfer[row, T_STATE] = ARRIVED
    list_held(book, rules, account)


@kernel
def next_transfer(book, account, bar, last):
    """First bar after `bar` at which a transfer of the account leaves or arrives; `last` if none does before."""
    for row in range(book.count[TRANSFER_ROWS]):
        if book.transfer[row, T_ACCOUNT] == account:
            if book.transfer[row, T_STATE] == ASKED and book.transfer[row, T_DEPARTS] > bar:
                last = min(last, book.transfer[row, T_DEPARTS])
            if book.transfer[row, T_STATE] == UNDER_WAY and book.transfer[row, T_ARRIVES] > bar:
                last = min(last, book.transfer[row, T_ARRIVES])
    return last


@kernel
def flow(book, rules, tape, event, account, bar):
    """A scheduled deposit, or a withdrawal as far as the wallet can spare it. `number[event]` is (steps, wallet)."""
    asset, wallet = tape.event[event, E_SUBJECT], I64(tape.number[event, 1])
    amount = I64(tape.number[event, 0])
    if amount >= 0:
        post(book, bar, account, wallet, asset, DEPOSIT, amount, NOTHING, NOTHING)
    else:
        out = -amount
        if rules.switch[account, UNBOUND] == 0:
            out = min(out, sendable(book, rules, tape, bar, account, wallet, asset))
        post(book, bar, account, wallet, asset, WITHDRAWAL, -out, NOTHING, NOTHING)
    list_held(book, rules, account)
