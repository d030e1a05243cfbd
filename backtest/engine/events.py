"""What the market and the calendar do to an account at a bar's open, in the order of the tape.

Within a bar: scheduled money, delivery, funding, settlement of profits, interest, deleveraging. Funding and interest
only move cash, so inside a stretch they enter as a running balance and are posted up to the bar reached; everything
else ends a stretch.
"""

from __future__ import annotations

from backtest.engine.fills import trade
from backtest.engine.funding import funding_by_wallet, funding_due, parent_of
from backtest.engine.interest import hours_owed, interest_on
from backtest.engine.order_size import in_lots
from backtest.engine.settlement import deliver, settle_profit
from backtest.engine.transfers import flow
from backtest.kernel import kernel
from backtest.ledger.kinds import FUNDED, INTEREST_PAID
from backtest.ledger.post import post
from backtest.margin.moment import mark_here
from backtest.margin.tiers import value_of_contract
from backtest.state import (
    ASSETS, BY_DELEVERAGING, DELEVERAGE, DELIVERY, E_ACCOUNT, E_BAR, E_KIND, E_SUBJECT, FLOW, FUNDING,
    INTEREST, NOTHING, OPEN, SETTLEMENT, TARGETS,
)  # fmt: skip
from backtest.units import units


@kernel
def concerns(tape, event, account):
    """Whether an event is meant for the account."""
    return tape.event[event, E_ACCOUNT] < 0 or tape.event[event, E_ACCOUNT] == account


@kernel
def happen(book, rules, tape, account, bar):
    """Every event of the bar, in the order of the tape."""
    for event in range(tape.event_at[bar], tape.event_at[bar + 1]):
        if concerns(tape, event, account):
            kind = tape.event[event, E_KIND]
            if kind == FLOW:
                flow(book, rules, tape, event, account, bar)
            elif kind == DELIVERY:
                deliver(book, rules, tape, event, account, bar)
            elif kind == SETTLEMENT:
                settle_profit(book, rules, tape, event, account, bar)
            elif kind == DELEVERAGE:
                deleverage(book, rules, tape, event, account, bar)
            elif kind != TARGETS:
                pay(book, rules, tape, event, account, bar)


@kernel
def pay(book, rules, tape, event, account, bar):
    """Post a cash event: funding of one instrument, or interest on all that is owed."""
    shape = rules.shape[account]
    if tape.event[event, E_KIND] == FUNDING:
        i = tape.event[event, E_SUBJECT]
        for position in range(i, len(rules.instrument), len(rules.kind)):
            if book.contracts[position, account] != 0:
                pay_funding(book, rules, tape, event, account, bar, position)
    elif tape.event[event, E_KIND] == INTEREST:
        for wallet in range(book.balance.shape[0]):
            hours = hours_owed(rules, tape, event, shape, wallet)
            if hours > 0.0:
                for asset in range(book.balance.shape[1]):
                    balance = book.balance[wallet, asset, account]
                    due = interest_on(book, rules, tape, account, wallet, asset, bar, balance, hours)
                    post(book, bar, account, wallet, asset, INTEREST_PAID, due, NOTHING, NOTHING)


@kernel
def pay_funding(book, rules, tape, event, account, bar, position):
    """Post the funding of one position: from the wallet it leans on, as far as that pays, and from its own."""
    shape, asset = rules.shape[account], rules.settlement[rules.instrument[position]]
    wallet = rules.position_wallet[shape, position]
    parent = parent_of(rules, shape, wallet)
    balance = book.balance[parent, asset, account]
    free, own = funding_by_wallet(book, rules, tape, event, position, account, balance)
    if free != 0:
        post(book, bar, account, parent, asset, FUNDED, free, position, event)
    post(book, bar, account, wallet, asset, FUNDED, own, position, event)


@kernel
def pay_until(book, rules, tape, account, first, last):
    """Post the cash events of bars first+1 .. last."""
    for event in range(tape.event_at[first + 1], tape.event_at[last + 1] if last > first else 0):
        if concerns(tape, event, account):
            pay(book, rules, tape, event, account, tape.event[event, E_BAR])


@kernel
def next_payment(book, rules, tape, account, bar, last):
    """First bar after `bar` whose cash events move money of the account as it stands; `last` if none does before."""
    for event in range(tape.event_at[bar + 1], tape.event_at[last]):
        if concerns(tape, event, account) and moves_cash(book, rules, tape, account, event):
            return tape.event[event, E_BAR]
    return last


@kernel
def moves_cash(book, rules, tape, account, event):
    """Whether `pay` would post anything for a cash event."""
    shape = rules.shape[account]
    if tape.event[event, E_KIND] == FUNDING:
        for position in range(tape.event[event, E_SUBJECT], len(rules.instrument), len(rules.kind)):
            if funding_due(book, rules, tape, event, position, account) != 0:
                return True
    elif tape.event[event, E_KIND] == INTEREST:
        for wallet in range(book.balance.shape[0]):
            hours = hours_owed(rules, tape, event, shape, wallet)
            if hours > 0.0:
                for asset in range(book.balance.shape[1]):
                    balance, bar = book.balance[wallet, asset, account], tape.event[event, E_BAR]
                    if interest_on(book, rules, tape, account, wallet, asset, bar, balance, hours) != 0:
                        return True
    return False


@kernel
def run_balances(book, rules, tape, account, first, last):
    """Balances bar by bar over a stretch: what is there now, then each cash event from its bar on."""
    n = last - first
    for wallet in range(book.balance.shape[0]):
        for asset in range(book.balance.shape[1]):
            if book.balance[wallet, asset, account] != 0:
                hold_at(book.running[wallet, asset, :n], book.balance[wallet, asset, account])
        for k in range(book.held[account, wallet, ASSETS, 0]):
            asset = book.held[account, wallet, ASSETS, 1 + k]
            if book.balance[wallet, asset, account] == 0:
                hold_at(book.running[wallet, asset, :n], 0)
    for event in range(tape.event_at[first + 1], tape.event_at[last]):
        if concerns(tape, event, account):
            run_event(book, rules, tape, account, event, tape.event[event, E_BAR] - first, n)


@kernel
def hold_at(row, amount):
    """row = amount."""
    for j in range(len(row)):
        row[j] = amount


@kernel
def run_event(book, rules, tape, account, event, start, n):
    """Add one cash event to the running balances from its bar on."""
    shape = rules.shape[account]
    if tape.event[event, E_KIND] == FUNDING:
        i = tape.event[event, E_SUBJECT]
        for position in range(i, len(rules.instrument), len(rules.kind)):
            if book.contracts[position, account] != 0:
                run_funding(book, rules, tape, account, event, position, start, n)
    elif tape.event[event, E_KIND] == INTEREST:
        for wallet in range(book.balance.shape[0]):
            hours = hours_owed(rules, tape, event, shape, wallet)
            if hours > 0.0:
                for k in range(book.held[account, wallet, ASSETS, 0]):
                    asset = book.held[account, wallet, ASSETS, 1 + k]
                    balance, bar = book.running[wallet, asset, start], tape.event[event, E_BAR]
                    due = interest_on(book, rules, tape, account, wallet, asset, bar, balance, hours)
                    if due != 0:
                        add_from(book.running[wallet, asset], start, n, due)


@kernel
def run_funding(book, rules, tape, account, event, position, start, n):
    """The same as `pay_funding` on running balances."""
    shape, asset = rules.shape[account], rules.settlement[rules.instrument[position]]
    wallet = rules.position_wallet[shape, position]
    parent = parent_of(rules, shape, wallet)
    balance = book.running[parent, asset, start]
    free, own = funding_by_wallet(book, rules, tape, event, position, account, balance)
    if free != 0:
        add_from(book.running[parent, asset], start, n, free)
    add_from(book.running[wallet, asset], start, n, own)


@kernel
def add_from(row, start, n, amount):
    """row[start:n] += amount."""
    for j in range(start, n):
        row[j] += amount


@kernel
def deleverage(book, rules, tape, event, account, bar):
    """Auto-deleveraging: the venue closes a share of a position that is winning, at the mark. `number[event, 0]`: the
    share.
    """
    i = tape.event[event, E_SUBJECT]
    for position in range(len(rules.instrument)):
        held = book.contracts[position, account]
        wins = held * value_of_contract(rules, i, mark_here(book, rules, i)) > book.cost[position, account]
        if rules.instrument[position] == i and held != 0 and wins:
            contracts = -in_lots(units(held * tape.number[event, 0]), rules.lot[i])
            if contracts != 0:
                trade(
                    book,
                    rules,
                    tape,
                    bar,
                    account,
                    position,
                    contracts,
                    mark_here(book, rules, i),
                    0.0,
                    BY_DELEVERAGING,
                    OPEN,
                    NOTHING,
                )
