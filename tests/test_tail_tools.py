"""What keeps tail margin awake in calm years, and past moves scaled to today's volatility."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_arithmetic import Desk, asset, future, scenario, spot

from backtest.engine.book import make_book
from backtest.engine.tape import PastMoves, make_tape
from backtest.ledger.kinds import DEPOSIT
from backtest.ledger.post import post
from backtest.margin import procyclicality as tools
from backtest.market.room import MEMORY
from backtest.research.tails import filtered, tail_of, volatilities
from backtest.units import to_steps
from backtest.venues.schema import ScenarioRules, TailRules

DAY_US = 86_400_000_000


# The three tools, on a margin of 100


def test_a_buffer_of_a_quarter_makes_100_into_125_and_half_of_it_given_back_112_50() -> None:
    assert tools.with_buffer(100.0, tools.BUFFER, 0.0) == pytest.approx(125)
    assert tools.with_buffer(100.0, tools.BUFFER, 0.5) == pytest.approx(112.5)
    assert tools.with_buffer(100.0, tools.BUFFER, 1.0) == pytest.approx(100)


@pytest.mark.parametrize(
    ("margin", "charged"), [(100.0, 125.0), (110.0, 125.0), (125.0, 125.0), (160.0, 160.0), (80.0, 100.0)]
)
def test_a_buffer_built_on_100_absorbs_the_rise_up_to_125_and_no_more(margin: float, charged: float) -> None:
    released = tools.released_share(margin, 100.0, tools.BUFFER)
    assert tools.with_buffer(margin, tools.BUFFER, released) == pytest.approx(charged)


def test_a_quarter_of_a_stressed_margin_of_300_makes_100_into_150() -> None:
    assert tools.with_stress(100.0, 300.0, tools.STRESSED_WEIGHT) == pytest.approx(150)


def test_margin_never_falls_below_that_of_ten_years() -> None:
    assert tools.with_floor(100.0, 130.0) == 130
    assert tools.with_floor(150.0, 130.0) == 150


@given(margin=st.floats(1, 1e6), calm=st.floats(1, 1e6), buffer=st.floats(0.01, 1))
@settings(max_examples=50)
def test_a_buffer_never_takes_margin_below_what_is_calculated(margin: float, calm: float, buffer: float) -> None:
    charged = tools.with_buffer(margin, buffer, tools.released_share(margin, calm, buffer))
    assert margin * (1 - 1e-9) <= charged <= margin * (1 + buffer) * (1 + 1e-9)


# Filtered historical simulation


def test_volatility_is_known_before_the_move_it_scales() -> None:
    """From 2 %, keep 0.9: after a move of 4 % the variance is 0.9 x 0.0004 + 0.1 x 0.0016 = 0.00052."""
    moves = np.array([[0.02], [-0.02], [0.04]])
    found = volatilities(moves, 0.9, seed_rows=2)[:, 0]
    assert found == pytest.approx([0.02, 0.02, 0.02, 0.00052**0.5])


def test_a_past_move_comes_back_at_the_volatility_of_today() -> None:
    """A fall of 3 % at 2 % volatility is one of 6 % at 4 %; where nothing ever moved, nothing is scaled."""
    moves, then = np.array([[-0.03, 0.0]]), np.array([[0.02, 0.0]])
    assert filtered(moves, then, np.array([0.04, 0.0])) == pytest.approx(np.array([[-0.06, 0.0]]))


def lookback(**tail: Any) -> Any:
    """A rule set that margins by the tail of 30 days, where nothing else is said."""
    rules = {
        "kind": "ES",
        "window_days": 30,
        "horizon_days": 1,
        "confidence": 0.99,
        "floor": 0.0,
        "stressed_weight": 0.25,
    }
    scenario = ScenarioRules(((0.0,),), 0.0, 0.0, 0.0, 1.0, TailRules(**(rules | tail)))
    return SimpleNamespace(scenario=scenario)


def planned(requirement: str, *sets: Any) -> Any:
    return SimpleNamespace(mode=SimpleNamespace(requirement=requirement), sets=sets)


def history_of_days(prices: list[float]) -> Any:
    return SimpleNamespace(
        time=np.arange(len(prices)) * DAY_US, index_open=np.array([prices]), mark_open=np.array([prices]),
        instruments=[SimpleNamespace(kind="spot")], assets=("BTC",), room=MEMORY,
    )  # fmt: skip


def story(prices: list[float], **tail: Any) -> Any:
    """A history of one coin in bars of a day, and what a tail model of 30 days knows at each."""
    found = tail_of([planned("tail", lookback(**tail))], history_of_days(prices))
    assert found is not None and found.kind.tolist() == [0]
    return found.moves, found.rows[0]


def path(moves: list[float]) -> list[float]:
    return [float(x) for x in 100 * np.cumprod([1.0, *(1 + move for move in moves)])]


CALM_THEN_WILD = [0.01, -0.01] * 20 + [0.05, -0.05] * 10


def test_without_the_filter_a_window_is_the_moves_as_they_were() -> None:
    moves, rows = story(path(CALM_THEN_WILD))
    assert moves[:, 0] == pytest.approx(CALM_THEN_WILD)
    assert rows[:, 60].tolist() == [30, 60, 0, 0, 60]
    assert rows[:, 10].tolist() == [0, 10, 0, 0, 10]


def test_with_the_filter_calm_moves_are_as_wild_as_today_and_stress_stays_as_it_was() -> None:
    moves, rows = story(path(CALM_THEN_WILD), filtered=True, decay=0.9)
    first, last, _, _, past = rows[:, 60]
    assert (last - first, past) == (30, 60)
    assert moves[:past, 0] == pytest.approx(CALM_THEN_WILD)
    # Twenty moves of 5 % on a volatility of 1 %: 0.9^20 of 0.0001, the rest 0.0025. Row 35 was 1 % at 1 %.
    today = (0.9**20 * 0.0001 + (1 - 0.9**20) * 0.0025) ** 0.5
    assert moves[first + 5, 0] == pytest.approx(-today)
    # Row 41 was -5 % at the volatility after one wild day: 0.9 x 0.0001 + 0.1 x 0.0025.
    assert moves[first + 11, 0] == pytest.approx(-0.05 * today / (0.00009 + 0.00025) ** 0.5)


def test_what_is_to_come_changes_no_scaled_window() -> None:
    short, long = (story(path(moves), filtered=True) for moves in (CALM_THEN_WILD[:45], CALM_THEN_WILD))
    for bar in range(20, 45):
        one, other = (found[0][found[1][0, bar] : found[1][1, bar], 0] for found in (short, long))
        assert len(one) == min(bar, 30)
        assert one == pytest.approx(other, rel=1e-9)


def test_constant_volatility_is_left_as_it_is() -> None:
    moves, rows = story(path([0.01, -0.01] * 30), filtered=True)
    assert np.abs(moves[rows[0, 60] : rows[1, 60], 0]) == pytest.approx(np.full(30, 0.01))


def test_each_rule_set_knows_the_past_by_its_own_lookback() -> None:
    """Windows of 30 and of 20 moves of a day, one of ten moves of three days, and an account without tail margin."""
    plans: list[Any] = [
        planned("tail", lookback(window_days=30), lookback(window_days=20)),
        planned("tiers", lookback(window_days=30)),
        planned("tail", lookback(window_days=30, horizon_days=3), lookback(window_days=30)),
    ]
    found = tail_of(plans, history_of_days(path(CALM_THEN_WILD)))
    assert found is not None
    assert found.kind.tolist() == [0, 1, -1, 2, 0]
    assert found.rows[:, :, 60].tolist() == [[30, 60, 0, 0, 60], [100, 120, 60, 60, 120], [130, 140, 120, 120, 140]]
    three_days = found.moves[120:140, 0]
    assert three_days[19] == pytest.approx(0.95 * 1.05 * 0.95 - 1)


def test_the_long_run_is_ten_years_at_most() -> None:
    _, rows = story([100.0] * 3800)
    assert rows[3, 3600] == 0
    assert rows[3, 3700] == 50


def known(moves: Any, first: int, last: int, past: int) -> PastMoves:
    """What four bars know: a window of these rows, and of the past all rows before `past`."""
    return PastMoves(moves, np.tile(np.array([[[first], [last], [0], [0], [past]]]), (1, 1, 4)), np.zeros(1, np.int64))


def tail_margin(window: list[float], earlier: list[float], **tail: Any) -> float:
    """Maintenance of 1 BTC at 100 whose window holds these moves and whose long run the earlier ones as well."""
    given_rules = scenario([(0.0,), (0.0,)], tail=TailRules("ES", 30, 1, 0.99, 0.0, 0.0, **tail))
    coins = {"USDT": asset([1.0] * 4), "BTC": asset([100.0] * 4)}
    desk = Desk(
        {"BTC/USDT:USDT": future("BTC", [100.0] * 4)}, coins, {}, multi=True, requirement="tail", scenario=given_rules
    )
    moves = np.zeros((len(earlier) + len(window), 3))
    moves[:, desk.history.assets.index("BTC")] = earlier + window
    many = len(moves)
    desk.tape = make_tape(desk.history, desk.tape.rules_at, tail=known(moves, len(earlier), many, many))
    desk.book = make_book(desk.rules, desk.tape)
    dollars = desk.history.assets.index("USDT")
    post(desk.book, 0, 0, desk.shape.wallet("unified", dollars), dollars, DEPOSIT, to_steps(1_000.0, "deposit"), -1, -1)
    desk.order("BTC/USDT:USDT", 1.0)
    desk.live()
    return desk.margin(2, "unified")[2]


CALM, WILD, ROUGH = [-0.10] + [0.0] * 29, [-0.16] + [0.0] * 29, [-0.12] + [0.0] * 29


@pytest.mark.jit_off
def test_a_run_may_ask_for_a_floor_at_the_long_run() -> None:
    """The month asks 10, the long run (its worst in a hundred moves) 16."""
    assert tail_margin(CALM, WILD) == pytest.approx(10.0)
    assert tail_margin(CALM, WILD, long_run_floor=True) == pytest.approx(16.0)
    assert tail_margin(WILD, CALM, long_run_floor=True) == pytest.approx(16.0)


@pytest.mark.jit_off
def test_a_buffer_stands_on_margin_below_the_long_run_and_is_used_up_above_it() -> None:
    """With a long run of 12: a month of 10 asks 12.5; 12 asks 15. One of 12 against a long run of 12 and one of 16
    against one of 16 keep theirs; 12 against 10 alone keeps 12.5 (10 x 1.25).
    """
    assert tail_margin(CALM, ROUGH, buffer=0.25) == pytest.approx(12.5)
    assert tail_margin(ROUGH, CALM, buffer=0.25) == pytest.approx(15.0)


@pytest.mark.jit_off
def test_margin_takes_its_tail_from_the_scaled_window_and_its_stress_from_the_moves_as_they_were() -> None:
    """1 BTC at 100; worst scaled move -20 %, real one -10 %; a quarter of stress: 0.75 x 20 + 0.25 x 10 = 17.5."""
    rules = TailRules("ES", 30, 1, 0.99, 0.0, 0.25, filtered=True)
    given_rules = scenario([(0.0,), (0.0,)], tail=rules)
    coins = {"USDT": asset([1.0] * 4), "BTC": asset([100.0] * 4)}
    desk = Desk(
        {"BTC/USDT:USDT": future("BTC", [100.0] * 4)}, coins, {}, multi=True, requirement="tail", scenario=given_rules
    )
    real, scaled = np.zeros((25, 3)), np.zeros((20, 3))
    bitcoin = desk.history.assets.index("BTC")
    real[3, bitcoin], scaled[7, bitcoin] = -0.10, -0.20
    desk.tape = make_tape(desk.history, desk.tape.rules_at, tail=known(np.vstack([real, scaled]), 25, 45, 25))
    desk.book = make_book(desk.rules, desk.tape)
    dollars = desk.history.assets.index("USDT")
    wallet = desk.shape.wallet("unified", dollars)
    post(desk.book, 0, 0, wallet, dollars, DEPOSIT, to_steps(1_000.0, "deposit"), -1, -1)
    desk.order("BTC/USDT:USDT", 1.0)
    desk.live()
    assert desk.margin(2, "unified")[2] == pytest.approx(17.5)


def test_a_loan_asks_its_share_in_dollars_beside_the_tail() -> None:
    """0.1 BTC borrowed at 50,000: 500 to keep and 2,500 to borrow it; 2 ETH at 1,000 that fell by a tenth: 200."""
    prices = {"USDT": 1.0, "BTC": 50_000.0, "ETH": 1_000.0}
    coins = {name: asset([price] * 4) for name, price in prices.items()}
    rules = TailRules("ES", 30, 1, 0.99, 0.0, 0.0)
    desk = Desk(
        {"BTC/USDT": spot("BTC", [50_000.0] * 4), "ETH/USDT:USDT": future("ETH", [1_000.0] * 4)}, coins, {},
        multi=True, requirement="tail", scenario=scenario([(0.0,)] * 3, tail=rules), borrow={"BTC": 0.0},
    )  # fmt: skip
    moves = np.zeros((25, len(desk.history.assets) + len(desk.symbols)))
    moves[3, desk.history.assets.index("ETH")] = -0.10
    free = [np.zeros(4) if name == "BTC" else None for name in coins]
    desk.tape = make_tape(desk.history, desk.tape.rules_at, borrow=[free], tail=known(moves, 0, 25, 25))
    desk.book = make_book(desk.rules, desk.tape)
    dollars = desk.history.assets.index("USDT")
    wallet = desk.shape.wallet("unified", dollars)
    post(desk.book, 0, 0, wallet, dollars, DEPOSIT, to_steps(10_000.0, "deposit"), -1, -1)
    desk.order("BTC/USDT", -0.1)
    desk.order("ETH/USDT:USDT", 2.0)
    desk.live()
    assert desk.margin(2, "unified") == pytest.approx((10_000.0, 2_500.0 + 200.0, 500.0 + 200.0))
