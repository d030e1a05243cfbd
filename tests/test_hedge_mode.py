"""Hedge mode: a long and a short of one symbol side by side, each with its own entry, margin and money."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace as Row
from typing import Any

import pytest
from fake_port import history_of
from test_arithmetic import Desk, asset, future

import backtest
from backtest.engine.orders import place as write
from backtest.engine.shape import shape_of
from backtest.engine.tape import Event
from backtest.errors import InputError
from backtest.report.explain import explain
from backtest.state import DELIVERY, MARKET
from backtest.strategy import Order, Strategy, Targets
from backtest.units import to_steps

ROOT = Path(__file__).resolve().parent.parent
SPOT, PERP = "ETH/USDT", "ETH/USDT:USDT"
BTC = "BTC/USDT:USDT"


def run(on_bar: Any, symbols: tuple[str, ...] = (PERP,), **account: Any) -> backtest.Result:
    """A strategy on two days of the sample, ETH near 1,868; the account in hedge mode unless said otherwise."""
    made = {"symbols": lambda self, known: list(symbols), "on_bar": on_bar}
    return backtest.run({
        "name": "hedge",
        "data": {"store": str(ROOT / "data/sample"), "start": "2023-06-01", "end": "2023-06-03"},
        "account": [{"deposit": {"USDT": 30_000}, "position_mode": "hedge", **account}],
        "strategy": {"class": type("Mine", (Strategy,), made)},
        "execution": {"slippage_bps": 0},
    })  # fmt: skip


def both_sides(self: Any, bar: Any, desk: Any) -> None:
    if bar.number == 0:
        desk.buy(PERP, 3.0, position_side="long")
        desk.sell(PERP, 2.0, position_side="short")
    if bar.number == 20:
        desk.target(PERP, contracts=-0.5, position_side="short")
        self.seen = (desk.position(PERP), desk.position(PERP, "long"), desk.position(PERP, "short"))
        assert self.seen == (1.0, 3.0, -2.0)
        assert desk.entry_price(PERP, "long") == pytest.approx(desk.entry_price(PERP, "short"))
        with pytest.raises(InputError, match="hedge mode; say position_side"):
            desk.entry_price(PERP)


@pytest.mark.parametrize("margin", ["cross", "isolated", "multi_asset"])
def test_three_long_and_two_short_stand_side_by_side_and_the_tables_name_the_side(margin: str) -> None:
    result = run(both_sides, margin=margin)
    fills = result.fills[["side", "contracts"]].values.tolist()
    assert fills == [["long", 3.0], ["short", -2.0], ["short", 1.5]]
    assert result.orders["side"].tolist() == ["long", "short", "short"]
    last = result.positions.groupby("side")["contracts"].last()
    assert last.to_dict() == {"long": 3.0, "short": -0.5}
    assert result.record.funding["side"].iloc[:2].tolist() == ["long", "short"]
    assert result.record.funding["contracts"].iloc[:2].tolist() == [3.0, -2.0]
    assert abs(explain(result.record)["residual"]) < 1e-5


def test_what_a_long_pays_in_funding_a_short_of_the_same_size_receives() -> None:
    def equal(self: Any, bar: Any, desk: Any) -> None:
        if bar.number == 0:
            desk.together([Order(PERP, 1.0, position_side="long"), Order(PERP, -1.0, position_side="short")])

    paid = run(equal).record.funding
    assert len(paid) > 2 and paid["amount"].abs().min() > 0.0
    assert paid.groupby("time")["amount"].sum().abs().max() < 1e-7


def test_an_order_without_a_side_is_refused_in_hedge_mode_and_one_with_a_side_without_it() -> None:
    with pytest.raises(InputError, match='account \'main\' is in hedge mode; say position_side = "long" or "short"'):
        run(lambda self, bar, desk: desk.buy(PERP, 1.0))
    with pytest.raises(InputError, match='holds one position a symbol; leave it out, or write position_mode = "hedge"'):
        run(lambda self, bar, desk: desk.buy(PERP, 1.0, position_side="long"), position_mode="one_way")
    with pytest.raises(InputError, match="coins have no position_side"):
        run(lambda self, bar, desk: desk.buy(SPOT, 1.0, position_side="long"), symbols=(SPOT, PERP))
    with pytest.raises(InputError, match=r"no position_side 'shrt'.*'short'"):
        Order(PERP, 1.0, position_side="shrt")
    with pytest.raises(InputError, match="a short's target is not below 0"):
        Order(PERP, target=1.0, position_side="short")


def test_hedge_mode_is_refused_where_it_would_do_nothing() -> None:
    with pytest.raises(InputError, match="position_mode = 'hedge' would do nothing without a future"):
        run(lambda self, bar, desk: None, symbols=(SPOT,))

    def flat(self: Any, market: Any) -> Targets:
        return Targets(market.close(PERP).to_frame(PERP) * 0.0)

    made = {"symbols": lambda self, known: [PERP], "targets": flat}
    config = {
        "name": "hedge",
        "data": {"store": str(ROOT / "data/sample"), "start": "2023-06-01", "end": "2023-06-03"},
        "account": [{"deposit": {"USDT": 30_000}, "position_mode": "hedge"}],
        "strategy": {"class": type("Table", (Strategy,), made)},
    }
    with pytest.raises(InputError, match="a strategy of `targets`, which name one position a symbol"):
        backtest.run(config)


def test_a_sale_larger_than_the_long_does_not_open_a_short() -> None:
    def too_much(self: Any, bar: Any, desk: Any) -> None:
        if bar.number == 0:
            desk.buy(PERP, 1.0, position_side="long")
        if bar.number == 1:
            assert desk.max_size(Order(PERP, -9.0, position_side="long")) == 1.0
            desk.sell(PERP, 2.0, position_side="long")

    orders = run(too_much).orders
    assert orders["state"].tolist() == ["filled", "refused"]
    assert orders["reason"].iloc[1] == "reduce-only would open"


def hedged(long: float, short: float, prices: list[float], usdt: float, **choices: Any) -> Desk:
    """So many long and short of one coin from 100 on, 10x, maintenance 10 %."""
    desk = Desk(
        {BTC: future("BTC", prices, 0.1)},
        {"USDT": asset([1.0] * len(prices)), "BTC": asset(prices)},
        {"usdm": {"USDT": usdt}},
        two_sided=True,
        **choices,
    )
    for position, contracts in ((0, long), (1, short)):
        place(desk, position, contracts)
    return desk


def place(desk: Desk, position: int, contracts: float) -> None:
    write(desk.book, 0, 0, position, MARKET, 0, position, to_steps(contracts, "order"), 0.0, 0.0)


def test_a_fall_takes_the_larger_long_first_and_leaves_the_winning_short() -> None:
    """10 long and 4 short on 200. At 70 the net loss is 180: 20 stand against 10 % of 980. The long is cut to what
    20 of margin carry, 2.857 in all; the short of 4 needs 28 alone, so the long goes and 1.143 of the short.
    """
    desk = hedged(10.0, -4.0, [100.0, 100.0, 70.0, 70.0], 200.0)
    desk.live()
    assert desk.book.contracts[0, 0] == 0
    assert desk.book.contracts[1, 0] * 1e-8 == pytest.approx(-2.857, abs=1e-3)
    assert desk.total("realised", "USDT") == pytest.approx(-300.0 + 30.0 * 1.143, abs=0.04)


def test_delivery_closes_both_sides_at_one_price() -> None:
    """10 long and 4 short from 100, delivered at 110: 100 earned, 40 lost."""
    desk = hedged(10.0, -4.0, [100.0] * 4, 2000.0, happenings=[Event(2, int(DELIVERY), 0, -1, 110.0)])
    desk.live()
    assert desk.book.contracts[:, 0].tolist() == [0, 0]
    assert desk.balance("usdm", "USDT") == pytest.approx(2060.0)


def test_an_isolated_short_has_margin_of_its_own_beside_the_long() -> None:
    history = history_of({SPOT: [100.0] * 2, PERP: [100.0] * 2})
    mode: Any = Row(collateral="settlement", requirement="tiers", scope="isolated", inverse_in_unified=False)
    shape = shape_of(mode, history.instruments, history.assets, [], False, two_sided=True)
    assert [shape.names[w] for w in shape.position_wallet] == ["spot", PERP, "spot", f"{PERP} short"]
    assert shape.isolates[shape.names.index(f"{PERP} short")] == 3


def test_an_isolated_long_dies_of_a_fall_that_its_own_short_earns_from() -> None:
    """10 of each at 10x bring 100 each of 1,000; at 89 110 are lost on one side and earned on the other. The margin of
    the dead long is all that is lost, and the short's profit does not help it.
    """
    prices = [100.0, 100.0, 89.0, 89.0]
    desk = Desk(
        {BTC: future("BTC", prices)},
        {"USDT": asset([1.0] * 4), "BTC": asset(prices)},
        {"usdm": {"USDT": 1000.0}},
        isolated=(BTC,),
        two_sided=True,
    )
    place(desk, 0, 10.0)
    place(desk, 1, -10.0)
    desk.live()
    assert desk.book.contracts[:, 0].tolist() == [0, -10 * 10**8]
    assert (desk.balance(BTC, "USDT"), desk.balance(f"{BTC} short", "USDT")) == (0.0, 100.0)
    assert desk.balance("usdm", "USDT") == pytest.approx(800.0)
    assert desk.total("insurance", "USDT") == pytest.approx(10.0)


@pytest.mark.parametrize("venue", ["hyperliquid", "deribit"])
def test_a_venue_of_which_no_page_says_that_it_holds_both_sides_is_refused(venue: str) -> None:
    with pytest.raises(InputError, match=f"no page says that {venue} holds a long and a short"):
        run(both_sides, venue=venue, margin="cross")
