"""Scope: margin is asked per wallet. An account is its wallets; an isolated position is the cross rule over its own.

`require` is the switch from a wallet's model to the rule that reads it. `list_held` keeps the short lists of what each
wallet holds, so that no rule looks at an instrument that is not there.
"""

from __future__ import annotations


from backtest.kernel import kernel
from backtest.margin.collateral import many_held, nth_held, take_net
from backtest.margin.leaves import add_priced
from backtest.margin.row_leaves import clear
from backtest.margin.portfolio.require import require_portfolio
from backtest.margin.scenarios import require_scenarios
from backtest.margin.tail import require_tail
from backtest.margin.orders import add_open_loss, take_spot_open_loss
from backtest.margin.tiers import require_tiers
from backtest.span import Lanes, first_account, first_bar
from backtest.state import (
    ASSETS, BACKS_NOTHING, COLLATERAL, HERE, INITIAL, LIVE_ORDERS, MAINTENANCE, MOMENT, MOVING, NET, NOTHING, ONE,
    OPEN_LOSS, OPEN_LOSS_COUNTS, OWN_GRID, PAGE, POSITIONS, SCENARIOS, SETTLING, TAIL, TIERS,
)  # fmt: skip


@kernel
def require(book, rules, tape, prices, wallet, span, point, n):
    """COLLATERAL, INITIAL, MAINTENANCE, OPEN_LOSS of one wallet over the span, in USD, by the wallet's model."""
    for row in (COLLATERAL, INITIAL, MAINTENANCE, OPEN_LOSS):
        clear(book.need[row, :n])
    account = first_account(span)
    model = rules.model[rules.shape[account], wallet]
    if model == TIERS:
        require_tiers(book, rules, tape, prices, wallet, span, point, n)
    elif model == SCENARIOS and rules.term[tape.rules_at[rules.shape[account], first_bar(span)], PAGE] != OWN_GRID:
        require_portfolio(book, rules, tape, prices, wallet, span, point, n)
    elif model == SCENARIOS:
        require_scenarios(book, rules, tape, prices, wallet, span, point, n)
    elif model == TAIL:
        require_tail(book, rules, tape, prices, wallet, span, point, n)
    if book.count[LIVE_ORDERS] > 0:
        at = tape.rules_at[rules.shape[account], first_bar(span)]
        add_open_loss(book, rules, tape, prices, wallet, account, span, point, n)
        if rules.term[at, OPEN_LOSS_COUNTS] != 0:
            take_spot_open_loss(book.need[COLLATERAL, :n], book, rules, tape, prices, wallet, account, span, point)


@kernel
def moment_of(account, bar):
    """The span of one account at one moment: prices are read from the book's own column of them."""
    return Lanes(bar, HERE, account, account + ONE)


@kernel
def require_now(book, rules, tape, wallet, account, bar):
    """What a wallet needs at the moment that `book.here` holds."""
    require(book, rules, tape, book.here, wallet, moment_of(account, bar), MOMENT, ONE)


@kernel
def list_held(book, rules, account):
    """Rebuild the account's held lists; called after every change of what it holds."""
    shape = rules.shape[account]
    for wallet in range(book.balance.shape[0]):
        for asset in range(book.balance.shape[1]):
            book.held[account, wallet, SETTLING, asset] = 0
            book.held[account, wallet, MOVING, asset] = 0
    for wallet in range(book.balance.shape[0]):
        list_positions(book, rules, account, shape, wallet)
    for wallet in range(book.balance.shape[0]):
        n = 0
        for asset in range(book.balance.shape[1]):
            if matters(book, rules, account, shape, wallet, asset):
                n += 1
                book.held[account, wallet, ASSETS, n] = asset
        book.held[account, wallet, ASSETS, 0] = n


@kernel
def list_positions(book, rules, account, shape, wallet):
    """The positions with contracts, or with resting orders that could give them some; how many by asset, an isolated
    one in the wallet it was opened from as well.
    """
    n, parent = 0, rules.parent[shape, wallet] if rules.isolates[shape, wallet] >= 0 else NOTHING
    for position in range(book.contracts.shape[0]):
        if rules.position_wallet[shape, position] == wallet:
            resting = book.resting[0, position, account] + book.resting[1, position, account]
            if book.contracts[position, account] != 0 or resting > 0.0:
                n += 1
                book.held[account, wallet, POSITIONS, n] = position
                book.held[account, wallet, SETTLING, rules.settlement[rules.instrument[position]]] += 1
                if parent >= 0:
                    book.held[account, parent, SETTLING, rules.settlement[rules.instrument[position]]] += 1
                book.held[account, wallet, MOVING, rules.base[rules.instrument[position]]] += 1
    book.held[account, wallet, POSITIONS, 0] = n


@kernel
def matters(book, rules, account, shape, wallet, asset):
    """An asset is listed if the wallet has some of it, owes some, or holds a position settled in or moving with it."""
    if book.balance[wallet, asset, account] != 0:
        return True
    loans = rules.loan_wallet[shape]
    if loans >= 0 and rules.settle[shape, wallet] < 0 and rules.model[shape, wallet] != BACKS_NOTHING:
        if book.balance[loans, asset, account] != 0:
            return True
    if book.held[account, wallet, SETTLING, asset] > 0:
        return True
    scenarios = rules.model[shape, wallet] == SCENARIOS or rules.model[shape, wallet] == TAIL
    return scenarios and book.held[account, wallet, MOVING, asset] > 0


@kernel
def value_account(out, book, rules, tape, prices, span, point, n):
    """out = equity in USD, no haircut: every balance and open profit of every wallet, coins under way and loans
    included.
    """
    clear(out)
    for wallet in range(book.balance.shape[0]):
        for k in range(many_held(book, wallet, ASSETS, span)):
            asset = nth_held(book, wallet, ASSETS, span, k)
            take_net(book.need[NET, :n], book, rules, tape, prices, wallet, asset, span, point)
            add_priced(out, book.need[NET, :n], prices[tape.index_row[point, asset, 0]], span, 1.0)
