"""What a venue's own clock and pockets do to money: interest by the hour or by the day, funding of an isolated
position, what may leave a wallet, and what resting orders and coins that are no collateral count for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fake_port import history_of

import backtest
from backtest.config import RunConfig, load_config
from backtest.engine.session import Session
from backtest.errors import InputError
from backtest.ledger.audit import audit
from backtest.market.history import History
from backtest.report.explain import explain
from backtest.report.frames import record_of
from backtest.report.record import RunRecord
from backtest.report.result import Result
from backtest.report.statistics import by_label
from backtest.research.accounts import plan_of
from backtest.research.notes import notes_of
from backtest.research.run import open_session
from backtest.strategy import Order

pytestmark = pytest.mark.jit_off

PERP, ETHER, SPOT = "BTC/USDT:USDT", "ETH/USDT:USDT", "BTC/USDT"
DAY = "2024-01-01"  # of the first bar


def opened(history: History, venue: str, margin: str, **account: Any) -> tuple[Session, RunConfig]:
    """One account of a venue, without fees and slippage."""
    config = load_config({
        "name": "money",
        "data": {"store": "none", "start": DAY, "end": "2024-01-09"},
        "account": [{"name": "main", "venue": venue, "margin": margin, **account}],
        "strategy": {"class": "strategies.hedged_long:HedgedLong"},
        "execution": {"slippage_bps": 0},
        "rules": {"outside": "nearest", "counterfactual": True},
    })  # fmt: skip
    plan, free = plan_of(config, config.account[0], history), (0.0,) * len(history.instruments)
    sets = tuple(replace(each, maker=free, taker=free, half_spread=free) for each in plan.sets)
    return open_session(config, history, [replace(plan, sets=sets)]), config


def lived(session: Session, config: RunConfig) -> RunRecord:
    """The record of a session lived to its end, whose books balance and whose profit is explained to the last step."""
    session.advance(len(session.history.time))
    audit(session.book)
    record = record_of(session, config, notes_of(session), stored=False)
    assert abs(explain(record, 0)["residual"]) < 1e-6
    return record


def amounts(record: RunRecord, kind: str, wallet: str | None = None) -> list[float]:
    rows = record.ledger[record.ledger["kind"] == kind]
    mine = rows if wallet is None else rows[rows["wallet"] == wallet]
    return [float(amount) for amount in mine["amount"]]


# Interest


def indebted(hours: int = 30, rate: float = 1e-5) -> History:
    """A coin of 50,000 that rises to 60,000 at five, and dollars lent at 0.001 % an hour."""
    past = history_of(
        {PERP: [50_000.0] * 5 + [60_000.0] * (hours - 5)}, index={"BTC": [50_000.0] * 5 + [60_000.0] * (hours - 5)}
    )
    dollars = past.assets.index("USDT")
    rates, known = np.zeros(past.borrow_rate.shape), np.zeros(len(past.assets), bool)
    rates[dollars], known[dollars] = rate, True
    return replace(past, borrow_rate=rates, has_borrow=known)


def short_against_a_coin(history: History, venue: str, margin: str, **steps: Any) -> tuple[Session, RunConfig]:
    """One bitcoin paid in, and one sold short at 50,000: at 60,000 the account owes 10,000 dollars of open loss."""
    session, config = opened(history, venue, margin, deposit={"BTC": 1.0})
    session.advance(2)
    session.submit(0, [Order(PERP, -1.0)])
    return session, config


@pytest.mark.parametrize("venue", ["okx", "bybit"])
@pytest.mark.parametrize("margin", ["multi_asset", "portfolio"])
def test_an_open_loss_beyond_the_cash_pays_interest_every_hour(venue: str, margin: str) -> None:
    """From five o'clock on, 10,000 x 0.00001 = 0.1 an hour, and on what was charged as well."""
    session, config = short_against_a_coin(indebted(9), venue, margin)
    assert amounts(lived(session, config), "interest") == pytest.approx(
        [-0.1, -0.100001, -0.100002, -0.100003], abs=1e-8
    )


def test_at_binance_a_balance_below_zero_alone_pays_and_by_the_day_at_midnight() -> None:
    """The open loss is none of it; realised at nine it is, 10,000 x 0.00001 x 24 = 2.4 at 00:00."""
    session, config = short_against_a_coin(indebted(), "binance", "portfolio")
    session.advance(9)
    session.submit(0, [Order(PERP, target=0.0)])
    record = lived(session, config)
    assert amounts(record, "interest") == pytest.approx([-2.4])
    assert record.ledger.loc[record.ledger["kind"] == "interest", "time"].dt.hour.tolist() == [0]


def test_a_debt_repaid_within_a_day_has_paid_its_hours() -> None:
    """Realised at nine and repaid at eleven: open from five to nine, owed from nine to eleven, six hours of 0.1."""
    prices = [50_000.0] * 5 + [60_000.0] * 25
    session, config = short_against_a_coin(replace(indebted()), "okx", "multi_asset")
    assert session.history.close[0].tolist() == prices
    session.advance(9)
    session.submit(0, [Order(PERP, target=0.0)])
    session.advance(11)
    session.deposit(0, 0, "USDT", 20_000.0)
    paid = amounts(lived(session, config), "interest")
    assert len(paid) == 6 and sum(paid) == pytest.approx(-0.6, abs=1e-4)


def test_bars_lived_one_by_one_pay_the_same_interest_as_a_stretch() -> None:
    records = []
    for step in (1, 30):
        session, config = short_against_a_coin(indebted(), "okx", "multi_asset")
        for bar in range(3, 30, step):
            session.advance(bar)
        records.append(lived(session, config))
    assert len(amounts(records[0], "interest")) == 25
    assert records[0].ledger.equals(records[1].ledger) and records[0].account.equals(records[1].account)


@pytest.mark.parametrize("venue", ["okx", "bybit"])
def test_a_loan_bears_interest_only_as_far_as_the_coins_equity_is_below_zero(venue: str) -> None:
    """10,000 dollars are borrowed at three for 0.2 bitcoins of 50,000; 8,000 are paid in at five: 0.1, then 0.02."""
    prices = [50_000.0] * 9
    past = history_of({SPOT: prices}, index={"BTC": prices})
    dollars = past.assets.index("USDT")
    rates, known = np.zeros(past.borrow_rate.shape), np.zeros(len(past.assets), bool)
    rates[dollars], known[dollars] = 1e-5, True
    past = replace(past, borrow_rate=rates, has_borrow=known)
    flows = [{"time": f"{DAY}T05:00:00Z", "asset": "USDT", "amount": 8_000.0}]
    session, config = opened(past, venue, "multi_asset", deposit={"BTC": 1.0}, borrow=True, flows=flows)
    session.advance(3)
    session.submit(0, [Order(SPOT, 0.2)])
    paid = amounts(lived(session, config), "interest")
    assert paid == pytest.approx([-0.1, *[-0.02] * 4], abs=1e-5)


def test_an_open_loss_for_which_no_rate_is_known_is_named() -> None:
    past = indebted()
    session, config = short_against_a_coin(
        replace(past, has_borrow=np.zeros(len(past.assets), bool)), "okx", "multi_asset"
    )
    assert any("owed USDT at times; no borrow rate is known" in note for note in lived(session, config).notes)


# Funding of an isolated position


def funded(rate: float, deposit: float, venue: str) -> RunRecord:
    """One bitcoin bought at 50,000 with a tenth of its own margin, 5,000, and funding of 50 dollars at 8, 16 and 24."""
    past = history_of(
        {PERP: [50_000.0] * 30}, funding=[(PERP, hour, rate) for hour in (8, 16, 24)], index={"BTC": [50_000.0] * 30}
    )
    past = replace(past, funding_price=np.full(3, 50_000.0))
    session, config = opened(past, venue, "isolated", deposit={"USDT": deposit}, leverage=10)
    session.advance(2)
    session.submit(0, [Order(PERP, 1.0)])
    return lived(session, config)


def test_bybit_takes_an_isolated_positions_funding_from_the_available_balance_first() -> None:
    record = funded(0.001, 5_080.0, "bybit")
    assert amounts(record, "funding", PERP) == pytest.approx([-20.0, -50.0])
    assert sum(amounts(record, "funding")) == pytest.approx(-150.0)
    assert record.funding["amount"].tolist() == pytest.approx([-50.0] * 3)  # of two pockets, and still one payment
    assert record.wallets.set_index("wallet").loc[PERP, "collateral"].iloc[-1] == pytest.approx(5_000.0 - 70.0)


def test_bybit_pays_funding_received_to_the_available_balance_even_where_there_was_none() -> None:
    record = funded(-0.001, 5_000.0, "bybit")
    assert amounts(record, "funding", PERP) == []
    assert record.account["equity"].iloc[-1] == pytest.approx(5_150.0)
    assert record.wallets.set_index("wallet").loc[PERP, "collateral"].iloc[-1] == pytest.approx(5_000.0)


def test_bybit_leaves_to_resting_orders_what_they_hold() -> None:
    """Of 800 free an order of 5 ETH at 1,000 holds 500: of 400 to pay 300 come from there, 100 from the position."""
    past = history_of(
        {PERP: [50_000.0] * 12, ETHER: [1_500.0] * 12}, funding=[(PERP, 8, 0.008)],
        index={"BTC": [50_000.0] * 12, "ETH": [1_500.0] * 12},
    )  # fmt: skip
    past = replace(past, funding_price=np.full(1, 50_000.0))
    session, config = opened(past, "bybit", "isolated", deposit={"USDT": 5_800.0}, leverage=10)
    session.advance(2)
    session.submit(0, [Order(PERP, 1.0)])
    session.submit(0, [Order(ETHER, 5.0, kind="limit", price=1_000.0)])
    record = lived(session, config)
    assert amounts(record, "funding", "usdm:USDT") == pytest.approx([-300.0])
    assert amounts(record, "funding", PERP) == pytest.approx([-100.0])


def test_the_calculator_pays_funding_from_where_a_run_does() -> None:
    """300 free and 5,100 of margin: 500 to pay are 300 and 200; at OKX all 500 come from the position."""
    for venue, left in (("bybit", 4_900.0), ("okx", 4_600.0)):
        told = answer(
            venue, "isolated", "2026-03-01", leverage=10, wallets={"USDT": 300.0}, prices={"BTC": 50_000.0},
            positions=[{"symbol": PERP, "contracts": 1.0, "entry": 50_000.0, "mark": 50_000.0, "margin": 5_100.0}],
            instruments={PERP: {"contract_size": 1.0}},
        )  # fmt: skip
        after = told.what_if(funding=0.01).wallets.set_index("wallet")["collateral_equity"]
        assert after[PERP] == pytest.approx(left), venue


def test_what_if_pays_hyperliquids_funding_on_the_oracle_price_as_a_run_does() -> None:
    """1 % of one contract whose mark is 51,000 and whose oracle price is 50,000: 500 dollars."""
    told = answer(
        "hyperliquid", "cross", "2026-10-01", leverage=10, wallets={"USDC": 10_000.0}, prices={"BTC": 50_000.0},
        positions=[{"symbol": "BTC/USDC:USDC", "contracts": 1.0, "entry": 51_000.0, "mark": 51_000.0}],
    )  # fmt: skip
    assert told.account["equity"] - told.what_if(funding=0.01).account["equity"] == pytest.approx(500.0)


@pytest.mark.parametrize("venue", ["okx", "binance"])
def test_elsewhere_the_position_pays_it(venue: str) -> None:
    assert amounts(funded(0.001, 10_000.0, venue), "funding", PERP) == pytest.approx([-50.0] * 3)


# What may leave


def test_hyperliquid_keeps_a_tenth_of_the_notional_where_forty_times_leverage_asks_for_less() -> None:
    """10,000 stand behind 50,000: initial margin is 1,250, a tenth 5,000; of 9,000 asked for 5,000 may leave."""
    coin = "BTC/USDC:USDC"
    past = history_of({coin: [50_000.0] * 9}, index={"BTC": [50_000.0] * 9})
    flows = [{"time": f"{DAY}T06:00:00Z", "asset": "USDC", "amount": -9_000.0}]
    session, config = opened(past, "hyperliquid", "cross", deposit={"USDC": 10_000.0}, leverage=40, flows=flows)
    session.advance(2)
    session.submit(0, [Order(coin, 1.0)])
    assert amounts(lived(session, config), "withdrawal") == pytest.approx([-5_000.0])


def test_coins_leave_a_multi_asset_account_at_the_price_that_requirements_in_them_count() -> None:
    """Two bitcoins short ask 20,000 of 0.95 x 50,000 + 0.9999 x 950; what is left is divided by 1.05 x 50,000."""
    past = history_of({PERP: [50_000.0] * 9}, index={"BTC": [50_000.0] * 9})
    flows = [{"time": f"{DAY}T06:00:00Z", "asset": "BTC", "amount": -1.0}]
    session, config = opened(past, "binance", "multi_asset", deposit={"USDT": 950.0, "BTC": 1.0}, flows=flows)
    session.advance(2)
    session.submit(0, [Order(PERP, -2.0)])
    left = 0.95 * 50_000 + 0.9999 * 950 - 1.0001 * 20_000
    assert amounts(lived(session, config), "withdrawal") == pytest.approx([-left / (1.05 * 50_000)], abs=1e-8)


def test_an_isolated_position_is_given_cash_above_the_maintenance_of_the_cross_ones_and_no_open_profit() -> None:
    """1 BTC bought at 50,000 with 10,000 in the wallet stands at 60,000: maintenance 1 % is 600, so 9,400 may go."""
    past = history_of(
        {PERP: [50_000.0] * 5 + [60_000.0] * 5, ETHER: [1_000.0] * 10},
        index={"BTC": [50_000.0] * 5 + [60_000.0] * 5, "ETH": [1_000.0] * 10},
    )
    session, config = opened(past, "generic", "cross", deposit={"USDT": 10_000.0}, leverage=20, isolated=[ETHER])
    session.advance(2)
    session.submit(0, [Order(PERP, 1.0)])
    session.advance(7)
    session.transfer(0, "USDT", 10_000.0, "usdm", ETHER)
    rate = plan_of(config, config.account[0], past).sets[0].tiers[0][0].rate
    lived(session, config)
    assert session.balance(0, "USDT", ETHER) == pytest.approx(10_000.0 - 60_000.0 * rate)


# What counts


def answer(venue: str, mode: str, at: str, **account: Any) -> Any:
    return backtest.margin({"venue": venue, "mode": mode, "at": at, **account})


BTC = {"symbol": PERP, "mark": 50_000.0}


def test_b5_25_a_resting_buy_at_bybit_holds_both_its_fees() -> None:
    """5,000 of margin, 27.50 to open and 24.75 to close at the bankruptcy price: 5,052.25 of 20,000."""
    told = answer(
        "bybit", "multi_asset", "2026-01-01", leverage=10, wallets={"USDT": 20_000.0},
        prices={"USDT": 1.0, "BTC": 50_000.0, PERP: 50_000.0},
        orders=[{"symbol": PERP, "contracts": 1.0, "price": 50_000.0}],
    ).account  # fmt: skip
    assert told["initial_margin"] == pytest.approx(5_052.25)
    assert told["available"] == pytest.approx(14_947.75)


def test_an_order_that_closes_asks_for_nothing_more() -> None:
    """In one-way mode, in hedge mode, and of a contract whose margin rises with its size."""

    def asked(venue: str, symbol: str, orders: list[dict[str, Any]], positions: list[dict[str, Any]]) -> float:
        prices = {"USDT": 1.0, "BTC": 50_000.0, symbol: 50_000.0}
        hedge = {"hedge": True} if len(positions) > 1 else {}
        told = answer(
            venue, "multi_asset", "2026-09-01", leverage=10, wallets={"USDT": 20_000.0, "BTC": 1.0}, prices=prices,
            positions=positions, orders=orders, **hedge,
        )  # fmt: skip
        return float(told.account["initial_margin"])

    inverse = "BTC/USD:BTC"
    one = [{"symbol": PERP, "contracts": 1.0, "entry": 50_000.0, "mark": 50_000.0}]
    two = [{**one[0], "side": "long"}, {**one[0], "contracts": -1.0, "side": "short"}]
    coins = [{"symbol": inverse, "contracts": 60_000.0, "entry": 50_000.0, "mark": 50_000.0}]
    for venue, symbol, positions, order in (
        ("bybit", PERP, one, {"contracts": -1.0}),
        ("bybit", PERP, two, {"contracts": -1.0, "position_side": "long"}),
        ("deribit", inverse, coins, {"contracts": -60_000.0}),
    ):
        with_order = asked(venue, symbol, [{"symbol": symbol, "price": 55_000.0, **order}], positions)
        assert with_order == pytest.approx(asked(venue, symbol, [], positions)), (venue, len(positions))
        opens = {**order, "contracts": -order["contracts"]}
        more = asked(venue, symbol, [{"symbol": symbol, "price": 50_000.0, **opens}], positions)
        assert more > with_order


def test_a_coin_that_is_no_collateral_at_deribit_counts_for_nothing() -> None:
    """100,000 dollars of DOGE stand for nothing; 0.001 BTC of 60,000 for 60 against a maintenance of 603."""
    told = answer(
        "deribit", "multi_asset", "2026-10-01", wallets={"DOGE": 1e6, "BTC": 0.001},
        prices={"BTC": 60_000.0, "DOGE": 0.1},
        positions=[{"symbol": "BTC/USD:BTC", "contracts": -60_000.0, "entry": 60_000.0, "mark": 60_000.0}],
    )  # fmt: skip
    assert told.account["collateral_equity"] == pytest.approx(60.0)
    assert told.account["state"] == "liquidate"
    assert told.assets.set_index("asset").at["DOGE", "counts"] == 0.0


# What comes in, and what is moved


def test_coins_paid_in_count_at_the_open_and_what_they_lose_by_the_close_is_their_price() -> None:
    """One bitcoin at an open of 50,000 that closes at 40,000: 50,000 came in, 10,000 were lost."""
    prices = [50_000.0] * 4 + [40_000.0] * 8
    past = history_of({PERP: prices}, index={"BTC": prices})
    coin = past.assets.index("BTC")
    opens = past.index_open.copy()
    opens[coin] = [prices[0], *prices[:-1]]
    flow = {"time": "2024-01-01T04:00:00Z", "asset": "BTC", "amount": 1.0}
    session, config = opened(
        replace(past, index_open=opens), "binance", "portfolio", deposit={"USDT": 10_000.0}, flows=[flow]
    )
    record = lived(session, config)
    parts, figures = explain(record, 0), by_label(record, 0)
    assert parts["deposits and withdrawals"] == pytest.approx(50_000.0)
    assert parts["price"] == pytest.approx(-10_000.0)
    assert figures["Deposits and Withdrawals"] == pytest.approx(50_000.0)


def test_a_transfer_of_more_than_is_free_is_said_to_have_been_cut() -> None:
    past = history_of({PERP: [50_000.0] * 12}, index={"BTC": [50_000.0] * 12})
    session, config = opened(past, "binance", "cross", deposit={"USDT": 1_000.0})
    session.advance(2)
    session.transfer(0, "USDT", 5_000.0, "usdm", "spot")
    (said,) = [note for note in lived(session, config).notes if "transfers" in note]
    assert "1 of 1 transfers moved less than asked for" in said
    assert "1,000 of 5,000 USDT" in said


def test_a_refill_with_a_cost_is_no_transfer_that_was_cut() -> None:
    prices = [50_000.0] * 3 + [56_400.0] * 9
    past = history_of({SPOT: [50_000.0] * 12, PERP: prices}, index={"BTC": prices})
    refill = {"trigger": 3.0, "target": 10.0, "cost_bps": 10}
    session, config = opened(
        past, "binance", "cross", leverage=20, refill=refill, deposit={"usdm": {"USDT": 7_000.0}, "spot": {"USDT": 5e4}}
    )
    session.advance(1)
    session.submit(0, [Order(PERP, -1.0)])
    record = lived(session, config)
    assert "refill" in record.incidents["rung"].tolist()
    assert not any("transfers" in note for note in record.notes)


# Where a forced order was filled


def test_a_forced_order_on_the_way_to_the_low_earns_no_basis_where_mark_and_index_are_one() -> None:
    """Long 10 at 100 with 100 of its own: at 90 or so nothing is left; the bar goes on to 60 and comes back."""
    past = history_of({PERP: [100.0] * 8}, index={"BTC": [100.0] * 8})
    low = np.array([[100.0] * 5 + [60.0] + [100.0] * 2])
    dollars = np.ones((1, 8))
    index = np.vstack([dollars if asset == "USDT" else low for asset in past.assets])
    past = replace(past, low=low, mark_low=low, worst_low=low, index_low=index)
    session, config = opened(past, "generic", "isolated", deposit={"USDT": 1_000.0}, leverage=10)
    session.advance(2)
    session.submit(0, [Order(PERP, 10.0)])
    record = lived(session, config)
    assert (record.fills["cause"] == "liquidation").any()
    assert (record.fills["mark"][record.fills["cause"] == "liquidation"] > 60.0).any()
    parts = explain(record, 0)
    assert parts["basis"] == pytest.approx(0.0, abs=1e-6)
    assert parts["price"] < 0.0


def test_a_forced_order_earns_the_basis_that_there_was_on_the_way() -> None:
    """The mark is 1.002 times the index throughout, so of every loss 2 in 1,002 are basis."""
    past = history_of({PERP: [100.2] * 8}, index={"BTC": [100.0] * 8})
    low = np.array([[100.2] * 5 + [60.12] + [100.2] * 2])
    coin = np.array([[100.0] * 5 + [60.0] + [100.0] * 2])
    index = np.vstack([np.ones((1, 8)) if asset == "USDT" else coin for asset in past.assets])
    past = replace(past, low=low, mark_low=low, worst_low=low, index_low=index)
    session, config = opened(past, "generic", "isolated", deposit={"USDT": 1_000.0}, leverage=10)
    session.advance(2)
    session.submit(0, [Order(PERP, 10.0)])
    parts = explain(lived(session, config), 0)
    assert parts["basis"] == pytest.approx(parts["price"] * 0.002) and parts["price"] < -50.0


# A part of an isolated position


@pytest.mark.parametrize(("price", "kept"), [(95.0, 50.0), (105.0, 50.0)])
def test_half_of_an_isolated_position_leaves_the_other_half_as_sound_as_it_was(price: float, kept: float) -> None:
    """Ten at 100 on 100 of margin; half is sold at 95 or at 105: it takes 50 along, less 25 or more."""
    past = history_of({PERP: [100.0] * 4 + [price] * 4}, index={"BTC": [100.0] * 4 + [price] * 4})
    session, config = opened(past, "generic", "isolated", deposit={"USDT": 1_000.0}, leverage=10)
    session.advance(2)
    session.submit(0, [Order(PERP, 10.0)])
    session.advance(5)
    before = session.margin_ratio(0)
    session.submit(0, [Order(PERP, -5.0)])
    lived(session, config)
    assert session.balance(0, "USDT", PERP) == pytest.approx(kept)
    assert session.margin_ratio(0) == pytest.approx(before)


# A haircut of the account's own


def half_a_coin(ratio: float | bool) -> RunRecord:
    """One bitcoin of 50,000 and 10,000 dollars behind a short of half a bitcoin."""
    past = history_of({PERP: [50_000.0] * 6}, index={"BTC": [50_000.0] * 6})
    deposit, collateral = {"USDT": 10_000.0, "BTC": 1.0}, {"BTC": ratio}
    session, config = opened(past, "generic", "multi_asset", deposit=deposit, collateral=collateral)
    session.advance(2)
    session.submit(0, [Order(PERP, -0.5)])
    return lived(session, config)


@pytest.mark.parametrize(
    ("ratio", "counts"), [(True, 45_000.0), (0.7, 35_000.0), (1, 50_000.0), (0, 0.0), (False, 0.0)]
)
def test_an_account_may_say_at_which_ratio_its_coins_count(ratio: float | bool, counts: float) -> None:
    record = half_a_coin(ratio)
    assert record.account["collateral_equity"].iloc[-1] == pytest.approx(10_000.0 + counts)
    assert any("COUNTERFACTUAL" in note for note in record.notes) == (not isinstance(ratio, bool))
    own = [row for rule_set in record.rules[0] for row in rule_set.rows if row.table == "account"]
    assert [(row.key, row.value) for row in own] == ([] if isinstance(ratio, bool) else [("collateral BTC", ratio)])


def test_the_calculator_takes_over_the_haircut_of_a_run() -> None:
    record = half_a_coin(0.7)
    told = Result(record).snapshot(record.account["time"].iloc[-1])
    assert backtest.margin(told).account["collateral_equity"] == pytest.approx(45_000.0)


@pytest.mark.parametrize("ratio", [1.5, -0.1, float("nan"), "0.5", None, [0.5]])
def test_what_is_no_haircut_is_refused_in_one_line(ratio: Any) -> None:
    told = r"^[^\n]*account\[0\].collateral.BTC: write true, false, or a ratio from 0 to 1; found [^\n]*$"
    with pytest.raises(InputError, match=told):
        half_a_coin(ratio)


def test_a_haircut_where_no_other_coin_counts_would_do_nothing() -> None:
    past = history_of({PERP: [50_000.0] * 6}, index={"BTC": [50_000.0] * 6})
    with pytest.raises(InputError, match="collateral would do nothing: under 'cross' a position is backed by the coin"):
        opened(past, "generic", "cross", deposit={"USDT": 10_000.0}, collateral={"BTC": 0.5})


def test_a_deposit_of_what_the_history_has_not_is_named() -> None:
    past = history_of({PERP: [50_000.0] * 6}, index={"BTC": [50_000.0] * 6})
    with pytest.raises(InputError, match="ETH is not in this run"):
        opened(past, "generic", "cross", deposit={"ETH": 1.0})


def test_rule_sets_that_an_account_does_not_change_are_the_venues_own() -> None:
    """Most points of a sweep differ in their strategy alone: what was made of their rules is found by identity."""
    past = history_of({PERP: [50_000.0] * 6}, index={"BTC": [50_000.0] * 6})
    config = opened(past, "generic", "multi_asset", deposit={"USDT": 10_000.0}, collateral={"BTC": False})[1]
    one, other = (plan_of(config, config.account[0], past) for _ in range(2))
    assert one.sets and all(mine is its for mine, its in zip(one.sets, other.sets, strict=True))


# What an order may not do


def turned(*sales: float) -> RunRecord:
    """2.4 coins bought at 2,000 with 960 of 1,000; at 1,900 they are sold, and as many or others more."""
    past = history_of({PERP: [2_000.0] * 4 + [1_900.0] * 8}, index={"BTC": [2_000.0] * 4 + [1_900.0] * 8})
    session, config = opened(past, "generic", "isolated", deposit={"USDT": 1_000.0}, leverage=5)
    session.advance(2)
    session.submit(0, [Order(PERP, 2.4)])
    for bar, contracts in enumerate(sales, 6):
        session.advance(bar)
        session.submit(0, [Order(PERP, contracts)])
    return lived(session, config)


@pytest.mark.parametrize("sales", [(-4.8,), (-2.4, -2.4)])
def test_an_isolated_position_that_is_turned_at_a_loss_is_as_large_as_what_is_left_carries(
    sales: tuple[float, ...],
) -> None:
    """240 of 1,000 are lost; a fifth of 1,900 is asked a coin, so that 760 carry two: 2 x 1,900 / 5 = 760."""
    record = turned(*sales)
    assert amounts(record, "insurance") == []
    assert record.incidents.empty
    assert record.account["equity"].iloc[-1] == pytest.approx(760.0)
    assert record.positions["contracts"].iloc[-1] == pytest.approx(-2.0)


def test_a_limit_sale_delivers_coins_of_the_spot_wallet_alone() -> None:
    """Five coins lie behind coin-margined contracts, none in the spot wallet: three are not there to be sold."""
    coin = "BTC/USD:BTC"
    past = history_of({SPOT: [2_000.0] * 3 + [2_100.0] * 5, coin: [2_000.0] * 3 + [2_100.0] * 5})
    session, config = opened(past, "generic", "cross", deposit={"coinm": {"BTC": 5.0}, "spot": {"USDT": 9.0}})
    session.advance(2)
    session.submit(0, [Order(SPOT, -3.0, kind="limit", price=2_050.0)])
    record = lived(session, config)
    assert record.fills.empty
    assert session.balance(0, "BTC", "coinm") == 5.0 and session.balance(0, "BTC", "spot") == 0.0
    assert record.orders["state"].tolist() == ["refused"]


# The calculator after an order, and after a run


@pytest.mark.parametrize("mode", ["cross", "isolated", "multi_asset", "portfolio"])
def test_the_only_position_can_be_closed_in_what_if(mode: str) -> None:
    """2.4 coins from 2,000 at 1,900: 240 lost and 2.28 of fee, taker 0.05 %; nothing is required any more."""
    told = answer(
        "binance", mode, "2026-03-01", leverage=5, wallets={"USDT": 5_000.0}, prices={"USDT": 1.0, "ETH": 1_900.0},
        positions=[{"symbol": ETHER, "contracts": 2.4, "entry": 2_000.0, "mark": 1_900.0}],
    )  # fmt: skip
    after = told.what_if(add=f"{ETHER} -2.4")
    assert after.account["equity"] == pytest.approx(told.account["equity"] - 2.28)
    assert (after.account["maintenance_margin"], len(after.positions)) == (0.0, 0)


def test_the_calculator_takes_over_an_isolated_short_of_hedge_mode() -> None:
    past = history_of({PERP: [100.0] * 6}, index={"BTC": [100.0] * 6})
    session, config = opened(
        past, "binance", "isolated", deposit={"USDT": 1_000.0}, leverage=10, position_mode="hedge"
    )  # fmt: skip
    session.advance(2)
    session.submit(0, [Order(PERP, -5.0, position_side="short")])
    record = lived(session, config)
    told = backtest.margin(Result(record).snapshot(record.account["time"].iloc[-1])).account
    last = record.account.iloc[-1]
    assert last["maintenance_margin"] > 0.0
    for name in ("equity", "collateral_equity", "initial_margin", "maintenance_margin"):
        assert told[name] == pytest.approx(last[name]), name
