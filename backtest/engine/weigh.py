"""One account on the scales: what it is worth and what is asked of it at each of some moments, nothing changed.

The margin calculator's only door into the accountant. Every bar of the tape is one set of prices that the account is
shown; its contracts, balances and waiting orders stay as they are.
"""

from __future__ import annotations

from backtest.kernel import entry, kernel
from backtest.margin.leaves import clear
from backtest.margin.orders import isolated_orders, rest_orders
from backtest.margin.moment import set_moment
from backtest.margin.scenarios import add_unit_collateral
from backtest.margin.wallets import list_held, moment_of, require_now, value_account
from backtest.state import (
    ASSETS, CLOSE, COLLATERAL, EQUITY, EXPOSURE, HERE, INITIAL, MAINTENANCE, MOMENT, ONE, OPEN_LOSS, SCENARIOS, TAIL,
)  # fmt: skip


@entry
def weigh(equity, need, exposure, book, rules, tape):
    """Account 0 at the close of every bar, USD: `equity` [bar]; `need` [bar, wallet, 5] collateral, initial and
    maintenance margin, loss of resting orders, and what orders of isolated positions would take out of the wallet;
    `exposure` [bar, wallet, asset] what the scenario model moves.
    """
    rest_orders(book, rules, HERE)
    list_held(book, rules, HERE)
    for bar in range(len(tape.time)):
        set_moment(book, rules, tape, HERE, bar, CLOSE, CLOSE, 1.0)
        clear(book.need[EQUITY, :1])
        value_account(book.need[EQUITY, :1], book, rules, tape, book.here, moment_of(HERE, bar), MOMENT, ONE)
        equity[bar] = book.need[EQUITY, 0]
        for wallet in range(book.balance.shape[0]):
            require_now(book, rules, tape, wallet, HERE, bar)
            need[bar, wallet, 0] = book.need[COLLATERAL, 0]
            need[bar, wallet, 1] = book.need[INITIAL, 0]
            need[bar, wallet, 2] = book.need[MAINTENANCE, 0]
            need[bar, wallet, 3] = book.need[OPEN_LOSS, 0]
            need[bar, wallet, 4] = isolated_orders(book, rules, wallet, HERE)
            expose(exposure, book, rules, tape, wallet, bar)


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
