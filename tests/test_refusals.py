"""What is refused before a trade: rows that are no prices, spans without history, hooks and settings without effect."""

from __future__ import annotations

from contextlib import nullcontext
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_port import HOUR_US, START_US, FakePort, desk_at, history_of, instrument

import backtest
from backtest.calculator import margin
from backtest.config import load_config
from backtest.config.types import microseconds
from backtest.errors import InputError, StrategyError
from backtest.market.align import align
from backtest.market.store import Store, write_instruments, write_series
from backtest.research.accounts import plan_of
from backtest.research.compare import compare
from backtest.strategy import Market, Order, Strategy, Targets, load_strategy
from backtest.strategy.prefix import checked_targets

ROOT = Path(__file__).resolve().parent.parent
SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"


def store_of(path: Path, hours: int = 10, start: int = START_US, listing: int | None = None, **cells: Any) -> Store:
    """Bars of a spot pair at 100, with some cells changed: `close=(3, nan)`."""
    write_instruments(path, "binance", [instrument(SPOT, listing_us=listing)])
    columns: dict[str, Any] = {"time": start + HOUR_US * np.arange(hours, dtype=np.int64)}
    columns |= {name: np.full(hours, 100.0) for name in ("open", "high", "low", "close", "volume")}
    for name, (row, value) in cells.items():
        columns[name][row] = value
    write_series(path, "binance", SPOT, "bars-1h", columns, {"source": "hand"})
    return Store(path)


class Prices:
    routes: dict[str, Any] = {}
    wicks = False
    gaps = "hold"


def history(store: Store, first: int = 0, last: int = 10) -> Any:
    span = START_US + first * HOUR_US, START_US + last * HOUR_US
    return align(store, "binance", [SPOT], ["BTC"], *span, "1h", Prices())


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"close": (3, np.nan)}, r"BTC/USDT bars-1h: close is NaN in the row of 2024-01-01 03:00"),
        ({"open": (3, np.inf)}, "open is inf"),
        ({"low": (3, 0.0)}, "low is 0 in the row of 2024-01-01 03:00, must be above 0"),
        ({"low": (3, 101.0)}, "low 101 is above open 100"),
        ({"high": (3, 99.0)}, "high 99 is below open 100"),
        ({"volume": (3, -1.0)}, "volume is -1"),
    ],
)
def test_a_row_that_is_no_price_is_named_by_series_time_and_column(tmp_path: Path, cells: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        history(store_of(tmp_path, **cells))


def test_an_hour_without_trades_is_a_price_all_the_same(tmp_path: Path) -> None:
    assert history(store_of(tmp_path, volume=(3, 0.0))).volume[0, 3] == 0.0


def test_a_borrow_rate_below_zero_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    columns = {"time": np.array([START_US]), "hourly_rate": np.array([-0.01])}
    write_series(tmp_path, "binance", "BTC", "borrow", columns, {"source": "hand"})
    with pytest.raises(InputError, match=r"BTC borrow: hourly_rate is -0.01"):
        history(store)


def test_a_run_that_outlives_the_stored_bars_is_not_held_on_the_last_price(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"stored only up to 2024-01-01 10:00, but the run needs .* to 2024-01-01 14:00"
    ):
        history(store_of(tmp_path), last=14)
    assert history(store_of(tmp_path), last=11).close[0, 10] == 100.0  # one bar may be held


def test_a_run_that_begins_before_the_stored_bars_of_a_listed_coin_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path, start=START_US + 5 * HOUR_US, listing=START_US - HOUR_US)
    with pytest.raises(InputError, match="stored only from 2024-01-01 05:00 on"):
        history(store)


def test_before_a_listing_a_strategy_sees_no_price_and_the_engine_a_number(tmp_path: Path) -> None:
    past = history(store_of(tmp_path, hours=6, start=START_US + 4 * HOUR_US, listing=START_US + 4 * HOUR_US))
    assert np.isfinite(past.open).all()
    bar, _ = desk_at(past, 3, FakePort())
    assert isnan(bar.close[SPOT]) and isnan(bar.mark[SPOT]) and isnan(bar.open[SPOT]) and isnan(bar.index["BTC"])
    later, _ = desk_at(past, 4, FakePort())
    assert later.close[SPOT] == 100.0
    assert np.isnan(later.past(SPOT, "close", 3)).tolist() == [True, True, False]
    assert Market(past).close(SPOT).isna().sum() == 4


def test_nobody_is_told_today_what_will_be_listed_tomorrow() -> None:
    bar, _ = desk_at(history_of({SPOT: [100.0] * 40}), 5, FakePort())
    assert bar.market.spot(at=bar.time + pd.Timedelta("1h")) == [SPOT]
    with pytest.raises(InputError, match="2024-01-02 00:00 is not known at 2024-01-01 06:00"):
        bar.market.spot(at="2024-01-02")


def test_a_market_kept_from_the_start_knows_the_bar_that_has_closed() -> None:
    known = Market(history_of({SPOT: [100.0] * 40})).as_of(START_US)
    with pytest.raises(InputError, match="not known at"):
        known.spot(at="2024-01-01 05:00")
    known.move_to(START_US + 5 * HOUR_US)
    assert known.spot(at="2024-01-01 05:00") == [SPOT]


class Table(Strategy):
    def targets(self, market: Market) -> Targets:
        raise NotImplementedError


def table(made: Any) -> Strategy:
    return type("Made", (Table,), {"targets": lambda self, market: Targets(made(market))})()


def test_a_peek_at_the_largest_move_alone_is_caught() -> None:
    path = 100 * np.exp(np.cumsum(np.where(np.arange(400) % 2, 0.001, -0.001)))
    path[237:] *= 0.7

    def made(market: Market) -> pd.DataFrame:
        close = market.close(SPOT)
        trend = (np.arange(len(close)) // 3 % 7).astype(float)  # always something new to say
        return pd.DataFrame({SPOT: np.where(close.shift(-1) / close < 0.8, 0.0, 1.0 + trend)}, index=market.time)

    with pytest.raises(InputError, match=r"looks ahead: its target of BTC/USDT at 2024-01-10 20:00"):
        checked_targets(table(made), history_of({SPOT: path.tolist()}))


def test_a_target_beyond_the_ledger_is_refused_and_does_not_turn_its_sign() -> None:
    with pytest.raises(InputError, match=r"1e\+11 of BTC/USDT at 2024-01-01 00:00 do not fit the ledger"):
        checked_targets(
            table(lambda market: pd.DataFrame({SPOT: 1e11}, index=market.time)), history_of({SPOT: [100.0] * 20})
        )


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"price": 5.0}, 'a market order has no price; say kind="limit"'),
        ({"trigger": 5.0}, "a market order has no trigger"),
        ({"kind": "limit", "price": 5.0, "trigger": 5.0}, "a limit order has no trigger"),
        ({"kind": "stop", "trigger": 5.0, "price": 5.0}, "a stop order has no price"),
        ({"post_only": True}, "cannot be post_only"),
        ({"kind": "stop", "trigger": 5.0, "post_only": True}, "cannot be post_only"),
    ],
)
def test_a_term_that_would_do_nothing_is_refused(terms: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Order(SPOT, contracts=1.0, **terms)


@pytest.mark.parametrize("size", ["1", None, True])
def test_a_size_that_is_no_number_is_refused(size: Any) -> None:
    _, desk = desk_at(history_of({SPOT: [100.0]}), 0, FakePort())
    with pytest.raises(InputError, match="is not a size"):
        desk.buy(SPOT, size)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("USDT", -5.0, "spot", "usdm"), "above 0, found -5"),
        (("USDT", 5.0, "spot", "spot"), "stay where it is"),
        (("USDT", 5.0, "spot", "transit"), "'transit' is no wallet"),
        (("USDT", 5.0, "loans", "spot"), "'loans' is no wallet"),
    ],
)
def test_money_is_moved_forwards_between_two_wallets(asked: Any, words: str) -> None:
    port = FakePort()
    _, desk = desk_at(history_of({SPOT: [100.0]}), 0, port)
    with pytest.raises(InputError, match=words):
        desk.transfer(*asked)
    assert port.moved == []


def in_turns(self: Any, bar: Any, desk: Any) -> Any:
    yield desk.buy("BTC/USDT", 1.0)


async def later(self: Any, bar: Any, desk: Any) -> None:
    desk.buy("BTC/USDT", 1.0)


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ({"on_bar": in_turns}, r"Mine\.on_bar has a `yield` in it, so that asking it does nothing"),
        ({"on_bar": later}, r"Mine\.on_bar has an `async` before it"),
        ({"onbar": lambda s, b, d: None}, "never decides.*of 'onbar': did you mean 'on_bar'"),
        ({"on_bar": lambda s, b, d: None, "targets": lambda s, m: None}, "both targets and on_bar"),
    ],
)
def test_a_strategy_nobody_would_ask_is_refused_when_it_is_loaded(methods: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_strategy(type("Mine", (Strategy,), methods), {})


def test_a_strategy_file_that_fails_is_told_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fails_at_import.py").write_text("x = 1\ny = undefined_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"fails_at_import.py:2: NameError"):
        load_strategy("fails_at_import:Mine", {})


def config(**account: Any) -> dict[str, Any]:
    return {
        "name": "x",
        "data": {"store": str(ROOT / "data/sample"), "start": "2023-06-01", "end": "2023-06-03"},
        "account": [{"deposit": {"USDT": 30_000}, **account}],
        "strategy": {"class": "strategies.hedged_long:HedgedLong",
                     "params": {"spot": "ETH/USDT", "hedge_symbol": "ETH/USDT:USDT", "hold_usd": 5000}},
    }  # fmt: skip


def lived(on_bar: Any, symbols: Any = (SPOT, PERP), **account: Any) -> Any:
    made = {"symbols": lambda self, known: list(symbols), "on_bar": on_bar}
    return backtest.run({**config(**account), "strategy": {"class": type("Mine", (Strategy,), made)}})


def test_a_strategy_that_fails_is_told_with_hook_and_bar() -> None:
    with pytest.raises(StrategyError, match=r"Mine.on_bar at the bar of 2023-06-01 00:00: KeyError: 'x'") as caught:
        lived(lambda self, bar, desk: {}["x"])
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(InputError, match=r"did you mean 'BTC/USDT'.*in Mine.on_bar at the bar of 2023-06-01 00:00"):
        lived(lambda self, bar, desk: desk.buy("BTC/USDTT", 1.0))


def test_a_strategy_that_exits_fails_like_any_other_and_ends_no_sweep() -> None:
    def leave(self: Any, bar: Any, desk: Any) -> None:
        raise SystemExit(3)

    with pytest.raises(StrategyError, match=r"Mine.on_bar at the bar of 2023-06-01 00:00: SystemExit: 3"):
        lived(leave)
    made = type("Mine", (Strategy,), {"symbols": lambda self, known: [SPOT, PERP], "on_bar": leave})
    swept = backtest.sweep(
        {**config(), "strategy": {"class": made}, "sweep": {"grid": {"execution.slippage_bps": [1, 2]}}}
    )
    assert swept.points["status"].tolist() == ["failed", "failed"]


def test_spot_alone_under_cross_needs_what_was_paid_in() -> None:
    result = lived(lambda self, bar, desk: bar.number == 3 and desk.buy(SPOT, 0.1), symbols=[SPOT])
    figures = result.figures.iloc[:, 0]
    assert figures["Least Capital"] == figures["Start Equity"]


@pytest.mark.parametrize(
    ("account", "words"),
    [
        ({"leverage": {"ETH/USDT:USDT": 126}}, "leverage 126 of ETH/USDT:USDT is above the 100 .* on 2023-06-01"),
        ({"top_up": {"trigger": 1.5, "target": 2}}, "top_up would do nothing"),
        ({"margin": "portfolio", "refill": {"trigger": 1.5, "target": 2}}, "refill would do nothing"),
        ({"borrow": True}, "nothing is lent at binance under 'cross'"),
        ({"deposit": {"usdt": 5}}, "did you mean 'USDT'"),
    ],
)
def test_a_setting_the_account_has_no_place_for_is_refused(account: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        backtest.run(config(**account))


def test_a_run_and_the_calculator_refuse_the_same_leverage_where_margin_rises_with_size() -> None:
    """Deribit asks 2 % of the smallest bitcoin position: 50x."""
    coin, words = "BTC/USD:BTC", "(is above the|allows) 50 "
    market = history_of({coin: [50_000.0] * 3}, index={"BTC": [50_000.0] * 3})
    for leverage, refused in ((50, False), (500, True)):
        asked = load_config(config(venue="deribit", deposit={"BTC": 1.0}, leverage=leverage))
        account = {
            "venue": "deribit", "at": "2024-01-01", "wallets": {"BTC": 1.0}, "leverage": leverage,
            "positions": [{"symbol": coin, "contracts": 10, "mark": 50_000}],
        }  # fmt: skip
        with pytest.raises(InputError, match=words) if refused else nullcontext():
            plan_of(asked, asked.account[0], market)
        with pytest.raises(InputError, match=words) if refused else nullcontext():
            margin(account)


def test_a_comparison_leaves_out_what_a_mode_has_no_place_for_and_says_so() -> None:
    said = compare(config(top_up={"trigger": 1.5, "target": 2}), modes=["isolated", "cross"]).notes
    assert [note for note in said if "top_up" in note] == [
        "cross: top_up left out: no position of this run is isolated under 'cross'"
    ]


def test_an_account_that_is_never_traded_is_noted() -> None:
    two = config()
    two["account"].append({**two["account"][0], "name": "hedge"})
    assert any("no order was placed in account 'hedge'" in note for note in backtest.run(two).record.notes)


def test_results_can_be_counted_in_a_coin_that_is_not_traded_and_not_in_one_unknown() -> None:
    assert backtest.run({**config(), "report": {"numeraire": "BTC"}}).figures is not None
    with pytest.raises(InputError, match="BTCC: no index of it"):
        backtest.run({**config(), "report": {"numeraire": "BTCC"}})
    with pytest.raises(InputError, match=r"prices.routes\] ETTH: no asset of this run; did you mean 'ETH'"):
        backtest.run({**config(), "prices": {"routes": {"ETTH": "ETH/USDT"}}})


@pytest.mark.parametrize(
    ("section", "value", "words"),
    [
        ("execution", {"slippage_bps": 10_000}, "slippage_bps"),
        ("guards", {"max_utilization": 1.5}, "max_utilization"),
        ("prices", {"routes": {"USDT": 0.0}}, "USDT = 0.0 is no price"),
        ("compare", {"modes": "cross"}, "write a list"),
        ("account", {"deposit": {"USDT": 5}}, r"write \[\[account\]\]"),
        ("account", [{"deposit": {"USDT": 1e-9}}], "less than one step"),
        ("account", [{"deposit": {"spot": {}}}], "deposits nothing"),
        ("account", [{"deposit": {"USDT": 5}, "leverage": "5"}], "without quotes"),
        ("account", [{"deposit": {"USDT": 5}, "transfer": {"delay": "9999d"}}], "too long"),
        ("account", [{"deposit": {"USDT": 5}, "refill": {"trigger": 1, "target": 2, "cost_bps": 1e4}}], "cost_bps"),
    ],
)
def test_a_number_out_of_bounds_is_refused(section: str, value: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_config({**config(), section: value})


def test_a_run_is_a_file_or_a_table_and_a_mode_a_name() -> None:
    for no_run in (None, [1]):
        with pytest.raises(InputError, match="is no run"):
            backtest.run(no_run)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"modes\[0\] = None"):
        compare(config(), modes=[None])  # type: ignore[list-item]


def test_a_byte_order_mark_says_nothing_and_a_key_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text('{"name": "a", "name": "b"}')
    with pytest.raises(InputError, match="key 'name' stands twice"):
        load_config(path)
    path = tmp_path / "run.toml"
    text = 'name="x"\n[data]\nstore="s"\nstart=2024-01-01T00:00:00.600Z\nend=2024-02-01\n'
    path.write_text(text + '[[account]]\ndeposit={USDT=1}\n[strategy]\nclass="a:B"\n', encoding="utf-8-sig")
    start = load_config(path).data.start
    assert microseconds(start) == START_US + 600_000
