"""The second look at the books: the ledger added up anew, in whole numbers, must give every balance exactly.

Nothing here is compiled and nothing is shared with the engine: if a balance ever changed without its row, or a pair
that ought to cancel did not, the run is not a result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.ledger.kinds import KIND_NAMES, PAIRED
from backtest.state import L_ACCOUNT, L_AMOUNT, L_ASSET, L_KIND, L_WALLET, LEDGER_ROWS, Book

SAFE = 2.0**62  # what sums of int64 may come near before Python's own integers have to add them


class LedgerError(AssertionError):
    """The books do not balance: a bug of the engine, never of the user."""


def audit(book: Book) -> None:
    """Replay the ledger. Raises LedgerError naming the wallet, the asset and both amounts where they differ."""
    rows = book.ledger[: book.count[LEDGER_ROWS]]
    _compare("balance of wallet", added_up(rows, L_WALLET, book.balance.shape), book.balance)
    _compare("total of kind", added_up(rows, L_KIND, book.total.shape), book.total)
    for kind in PAIRED:
        for asset, account in np.argwhere(book.total[kind] != 0).tolist():
            total = int(book.total[kind, asset, account])
            raise LedgerError(f"{KIND_NAMES[kind]} rows of asset {asset}, account {account} leave {total} steps over")


def added_up(rows: npt.NDArray[np.int64], by: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Amounts of ledger rows by a column, asset and account [by, asset, account]; exact, however large they are."""
    amounts = rows[:, L_AMOUNT]
    large = np.abs(amounts.astype(np.float64)).sum() >= SAFE
    sums = np.zeros(shape, object if large else np.int64)
    np.add.at(sums, (rows[:, by], rows[:, L_ASSET], rows[:, L_ACCOUNT]), amounts.astype(sums.dtype))
    return sums


def _compare(what: str, replayed: npt.NDArray[Any], table: npt.NDArray[np.int64]) -> None:
    for first, asset, account in np.argwhere(replayed != table).tolist():
        found, steps = int(replayed[first, asset, account]), int(table[first, asset, account])
        raise LedgerError(f"{what} {first}, asset {asset}, account {account}: ledger {found}, book {steps} steps")
