"""Forced sales as every ladder makes them: one position cut with its incident, and a whole account closed.

An isolated position that is cut keeps its margin: nothing is released while the venue sells. Some venues sell on until
the wallet is not just sound but at a better ratio (`forced.restored`).
"""

from __future__ import annotations

from backtest.engine.forced import force_at, forced_price, heaviest, note, restored, sound
from backtest.engine.judgement import restore, save
from backtest.kernel import kernel
from backtest.ledger.kinds import ALLOCATE
from backtest.ledger.post import move
from backtest.margin.wallets import list_held
from backtest.state import CLOSE_ALL, COLLATERAL, MAINTENANCE, POSITIONS
from backtest.units import STEP


@kernel
def close_all(book, rules, tape, account, wallet, bar, point):
    """Every position of the wallet is sold, the largest first, whatever the ratio becomes on the way."""
    while book.held[account, wallet, POSITIONS, 0] > 0:
        sound(book, rules, tape, account, wallet, bar)
        position = heaviest(book, rules, tape, account, wallet, bar)
        if position < 0:
            return
        contracts = -book.contracts[position, account]
        cut(book, rules, tape, account, wallet, position, contracts, bar, point, CLOSE_ALL)


@kernel
def cut(book, rules, tape, account, wallet, position, contracts, bar, point, rung):
    """One forced sale and its incident; need[] is as asked of the wallet."""
    collateral, maintenance = book.need[COLLATERAL, 0], book.need[MAINTENANCE, 0]
    price = forced_price(book, rules, tape, account, rules.instrument[position], contracts, bar)
    force_kept(book, rules, tape, account, wallet, position, contracts, price, bar, point)
    note(book, bar, account, wallet, rung, position, collateral, maintenance, contracts * STEP, price, point, 0.0)


@kernel
def force_kept(book, rules, tape, account, wallet, position, contracts, price, bar, point):
    """A forced order after which an isolated position that is not closed keeps the margin of what was."""
    shape, asset = rules.shape[account], rules.settlement[rules.instrument[position]]
    parent = rules.parent[shape, wallet] if rules.isolates[shape, wallet] >= 0 else wallet
    before = book.balance[parent, asset, account]
    force_at(book, rules, tape, account, wallet, position, contracts, price, bar, point)
    freed = book.balance[parent, asset, account] - before
    if parent != wallet and freed > 0 and book.contracts[position, account] != 0:
        move(book, bar, account, parent, wallet, asset, ALLOCATE, freed)
        list_held(book, rules, account)


@kernel
def suffices(book, rules, tape, account, wallet, position, contracts, price, bar, point):
    """Whether such an order would mend the wallet; a trial that is put back."""
    save(book, account)
    force_kept(book, rules, tape, account, wallet, position, contracts, price, bar, point)
    enough = restored(book, rules, tape, account, wallet, bar)
    restore(book, account)
    list_held(book, rules, account)
    return enough
