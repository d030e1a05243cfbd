"""Tail margin: value at risk or expected shortfall of what coins and bases really did, known up to yesterday.

The book is revalued under past relative moves of every coin's index and absolute moves of every future's basis,
over non-overlapping horizons in a trailing window, chosen once a day from the past only. A floor k x gross and a
share of the stressed (worst ever seen so far) loss keep it from sleeping in calm years, and so may a buffer on top
that is used up as margin rises above what the long run asks for, and a floor at that (EMIR Art. 28, tools a, b and
c: `margin.procyclicality`). While there is too little past, the scenario grid stands in. A generic model, never an
exchange's.
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.margin.collateral import many_held, nth_held, side_of
from backtest.margin.leaves import add_notional
from backtest.margin.procyclicality import released_share, with_buffer, with_floor, with_stress
from backtest.margin.row_leaves import (
    add_row, clear, copy_row, divide_by, exchange_higher, keep_higher, many_above_row, take_product,
)  # fmt: skip
from backtest.margin.scenarios import add_unit_collateral, require_scenarios
from backtest.span import first_account, first_bar
from backtest.state import (
    ASSETS, CHARGE, DOWN, EXPOSURE, GROSS, HERE, INITIAL, INITIAL_FACTOR, LONG_RUN, LONG_RUN_FLOOR, MAINTENANCE, PAST,
    PAST_END, POSITIONS, STRESS_WEIGHT, TAIL_BUFFER, TAIL_FLOOR, TAIL_IS_SHORTFALL, TAIL_LEVEL, UP, WINDOW, WINDOW_END,
)  # fmt: skip

FEWEST = 20  # past horizons in a window, before which the scenario grid stands in


@kernel
def require_tail(book, rules, tape, prices, wallet, span, point, n):
    """Fill COLLATERAL, INITIAL and MAINTENANCE of one wallet, in USD; the span must lie within one day."""
    bar, need = first_bar(span), book.need
    at = tape.rules_at[rules.shape[first_account(span)], bar]
    known = tape.tail_rows[tape.tail_kind[at], :, bar]
    if known[WINDOW_END] - known[WINDOW] < FEWEST:
        require_scenarios(book, rules, tape, prices, wallet, span, point, n)
        return
    clear(need[GROSS, :n])
    for k in range(many_held(book, wallet, ASSETS, span)):
        asset = nth_held(book, wallet, ASSETS, span, k)
        add_unit_collateral(book, rules, tape, prices, wallet, asset, at, span, point, n)
        copy_row(book.tail_delta[asset, :n], need[EXPOSURE, :n])
    take_bases(book, rules, tape, prices, wallet, span, point, n)
    take_margin(book, rules, tape, at, known, wallet, span, n)
    for j in range(n):
        risks = max(need[DOWN, j], rules.risk[at, TAIL_FLOOR] * need[GROSS, j])
        need[MAINTENANCE, j] += risks
        need[INITIAL, j] += rules.risk[at, INITIAL_FACTOR] * risks


@kernel
def take_bases(book, rules, tape, prices, wallet, span, point, n):
    """tail_basis[instrument] = signed USD notional exposed to that instrument's basis; spare[HERE, instrument]: whether
    there is any.
    """
    for i in range(len(rules.kind)):
        book.spare[HERE, i] = 0.0
    for k in range(many_held(book, wallet, POSITIONS, span)):
        position = nth_held(book, wallet, POSITIONS, span, k)
        i = rules.instrument[position]
        if book.spare[HERE, i] == 0.0:
            clear(book.tail_basis[i, :n])
            book.spare[HERE, i] = 1.0
        value = prices[tape.value_row[point, i, side_of(book, position, span)]]
        usd = prices[tape.index_row[point, rules.settlement[i], 0]]
        add_notional(book.tail_basis[i, :n], book.contracts[position], value, span, usd)


@kernel
def take_margin(book, rules, tape, at, known, wallet, span, n):
    """need[DOWN] = tail of the window, with weight on the worst of all the past, and what the table takes against
    procyclicality.
    """
    need = book.need
    take_tail(book, rules, tape, at, wallet, span, known[WINDOW], known[WINDOW_END], n)
    copy_row(need[DOWN, :n], need[CHARGE, :n])
    take_worst(book, rules, tape, wallet, span, known[PAST], known[PAST_END], n)
    for j in range(n):
        need[DOWN, j] = with_stress(need[DOWN, j], need[CHARGE, j], rules.risk[at, STRESS_WEIGHT])
    buffer, floored = rules.risk[at, TAIL_BUFFER], rules.risk[at, LONG_RUN_FLOOR] > 0.0
    if buffer > 0.0 or floored:
        take_tail(book, rules, tape, at, wallet, span, known[LONG_RUN], known[PAST_END], n)
        for j in range(n):
            if need[DOWN, j] > 0.0:
                need[DOWN, j] = kept_awake(need[DOWN, j], need[CHARGE, j], buffer, floored)


@kernel
def kept_awake(margin, long_run, buffer, floored):
    """Margin with the tools of the table against procyclicality."""
    if buffer > 0.0:
        margin = with_buffer(margin, buffer, released_share(margin, long_run, buffer))
    if floored:
        margin = with_floor(margin, long_run)
    return margin


@kernel
def take_loss(book, rules, tape, wallet, span, row, n):
    """need[UP] = loss of the book if the moves of one past horizon came again."""
    assets = book.balance.shape[1]
    clear(book.need[UP, :n])
    for k in range(many_held(book, wallet, ASSETS, span)):
        asset = nth_held(book, wallet, ASSETS, span, k)
        take_product(book.need[UP, :n], book.tail_delta[asset, :n], tape.tail_move[row, asset])
    for i in range(len(rules.kind)):
        if book.spare[HERE, i] > 0.0:
            take_product(book.need[UP, :n], book.tail_basis[i, :n], tape.tail_move[row, assets + i])


@kernel
def take_worst(book, rules, tape, wallet, span, first, last, n):
    """need[CHARGE] = the largest loss that any horizon of the past would bring again."""
    clear(book.need[CHARGE, :n])
    for row in range(first, last):
        take_loss(book, rules, tape, wallet, span, row, n)
        keep_higher(book.need[CHARGE, :n], book.need[UP, :n])


@kernel
def take_tail(book, rules, tape, at, wallet, span, first, last, n):
    """need[CHARGE] = the k-th worst loss of a window of past horizons, or the mean of the k worst."""
    tail, many = book.need[CHARGE, :n], worst_of(last - first, rules.risk[at, TAIL_LEVEL])
    for k in range(many):
        clear(book.worst[k, :n])
    for row in range(first, last):
        take_loss(book, rules, tape, wallet, span, row, n)
        if many_above_row(book.need[UP, :n], book.worst[many - 1, :n]) > 0:
            for k in range(many):
                exchange_higher(book.worst[k, :n], book.need[UP, :n])
    if rules.risk[at, TAIL_IS_SHORTFALL] > 0.0:
        clear(tail)
        for k in range(many):
            add_row(tail, book.worst[k, :n])
        divide_by(tail, many)
    else:
        copy_row(tail, book.worst[many - 1, :n])


@kernel
def worst_of(horizons, level):
    """How many of so many horizons lie beyond a level of confidence; one at least."""
    return max(1, int(horizons * (1.0 - level) + 1e-9))
