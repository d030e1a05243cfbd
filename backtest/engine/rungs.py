"""The rungs of single venues' ladders: what each does to a position before the fund takes it.

Bybit cuts an isolated position to a lower bracket whose maintenance is met; OKX cuts two brackets at a time while the
collateral would still cover the first; Hyperliquid sells a fifth of a large position and then the rest, and takes
everything over where the collateral has fallen below two thirds of maintenance; Deribit sells step by step until
margin is met, on the side that a coin's delta leans to. An isolated position that is cut keeps its margin: nothing is
released while the venue sells. What is taken over at the bankruptcy price leaves its owner nothing, and costs him no
more than that. Some venues sell on until the wallet is not just sound but at a better ratio (`forced.restored`).
Source: Bybit, isolated ladder; OKX, help 360020411711; Hyperliquid, "Liquidations"; Deribit, support 25944769313309.
"""

from __future__ import annotations

import numpy as np

from backtest.engine.exchange import call_loans, is_sold
from backtest.engine.fills import trade
from backtest.engine.forced import force_at, forced_price, heaviest, next_to_cut, note, restored, sound
from backtest.engine.judgement import restore, save
from backtest.kernel import kernel
from backtest.ledger.kinds import ALLOCATE, INSURANCE
from backtest.ledger.post import move, post
from backtest.margin.leaves import row_of
from backtest.margin.moment import index_here, mark_here, notional_here
from backtest.margin.tiers import value_of_contract
from backtest.margin.wallets import list_held, require_now
from backtest.state import (
    BACKSTOP, BACKSTOP_AT, BY_LIQUIDATION, CLOSE_ALL, COLLATERAL, FLOOR, HERE, I64, INVERSE, LIQUIDATION_FEE,
    MAINTENANCE, NOTHING, OFFSET, POSITIONS, RATE, SLICE, SLICE_ABOVE, SLICE_DOWN, STEP_DOWN, TAKE_OVER, PAIRED_OFF,
    TIER_BY_CONTRACTS, TIER_DOWN, TWO_SIDED, TWO_TIERS_DOWN,
)  # fmt: skip
from backtest.units import STEP, units

# Closing the whole account


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


# By brackets


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
            price = forced_price(book, rules, tape, account, rules.instrument[position], contracts, bar)
            if suffices(book, rules, tape, account, wallet, position, contracts, price, bar, point):
                return contracts
    return I64(0)


@kernel
def two_tiers_down(book, rules, tape, account, wallet, bar, point):
    """From the third bracket on, and while the collateral would cover the first one's maintenance and the fee: cut as
    much as falls two brackets, again and again. Else all is taken over at the bankruptcy price.

    What is cut pays the maintenance it was held with to the fund, as a penalty, beside the fee. In hedge mode a long
    and a short of one instrument are first set off against each other.
    """
    if rules.switch[account, TWO_SIDED] != 0:
        offset_pairs(book, rules, tape, account, wallet, bar, point)
    while book.held[account, wallet, POSITIONS, 0] > 0:
        position = next_to_cut(book, rules, tape, account, wallet, bar)
        if position < 0:
            return
        row, contracts = bracket_of(book, rules, tape, account, position, bar), I64(0)
        if row >= 2 and covers_first_bracket(book, rules, tape, account, position, row, bar):
            contracts = down_to(book, rules, tape, account, position, bar, row - 2)
        if contracts == 0 or contracts == -book.contracts[position, account]:
            surrender(book, rules, tape, account, wallet, bar, point, TAKE_OVER)
            return
        cut(book, rules, tape, account, wallet, position, contracts, bar, point, TWO_TIERS_DOWN)
        i, at = rules.instrument[position], tape.rules_at[rules.shape[account], bar]
        closed = abs(contracts * value_of_contract(rules, i, mark_here(book, rules, i)))
        penalty = units(closed * rules.tier[at, i, RATE, row])
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
    """Whether the wallet would be sound with the position at the first bracket's rate and the fee of closing it; need[]
    is as asked of the wallet.
    """
    i, at = rules.instrument[position], tape.rules_at[rules.shape[account], bar]
    notional = notional_here(book, rules, account, position) * STEP
    table = rules.tier[at, i]
    own = table[RATE, row] * notional + table[OFFSET, row]
    least = (table[RATE, HERE] + rules.fee[at, i, LIQUIDATION_FEE]) * notional
    usd = index_here(book, rules, rules.settlement[i])
    return book.need[COLLATERAL, 0] > book.need[MAINTENANCE, 0] + (least - own) * usd


# By shares


@kernel
def slice_positions(book, rules, tape, account, wallet, bar, point):
    """The largest position first: a slice of it if it is large, then the rest. Where the collateral has fallen below
    the venue's share of maintenance, everything is taken over at once.
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
    if not sound(book, rules, tape, account, wallet, bar):
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
    i = rules.instrument[position]
    usd = notional_here(book, rules, account, position) * STEP * index_here(book, rules, rules.settlement[i])
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
        force_kept(book, rules, tape, account, wallet, position, contracts, price, bar, point)
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
    usd = index_here(book, rules, rules.settlement[rules.instrument[position]])
    notional = notional_here(book, rules, account, position) * STEP * usd
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
    """Fewest steps whose sale at the price mends the wallet, in contracts; `most` of them if none does."""
    held = book.contracts[position, account]
    enough, few = most, I64(0)
    while enough - few > 1:
        middle = (few + enough) // 2
        if suffices(book, rules, tape, account, wallet, position, middle * step, price, bar, point):
            enough = middle
        else:
            few = middle
    return max(enough * step, -held) if held > 0 else min(enough * step, -held)


# The end


@kernel
def surrender(book, rules, tape, account, wallet, bar, point, rung):
    """Everything the wallet holds goes to the fund: positions and what is left of their collateral, or lacks of it.

    One position goes at its bankruptcy price, several at the mark and the collateral after them. A wallet of several
    assets is sold out instead, and later rungs sell coins and settle debts; only a backstop takes those too.
    """
    require_now(book, rules, tape, wallet, account, bar)
    collateral, maintenance = book.need[COLLATERAL, 0], book.need[MAINTENANCE, 0]
    if rules.settle[rules.shape[account], wallet] < 0 and rung != BACKSTOP:
        close_all(book, rules, tape, account, wallet, bar, point)
        return
    position, price = lone_position(book, account, wallet), 0.0
    if position >= 0:
        price = bankruptcy_price(book, rules, account, wallet, position)
    if price > 0.0:
        hand_over(book, rules, tape, account, position, price, bar, point)
    else:
        seize(book, rules, tape, account, wallet, bar, point)
    hand_over_cash(book, rules, tape, account, wallet, bar)
    note(book, bar, account, wallet, rung, position, collateral, maintenance, 0.0, price, point, -collateral)


@kernel
def lone_position(book, account, wallet):
    """The only position of a wallet that has contracts; -1 if there are several or none."""
    found = NOTHING
    for k in range(book.held[account, wallet, POSITIONS, 0]):
        position = book.held[account, wallet, POSITIONS, 1 + k]
        if book.contracts[position, account] != 0:
            if found >= 0:
                return NOTHING
            found = position
    return found


@kernel
def bankruptcy_price(book, rules, account, wallet, position):
    """Price at which closing the wallet's only position leaves nothing; 0 where no price does, or other coins stand
    behind it.
    """
    i, shape = rules.instrument[position], rules.shape[account]
    if rules.settle[shape, wallet] < 0:
        return 0.0
    balance = book.balance[wallet, rules.settlement[i], account]
    value = (book.cost[position, account] - balance) / book.contracts[position, account]
    if value == 0.0:
        return 0.0
    return max(0.0, -rules.size[i] / value if rules.kind[i] == INVERSE else value / rules.size[i])


@kernel
def hand_over(book, rules, tape, account, position, price, bar, point):
    """The fund takes a position at a price; no fee."""
    contracts = -book.contracts[position, account]
    trade(book, rules, tape, bar, account, position, contracts, price, 0.0, BY_LIQUIDATION, point, NOTHING)


@kernel
def seize(book, rules, tape, account, wallet, bar, point):
    """Positions go at the mark. What an isolated one has left is taken before: closing it would release that."""
    for k in range(book.contracts.shape[0]):
        if rules.position_wallet[rules.shape[account], k] == wallet and book.contracts[k, account] != 0:
            i = rules.instrument[k]
            mark = mark_here(book, rules, i)
            if rules.isolates[rules.shape[account], wallet] >= 0:
                profit = units(book.contracts[k, account] * value_of_contract(rules, i, mark)) - book.cost[k, account]
                left = book.balance[wallet, rules.settlement[i], account] + profit
                post(book, bar, account, wallet, rules.settlement[i], INSURANCE, -left, k, NOTHING)
            hand_over(book, rules, tape, account, k, mark, bar, point)


@kernel
def hand_over_cash(book, rules, tape, account, wallet, bar):
    """What counted as collateral goes to the fund, and what is owed is the fund's."""
    shape = rules.shape[account]
    at = tape.rules_at[shape, bar]
    call_loans(book, rules, account, wallet, bar)
    for asset in range(book.balance.shape[1]):
        balance = book.balance[wallet, asset, account]
        if balance < 0 or rules.settle[shape, wallet] >= 0 or is_sold(rules, shape, at, asset):
            post(book, bar, account, wallet, asset, INSURANCE, -balance, NOTHING, NOTHING)
    list_held(book, rules, account)
