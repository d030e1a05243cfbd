"""What a forced sale leaves its owner, venue by venue: how much is cut, what that costs, and who takes the rest.

Every expected number is worked by hand from the venue's page. Prices stand still and gap at the open of the fourth bar;
orders of the market cost nothing and move no price.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fake_port import history_of
from test_arithmetic import Desk, asset, future, scenario

from backtest.config import load_config
from backtest.ledger.audit import audit
from backtest.market.history import History
from backtest.report.explain import explain
from backtest.report.frames import record_of
from backtest.report.record import RunRecord
from backtest.research.accounts import plan_of
from backtest.research.run import open_session
from backtest.state import MARKET
from backtest.strategy import Order

pytestmark = pytest.mark.jit_off

PERP, DATED = "BTC/USDT:USDT", "BTC/USDT:USDT-260327"


def gapped(day: str, before: float, after: float, *symbols: str) -> History:
    """Six hours of a day: three at one price, three at another."""
    prices = [before] * 3 + [after] * 3
    at = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return history_of(dict.fromkeys(symbols, prices), index={"BTC": prices}, start_us=int(at.timestamp() * 1e6))


def lived(
    history: History, venue: str, margin: str, orders: list[Order], free: bool = True, **account: Any
) -> RunRecord:
    """An account that places its orders after the first bar and is left alone with them."""
    config = load_config({
        "name": "forced",
        "data": {"store": "none", "start": "2024-01-01", "end": "2027-01-01"},
        "account": [{"name": "main", "venue": venue, "margin": margin, **account}],
        "strategy": {"class": "strategies.hedged_long:HedgedLong"},
        "execution": {"slippage_bps": 0, "volume_share": 1.0},
        "rules": {"outside": "nearest", "counterfactual": True},
    })  # fmt: skip
    plan, none = plan_of(config, config.account[0], history), (0.0,) * len(history.instruments)
    sets = tuple(replace(each, half_spread=none, impact_y=0.0) for each in plan.sets)
    if free:
        sets = tuple(replace(each, maker=none, taker=none) for each in sets)
    session = open_session(config, history, [replace(plan, sets=sets)])
    session.advance(1)
    session.submit(0, orders, together=len(orders) > 1)
    session.advance(len(history.time))
    audit(session.book)
    record = record_of(session, config, [], stored=False)
    assert abs(explain(record, 0)["residual"]) < 1e-6
    return record


def forced(record: RunRecord) -> list[tuple[str, float]]:
    """Symbol and contracts of every fill that the venue made."""
    rows = record.fills[record.fills["cause"] == "liquidation"]
    return list(zip(rows["symbol"], rows["contracts"], strict=True))


def paid(record: RunRecord, kind: str, asset: str = "USDT") -> float:
    rows = record.ledger[(record.ledger["kind"] == kind) & (record.ledger["asset"] == asset)]
    return float(rows["amount"].sum())


# How much is cut


def test_a_cut_that_suffices_is_found_though_selling_all_would_not() -> None:
    """Binance, 2024: 291 BTC at 48,000 are 13,968,000; maintenance 2 % less 131,450 = 147,910 against 138,000. A dollar
    cut saves 2 % and costs 1.25 %: 9,910 / 0.0075 / 48,000 = 27.5278. Below 12 million it would save 1 % and cost more.
    """
    past = gapped("2024-06-03", 50_000.0, 48_000.0, PERP)
    record = lived(past, "binance", "cross", [Order(PERP, 291.0)], leverage=25, deposit={"USDT": 720_000.0})
    assert forced(record) == [(PERP, pytest.approx(-27.528))]
    assert paid(record, "liquidation_fee") == pytest.approx(-0.0125 * 27.528 * 48_000)
    assert record.account["equity"].iloc[-1] == pytest.approx(138_000 - 16_516.8)


def test_a_hedged_book_is_cut_no_further_than_mends_it() -> None:
    """OKX portfolio margin, 10 long and 8 of a dated future short, 15,000 left at 45,000 against 15,704.79. A coin of
    the two that are naked asks for about 5,490, and to sell it costs 0.45 % = 202.5: 704.79 / 5,287.5 = 0.1333.
    """
    past = gapped("2026-01-05", 50_000.0, 45_000.0, PERP, DATED)
    orders = [Order(PERP, 10.0), Order(DATED, -8.0)]
    record = lived(past, "okx", "portfolio", orders, leverage=10, deposit={"USDT": 25_000.0})
    assert forced(record) == [(PERP, pytest.approx(-0.134))]
    assert paid(record, "liquidation_fee") == pytest.approx(-0.0045 * 0.134 * 45_000)


def test_the_larger_side_of_a_hedged_pair_is_cut_until_ninety_percent() -> None:
    """Bybit, 10 long and 8 short at 32,697.50: 1,200 are left of 36,300 less fees of 495 and 2 x 17,302.50. A coin of
    the two that are naked frees 0.5 % of 32,697.50 and a closing fee of 26.125, 189.6125 in all, and costs 0.055 % =
    17.98; maintenance of 1,259.1875 has to fall below 90 % of 1,200 less that: 179.1875 / (189.6125 - 16.185) = 1.0332.
    """
    past = gapped("2026-03-02", 50_000.0, 32_697.5, PERP)
    orders = [Order(PERP, 10.0, position_side="long"), Order(PERP, -8.0, position_side="short")]
    record = lived(
        past, "bybit", "multi_asset", orders, False, leverage=20, deposit={"USDT": 36_300.0}, position_mode="hedge"
    )
    assert forced(record) == [(PERP, pytest.approx(-1.034))]


def test_where_no_cut_of_one_leg_helps_what_hedges_each_other_is_closed_together() -> None:
    """100 long at 98, 100 of a dated future short at 100, 950 left. A move of 10 % costs the net 200 dollars 20, the
    gross 19,800 ask for 5 % = 990: 1,010. Without the net 200 it were 980, and more cut from one leg asks for more
    again. Of both a share s frees 980 s: from 6.12 % on it is enough, and 4 / 64 = 6.25 % are 6.25 and 6.125.
    """
    fallen, dated = [100.0, 100.0, 98.0, 98.0], "BTC/USDT:USDT-241227"
    desk = Desk(
        {PERP: future("BTC", fallen), dated: future("BTC", [100.0] * 4, expiry_bar=40)},
        {"USDT": asset([1.0] * 4), "BTC": asset([100.0] * 4)},
        {"unified": {"USDT": 1150.0}},
        multi=True,
        requirement="scenarios",
        scenario=scenario([(0.0,), (-0.1, 0.1)], contingency=0.05),
    )
    desk.wait(PERP, 100.0, MARKET, group=0)
    desk.wait(dated, -100.0, MARKET, group=0)
    desk.live()
    assert (desk.book.contracts[:2, 0] * 1e-8).tolist() == pytest.approx([93.75, -93.875])
    assert desk.rungs() == ["reduce", "reduce"]
    assert desk.margin(3, "unified")[::2] == pytest.approx((950.0, 20 + 0.05 * (19_800 - 612.5 - 612.5)))


def test_a_hedge_is_left_alone_where_a_cut_of_another_coin_mends_the_account() -> None:
    """120 BTC long against 120 short, 12,000 each, and 100 ETH short that rise from 100 to 110: 2,700 are left. ETH
    asks for 10 % and 5 % of 11,000, the gross of the pair for 5 % of 24,000: 2,850. A coin of ETH less frees 16.50:
    9.091.
    """
    calm, risen, dated, ether = [100.0] * 4, [100.0, 100.0, 110.0, 110.0], "BTC/USDT:USDT-241227", "ETH/USDT:USDT"
    desk = Desk(
        {PERP: future("BTC", calm), dated: future("BTC", calm, expiry_bar=40), ether: future("ETH", risen)},
        {"USDT": asset([1.0] * 4), "BTC": asset(calm), "ETH": asset(risen)},
        {"unified": {"USDT": 3700.0}},
        multi=True,
        requirement="scenarios",
        scenario=scenario([(0.0,), (-0.1, 0.1), (-0.1, 0.1)], contingency=0.05),
    )
    for symbol, contracts in ((PERP, 120.0), (dated, -120.0), (ether, -100.0)):
        desk.wait(symbol, contracts, MARKET, group=0)
    desk.live()
    assert (desk.book.contracts[:3, 0] * 1e-8).tolist() == pytest.approx([120.0, -120.0, -90.909])
    assert desk.rungs() == ["reduce"]


def test_at_okx_a_position_of_the_third_tier_falls_two_though_a_larger_one_of_the_first_stands_beside_it() -> None:
    """190 BTC from 50,000 to 47,000, 4,200 ETH at 2,500 that stand still: of 698,000 less fees of 10,000, 118,000 are
    left against 0.8 % of 8,930,000 and 0.45 % of 10,500,000 = 118,690. 180 BTC fall to the first tier: a penalty of
    0.75 % of 8,460,000 = 63,450 and fees of 4,230 leave 50,320 against 0.45 % of 470,000 + 47,250 = 49,365.
    """
    ether, day = "ETH/USDT:USDT", int(datetime(2026, 9, 1, tzinfo=UTC).timestamp() * 1e6)
    fallen, calm = [50_000.0] * 3 + [47_000.0] * 3, [2_500.0] * 6
    past = history_of({PERP: fallen, ether: calm}, index={"BTC": fallen, "ETH": calm}, start_us=day)
    orders = [Order(PERP, 190.0), Order(ether, 4_200.0)]
    record = lived(past, "okx", "multi_asset", orders, False, leverage=40, deposit={"USDT": 698_000.0})
    assert forced(record) == [(PERP, pytest.approx(-180.0))]
    assert record.account["equity"].iloc[-1] == pytest.approx(50_320.0)


def test_an_isolated_position_keeps_its_margin_while_it_is_cut() -> None:
    """Binance, 2024: 1,000 BTC at 18x bring 50,000,000 / 18 = 2,777,777.78; at 48,000 777,777.78 are left against 2 %
    of 48,000,000 less 131,450 = 828,550. A dollar cut saves 2 %, costs 1.25 %: 50,772.22 / 0.0075 / 48,000 = 141.034.
    """
    past = gapped("2024-06-03", 50_000.0, 48_000.0, PERP)
    record = lived(past, "binance", "isolated", [Order(PERP, 1000.0)], leverage=18, deposit={"USDT": 4_800_000.0})
    assert forced(record) == [(PERP, pytest.approx(-141.034))]
    assert paid(record, "liquidation_fee") == pytest.approx(-0.0125 * 141.034 * 48_000)
    assert record.account["equity"].iloc[-1] == pytest.approx(4_800_000 - 2_000_000 - 84_620.4)


# Who takes the rest


def test_a_backstop_is_no_end_of_an_account_whose_coins_cover_its_debt() -> None:
    """Hyperliquid: 10 coins and 100,000 dollars behind 94.574 long at 50,000; at 45,500 425,583 are lost and 325,583
    owed, 72 % of the coins. Sold at their cost of 7 in 10,000 they repay it, and the rest is the owner's.
    """
    perp = "BTC/USDC:USDC"
    past = gapped("2026-07-01", 50_000.0, 45_500.0, perp)
    deposit = {"USDC": 100_000.0, "BTC": 10.0}
    record = lived(past, "hyperliquid", "portfolio", [Order(perp, 94.574)], leverage=20, deposit=deposit)
    assert sum(contracts for _, contracts in forced(record)) == pytest.approx(-94.574)
    assert paid(record, "insurance", "USDC") == 0.0
    owed = 94.574 * 4_500 - 100_000
    assert record.account["equity"].iloc[-1] == pytest.approx(455_000 - owed / 0.9993, abs=1.0)


def test_at_okx_a_multi_currency_position_that_is_closed_whole_pays_its_penalty_too() -> None:
    """0.1 BTC at 50,000 with 142.50 of its own; at 48,730 15.50 are left against 0.45 % of 4,873 = 21.93. Closing costs
    0.05 % = 2.44, and the first bracket's 0.4 % = 19.49 go to the fund: more than there is, so the fund bears 6.43.
    """
    past = gapped("2026-03-01", 50_000.0, 48_730.0, PERP)
    record = lived(past, "okx", "multi_asset", [Order(PERP, 0.1)], leverage=50, deposit={"USDT": 142.5})
    assert forced(record) == [(PERP, pytest.approx(-0.1))]
    rows = record.ledger[record.ledger["kind"] == "insurance"]["amount"].tolist()
    assert rows == pytest.approx([-0.004 * 4_873, 0.004 * 4_873 + 0.0005 * 4_873 - 15.5])
    assert record.account["equity"].iloc[-1] == pytest.approx(0.0)


def test_paradex_sells_fifths_until_ninety_percent_and_takes_seventy_percent_of_their_maintenance() -> None:
    """10 BTC at 45,000 with 35,000 left against 8 % = 36,000. A fifth less costs 0.7 x 7,200 = 5,040: 28,800 / 29,960
    is above 90 %; two fifths: 21,600 / 24,920 = 87 %.
    """
    perp = "BTC/USDC:USDC"
    past = gapped("2026-09-01", 50_000.0, 45_000.0, perp)
    record = lived(past, "paradex", "portfolio", [Order(perp, 10.0)], deposit={"USDC": 85_000.0})
    assert forced(record) == [(perp, pytest.approx(-4.0))]
    assert paid(record, "liquidation_fee", "USDC") == pytest.approx(-10_080.0)
    assert record.account["equity"].iloc[-1] == pytest.approx(24_920.0)
