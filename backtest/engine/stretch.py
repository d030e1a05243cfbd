"""A stretch: bars through which an account's contracts do not change, looked at together.

Margin is asked at every point of every bar by vector loops; the lowest ratio under each of the three readings of a
bar's path is kept. Bars that stay sound are recorded as they are; the first that fails begins a stretch of its own and
is lived through point by point, and the path goes on with what the liquidation left.
"""

from __future__ import annotations

import numpy as np

from backtest.engine.events import pay_until, run_balances
from backtest.engine.path import has_orders_on_the_way, leans, live_bar, live_with_orders, name_worst
from backtest.engine.record import (
    is_kept, lower_headroom, record, record_account, record_close, record_wallet,
)  # fmt: skip
from backtest.engine.targets import first_stray
from backtest.kernel import kernel
from backtest.margin.collateral import many_held, nth_held, side_of
from backtest.margin.row_leaves import (
    clear, count_unsound, fill_with, keep_lower, lower_of, lower_to_ratio, many_above, many_below, many_unsound,
)  # fmt: skip
from backtest.margin.wallets import require
from backtest.span import Bars
from backtest.state import (
    ASSETS, BACKS_NOTHING, BLOCK, CLOSE, COLLATERAL, EACH, HIGH, LIQUIDATE_AT, LOW, LOWEST, MAINTENANCE, OPEN,
    OPENED, OPENED_WALLET, OVERDRAFT, PATH, PATH_EACH, PATH_LOW_HIGH, POSITIONS, RATIO_CLOSE, RATIO_EACH,
    RATIO_HIGH, RATIO_LOW, RATIO_OPEN, TOP_UP_TRIGGER, UNBOUND, UNSOUND, WORST_WALLET,
)  # fmt: skip
from backtest.units import STEP


@kernel
def hold(book, rules, tape, account, first, last):
    """Live through bars first..last-1, up to the first that fails, or through `first` where it is that one. Returns the
    next bar to live through.

    That is `first` itself where finer bars have to say what happened inside it.
    """
    run_balances(book, rules, tape, account, first, last)
    if has_orders_on_the_way(book, rules, tape, account, first):
        live_with_orders(book, rules, tape, account, first)
        return first + 1
    last = first_overdraft(book, rules, tape, account, first, last)
    measure(book, rules, tape, account, first, last)
    last = first_undecided(book, rules, tape, account, first, last)
    if last == first:
        return first
    fail = last
    if rules.switch[account, UNBOUND] == 0:
        fail = first_unsound(book, first, last)
    if fail == first:
        suffer(book, rules, tape, account, first)
        return first + 1
    record_account(book, rules, tape, account, first, fail)
    fail = first_stray(book, rules, tape, account, first, fail)
    pay_until(book, rules, tape, account, first, fail - 1)
    return fail


@kernel
def live_through(book, rules, tape, account, first, last):
    """Live through bars whose opens have been dealt with, or hold nothing to deal with: nothing but prices happens."""
    while first < last:
        first = hold(book, rules, tape, account, first, min(last, first + BLOCK))


@kernel
def first_undecided(book, rules, tape, account, first, last):
    """First bar that one reading of its path survives and another does not, of those that finer bars may decide."""
    if rules.switch[account, UNBOUND] != 0:
        return last
    level = rules.level[tape.rules_at[rules.shape[account], first], LIQUIDATE_AT]
    need = book.need
    if many_above(tape.finer[first:last], 0) == 0:
        return last
    for j in range(last - first):
        if tape.finer[first + j] != 0 and min(need[RATIO_OPEN, j], need[RATIO_CLOSE, j]) > level:
            if min(need[RATIO_LOW, j], need[RATIO_HIGH, j], need[RATIO_EACH, j]) <= level:
                return first + j
    return last


@kernel
def first_unsound(book, first, last):
    """First bar of the stretch at which a wallet fails on the chosen path; last if none does."""
    if many_above(book.need[UNSOUND, : last - first], 0.0) > 0:
        for j in range(last - first):
            if book.need[UNSOUND, j] > 0.0:
                return first + j
    return last


@kernel
def first_overdraft(book, rules, tape, account, first, last):
    """First bar after `first` at whose open cash events have taken a balance below its auto-exchange threshold."""
    shape = rules.shape[account]
    at = tape.rules_at[shape, first]
    for wallet in range(book.balance.shape[0]):
        if rules.model[shape, wallet] != BACKS_NOTHING and rules.settle[shape, wallet] < 0:
            for k in range(book.held[account, wallet, ASSETS, 0]):
                asset = book.held[account, wallet, ASSETS, 1 + k]
                if rules.coin[at, asset, OVERDRAFT] < np.inf:
                    running, index = book.running[wallet, asset], tape.series[tape.index_row[OPEN, asset, 0]]
                    last = first_below(running, index, first, last, -rules.coin[at, asset, OVERDRAFT])
    return last


@kernel
def first_below(running, index, first, last, worth):
    """First bar after `first` at which a running balance is worth less than so many USD; last if none is."""
    if last > first and many_below(running[: last - first], index[first:last], worth) > 0:
        for j in range(1, last - first):
            if running[j] * STEP * index[first + j] < worth:
                return first + j
    return last


@kernel
def measure(book, rules, tape, account, first, last):
    """Lowest ratios by point over the stretch, and where the chosen path fails. Wallets are recorded at the close as
    they are looked at there; bars that will be lived through otherwise are recorded anew.
    """
    n = last - first
    for row in (RATIO_OPEN, RATIO_CLOSE, RATIO_LOW, RATIO_HIGH, RATIO_EACH, LOWEST):
        fill_with(book.need[row, :n], np.inf)
    clear(book.need[UNSOUND, :n])
    fill_with(book.need[WORST_WALLET, :n], -1.0)
    for row in (RATIO_OPEN, LOWEST):
        book.need[row, 0] = book.need[OPENED, 0]
    book.need[WORST_WALLET, 0] = book.need[OPENED_WALLET, 0]
    book.need[OPENED, 0], book.need[OPENED_WALLET, 0] = np.inf, -1.0
    alone = many_leaning(book, rules, account) == 1
    for wallet in range(book.balance.shape[0]):
        open_headroom(book, rules, account, wallet, first, last)
        if leans(book, rules, account, wallet):
            for point in (OPEN, LOW, HIGH, EACH, CLOSE):
                measure_point(book, rules, tape, account, wallet, first, last, point, alone)
            if alone:
                name_alone(book.need, n, wallet, rules.switch[account, PATH])
            record_wallet(book, account, wallet, first, last)
        else:
            record_close(book, rules, tape, account, wallet, first, last)


@kernel
def many_leaning(book, rules, account):
    """How many wallets of the account something could be required of."""
    many = 0
    for wallet in range(book.balance.shape[0]):
        many += leans(book, rules, account, wallet)
    return many


@kernel
def measure_point(book, rules, tape, account, wallet, first, last, point, alone):
    """One wallet at one point of every bar of the stretch; `alone`: no other wallet leans."""
    n, span = last - first, Bars(account, first, last)
    if point == EACH:
        twin = twin_of_each(book, rules, tape, wallet, span)
        if twin != EACH and not on_path(rules, account, EACH):
            keep_lower(book.need[RATIO_EACH, :n], book.need[row_of_point(twin), :n])
            return
    require(book, rules, tape, tape.series, wallet, span, point, n)
    row = row_of_point(point)
    lower_to_ratio(book.need[row, :n], book.need[COLLATERAL, :n], book.need[MAINTENANCE, :n])
    if on_path(rules, account, point):
        lower_headroom(book, rules, tape, account, wallet, first, last)
        level = watch_level(rules, tape, account, wallet, first)
        if many_unsound(book.need[COLLATERAL, :n], book.need[MAINTENANCE, :n], level) > 0:
            count_unsound(book.need[UNSOUND, :n], book.need[COLLATERAL, :n], book.need[MAINTENANCE, :n], level)
        if not alone:
            name_worst(
                book.need[WORST_WALLET, :n],
                book.need[LOWEST, :n],
                book.need[COLLATERAL, :n],
                book.need[MAINTENANCE, :n],
                wallet,
            )


@kernel
def name_alone(need, n, wallet, path):
    """The one wallet that leans is the worst wherever it has a ratio on the chosen path: at the first bar, unless the
    bar opened with a lower one.
    """
    named, lowest = need[WORST_WALLET, :n], need[LOWEST, :n]
    opened, opened_wallet = lowest[0], named[0]
    lower_of(lowest, need[RATIO_OPEN, :n], need[RATIO_CLOSE, :n])
    if path == PATH_EACH:
        keep_lower(lowest, need[RATIO_EACH, :n])
    elif path == PATH_LOW_HIGH:
        keep_lower(lowest, need[RATIO_LOW, :n])
        keep_lower(lowest, need[RATIO_HIGH, :n])
    name_finite(named, lowest, wallet)
    if not lowest[0] < opened:
        named[0] = opened_wallet


@kernel
def name_finite(named, lowest, wallet):
    """named = the wallet where it has a ratio, else none."""
    for j in range(len(named)):
        named[j] = wallet if lowest[j] < np.inf else -1.0


@kernel
def twin_of_each(book, rules, tape, wallet, span):
    """LOW or HIGH if every price of the wallet is as bad there as when each leg is at its own worst; EACH if not."""
    if reads_alike(book, rules, tape, wallet, span, LOW):
        return LOW
    return HIGH if reads_alike(book, rules, tape, wallet, span, HIGH) else EACH


@kernel
def reads_alike(book, rules, tape, wallet, span, point):
    """Whether all that the wallet holds reads the same series at a point as where each leg is at its own worst."""
    for k in range(many_held(book, wallet, POSITIONS, span)):
        position = nth_held(book, wallet, POSITIONS, span, k)
        i, side = rules.instrument[position], side_of(book, position, span)
        if tape.value_row[EACH, i, side] != tape.value_row[point, i, side]:
            return False
    for k in range(many_held(book, wallet, ASSETS, span)):
        asset = nth_held(book, wallet, ASSETS, span, k)
        for owed in range(2):
            if tape.index_row[EACH, asset, owed] != tape.index_row[point, asset, owed]:
                return False
    return True


@kernel
def open_headroom(book, rules, account, wallet, first, last):
    """Headroom of bars first..last-1 before any point of them is looked at: none but what the first opened with."""
    if is_kept(book) and rules.model[rules.shape[account], wallet] != BACKS_NOTHING:
        fill_with(book.headroom[wallet, account, first:last], np.inf)
        book.headroom[wallet, account, first] = book.opened[wallet]
    book.opened[wallet] = np.inf


@kernel
def row_of_point(point):
    """Scratch row that keeps the ratios of a point."""
    if point == OPEN:
        return RATIO_OPEN
    if point == LOW:
        return RATIO_LOW
    if point == HIGH:
        return RATIO_HIGH
    return RATIO_CLOSE if point == CLOSE else RATIO_EACH


@kernel
def on_path(rules, account, point):
    """Whether the account's reading of a bar visits a point. Every reading opens and closes."""
    path = rules.switch[account, PATH]
    if point == OPEN or point == CLOSE:
        return True
    return path == PATH_EACH if point == EACH else path == PATH_LOW_HIGH


@kernel
def watch_level(rules, tape, account, wallet, bar):
    """Ratio at which the wallet wants to be looked at: liquidation, or an isolated position's top-up before it."""
    level = rules.level[tape.rules_at[rules.shape[account], bar], LIQUIDATE_AT]
    if rules.isolates[rules.shape[account], wallet] >= 0:
        level = max(level, rules.choice[account, TOP_UP_TRIGGER])
    return level


@kernel
def suffer(book, rules, tape, account, bar):
    """Live through one bar point by point, with liquidation where a wallet fails, and record what is left.

    It has just been measured, so its lowest ratios, and the wallet that had them, stand first in their rows.
    """
    live_bar(book, rules, tape, account, bar)
    run_balances(book, rules, tape, account, bar, bar + 1)
    record(book, rules, tape, account, bar, bar + 1)
