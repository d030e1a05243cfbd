"""Tier margin: each position by its own bracket, added up, against what the wallet's assets count for.

Cross, isolated, multi-asset and unified accounts; Binance's portfolio margin, whose positions do not net against each
other; Hyperliquid's, whose debts are a requirement. What one position asks stands in `positions`. Source: Binance FAQ
360033525271, c983a9268cfa, 4868b2f1aa6c; the other venues' pages are named in their tables.
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.margin.collateral import add_collateral_of, has_loan, many_held, nth_held, settles, take_asset
from backtest.margin.leaves import add_fixed, add_priced
from backtest.margin.row_leaves import clear
from backtest.margin.positions import add_position
from backtest.span import first_account, first_bar
from backtest.state import (
    ASSETS, COLLATERAL, FIXED, INITIAL, INVERSE, MAINTENANCE, NEED_BUFFER, NET, NET_INITIAL, NET_MAINTENANCE,
    POSITIONS,
)  # fmt: skip


@kernel
def require_tiers(book, rules, tape, prices, wallet, span, point, n):
    """Fill COLLATERAL, INITIAL, MAINTENANCE and OPEN_LOSS of one wallet, in USD, over the span."""
    shape = rules.shape[first_account(span)]
    at = tape.rules_at[shape, first_bar(span)]
    for k in range(many_held(book, wallet, ASSETS, span)):
        asset = nth_held(book, wallet, ASSETS, span, k)
        asks = settles(book, wallet, asset, span) or has_loan(book, rules, wallet, asset, span)
        need_of_asset(book, rules, tape, prices, wallet, asset, at, span, point, n, asks)
        own, owe = prices[tape.index_row[point, asset, 0]], prices[tape.index_row[point, asset, 1]]
        factor = 1.0
        if rules.settle[shape, wallet] >= 0:
            # One asset alone: the same price on both sides of the ratio, so the currency it is told in does not matter.
            add_priced(book.need[COLLATERAL, :n], book.need[NET, :n], own, span, 1.0)
            owe = own
        else:
            add_collateral_of(book, rules, tape, prices, asset, at, span, point, n)
            factor += rules.coin[at, asset, NEED_BUFFER]
        if asks:
            add_priced(book.need[INITIAL, :n], book.need[NET_INITIAL, :n], owe, span, factor)
            add_priced(book.need[MAINTENANCE, :n], book.need[NET_MAINTENANCE, :n], owe, span, factor)
    if rules.due[at, FIXED] > 0.0:
        add_fixed(book.need[MAINTENANCE, :n], book.need[MAINTENANCE, :n], rules.due[at, FIXED])


@kernel
def need_of_asset(book, rules, tape, prices, wallet, asset, at, span, point, n, asks):
    """Net amount, and where something of it `asks` for margin, initial and maintenance margin of what one asset
    settles, in units of it.
    """
    if asks:
        clear(book.need[NET_INITIAL, :n])
        clear(book.need[NET_MAINTENANCE, :n])
    take_asset(book, rules, tape, prices, wallet, asset, at, span, point, n)
    if not settles(book, wallet, asset, span):
        return
    for k in range(many_held(book, wallet, POSITIONS, span)):
        position = nth_held(book, wallet, POSITIONS, span, k)
        if rules.settlement[rules.instrument[position]] == asset:
            add_position(book, rules, tape, prices, position, at, span, point, n)


@kernel
def value_of_contract(rules, i, at_price):
    """What one contract is worth in its settlement asset: size x price (linear), -size / price (inverse).

    Written so, value rises with price for both, and profit is value less cost for both.
    """
    return -rules.size[i] / at_price if rules.kind[i] == INVERSE else rules.size[i] * at_price
