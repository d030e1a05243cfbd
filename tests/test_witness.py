"""Two witnesses who know nothing of the engine: vectorbt on unlevered spot, and formulas that close.

vectorbt takes fees in quote currency on top of what is bought. Here a buyer's fee comes out of the coins: buying q at
price p and fee f costs q x p and leaves q(1 - f). In its words that is a purchase of q(1 - f) at a fee of f / (1 - f):
q(1 - f) x p x (1 + f / (1 - f)) = q x p. Sales are told alike in both. Orders fill at the next open, without slippage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_arithmetic import Desk, asset, future, spot
from test_invariants import account, desk_over, live, pay_in

from backtest.config import Funding, Prices
from backtest.ledger.kinds import FEE, FUNDED
from backtest.market.align import align
from backtest.market.history import History
from backtest.market.store import Store
from backtest.state import FILL_ROWS, O_STATE, ORDER_ROWS, P_EQUITY, REFUSED

STEP = 1e-8
DAY_US = 86_400_000_000
AUGUST = 1_690_848_000_000_000  # 2023-08-01 00:00 UTC; the sample's crash of 45 % is in the middle of the month


def august(store: Path, symbols: Sequence[str], assets: Sequence[str], days: int = 31) -> History:
    """The sample's August of 2023, by the hour; a dollar is a dollar, a coin is worth its last trade."""
    past = align(Store(store), "binance", symbols, assets, AUGUST, AUGUST + days * DAY_US, "1h", Prices(), Funding())
    bases = {instrument.base: k for k, instrument in reversed(list(enumerate(past.instruments)))}
    worth = {
        f"index_{point}": np.array(
            [getattr(past, point)[bases[a]] if a in bases else np.ones(len(past.time)) for a in assets]
        )
        for point in ("open", "low", "high", "close")
    }
    return replace(past, **worth)


def some_orders(history: History, seed: int, cash: float, fee: float) -> np.ndarray:
    """Coins bought and sold at each open [bar, coin], in lots of 0.001; never more than is there."""
    rng = np.random.default_rng(seed)
    orders = np.zeros((len(history.time), 2))
    coins = np.zeros(2)
    for bar in range(1, len(history.time)):
        k, price = int(rng.integers(2)), history.open[:, bar]
        if rng.random() < 0.7:
            wish = rng.uniform(0, 0.5) * (cash / price[k] if rng.random() < 0.5 else -coins[k])
            size = np.trunc(wish * 1000) / 1000
            orders[bar, k] = size
            coins[k] += size * (1 - fee) if size > 0 else size
            cash -= size * price[k] * (1.0 if size > 0 else 1 - fee)
    return orders


@pytest.mark.parametrize("fee", [0.0, 0.001])
@pytest.mark.parametrize("seed", range(3))
def test_unlevered_spot_is_worth_the_same_at_every_close_as_in_vectorbt(
    sample_store: Path, seed: int, fee: float
) -> None:
    import vectorbt as vbt

    history = august(sample_store, ["BTC/USDT", "ETH/USDT"], ["USDT", "BTC", "ETH"])
    orders = some_orders(history, seed, 1e6, fee)
    assert (orders > 0).sum() > 50 and (orders < 0).sum() > 50

    desk = desk_over(history, taker=fee)
    pay_in(desk, "spot", "USDT", 1e6)
    for bar, k in np.argwhere(orders):
        desk.order(desk.symbols[k], float(orders[bar, k]), bar=int(bar) - 1)
    book = desk.live()
    assert book.count[FILL_ROWS] == (orders != 0).sum()

    times, names = pd.to_datetime(history.time, unit="us"), ["BTC", "ETH"]
    theirs = vbt.Portfolio.from_orders(
        pd.DataFrame(history.close.T, times, names),
        size=pd.DataFrame(np.where(orders > 0, orders * (1 - fee), orders), times, names),
        price=pd.DataFrame(history.open.T, times, names),
        fees=pd.DataFrame(np.where(orders > 0, fee / (1 - fee), fee), times, names),
        init_cash=1e6,
        cash_sharing=True,
        group_by=True,
        freq="1h",
    )
    assert len(theirs.orders.records) == (orders != 0).sum()
    assert book.path[P_EQUITY, 0] == pytest.approx(theirs.value().to_numpy(), rel=1e-9)
    assert not np.allclose(book.path[P_EQUITY, 0, -1], 1e6, rtol=1e-3)


def test_a_position_held_through_august_collects_the_sum_of_rate_times_mark_times_contracts(sample_store: Path) -> None:
    """Three linear contracts short; and 200 inverse ones of 100 USD long, paid in coin: rate x 100 / mark each."""
    symbols = ["BTC/USDT:USDT", "BTC/USD:BTC"]
    history = august(sample_store, symbols, ["USDT", "BTC"])
    desk = desk_over(history)
    pay_in(desk, "usdm", "USDT", 1e6)
    pay_in(desk, "coinm", "BTC", 10.0)
    desk.order(symbols[0], -3.0)
    desk.order(symbols[1], 200.0)
    book = desk.live()
    paid = history.funding_time > AUGUST  # opened at 01:00, after the stamp of midnight
    rates, marks, mine = history.funding_rate, history.funding_price, history.funding_instrument
    linear, inverse = paid & (mine == 0), paid & (mine == 1)
    assert linear.sum() == inverse.sum() == 3 * 31 - 1
    dollars, coins = (rates * marks)[linear].sum() * 3, -(rates * 100 / marks)[inverse].sum() * 200
    assert abs(int(book.total[FUNDED, 0, 0]) * STEP - dollars) <= linear.sum() * STEP
    assert abs(int(book.total[FUNDED, 1, 0]) * STEP - coins) <= inverse.sum() * STEP
    assert dollars != 0 and coins != 0


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.floats(5000, 100_000), st.floats(0.8, 1.25), st.integers(1, 5000), st.sampled_from([1, -1]))
def test_an_inverse_contract_earns_its_dollars_times_one_over_entry_less_one_over_exit(
    entry: float, move: float, contracts: int, side: int
) -> None:
    """Paid in coin, known before it is closed, and the same after."""
    way_out = entry * move
    prices = [entry, entry, way_out, way_out]
    inverse = future("BTC", prices, size=100, lot="1", kind="inverse", settle="BTC")
    stake = 100 * contracts * 100 / entry
    desk = Desk({"BTC/USD:BTC": inverse}, {"BTC": asset(prices)}, {"coinm": {"BTC": stake}})
    desk.order("BTC/USD:BTC", float(side * contracts))
    desk.order("BTC/USD:BTC", float(-side * contracts), bar=2)
    book = desk.live()
    profit = side * contracts * 100 * (1 / entry - 1 / way_out)
    assert desk.balance("coinm", "BTC") - round(stake, 8) == pytest.approx(profit, abs=3 * STEP)
    for bar in (2, 3):
        assert book.path[P_EQUITY, 0, bar] == pytest.approx((stake + profit) * way_out, abs=4 * STEP * way_out)


DATED = "BTC/USDT:USDT-241227"


def basis_trade(bought_at: float, sold_at: float, delivered_at: float, fee: float) -> tuple[float, Any]:
    """10 coins bought and as many as are left of them sold forward; both ended at the delivery price. USDT earned."""
    bars, left = 6, 10 * (1 - fee)
    coin = [bought_at, bought_at, 0.5 * (bought_at + delivered_at), delivered_at, delivered_at, delivered_at]
    forward = [sold_at, sold_at, 0.5 * (sold_at + delivered_at), delivered_at, delivered_at, delivered_at]
    terms = {"taker": fee, "delivery_fee": fee}
    story = {
        "bars": bars,
        "instruments": {"BTC/USDT": spot("BTC", coin) | terms, DATED: future("BTC", forward, expiry_bar=3, **terms)},
        "assets": {"USDT": asset([1.0] * bars), "BTC": asset(coin)},
        "accounts": [
            account("main", 0.0)
            | {"leverage": {DATED: 2}, "deposit": {"spot": {"USDT": 20_000}, "usdm:USDT": {"USDT": 20_000}}}
        ],
        "events": [{"bar": 3, "kind": "delivery", "symbol": DATED, "price": delivered_at}],
        "orders": [
            {"bar": 0, "account": "main", "symbol": "BTC/USDT", "contracts": 10},
            {"bar": 0, "account": "main", "symbol": DATED, "contracts": -left},
            {"bar": 2, "account": "main", "symbol": "BTC/USDT", "contracts": -left},
        ],
        "transfers": [],
    }
    _, book, _ = live(story)
    assert not (book.order[: book.count[ORDER_ROWS], O_STATE] == REFUSED).any()
    assert book.contracts[1, 0] == 0 and book.balance[:, 1, 0].sum() == 0
    return int(book.balance[:, 0, 0].sum()) * STEP - 40_000, book


DELIVERIES = [600.0, 999.5, 1000.0, 1050.25, 1400.0]


@pytest.mark.parametrize("delivered_at", DELIVERIES)
def test_a_basis_trade_without_fees_earns_the_basis_wherever_the_price_ends(delivered_at: float) -> None:
    """Bought at 1,000, sold forward at 1,031.5: 31.5 each on 10 coins, whatever the coin is worth at delivery."""
    assert basis_trade(1000.0, 1031.5, delivered_at, 0.0)[0] == pytest.approx(315.0, abs=1e-9)


@pytest.mark.parametrize("delivered_at", DELIVERIES)
def test_a_basis_trade_earns_the_basis_less_its_four_fees(delivered_at: float) -> None:
    """At 0.1 % each: 0.01 coins of the 10 bought; on 9.99 sold forward; on their delivery; on the 9.99 coins sold."""
    profit, book = basis_trade(1000.0, 1031.5, delivered_at, 0.001)
    in_coin, forward, delivery, sale = (
        0.01 * 1000,
        9.99 * 1.0315,
        9.99 * delivered_at / 1000,
        9.99 * delivered_at / 1000,
    )
    assert profit == pytest.approx(9.99 * 31.5 - in_coin - forward - delivery - sale, abs=1e-7)
    assert book.total[FEE, 1, 0] == -0.01 * 1e8
