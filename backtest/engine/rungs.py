"""Forced sales as every ladder makes them: one position cut with its incident, and a whole account closed.

Some venues sell on until the wallet is not just sound but at a better ratio (`forced.restored`).
"""

from __future__ import annotations

import numpy as np

from backtest.engine.forced import force_at, forced_price, heaviest, note, restored, sound
from backtest.engine.judgement import restore, save
from backtest.kernel import kernel
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
    force_at(book, rules, tape, account, wallet, position, contracts, price, bar, point)
    note(book, bar, account, wallet, rung, position, collateral, maintenance, contracts * STEP, price, point, 0.0)


@kernel
def suffices(book, rules, tape, account, wallet, position, contracts, price, bar, point):
    """Whether a forced order of so many contracts, or of all there are, would mend the wallet; a trial that is put
    back. `price`: NaN for what so many fetch.
    """
    contracts = as_far(book, account, position, contracts)
    if np.isnan(price):
        price = forced_price(book, rules, tape, account, rules.instrument[position], contracts, bar)
    save(book, account)
    force_at(book, rules, tape, account, wallet, position, contracts, price, bar, point)
    enough = restored(book, rules, tape, account, wallet, bar)
    restore(book, account)
    list_held(book, rules, account)
    return enough


@kernel
def fewest_between(book, rules, tape, account, wallet, position, unit, price, bar, point, few, enough):
    """Fewest times `unit` contracts whose sale mends the wallet, of more than `few`, which do not, up to `enough`,
    which do. `price`: see `suffices`.
    """
    while enough - few > 1:
        middle = (few + enough) // 2
        if suffices(book, rules, tape, account, wallet, position, middle * unit, price, bar, point):
            enough = middle
        else:
            few = middle
    return enough


@kernel
def as_far(book, account, position, contracts):
    """Contracts to close, no more than there are."""
    held = book.contracts[position, account]
    return max(contracts, -held) if held > 0 else min(contracts, -held)
