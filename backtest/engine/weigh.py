"""One account on the scales: what it is worth and what is asked of it at each of some moments, nothing changed.

The margin calculator's only door into the accountant. Every bar of the tape is one set of prices that the account is
shown; its contracts, balances and waiting orders stay as they are.
"""

from __future__ import annotations

from backtest.kernel import entry, kernel
from backtest.margin.row_leaves import clear
from backtest.margin.orders import isolated_orders, rest_orders
from backtest.margin.moment import set_moment
from backtest.margin.portfolio.black76 import option_delta, option_gamma, option_theta, option_value, option_vega
from backtest.margin.positions import add_position
from backtest.margin.scenarios import add_unit_collateral
from backtest.margin.wallets import list_held, moment_of, require_now, value_account
from backtest.state import (
    ASSETS, CLOSE, COLLATERAL, EQUITY, EXPOSURE, HERE, INITIAL, MAINTENANCE, MOMENT, NET_INITIAL, NET_MAINTENANCE, ONE,
    OPEN_LOSS, POSITIONS, SCENARIOS, TAIL, TIERS, W_COLLATERAL, W_INITIAL, W_MAINTENANCE, W_OPEN_LOSS, W_ORDERS,
)  # fmt: skip


@entry
def weigh(equity, need, exposure, asked, book, rules, tape):
    """Account 0 at the close of every bar, USD: `equity` [bar]; `need` [bar, wallet, 5] collateral, initial and
    maintenance margin, loss of resting orders, and what orders of isolated positions would take out of the wallet;
    `exposure` [bar, wallet, asset] what the scenario model moves; `asked` [position, 2] what each position asks by
    tiers at the last bar, beside the others, in its settlement asset.
    """
    rest_orders(book, rules, HERE)
    list_held(book, rules, HERE)
    for bar in range(len(tape.time)):
        set_moment(book, rules, tape, HERE, bar, CLOSE, CLOSE, 1.0)
        clear(book.need[EQUITY, :1])
        value_account(book.need[EQUITY, :1], book, rules, tape, book.here, moment_of(HERE, bar), MOMENT, ONE)
        equity[bar], at = book.need[EQUITY, 0], tape.rules_at[rules.shape[HERE], bar]
        for wallet in range(book.balance.shape[0]):
            require_now(book, rules, tape, wallet, HERE, bar)
            need[bar, wallet, W_COLLATERAL] = book.need[COLLATERAL, 0]
            need[bar, wallet, W_INITIAL] = book.need[INITIAL, 0]
            need[bar, wallet, W_MAINTENANCE] = book.need[MAINTENANCE, 0]
            need[bar, wallet, W_OPEN_LOSS] = book.need[OPEN_LOSS, 0]
            need[bar, wallet, W_ORDERS] = isolated_orders(book, rules, wallet, HERE, at)
            expose(exposure, book, rules, tape, wallet, bar)
            ask_positions(asked, book, rules, tape, wallet, bar)


@kernel
def ask_positions(asked, book, rules, tape, wallet, bar):
    """Initial and maintenance margin of every position of a wallet that is margined by tiers."""
    if rules.model[rules.shape[HERE], wallet] == TIERS:
        span, at = moment_of(HERE, bar), tape.rules_at[rules.shape[HERE], bar]
        for k in range(book.held[HERE, wallet, POSITIONS, 0]):
            position = book.held[HERE, wallet, POSITIONS, 1 + k]
            clear(book.need[NET_INITIAL, :1])
            clear(book.need[NET_MAINTENANCE, :1])
            add_position(book, rules, tape, book.here, position, at, span, MOMENT, ONE)
            asked[position, 0], asked[position, 1] = book.need[NET_INITIAL, 0], book.need[NET_MAINTENANCE, 0]


@entry
def price_option(out, forward, strike, years, volatility, call, coined):
    """`out` [5]: premium (in the coin where `coined` is 1), delta, gamma, vega (of 1.00), theta (of a day)."""
    out[0] = option_value(forward, strike, years, volatility, call, coined)
    out[1] = option_delta(forward, strike, years, volatility, call)
    out[2] = option_gamma(forward, strike, years, volatility)
    out[3] = option_vega(forward, strike, years, volatility)
    out[4] = option_theta(forward, strike, years, volatility)


@kernel
def expose(exposure, book, rules, tape, wallet, bar):
    """USD of each coin that the scenario model moves: derivative delta and the spot in use against it."""
    shape = rules.shape[HERE]
    model = rules.model[shape, wallet]
    if model == SCENARIOS or model == TAIL:
        at = tape.rules_at[shape, bar]
        for k in range(book.held[HERE, wallet, ASSETS, 0]):
            asset = book.held[HERE, wallet, ASSETS, 1 + k]
            span = moment_of(HERE, bar)
            add_unit_collateral(book, rules, tape, book.here, wallet, asset, at, span, MOMENT, ONE)
            exposure[bar, wallet, asset] = book.need[EXPOSURE, 0]
