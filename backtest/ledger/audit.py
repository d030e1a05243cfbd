"""The second look at the books: the ledger replayed in plain Python integers must give every balance exactly.

Nothing here is compiled and nothing is shared with the engine: if a balance ever changed without its row, or a pair
that ought to cancel did not, the run is not a result.
"""

from __future__ import annotations

from collections import defaultdict

from backtest.ledger.kinds import KIND_NAMES, PAIRED
from backtest.state import L_ACCOUNT, L_AMOUNT, L_ASSET, L_KIND, L_WALLET, LEDGER_ROWS, Book


class LedgerError(AssertionError):
    """The books do not balance: a bug of the engine, never of the user."""


def audit(book: Book) -> None:
    """Replay the ledger. Raises LedgerError naming the wallet, the asset and both amounts where they differ."""
    balances: dict[tuple[int, int, int], int] = defaultdict(int)
    totals: dict[tuple[int, int, int], int] = defaultdict(int)
    for row in book.ledger[: book.count[LEDGER_ROWS]].tolist():
        account, wallet, asset = row[L_ACCOUNT], row[L_WALLET], row[L_ASSET]
        balances[wallet, asset, account] += row[L_AMOUNT]
        totals[row[L_KIND], asset, account] += row[L_AMOUNT]
    _compare("balance of wallet", balances, book.balance.tolist())
    _compare("total of kind", totals, book.total.tolist())
    for kind in PAIRED:
        for asset, accounts in enumerate(book.total[kind].tolist()):
            for account, total in enumerate(accounts):
                if total != 0:
                    raise LedgerError(
                        f"{KIND_NAMES[kind]} rows of asset {asset}, account {account} leave {total} steps over"
                    )


def _compare(what: str, replayed: dict[tuple[int, int, int], int], table: list[list[list[int]]]) -> None:
    for first, assets in enumerate(table):
        for asset, accounts in enumerate(assets):
            for account, steps in enumerate(accounts):
                found = replayed.get((first, asset, account), 0)
                if found != steps:
                    raise LedgerError(
                        f"{what} {first}, asset {asset}, account {account}: ledger {found}, book {steps} steps"
                    )
