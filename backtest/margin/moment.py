"""The prices of one moment inside a bar: all of them the same share of the way from one point of it to the next.

At the point EACH every leg is at its own worst, so a contract has a worth for longs and one for shorts, and an asset a
price for what is owned and one for what is owed.
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.state import HERE, INVERSE, ONE, TWO_SIDED
from backtest.units import STEP


@kernel
def set_moment(book, rules, tape, account, bar, source, target, share):
    """Fill `here` with the prices a share of the way from one point of the bar to another."""
    instruments, assets = len(rules.kind), book.balance.shape[1]
    for i in range(instruments):
        side = ONE if is_short(book, rules, account, i) else HERE
        between(book.here, last_row(book, rules, i), tape, tape.last_row, i, side, bar, source, target, share)
        between(book.here, mark_row(book, rules, i), tape, tape.mark_row, i, side, bar, source, target, share)
        for s in range(2):
            row = s * instruments + i
            if rules.kind[i] == INVERSE:  # the mark moves evenly, and what a contract is worth follows it
                between(book.here, row, tape, tape.mark_row, i, s, bar, source, target, share)
                book.here[row, 0] = -rules.size[i] / book.here[row, 0]
            else:
                between(book.here, row, tape, tape.value_row, i, s, bar, source, target, share)
    for a in range(assets):
        for s in range(2):
            between(book.here, 2 * instruments + s * assets + a, tape, tape.index_row, a, s, bar, source, target, share)


@kernel
def between(here, row, tape, rows, i, side, bar, source, target, share):
    """One price, a share of the way from one point to another; exactly the end at share 1."""
    b = tape.series[rows[target, i, side], bar]
    if share != 1.0:
        a = tape.series[rows[source, i, side], bar]
        b = a + (b - a) * share
    here[row, 0] = b


@kernel
def is_short(book, rules, account, i):
    """Whether the account is short of an instrument (in hedge mode: and not long of it too)."""
    if book.contracts[i, account] != 0 or rules.switch[account, TWO_SIDED] == 0:
        return book.contracts[i, account] < 0
    return book.contracts[i + len(rules.kind), account] < 0


@kernel
def last_row(book, rules, i):
    """Row of `here` with an instrument's traded price."""
    return 2 * len(rules.kind) + 2 * book.balance.shape[1] + i


@kernel
def mark_row(book, rules, i):
    """Row of `here` with an instrument's mark."""
    return 3 * len(rules.kind) + 2 * book.balance.shape[1] + i


@kernel
def last_here(book, rules, i):
    """The traded price of the moment."""
    return book.here[last_row(book, rules, i), 0]


@kernel
def mark_here(book, rules, i):
    """The mark price of the moment."""
    return book.here[mark_row(book, rules, i), 0]


@kernel
def notional_here(book, rules, account, position):
    """Notional of a position at the moment's mark, in its settlement asset, without sign."""
    i, contracts = rules.instrument[position], book.contracts[position, account]
    side = len(rules.kind) if contracts < 0 else 0
    return abs(contracts * book.here[side + i, 0])


@kernel
def notional_usd(book, rules, account, position):
    """The same in USD."""
    usd = index_here(book, rules, rules.settlement[rules.instrument[position]])
    return notional_here(book, rules, account, position) * STEP * usd


@kernel
def index_here(book, rules, asset):
    """USD per unit of an asset that is owned, at the moment."""
    return book.here[2 * len(rules.kind) + asset, 0]
