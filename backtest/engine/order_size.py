"""How much an order asks for at a moment: what is held and still wanted, in whole lots, and what it is worth."""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.state import (
    ASSETS, FORCED, I64, INVERSE, NOTHING, O_CONTRACTS, O_FILLED, O_FLAGS, O_POSITION, REDUCE_ONLY, SPOT, TO_TARGET,
)  # fmt: skip
from backtest.units import STEP


@kernel
def wanted(book, rules, account, order):
    """Signed steps of contracts an order still asks for, in whole lots, toward zero; a reduce-only one no more than is
    there to close.
    """
    position = book.order[order, O_POSITION]
    i = rules.instrument[position]
    contracts = book.order[order, O_CONTRACTS] - book.order[order, O_FILLED]
    if book.order[order, O_FLAGS] & FORCED:
        return contracts
    held = position_of(book, rules, account, position)
    if book.order[order, O_FLAGS] & TO_TARGET:
        contracts = book.order[order, O_CONTRACTS] - held
    if book.order[order, O_FLAGS] & REDUCE_ONLY:
        if held == 0 or (held > 0) == (contracts > 0):
            return I64(0)
        contracts = max(contracts, -held) if held > 0 else min(contracts, -held)
    return in_lots(contracts, rules.lot[i])


@kernel
def in_lots(contracts, lot):
    """Whole lots, toward zero."""
    return (contracts // lot) * lot if contracts >= 0 else -((-contracts // lot) * lot)


@kernel
def position_of(book, rules, account, position):
    """Steps held: contracts of a future; of spot, the coins in the spot wallet less those owed."""
    return position_at(book, rules, account, position, NOTHING)


@kernel
def position_at(book, rules, account, position, j):
    """The same at bar j of a stretch, through which coins may still be paid or owed; NOTHING: as the books stand."""
    i = rules.instrument[position]
    if rules.kind[i] != SPOT:
        return book.contracts[position, account]
    shape, asset = rules.shape[account], rules.base[i]
    owned = balance_at(book, account, rules.spot_wallet[shape], asset, j)
    if rules.loan_wallet[shape] >= 0:
        owned += balance_at(book, account, rules.loan_wallet[shape], asset, j)
    return owned


@kernel
def balance_at(book, account, wallet, asset, j):
    """Steps of an asset at bar j of a stretch: what runs there, of assets that any bar of it holds."""
    balance = book.balance[wallet, asset, account]
    if j == NOTHING:
        return balance
    if balance != 0:
        return book.running[wallet, asset, j]
    for k in range(book.held[account, wallet, ASSETS, 0]):
        if book.held[account, wallet, ASSETS, 1 + k] == asset:
            return book.running[wallet, asset, j]
    return balance


@kernel
def reduces(book, rules, account, position, contracts):
    """Whether a futures order only closes what is there, or a spot sale empties the wallet of a coin."""
    held = position_of(book, rules, account, position)
    if rules.kind[rules.instrument[position]] == SPOT:
        return contracts < 0 and held + contracts < rules.lot[rules.instrument[position]]
    return held != 0 and (held > 0) != (contracts > 0) and abs(contracts) <= abs(held)


@kernel
def wrong_side(book, rules, account, position, contracts):
    """In hedge mode a long position never goes short by an order, nor a short one long."""
    after = book.contracts[position, account] + contracts
    return after < 0 if position < len(rules.kind) else after > 0


@kernel
def quote_notional(rules, i, contracts, price):
    """Notional in the quote currency, as exchanges state their minimum."""
    each = rules.size[i] if rules.kind[i] == INVERSE else rules.size[i] * price
    return abs(contracts) * STEP * each
