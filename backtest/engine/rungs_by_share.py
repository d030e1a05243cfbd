"""Rungs that sell in shares and steps.

Hyperliquid sells a fifth of a large position and then the rest, and takes everything over where the collateral has
fallen below two thirds of maintenance; Deribit sells step by step until margin is met, on the side that a coin's delta
leans to and no further than to neutral; Paradex in fifths, until its ratio is a tenth better than it has to be.
Source: Hyperliquid, "Liquidations"; Deribit, support 25944769313309; Paradex, "Liquidations".
"""

from __future__ import annotations

import numpy as np

from backtest.engine.forced import force_at, forced_price, heaviest, next_to_cut, note, restored, sound
from backtest.engine.rungs import as_far, cut, fewest_between, suffices
from backtest.engine.takeover import surrender
from backtest.kernel import kernel
from backtest.margin.moment import notional_usd
from backtest.state import (
    BACKSTOP, BACKSTOP_AT, COLLATERAL, I64, MAINTENANCE, NOTHING, POSITIONS, SLICE, SLICE_ABOVE, SLICE_DOWN,
    STEP_DOWN,
)  # fmt: skip
from backtest.units import STEP

TRIES = 256  # numbers of steps that are tried, of many as many


@kernel
def slice_positions(book, rules, tape, account, wallet, bar, point):
    """The largest position first: a slice of it if it is large, then the rest. Where the collateral has fallen below
    the venue's share of maintenance, everything is taken over at once; debts that it still covers better than that are
    left to the next rung.
    """
    while book.held[account, wallet, POSITIONS, 0] > 0:
        if restored(book, rules, tape, account, wallet, bar):
            return
        if too_late(book, rules, tape, account, bar):
            surrender(book, rules, tape, account, wallet, bar, point, BACKSTOP)
            return
        position = heaviest(book, rules, tape, account, wallet, bar)
        if position < 0:
            return
        contracts = first_slice(book, rules, tape, account, position, bar)
        cut(book, rules, tape, account, wallet, position, contracts, bar, point, SLICE_DOWN)
        if book.contracts[position, account] != 0:
            if restored(book, rules, tape, account, wallet, bar):
                return
            if not too_late(book, rules, tape, account, bar):
                contracts = -book.contracts[position, account]
                cut(book, rules, tape, account, wallet, position, contracts, bar, point, SLICE_DOWN)
    if not sound(book, rules, tape, account, wallet, bar) and too_late(book, rules, tape, account, bar):
        surrender(book, rules, tape, account, wallet, bar, point, BACKSTOP)


@kernel
def too_late(book, rules, tape, account, bar):
    """Whether the collateral is below the share of maintenance at which the venue takes over; need[] is as asked."""
    share = rules.rung_number[tape.rules_at[rules.shape[account], bar], BACKSTOP_AT]
    return book.need[COLLATERAL, 0] < share * book.need[MAINTENANCE, 0]


@kernel
def first_slice(book, rules, tape, account, position, bar):
    """Contracts of the first order, signed: the venue's share of a large position; all of a small one."""
    at, held = tape.rules_at[rules.shape[account], bar], book.contracts[position, account]
    usd = notional_usd(book, rules, account, position)
    if rules.rung_number[at, SLICE] <= 0.0 or usd <= rules.rung_number[at, SLICE_ABOVE]:
        return -held
    step = step_of(book, rules, tape, account, position, bar)
    return max(step, -held) if held > 0 else min(step, -held)


@kernel
def step_down(book, rules, tape, account, wallet, bar, point):
    """Equal small orders until margin is met, each of which moves the price as one of them does: first those that bring
    a coin's delta towards zero, and no further; of a book without delta the largest position.

    The venue may open a new future against the delta instead, which stays. Without options there is always a position
    on the side of the delta, and to close it asks less margin and costs no more than to hold both; so it is closed.
    """
    while book.held[account, wallet, POSITIONS, 0] > 0:
        position = next_to_cut(book, rules, tape, account, wallet, bar)
        if position < 0:
            return
        collateral, maintenance = book.need[COLLATERAL, 0], book.need[MAINTENANCE, 0]
        leaning = leaning_most(book, rules, tape, account, wallet, bar)
        position = leaning if leaning >= 0 else position
        step = step_of(book, rules, tape, account, position, bar)
        most = -(-abs(book.contracts[position, account]) // abs(step))
        if leaning >= 0:
            most = min(most, steps_to_neutral(book, rules, account, wallet, position, step))
        price = forced_price(book, rules, tape, account, rules.instrument[position], step, bar)
        contracts = fewest_steps(book, rules, tape, account, wallet, position, step, most, price, bar, point)
        force_at(book, rules, tape, account, wallet, position, contracts, price, bar, point)
        size = contracts * STEP
        note(book, bar, account, wallet, STEP_DOWN, position, collateral, maintenance, size, price, point, 0.0)


@kernel
def delta_of_coin(book, rules, account, wallet, coin):
    """USD by which the wallet's futures on a coin are long (below zero: short) together."""
    delta = 0.0
    for k in range(book.held[account, wallet, POSITIONS, 0]):
        position = book.held[account, wallet, POSITIONS, 1 + k]
        if rules.base[rules.instrument[position]] == coin:
            delta += exposure_usd(book, rules, account, position)
    return delta


@kernel
def exposure_usd(book, rules, account, position):
    """Signed USD notional of a position at the moment."""
    notional = notional_usd(book, rules, account, position)
    return notional if book.contracts[position, account] > 0 else -notional


@kernel
def leaning_most(book, rules, tape, account, wallet, bar):
    """The largest position that lies on the side of its coin's delta, by a step at least; -1 if none does."""
    best, largest = NOTHING, 0.0
    for k in range(book.held[account, wallet, POSITIONS, 0]):
        position = book.held[account, wallet, POSITIONS, 1 + k]
        own = exposure_usd(book, rules, account, position)
        delta = delta_of_coin(book, rules, account, wallet, rules.base[rules.instrument[position]])
        if delta * own > 0.0 and abs(own) > largest:
            step = step_of(book, rules, tape, account, position, bar)
            if abs(delta) >= abs(own * (step / book.contracts[position, account])):
                best, largest = position, abs(own)
    return best


@kernel
def steps_to_neutral(book, rules, account, wallet, position, step):
    """Steps of a position that bring its coin's delta as near to zero as they can without turning it; 1 at least."""
    delta = delta_of_coin(book, rules, account, wallet, rules.base[rules.instrument[position]])
    one = abs(exposure_usd(book, rules, account, position) * (step / book.contracts[position, account]))
    return max(I64(1), I64(abs(delta) / one))


@kernel
def step_of(book, rules, tape, account, position, bar):
    """The venue's share of a position in whole lots, at least one lot: contracts, signed to close."""
    at, held = tape.rules_at[rules.shape[account], bar], book.contracts[position, account]
    lot = rules.lot[rules.instrument[position]]
    size = max(I64(1), I64(np.rint(abs(held) * rules.rung_number[at, SLICE] / lot))) * lot
    return -size if held > 0 else size


@kernel
def fewest_steps(book, rules, tape, account, wallet, position, step, most, price, bar, point):
    """Fewest steps whose sale at the price mends the wallet, in contracts; `most` of them if none does. They are tried
    from the fewest up, for with a step more a wallet may ask for more again.
    """
    few, stride = I64(0), max(I64(1), most // TRIES)
    while few < most:
        enough = min(most, few + stride)
        if suffices(book, rules, tape, account, wallet, position, enough * step, price, bar, point):
            enough = fewest_between(book, rules, tape, account, wallet, position, step, price, bar, point, few, enough)
            return as_far(book, account, position, enough * step)
        few = enough
    return as_far(book, account, position, most * step)
