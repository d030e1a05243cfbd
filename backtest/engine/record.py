"""What is kept of every bar: equity, collateral, requirements at the close, and the lowest ratio on the way there."""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.margin.row_leaves import copy_row, lower_of, lower_to_headroom, lowest_of
from backtest.margin.wallets import require, value_account
from backtest.span import Bars
from backtest.state import (
    BACKS_NOTHING, CLOSE, COLLATERAL, INITIAL, LIQUIDATE_AT, MAINTENANCE, P_CLOSE, P_EACH, P_EQUITY, P_LOW_HIGH,
    P_WALLET, RATIO_CLOSE, RATIO_EACH, RATIO_HIGH, RATIO_LOW, RATIO_OPEN, WORST_WALLET, W_COLLATERAL, W_INITIAL,
    W_MAINTENANCE,
)  # fmt: skip


@kernel
def record(book, rules, tape, account, first, last):
    """Write bars first..last-1 of the account's path; the ratio rows of the scratch table begin at `first`."""
    for wallet in range(book.balance.shape[0]):
        record_close(book, rules, tape, account, wallet, first, last)
    record_account(book, rules, tape, account, first, last)


@kernel
def is_kept(book):
    """Whether the book keeps what it sees, bar by bar."""
    return book.path.shape[2] > 0


@kernel
def record_close(book, rules, tape, account, wallet, first, last):
    """Ask a wallet that backs something at the closes, and write that down."""
    if is_kept(book) and rules.model[rules.shape[account], wallet] != BACKS_NOTHING:
        require(book, rules, tape, tape.series, wallet, Bars(account, first, last), CLOSE, last - first)
        lower_headroom(book, rules, tape, account, wallet, first, last)
        record_wallet(book, account, wallet, first, last)


@kernel
def record_account(book, rules, tape, account, first, last):
    """The account's equity and its lowest ratios; its wallets have been recorded."""
    if not is_kept(book):
        return
    n = last - first
    equity = book.path[P_EQUITY, account, first:last]
    value_account(equity, book, rules, tape, tape.series, Bars(account, first, last), CLOSE, n)
    record_ratios(book, account, first, last)


@kernel
def record_wallet(book, account, wallet, first, last):
    """Collateral, initial and maintenance margin of a wallet at the close, as need[] holds them."""
    if is_kept(book):
        n = last - first
        copy_row(book.wallet_path[W_COLLATERAL, wallet, account, first:last], book.need[COLLATERAL, :n])
        copy_row(book.wallet_path[W_INITIAL, wallet, account, first:last], book.need[INITIAL, :n])
        copy_row(book.wallet_path[W_MAINTENANCE, wallet, account, first:last], book.need[MAINTENANCE, :n])


@kernel
def lower_headroom(book, rules, tape, account, wallet, first, last):
    """Bars first..last-1 of the wallet's headroom, by what need[] holds of them."""
    if is_kept(book):
        n = last - first
        lower_to_headroom(
            book.headroom[wallet, account, first:last],
            book.need[COLLATERAL, :n],
            book.need[INITIAL, :n],
            book.need[MAINTENANCE, :n],
            rules.level[tape.rules_at[rules.shape[account], first], LIQUIDATE_AT],
        )


@kernel
def record_ratios(book, account, first, last):
    """Lowest ratio of each bar under the three readings of its path; every one opens and closes the bar."""
    n, need = last - first, book.need
    close, low_high = book.path[P_CLOSE, account, first:last], book.path[P_LOW_HIGH, account, first:last]
    lower_of(close, need[RATIO_CLOSE, :n], need[RATIO_OPEN, :n])
    lowest_of(low_high, need[RATIO_LOW, :n], need[RATIO_HIGH, :n], close)
    lower_of(book.path[P_EACH, account, first:last], need[RATIO_EACH, :n], low_high)
    copy_row(book.path[P_WALLET, account, first:last], need[WORST_WALLET, :n])
