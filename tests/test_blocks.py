"""A strategy that is asked at every close, with the engine living blocks of bars ahead: it may make no difference.

Whatever is traded, at whatever length of blocks: the same money, the same books and the same answers to the strategy,
to the bit. And a strategy that asks for nothing is walked through years with few calls of the engine.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_port import HOUR_US, START_US, history_of
from test_inside import live as inside
from test_inside import store_of

import backtest
from backtest.engine.session import Session
from backtest.errors import InputError, StrategyError
from backtest.market.history import History
from backtest.research import drive as driving
from backtest.research.run import open_session, plan_of, prepare
from backtest.state import FILL_ROWS, INCIDENT_ROWS, LEDGER_ROWS, ORDER_ROWS, TRANSFER_ROWS
from backtest.strategy import Order, Strategy

BTC, ETH, SPOT, COIN = "BTC/USDT:USDT", "ETH/USDT:USDT", "BTC/USDT", "BTC/USD:BTC"
SYMBOLS = (SPOT, BTC, ETH, COIN)
ASSETS = ("USDT", "BTC", "ETH")
BARS = 160
COUNTED = {
    "ledger": LEDGER_ROWS, "fill": FILL_ROWS, "fill_price": FILL_ROWS, "order": ORDER_ROWS, "order_price": ORDER_ROWS,
    "incident": INCIDENT_ROWS, "transfer": TRANSFER_ROWS,
}  # fmt: skip
WHOLE = (
    "balance", "contracts", "cost", "total", "topped_up", "principal", "resting", "held", "cursor", "path",
    "wallet_path", "headroom",
)  # fmt: skip


def candles(chance: random.Random, start: float, bars: int) -> dict[str, np.ndarray]:
    """A path that jumps now and then, up to a fifth of what it was."""
    steps = [chance.gauss(0, 0.01) + (chance.random() < 0.03) * chance.uniform(-0.2, 0.2) for _ in range(bars)]
    close = start * np.exp(np.cumsum(steps))
    opened = np.concatenate([[start], close[:-1]])
    wicks = np.array([1 + abs(chance.gauss(0, 0.005)) for _ in range(bars)])
    return {"open": opened, "high": np.maximum(opened, close) * wicks, "low": np.minimum(opened, close) / wicks,
            "close": close}  # fmt: skip


def market(seed: int, bars: int = BARS, funding: bool = True) -> History:
    """Hours of two coins, with funding every eight and hourly interest on what is owed."""
    chance = random.Random(seed)
    coins = {"BTC": candles(chance, 100.0, bars), "ETH": candles(chance, 10.0, bars)}
    paid = [(s, hours, chance.uniform(-0.002, 0.002)) for s in (BTC, ETH, COIN) for hours in range(8, bars, 8)]
    plain = history_of({symbol: [1.0] * bars for symbol in SYMBOLS}, paid if funding else [])
    moves = {point: np.array([coins[symbol[:3]][point] for symbol in SYMBOLS]) for point in coins["BTC"]}
    ones = np.ones(bars)
    worth = {p: np.array([coins[a][p] if a in coins else ones for a in plain.assets]) for p in coins["BTC"]}
    return replace(
        plain, **moves, **{f"mark_{point}": table for point, table in moves.items()},
        **{f"index_{point}": table for point, table in worth.items()},
        worst_low=moves["low"], worst_high=moves["high"], volume=np.full((len(SYMBOLS), bars), 3000.0),
        funding_price=np.array([moves["open"][i, b] for i, b in zip(
            plain.funding_instrument, plain.funding_bar, strict=True)]),
        borrow_rate=np.full((len(plain.assets), bars), 1e-4), has_borrow=np.ones(len(plain.assets), bool),
    )  # fmt: skip


def text(bar: int) -> str:
    return str(np.datetime64((START_US + bar * HOUR_US) // 1_000_000, "s")) + "Z"


ACCOUNTS: dict[str, list[dict[str, Any]]] = {
    "cross": [{"margin": "cross", "leverage": 20, "deposit": {"USDT": 3000, "BTC": 5},
               "refill": {"trigger": 1.3, "target": 2.0, "delay": "2h"}}],
    "waiting": [{"margin": "cross", "leverage": 10, "deposit": {"USDT": 3000, "BTC": 5}, "transfer": {"delay": "3h"}}],
    "isolated": [{"margin": "isolated", "leverage": 10, "deposit": {"USDT": 3000, "BTC": 5},
                  "top_up": {"trigger": 1.5, "target": 2.5, "cap": 300}}],
    "hedge": [{"margin": "cross", "leverage": 10, "position_mode": "hedge", "deposit": {"USDT": 3000, "BTC": 5}}],
    "multi_asset": [{"margin": "multi_asset", "leverage": 10, "deposit": {"USDT": 2000, "BTC": 10},
                     "flows": [{"time": text(50), "asset": "USDT", "amount": -500}]}],
    "portfolio": [{"margin": "portfolio", "leverage": 10, "borrow": True, "deposit": {"USDT": 2000, "BTC": 10}}],
    "two": [{"name": "one", "margin": "cross", "leverage": 10, "deposit": {"USDT": 3000, "BTC": 5},
             "transfer": {"delay": "4h", "cost": 1.0}},
            {"name": "other", "margin": "multi_asset", "leverage": 20, "deposit": {"USDT": 2000, "BTC": 5}}],
}  # fmt: skip


def settings(accounts: str | list[dict[str, Any]], strategy: type[Strategy], bars: int = BARS) -> dict[str, Any]:
    given = copy.deepcopy(ACCOUNTS[accounts] if isinstance(accounts, str) else accounts)
    return {
        "name": "blocks",
        "data": {"store": "none", "start": text(0), "end": text(bars), "interval": "1h"},
        "account": [{"venue": "binance", **account} for account in given],
        "strategy": {"class": strategy},
        "execution": {"slippage_bps": 1.0, "volume_share": 0.5},
    }


class Restless(Strategy):
    """Looks at everything at every close, and does something at some of them: what, the number of the bar decides."""

    seed, often, hedged, names = 0, 0.1, False, ("main",)
    seen: list[Any] = []

    def symbols(self, instruments: Any) -> list[str]:
        return list(SYMBOLS)

    def on_event(self, event: Any, desk: Any) -> None:
        self.seen.append((event.kind, event.time, event.symbol, event.contracts, event.reason, event.position_side))
        chance = random.Random(f"{self.seed} {event.time} {event.symbol} {event.kind} {len(self.seen)}")
        if chance.random() < self.often / 4:
            self.act(chance, desk[self.names[0]])

    def on_bar(self, bar: Any, desk: Any) -> None:
        for name in self.names:
            self.look(bar, desk[name])
        chance = random.Random(f"{self.seed} {bar.number}")
        self.seen.append((bar.number, bar.closes_us, *(bar.close[s] for s in SYMBOLS), bar.mark[ETH], bar.index["BTC"]))
        if chance.random() < 0.3:
            self.seen.append((bar.volume[ETH], bar.open[SPOT], bar.past(BTC, "close", 3).tolist(), bar.funding(BTC, 2)))
        for _ in range(chance.randrange(1, 3) if chance.random() < self.often else 0):
            self.act(chance, desk[chance.choice(self.names)])

    def look(self, bar: Any, desk: Any) -> None:
        """Every number of an account."""
        margins = desk.collateral_equity, desk.initial_margin, desk.maintenance_margin, desk.margin_ratio
        held = [desk.position(symbol) for symbol in SYMBOLS], [desk.balance(asset) for asset in ASSETS]
        side = "long" if self.hedged else None
        entry = desk.entry_price(BTC, side), desk.position(BTC, side)
        self.seen.append((desk.equity, *margins, *held, entry, desk.open_orders(), desk.contracts_of(COIN, usd=100.0)))
        if bar.number % 7 == 3:
            self.seen.append(desk.max_size(Order(ETH, contracts=-1.0, position_side="short" if self.hedged else None)))

    def act(self, chance: random.Random, desk: Any) -> None:
        """One request."""
        what, symbol = chance.randrange(8), chance.choice(SYMBOLS)
        side = None if not self.hedged or symbol == SPOT else chance.choice(["long", "short"])
        size, price = chance.uniform(1, 40) * (1 if "BTC" in symbol else 10), desk._bar.close[symbol]
        opens = 1.0 if side == "long" else -1.0 if side == "short" else chance.choice([1.0, -1.0])
        near = price * chance.uniform(0.95, 1.05)
        if what < 3:
            desk.together([Order(symbol, contracts=opens * size, position_side=side)])
        elif what == 3:
            desk.together([Order(symbol, contracts=opens * size, kind="limit", price=near, position_side=side)])
        elif what == 4:
            desk.together([Order(symbol, contracts=-opens * size, kind="stop", trigger=near, position_side=side)])
        elif what == 5:
            desk.target(symbol, contracts=0.0, position_side=side)
        elif what == 6:
            for order in desk.open_orders()[:1]:
                desk.cancel(order.id)
        elif len(self.names) > 1 and chance.random() < 0.6:
            desk.transfer("USDT", chance.uniform(10, 300), "usdm", "usdm", to=chance.choice(self.names))
        else:
            desk.transfer("USDT", chance.uniform(10, 300), *chance.choice([("spot", "usdm"), ("usdm", "spot")]))


def live(config: dict[str, Any], history: History, longest: int, monkeypatch: pytest.MonkeyPatch) -> Session:
    """The accounts at the end of a run whose blocks hold so many closes at most."""
    monkeypatch.setattr(driving, "LONGEST", longest)
    prepared = prepare(config, history)
    plans = [plan_of(prepared.config, account, history) for account in prepared.config.account]
    session = open_session(prepared.config, history, plans)
    driving.drive(prepared.strategy(), session)
    return session


def same_books(one: Session, other: Session) -> None:
    """Every row and every bar of two runs are equal to the bit."""
    for name, counter in COUNTED.items():
        count = int(one.book.count[counter])
        assert count == other.book.count[counter], name
        assert np.array_equal(getattr(one.book, name)[:count], getattr(other.book, name)[:count]), name
    for name in WHOLE:
        assert np.array_equal(getattr(one.book, name), getattr(other.book, name)), name


def restless(mode: str, seed: int, often: float) -> type[Strategy]:
    """A strategy of its own, which has seen nothing yet."""
    names = tuple(account.get("name", "main") for account in ACCOUNTS[mode])
    more = {"seed": seed, "often": often, "hedged": mode == "hedge", "names": names, "seen": []}
    return type("Restless", (Restless,), more)


@pytest.mark.jit_off
@pytest.mark.parametrize("mode", list(ACCOUNTS))
@pytest.mark.parametrize(("seed", "often"), [(1, 0.05), (2, 0.3)])
def test_blocks_of_any_length_pay_fill_and_show_the_same(
    mode: str, seed: int, often: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = market(seed)
    single = restless(mode, seed, often)
    plain = live(settings(mode, single), history, 1, monkeypatch)
    assert plain.book.count[FILL_ROWS] > 5
    for longest in (2, 7, 64, 512):
        other = restless(mode, seed, often)
        same_books(live(settings(mode, other), history, longest, monkeypatch), plain)
        assert len(other.seen) == len(single.seen) > BARS
        assert str(other.seen) == str(single.seen)  # as text: an entry price of nothing is NaN


@pytest.mark.jit_off
@pytest.mark.parametrize("schedule", ["4h", "funding"])
def test_blocks_make_no_difference_where_only_some_closes_and_every_event_are_asked_for(
    schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, plain, single = market(3), None, None
    for longest in (1, 7, 512):
        made = restless("two", 3, 0.7)
        made.schedule = schedule
        session = live(settings("two", made), history, longest, monkeypatch)
        plain, single = plain or session, single or made
        assert plain.book.count[FILL_ROWS] > 3
        same_books(session, plain)
        assert str(made.seen) == str(single.seen)


@pytest.mark.jit_off
def test_blocks_make_no_difference_where_finer_bars_say_what_happened_inside_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A at 70 and B at 130 are survived one after the other, not at once: the third of five hours is looked into."""
    apart = {
        "AAA/USDT": [90.0, 70.0, 100.0, 100.0, 100.0, 100.0],
        "BBB/USDT": [100.0, 100.0, 100.0, 130.0, 100.0, 100.0],
    }
    runs = []
    for longest in (1, 512):
        monkeypatch.setattr(driving, "LONGEST", longest)
        runs.append(inside(store_of(tmp_path / str(longest), apart)))
    single, other = runs
    assert other.stats["Survived"] == "yes" and any("5m bars" in note for note in other.manifest["notes"])
    pd.testing.assert_frame_equal(other.account, single.account)
    pd.testing.assert_frame_equal(other.ledger, single.ledger)


class Idle(Strategy):
    """Reads two prices and two positions at every close; asks for nothing but what its test says."""

    def symbols(self, instruments: Any) -> list[str]:
        return list(SYMBOLS)

    def on_bar(self, bar: Any, desk: Any) -> None:
        self.seen = bar.close[SPOT], bar.close[BTC], desk.position(SPOT), desk.position(BTC)


def crossings(strategy: type[Strategy], history: History, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often a run calls the engine, with blocks as long as they are."""
    calls, through = [], Session._live_until

    def counted(session: Session, last: int, ahead: int) -> None:
        calls.append(last)
        through(session, last, ahead)

    monkeypatch.setattr(Session, "_live_until", counted)
    live(settings("waiting", strategy, len(history.time)), history, driving.LONGEST, monkeypatch)
    return len(calls)


def test_a_strategy_that_asks_for_nothing_is_walked_through_ten_thousand_bars_in_some_tens_of_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nine blocks that double up to 512 bars, nineteen of 512, and one more where the venue's rules changed."""
    assert 28 < crossings(Idle, market(1, 10_000, funding=False), monkeypatch) < 40


def test_an_order_a_day_costs_two_calls_a_day_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 hours, an order at each of 83 midnights: its bar, the one it fills in, and a block up to the next."""

    class Daily(Idle):
        def on_bar(self, bar: Any, desk: Any) -> None:
            super().on_bar(bar, desk)
            if bar.number % 24 == 23:
                desk.target(SPOT, contracts=float(bar.number % 2))

    assert 83 <= crossings(Daily, market(1, 2000, funding=False), monkeypatch) <= 4 * 83


# What a strategy keeps


class Collector(Idle):
    """Keeps something of every bar, and says what it shows at the end of the run."""

    kept: list[Any] = []

    def on_bar(self, bar: Any, desk: Any) -> None:
        super().on_bar(bar, desk)
        self.kept.append(self.keep(bar, desk))

    def keep(self, bar: Any, desk: Any) -> Any:
        raise NotImplementedError


KEPT: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any], float]]] = {
    "a bar": (lambda bar, desk: bar, lambda kept: kept.close[ETH]),
    "a bar of which nothing was read": (lambda bar, desk: bar, lambda kept: kept.mark[ETH]),
    "its prices": (lambda bar, desk: bar.close, lambda kept: kept[ETH]),
    "prices that it read before": (lambda bar, desk: bar.close, lambda kept: kept[SPOT] / 10),
    "its prices, unread": (lambda bar, desk: bar.mark, lambda kept: kept[ETH]),
    "a method": (lambda bar, desk: bar.past, lambda kept: kept(ETH, "close", 1)[0]),
    "all prices": (lambda bar, desk: bar.close.items(), lambda kept: dict(kept)[ETH]),
    "a copy of a bar": (lambda bar, desk: copy.copy(bar), lambda kept: kept.close[ETH]),
    "a desk, which counts in its bar's prices": (
        lambda bar, desk: desk, lambda kept: kept.contracts_of(COIN, base=100.0)),
    "a desk by name": (lambda bar, desk: desk["main"], lambda kept: kept.contracts_of(COIN, base=100.0)),
    "a bar in a function": (lambda bar, desk: lambda: bar.close[ETH], lambda kept: kept()),
    "the market of a bar": (lambda bar, desk: bar.market, lambda kept: latest(kept)),
}  # fmt: skip


def latest(market: Any) -> float:
    """The last hour that a market answers for."""
    for hour in range(300):
        try:
            market.spot(at=text(hour))
        except InputError:
            return float(hour - 1)
    raise AssertionError("it answers for hours that have not come")


@pytest.mark.parametrize("what", list(KEPT))
@pytest.mark.parametrize(("every", "counts"), [(1, True), (3, True), (3, False)])
def test_what_a_strategy_keeps_of_a_bar_goes_on_showing_that_bar(
    what: str, every: int, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not this Python tells that it is kept. BTC stands at ten times the number of the bar, ETH at the
    number; a contract of the coin is 100 USD.
    """
    monkeypatch.setattr("backtest.research.walk.COUNTS", counts)
    numbers = [float(n) for n in range(1, 201)]
    tens = [10.0 * n for n in numbers]
    history = history_of({SPOT: tens, BTC: tens, ETH: numbers, COIN: numbers})
    keep, show = KEPT[what]
    wanted = {"keep": lambda self, bar, desk: keep(bar, desk) if bar.number % every == 0 else None, "kept": []}
    made = type("Mine", (Collector,), wanted)
    session = live(settings("waiting", made, 200), history, 512, monkeypatch)
    assert session.bar == 199
    shown = [show(kept) for kept in made.kept[::every]]
    assert shown == pytest.approx(numbers[::every])


@pytest.mark.parametrize("back", [1, 2, 3])
def test_a_strategy_can_hold_a_bar_against_those_before_it(back: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lets go of bars as it goes, which are then shown to it again as later ones: ETH gains 1 a bar."""

    class Comparing(Idle):
        kept: list[Any] = []
        gains: list[float] = []

        def on_bar(self, bar: Any, desk: Any) -> None:
            self.gains += [bar.close[ETH] - self.kept[0][0].close[ETH]] if len(self.kept) == back else []
            self.kept[:] = [*self.kept, (bar, bar.mark, desk)][-back:]
            assert [mark[ETH] for _, mark, _ in self.kept] == [kept.mark[ETH] for kept, _, _ in self.kept]
            assert [kept.contracts_of(COIN, base=100.0) for _, _, kept in self.kept] == [
                kept.number + 1.0 for kept, _, _ in self.kept
            ]

    numbers = [float(n) for n in range(1, 201)]
    live(settings("waiting", Comparing, 200), history_of(dict.fromkeys(SYMBOLS, numbers)), 512, monkeypatch)
    assert Comparing.gains == [float(back)] * (200 - back)


def test_prices_can_be_read_by_name_all_at_once_and_not_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reader(Idle):
        def on_bar(self, bar: Any, desk: Any) -> None:
            n = float(bar.number)
            assert dict(bar.close) == bar.close == {SPOT: n, BTC: n + 1, ETH: n + 2, COIN: n + 3}
            assert list(bar.close) == list(SYMBOLS) and len(bar.close) == 4 and list(bar.close.values())[1] == n + 1
            assert SPOT in bar.close and "DOGE" not in bar.close and bar.close.get("DOGE") is None
            assert bar.close.get(ETH) == n + 2 and list(bar.index) == ["USDT", "BTC", "ETH"]
            with pytest.raises(TypeError):
                bar.close[SPOT] = 0.0
            with pytest.raises(InputError, match="'DOGE' is not in this run"):
                bar.close["DOGE"]

    rows = {symbol: [float(n + k) for n in range(50)] for k, symbol in enumerate(SYMBOLS)}
    live(settings("waiting", Reader, 50), history_of(rows), 512, monkeypatch)


def test_a_price_that_nobody_knew_yet_is_unknown_in_a_block_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """ETH is listed at the hundredth hour; its future cannot be read before."""

    class Reader(Idle):
        seen: list[float] = []

        def on_bar(self, bar: Any, desk: Any) -> None:
            self.seen.append(bar.close[ETH])

    plain = history_of({symbol: [5.0] * 150 for symbol in SYMBOLS})
    late = replace(plain, price_begins=tuple(START_US + 100 * HOUR_US * (s == ETH) for s in SYMBOLS))
    live(settings("waiting", Reader, 150), late, 512, monkeypatch)
    assert str(Reader.seen) == str([float("nan")] * 100 + [5.0] * 50)


def test_of_orders_that_belong_together_none_is_placed_where_one_is_in_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The leg before the misspelt one would stand alone."""

    class Misspelt(Idle):
        def on_bar(self, bar: Any, desk: Any) -> None:
            with pytest.raises(InputError, match="DOGE/USDT"):
                desk.together([Order(ETH, contracts=-1.0), Order("DOGE/USDT", contracts=1.0)])
            with pytest.raises(InputError, match="does not fit the ledger"):
                desk.together([Order(ETH, contracts=-1.0), Order(BTC, contracts=1e30)])
            with pytest.raises(InputError, match="max_size: 'ETH/USDT' is no order"):
                desk.max_size("ETH/USDT")
            assert desk.open_orders() == []

    assert live(settings("waiting", Misspelt), market(1), 512, monkeypatch).book.count[ORDER_ROWS] == 0


# When it is asked


@pytest.mark.jit_off
def test_a_schedule_may_be_set_at_the_start_and_not_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    class Chosen(Idle):
        asked: list[int] = []

        def start(self, market: Any) -> None:
            self.schedule = "8h"

        def on_bar(self, bar: Any, desk: Any) -> None:
            self.asked.append(bar.number)

    live(settings("waiting", Chosen), market(1), 512, monkeypatch)
    assert Chosen.asked == list(range(7, BARS, 8))  # the bars of an hour that close at 08:00, 16:00 and 24:00

    class Fickle(Idle):
        def on_bar(self, bar: Any, desk: Any) -> None:
            self.schedule = "8h" if bar.number > 50 else self.schedule

    with pytest.raises(InputError, match="Fickle changes its schedule on the way, from 'every bar' to '8h'"):
        live(settings("waiting", Fickle), market(1), 512, monkeypatch)


# Where it fails, and how far it is


def test_a_mistake_inside_a_block_is_told_with_its_hook_its_bar_and_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(Idle):
        def on_bar(self, bar: Any, desk: Any) -> None:
            if bar.number == 77:
                raise self.error

    for error, kind in ((ValueError("no"), StrategyError), (InputError("no"), InputError)):
        made = type("Late", (Late,), {"error": error})
        with pytest.raises(kind, match=r"Late\.on_bar at the bar of 2024-01-04 05:00"):
            live(settings("waiting", made), market(1), 512, monkeypatch)


def test_a_request_that_is_refused_in_words_leaves_the_strategy_asked_at_every_bar_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Clumsy(Idle):
        asked: list[int] = []

        def on_bar(self, bar: Any, desk: Any) -> None:
            self.asked.append(bar.number)
            for wrong in (lambda: desk.cancel(99), lambda: desk.buy("DOGE/USDT", 1.0)):
                with pytest.raises(InputError):
                    wrong()

    live(settings("waiting", Clumsy), market(1), 512, monkeypatch)
    assert Clumsy.asked == list(range(BARS))


def test_progress_is_told_when_the_strategy_has_got_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """At every 512th close, in between what the strategy sees before and after it; then at the end."""
    told: list[Any] = []

    class Telling(Idle):
        def on_bar(self, bar: Any, desk: Any) -> None:
            told.append(bar.number)

    config = settings("waiting", Telling, 1200)
    backtest.run(config, data=market(1, 1200), progress=lambda done, of: told.append((done, of)))
    expected: list[Any] = []
    for bar in range(1200):
        expected += [bar] + ([(bar + 1, 1200)] if bar % 512 == 0 else [])
    assert told == [*expected, (1200, 1200)]


class Halved(Strategy):
    """Twenty contracts at the first close, half of them a close later; what it is told of its margin meanwhile."""

    told: list[float] = []

    def symbols(self, instruments: Any) -> list[str]:
        return list(SYMBOLS)

    def on_bar(self, bar: Any, desk: Any) -> None:
        self.told.append(desk.margin_ratio)
        if bar.number < 2:
            desk.target(BTC, contracts=20.0 if bar.number == 0 else 10.0)


def test_a_desk_that_has_halved_its_position_is_told_the_ratio_of_what_it_holds_now() -> None:
    """20 at 100 need 0.4 % of 2,000, 8 of 3,000 less a fee of 0.05 %; ten of them 4, after half of the fee again."""
    history = history_of({symbol: [100.0] * 4 for symbol in SYMBOLS})
    accounts = [{"margin": "cross", "leverage": 10, "deposit": {"USDT": 3000}}]
    config = settings(accounts, Halved, 4)
    config["execution"]["slippage_bps"] = 0.0
    Halved.told = []
    result = backtest.run(config, data=history)
    assert Halved.told == pytest.approx([math.inf, (3000 - 1.0) / 8, (3000 - 1.5) / 4, (3000 - 1.5) / 4])
    assert Halved.told == result.account["margin_ratio"].tolist()
