"""Forced sales: whether a wallet must be helped, which position is cut, by how much, and at what price.

A forced order fills at the traded price of the moment, worse by half the spread and by Y x daily volatility x
sqrt(size / daily volume), and pays the venue's clearance fee. The rungs of every venue's ladder are made of these.
"""

from __future__ import annotations

import numpy as np

from backtest.engine.fills import gross_here, trade
from backtest.kernel import kernel
from backtest.ledger.kinds import LIQUIDATION
from backtest.ledger.post import post
from backtest.margin.row_leaves import is_sound
from backtest.margin.moment import index_here, last_here, mark_here, notional_usd
from backtest.margin.tiers import value_of_contract
from backtest.margin.wallets import list_held, require_now
from backtest.state import (
    BY_LIQUIDATION, COLLATERAL, FEE_OF_MAINTENANCE, HALF_SPREAD, INCIDENT_ROWS, LIQUIDATE_AT, LIQUIDATION_FEE,
    MAINTENANCE, NOTHING, N_ACCOUNT, N_AMOUNT, N_BAR, N_COLLATERAL, N_CONTRACTS, N_MAINTENANCE, N_POINT, N_POSITION,
    N_PRICE, N_RUNG, N_WALLET, POSITIONS, RESTORED_AT,
)  # fmt: skip
from backtest.units import STEP, units


@kernel
def sound(book, rules, tape, account, wallet, bar):
    """Whether the wallet's collateral is above the level at which the venue liquidates."""
    return is_above(book, rules, tape, account, wallet, bar, LIQUIDATE_AT)


@kernel
def restored(book, rules, tape, account, wallet, bar):
    """Whether forced sales may stop: the wallet is sound, and above the ratio up to which the venue goes on selling."""
    return is_above(book, rules, tape, account, wallet, bar, RESTORED_AT)


@kernel
def is_above(book, rules, tape, account, wallet, bar, which):
    """Whether the wallet's collateral is above one of the mode's levels at the moment; without requirement, whether it
    is not under water. Fills need[COLLATERAL], need[MAINTENANCE].
    """
    require_now(book, rules, tape, wallet, account, bar)
    level = rules.level[tape.rules_at[rules.shape[account], bar], which]
    return is_sound(book.need[COLLATERAL, 0], book.need[MAINTENANCE, 0], level)


@kernel
def note(book, bar, account, wallet, rung, position, collateral, maintenance, contracts, price, point, amount):
    """Append an incident: which rung, on what, and the numbers it saw."""
    row = book.count[INCIDENT_ROWS]
    assert row < book.incident.shape[0]
    book.incident[row, N_BAR] = bar
    book.incident[row, N_ACCOUNT] = account
    book.incident[row, N_WALLET] = wallet
    book.incident[row, N_RUNG] = rung
    book.incident[row, N_POSITION] = position
    book.incident[row, N_COLLATERAL] = collateral
    book.incident[row, N_MAINTENANCE] = maintenance
    book.incident[row, N_CONTRACTS] = contracts
    book.incident[row, N_PRICE] = price
    book.incident[row, N_POINT] = point
    book.incident[row, N_AMOUNT] = amount
    book.count[INCIDENT_ROWS] = row + 1


@kernel
def heaviest(book, rules, tape, account, wallet, bar):
    """Position of the wallet with the largest notional at the moment; -1 if none. Leaves need[] as asked of the
    wallet.
    """
    best, largest = NOTHING, 0.0
    for k in range(book.held[account, wallet, POSITIONS, 0]):
        position = book.held[account, wallet, POSITIONS, 1 + k]
        usd = notional_usd(book, rules, account, position)
        if usd > largest:
            best, largest = position, usd
    return best


@kernel
def next_to_cut(book, rules, tape, account, wallet, bar):
    """The position a rung turns to: the heaviest; -1 where the wallet is mended or has none. Leaves need[] as asked."""
    if restored(book, rules, tape, account, wallet, bar):
        return NOTHING
    return heaviest(book, rules, tape, account, wallet, bar)


@kernel
def forced_price(book, rules, tape, account, i, contracts, bar):
    """Traded price of the moment, worsened by half the spread and the square-root impact of the size."""
    at = tape.rules_at[rules.shape[account], bar]
    volatility = tape.series[tape.volume_row[2, i], bar]
    daily = tape.series[tape.volume_row[1, i], bar]
    impact = rules.impact[at] * volatility * np.sqrt(abs(contracts) * STEP / daily) if daily > 0.0 else 0.0
    worse = min(0.99, rules.fee[at, i, HALF_SPREAD] + impact)
    return last_here(book, rules, i) * (1.0 + worse if contracts > 0 else 1.0 - worse)


@kernel
def force(book, rules, tape, account, wallet, position, contracts, bar, point):
    """A forced order, and the venue's clearance fee on what it closed. Returns its price."""
    price = forced_price(book, rules, tape, account, rules.instrument[position], contracts, bar)
    force_at(book, rules, tape, account, wallet, position, contracts, price, bar, point)
    return price


@kernel
def forced_fee(book, rules, tape, account, wallet, i, contracts, price, bar):
    """Steps of the settlement asset that a forced order costs: a rate of its notional, and where the venue says so a
    share of the maintenance that its part of the wallet's notional is held with (Paradex, "Liquidations").
    """
    at, usd = tape.rules_at[rules.shape[account], bar], index_here(book, rules, rules.settlement[i])
    fee = abs(contracts * value_of_contract(rules, i, price)) * rules.fee[at, i, LIQUIDATION_FEE]
    share = rules.rung_number[at, FEE_OF_MAINTENANCE]
    if share > 0.0:
        require_now(book, rules, tape, wallet, account, bar)
        closed = abs(contracts * value_of_contract(rules, i, mark_here(book, rules, i))) * STEP * usd
        part = closed / gross_here(book, rules, account, wallet)
        fee += share * book.need[MAINTENANCE, 0] * part / usd / STEP
    return units(fee)


@kernel
def force_at(book, rules, tape, account, wallet, position, contracts, price, bar, point):
    """The forced order at a price, and its fee. An isolated position's last trade releases what is left, so the fee of
    that one is taken before.
    """
    i, shape = rules.instrument[position], rules.shape[account]
    fee = forced_fee(book, rules, tape, account, wallet, i, contracts, price, bar)
    whole = contracts == -book.contracts[position, account]
    if whole and rules.isolates[shape, wallet] >= 0:
        post(book, bar, account, wallet, rules.settlement[i], LIQUIDATION, -fee, position, NOTHING)
        trade(book, rules, tape, bar, account, position, contracts, price, 0.0, BY_LIQUIDATION, point, NOTHING)
    else:
        trade(book, rules, tape, bar, account, position, contracts, price, 0.0, BY_LIQUIDATION, point, NOTHING)
        post(book, bar, account, wallet, rules.settlement[i], LIQUIDATION, -fee, position, NOTHING)
        list_held(book, rules, account)
