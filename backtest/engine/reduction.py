"""The rung `reduce`: the largest position of which a cut mends the wallet is cut, by the fewest lots that do.

More is not always better. In a lower bracket a sale may free less than its fee costs, and a hedged book that is cut
past neutral needs more than before. So sizes are tried from the smallest up; where no cut of one position helps, what
hedges each other is closed together; and only then is a position sold whole, one of which that eases the wallet.
"""

from __future__ import annotations

import numpy as np

from backtest.engine.forced import force_at, forced_price, next_to_cut, restored
from backtest.engine.judgement import restore, save
from backtest.engine.order_size import in_lots
from backtest.engine.rungs import cut, fewest_between, suffices
from backtest.engine.rungs_by_bracket import bracket_of, down_to
from backtest.engine.rungs_by_share import delta_of_coin, exposure_usd
from backtest.kernel import kernel
from backtest.margin.moment import index_here
from backtest.margin.wallets import list_held, require_now
from backtest.state import COLLATERAL, HERE, I64, MAINTENANCE, NOTHING, POSITIONS, REDUCE, RESTORED_AT
from backtest.units import STEP, units

TRIES = 64  # sizes of a cut that are tried beside those at which what it frees changes
MOST_LOOKED_AT = 16  # positions of a wallet, the largest, of which cuts are tried


@kernel
def reduce_positions(book, rules, tape, account, wallet, bar, point):
    """Cut one position, or close two against each other, by no more than mends the wallet; where nothing does, sell one
    whole, and look again.
    """
    while book.held[account, wallet, POSITIONS, 0] > 0:
        if next_to_cut(book, rules, tape, account, wallet, bar) < 0:
            return
        many = min(MOST_LOOKED_AT, book.held[account, wallet, POSITIONS, 0])
        for rank in range(many):
            position = by_size(book, rules, account, wallet, rank)
            contracts = smallest_cut(book, rules, tape, account, wallet, position, bar, point)
            if contracts != 0:
                cut_anew(book, rules, tape, account, wallet, position, contracts, bar, point)
                return
        for rank in range(many):
            position = by_size(book, rules, account, wallet, rank)
            if reduce_pair(book, rules, tape, account, wallet, position, bar, point):
                return
        position = first_to_go(book, rules, tape, account, wallet, many, bar, point)
        cut_anew(book, rules, tape, account, wallet, position, -book.contracts[position, account], bar, point)


@kernel
def by_size(book, rules, account, wallet, rank):
    """The wallet's position of a rank by its notional, the largest first; of equal ones that listed first."""
    for k in range(book.held[account, wallet, POSITIONS, 0]):
        position = book.held[account, wallet, POSITIONS, 1 + k]
        own, larger = abs(exposure_usd(book, rules, account, position)), 0
        for m in range(book.held[account, wallet, POSITIONS, 0]):
            other = abs(exposure_usd(book, rules, account, book.held[account, wallet, POSITIONS, 1 + m]))
            larger += other > own or (other == own and m < k)
        if larger == rank:
            return position
    return NOTHING


@kernel
def first_to_go(book, rules, tape, account, wallet, many, bar, point):
    """The largest position whose whole sale leaves the wallet lacking less than it does; if none does, the largest."""
    lacked = shortfall(book, rules, tape, account, wallet, bar)
    for rank in range(many):
        position = by_size(book, rules, account, wallet, rank)
        save(book, account)
        sell(book, rules, tape, account, wallet, position, -book.contracts[position, account], bar, point)
        lacks = shortfall(book, rules, tape, account, wallet, bar)
        restore(book, account)
        list_held(book, rules, account)
        if lacks < lacked:
            return position
    return by_size(book, rules, account, wallet, HERE)


@kernel
def shortfall(book, rules, tape, account, wallet, bar):
    """USD by which the collateral falls short of the ratio up to which the venue sells."""
    require_now(book, rules, tape, wallet, account, bar)
    level = rules.level[tape.rules_at[rules.shape[account], bar], RESTORED_AT]
    return level * book.need[MAINTENANCE, 0] - book.need[COLLATERAL, 0]


@kernel
def smallest_cut(book, rules, tape, account, wallet, position, bar, point):
    """Fewest contracts, signed to close, whose forced sale mends the wallet, in lots; 0 if none does."""
    held, lot = book.contracts[position, account], rules.lot[rules.instrument[position]]
    unit = -lot if held > 0 else lot
    most, few = abs(held) // lot, I64(0)
    while few < most:
        lots = next_try(book, rules, tape, account, wallet, position, bar, few, most)
        if suffices(book, rules, tape, account, wallet, position, lots * unit, np.nan, bar, point):
            few = fewest_between(book, rules, tape, account, wallet, position, unit, np.nan, bar, point, few, lots)
            return few * unit
        few = lots
    rest = most * lot < abs(held)
    if rest and suffices(book, rules, tape, account, wallet, position, -held, np.nan, bar, point):
        return -held
    return I64(0)


@kernel
def next_try(book, rules, tape, account, wallet, position, bar, few, most):
    """Lots to try after `few`: a step more, or as many as bring the position into a lower bracket or its coin's delta,
    with the wallet's coins and without, to zero, where that is less.
    """
    lots = min(most, few + max(I64(1), -(-most // TRIES)))
    lot = rules.lot[rules.instrument[position]]
    for row in range(bracket_of(book, rules, tape, account, position, bar)):
        lots = nearer(lots, few, abs(down_to(book, rules, tape, account, position, bar, row)) // lot)
    own, coin = exposure_usd(book, rules, account, position), rules.base[rules.instrument[position]]
    delta = delta_of_coin(book, rules, account, wallet, coin)
    coins = book.balance[wallet, coin, account] * STEP * index_here(book, rules, coin)
    for left in (delta, delta + coins):
        if own != 0.0 and 0.0 < left / own < 1.0:
            lots = nearer(lots, few, I64(most * (left / own)))
    return lots


@kernel
def nearer(lots, few, others):
    """The other number where it lies between `few` and `lots`."""
    return others if few < others < lots else lots


@kernel
def reduce_pair(book, rules, tape, account, wallet, position, bar, point):
    """Close a position and the largest that hedges it together, by as little as mends the wallet. Returns whether any
    share of the two did.
    """
    other = hedge_of(book, rules, account, wallet, position)
    if other < 0:
        return False
    for k in range(1, TRIES + 1):
        first = share_of_pair(book, rules, account, position, other, k / TRIES)
        second = share_of_pair(book, rules, account, other, position, k / TRIES)
        if pair_mends(book, rules, tape, account, wallet, position, first, other, second, bar, point):
            cut_anew(book, rules, tape, account, wallet, position, first, bar, point)
            cut_anew(book, rules, tape, account, wallet, other, second, bar, point)
            return True
    return False


@kernel
def hedge_of(book, rules, account, wallet, position):
    """The wallet's largest position against this one, on the same coin; -1 if there is none."""
    best, largest = NOTHING, 0.0
    own, coin = exposure_usd(book, rules, account, position), rules.base[rules.instrument[position]]
    for k in range(book.held[account, wallet, POSITIONS, 0]):
        other = book.held[account, wallet, POSITIONS, 1 + k]
        exposure = exposure_usd(book, rules, account, other)
        if rules.base[rules.instrument[other]] == coin and exposure * own < 0.0 and abs(exposure) > largest:
            best, largest = other, abs(exposure)
    return best


@kernel
def share_of_pair(book, rules, account, leg, other, share):
    """Contracts of a leg, signed to close and in lots: a share of as much as two legs hedge of each other."""
    own, against = abs(exposure_usd(book, rules, account, leg)), abs(exposure_usd(book, rules, account, other))
    matched = share * (min(own, against) / own)
    return -in_lots(units(book.contracts[leg, account] * matched), rules.lot[rules.instrument[leg]])


@kernel
def pair_mends(book, rules, tape, account, wallet, position, first, other, second, bar, point):
    """Whether forced orders in both legs would mend the wallet; a trial that is put back."""
    save(book, account)
    sell(book, rules, tape, account, wallet, position, first, bar, point)
    sell(book, rules, tape, account, wallet, other, second, bar, point)
    enough = restored(book, rules, tape, account, wallet, bar)
    restore(book, account)
    list_held(book, rules, account)
    return enough


@kernel
def sell(book, rules, tape, account, wallet, position, contracts, bar, point):
    """A forced order, if there is anything in it."""
    if contracts != 0:
        price = forced_price(book, rules, tape, account, rules.instrument[position], contracts, bar)
        force_at(book, rules, tape, account, wallet, position, contracts, price, bar, point)


@kernel
def cut_anew(book, rules, tape, account, wallet, position, contracts, bar, point):
    """A cut, whose incident tells what the wallet had and needed right before it."""
    if contracts != 0:
        restored(book, rules, tape, account, wallet, bar)
        cut(book, rules, tape, account, wallet, position, contracts, bar, point, REDUCE)
