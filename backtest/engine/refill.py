"""Refilling a futures wallet from the spot wallet, where the two are apart: a short carry without unified margin lives
by it.

When a shared futures wallet's ratio is at or below the trigger at a bar's open, free balance of its asset is sent
from the spot wallet, up to the target ratio, with the declared delay and cost. Where the owner allows selling,
coins are sold and as many of the short bought back, so that the hedge shrinks on both legs, and the proceeds are
sent.
"""

from __future__ import annotations

from backtest.engine.fills import trade
from backtest.engine.forced import note
from backtest.engine.order_size import in_lots
from backtest.engine.transfers import arrive, sendable
from backtest.kernel import kernel
from backtest.ledger.kinds import TRANSFER, TRANSFER_COST
from backtest.ledger.post import move, post
from backtest.margin.moment import index_here, last_here
from backtest.margin.wallets import list_held, require_now
from backtest.state import (
    ASKED, BY_REFILL, COLLATERAL, I64, MAINTENANCE, NOTHING, OPEN, POSITIONS, REFILL_COST, REFILL_DELAY, REFILL_SELLS,
    REFILL_TARGET, REFILL_TRIGGER, REFILLED, SLIPPAGE, SPOT, T_ACCOUNT, T_AMOUNT, T_ARRIVES, T_ASSET, T_DEPARTS,
    T_MOVED, T_SOURCE, T_STATE, T_TARGET, TAKER, TRANSFER_ROWS, UNBOUND, UNDER_WAY,
)  # fmt: skip
from backtest.units import STEP, units


@kernel
def refill(book, rules, tape, account, bar):
    """Refill every shared futures wallet of the account that is at or below the trigger."""
    if rules.choice[account, REFILL_TRIGGER] <= 0.0 or rules.switch[account, UNBOUND] != 0:
        return
    shape = rules.shape[account]
    for wallet in range(book.balance.shape[0]):
        shared = rules.settle[shape, wallet] >= 0 and rules.isolates[shape, wallet] < 0
        if shared and book.held[account, wallet, POSITIONS, 0] > 0:
            refill_wallet(book, rules, tape, account, bar, wallet, rules.settle[shape, wallet])


@kernel
def refill_wallet(book, rules, tape, account, bar, wallet, asset):
    """Send what the wallet lacks to its target ratio, as far as there is any, selling coins for the rest if allowed."""
    require_now(book, rules, tape, wallet, account, bar)
    collateral, maintenance = book.need[COLLATERAL, 0], book.need[MAINTENANCE, 0]
    if maintenance <= 0.0 or collateral > rules.choice[account, REFILL_TRIGGER] * maintenance:
        return
    lacking = (rules.choice[account, REFILL_TARGET] * maintenance - collateral) / index_here(book, rules, asset)
    wish = units(lacking / STEP) - coming(book, account, wallet, asset)
    spot = rules.spot_wallet[rules.shape[account]]
    there = sendable(book, rules, tape, bar, account, spot, asset)
    if wish > there and rules.switch[account, REFILL_SELLS] != 0:
        sell_both_legs(book, rules, tape, account, bar, wallet, asset, wish - there)
        there = sendable(book, rules, tape, bar, account, spot, asset)
    amount = min(wish, there)
    if amount > 0:
        send(book, rules, tape, account, bar, spot, wallet, asset, amount)
        usd = amount * STEP * index_here(book, rules, asset)
        note(book, bar, account, wallet, REFILLED, NOTHING, collateral, maintenance, 0.0, 0.0, OPEN, usd)


@kernel
def coming(book, account, wallet, asset):
    """Steps already on their way to the wallet."""
    steps = I64(0)
    for row in range(book.count[TRANSFER_ROWS]):
        mine = book.transfer[row, T_ACCOUNT] == account and book.transfer[row, T_TARGET] == wallet
        if mine and book.transfer[row, T_ASSET] == asset:
            if book.transfer[row, T_STATE] == UNDER_WAY:
                steps += book.transfer[row, T_MOVED]
            elif book.transfer[row, T_STATE] == ASKED:
                steps += book.transfer[row, T_AMOUNT]
    return steps


@kernel
def sell_both_legs(book, rules, tape, account, bar, wallet, asset, needed):
    """Sell coins worth `needed` steps of the asset and buy back as many of the wallet's short in them."""
    shape = rules.shape[account]
    for spot in range(len(rules.instrument)):
        i = rules.instrument[spot]
        if rules.kind[i] == SPOT and rules.settlement[i] == asset and tape.tradable[i, bar] != 0 and needed > 0:
            short = short_in(book, rules, account, wallet, rules.base[i])
            if short >= 0 and tape.tradable[rules.instrument[short], bar] != 0:
                price = last_here(book, rules, i) * (1.0 - rules.choice[account, SLIPPAGE])
                coins = min(units(needed / price), book.balance[rules.spot_wallet[shape], rules.base[i], account])
                coins = min(coins, units(-book.contracts[short, account] * rules.size[rules.instrument[short]]))
                needed -= sell_pair(book, rules, tape, account, bar, spot, short, coins, price)


@kernel
def short_in(book, rules, account, wallet, base):
    """A linear short of the coin in the wallet; -1 if none."""
    for k in range(book.held[account, wallet, POSITIONS, 0]):
        position = book.held[account, wallet, POSITIONS, 1 + k]
        i = rules.instrument[position]
        if rules.base[i] == base and rules.kind[i] == 1 and book.contracts[position, account] < 0:
            return position
    return NOTHING


@kernel
def sell_pair(book, rules, tape, account, bar, spot, short, coins, price):
    """One sale and one purchase of the same coins at the open. Returns the proceeds in steps."""
    at = tape.rules_at[rules.shape[account], bar]
    i, f = rules.instrument[spot], rules.instrument[short]
    coins = in_lots(coins, rules.lot[i])
    contracts = in_lots(units(coins / rules.size[f]), rules.lot[f])
    if coins <= 0 or contracts <= 0:
        return I64(0)
    back = last_here(book, rules, f) * (1.0 + rules.choice[account, SLIPPAGE])
    trade(book, rules, tape, bar, account, spot, -coins, price, rules.fee[at, i, TAKER], BY_REFILL, OPEN, NOTHING)
    trade(book, rules, tape, bar, account, short, contracts, back, rules.fee[at, f, TAKER], BY_REFILL, OPEN, NOTHING)
    return units(coins * price)


@kernel
def send(book, rules, tape, account, bar, spot, wallet, asset, amount):
    """Through the transit wallet, less the cost; there at once without a delay."""
    row = book.count[TRANSFER_ROWS]
    assert row < book.transfer.shape[0]
    cost = units(amount * rules.choice[account, REFILL_COST])
    post(book, bar, account, spot, asset, TRANSFER_COST, -cost, NOTHING, NOTHING)
    move(book, bar, account, spot, rules.transit_wallet[rules.shape[account]], asset, TRANSFER, amount - cost)
    book.transfer[row, T_DEPARTS] = bar
    book.transfer[row, T_ARRIVES] = bar_after(tape, bar, rules.switch[account, REFILL_DELAY])
    book.transfer[row, T_ACCOUNT] = account
    book.transfer[row, T_ASSET] = asset
    book.transfer[row, T_SOURCE] = spot
    book.transfer[row, T_TARGET] = wallet
    book.transfer[row, T_AMOUNT] = amount
    book.transfer[row, T_MOVED] = amount - cost
    book.transfer[row, T_STATE] = UNDER_WAY
    book.count[TRANSFER_ROWS] = row + 1
    list_held(book, rules, account)
    if book.transfer[row, T_ARRIVES] == bar:
        arrive(book, rules, account, bar, row)


@kernel
def bar_after(tape, bar, delay):
    """First bar that opens at least `delay` microseconds after this one."""
    later = bar
    while later < len(tape.time) and tape.time[later] < tape.time[bar] + delay:
        later += 1
    return later
