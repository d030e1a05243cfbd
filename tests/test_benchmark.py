"""The benchmark's own honesty: what it sets beside each other keeps the same account, and its table tells what was
measured. No time is asserted here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.benchmark import product, reference, rounds
from tests.benchmark.limit import PATH, Limit, compiler
from tests.benchmark.market import Market, pair_market, universe
from tests.benchmark.process import watched
from tests.benchmark.strategies import Carry, CarryEveryBar, TopFunding, given
from tests.benchmark.workloads import pair_of

DAYS, COINS = 90, 12
HOURS = 24 * DAYS
needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler on this machine")


@pytest.fixture(scope="module")
def pair() -> Market:
    """One coin by the hour for three months."""
    return pair_market("1h", HOURS)


@pytest.fixture(scope="module")
def coins() -> Market:
    """Twelve coins for three months, ten of which are held."""
    return universe(HOURS, COINS)


# The reference, by hand


def test_the_carry_of_the_reference_by_hand() -> None:
    """One bar a day. At the first close 500,000 USD buy 5,000 coins at 100 as wished; they are bought at 101, and as
    many contracts sold at 102.

    Coins: 505,000 USD are paid, 5 of the coins are the fee: 4,995. Contracts: 510,000 USD sold, a fee of 0.05 % is 255.
    Cash: 1,000,000 - 505,000 - 255 = 494,745. Then funding of 0.1 % at a mark of 110 pays 5,000 x 110 x 0.001 = 550.
    At the last close the coins are worth 110, the mark is 111: 495,295 + 4,995 x 110 + 510,000 - 5,000 x 111 = 999,745.
    """
    prices = reference.Pair([99.0, 101.0, 110.0], [100.0, 100.0, 110.0], [99.0, 102.0, 111.0], [99.0, 101.0, 110.0],
                            [100.0, 101.0, 111.0], {2: 0.001})  # fmt: skip
    assert reference.carry(prices, 1, band=1_000.0) == (1_000_000.0, 0)  # nothing strays out of so wide a band
    equity, fills = reference.carry(prices, 1, band=0.5)
    assert fills == 2
    assert equity == pytest.approx(999_745.0, abs=1e-6)


def test_closing_part_of_a_short_in_the_reference_releases_its_part_of_the_cost() -> None:
    """10 sold at 100, 4 bought back at 90: 40 USD earned, less 0.05 % of 360; 600 of the 1,000 USD stay as cost."""
    held = reference.Holding(contracts=-10.0, cost=-1_000.0)
    assert held.trade_future(-6.0, 90.0) == pytest.approx(40.0 - 0.18)
    assert (held.contracts, held.cost) == (-6.0, pytest.approx(-600.0))


def test_a_sale_of_coins_in_the_reference_pays_its_fee_in_dollars() -> None:
    """2 of 5 coins at 100: 200 USD less 0.1 %."""
    held = reference.Holding(coins=5.0)
    assert held.trade_spot(3.0, 100.0) == pytest.approx(199.8)
    assert held.coins == 3.0


# The same account by all


@pytest.mark.parametrize("margin", ["multi_asset", "portfolio"])
def test_the_product_ends_the_carry_with_the_equity_of_the_reference(pair: Market, margin: str) -> None:
    history = pair.history()
    expected, fills = reference.carry(pair_of(history), 24)
    result, _ = product.run(product.config(pair, Carry, margin), history)
    assert len(result.fills) == fills > 2 * DAYS / 3
    assert float(result.equity.iloc[-1]) == pytest.approx(expected, rel=1e-11)


def test_asked_at_every_bar_or_given_as_a_table_the_carry_ends_the_same(pair: Market) -> None:
    history = pair.history()
    daily, _ = product.run(product.config(pair, Carry), history)
    every, _ = product.run(product.config(pair, CarryEveryBar), history)
    table, _ = product.run(product.config(pair, given(daily.orders)), history)
    assert list(every.equity) == list(daily.equity) == list(table.equity)


def test_by_the_hour_or_by_the_minute_the_carry_trades_at_the_same_prices() -> None:
    """Decisions fall on midnights, and hours are made of the same minutes."""
    market = pair_market("1m", 3 * 1_440)
    ends = [reference.carry(pair_of(market.history(interval)), day) for interval, day in (("1m", 1_440), ("1h", 24))]
    assert ends[0][1] == ends[1][1] > 0
    assert ends[0][0] == pytest.approx(ends[1][0], rel=1e-14)


def test_the_product_ends_the_universe_with_the_equity_of_the_reference(coins: Market) -> None:
    history = coins.history()
    pairs = [pair_of(history, coin) for coin in range(COINS)]
    expected, fills = reference.top_funding(pairs, 24)
    result, _ = product.run(product.config(coins, TopFunding, leverage=2.0), history)
    assert len(result.fills) == fills > 20 * DAYS / 2
    assert float(result.equity.iloc[-1]) == pytest.approx(expected, rel=1e-11)


@needs_compiler
def test_c_keeps_the_carry_bar_by_bar_as_the_product_does(pair: Market) -> None:
    """Equity, collateral and maintenance at every close. The product also looks at the margin with which a bar opens,
    before its payments and fills, so there its lowest ratio may be lower, and nowhere higher.
    """
    history = pair.history()
    limit = Limit(history)
    assert limit.carry() == pytest.approx(reference.carry(pair_of(history), 24)[0], rel=1e-13)
    result, _ = product.run(product.config(pair, Carry), history)
    assert limit.fills == len(result.fills)
    assert_same_path(result.account, limit.path)
    quiet = ~np.isin(np.arange(HOURS), [*result.fills["bar"], *history.funding_bar])
    ratio = result.account["worst_ratio"].to_numpy()
    assert (ratio <= limit.path[3] * (1 + 1e-11)).all()
    same = np.isclose(ratio[quiet], limit.path[3][quiet], rtol=1e-11)
    assert same.mean() > 0.98  # where the open was neither below the low's ratio nor the high's


@needs_compiler
def test_c_keeps_the_universe_bar_by_bar_as_the_product_does(coins: Market) -> None:
    history = coins.history()
    limit = Limit(history)
    pairs = [pair_of(history, coin) for coin in range(COINS)]
    assert limit.top_funding() == pytest.approx(reference.top_funding(pairs, 24)[0], rel=1e-12)
    result, _ = product.run(product.config(coins, TopFunding, leverage=2.0), history)
    assert limit.fills == len(result.fills)
    assert_same_path(result.account, limit.path)


def assert_same_path(account: object, path: np.ndarray) -> None:
    """Equity, collateral equity and maintenance margin at every close."""
    for row, name in enumerate(PATH[:3]):
        assert np.allclose(account[name], path[row], rtol=1e-9, atol=1e-9), name  # type: ignore[index]


@needs_compiler
def test_the_sweep_in_c_ends_every_point_as_the_reference_does(pair: Market) -> None:
    history = pair.history()
    hedges, bands = np.array([0.5, 1.0, 1.46]), np.array([0.001, 0.05])
    expected = [[reference.carry(pair_of(history), 24, hedge, band)[0] for band in bands] for hedge in hedges]
    assert np.allclose(Limit(history).sweep(hedges, bands), expected, rtol=1e-13, atol=0.0)


@needs_compiler
def test_c_stops_at_the_bar_whose_margin_fails(pair: Market) -> None:
    """Twenty times the coins sold short: the first large rise takes more than is there."""
    with pytest.raises(AssertionError, match="margin failed in bar"):
        Limit(pair.history()).carry(hedge=20.0)


@pytest.mark.slow
def test_vectorbt_ends_the_carry_with_the_equity_of_the_reference(pair: Market) -> None:
    """To 1e-9: a size that falls between two steps may be rounded to the other one."""
    from tests.benchmark.peer import Carries

    history = pair.history()
    ends = Carries(history).run(np.array([1.0, 0.6]), np.array([0.01, 0.02]))
    expected = [reference.carry(pair_of(history), 24, hedge, band)[0] for hedge, band in ((1.0, 0.01), (0.6, 0.02))]
    assert list(ends) == pytest.approx(expected, rel=1e-9)


# What the table tells


def test_ratios_are_taken_inside_a_round_and_the_middle_one_is_told() -> None:
    """C takes 1, 2 and 4 s, the other 3, 4 and 20 s: 3, 2 and 5 times, so 3, though its middle time is twice C's."""
    whole = {"C": [1.0, 2.0, 4.0], "vectorbt": [6.0, 6.0, 6.0], "other": [3.0, 4.0, 20.0]}
    row = rounds.measured("other", whole["other"], whole, 1_000_000_000)
    assert (row.seconds, row.each_ns, row.times_c) == (4.0, 4.0, 3.0)
    assert row.peer_times == pytest.approx(1.5)  # of 2, 1.5 and 0.3


def test_every_contestant_runs_once_a_round_and_once_before() -> None:
    order: list[str] = []

    def run(name: str) -> dict[str, float]:
        order.append(name)
        return {"": 1.0, "equity": 101.0}

    section = rounds.Section("s", "title")
    rounds.contest(section, {"a": lambda: run("a"), "b": lambda: run("b")}, 2, 10, expected=100.0)
    assert order == ["a", "b"] * 3
    assert [row.off for row in section.rows] == [pytest.approx(0.01)] * 2
    assert len(section.wrong) == 2
    assert json.dumps(section.as_json())


def test_the_parts_of_a_run_sum_to_it() -> None:
    times = product.Times(prepare=1.0, live=10.0)
    times.parts |= {"session": 3.0, "tape": 2.0, "drive": 6.0, "engine": 5.0, "growing": 1.0}
    told = times.of_live()
    assert sum(told.values()) == pytest.approx(10.0)
    assert (told["session"], told["engine"], told["strategy"], told["rest"]) == (1.0, 4.0, 1.0, 1.0)


def test_the_watch_is_taken_off_again() -> None:
    before = [getattr(*place) for place in product.WATCHED.values()]
    with product.clocked(product.Times()):
        assert [getattr(*place) for place in product.WATCHED.values()] != before
    assert [getattr(*place) for place in product.WATCHED.values()] == before


def test_a_process_that_holds_200_mb_is_seen_to_have_held_them(tmp_path: Path) -> None:
    seen = watched([sys.executable, "-S", "-c", "held = bytearray(200_000_000); held[::4096] = b'x' * 48829"], tmp_path)
    assert 190 < seen["peak_mb"] < 260
    with pytest.raises(RuntimeError, match="no such thing"):
        watched([sys.executable, "-S", "-c", "raise SystemExit('no such thing')"], tmp_path)


def test_a_market_is_the_same_each_time() -> None:
    one, other = (made_again() for _ in range(2))
    assert all((one[name] == other[name]).all() for name in one)


def made_again() -> dict[str, np.ndarray]:
    """The perpetual's bars, made anew."""
    pair_market.cache_clear()
    return pair_market("1h", 100).columns["BTC/USDT:USDT", "bars-1h"]


def test_a_machine_without_a_compiler_leaves_c_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.benchmark import workloads

    monkeypatch.setattr(workloads, "compiler", lambda: None)
    assert workloads.judged(SimpleNamespace(), Limit.carry) == {}  # type: ignore[arg-type]
