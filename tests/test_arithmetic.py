"""The arithmetic of the field, by hand: what counts, what is required, and who takes a loss. The index of USDT is 1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scenario_engine import HOUR_US, history_of, rule_set_of

from backtest.engine.advance import advance
from backtest.engine.book import make_book
from backtest.engine.orders import place
from backtest.engine.plan import Plan
from backtest.engine.shape import shape_of
from backtest.engine.tables import make_rules
from backtest.engine.tape import Event, make_tape
from backtest.ledger.audit import audit
from backtest.ledger.kinds import DEPOSIT, KIND_NAMES
from backtest.ledger.post import post
from backtest.state import (
    FLOW,
    INCIDENT_ROWS,
    INTEREST,
    LIMIT,
    LIVED,
    MARKET,
    N_RUNG,
    O_FILLED,
    O_REASON,
    O_STATE,
    ORDER_ROWS,
    REASON_NAMES,
    RUNG_NAMES,
    STATE_NAMES,
    W_MAINTENANCE,
    Book,
)
from backtest.units import to_steps
from backtest.venues.schema import Terms

pytestmark = pytest.mark.jit_off

Row = __import__("types").SimpleNamespace


def flat(prices: list[float]) -> dict[str, list[float]]:
    return dict.fromkeys(("open", "low", "high", "close"), prices)


def future(base: str, prices: list[float], rate: float = 0.01, **more: Any) -> dict[str, Any]:
    terms = {
        "kind": "linear",
        "base": base,
        "settle": "USDT",
        "size": 1,
        "lot": "0.001",
        "expiry_bar": None,
        "maker": 0,
        "taker": 0,
        "delivery_fee": 0,
        "liquidation_fee": 0,
        "half_spread": 0,
        "tiers": [[0, rate, 0, 125]],
    }
    return {**terms, "last": flat(prices), "mark": flat(prices), **more}


def spot(base: str, prices: list[float]) -> dict[str, Any]:
    return future(base, prices) | {"kind": "spot", "tiers": []}


def asset(prices: list[float], ratio: float = 1.0) -> dict[str, Any]:
    return {"index": flat(prices), "ratio": [[0, ratio, 0]], "debt_buffer": 0, "need_buffer": 0}


class Desk:
    """One account, its book open on the table."""

    def __init__(
        self,
        instruments: dict[str, Any],
        assets: dict[str, Any],
        deposit: dict[str, dict[str, float]],
        *,
        multi: bool = False,
        requirement: str = "tiers",
        leverage: float = 10.0,
        scenario: Any = None,
        ladder: tuple[str, ...] = ("reduce", "takeover"),
        isolated: tuple[str, ...] = (),
        borrow: dict[str, float] | None = None,
        owes: bool = False,
        happenings: Iterable[Event] = (),
        rules: dict[str, Any] | None = None,
        **choices: Any,
    ) -> None:
        bars = len(next(iter(assets.values()))["index"]["open"])
        terms = {
            "bars": bars,
            "instruments": instruments,
            "assets": assets,
            "events": [],
            "orders": [],
            "transfers": [],
        }
        self.history = history_of(terms)
        rule_set = replace(rule_set_of(terms), scenario=scenario, owes=owes, **(rules or {}))
        if borrow:
            loans = {"borrow_initial": (0.5,) * len(assets), "borrow_maintenance": (0.1,) * len(assets)}
            rule_set = replace(rule_set, **loans)
        mode = Row(
            preset="desk",
            scope="cross",
            collateral="multi" if multi else "settlement",
            requirement=requirement,
            inverse_in_unified=True,
            open_loss=False,
            levels=(Row(ratio=1.0, action="liquidate"),),
            ladder=ladder,
            loss_beyond="insurance",
        )
        hedge = bool(choices.get("two_sided"))
        listed, names = self.history.instruments, self.history.assets
        self.shape = shape_of(mode, listed, names, list(isolated), bool(borrow), owes, hedge)
        choices = {"cuts": False, "borrows": bool(borrow), **choices}
        plan = Plan("desk", "desk", mode, self.shape, (rule_set,), {"default": leverage}, **choices)
        self.plan = plan
        self.rules, at = make_rules([plan], self.history)
        hourly = [Event(bar, int(INTEREST), first=1.0) for bar in range(1, bars if borrow else 1)]
        rates = [np.full(bars, borrow[name]) if name in borrow else None for name in assets] if borrow else []
        self.tape = make_tape(self.history, at, [*hourly, *happenings], None, [rates] if borrow else ())
        self.book = make_book(self.rules, self.tape, rows=1 << 16)  # nobody makes room on the way here
        self.symbols = list(instruments)
        for wallet, amounts in deposit.items():
            for name, amount in amounts.items():
                a = self.history.assets.index(name)
                post(self.book, 0, 0, self.shape.wallet(wallet, a), a, DEPOSIT, to_steps(amount, "deposit"), -1, -1)

    def order(self, symbol: str, contracts: float, bar: int = 0) -> int:
        """Written at the close of `bar`, judged at the next open."""
        group = int(self.book.count[ORDER_ROWS])
        steps = to_steps(contracts, "order")
        return int(place(self.book, bar, 0, self.symbols.index(symbol), MARKET, 0, group, steps, 0.0, 0.0))

    def wait(self, symbol: str, contracts: float, kind: Any, bar: int = 0, price: float = 0.0, **more: Any) -> int:
        """An order that waits: `price` of a limit, trigger of any other; `flags` and `group` as in `place`."""
        group, flags = more.get("group", int(self.book.count[ORDER_ROWS])), more.get("flags", 0)
        limit, trigger = (price, 0.0) if kind == LIMIT else (0.0, price)
        position, steps = self.symbols.index(symbol), to_steps(contracts, "order")
        return int(place(self.book, bar, 0, position, kind, flags, group, steps, limit, trigger))

    def state(self, order: int) -> tuple[str, str, float]:
        """How an order ended, why, and how much of it filled."""
        row = self.book.order[order]
        return STATE_NAMES[row[O_STATE]], REASON_NAMES[row[O_REASON]], float(row[O_FILLED]) * 1e-8

    def total(self, kind: str, name: str) -> float:
        """The ledger's rows of a kind in an asset, added up."""
        return float(self.book.total[KIND_NAMES.index(kind), self.history.assets.index(name), 0]) * 1e-8

    def live(self, bars: int | None = None) -> Book:
        last = bars or len(self.history.time)
        assert advance(self.book, self.rules, self.tape, last, last, -1, 0) == LIVED
        audit(self.book)
        return self.book

    def margin(self, bar: int, wallet: str = "usdm", name: str = "USDT") -> tuple[float, float, float]:
        """Collateral, initial and maintenance margin of a wallet at a close, USD."""
        w = self.shape.wallet(wallet, self.history.assets.index(name))
        collateral, initial, maintenance = self.book.wallet_path[:, w, 0, bar]
        return float(collateral), float(initial), float(maintenance)

    def balance(self, wallet: str, name: str) -> float:
        a = self.history.assets.index(name)
        return float(self.book.balance[self.shape.wallet(wallet, a), a, 0]) * 1e-8

    def rungs(self) -> list[str]:
        rows = self.book.incident[: self.book.count[INCIDENT_ROWS]]
        return [RUNG_NAMES[int(rung)] for rung in rows[:, N_RUNG]]


def scenario(moves: list[tuple[float, ...]], **numbers: float) -> Any:
    """Scenario rules without add-ons: moves by asset, offset c between up and down units."""
    rules = {"offset": 0.0, "basis_charge": 0.0, "contingency": 0.0, "initial_factor": 1.0, "tail": None, **numbers}
    return Row(moves=tuple(moves), **rules)


FLAT = [1.0, 1.0, 1.0]
USDT = asset(FLAT)


def test_1000_of_eth_at_a_haircut_of_ten_percent_counts_900() -> None:
    desk = Desk(
        {"ETH/USDT": spot("ETH", [2000.0] * 3)},
        {"USDT": USDT, "ETH": asset([2000.0] * 3, 0.9)},
        {"unified": {"ETH": 0.5}},
        multi=True,
    )
    desk.live()
    assert desk.margin(1, "unified")[0] == pytest.approx(900.0)


def test_10000_of_eth_and_5000_usdt_without_haircut_stand_with_15000_behind_a_btc_future() -> None:
    instruments = {"ETH/USDT": spot("ETH", [2000.0] * 3), "BTC/USDT:USDT": future("BTC", [50_000.0] * 3)}
    assets = {"USDT": USDT, "ETH": asset([2000.0] * 3), "BTC": asset([50_000.0] * 3)}
    desk = Desk(instruments, assets, {"unified": {"ETH": 5.0, "USDT": 5000.0}}, multi=True)
    desk.order("BTC/USDT:USDT", 0.2)
    desk.live()
    assert desk.margin(1, "unified") == pytest.approx((15_000.0, 1000.0, 100.0))


def pair_under(requirement: str, offset: float = 0.0) -> Desk:
    """Short 5,000 of BTC (range 10 %, or margin 10 %) and long 3,000 of ETH (11.667 %)."""
    instruments = {
        "BTC/USDT:USDT": future("BTC", [50_000.0] * 3, 0.1),
        "ETH/USDT:USDT": future("ETH", [3000.0] * 3, 0.35 / 3),
    }
    assets = {"USDT": USDT, "BTC": asset([50_000.0] * 3), "ETH": asset([3000.0] * 3)}
    moves = [(0.0,), (-0.1, 0.1), (-0.35 / 3, 0.35 / 3)]
    desk = Desk(
        instruments,
        assets,
        {"unified": {"USDT": 10_000.0}},
        multi=True,
        requirement=requirement,
        leverage=5,
        scenario=scenario(moves, offset=offset),
    )
    desk.order("BTC/USDT:USDT", -0.1)
    desk.order("ETH/USDT:USDT", 1.0)
    desk.live()
    return desk


def test_short_btc_and_long_eth_need_850_added_up() -> None:
    assert pair_under("tiers").margin(1, "unified")[2] == pytest.approx(500 + 350)


@pytest.mark.parametrize("offset", [0.0, 0.25, 0.5, 1.0])
def test_short_btc_and_long_eth_need_850_less_700_times_the_offset_under_scenarios(offset: float) -> None:
    assert pair_under("scenarios", offset).margin(1, "unified")[2] == pytest.approx(850 - 700 * offset)


@pytest.mark.parametrize("requirement", ["tiers", "scenarios"])
def test_long_ten_and_short_five_of_one_contract_need_the_margin_of_five(requirement: str) -> None:
    assets = {"USDT": USDT, "BTC": asset([100.0] * 3)}
    desk = Desk(
        {"BTC/USDT:USDT": future("BTC", [100.0] * 3, 0.1)},
        assets,
        {"unified": {"USDT": 1000.0}},
        multi=True,
        requirement=requirement,
        scenario=scenario([(0.0,), (-0.1, 0.1)]),
    )
    desk.order("BTC/USDT:USDT", 10.0)
    desk.order("BTC/USDT:USDT", -5.0)
    desk.live()
    assert desk.margin(1, "unified")[2] == pytest.approx(0.1 * 500)


def test_long_ten_and_short_five_of_one_contract_need_the_margin_of_fifteen_in_hedge_mode() -> None:
    assets = {"USDT": USDT, "BTC": asset([100.0] * 3)}
    desk = Desk({"BTC/USDT:USDT": future("BTC", [100.0] * 3, 0.1)}, assets, {"usdm": {"USDT": 1000.0}}, two_sided=True)
    for position, contracts in ((0, 10.0), (1, -5.0)):
        place(desk.book, 0, 0, position, MARKET, 0, position, to_steps(contracts, "order"), 0.0, 0.0)
    desk.live()
    assert desk.book.contracts[:, 0].tolist() == [10 * 10**8, -5 * 10**8]
    assert desk.margin(1)[1:] == pytest.approx((1500 / 10, 0.1 * 1500))


def test_25000_at_3x_ties_up_8333_and_leaves_51667_of_a_pool_of_60000_free() -> None:
    assets = {"USDT": USDT, "BTC": asset([25_000.0] * 3)}
    desk = Desk({"BTC/USDT:USDT": future("BTC", [25_000.0] * 3)}, assets, {"usdm": {"USDT": 60_000.0}}, leverage=3)
    desk.order("BTC/USDT:USDT", 1.0)
    desk.live()
    collateral, initial, _ = desk.margin(1)
    assert initial == pytest.approx(8333.33, abs=0.01)
    assert collateral - initial == pytest.approx(51_666.67, abs=0.01)


def short_with_a_core(prices: list[float], multi: bool) -> Desk:
    """3 BTC short at 50,000 on 40,000 USDT, and 0.6 BTC (30,000) that is not to be touched."""
    bars = len(prices)
    instruments = {"BTC/USDT": spot("BTC", prices), "BTC/USDT:USDT": future("BTC", prices)}
    assets = {"USDT": asset([1.0] * bars), "BTC": asset(prices)}
    core = {"unified": {"BTC": 0.6, "USDT": 40_000.0}} if multi else {"spot": {"BTC": 0.6}, "usdm": {"USDT": 40_000.0}}
    off = frozenset({"BTC"}) if multi else frozenset()
    desk = Desk(instruments, assets, core, multi=multi, off=off, ladder=("reduce", "sell_collateral", "takeover"))
    desk.order("BTC/USDT:USDT", -3.0)
    desk.live()
    return desk


@pytest.mark.parametrize("multi", [False, True])
def test_liquidation_takes_at_most_the_40000_and_the_core_is_whole(multi: bool) -> None:
    desk = short_with_a_core(
        [50_000.0, 50_000.0, 70_000.0, 70_000.0], multi
    )  # a gap of 20,000 x 3 = 60,000 against 40,000
    wallet = "unified" if multi else "usdm"
    assert desk.balance(wallet, "USDT") == 0.0
    assert desk.balance("spot", "BTC") == 0.6
    assert desk.book.total[KIND("insurance"), 0, 0] * 1e-8 == pytest.approx(20_000.0)  # the loss beyond is the fund's


def KIND(name: str) -> int:
    from backtest.ledger.kinds import KIND_NAMES

    return KIND_NAMES.index(name)


@pytest.mark.parametrize(("hedge", "expected"), [(0.0, -5000.0), (0.2, -4000.0), (1.0, 0.0)])
def test_eth_falls_ten_percent_and_a_hedge_gains_its_share_of_what_50000_of_spot_lose(
    hedge: float, expected: float
) -> None:
    prices = [2000.0, 2000.0, 1800.0]
    instruments = {"ETH/USDT": spot("ETH", prices), "ETH/USDT:USDT": future("ETH", prices)}
    desk = Desk(instruments, {"USDT": USDT, "ETH": asset(prices)}, {"spot": {"ETH": 25.0}, "usdm": {"USDT": 20_000.0}})
    if hedge:
        desk.order("ETH/USDT:USDT", -25.0 * hedge)
    desk.live()
    assert desk.book.path[0, 0, 2] - 70_000.0 == pytest.approx(expected)


def test_eth_collateral_under_a_levered_sol_future_falls_rung_by_rung_in_a_joint_crash() -> None:
    """10 ETH at 2,000 (ratio 0.9) carry 300 SOL long at 100, maintenance 5 %; then ETH 1,000 and SOL 50.

    Before: 20,000 x 0.9 = 18,000. After: SOL has lost 300 x 50 = 15,000, a debt in USDT; ETH counts 9,000: collateral
    -6,000.
    Rung 1 closes all 300 SOL at 50: 15,000 USDT are owed. Rung 2 sells ETH: all 10 fetch 10,000; 5,000 are still owed.
    Rung 3: the fund makes the 5,000 good. Nothing is left.
    """
    eth, sol = [2000.0, 2000.0, 1000.0, 1000.0], [100.0, 100.0, 50.0, 50.0]
    instruments = {"ETH/USDT": spot("ETH", eth), "SOL/USDT:USDT": future("SOL", sol, 0.05)}
    assets = {"USDT": asset([1.0] * 4), "ETH": asset(eth, 0.9), "SOL": asset(sol, 0.8)}
    desk = Desk(
        instruments,
        assets,
        {"unified": {"ETH": 10.0}},
        multi=True,
        ladder=("cancel_orders", "reduce", "sell_collateral", "takeover"),
    )
    desk.order("SOL/USDT:USDT", 300.0)
    book = desk.live()
    assert desk.rungs() == ["reduce", "sell collateral", "takeover"]
    assert [desk.balance("unified", name) for name in ("USDT", "ETH")] == [0.0, 0.0]
    assert book.total[KIND("realised"), 0, 0] * 1e-8 == -15_000.0
    assert book.total[KIND("insurance"), 0, 0] * 1e-8 == pytest.approx(5000.0)
    assert book.path[0, 0, -1] == 0.0


def test_a_guard_refuses_the_order_that_takes_the_ratio_under_its_limit_and_never_the_one_that_closes_risk() -> None:
    """1,000 USDT, maintenance 10 %: 80 contracts of 100 need 800, a ratio of 1.25; 90 would leave 1.11."""
    prices = [100.0] * 5
    desk = Desk(
        {"BTC/USDT:USDT": future("BTC", prices, 0.1)},
        {"USDT": asset([1.0] * 5), "BTC": asset(prices)},
        {"usdm": {"USDT": 1000.0}},
        guard_ratio=1.2,
    )
    first, second, third = (
        desk.order("BTC/USDT:USDT", 80.0),
        desk.order("BTC/USDT:USDT", 10.0, bar=1),
        desk.order("BTC/USDT:USDT", -5.0, bar=2),
    )
    book = desk.live()
    from backtest.state import FILLED, GUARDED_RATIO, REFUSED

    assert [int(book.order[k, O_STATE]) for k in (first, second, third)] == [FILLED, REFUSED, FILLED]
    assert book.order[second, O_REASON] == GUARDED_RATIO
    assert np.isclose(desk.margin(4)[0] / desk.margin(4)[2], 1000 / 750)
    assert HOUR_US == 3_600_000_000


def carry_in_a_rally(**choices: Any) -> Desk:
    """10 ETH and 300 USDT in the spot wallet, 10 short on 2,500 USDT; ETH rises from 1,000 to 1,100, then stands still.

    Then the short has lost 1,000: collateral 1,500 on a maintenance of 550. Refilled at a ratio of 3 up to 4, it lacks
    700.
    """
    prices = [1000.0, 1000.0, 1100.0, 1100.0, 1100.0]
    instruments = {"ETH/USDT": spot("ETH", prices), "ETH/USDT:USDT": future("ETH", prices, 0.05)}
    deposit = {"spot": {"ETH": 10.0, "USDT": 300.0}, "usdm": {"USDT": 2500.0}}
    desk = Desk(instruments, {"USDT": asset([1.0] * 5), "ETH": asset(prices)}, deposit, **choices)
    desk.order("ETH/USDT:USDT", -10.0)
    desk.live()
    return desk


def test_a_refill_moves_what_dollars_there_are() -> None:
    desk = carry_in_a_rally(refill=(3.0, 4.0, 0.0))
    assert desk.rungs() == ["refill"]
    assert desk.balance("spot", "USDT") == 0.0
    assert desk.balance("usdm", "USDT") == 2800.0


def test_a_refill_that_may_sell_shrinks_both_legs_alike_and_sends_the_proceeds() -> None:
    """300 are there; 400 / 1,100 = 0.363 ETH in lots of 0.001, sold for 399.3 and bought back at a loss of 36.3."""
    desk = carry_in_a_rally(refill=(3.0, 4.0, 0.0), refill_sells=True)
    sold = 10 - desk.balance("spot", "ETH")
    assert desk.book.contracts[1, 0] * 1e-8 == pytest.approx(-(10 - sold))
    first = desk.book.incident[0]
    assert first[10] == pytest.approx(300 + 399.3)
    assert desk.balance("usdm", "USDT") + desk.balance("spot", "USDT") == pytest.approx(2800 + sold * 1100 - sold * 100)


def test_a_refill_under_way_is_equity_and_no_collateral() -> None:
    """With two bars of delay the 300 leave at the open of bar 2 and arrive at bar 4."""
    desk = carry_in_a_rally(refill=(3.0, 4.0, 0.0), refill_delay_us=2 * HOUR_US)
    assert desk.book.path[0, 0, 2:].tolist() == pytest.approx([11_000 + 300 + 1500] * 3)
    assert [desk.margin(bar)[0] for bar in (2, 3, 4)] == pytest.approx([1500, 1500, 1800])


def test_a_gap_through_liquidation_is_not_rescued_by_a_refill() -> None:
    prices = [1000.0, 1000.0, 1210.0, 1210.0]  # collateral 2,500 - 2,100 = 400 on a maintenance of 605
    instruments = {"ETH/USDT": spot("ETH", prices), "ETH/USDT:USDT": future("ETH", prices, 0.05)}
    desk = Desk(
        instruments,
        {"USDT": asset([1.0] * 4), "ETH": asset(prices)},
        {"spot": {"USDT": 5000.0}, "usdm": {"USDT": 2500.0}},
        refill=(3.0, 4.0, 0.0),
    )
    desk.order("ETH/USDT:USDT", -10.0)
    desk.live()
    assert desk.rungs()[0] == "reduce"


def test_a_calendar_spread_is_charged_by_the_time_that_is_left_wherever_the_history_is_cut() -> None:
    """100 long against 100 of a future that ends in bar 40, r = 1: 10,000 x sqrt(hours left / 8,760)."""
    prices, dated = [100.0] * 36, "BTC/USDT:USDT-241227"
    answers = []
    for cuts in ((36,), range(1, 37)):
        desk = Desk(
            {"BTC/USDT:USDT": future("BTC", prices), dated: future("BTC", prices, expiry_bar=40)},
            {"USDT": asset([1.0] * 36), "BTC": asset(prices)},
            {"unified": {"USDT": 100_000.0}},
            multi=True,
            requirement="scenarios",
            scenario=scenario([(0.0,), (-0.1, 0.1)], basis_charge=1.0),
        )
        desk.order("BTC/USDT:USDT", 100.0)
        desk.order(dated, -100.0)
        for last in cuts:
            desk.live(last)
        answers.append(desk.book.wallet_path[W_MAINTENANCE, :, 0].sum(axis=0))
    assert np.array_equal(*answers)
    assert answers[0][10] == pytest.approx(10_000 * np.sqrt(30 / 8760))


@pytest.mark.parametrize("requirement", ["tiers", "scenarios"])
def test_a_tenth_of_a_btc_borrowed_at_50000_asks_2500_to_borrow_and_500_to_keep(requirement: str) -> None:
    """5,000 USD owed: half of it initial, a tenth maintenance, in dollars and not in coins."""
    desk = Desk(
        {"BTC/USDT": spot("BTC", [50_000.0] * 3)},
        {"USDT": USDT, "BTC": asset([50_000.0] * 3)},
        {"unified": {"USDT": 10_000.0}},
        multi=True,
        requirement=requirement,
        scenario=scenario([(0.0,), (-0.1, 0.1)], initial_factor=1.3),
        borrow={"BTC": 0.0},
    )
    desk.order("BTC/USDT", -0.1)
    desk.live()
    assert desk.balance("loans", "BTC") == pytest.approx(-0.1)
    assert desk.margin(1, "unified") == pytest.approx((10_000.0, 2500.0, 500.0))


def test_where_orders_ask_no_initial_margin_what_is_above_1_2_times_maintenance_may_leave() -> None:
    """One coin at 100 asks 10: of 50 dollars 38 may go, though half of 100 would be its initial margin at 2x."""
    leaves = Event(2, int(FLOW), 0, 0, float(to_steps(-1000.0, "flow")), 0.0)
    terms = {"terms": Terms(keeps=1.2), "asks_initial": False}
    desk = Desk(
        {"BTC/USDT:USDT": future("BTC", [100.0] * 4, tiers=[[0, 0.1, 0, 10]])},
        {"USDT": asset([1.0] * 4), "BTC": asset([100.0] * 4)},
        {"unified": {"USDT": 50.0}},
        multi=True,
        leverage=2.0,
        rules=terms,
        happenings=[leaves],
    )
    desk.order("BTC/USDT:USDT", 1.0)
    desk.live()
    assert desk.balance("unified", "USDT") == pytest.approx(12.0)


def test_whole_numbers_given_for_leverage_and_sizes_are_of_the_same_kind_as_any_others() -> None:
    """numpy would make integers of them, for which the core would be compiled a second time."""
    rules = []
    for leverage in (10, 10.0):
        desk = Desk({"BTC/USDT:USDT": future("BTC", FLAT)}, {"USDT": USDT, "BTC": asset(FLAT)}, {"usdm": {"USDT": 1.0}})
        rules.append(make_rules([replace(desk.plan, leverage={"default": leverage})], desk.history)[0])
    assert rules[0]._kind is rules[1]._kind
