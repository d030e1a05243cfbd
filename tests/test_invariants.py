"""What must hold whatever is traded at whatever prices: money is conserved, prudence costs, and cuts change nothing.

Random histories (four accounts in four modes, with refusals, deliveries and liquidations) and small made-up markets.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import SimpleNamespace as Row
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_scenarios import random_scenario
from scenario_engine import history_of, prepare
from test_arithmetic import Desk, asset, future, scenario, spot

from backtest.config import Funding, Prices
from backtest.engine.advance import advance
from backtest.engine.book import make_book
from backtest.engine.orders import place
from backtest.engine.plan import Plan
from backtest.engine.shape import shape_of
from backtest.engine.tables import make_rules
from backtest.engine.tape import make_tape
from backtest.engine.transfers import ask_transfer
from backtest.ledger.audit import audit
from backtest.ledger.kinds import (
    ALLOCATE,
    DEPOSIT,
    FEE,
    FUNDED,
    INSURANCE,
    LIQUIDATION,
    REALISED,
    TRANSFER,
    TRANSFER_COST,
    WITHDRAWAL,
)
from backtest.ledger.post import post
from backtest.market.align import align
from backtest.market.history import History
from backtest.market.store import Store
from backtest.report.explain import explain
from backtest.report.frames import record_of
from backtest.report.record import RunRecord
from backtest.state import (
    F_ACCOUNT,
    F_BAR,
    F_CONTRACTS,
    F_ORDER,
    F_POSITION,
    FILL_ROWS,
    INCIDENT_ROWS,
    L_ACCOUNT,
    L_AMOUNT,
    L_ASSET,
    L_BAR,
    L_INSTRUMENT,
    L_KIND,
    L_WALLET,
    LEDGER_ROWS,
    LIMIT,
    LIVED,
    N_ACCOUNT,
    N_BAR,
    O_STATE,
    ORDER_ROWS,
    P_CLOSE,
    P_EQUITY,
    REFUSED,
    SPOT,
    UNBOUND,
    W_COLLATERAL,
    Book,
    Rules,
)
from backtest.units import amount_of, to_steps
from backtest.venues.schema import RuleSet

STEP = 1e-8
FEW = settings(max_examples=12, deadline=None, derandomize=True)
MORE = settings(max_examples=40, deadline=None, derandomize=True)
SEEDS = st.integers(0, 15)
KINDS = st.sampled_from(["calm", "liquidation"])


@cache
def drawn(seed: int, kind: str) -> dict[str, Any]:
    """A random history; looked for once, since finding a liquidation takes some tries."""
    return random_scenario(seed, kind)


def live(story: dict[str, Any], cuts: Iterable[int] = (), unbound: bool = False) -> tuple[list[Any], Book, Rules]:
    """Live through a history, stopping at each cut; unbound: nothing is refused and nobody is liquidated."""
    plans, book, rules, tape = prepare(story)
    if unbound:
        rules.switch[:, UNBOUND] = 1
    for last in sorted({*cuts, story["bars"]}):
        assert advance(book, rules, tape, last, last, -1, 0) == LIVED
    audit(book)
    return plans, book, rules


def ledger_of(book: Book, account: int) -> list[list[int]]:
    """One account's ledger in canonical order, without the numbers of accounts and orders."""
    rows = book.ledger[: book.count[LEDGER_ROWS]]
    rows = rows[rows[:, L_ACCOUNT] == account]
    columns = [L_BAR, L_WALLET, L_ASSET, L_KIND, L_AMOUNT, L_INSTRUMENT]
    found: list[list[int]] = rows[np.argsort(rows[:, L_BAR], kind="stable")][:, columns].tolist()
    return found


def fills_of(book: Book, account: int) -> list[list[float]]:
    """One account's fills in canonical order with their prices, without the numbers of accounts and orders."""
    rows, prices = book.fill[: book.count[FILL_ROWS]], book.fill_price[: book.count[FILL_ROWS]]
    mine = np.flatnonzero(rows[:, F_ACCOUNT] == account)
    mine = mine[np.argsort(rows[mine, F_BAR], kind="stable")]
    columns = [k for k in range(rows.shape[1]) if k not in (F_ACCOUNT, F_ORDER)]
    found: list[list[float]] = np.hstack([rows[mine][:, columns].astype(float), prices[mine]]).tolist()
    return found


def incidents_of(book: Book, account: int) -> list[list[float]]:
    """One account's incidents in canonical order."""
    rows = book.incident[: book.count[INCIDENT_ROWS]]
    rows = rows[rows[:, N_ACCOUNT] == account]
    columns = [k for k in range(rows.shape[1]) if k != N_ACCOUNT]
    found: list[list[float]] = rows[np.argsort(rows[:, N_BAR], kind="stable")][:, columns].tolist()
    return found


def same_money(one: Book, k: int, other: Book, m: int) -> None:
    """Account k of one book and account m of another have the same story, to the bit."""
    for name in ("balance", "total"):
        assert np.array_equal(getattr(one, name)[:, :, k], getattr(other, name)[:, :, m]), name
    for name in ("contracts", "cost", "topped_up"):
        assert np.array_equal(getattr(one, name)[:, k], getattr(other, name)[:, m]), name
    for rows in (ledger_of, fills_of, incidents_of):
        assert rows(one, k) == rows(other, m), rows.__name__
    assert np.array_equal(one.path[P_EQUITY, k], other.path[P_EQUITY, m])
    assert np.array_equal(one.wallet_path[:, :, k], other.wallet_path[:, :, m])


def paid_in(story: dict[str, Any], plans: Sequence[Any]) -> dict[tuple[int, int, int], int]:
    """Steps paid in by the history's own words: (account, wallet, asset) -> steps."""
    names, assets = [plan.name for plan in plans], list(story["assets"])
    found: dict[tuple[int, int, int], int] = {}
    deposits = [
        (a["name"], w, c, x) for a in story["accounts"] for w, held in a["deposit"].items() for c, x in held.items()
    ]
    flows = [(e["account"], e["wallet"], e["asset"], e["amount"]) for e in story["events"] if e["kind"] == "flow"]
    for name, wallet, coin, amount in [*deposits, *flows]:
        k = names.index(name)
        key = (k, plans[k].shape.names.index(wallet), assets.index(coin))
        found[key] = found.get(key, 0) + round(float(amount) / STEP)
    return found


@FEW
@given(SEEDS, KINDS)
def test_every_balance_is_what_was_deposited_plus_its_ledger_rows(seed: int, kind: str) -> None:
    story = drawn(seed, kind)
    plans, book, _ = live(story)
    expected = np.zeros_like(book.balance)
    for (k, wallet, a), steps in paid_in(story, plans).items():
        expected[wallet, a, k] += steps
    for row in book.ledger[: book.count[LEDGER_ROWS]]:
        if row[L_KIND] not in (DEPOSIT, WITHDRAWAL):
            expected[row[L_WALLET], row[L_ASSET], row[L_ACCOUNT]] += row[L_AMOUNT]
    assert np.array_equal(expected, book.balance)


@FEW
@given(SEEDS, KINDS)
def test_every_position_is_the_sum_of_its_fills(seed: int, kind: str) -> None:
    _, book, rules = live(drawn(seed, kind))
    expected = np.zeros_like(book.contracts)
    for row in book.fill[: book.count[FILL_ROWS]]:
        if rules.kind[row[F_POSITION]] != SPOT:
            expected[row[F_POSITION], row[F_ACCOUNT]] += row[F_CONTRACTS]
    assert np.array_equal(expected, book.contracts)


@given(st.decimals(min_value=-9_999_999, max_value=9_999_999, places=8))
def test_an_amount_reads_as_it_was_written(written: Decimal) -> None:
    steps = to_steps(float(written), "amount")
    assert amount_of(steps) == float(written)
    assert amount_of(np.array([steps])).tolist() == [float(written)]


DELAYS = st.tuples(st.booleans(), st.floats(0, 3000), st.integers(0, 5), st.integers(0, 4))


@MORE
@given(st.lists(DELAYS, max_size=6), st.floats(0, 5))
def test_transfers_conserve_money_less_their_cost_and_overdraw_nothing(
    sent: list[tuple[bool, float, int, int]], cost: float
) -> None:
    bars = 12
    desk = Desk(
        {"BTC/USDT:USDT": future("BTC", [100.0] * bars)},
        {"USDT": asset([1.0] * bars), "BTC": asset([100.0] * bars)},
        {"spot": {"USDT": 2000.0}, "usdm": {"USDT": 1500.0}},
        transfer_cost=cost,
    )
    one, two = desk.shape.wallet("spot", 0), desk.shape.wallet("usdm", 0)
    for back, amount, leaves, delay in sent:
        ask_transfer(
            desk.book, leaves, leaves + delay, 0, 0, *((two, one) if back else (one, two)), to_steps(amount, "sent")
        )
    book = desk.live()
    costs = int(book.total[TRANSFER_COST, 0, 0])
    assert book.balance[:, 0, 0].sum() == 3500 * 10**8 + costs
    assert -len(sent) * (cost + STEP) <= costs * STEP <= 0
    assert book.balance[desk.shape.transit, 0, 0] == 0  # all have arrived
    assert (book.balance >= 0).all()
    assert book.total[TRANSFER, 0, 0] == 0


def account(name: str, cash: float, **more: Any) -> dict[str, Any]:
    """A cross account with so many dollars behind its futures."""
    usual = {
        "mode": "cross",
        "level": 1,
        "isolated": [],
        "leverage": {"BTC/USDT:USDT": 5},
        "slippage": 0,
        "path": "close",
    }
    return {"name": name, "deposit": {"usdm:USDT": {"USDT": cash}}, **usual, **more}


RATES = st.lists(st.floats(-0.01, 0.01), min_size=1, max_size=8)


@MORE
@given(RATES, st.integers(1, 40_000), st.floats(20.0, 90_000.0))
def test_equal_long_and_short_accounts_pay_and_receive_the_same_funding(
    rates: list[float], lots: int, mark: float
) -> None:
    bars, contracts = len(rates) + 2, lots * 0.001
    cash = 10 * contracts * mark + 1
    story = {
        "bars": bars,
        "instruments": {"BTC/USDT:USDT": future("BTC", [mark] * bars)},
        "assets": {"USDT": asset([1.0] * bars), "BTC": asset([mark] * bars)},
        "accounts": [account("long", cash), account("short", cash)],
        "events": [
            {"bar": k + 2, "kind": "funding", "symbol": "BTC/USDT:USDT", "rate": rate, "mark": mark}
            for k, rate in enumerate(rates)
        ],
        "orders": [
            {"bar": 0, "account": name, "symbol": "BTC/USDT:USDT", "contracts": sign * contracts}
            for name, sign in (("long", 1), ("short", -1))
        ],
        "transfers": [],
    }
    _, book, _ = live(story)
    assert book.contracts[0].tolist() == [lots * 10**5, -lots * 10**5]
    rows = book.ledger[: book.count[LEDGER_ROWS]]
    rows = rows[rows[:, L_KIND] == FUNDED]
    for k, rate in enumerate(rates):
        long, short = (rows[(rows[:, L_BAR] == k + 2) & (rows[:, L_ACCOUNT] == n), L_AMOUNT].sum() for n in (0, 1))
        assert abs(long + short) <= 1
        assert long * STEP == pytest.approx(-contracts * mark * rate, rel=1e-12, abs=STEP)


def marginal(floors: Sequence[float], rates: Sequence[float], *more: Any) -> list[list[Any]]:
    """A table of tiers from marginal rates: each deduction makes the next tier begin where the last one ends."""
    rows, deduction = [[floors[0], rates[0], 0.0, *more]], 0.0
    for floor, below, rate in zip(floors[1:], rates, rates[1:], strict=False):
        deduction += floor * (rate - below)
        rows.append([floor, rate, deduction, *more])
    return rows


SHARES = st.lists(st.floats(0, 1), min_size=3, max_size=3)
COIN_FLOORS, COIN_RATIOS = [0.0, 300.0, 1500.0], [0.95, 0.9, 0.6]


@FEW
@given(SEEDS, SHARES)
def test_a_lower_collateral_ratio_never_raises_collateral_equity(seed: int, shares: list[float]) -> None:
    """The same trades, nothing refused; every step of every coin's table is cut by a share of its own."""
    paths = []
    for cut in ([1.0] * 3, shares):
        story = copy.deepcopy(drawn(seed, "calm"))
        for coin in ("BTC", "ETH"):
            story["assets"][coin]["ratio"] = marginal(
                COIN_FLOORS, [r * c for r, c in zip(COIN_RATIOS, cut, strict=True)]
            )
        paths.append(live(story, unbound=True)[1])
    as_it_is, cut_down = paths
    assert np.array_equal(as_it_is.balance, cut_down.balance)
    assert np.array_equal(as_it_is.path[0], cut_down.path[0])  # a haircut is no loss
    assert (cut_down.wallet_path[0] <= as_it_is.wallet_path[0] + 1e-6).all()
    counted, all_of_it = (book.wallet_path[W_COLLATERAL].sum(axis=0) for book in (cut_down, as_it_is))
    if max(shares) < 0.9:
        assert (counted[2:] < all_of_it[2:]).all()  # the two accounts that pool coins


TIER_FLOORS, TIER_RATES = [0.0, 200.0, 1000.0], [0.02, 0.03, 0.05]


@FEW
@given(SEEDS, SHARES)
def test_a_higher_tier_rate_never_lowers_maintenance_margin(seed: int, shares: list[float]) -> None:
    """The same trades, nothing refused; every marginal rate is raised by up to as much again."""
    paths = []
    for raised in ([0.0] * 3, shares):
        story = copy.deepcopy(drawn(seed, "calm"))
        for terms in story["instruments"].values():
            if terms["kind"] == "linear":
                rates = [rate * (1 + more) for rate, more in zip(TIER_RATES, raised, strict=True)]
                terms["tiers"] = marginal(TIER_FLOORS, rates, 125)
        paths.append(live(story, unbound=True)[1])
    low, high = paths
    assert np.array_equal(low.balance, high.balance)
    assert (high.wallet_path[2] >= low.wallet_path[2] - 1e-9).all()


MOVES = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=4)
LEGS = st.floats(0.05, 20.0)
OTHERS = st.sampled_from(["ETH/USDT:USDT", "BTC/USDT:USDT-241227"])


def need_under_scenarios(other: str, long: float, short: float, moves: list[float], numbers: dict[str, float]) -> float:
    """Maintenance margin under scenarios of a long perpetual in BTC and a short of another contract."""
    instruments = {
        "BTC/USDT:USDT": future("BTC", [100.0] * 3),
        "BTC/USDT:USDT-241227": future("BTC", [101.0] * 3, expiry_bar=9),
        "ETH/USDT:USDT": future("ETH", [50.0] * 3),
    }
    assets = {"USDT": asset([1.0] * 3), "BTC": asset([100.0] * 3), "ETH": asset([50.0] * 3)}
    grid = [(0.0,) * len(moves), tuple(moves), tuple(0.8 * move for move in moves)]
    model: dict[str, Any] = {"requirement": "scenarios", "scenario": scenario(grid, **numbers)}
    desk = Desk(instruments, assets, {"unified": {"USDT": 1e6}}, multi=True, **model)
    if long:
        desk.order("BTC/USDT:USDT", long)
    if short:
        desk.order(other, -short)
    desk.live()
    return desk.margin(1, "unified")[2]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(OTHERS, LEGS, LEGS, MOVES, st.floats(0, 1), st.floats(0, 0.05))
def test_opposite_legs_never_need_more_together_than_apart(
    other: str, long: float, short: float, moves: list[float], offset: float, contingency: float
) -> None:
    """Without the basis charge, which is the price of being matched and nothing that either leg pays alone."""
    numbers = {"offset": offset, "contingency": contingency}
    together = need_under_scenarios(other, long, short, moves, numbers)
    apart = [need_under_scenarios(other, a, b, moves, numbers) for a, b in ((long, 0), (0, short))]
    assert together <= sum(apart) * (1 + 1e-12) + 1e-9


@FEW
@given(SEEDS, KINDS, st.permutations(range(4)))
def test_the_order_of_the_accounts_changes_nothing(seed: int, kind: str, order: list[int]) -> None:
    story = drawn(seed, kind)
    shuffled = story | {"accounts": [story["accounts"][k] for k in order]}
    one, other = live(story)[1], live(shuffled)[1]
    assert one.count[LEDGER_ROWS] == other.count[LEDGER_ROWS] > 0
    for m, k in enumerate(order):
        same_money(one, k, other, m)


@FEW
@given(SEEDS, KINDS, st.sets(st.integers(1, 19)))
def test_where_the_history_is_cut_changes_no_money(seed: int, kind: str, cuts: set[int]) -> None:
    story = drawn(seed, kind)
    one, other = live(story)[1], live(story, {c for c in cuts if c < story["bars"]})[1]
    assert one.count[LEDGER_ROWS] == other.count[LEDGER_ROWS] > 0
    for k in range(4):
        same_money(one, k, other, k)


@FEW
@given(SEEDS)
def test_a_calm_history_may_be_cut_anywhere_and_its_lowest_ratios_stay_to_the_bit(seed: int) -> None:
    story = drawn(seed, "calm")
    assert np.array_equal(live(story)[1].path, live(story, range(1, story["bars"]))[1].path)


@pytest.mark.parametrize("cuts", [(), (2,), (1, 2, 3)])
def test_the_lowest_ratio_of_a_bar_is_the_one_before_the_forced_sale_wherever_it_is_cut(cuts: tuple[int, ...]) -> None:
    """200 USDT, 10 long from 100, maintenance 5 %. At 82: 20 are left on a need of 41, a ratio of 20 / 41."""
    prices = [100.0, 100.0, 82.0, 82.0]
    desk = Desk(
        {"BTC/USDT:USDT": future("BTC", prices, 0.05)},
        {"USDT": asset([1.0] * 4), "BTC": asset(prices)},
        {"usdm": {"USDT": 200.0}},
    )
    desk.order("BTC/USDT:USDT", 10.0)
    place(desk.book, 0, 0, 0, LIMIT, 0, 1, to_steps(-1.0, "order"), 1000.0, 0.0)  # a resting order far away
    for last in cuts:
        desk.live(last)
    assert desk.live().path[P_CLOSE, 0, 2] == pytest.approx(20 / 41)


def without_refused(story: dict[str, Any], book: Book) -> dict[str, Any]:
    """The history without the orders that were refused in it."""
    refused = set(np.flatnonzero(book.order[: book.count[ORDER_ROWS], O_STATE] == REFUSED).tolist())
    return story | {"orders": [order for k, order in enumerate(story["orders"]) if k not in refused]}


@FEW
@given(SEEDS, KINDS)
def test_a_refused_order_changes_nothing(seed: int, kind: str) -> None:
    """The same history without the orders that were refused: every book is the same to the bit."""
    story = drawn(seed, kind)
    one = live(story)[1]
    other = live(without_refused(story, one))[1]
    assert one.count[LEDGER_ROWS] == other.count[LEDGER_ROWS] > 0
    for k in range(4):
        same_money(one, k, other, k)


def test_some_of_the_histories_have_orders_refused_and_some_have_positions_liquidated() -> None:
    """What the invariants above are worth: both happen in the histories they look at."""
    calm, hard = ([live(drawn(seed, kind))[1] for seed in range(16)] for kind in ("calm", "liquidation"))
    assert sum(int((b.order[: b.count[ORDER_ROWS], O_STATE] == REFUSED).sum()) for b in calm) > 10
    assert all(b.count[INCIDENT_ROWS] > 0 for b in hard)


STATE = (
    "balance",
    "contracts",
    "cost",
    "total",
    "cursor",
    "topped_up",
    "ledger",
    "fill",
    "fill_price",
    "transfer",
    "incident",
    "resting",
    "held",
    "path",
    "wallet_path",
)
"""The book without its orders and its scratch paper."""


@MORE
@given(st.integers(1, 10**6))
def test_an_order_beyond_all_margin_leaves_every_array_of_the_book_but_its_own_row(lots: int) -> None:
    """1,000 USDT at 5x carry 50 contracts of 100 at most; anything from 60 up is refused."""
    prices = [100.0, 100.0, 101.0, 99.0, 100.0]
    books = []
    for greedy in (False, True):
        desk = Desk(
            {"BTC/USDT:USDT": future("BTC", prices)},
            {"USDT": asset([1.0] * 5), "BTC": asset(prices)},
            {"usdm": {"USDT": 1000.0}},
            leverage=5,
        )
        desk.order("BTC/USDT:USDT", -3.0)
        if greedy:
            refused = desk.order("BTC/USDT:USDT", 60 + lots * 0.001, bar=1)
        books.append(desk.live())
    assert books[1].order[refused, O_STATE] == REFUSED
    for name in STATE:
        if name in ("ledger", "fill", "fill_price"):  # rows of a trial are taken back by their count
            n = int(books[0].count[LEDGER_ROWS if name == "ledger" else FILL_ROWS])
            assert np.array_equal(getattr(books[0], name)[:n], getattr(books[1], name)[:n]), name
        else:
            assert np.array_equal(getattr(books[0], name), getattr(books[1], name)), name
    changed = books[1].count - books[0].count
    assert changed.tolist() == [int(k == ORDER_ROWS) for k in range(len(changed))]
    assert np.array_equal(books[0].order[:refused], books[1].order[:refused])


JUMPS = st.lists(st.floats(-0.35, 0.35), min_size=2, max_size=7)


@MORE
@given(JUMPS, st.sampled_from([1.0, -1.0]), st.integers(2, 20), st.booleans(), st.floats(0, 0.02))
def test_an_isolated_position_never_loses_more_than_the_margin_moved_into_its_wallet(
    jumps: list[float], side: float, leverage: int, safety_net: bool, spread: float
) -> None:
    """2,000 USDT, 5 contracts from 100, no trading fee: the shared wallet loses what it sent in and not a step more."""
    prices = [100.0, 100.0, *(100 * np.cumprod([1 + jump for jump in jumps])).tolist()]
    bars = len(prices)
    symbol = "BTC/USDT:USDT"
    cap = 30.0 if safety_net else 0.0
    top_up = (2.0, 4.0, cap) if safety_net else (0.0, 0.0, 0.0)
    instruments = {symbol: future("BTC", prices, 0.02, half_spread=spread, liquidation_fee=0.0125)}
    desk = Desk(
        instruments,
        {"USDT": asset([1.0] * bars), "BTC": asset(prices)},
        {"usdm": {"USDT": 2000.0}},
        leverage=float(leverage),
        isolated=(symbol,),
        top_up=top_up,
    )
    desk.order(symbol, 5.0 * side)
    book = desk.live()
    shared, own = desk.shape.wallet("usdm", 0), desk.shape.wallet(symbol, 0)
    rows = book.ledger[: book.count[LEDGER_ROWS]]
    moved = rows[(rows[:, L_KIND] == ALLOCATE) & (rows[:, L_WALLET] == own), L_AMOUNT]
    sent_in, came_back = int(moved[moved > 0].sum()), int(-moved[moved < 0].sum())
    assert sent_in <= to_steps(500 / leverage + cap, "margin")
    assert book.balance[shared, 0, 0] == 2000 * 10**8 - sent_in + came_back
    assert book.balance[own, 0, 0] >= 0
    lost = sum(int(book.total[kind, 0, 0]) for kind in (REALISED, FUNDED, LIQUIDATION, INSURANCE, FEE))
    assert lost >= -sent_in
    if book.contracts[0, 0] == 0:
        assert book.balance[own, 0, 0] == 0  # nothing stays behind in the wallet of a closed position


HOURS_US = 3_600_000_000
DAY_US = 24 * HOURS_US
JUNE = 1_685_577_600_000_000  # 2023-06-01 00:00 UTC


def sampled(store: Path, interval: str, start_us: int, days: int) -> History:
    """BTC's perpetual and its spot from the sample store."""
    return align(
        Store(store),
        "binance",
        ["BTC/USDT", "BTC/USDT:USDT"],
        ["USDT", "BTC"],
        start_us,
        start_us + days * DAY_US,
        interval,
        Prices(),
        Funding(),
    )


def funding_of_one_short(history: History, after_us: int) -> tuple[list[int], float]:
    """Steps of funding at each stamp from `after_us` on to a short of one contract; and their sum by hand."""
    desk = desk_over(history)
    pay_in(desk, "usdm", "USDT", 1e6)
    desk.order("BTC/USDT:USDT", -1.0)
    book = desk.live()
    assert book.contracts[1, 0] == -(10**8)
    rows = book.ledger[: book.count[LEDGER_ROWS]]
    rows = rows[rows[:, L_KIND] == FUNDED]
    time = history.time[rows[:, L_BAR]]
    expected = float((history.funding_rate * history.funding_price)[history.funding_time >= after_us].sum())
    return rows[time >= after_us, L_AMOUNT].tolist(), expected


def desk_over(history: History, taker: float = 0.0, delivery_fee: float = 0.0) -> Desk:
    """A cross account without money over a history that is already there; futures at 5x, no slippage."""
    desk, instruments, assets = Desk.__new__(Desk), history.instruments, history.assets
    free, none, never = (0.0,) * len(instruments), (0.0,) * len(assets), (np.inf,) * len(assets)
    tier = Row(floor=0.0, rate=0.01, deduction=0.0, max_leverage=125.0)
    levels = (Row(ratio=1.0, action="liquidate"),)
    rules: Any = RuleSet(
        start_us=0,
        tiers=tuple(() if instrument.kind == "spot" else (tier,) for instrument in instruments),
        maker=free,
        taker=(taker,) * len(instruments),
        delivery_fee=(delivery_fee,) * len(instruments),
        liquidation_fee=free,
        half_spread=free,
        collateral=((Row(floor_usd=0.0, ratio=1.0, deduction_usd=0.0),),) * len(assets),
        ask_buffer=none,
        requirement_buffer=none,
        conversion_cost=none,
        overdraft_usd=never,
        borrow_initial=never,
        borrow_maintenance=never,
        borrow_hourly=none,
        impact_y=0.0,
        funding_at=(),
        levels=levels,
        scenario=None,
        owes=False,
        open_loss=False,
        asks_initial=True,
        rows=(),
    )
    mode: Any = Row(
        preset="cross",
        scope="cross",
        collateral="settlement",
        requirement="tiers",
        inverse_in_unified=False,
        open_loss=False,
        levels=levels,
        ladder=("reduce", "takeover"),
        loss_beyond="insurance",
        counterfactual=False,
    )
    desk.history, desk.shape = history, shape_of(mode, instruments, assets, [], False)
    plan = Plan("desk", "cross", mode, desk.shape, (rules,), {"default": 5.0}, cuts=False)
    desk.rules, at = make_rules([plan], history)
    desk.tape = make_tape(history, at)
    desk.book = make_book(desk.rules, desk.tape, rows=1 << 16)  # nobody makes room on the way here
    desk.symbols = [instrument.symbol for instrument in instruments]
    return desk


def pay_in(desk: Desk, wallet: str, name: str, amount: float) -> None:
    """Money before the first bar."""
    a = desk.history.assets.index(name)
    post(desk.book, 0, 0, desk.shape.wallet(wallet, a), a, DEPOSIT, to_steps(amount, "deposit"), -1, -1)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.integers(0, 300), st.integers(2, 20))
def test_a_fixed_position_collects_the_same_funding_on_hourly_and_on_eight_hour_bars(
    sample_store: Path, start: int, days: int
) -> None:
    begin = JUNE + start * DAY_US
    found = {
        interval: funding_of_one_short(sampled(sample_store, interval, begin, days), begin + DAY_US)
        for interval in ("1h", "8h")
    }
    assert found["1h"][0] == found["8h"][0]
    assert len(found["1h"][0]) == 3 * (days - 1)  # three stamps a day, once a day has passed
    assert sum(found["1h"][0]) * STEP == pytest.approx(found["1h"][1], rel=1e-9)


def record(story: dict[str, Any]) -> RunRecord:
    """The frames of a run through a history."""
    plans, book, _ = live(story)
    history = history_of(story)
    assets = {name: k for k, name in enumerate(history.assets)}
    _, _, rules, tape = prepare(story)
    session: Any = Row(plans=plans, history=history, book=book, assets=assets, rules=rules, tape=tape)
    config: Any = Row(execution=Row(path="low_then_high"))
    return record_of(session, config, [])


@FEW
@given(SEEDS, KINDS)
def test_the_parts_of_the_profit_sum_to_the_change_in_equity_through_liquidations(seed: int, kind: str) -> None:
    run = record(drawn(seed, kind))
    for k in range(len(run.account_names)):
        parts = explain(run, k)
        change = run.of("account", k)["equity"].iloc[-1] - run.start_equity(k)
        named = parts.drop("residual")
        assert named.sum() == pytest.approx(change, rel=1e-9, abs=1e-6)
        rows = run.since_start(k)
        for part, word in (
            ("funding", "funding"),
            ("insurance and write-off", "insurance"),
            ("transfer cost", "transfer_cost"),
        ):
            mine = rows.among("kind", word) & ((word != "insurance") | (rows["amount"] > 0))  # less is a penalty
            paid = run.flows_usd(rows.where(mine)).sum()
            assert named[part] == pytest.approx(paid, rel=1e-9, abs=1e-6), part


def test_a_spot_purchase_without_fee_or_move_leaves_equity_where_it_was() -> None:
    """1,000 USDT, 4 coins at 100 bought: 600 and 4 x 100."""
    desk = Desk(
        {"BTC/USDT": spot("BTC", [100.0] * 3)},
        {"USDT": asset([1.0] * 3), "BTC": asset([100.0] * 3)},
        {"spot": {"USDT": 1000.0}},
    )
    desk.order("BTC/USDT", 4.0)
    assert desk.live().path[0, 0].tolist() == [1000.0] * 3
