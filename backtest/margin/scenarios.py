"""Scenario margin: what would this book lose if each coin moved, and do the losses come together?

Unit = base coin. Free spot hedges an opposite derivative delta (`spot in use`, counted in full), the rest of the
spot bears only its haircut. Each unit's worst loss over the grid of moves goes to U if it comes on an up-move, to D
if on a down-move: requirement = U + D - 2c x min(U, D), plus a basis charge r x sqrt(years between expiries) x
matched notional, plus a contingency k x gross. Initial = factor x maintenance. A generic model (design of its own),
never an exchange's; the frame is SPAN's.
"""

from __future__ import annotations

import numpy as np

from backtest.kernel import kernel
from backtest.margin.collateral import has_loan, many_held, nth_held, side_of, take_asset
from backtest.margin.leaves import add_gross, add_notional, add_priced, counted, row_of
from backtest.margin.row_leaves import clear
from backtest.span import dated, first_account, first_bar, price
from backtest.state import (
    ASSETS, BASIS_CHARGE, CHARGE, COLLATERAL, CONTINGENCY, DEBT_BUFFER, DOWN, EXPOSURE, FLOOR, GROSS, HERE,
    INITIAL, INITIAL_FACTOR, MAINTENANCE, NET, NET_INITIAL, NET_MAINTENANCE, OFFSET, POSITIONS, RATE, UNIT_OFFSET, UP,
)  # fmt: skip
from backtest.units import STEP


@kernel
def require_scenarios(book, rules, tape, prices, wallet, span, point, n):
    """Fill COLLATERAL, INITIAL and MAINTENANCE of one wallet, in USD, over the span."""
    at = tape.rules_at[rules.shape[first_account(span)], first_bar(span)]
    for row in (UP, DOWN, GROSS, CHARGE):
        clear(book.need[row, :n])
    for k in range(many_held(book, wallet, ASSETS, span)):
        asset = nth_held(book, wallet, ASSETS, span, k)
        add_unit_collateral(book, rules, tape, prices, wallet, asset, at, span, point, n)
        add_unit_loss(book.need[UP, :n], book.need[DOWN, :n], book.need[EXPOSURE, :n], rules.move[at, asset])
    add_basis_charges(book, rules, tape, prices, wallet, at, span, point, n)
    sum_up(book.need[:, :n], rules.risk[at])


@kernel
def add_unit_collateral(book, rules, tape, prices, wallet, unit, at, span, point, n):
    """COLLATERAL += the unit's coins, those in use as a hedge in full; EXPOSURE = derivative delta + spot in use.
    INITIAL and MAINTENANCE += what a loan of it asks for.
    """
    for row in (EXPOSURE, NET_INITIAL, NET_MAINTENANCE):
        clear(book.need[row, :n])
    take_asset(book, rules, tape, prices, wallet, unit, at, span, point, n)
    add_exposure(book, rules, tape, prices, wallet, unit, span, point, n)
    own, owe = prices[tape.index_row[point, unit, 0]], prices[tape.index_row[point, unit, 1]]
    share = rules.counts[rules.shape[first_account(span)], unit]
    use_spot(
        book.need[COLLATERAL, :n],
        book.need[EXPOSURE, :n],
        book.need[NET, :n],
        own,
        owe,
        span,
        rules.ratio[at, unit],
        share,
        rules.coin[at, unit, DEBT_BUFFER],
    )
    if has_loan(book, rules, wallet, unit, span):
        add_priced(book.need[INITIAL, :n], book.need[NET_INITIAL, :n], owe, span, 1.0)
        add_priced(book.need[MAINTENANCE, :n], book.need[NET_MAINTENANCE, :n], owe, span, 1.0)


@kernel
def add_exposure(book, rules, tape, prices, wallet, unit, span, point, n):
    """EXPOSURE += USD delta of the unit's derivatives; GROSS += their absolute notional."""
    for k in range(many_held(book, wallet, POSITIONS, span)):
        position = nth_held(book, wallet, POSITIONS, span, k)
        i = rules.instrument[position]
        if rules.base[i] == unit:
            value = prices[tape.value_row[point, i, side_of(book, position, span)]]
            usd = prices[tape.index_row[point, rules.settlement[i], 0]]
            add_notional(book.need[EXPOSURE, :n], book.contracts[position], value, span, usd)
            add_gross(book.need[GROSS, :n], book.contracts[position], value, span, usd)


@kernel
def use_spot(collateral, exposure, net, own, owe, span, table, share, debt_buffer):
    """Free spot covers an opposite delta and counts in full for that part; the rest counts at its ratio.

    Where all is owned and the rest lies in one tier the same product is taken for all, as in `leaves.add_collateral`.
    """
    row = row_of(table, rest_of_spot(exposure, net, own, span, share, HERE))
    low = table[FLOOR, row] if row > 0 else -1.0
    high = table[FLOOR, row + 1] if row + 1 < table.shape[1] else np.inf
    strays = 0
    for j in range(len(collateral)):
        rest = rest_of_spot(exposure, net, own, span, share, j)
        strays += (net[j] <= 0.0) | (rest <= low) | (rest > high)
    rate, offset = table[RATE, row], table[OFFSET, row]
    if strays == 0 and (row > 0 or offset == 0.0):
        for j in range(len(collateral)):
            worth = net[j] * price(own, span, j)
            used = min(worth * share, max(-exposure[j], 0.0))
            collateral[j] += used + (rate * (worth - used) + offset) * share
            exposure[j] += used
        return
    for j in range(len(collateral)):
        worth = net[j] * (price(own, span, j) if net[j] > 0.0 else price(owe, span, j))
        if worth > 0.0:
            used = min(worth * share, max(-exposure[j], 0.0))
            collateral[j] += used + counted(worth - used, table, share)
            exposure[j] += used
        else:
            collateral[j] += worth * (1.0 + debt_buffer)


@kernel
def rest_of_spot(exposure, net, own, span, share, j):
    """USD of the free spot that hedges nothing, at element j."""
    worth = net[j] * price(own, span, j)
    return worth - min(worth * share, max(-exposure[j], 0.0))


@kernel
def add_unit_loss(up, down, exposure, moves):
    """The unit's worst loss, to the side of the move that causes it.

    Delta's loss is straight in the move, so that of each side comes with the largest move to it.
    """
    rise, fall = 0.0, 0.0
    for move in moves:
        rise, fall = max(rise, move), min(fall, move)
    for j in range(len(up)):
        on_up, on_down = max(0.0, -(exposure[j] * rise)), max(0.0, -(exposure[j] * fall))
        is_up = on_up >= on_down
        up[j] += on_up if is_up else 0.0
        down[j] += 0.0 if is_up else on_down


@kernel
def add_basis_charges(book, rules, tape, prices, wallet, at, span, point, n):
    """CHARGE += r x sqrt(years) x notional matched long against short of one unit across expiries, near to far."""
    if rules.risk[at, BASIS_CHARGE] > 0.0 and many_held(book, wallet, POSITIONS, span) > 1:
        for j in range(n):
            book.need[CHARGE, j] += rules.risk[at, BASIS_CHARGE] * matched_years(
                book, rules, tape, prices, wallet, span, point, j
            )


@kernel
def matched_years(book, rules, tape, prices, wallet, span, point, j):
    """Sum over matched pairs of sqrt(years apart) x USD matched, at one element of the span."""
    now, total = dated(tape.years, span, j), 0.0
    account, shape = first_account(span), rules.shape[first_account(span)]
    for p in rules.by_expiry:
        book.spare[HERE, p] = 0.0
        if book.contracts[p, account] != 0 and rules.position_wallet[shape, p] == wallet:
            i = rules.instrument[p]
            value = prices[tape.value_row[point, i, side_of(book, p, span)]]
            usd = prices[tape.index_row[point, rules.settlement[i], 0]]
            book.spare[HERE, p] = book.contracts[p, account] * STEP * abs(price(value, span, j)) * price(usd, span, j)
    for a in range(len(rules.by_expiry)):
        near = rules.by_expiry[a]
        for b in range(a + 1, len(rules.by_expiry)):
            far = rules.by_expiry[b]
            first, second = book.spare[HERE, near], book.spare[HERE, far]
            if first * second < 0.0 and rules.base[rules.instrument[near]] == rules.base[rules.instrument[far]]:
                matched = min(abs(first), abs(second))
                apart = max(rules.expiry[rules.instrument[far]], now) - max(rules.expiry[rules.instrument[near]], now)
                total += np.sqrt(apart) * matched
                book.spare[HERE, near] = first - matched if first > 0.0 else first + matched
                book.spare[HERE, far] = second - matched if second > 0.0 else second + matched
    return total


@kernel
def sum_up(need, risk):
    """MAINTENANCE += U + D - 2c min(U, D) + basis charges + contingency; INITIAL += factor x that, beside loans."""
    for j in range(need.shape[1]):
        up, down = need[UP, j], need[DOWN, j]
        risks = (
            up + down - 2.0 * risk[UNIT_OFFSET] * min(up, down) + need[CHARGE, j] + risk[CONTINGENCY] * need[GROSS, j]
        )
        need[MAINTENANCE, j] += risks
        need[INITIAL, j] += risk[INITIAL_FACTOR] * risks
