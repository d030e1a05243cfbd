"""A fill: contracts change hands, cost and profit follow, the fee is paid. The one door through which contracts
change.

Linear and inverse contracts differ only in what one of them is worth. Opening adds to the position's cost; closing
releases cost pro rata (all of it, exactly, on a full close) and realises the difference. Spot is bought and sold in
balances: a buyer's fee comes out of the coin received. An isolated position takes its margin along when it opens
and gives it back when it closes; while the venue sells it, with the last contract.
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.ledger.kinds import ALLOCATE, BORROW, BUY, FEE, INSURANCE, REALISED, REPAY, SELL
from backtest.ledger.post import move, post, transfer_now
from backtest.engine.interest import charge_first_hour
from backtest.margin.tiers import value_of_contract
from backtest.margin.moment import index_here, mark_here, notional_usd
from backtest.margin.orders import isolated_orders, reserved_spot
from backtest.margin.positions import fee_to_close
from backtest.margin.wallets import list_held, require_now
from backtest.state import (
    AUTO_TRANSFER, BORROWS, BY_LIQUIDATION, COLLATERAL, F_ACCOUNT, F_BAR, F_CAUSE, F_CONTRACTS, F_COST, F_FEE,
    F_FEE_ASSET, F_ORDER, F_POINT, F_POSITION, F_REALISED, FEE_TO_CLOSE, FILL_ROWS, HERE, I64, INITIAL, KEEPS,
    KEEPS_NOTIONAL, MAINTENANCE, NEED_BUFFER, NOTHING, OPEN_LOSS, POSITIONS, SPOT, TIERS, UNBOUND,
)  # fmt: skip
from backtest.units import STEP, units


@kernel
def trade(book, rules, tape, bar, account, position, contracts, price, fee_rate, cause, point, order):
    """Change a position by signed `contracts` steps at `price`; every trade of the engine comes through here."""
    i = rules.instrument[position]
    if rules.kind[i] == SPOT:
        trade_spot(book, rules, tape, bar, account, position, contracts, price, fee_rate, cause, point, order)
    else:
        trade_future(book, rules, tape, bar, account, position, contracts, price, fee_rate, cause, point, order)
    list_held(book, rules, account)


@kernel
def trade_future(book, rules, tape, bar, account, position, contracts, price, fee_rate, cause, point, order):
    """Futures: close what is opposite, open the rest, pay the fee from the shared wallet."""
    i, shape = rules.instrument[position], rules.shape[account]
    wallet, asset = rules.position_wallet[shape, position], rules.settlement[i]
    value = value_of_contract(rules, i, price)
    old = book.contracts[position, account]
    closed = I64(0)
    if old != 0 and (old > 0) != (contracts > 0):
        closed = contracts if abs(contracts) <= abs(old) else -old
    cost_before, realised = book.cost[position, account], I64(0)
    if closed != 0:
        realised = close_contracts(book, rules, bar, account, position, wallet, asset, closed, value, cause, order)
    if contracts != closed:
        open_contracts(book, rules, tape, bar, account, position, wallet, asset, contracts - closed, value)
    fee = units(abs(contracts * value) * fee_rate)
    payer = wallet if rules.isolates[shape, wallet] < 0 else rules.parent[shape, wallet]
    post(book, bar, account, payer, asset, FEE, -fee, position, order)
    cost = book.cost[position, account] - cost_before
    write_fill(book, rules, bar, account, position, contracts, cost, realised, fee, asset, price, cause, point, order)


@kernel
def close_contracts(book, rules, bar, account, position, wallet, asset, closed, value, cause, order):
    """Close `closed` (opposite in sign to the position): release cost, realise the difference, free isolated margin.

    While the venue sells nothing is freed before the last contract: what is left would be as unsound as before.
    """
    old, cost = book.contracts[position, account], book.cost[position, account]
    share = -closed / old
    released = cost if closed == -old else units(cost * share)
    realised = units(-closed * value) - released
    post(book, bar, account, wallet, asset, REALISED, realised, position, order)
    book.contracts[position, account] = old + closed
    book.cost[position, account] = cost - released
    whole = closed == -old
    if rules.isolates[rules.shape[account], wallet] >= 0 and (whole or cause != BY_LIQUIDATION):
        release(book, rules, bar, account, wallet, asset, share, realised, whole)
    return realised


@kernel
def release(book, rules, bar, account, wallet, asset, share, realised, whole):
    """What is closed takes its share of the isolated margin along, after its own profit or loss: what stays is as sound
    as before. A wallet below zero is made good by the fund.

    In an unbound account nobody was liquidated, so nobody is bailed out: the shared wallet bears the loss.
    """
    balance = book.balance[wallet, asset, account]
    if whole and balance < 0 and rules.switch[account, UNBOUND] == 0:
        post(book, bar, account, wallet, asset, INSURANCE, -balance, NOTHING, NOTHING)
    elif balance > 0 or whole:
        freed = balance if whole else max(I64(0), min(balance, units((balance - realised) * share) + realised))
        move(book, bar, account, wallet, rules.parent[rules.shape[account], wallet], asset, ALLOCATE, freed)


@kernel
def open_contracts(book, rules, tape, bar, account, position, wallet, asset, opened, value):
    """Open `opened` more: their cost is what they are worth at the price; isolated ones bring their margin along, and
    the fee to close them where that is a part of it (Bybit, "Initial Margin (USDT Contract)").
    """
    i = rules.instrument[position]
    book.contracts[position, account] += opened
    book.cost[position, account] += units(opened * value)
    if rules.isolates[rules.shape[account], wallet] >= 0:
        marked = opened * value_of_contract(rules, i, mark_here(book, rules, i))
        open_loss = max(0.0, opened * value - marked)
        asked = abs(opened * value) / rules.leverage[account, i] + open_loss
        at = tape.rules_at[rules.shape[account], bar]
        if rules.term[at, FEE_TO_CLOSE] != 0:
            asked += abs(opened * value) * fee_to_close(book, rules, position, at, account)
        move(book, bar, account, rules.parent[rules.shape[account], wallet], wallet, asset, ALLOCATE, units(asked))


@kernel
def trade_spot(book, rules, tape, bar, account, position, contracts, price, fee_rate, cause, point, order):
    """Spot: coins against quote. A buyer's fee comes out of the coins, a seller's out of the quote."""
    i, shape = rules.instrument[position], rules.shape[account]
    wallet, base, quote = rules.spot_wallet[shape], rules.base[i], rules.settlement[i]
    paid = units(contracts * price)
    if contracts > 0:
        fetch_quote(book, rules, tape, bar, account, quote, paid)
        borrow_if_short(book, rules, tape, bar, account, wallet, quote, paid)
        post(book, bar, account, wallet, quote, BUY, -paid, i, order)
        post(book, bar, account, wallet, base, BUY, contracts, i, order)
        fee, fee_asset = units(contracts * fee_rate), base
    else:
        borrow_if_short(book, rules, tape, bar, account, wallet, base, -contracts)
        post(book, bar, account, wallet, base, SELL, contracts, i, order)
        post(book, bar, account, wallet, quote, SELL, -paid, i, order)
        fee, fee_asset = units(-contracts * price * fee_rate), quote
    post(book, bar, account, wallet, fee_asset, FEE, -fee, i, order)
    repay_if_owed(book, rules, bar, account, wallet, base if contracts > 0 else quote)
    write_fill(book, rules, bar, account, position, contracts, paid, I64(0), fee, fee_asset, price, cause, point, order)


@kernel
def free_steps(book, rules, tape, bar, account, wallet, asset):
    """Steps of an asset that may leave a wallet: its balance, less what positions and orders need.

    An isolated wallet keeps its maintenance in cash and its initial margin in all: Binance FAQ 360038447311. Where
    brackets add up over assets, an asset leaves at the price at which requirements in it count: Binance FAQ
    f80415bea812 (available = uniAvailable / askRate).
    """
    balance, shape = book.balance[wallet, asset, account], rules.shape[account]
    usd = spare_usd(book, rules, tape, bar, account, wallet)
    dearer = 1.0
    if rules.settle[shape, wallet] < 0 and rules.model[shape, wallet] == TIERS:
        dearer += rules.coin[tape.rules_at[shape, bar], asset, NEED_BUFFER]
    spare = usd / (index_here(book, rules, asset) * dearer)
    free = min(balance, I64(spare / STEP)) - reserved_here(book, rules, account, wallet, asset)
    if rules.isolates[shape, wallet] >= 0:
        free = min(free, balance - I64(book.need[MAINTENANCE, 0] / index_here(book, rules, asset) / STEP))
    return max(I64(0), free)


@kernel
def spare_usd(book, rules, tape, bar, account, wallet):
    """USD of collateral that a wallet can do without at the moment. Leaves need[] as asked of the wallet.

    What is above initial margin; where the mode asks for none, what is above a multiple of maintenance: Binance FAQ
    5e33af8e6ac0; and where the venue says so, no more than leaves a share of the notional: Hyperliquid, "Collateral".
    """
    usd = -lacking(book, rules, tape, account, wallet, bar)
    at = tape.rules_at[rules.shape[account], bar]
    if rules.due[at, KEEPS] > 0.0:
        usd = book.need[COLLATERAL, 0] - rules.due[at, KEEPS] * book.need[MAINTENANCE, 0]
    if rules.due[at, KEEPS_NOTIONAL] > 0.0:
        kept = rules.due[at, KEEPS_NOTIONAL] * gross_here(book, rules, account, wallet)
        usd = min(usd, book.need[COLLATERAL, 0] - kept)
    return usd


@kernel
def addable_steps(book, rules, tape, bar, account, wallet, asset):
    """Steps of a wallet's asset that an isolated position may be given: what is free, and in cash no more than is above
    the maintenance of what leans on the wallet and the margin of isolated orders. Source: Binance FAQ 360038447311.
    """
    free = free_steps(book, rules, tape, bar, account, wallet, asset)  # leaves need[] as asked of the wallet
    at = tape.rules_at[rules.shape[account], bar]
    kept = book.need[MAINTENANCE, 0] + isolated_orders(book, rules, wallet, account, at)
    cash = book.balance[wallet, asset, account] - I64(kept / index_here(book, rules, asset) / STEP)
    return max(I64(0), min(free, cash))


@kernel
def gross_here(book, rules, account, wallet):
    """USD of the notional of a wallet's positions, at the moment."""
    total = 0.0
    for k in range(book.held[account, wallet, POSITIONS, 0]):
        position = book.held[account, wallet, POSITIONS, 1 + k]
        total += notional_usd(book, rules, account, position)
    return total


@kernel
def lacking(book, rules, tape, account, wallet, bar):
    """USD by which a wallet falls short at the moment, see `lacks`. Leaves need[] as asked of the wallet."""
    require_now(book, rules, tape, wallet, account, bar)
    return lacks(book, rules, account, wallet, tape.rules_at[rules.shape[account], bar])


@kernel
def lacks(book, rules, account, wallet, at):
    """USD by which a wallet, of which need[] has been asked, falls short of initial margin, open-order loss and its
    isolated positions' orders; below zero: what is free.
    """
    asked = book.need[INITIAL, 0] + book.need[OPEN_LOSS, 0] + isolated_orders(book, rules, wallet, account, at)
    return asked - book.need[COLLATERAL, 0]


@kernel
def reserved_here(book, rules, account, wallet, asset):
    """Steps of a wallet's asset that resting spot orders will deliver."""
    if wallet != rules.spot_wallet[rules.shape[account]]:
        return I64(0)
    paid, sold = reserved_spot(book, rules, account, asset)
    return units((paid + sold) / STEP)


@kernel
def fetch_quote(book, rules, tape, bar, account, quote, needed):
    """A spot purchase draws on the spot wallet, then on free balance of the futures wallet, by an instant transfer."""
    shape = rules.shape[account]
    spot, cash = rules.spot_wallet[shape], rules.cash_wallet[shape, quote]
    short = needed - book.balance[spot, quote, account]
    if short > 0 and cash >= 0 and cash != spot and rules.switch[account, AUTO_TRANSFER] != 0:
        free = short
        if rules.switch[account, UNBOUND] == 0:
            free = min(short, free_steps(book, rules, tape, bar, account, cash, quote))
        if free > 0:
            transfer_now(book, bar, account, cash, spot, quote, free)
            list_held(book, rules, account)


@kernel
def borrow_if_short(book, rules, tape, bar, account, wallet, asset, needed):
    """Where the account may borrow, the missing part of what is delivered is a loan."""
    loans = rules.loan_wallet[rules.shape[account]]
    short = needed - max(I64(0), book.balance[wallet, asset, account])
    if short > 0 and loans >= 0 and rules.switch[account, BORROWS] != 0 and tape.borrow_row[account, asset] >= 0:
        move(book, bar, account, loans, wallet, asset, BORROW, short)
        book.principal[asset, account] += short
        charge_first_hour(book, rules, tape, bar, account, loans, asset, short)


@kernel
def repay_if_owed(book, rules, bar, account, wallet, asset):
    """What comes in repays a loan of the same asset first."""
    loans = rules.loan_wallet[rules.shape[account]]
    if loans >= 0 and book.balance[loans, asset, account] < 0 and book.balance[wallet, asset, account] > 0:
        repay(book, bar, account, wallet, loans, asset, book.balance[wallet, asset, account])


@kernel
def repay(book, bar, account, wallet, loans, asset, most):
    """Up to so many steps from a wallet to a loan, interest first, then principal."""
    amount = min(-book.balance[loans, asset, account], most)
    move(book, bar, account, wallet, loans, asset, REPAY, amount)
    book.principal[asset, account] = min(book.principal[asset, account], -book.balance[loans, asset, account])


@kernel
def write_fill(
    book, rules, bar, account, position, contracts, cost, realised, fee, fee_asset, price, cause, point, order
):
    """Append the fill's row, with the mark it was done at."""
    row = book.count[FILL_ROWS]
    assert row < book.fill.shape[0]
    book.fill[row, F_BAR] = bar
    book.fill[row, F_ACCOUNT] = account
    book.fill[row, F_POSITION] = position
    book.fill[row, F_CONTRACTS] = contracts
    book.fill[row, F_COST] = cost
    book.fill[row, F_REALISED] = realised
    book.fill[row, F_FEE] = fee
    book.fill[row, F_FEE_ASSET] = fee_asset
    book.fill[row, F_ORDER] = order
    book.fill[row, F_CAUSE] = cause
    book.fill[row, F_POINT] = point
    book.fill_price[row, HERE] = price
    book.fill_price[row, 1] = mark_here(book, rules, rules.instrument[position])
    book.count[FILL_ROWS] = row + 1
