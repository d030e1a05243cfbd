"""What counts for margin: balances, unrealised profit and debts of one wallet, asset by asset.

Per asset everything nets first: balance + unrealised profit settled in it - loan. What is left counts at the
asset's tiered collateral ratio if it is a gain and in full (dearer by the venue's ask buffer) if it is a debt.
Gains are cut, debts are not.
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.margin.leaves import (
    add_balance, add_collateral, add_collateral_otherwise, add_profit, add_share_of_debt, take_balance,
)  # fmt: skip
from backtest.span import first_account
from backtest.state import (
    ASSETS, BORROW_INITIAL, BORROW_MAINTENANCE, BY_QUANTITY, COLLATERAL, DEBT_BUFFER, DEBT_IN_MAINTENANCE,
    DEBTS_ARE_LOANS, HAIRCUT_IN_INITIAL, HERE, INITIAL, MAINTENANCE, NET, NET_INITIAL, NET_MAINTENANCE, ONE, POSITIONS,
    SETTLING,
)  # fmt: skip


@kernel
def many_held(book, wallet, what, span):
    """How many assets (or positions) the wallet holds."""
    return book.held[first_account(span), wallet, what, 0]


@kernel
def nth_held(book, wallet, what, span, k):
    """The k-th asset (or position) the wallet holds."""
    return book.held[first_account(span), wallet, what, 1 + k]


@kernel
def side_of(book, position, span):
    """0 for a long, 1 for a short: which of a price's two rows its worst case reads."""
    return ONE if book.contracts[position, first_account(span)] < 0 else HERE


@kernel
def take_net(out, book, rules, tape, prices, wallet, asset, span, point):
    """out = balance and unrealised profit of one asset, in units of it."""
    take_balance(out, book.running[wallet, asset], book.balance[wallet, asset], span)
    if not settles(book, wallet, asset, span):
        return
    for k in range(many_held(book, wallet, POSITIONS, span)):
        position = nth_held(book, wallet, POSITIONS, span, k)
        i = rules.instrument[position]
        if rules.settlement[i] == asset:
            value = prices[tape.value_row[point, i, side_of(book, position, span)]]
            add_profit(out, book.contracts[position], book.cost[position], value, span)


@kernel
def take_asset(book, rules, tape, prices, wallet, asset, at, span, point, n):
    """NET = balance and unrealised profit of one asset, less what is borrowed of it; NET_INITIAL, NET_MAINTENANCE +=
    what that loan asks for, all in units of the asset.

    Where the venue margins what an asset owes after everything has netted, a loan is charged there, once.
    """
    take_net(book.need[NET, :n], book, rules, tape, prices, wallet, asset, span, point)
    if not has_loan(book, rules, wallet, asset, span):
        return
    loans = rules.loan_wallet[rules.shape[first_account(span)]]
    running, balance, coin = book.running[loans, asset], book.balance[loans, asset], rules.coin[at, asset]
    add_balance(book.need[NET, :n], running, balance, span)
    if rules.term[at, DEBTS_ARE_LOANS] == 0:
        add_share_of_debt(book.need[NET_INITIAL, :n], running, balance, span, coin[BORROW_INITIAL])
        add_share_of_debt(book.need[NET_MAINTENANCE, :n], running, balance, span, coin[BORROW_MAINTENANCE])


@kernel
def has_loan(book, rules, wallet, asset, span):
    """Whether something of the asset is borrowed against the wallet. Inside a stretch no loan begins."""
    account = first_account(span)
    loans = rules.loan_wallet[rules.shape[account]]
    if loans < 0 or rules.settle[rules.shape[account], wallet] >= 0:
        return False
    return book.balance[loans, asset, account] != 0


@kernel
def settles(book, wallet, asset, span):
    """Whether a position of the wallet is settled in the asset."""
    return book.held[first_account(span), wallet, SETTLING, asset] > 0


@kernel
def holds(book, wallet, asset, span):
    """Whether the wallet's held list names the asset."""
    for k in range(many_held(book, wallet, ASSETS, span)):
        if nth_held(book, wallet, ASSETS, span, k) == asset:
            return True
    return False


@kernel
def add_collateral_of(book, rules, tape, prices, asset, at, span, point, n):
    """COLLATERAL += what the NET amount of an asset counts for, as the venue counts."""
    shape, term = rules.shape[first_account(span)], rules.term[at]
    own, owe = prices[tape.index_row[point, asset, 0]], prices[tape.index_row[point, asset, 1]]
    otherwise = term[HAIRCUT_IN_INITIAL] + term[DEBT_IN_MAINTENANCE] + term[DEBTS_ARE_LOANS]
    if otherwise == 0 and rules.coin[at, asset, BY_QUANTITY] == 0.0:
        add_collateral(
            book.need[COLLATERAL, :n],
            book.need[NET, :n],
            own,
            owe,
            span,
            rules.ratio[at, asset],
            rules.counts[shape, asset],
            rules.coin[at, asset, DEBT_BUFFER],
        )
    else:
        add_collateral_otherwise(
            book.need[COLLATERAL, :n],
            book.need[INITIAL, :n],
            book.need[MAINTENANCE, :n],
            book.need[NET, :n],
            own,
            owe,
            span,
            rules.ratio[at, asset],
            rules.counts[shape, asset],
            rules.coin[at, asset],
            term,
            rules.due[at],
        )
