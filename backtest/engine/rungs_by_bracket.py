"""Rungs that go by brackets of maintenance margin.

Bybit cuts an isolated position to a lower bracket whose maintenance is met; OKX cuts two brackets at a time while the
collateral would still cover the first, after pairs of one symbol were set against each other.
Source: Bybit, isolated ladder; OKX, help 360020411711.
"""

from __future__ import annotations

import numpy as np

from backtest.engine.forced import force_at, heaviest, next_to_cut, note, sound
from backtest.engine.rungs import cut, suffices
from backtest.engine.takeover import surrender
from backtest.kernel import kernel
from backtest.ledger.kinds import INSURANCE
from backtest.ledger.post import post
from backtest.margin.leaves import row_of
from backtest.margin.moment import index_here, mark_here, notional_here, notional_usd
from backtest.margin.tiers import value_of_contract
from backtest.margin.wallets import list_held
from backtest.state import (
    CLOSE_ALL, COLLATERAL, FEE_IN_MAINTENANCE, FLOOR, HERE, I64, LIQUIDATION_FEE, MAINTENANCE, NOTHING, OFFSET,
    PAIRED_OFF, POSITIONS, RATE, TAKE_OVER, TIER_BY_CONTRACTS, TIER_DOWN, TWO_SIDED, TWO_TIERS_DOWN,
)  # fmt: skip
from backtest.units import STEP, units


@kernel
def in_brackets(book, rules, at, i, contracts):
    """What the venue's brackets tell a position's size in: contracts where it says so, else notional at the mark."""
    if rules.term[at, TIER_BY_CONTRACTS] != 0:
        return abs(contracts) * STEP
    side = len(rules.kind) if contracts < 0 else 0
    return abs(contracts * book.here[side + i, 0]) * STEP


@kernel
def bracket_of(book, rules, tape, account, position, bar):
    """Row of the bracket that holds a position."""
    at, i = tape.rules_at[rules.shape[account], bar], rules.instrument[position]
    return row_of(rules.tier[at, i], in_brackets(book, rules, at, i, book.contracts[position, account]))


@kernel
def down_to(book, rules, tape, account, position, bar, row):
    """Fewest contracts, signed, whose sale brings a position into a bracket: its cap is the floor of the next one."""
    at, i = tape.rules_at[rules.shape[account], bar], rules.instrument[position]
    held, lot, cap = book.contracts[position, account], rules.lot[i], rules.tier[at, i, FLOOR, row + 1]
    lots = abs(held) // lot
    kept = min(lots, I64(lots * (cap / in_brackets(book, rules, at, i, held))) + 1)
    while kept > 0 and in_brackets(book, rules, at, i, kept * lot if held > 0 else -kept * lot) > cap:
        kept -= 1
    return kept * lot - held if held > 0 else -kept * lot - held


@kernel
def tier_down(book, rules, tape, account, wallet, bar, point):
    """Cut to the highest lower bracket whose maintenance is met, all at once or not at all; where none is, and from
    the lowest, the position is taken over at the bankruptcy price.
    """
    while book.held[account, wallet, POSITIONS, 0] > 0:
        position = next_to_cut(book, rules, tape, account, wallet, bar)
        if position < 0:
            return
        contracts = cut_to_lower_bracket(book, rules, tape, account, wallet, position, bar, point)
        if contracts == 0:
            surrender(book, rules, tape, account, wallet, bar, point, TAKE_OVER)
            return
        sound(book, rules, tape, account, wallet, bar)
        cut(book, rules, tape, account, wallet, position, contracts, bar, point, TIER_DOWN)


@kernel
def cut_to_lower_bracket(book, rules, tape, account, wallet, position, bar, point):
    """Contracts whose sale brings a position into a lower bracket and makes the wallet sound; 0 if none does."""
    row = bracket_of(book, rules, tape, account, position, bar)
    while row > 0:
        row -= 1
        contracts = down_to(book, rules, tape, account, position, bar, row)
        if contracts != 0 and contracts != -book.contracts[position, account]:
            if suffices(book, rules, tape, account, wallet, position, contracts, np.nan, bar, point):
                return contracts
    return I64(0)


@kernel
def two_tiers_down(book, rules, tape, account, wallet, bar, point):
    """From the third bracket on, and while the collateral would cover the first one's maintenance and the fee: cut as
    much as falls two brackets, again and again. Else all is given up.

    What is cut pays the maintenance it was held with to the fund, as a penalty, beside the fee. In hedge mode a long
    and a short of one instrument are first set off against each other.
    """
    if rules.switch[account, TWO_SIDED] != 0:
        offset_pairs(book, rules, tape, account, wallet, bar, point)
    while book.held[account, wallet, POSITIONS, 0] > 0:
        if next_to_cut(book, rules, tape, account, wallet, bar) < 0:
            return
        position, contracts = next_to_fall(book, rules, tape, account, wallet, bar)
        if position < 0:
            give_up(book, rules, tape, account, wallet, bar, point)
            return
        cut_with_penalty(book, rules, tape, account, wallet, position, contracts, bar, point, TWO_TIERS_DOWN)


@kernel
def next_to_fall(book, rules, tape, account, wallet, bar):
    """The largest position that can fall two brackets and live, and the contracts of that; (-1, 0) if there is none.
    need[] is as asked of the wallet.
    """
    best, fewest, largest = NOTHING, I64(0), 0.0
    for k in range(book.held[account, wallet, POSITIONS, 0]):
        position = book.held[account, wallet, POSITIONS, 1 + k]
        row = bracket_of(book, rules, tape, account, position, bar)
        usd = notional_usd(book, rules, account, position)
        falls = row >= 2 and covers_first_bracket(book, rules, tape, account, position, row, bar)
        if falls and usd > largest:
            contracts = down_to(book, rules, tape, account, position, bar, row - 2)
            if contracts != 0 and contracts != -book.contracts[position, account]:
                best, fewest, largest = position, contracts, usd
    return best, fewest


@kernel
def give_up(book, rules, tape, account, wallet, bar, point):
    """All is taken over at the bankruptcy price. Of a wallet of several assets nobody knows one: its positions are
    sold, each with its penalty, and what is left pays the rungs after this one.
    """
    if rules.settle[rules.shape[account], wallet] >= 0:
        surrender(book, rules, tape, account, wallet, bar, point, TAKE_OVER)
        return
    while book.held[account, wallet, POSITIONS, 0] > 0:
        position = heaviest(book, rules, tape, account, wallet, bar)
        if position < 0:
            return
        sound(book, rules, tape, account, wallet, bar)
        contracts = -book.contracts[position, account]
        cut_with_penalty(book, rules, tape, account, wallet, position, contracts, bar, point, CLOSE_ALL)


@kernel
def cut_with_penalty(book, rules, tape, account, wallet, position, contracts, bar, point, rung):
    """A cut; what is closed pays the rate of the bracket it was held in to the fund. need[] is as asked."""
    i, at = rules.instrument[position], tape.rules_at[rules.shape[account], bar]
    rate = rules.tier[at, i, RATE, bracket_of(book, rules, tape, account, position, bar)]
    cut(book, rules, tape, account, wallet, position, contracts, bar, point, rung)
    penalty = units(abs(contracts * value_of_contract(rules, i, mark_here(book, rules, i))) * rate)
    post(book, bar, account, wallet, rules.settlement[i], INSURANCE, -penalty, position, NOTHING)
    list_held(book, rules, account)


@kernel
def offset_pairs(book, rules, tape, account, wallet, bar, point):
    """Of a long and a short of one instrument in the wallet, as much as both have is closed at the mark."""
    for i in range(len(rules.kind)):
        shares = rules.position_wallet[rules.shape[account], i + len(rules.kind)] == wallet
        pair = min(book.contracts[i, account], -book.contracts[i + len(rules.kind), account])
        if shares and rules.position_wallet[rules.shape[account], i] == wallet and pair > 0:
            for side in range(2):
                sound(book, rules, tape, account, wallet, bar)
                collateral, maintenance = book.need[COLLATERAL, 0], book.need[MAINTENANCE, 0]
                position, contracts = i + side * len(rules.kind), pair if side == 1 else -pair
                mark = mark_here(book, rules, i)
                force_at(book, rules, tape, account, wallet, position, contracts, mark, bar, point)
                size = contracts * STEP
                note(book, bar, account, wallet, PAIRED_OFF, position, collateral, maintenance, size, mark, point, 0.0)


@kernel
def covers_first_bracket(book, rules, tape, account, position, row, bar):
    """Whether the wallet would be sound with the position at the first bracket's rate and the fee of closing it, which
    maintenance may hold already; need[] is as asked of the wallet.
    """
    i, at = rules.instrument[position], tape.rules_at[rules.shape[account], bar]
    notional = notional_here(book, rules, account, position) * STEP
    table = rules.tier[at, i]
    own = table[RATE, row] * notional + table[OFFSET, row]
    fee = rules.fee[at, i, LIQUIDATION_FEE] if rules.term[at, FEE_IN_MAINTENANCE] == 0 else 0.0
    least = (table[RATE, HERE] + fee) * notional
    usd = index_here(book, rules, rules.settlement[i])
    return book.need[COLLATERAL, 0] > book.need[MAINTENANCE, 0] + (least - own) * usd
