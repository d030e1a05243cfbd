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
from backtest.margin.row_leaves import clear
from backtest.margin.procyclicality import released_share, with_buffer, with_floor, with_stress
from backtest.margin.scenarios import add_unit_collateral, require_scenarios
from backtest.span import first_account, first_bar, price
from backtest.state import (
    ASSETS, EXPOSURE, GROSS, HERE, INITIAL, INITIAL_FACTOR, LONG_RUN_FLOOR, MAINTENANCE, POSITIONS, STRESS_WEIGHT,
    TAIL_BUFFER, TAIL_FLOOR, TAIL_IS_SHORTFALL, TAIL_LEVEL,
)  # fmt: skip
from backtest.units import STEP


@kernel
def require_tail(book, rules, tape, prices, wallet, span, point, n):
    """Fill COLLATERAL, INITIAL and MAINTENANCE of one wallet, in USD; the span must lie within one day."""
    bar = first_bar(span)
    at = tape.rules_at[rules.shape[first_account(span)], bar]
    if tape.tail_rows[1, bar] - tape.tail_rows[0, bar] < 20:
        require_scenarios(book, rules, tape, prices, wallet, span, point, n)
        return
    clear(book.need[GROSS, :n])
    for asset in range(book.balance.shape[1]):
        for j in range(n):
            book.tail_delta[asset, j] = 0.0
    for k in range(many_held(book, wallet, ASSETS, span)):
        asset = nth_held(book, wallet, ASSETS, span, k)
        add_unit_collateral(book, rules, tape, prices, wallet, asset, at, span, point, n)
        for j in range(n):
            book.tail_delta[asset, j] = book.need[EXPOSURE, j]
    for j in range(n):
        list_bases(book, rules, tape, prices, wallet, span, point, j)
        risks = tail_margin(book, rules, tape, at, bar, j)
        risks = max(risks, rules.risk[at, TAIL_FLOOR] * book.need[GROSS, j])
        book.need[MAINTENANCE, j] += risks
        book.need[INITIAL, j] += rules.risk[at, INITIAL_FACTOR] * risks


@kernel
def list_bases(book, rules, tape, prices, wallet, span, point, j):
    """spare[HERE, instrument] = signed USD notional exposed to that instrument's basis."""
    for i in range(len(rules.kind)):
        book.spare[HERE, i] = 0.0
    for k in range(many_held(book, wallet, POSITIONS, span)):
        position = nth_held(book, wallet, POSITIONS, span, k)
        i = rules.instrument[position]
        value = prices[tape.value_row[point, i, side_of(book, position, span)]]
        usd = prices[tape.index_row[point, rules.settlement[i], 0]]
        book.spare[HERE, i] += (
            book.contracts[position, first_account(span)] * STEP * abs(price(value, span, j)) * price(usd, span, j)
        )


@kernel
def loss_in(book, tape, row, j, instruments, assets):
    """Loss of the book at element j if the moves of one past horizon came again."""
    loss = 0.0
    for asset in range(assets):
        loss -= book.tail_delta[asset, j] * tape.tail_move[row, asset]
    for i in range(instruments):
        loss -= book.spare[HERE, i] * tape.tail_move[row, assets + i]
    return loss


@kernel
def tail_margin(book, rules, tape, at, bar, j):
    """Tail of the window, with weight on the worst of all the past, and what the table takes against procyclicality."""
    past = tape.tail_rows[2, bar]
    tail = tail_loss(book, rules, tape, at, tape.tail_rows[0, bar], tape.tail_rows[1, bar], j)
    margin = with_stress(tail, worst_loss(book, rules, tape, past, j), rules.risk[at, STRESS_WEIGHT])
    buffer, floored = rules.risk[at, TAIL_BUFFER], rules.risk[at, LONG_RUN_FLOOR] > 0.0
    if margin > 0.0 and (buffer > 0.0 or floored):
        long_run = tail_loss(book, rules, tape, at, tape.tail_rows[3, bar], past, j)
        if buffer > 0.0:
            margin = with_buffer(margin, buffer, released_share(margin, long_run, buffer))
        if floored:
            margin = with_floor(margin, long_run)
    return margin


@kernel
def worst_loss(book, rules, tape, past, j):
    """The largest loss that any horizon of the past (rows before `past`) would bring again."""
    stressed = 0.0
    for row in range(past):
        stressed = max(stressed, loss_in(book, tape, row, j, len(rules.kind), book.balance.shape[1]))
    return stressed


@kernel
def tail_loss(book, rules, tape, at, first, last, j):
    """The k-th worst loss of a window of past horizons, or the mean of the k worst."""
    instruments, assets = len(rules.kind), book.balance.shape[1]
    many = max(1, int((last - first) * (1.0 - rules.risk[at, TAIL_LEVEL]) + 1e-9))
    for k in range(many):
        book.worst[k] = 0.0
    for row in range(first, last):
        insert(book.worst, many, loss_in(book, tape, row, j, instruments, assets))
    tail = book.worst[many - 1]
    if rules.risk[at, TAIL_IS_SHORTFALL] > 0.0:
        tail = 0.0
        for k in range(many):
            tail += book.worst[k]
        tail /= many
    return tail


@kernel
def insert(worst, many, loss):
    """Keep the `many` largest losses, largest first."""
    if loss > worst[many - 1]:
        k = many - 1
        while k > 0 and worst[k - 1] < loss:
            worst[k] = worst[k - 1]
            k -= 1
        worst[k] = loss
