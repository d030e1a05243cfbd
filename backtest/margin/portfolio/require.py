"""Portfolio margin of an exchange: every coin a unit, every unit by the venue's own page, the units added up.

SPAN alone looks across units: opposite deltas of two coins earn a credit before the sum is drawn.

Collateral is what the assets count for under the venue's ratios. Coins that are free hedge futures and options of the
same coin inside the unit, as far as its page lets them. What each unit was last charged, and its scenario table, stay
in `book.charge` and `book.cell` for whoever wants to look.
"""

from __future__ import annotations

from backtest.kernel import kernel
from backtest.margin.collateral import add_collateral_of, many_held, nth_held, take_asset
from backtest.margin.leaves import add_fixed, add_priced
from backtest.margin.row_leaves import clear
from backtest.margin.portfolio.bybit import charge_bybit
from backtest.margin.portfolio.deribit import charge_deribit
from backtest.margin.portfolio.legs import list_legs
from backtest.margin.portfolio.okx import charge_okx
from backtest.margin.portfolio.paradex import charge_paradex
from backtest.margin.portfolio.span import INITIAL_FACTOR, charge_span, credit_commodities, require_beside_value
from backtest.margin.portfolio.tims import charge_tims
from backtest.margin.portfolio.unit import IS_SPOT, LEG_KIND, UNIT_INITIAL, UNIT_MAINTENANCE
from backtest.span import first_account, first_bar, price
from backtest.state import (
    ASSETS, BYBIT, DERIBIT, FIXED, INITIAL, MAINTENANCE, NET, NET_INITIAL, NET_MAINTENANCE, OKX, PAGE,
    PARADEX, SPAN, TIMS,
)  # fmt: skip


@kernel
def require_portfolio(book, rules, tape, prices, wallet, span, point, n):
    """Fill COLLATERAL, INITIAL and MAINTENANCE of one wallet, in USD, over the span."""
    shape = rules.shape[first_account(span)]
    at = tape.rules_at[shape, first_bar(span)]
    for k in range(many_held(book, wallet, ASSETS, span)):
        asset = nth_held(book, wallet, ASSETS, span, k)
        count_asset(book, rules, tape, prices, wallet, asset, at, span, point, n)
        for j in range(n):
            book.coins[asset, j] = book.need[NET, j] * rules.counts[shape, asset]
    for j in range(n):
        charge_units(book, rules, tape, prices, wallet, at, span, point, j)
        for k in range(many_held(book, wallet, ASSETS, span)):
            unit = nth_held(book, wallet, ASSETS, span, k)
            book.need[INITIAL, j] += book.charge[unit, UNIT_INITIAL]
            book.need[MAINTENANCE, j] += book.charge[unit, UNIT_MAINTENANCE]
    if rules.due[at, FIXED] > 0.0:
        add_fixed(book.need[MAINTENANCE, :n], book.need[MAINTENANCE, :n], rules.due[at, FIXED])


@kernel
def count_asset(book, rules, tape, prices, wallet, asset, at, span, point, n):
    """COLLATERAL += the asset at its ratio, loans deducted and margined."""
    for row in (NET_INITIAL, NET_MAINTENANCE):
        clear(book.need[row, :n])
    take_asset(book, rules, tape, prices, wallet, asset, at, span, point, n)
    add_collateral_of(book, rules, tape, prices, asset, at, span, point, n)
    owe = prices[tape.index_row[point, asset, 1]]
    add_priced(book.need[INITIAL, :n], book.need[NET_INITIAL, :n], owe, span, 1.0)
    add_priced(book.need[MAINTENANCE, :n], book.need[NET_MAINTENANCE, :n], owe, span, 1.0)


@kernel
def has_risk(book, many):
    """Whether there is more in the unit than coins that lie free."""
    return many > 1 or (many == 1 and book.leg[LEG_KIND, 0] != IS_SPOT)


@kernel
def charge_units(book, rules, tape, prices, wallet, at, span, point, j):
    """What every unit of the wallet is charged, into book.charge; units without risk nothing."""
    for unit in range(len(book.charge)):
        clear(book.charge[unit])
    for k in range(many_held(book, wallet, ASSETS, span)):
        unit = nth_held(book, wallet, ASSETS, span, k)
        many = list_legs(book, rules, tape, prices, wallet, unit, book.coins[unit, j], span, point, j)
        if has_risk(book, many):
            usd = price(prices[tape.index_row[point, unit, 0]], span, j)
            charge_unit(book, rules, unit, at, many, usd)
    if rules.term[at, PAGE] == SPAN:
        credit_units(book, rules, at)


@kernel
def credit_units(book, rules, at):
    """The credits of the spreads in force, and what the units are charged after them."""
    credit_commodities(book.charge, rules.spread[at])
    for unit in range(len(book.charge)):
        require_beside_value(book.charge[unit], rules.number[at, unit, INITIAL_FACTOR])


@kernel
def charge_unit(book, rules, unit, at, many, usd):
    """Ask the page in force."""
    page = rules.term[at, PAGE]
    charge, cell, leg = book.charge[unit], book.cell[unit], book.leg
    number, grid, band = rules.number[at, unit], rules.grid[at, unit], rules.band[at, unit]
    if page == BYBIT:
        charge_bybit(charge, cell, leg, many, number, grid, band)
    elif page == OKX:
        charge_okx(charge, cell, leg, many, number, grid, band)
    elif page == DERIBIT:
        charge_deribit(charge, cell, leg, many, number, grid, band)
        charge[UNIT_INITIAL] *= usd
        charge[UNIT_MAINTENANCE] *= usd
    elif page == PARADEX:
        charge_paradex(charge, cell, leg, many, number, grid, band)
    elif page == SPAN:
        charge_span(charge, cell, leg, many, number, grid, band)
    elif page == TIMS:
        charge_tims(charge, cell, leg, many, number, grid, band)
