"""What waiting orders ask for before they fill: only an accepted limit order asks for anything.

Futures: the margin of the larger side that the position could reach (in `tiers`), and the loss with which an order
would open at this mark. Spot: what it would deliver. A stop holds nothing until it is triggered, an order that can only
reduce never does. Source: Binance FAQ 4f83b65d, 87fa7ee3, 4868b2f1aa6c.
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.margin.moment import index_here, notional_here
from backtest.margin.positions import fees_of_order
from backtest.margin.tiers import value_of_contract
from backtest.span import price
from backtest.state import (
    FEE_TO_CLOSE, FORCED, HERE, LIMIT, LIVE_ORDERS, ONE, OPEN, OPEN_LOSS, O_ACCOUNT, O_CONTRACTS, O_FILLED, O_FLAGS,
    O_KIND, O_POSITION, O_SEEN, O_STATE, PRICE, REDUCE_ONLY, SPOT, WAITING,
)  # fmt: skip
from backtest.units import STEP, units


@kernel
def is_resting(book, account, order):
    """A limit order of the account that has been accepted, waits, and could open something."""
    return (
        book.order[order, O_ACCOUNT] == account
        and book.order[order, O_STATE] == WAITING
        and book.order[order, O_KIND] == LIMIT
        and book.order[order, O_SEEN] != 0
        and book.order[order, O_FLAGS] & (FORCED | REDUCE_ONLY) == 0
    )


@kernel
def left_of(book, order):
    """Contracts (coins) of an order that are still to be filled."""
    return (book.order[order, O_CONTRACTS] - book.order[order, O_FILLED]) * STEP


@kernel
def rest_orders(book, rules, account):
    """resting = notional, in the settlement asset, of resting buys and of resting sells, by position."""
    for position in range(book.contracts.shape[0]):
        book.resting[HERE, position, account] = 0.0
        book.resting[ONE, position, account] = 0.0
    for k in range(book.count[LIVE_ORDERS]):
        order = book.live[k]
        position = book.order[order, O_POSITION]
        i = rules.instrument[position]
        if rules.kind[i] != SPOT and is_resting(book, account, order):
            contracts = left_of(book, order)
            notional = abs(contracts * value_of_contract(rules, i, book.order_price[order, PRICE]))
            book.resting[HERE if contracts > 0.0 else ONE, position, account] += notional


@kernel
def reserved_spot(book, rules, account, asset):
    """Units of an asset that resting spot orders would deliver: what purchases would pay with, and what sales would
    sell of it.
    """
    paid, sold = 0.0, 0.0
    for k in range(book.count[LIVE_ORDERS]):
        order = book.live[k]
        i = rules.instrument[book.order[order, O_POSITION]]
        if rules.kind[i] == SPOT and is_resting(book, account, order):
            coins = left_of(book, order)
            if coins > 0.0 and rules.settlement[i] == asset:
                paid += coins * book.order_price[order, PRICE]
            elif coins < 0.0 and rules.base[i] == asset:
                sold -= coins
    return paid, sold


@kernel
def add_open_loss(book, rules, tape, prices, wallet, account, span, point, n):
    """OPEN_LOSS += what resting futures orders would lose at once if they filled at this mark, in USD."""
    for k in range(book.count[LIVE_ORDERS]):
        order = book.live[k]
        position = book.order[order, O_POSITION]
        i = rules.instrument[position]
        leans = rules.position_wallet[rules.shape[account], position] == wallet
        if leans and rules.kind[i] != SPOT and is_resting(book, account, order):
            usd = prices[tape.index_row[point, rules.settlement[i], 0]]
            limit = value_of_contract(rules, i, book.order_price[order, PRICE])
            value = prices[tape.value_row[point, i, HERE]]
            add_loss_of_order(book.need[OPEN_LOSS, :n], left_of(book, order), limit, value, usd, span, 1.0)


@kernel
def take_spot_open_loss(out, book, rules, tape, prices, wallet, account, span, point):
    """out -= what resting spot orders would lose at once: adjusted equity of Binance's portfolio margin."""
    if rules.spot_wallet[rules.shape[account]] == wallet:
        for k in range(book.count[LIVE_ORDERS]):
            order = book.live[k]
            i = rules.instrument[book.order[order, O_POSITION]]
            if rules.kind[i] == SPOT and is_resting(book, account, order):
                usd = prices[tape.index_row[point, rules.settlement[i], 0]]
                value = prices[tape.value_row[point, i, HERE]]
                add_loss_of_order(out, left_of(book, order), book.order_price[order, PRICE], value, usd, span, -1.0)


@kernel
def add_loss_of_order(out, contracts, limit, value, usd, span, sign):
    """out += sign x quantity x |min(0, direction x (mark - order price))|, told through the value of a contract."""
    for j in range(len(out)):
        gain = contracts * (price(value, span, j) - limit)
        out[j] += sign * (-gain if gain < 0.0 else 0.0) * price(usd, span, j)


@kernel
def is_funded_from(rules, shape, position, wallet):
    """Whether a position is isolated in a wallet of its own, and funded from this one."""
    own = rules.position_wallet[shape, position]
    return own >= 0 and own != wallet and rules.parent[shape, own] == wallet


@kernel
def isolated_orders(book, rules, wallet, account, at):
    """USD that resting orders of isolated positions funded from a wallet would take out of it, at the moment."""
    shape, total = rules.shape[account], 0.0
    for position in range(book.contracts.shape[0]):
        if is_funded_from(rules, shape, position, wallet):
            size = notional_here(book, rules, account, position) * STEP
            usd = index_here(book, rules, rules.settlement[rules.instrument[position]])
            total += margin_of_orders(book, rules, account, at, position, size) * usd
    return total


@kernel
def held_by_orders(book, rules, tape, wallet, asset, account, bar):
    """The same of one settlement asset, in steps of it, at the marks of a bar's open."""
    shape, total = rules.shape[account], 0.0
    for position in range(book.contracts.shape[0]):
        i = rules.instrument[position]
        if rules.settlement[i] == asset and is_funded_from(rules, shape, position, wallet):
            size = abs(book.contracts[position, account] * tape.series[tape.value_row[OPEN, i, 0], bar]) * STEP
            total += margin_of_orders(book, rules, account, tape.rules_at[shape, bar], position, size)
    return units(total / STEP)


@kernel
def margin_of_orders(book, rules, account, at, position, size):
    """What the resting orders of a position of some notional would take out of the wallet it is funded from, in the
    settlement asset.
    """
    buys, sells = book.resting[HERE, position, account], book.resting[ONE, position, account]
    if buys + sells <= 0.0:
        return 0.0
    i = rules.instrument[position]
    notional = -size if book.contracts[position, account] < 0 else size
    share = 1.0 / rules.leverage[account, i]
    long, short = (abs(notional + buys) - size) * share, (abs(notional - sells) - size) * share
    if rules.term[at, FEE_TO_CLOSE] != 0:
        long += buys * fees_of_order(rules, i, at, HERE, share)
        short += sells * fees_of_order(rules, i, at, ONE, share)
    return max(0.0, max(long, short))
