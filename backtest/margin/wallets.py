"""Scope: margin is asked per wallet. An account is its wallets; an isolated position is the cross rule over its own.

`require` is the switch from a wallet's model to the rule that reads it. `list_held` keeps the short lists of what each
wallet holds, so that no rule looks at an instrument that is not there.
"""

from __future__ import annotations


from backtest.kernel import kernel
from backtest.margin.collateral import add_net, many_held, nth_held
from backtest.margin.leaves import add_priced, clear
from backtest.margin.scenarios import require_scenarios
from backtest.margin.tail import require_tail
from backtest.margin.tiers import add_open_loss, require_tiers, take_spot_open_loss
from backtest.span import Lanes, first_account, first_bar
from backtest.state import (
    ASSETS, BACKS_NOTHING, COLLATERAL, HERE, INITIAL, INVERSE, LIVE_ORDERS, MAINTENANCE, MOMENT, NET, ONE, OPEN_LOSS,
    OPEN_LOSS_COUNTS, POSITIONS, SCENARIOS, TAIL, TIERS,
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
    elif model == SCENARIOS:
        require_scenarios(book, rules, tape, prices, wallet, span, point, n)
    elif model == TAIL:
        require_tail(book, rules, tape, prices, wallet, span, point, n)
    if book.count[LIVE_ORDERS] > 0:
        at = tape.rules_at[rules.shape[account], first_bar(span)]
        add_open_loss(book, rules, tape, prices, wallet, account, span, point, n)
        if rules.term[at, OPEN_LOSS_COUNTS] != 0:
            take_spot_open_loss(book, rules, tape, prices, wallet, account, span, point, n)


@kernel
def moment_of(account, bar):
    """The span of one account at one moment: prices are read from the book's own column of them."""
    return Lanes(bar, HERE, account, account + ONE)


@kernel
def require_now(book, rules, tape, wallet, account, bar):
    """What a wallet needs at the moment that `book.here` holds."""
    require(book, rules, tape, book.here, wallet, moment_of(account, bar), MOMENT, ONE)


@kernel
def set_moment(book, rules, tape, account, bar, source, target, share):
    """Prices between two points of a bar, all of them the same share of the way; at EACH, each leg's own worst."""
    instruments, assets = len(rules.kind), book.balance.shape[1]
    for i in range(instruments):
        short = ONE if book.contracts[i, account] < 0 else HERE
        between(
            book.here, i, tape.series, tape.value_row[source, i, short], tape.value_row[target, i, short], bar, share
        )
        last, mark = instruments + assets + i, 2 * instruments + assets + i
        between(
            book.here, last, tape.series, tape.last_row[source, i, short], tape.last_row[target, i, short], bar, share
        )
        between(
            book.here, mark, tape.series, tape.mark_row[source, i, short], tape.mark_row[target, i, short], bar, share
        )
        if rules.kind[i] == INVERSE:  # the mark moves evenly, and what a contract is worth follows it
            book.here[i, 0] = -rules.size[i] / book.here[mark, 0]
    for a in range(assets):
        between(
            book.here,
            instruments + a,
            tape.series,
            tape.index_row[source, a, 0],
            tape.index_row[target, a, 0],
            bar,
            share,
        )


@kernel
def between(here, row, series, source, target, bar, share):
    """One price, a share of the way from one point to another; exactly the end at share 1."""
    a, b = series[source, bar], series[target, bar]
    here[row, 0] = b if share == 1.0 else a + (b - a) * share


@kernel
def last_here(book, rules, i):
    """The traded price of the moment."""
    return book.here[len(rules.kind) + book.balance.shape[1] + i, 0]


@kernel
def mark_here(book, rules, i):
    """The mark price of the moment."""
    return book.here[2 * len(rules.kind) + book.balance.shape[1] + i, 0]


@kernel
def index_here(book, rules, asset):
    """USD per unit of an asset at the moment."""
    return book.here[len(rules.kind) + asset, 0]


@kernel
def list_held(book, rules, account):
    """Rebuild the account's held lists; called after every change of what it holds."""
    shape = rules.shape[account]
    for wallet in range(book.balance.shape[0]):
        list_positions(book, rules, account, shape, wallet)
        n = 0
        for asset in range(book.balance.shape[1]):
            if matters(book, rules, account, shape, wallet, asset):
                n += 1
                book.held[account, wallet, ASSETS, n] = asset
        book.held[account, wallet, ASSETS, 0] = n


@kernel
def list_positions(book, rules, account, shape, wallet):
    """The positions with contracts, or with resting orders that could give them some."""
    n = 0
    for position in range(book.contracts.shape[0]):
        if rules.position_wallet[shape, position] == wallet:
            resting = book.resting[0, position, account] + book.resting[1, position, account]
            if book.contracts[position, account] != 0 or resting > 0.0:
                n += 1
                book.held[account, wallet, POSITIONS, n] = position
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
    scenarios = rules.model[shape, wallet] == SCENARIOS or rules.model[shape, wallet] == TAIL
    for k in range(book.held[account, wallet, POSITIONS, 0]):
        i = rules.instrument[book.held[account, wallet, POSITIONS, 1 + k]]
        if rules.settlement[i] == asset or (scenarios and rules.base[i] == asset):
            return True
    return False


@kernel
def value_account(out, book, rules, tape, prices, span, point, n):
    """out = equity in USD, no haircut: every balance and open profit of every wallet, coins under way and loans
    included.
    """
    clear(out)
    for wallet in range(book.balance.shape[0]):
        for k in range(many_held(book, wallet, ASSETS, span)):
            asset = nth_held(book, wallet, ASSETS, span, k)
            clear(book.need[NET, :n])
            add_net(book.need[NET, :n], book, rules, tape, prices, wallet, asset, span, point)
            add_priced(out, book.need[NET, :n], prices[tape.index_row[point, asset, 0]], span, 1.0)
