"""What one position asks for by itself: initial margin by its leverage, maintenance by its bracket.

    initial = notional / leverage (with resting orders: of the larger side they could reach)
    maintenance = rate x notional - deduction, of the bracket that holds the notional, like an income tax

and the ways in which venues differ: a rate that holds for the whole size, brackets by contracts (OKX); the price paid
instead of the mark, the fee of closing inside both margins, the fees of resting orders (Bybit); the taker fee on top of
maintenance (OKX); a rate that rises with the size itself (Deribit); a hedged pair that bears fees only (Bybit). Which
of them hold at which date stands in the venue's table. Source: Binance FAQ 360033525271; rules of the others by their
tables.
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.margin.collateral import side_of
from backtest.margin.leaves import (
    add_initial, add_initial_and_fees, add_initial_at_entry, add_resting_share, add_share_of_cost,
    add_share_of_notional, add_sloped_inverse, add_sloped_linear, add_tiered, add_tiered_otherwise, bracketed,
)  # fmt: skip
from backtest.margin.options import add_short_option
from backtest.span import first_account, price
from backtest.state import (
    FEE_IN_MAINTENANCE, FEE_TO_CLOSE, HEDGE_OFFSETS, HERE, INITIAL_AT_ENTRY, INVERSE, MAINTENANCE_AT_ENTRY, NET_INITIAL,
    NET_MAINTENANCE, ONE, SLOPE_INITIAL, SLOPE_MAINTENANCE, SLOPE_PER_COIN, STRIKE, TAKER, TIER_BY_CONTRACTS,
    TIER_FLAT, TWO_SIDED,
)  # fmt: skip
from backtest.units import STEP


@kernel
def add_position(book, rules, tape, prices, position, at, span, point, n):
    """NET_INITIAL and NET_MAINTENANCE += what the position asks, in its settlement asset."""
    i = rules.instrument[position]
    value = prices[tape.value_row[point, i, side_of(book, position, span)]]
    if rules.option[i, STRIKE] > 0.0:
        add_short_option(book, rules, tape, prices, position, at, value, span, point, n)
    elif is_hedged(book, rules, position, at, span):
        add_hedged(book, rules, position, at, value, span, n)
    else:
        add_outright(book, rules, tape, prices, position, at, value, span, point, n)


@kernel
def add_outright(book, rules, tape, prices, position, at, value, span, point, n):
    """A position that stands alone."""
    i, account = rules.instrument[position], first_account(span)
    initial, maintenance = book.need[NET_INITIAL, :n], book.need[NET_MAINTENANCE, :n]
    contracts, cost = book.contracts[position], book.cost[position]
    buys, sells = book.resting[HERE, position, account], book.resting[ONE, position, account]
    share = 1.0 / rules.leverage[account, i]
    if rules.slope[at, i, SLOPE_INITIAL] > 0.0:
        add_slope(
            initial, book, rules, tape, prices, position, at, value, span, point, rules.slope[at, i, SLOPE_INITIAL]
        )
        add_slope(
            maintenance,
            book,
            rules,
            tape,
            prices,
            position,
            at,
            value,
            span,
            point,
            rules.slope[at, i, SLOPE_MAINTENANCE],
        )
        add_resting_share(initial, contracts, value, span, buys, sells, rules.slope[at, i, SLOPE_INITIAL])
    else:
        if rules.term[at, FEE_TO_CLOSE] != 0 and buys + sells > 0.0:
            buy_fee, sell_fee = fees_of_order(rules, i, at, HERE, share), fees_of_order(rules, i, at, ONE, share)
            paid = rules.term[at, INITIAL_AT_ENTRY] != 0
            add_initial_and_fees(initial, contracts, cost, value, span, buys, sells, share, buy_fee, sell_fee, paid)
        elif rules.term[at, INITIAL_AT_ENTRY] != 0:
            add_initial_at_entry(initial, contracts, cost, span, buys, sells, share)
        else:
            add_initial(initial, contracts, value, span, buys, sells, share)
        add_maintenance(maintenance, book, rules, position, at, value, span)
    if rules.term[at, FEE_TO_CLOSE] != 0:
        fee = fee_to_close(book, rules, position, at, account)
        add_share_of_cost(initial, cost, span, fee)
        add_share_of_cost(maintenance, cost, span, fee)
    if rules.term[at, FEE_IN_MAINTENANCE] != 0:
        add_share_of_notional(maintenance, contracts, value, span, rules.fee[at, i, TAKER])


@kernel
def add_slope(out, book, rules, tape, prices, position, at, value, span, point, base):
    """out += a requirement that rises with size: of inverse contracts in the coin, of linear ones at the index."""
    i, per_coin = rules.instrument[position], rules.slope[at, rules.instrument[position], SLOPE_PER_COIN]
    contracts = book.contracts[position]
    if rules.kind[i] == INVERSE:
        add_sloped_inverse(out, contracts, value, span, base, per_coin)
    else:
        coin = prices[tape.index_row[point, rules.base[i], 0]]
        cash = prices[tape.index_row[point, rules.settlement[i], 0]]
        add_sloped_linear(out, contracts, rules.size[i], coin, cash, span, base, per_coin)


@kernel
def add_maintenance(out, book, rules, position, at, value, span):
    """out += maintenance by the bracket, however the venue reads its table."""
    i = rules.instrument[position]
    by_contracts, flat = rules.term[at, TIER_BY_CONTRACTS] != 0, rules.term[at, TIER_FLAT] != 0
    at_entry = rules.term[at, MAINTENANCE_AT_ENTRY] != 0
    contracts, cost = book.contracts[position], book.cost[position]
    if by_contracts or flat or at_entry:
        others = family_contracts(book, rules, position, first_account(span)) if by_contracts else 0.0
        add_tiered_otherwise(out, contracts, cost, value, span, rules.tier[at, i], others, by_contracts, flat, at_entry)
    else:
        add_tiered(out, contracts, value, span, rules.tier[at, i])


@kernel
def family_contracts(book, rules, position, account):
    """Contracts of the other expiries of a dated future's family: they find the bracket together."""
    i, total = rules.instrument[position], 0.0
    if rules.expiry[i] > 0.0:
        for other in range(book.contracts.shape[0]):
            k = rules.instrument[other]
            family = rules.base[k] == rules.base[i] and rules.settlement[k] == rules.settlement[i]
            if other != position and family and rules.expiry[k] > 0.0 and rules.option[k, STRIKE] == 0.0:
                total += abs(book.contracts[other, account] * STEP)
    return total


@kernel
def size_in_brackets(book, rules, position, at, account, notional):
    """What finds a position's bracket: its notional in the settlement asset, or its contracts and its family's."""
    if rules.term[at, TIER_BY_CONTRACTS] == 0:
        return notional
    return abs(book.contracts[position, account] * STEP) + family_contracts(book, rules, position, account)


@kernel
def fee_to_close(book, rules, position, at, account):
    """Taker fee at the bankruptcy price, as a share of the notional paid."""
    i = rules.instrument[position]
    side = HERE if book.contracts[position, account] > 0 else ONE
    return rules.fee[at, i, TAKER] * bankrupt_at(rules, i, side, 1.0 / rules.leverage[account, i])


@kernel
def bankrupt_at(rules, i, side, share):
    """A contract's value at the bankruptcy price, as a share of that at entry: 1 - 1 / leverage of a linear long.
    `side`: HERE of a long, ONE of a short.

    The value of an inverse contract rises as its price falls, so there the signs change places.
    """
    falls = (side == HERE) != (rules.kind[i] == INVERSE)
    return 1.0 - share if falls else 1.0 + share


@kernel
def fees_of_order(rules, i, at, side, share):
    """Taker fees that a resting buy (HERE) or sale (ONE) holds, as a share of its notional: of opening, and of closing
    at the bankruptcy price. Source: Bybit, "Order Cost (USDT Contract)".
    """
    return rules.fee[at, i, TAKER] * (1.0 + bankrupt_at(rules, i, side, share))


@kernel
def is_hedged(book, rules, position, at, span):
    """Whether the venue forgives a hedge, and the account holds both a long and a short of the instrument."""
    account = first_account(span)
    if rules.term[at, HEDGE_OFFSETS] == 0 or rules.switch[account, TWO_SIDED] == 0:
        return False
    return book.contracts[position, account] != 0 and book.contracts[twin_of(rules, position), account] != 0


@kernel
def twin_of(rules, position):
    """The other side of a position in hedge mode."""
    many = len(rules.kind)
    return position + many if position < many else position - many


@kernel
def add_hedged(book, rules, position, at, value, span, n):
    """One leg of a hedged pair, of sizes Q > q: the larger bears initial margin on Q, maintenance on Q - q, and its
    closing fee on Q + q; the smaller bears twice its own closing fee.
    """
    i, account, twin = rules.instrument[position], first_account(span), twin_of(rules, position)
    own, other = book.contracts[position, account] * STEP, book.contracts[twin, account] * STEP
    fee = fee_to_close(book, rules, position, at, account)
    entry = abs(book.cost[position, account] / book.contracts[position, account])  # settlement asset a contract
    larger = abs(own) > abs(other) or (abs(own) == abs(other) and own > 0.0)
    fees = fee * entry * (abs(own) + abs(other) if larger else 2.0 * abs(own))
    share = 1.0 / rules.leverage[account, i]
    side = HERE if own > 0.0 else ONE  # in hedge mode orders of the other side only close
    resting = book.resting[side, position, account] * (share + fees_of_order(rules, i, at, side, share))
    for j in range(n):
        worth = abs(price(value, span, j))
        book.need[NET_INITIAL, j] += fees + resting
        book.need[NET_MAINTENANCE, j] += fees
        if larger:
            book.need[NET_INITIAL, j] += share * abs(own) * worth
            book.need[NET_MAINTENANCE, j] += bracketed((abs(own) - abs(other)) * worth, rules.tier[at, i])
