"""When profit becomes cash, and on which price funding is paid: each account by the rules of its own venue."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fake_port import history_of
from test_arithmetic import Desk, asset, future

from backtest.config import RunConfig, load_config
from backtest.engine.session import Session
from backtest.engine.tape import Event
from backtest.ledger.audit import audit
from backtest.market.history import History
from backtest.report.explain import explain
from backtest.report.frames import record_of
from backtest.report.record import RunRecord
from backtest.research.accounts import plan_of
from backtest.research.run import open_session
from backtest.state import DELIVERY
from backtest.strategy import Order

USDC, PERP, DATED = "BTC/USDC:USDC", "BTC/USDT:USDT", "BTC/USDT:USDT-240329"


def opened(
    history: History,
    *venues: dict[str, Any],
    margin: str = "cross",
    ladder: tuple[str, ...] = (),
    usdt: float = 100_000.0,
) -> tuple[Session, RunConfig]:
    """One account a venue, so much money in each and no fees; a venue is what its rule sets say differently."""
    cash = history.instruments[0].settle
    config = load_config({
        "name": "settled",
        "data": {"store": "none", "start": "2024-01-01", "end": "2024-01-04"},
        "account": [
            {"name": f"a{k}", "venue": "generic", "margin": margin, "deposit": {cash: usdt}}
            for k in range(len(venues))
        ],
        "strategy": {"class": "strategies.hedged_long:HedgedLong"},
        "execution": {"slippage_bps": 0},
    })  # fmt: skip
    free = (0.0,) * len(history.instruments)
    plans = []
    for account, terms in zip(config.account, venues, strict=True):
        plan = plan_of(config, account, history)
        sets = tuple(replace(each, maker=free, taker=free, half_spread=free, **terms) for each in plan.sets)
        mode = replace(plan.mode, ladder=ladder or plan.mode.ladder)
        plans.append(replace(plan, sets=sets, mode=mode))
    return open_session(config, history, plans), config


def recorded(session: Session, config: RunConfig) -> RunRecord:
    """The record of a session whose books balance and whose profit is explained to the last step."""
    audit(session.book)
    record = record_of(session, config, [])
    for k in range(len(config.account)):
        assert abs(explain(record, k)["residual"]) < 1e-6
    return record


def amounts(record: RunRecord, kind: str, account: str = "a0") -> list[float]:
    rows = record.ledger[(record.ledger["kind"] == kind) & (record.ledger["account"] == account)]
    return [float(amount) for amount in rows["amount"]]


def bybit(settled: str) -> tuple[Session, RunConfig]:
    """Bought 0.1 at 50,000 and 0.1 at 50,500, sold 0.1 at 50,700; mark 51,000, then a funding stamp at 52,000."""
    prices = [50_000.0, 50_000.0, 50_500.0, 50_700.0, 51_000.0, 52_000.0, 52_000.0, 51_500.0]
    history = history_of({USDC: prices}, funding=[(USDC, 5, 0.0)])
    session, config = opened(replace(history, funding_price=np.array([52_000.0])), {"settled": (settled,)})
    for bar, contracts in enumerate((0.1, 0.1, -0.1)):
        session.advance(bar + 1)
        session.submit(0, [Order(USDC, contracts)])
    return session, config


def test_a_session_settlement_pays_175_and_the_average_price_becomes_52000() -> None:
    """Bybit's example: average 50,250; 45 realised by the sale; 75 open at 51,000; 175 paid at 52,000."""
    session, config = bybit("funding")
    session.advance(3)
    assert session.entry_price(0, USDC) == pytest.approx(50_250.0)
    session.advance(5)
    assert session.balance(0, "USDC") == pytest.approx(100_045.0)
    assert session.equity(0) == pytest.approx(100_045.0 + 75.0)
    session.advance(6)
    assert session.balance(0, "USDC") == pytest.approx(100_045.0 + 175.0)
    assert session.entry_price(0, USDC) == pytest.approx(52_000.0)
    assert session.equity(0) == pytest.approx(100_220.0)
    session.advance(8)
    record = recorded(session, config)
    assert amounts(record, "realised") == pytest.approx([45.0])
    assert amounts(record, "settlement") == pytest.approx([175.0])
    assert record.positions["cost"].tolist() == pytest.approx([5000.0, 10_050.0, 5025.0, 5200.0])
    assert session.equity(0) == pytest.approx(100_220.0 - 50.0)


def test_where_profit_is_realised_at_closing_equity_is_the_same_and_the_cash_is_not() -> None:
    session, config = bybit("")
    session.advance(8)
    record = recorded(session, config)
    assert amounts(record, "settlement") == []
    assert session.balance(0, "USDC") == pytest.approx(100_045.0)
    assert session.equity(0) == pytest.approx(100_170.0)
    assert session.entry_price(0, USDC) == pytest.approx(50_250.0)


def by_the_day(margin: str = "cross") -> tuple[Session, RunConfig]:
    """One sold short at 100 at 01:00; the mark is 90 from 08:00 and 95 from 08:00 of the next day."""
    prices = [100.0] * 8 + [90.0] * 24 + [95.0] * 8
    session, config = opened(history_of({DATED: prices}), {"settled": ("daily",)}, margin=margin)
    session.advance(1)
    session.submit(0, [Order(DATED, -1.0)])
    session.advance(40)
    return session, config


def test_a_dated_future_is_settled_at_eight_every_morning_gains_and_losses_alike() -> None:
    session, config = by_the_day()
    record = recorded(session, config)
    settled = record.ledger[record.ledger["kind"] == "settlement"]
    assert settled["amount"].tolist() == pytest.approx([10.0, -5.0])
    assert [f"{time:%d %H:%M}" for time in settled["time"]] == ["01 08:00", "02 08:00"]
    assert session.entry_price(0, DATED) == pytest.approx(95.0)
    assert session.balance(0, "USDT") == session.equity(0) == pytest.approx(100_005.0)


def test_an_isolated_position_is_not_settled_by_the_day() -> None:
    session, config = by_the_day("isolated")
    assert amounts(recorded(session, config), "settlement") == []
    assert session.entry_price(0, DATED) == pytest.approx(100.0)


def test_of_two_accounts_with_one_position_each_is_settled_by_its_own_venue() -> None:
    history = history_of({PERP: [100.0, 100.0, 110.0, 110.0]}, funding=[(PERP, 2, 0.0)])
    history = replace(history, funding_price=np.array([110.0]))
    session, config = opened(history, {"settled": ("funding",)}, {})
    session.advance(1)
    for k in range(2):
        session.submit(k, [Order(PERP, 2.0)])
    session.advance(4)
    record = recorded(session, config)
    assert (amounts(record, "settlement"), amounts(record, "settlement", "a1")) == ([20.0], [])
    assert session.equity(0) == session.equity(1) == pytest.approx(100_020.0)


def test_funding_of_one_percent_is_paid_on_the_mark_of_100_at_one_venue_and_on_the_index_of_102_at_another() -> None:
    """10 long: 10 x 100 x 0.01 = 10 against 10 x 102 x 0.01 = 10.20."""
    history = history_of({PERP: [100.0] * 6}, funding=[(PERP, 3, 0.01)], index={"BTC": [102.0] * 6})
    history = replace(history, funding_price=np.array([100.0]))
    session, config = opened(history, {}, {"funding_at": ("index",)})
    session.advance(1)
    for k in range(2):
        session.submit(k, [Order(PERP, 10.0)])
    session.advance(6)
    record = recorded(session, config)
    assert amounts(record, "funding") == pytest.approx([-10.0])
    assert amounts(record, "funding", "a1") == pytest.approx([-10.2])
    assert record.funding["price"].tolist() == [100.0, 102.0]


def test_delivery_of_10000_dollars_of_coins_at_10600_costs_0_00047169() -> None:
    """Bybit's example, 0.05 %: 10,000 / 10,600 x 0.0005; the page cuts the ninth digit off where we round."""
    symbol, prices = "BTC/USD:BTC-240329", [10_600.0] * 4
    desk = Desk(
        {symbol: future("BTC", prices, kind="inverse", settle="BTC", lot="1", delivery_fee=0.0005)},
        {"BTC": asset(prices)},
        {"coinm": {"BTC": 1.0}},
        happenings=[Event(2, int(DELIVERY), 0, -1, 10_600.0)],
    )
    desk.order(symbol, 10_000.0)
    desk.live()
    assert desk.total("fee", "BTC") == pytest.approx(-0.00047169, abs=1.01e-8)
