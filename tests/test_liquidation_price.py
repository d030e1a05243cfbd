"""Liquidation prices as exchanges print them, and the accountant held against them: liquidated there, not before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_arithmetic import Desk, asset, future

from backtest.margin.liquidation_price import liquidation_price
from backtest.state import INCIDENT_ROWS
from backtest.venues.schema import Tier

pytestmark = pytest.mark.jit_off


def one(rate: float, deduction: float = 0.0) -> list[Tier]:
    """The bracket a published example names; it holds any notional."""
    return [Tier(0.0, rate, deduction, 5)]


def test_g1_a_long_of_3684_eth_beside_others_is_liquidated_at_1153_26() -> None:
    """Wallet 1,535,443.01; the others need 71,200.81144 and have lost 56,354.57; 10 %, deduction 135,365."""
    found = liquidation_price(
        3683.979, 1456.84, 1_535_443.01, one(0.1, 135_365), others_profit=-56_354.57, others_maintenance=71_200.81144
    )
    assert found == pytest.approx(1153.25646, abs=5e-6)
    assert round(found, 2) == 1153.26


def test_g4_the_same_long_isolated_on_that_wallet_is_liquidated_at_1114_78() -> None:
    found = liquidation_price(3683.979, 1456.84, 1_535_443.01, one(0.1, 135_365))
    assert found == pytest.approx(1114.78496, abs=5e-6)
    assert round(found, 2) == 1114.78


def test_g5_a_small_short_of_2020_is_liquidated_at_11383_99() -> None:
    found = liquidation_price(-0.005, 9451.53, 10.72, one(0.004), others_profit=0.47, others_maintenance=1.3)
    assert found is not None
    assert round(found, 2) == 11_383.99


def test_the_bracket_is_that_of_the_notional_at_the_liquidation_price_not_at_entry() -> None:
    """Short 10 from 90 on 350, 1 % up to 1,000 and 5 % above: at p it has 350 - 10 (p - 90), and needs 0.5 p - 40.

    1,290 - 10.5 p = 0 at p = 122.857; in the first bracket it would have been 1,250 / 10.1 = 123.76.
    """
    brackets = [Tier(0.0, 0.01, 0.0, 50), Tier(1000.0, 0.05, 40.0, 10)]
    assert liquidation_price(-10.0, 90.0, 350.0, brackets) == pytest.approx(1290 / 10.5)


def test_a_long_with_more_money_than_it_cost_cannot_be_liquidated() -> None:
    assert liquidation_price(1.0, 100.0, 101.0, one(0.01)) is None


def test_a_coin_margined_long_of_100_contracts_on_a_tenth_of_a_bitcoin() -> None:
    """10,000 USD from 50,000: worth 0.2 BTC. At p: 0.1 + 0.2 - 10,000 / p = 0.004 x 10,000 / p; p = 10,040 / 0.3."""
    found = liquidation_price(100.0, 50_000.0, 0.1, one(0.004), contract_size=100.0, inverse=True)
    assert found == pytest.approx(10_040 / 0.3)


def test_a_coin_margined_short_backed_by_its_worth_in_coins_cannot_be_liquidated() -> None:
    """10,000 USD short, 0.2 BTC there at 50,000: in dollars nothing moves, whatever bitcoin does."""
    found = liquidation_price(-100.0, 50_000.0, 0.21, one(0.004), contract_size=100.0, inverse=True)
    assert found is None


BRACKETS = [[0, 0.02, 0, 25], [800, 0.03, 8, 18], [1500, 0.06, 53, 10]]


def on_the_way(price: float, contracts: float, balance: float, inverse: bool) -> Any:
    """An account that opens at 100 and is then shown one price."""
    prices = [100.0, 100.0, price]
    base = "BTC"
    terms: dict[str, Any] = {"tiers": BRACKETS}
    if inverse:
        terms |= {"kind": "inverse", "settle": base, "size": 100}
        terms["tiers"] = [[floor / 100, rate, deduction / 100, top] for floor, rate, deduction, top in BRACKETS]
    symbol = "BTC/USD:BTC" if inverse else "BTC/USDT:USDT"
    wallet, name = ("coinm", base) if inverse else ("usdm", "USDT")
    desk = Desk(
        {symbol: future(base, prices, **terms)},
        {"USDT": asset([1.0] * 3), base: asset(prices)},
        {wallet: {name: balance}},
        leverage=5,
    )
    desk.order(symbol, contracts)
    return desk.live()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.sampled_from([1, -1]), st.integers(1, 15), st.floats(0.25, 0.8), st.booleans())
def test_an_account_lives_a_hair_before_its_liquidation_price_and_is_liquidated_a_hair_beyond(
    side: int, contracts: int, share: float, inverse: bool
) -> None:
    """Opened at 100 with `share` of the notional as its own money, in whichever bracket that ends."""
    worth = contracts * (1.0 if inverse else 100.0)
    brackets = [Tier(floor, rate, deduction, top) for floor, rate, deduction, top in BRACKETS]
    if inverse:
        brackets = [Tier(t.floor / 100, t.rate, t.deduction / 100, t.max_leverage) for t in brackets]
    balance = round(worth * share, 6)
    found = liquidation_price(
        side * contracts, 100.0, balance, brackets, contract_size=100.0 if inverse else 1.0, inverse=inverse
    )
    assume(found is not None and 1.0 < found < 1000.0)
    before, beyond = (found * (1 + side * 1e-6), found * (1 - side * 1e-6))
    assert on_the_way(before, side * contracts, balance, inverse).contracts[0, 0] != 0
    assert on_the_way(before, side * contracts, balance, inverse).count[INCIDENT_ROWS] == 0
    assert on_the_way(beyond, side * contracts, balance, inverse).count[INCIDENT_ROWS] > 0
