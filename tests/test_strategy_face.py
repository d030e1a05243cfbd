"""The strategy face: what a strategy may know at a close, what it may ask for, and how a peek ahead is caught."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache, partialmethod
from math import isnan
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_port import HOUR_US, FakePort, desk_at, history_of
from pydantic import BaseModel

from backtest.errors import InputError, StrategyError
from backtest.strategy import (
    Bar,
    Desks,
    Market,
    OpenOrder,
    Order,
    Params,
    Strategy,
    Targets,
    beta,
    load_strategy,
    rolling_beta,
    whole_lots,
)
from backtest.strategy.hooks import asking
from backtest.strategy.prefix import Said, checked_targets, cut_of
from backtest.strategy.schedule import wake_bars

SPOT, PERP, INVERSE, DATED = "BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC", "BTC/USDT:USDT-240329"
RISING = list(range(100, 140))


def small(**kwargs: Any) -> Any:
    """Forty hours of a rising coin and its perpetual, which pays every 8 hours and, from 24:00 on, every 4."""
    paid = [(PERP, 8, 0.0001), (PERP, 16, 0.0002), (PERP, 24, 0.0003), (PERP, 28, 0.0004), (PERP, 32, 0.0005)]
    return history_of({SPOT: RISING, PERP: RISING}, funding=paid, **kwargs)


# What may be known


def test_the_market_a_callback_can_reach_has_no_prices_and_no_funding() -> None:
    bar, _ = desk_at(small(), 5, FakePort())
    for ask in (bar.market.close, bar.market.mark, bar.market.tradable, bar.market.funding):
        with pytest.raises(InputError, match=r"not known before"):
            ask(PERP)
    with pytest.raises(InputError, match=r"not known before"):
        bar.market.index("BTC")


def test_the_past_ends_at_the_bar_that_closed_and_is_shorter_near_the_start() -> None:
    bar, _ = desk_at(small(), 5, FakePort())
    assert bar.past(SPOT, "close", 3).tolist() == [103.0, 104.0, 105.0]
    assert len(bar.past(SPOT, "mark", 50)) == 6
    assert bar.past("BTC", "index", 1).tolist() == [105.0]


def test_changing_the_past_that_was_handed_out_changes_no_price() -> None:
    history = small()
    bar, _ = desk_at(history, 5, FakePort())
    bar.past(SPOT, "close", 3)[:] = 0.0
    bar.funding(PERP, 1)[:] = 9.0
    assert bar.close[SPOT] == 105.0 and history.funding_rate.max() == 0.0005


def test_funding_of_eight_is_seen_at_the_close_at_eight_and_not_an_hour_before() -> None:
    assert desk_at(small(), 6, FakePort())[0].funding(PERP, 5).tolist() == []
    assert desk_at(small(), 7, FakePort())[0].funding(PERP, 5).tolist() == [0.0001]


@pytest.mark.parametrize("n", [0, -5])
def test_the_last_none_of_a_series_are_refused_not_all_of_it(n: int) -> None:
    bar, _ = desk_at(small(), 30, FakePort())
    with pytest.raises(InputError, match="ask for 1 or more"):
        bar.funding(PERP, n)
    with pytest.raises(InputError, match="ask for 1 or more"):
        bar.past(PERP, "close", n)
    with pytest.raises(InputError, match="ask for 1 or more"):
        bar.annualised_funding(PERP, n)


@pytest.mark.parametrize("name", [5, None])
def test_what_is_no_name_of_a_symbol_or_coin_is_refused_with_those_there_are(name: Any) -> None:
    bar, desk = desk_at(small(), 5, FakePort())
    with pytest.raises(InputError, match=f"{name!r} is not in this run; valid: {SPOT}, {PERP}"):
        bar.close[name]
    with pytest.raises(InputError, match=f"asset {name!r} is not in this run; valid: BTC"):
        bar.index[name]
    with pytest.raises(InputError, match=f"together: {name!r} is no order"):
        desk.together(name)


def test_annualised_funding_counts_the_hours_between_stamps_whatever_their_interval() -> None:
    closes_at_32 = desk_at(small(), 31, FakePort())[0]
    # 0.0004 and 0.0005 were paid for 24:00 to 32:00, eight hours: 0.0009 x 8760 / 8
    assert closes_at_32.annualised_funding(PERP, 2) == pytest.approx(0.9855)
    # and with 0.0003, for 16:00 to 32:00: 0.0012 x 8760 / 16
    assert closes_at_32.annualised_funding(PERP, 3) == pytest.approx(0.657)


def test_annualised_funding_is_unknown_before_the_second_stamp() -> None:
    assert isnan(desk_at(small(), 7, FakePort())[0].annualised_funding(PERP, 3))
    # 0.0002 for 08:00 to 16:00: x 8760 / 8
    assert desk_at(small(), 15, FakePort())[0].annualised_funding(PERP, 3) == pytest.approx(0.219)


def test_annualised_basis_is_the_premium_over_the_time_to_expiry() -> None:
    expiry = 1_711_699_200_000_000  # 2024-03-29 08:00
    start = expiry - 73 * 24 * HOUR_US - HOUR_US  # the first bar closes 73 days, a fifth of a year, before
    history = history_of({SPOT: [100, 100], DATED: [102, 102]}, start_us=start, terms={DATED: {"expiry_us": expiry}})
    bar, _ = desk_at(history, 0, FakePort())
    assert bar.annualised_basis(DATED) == pytest.approx(0.10)  # 2 % in a fifth of a year
    assert isnan(bar.annualised_basis(SPOT))


def test_futures_are_those_listed_then_by_expiry() -> None:
    late, soon = "BTC/USDT:USDT-240628", DATED
    terms = {late: {"listing_us": 1_704_067_200_000_000 + 10 * HOUR_US}}
    market = Market(history_of({SPOT: RISING, late: RISING, soon: RISING}, terms=terms), prices=False)
    assert market.futures("BTC", at=pd.Timestamp("2024-01-01 09:00", tz="UTC")) == [soon]
    assert market.futures("BTC", at=pd.Timestamp("2024-01-01 10:00", tz="UTC")) == [soon, late]
    assert market.futures("ETH") == []


def test_nobody_is_told_the_day_of_a_delisting_but_a_universe_leaves_it_out_from_then() -> None:
    gone = 1_704_067_200_000_000 + 10 * HOUR_US
    market = Market(history_of({SPOT: RISING, PERP: RISING}, terms={PERP: {"delisting_us": gone}}), prices=False)
    assert market.instrument(PERP).delisting_us is None
    assert market.perpetuals(at=pd.Timestamp("2024-01-01 09:00", tz="UTC")) == [PERP]
    assert market.perpetuals(at=pd.Timestamp("2024-01-01 10:00", tz="UTC")) == []


# What may be asked for


def test_coins_and_dollars_become_contracts_linear_and_inverse() -> None:
    history = history_of({SPOT: [50_000], PERP: [50_100], INVERSE: [50_000]}, index={"BTC": [50_000]})
    _, desk = desk_at(history, 0, FakePort())
    assert desk.contracts_of(PERP, base=2.0) == 2.0
    assert desk.contracts_of(PERP, usd=100_000.0) == 2.0
    assert desk.contracts_of(INVERSE, base=2.0) == 1000.0  # 2 x 50,000 / 100 USD
    assert desk.contracts_of(SPOT, usd=25_000.0) == 0.5


def test_a_target_is_said_in_one_unit() -> None:
    _, desk = desk_at(small(), 3, FakePort())
    for said in ({}, {"base": 1.0, "usd": 5.0}, {"contracts": 1.0, "base": 1.0}):
        with pytest.raises(InputError, match="one of contracts, base and usd"):
            desk.target(PERP, **said)


def test_the_verbs_send_the_orders_they_say() -> None:
    port = FakePort()
    _, desk = desk_at(small(), 3, port)
    desk.buy(SPOT, 2.0)
    desk.sell(PERP, 1.5, kind="limit", price=105.0)
    desk.together([Order(SPOT, target=0.0), Order(PERP, target=0.0)])
    assert port.orders() == [(SPOT, 2.0), (PERP, -1.5), (SPOT, 0.0), (PERP, 0.0)]
    assert [together for _, together in port.submitted] == [False, False, True]


def test_a_negative_size_does_not_become_a_trade_of_the_other_sign() -> None:
    port = FakePort()
    _, desk = desk_at(small(), 3, port)
    for verb in (desk.buy, desk.sell):
        with pytest.raises(InputError, match="no sign"):
            verb(PERP, -1.0)
    assert port.submitted == []


def test_waiting_orders_are_told_by_name() -> None:
    row = {"id": 4, "symbol": PERP, "kind": "limit", "contracts": 2.0, "target": False, "price": 99.0, "trigger": None}
    _, desk = desk_at(small(), 3, FakePort(waiting=[row]))
    assert desk.open_orders() == [OpenOrder(4, PERP, "limit", 2.0, False, 99.0, None)]


def test_desks_are_found_by_account_name_and_the_first_is_the_usual_one() -> None:
    one, two = (desk_at(small(), 3, FakePort(worth=worth))[1] for worth in (10.0, 20.0))
    desks = Desks({"main": one, "hedge": two})
    assert (desks.equity, desks["hedge"].equity) == (10.0, 20.0)
    with pytest.raises(InputError, match="valid: main, hedge"):
        desks["hegde"]


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({}, "not neither"),
        ({"contracts": 1.0, "target": 0.0}, "not both"),
        ({"contracts": float("nan")}, "not a number"),
        ({"contracts": 1.0, "kind": "limt"}, "did you mean 'limit'"),
        ({"contracts": 1.0, "kind": "limit"}, "needs a price"),
        ({"contracts": 1.0, "kind": "limit", "price": -5.0}, "above 0, not -5.0"),
        ({"contracts": 1.0, "kind": "limit", "price": float("nan")}, "above 0, not nan"),
        ({"contracts": 1.0, "kind": "stop"}, "needs a trigger"),
        ({"contracts": 1.0, "trigger_by": "index"}, "'mark' or 'last'"),
        ({"target": 1.0, "kind": "limit", "price": 5.0}, "only a market order"),
    ],
)
def test_an_order_that_means_nothing_is_refused_with_the_reason(terms: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Order(PERP, **terms)


# When


def test_schedules_ask_at_closes() -> None:
    history = small()
    assert wake_bars("every bar", history)[0].all()
    assert np.flatnonzero(wake_bars("8h", history)[0]).tolist() == [7, 15, 23, 31, 39]
    assert np.flatnonzero(wake_bars("funding", history)[0]).tolist() == [7, 15, 23, 27, 31]
    asked, kinds = wake_bars(("fill", "liquidation"), history)
    assert not asked.any() and kinds == ("fill", "liquidation")


@pytest.mark.parametrize(
    ("schedule", "words"),
    [("8hours", "means nothing"), ("15m", "shorter than"), (("fil",), "did you mean 'fill'"), ((), "never ask")],
)
def test_a_schedule_that_means_nothing_is_refused(schedule: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        wake_bars(schedule, small())


# Looking ahead


class Table(Strategy):
    """A table made by a function of the market."""

    @staticmethod
    def made(market: Market) -> pd.DataFrame:
        raise NotImplementedError

    def targets(self, market: Market) -> Targets:
        return Targets(self.made(market))


def table(made: Any) -> Strategy:
    return type("Made", (Table,), {"made": staticmethod(made)})()


def wiggle(bars: int = 200) -> Any:
    """A coin that moves, and funding every eight hours of rising rates."""
    path = (100 + 10 * np.sin(np.arange(bars) * 1.7) + np.arange(bars) * 0.1).tolist()
    paid = [(PERP, hours, 0.0001 * hours) for hours in range(8, bars, 8)]
    return history_of({SPOT: path, PERP: path}, funding=paid)


def test_a_table_of_past_prices_passes() -> None:
    def made(market: Market) -> pd.DataFrame:
        return pd.DataFrame({SPOT: (market.close(SPOT).rolling(5).mean() > 100).astype(float)})

    assert checked_targets(table(made), wiggle()) is not None


def test_a_peek_one_bar_ahead_is_named_by_bar_symbol_and_both_values() -> None:
    history = history_of({SPOT: RISING})

    def made(market: Market) -> pd.DataFrame:
        return pd.DataFrame({SPOT: market.close(SPOT).shift(-1)})

    # of bars 0, 1, 2 the last knows bar 3, whose close is 103, only with the future
    with pytest.raises(InputError, match=r"BTC/USDT at 2024-01-01 02:00 is 103 .* and nan knowing it up to .* 03:00"):
        checked_targets(table(made), history)


def test_a_peek_on_few_bars_is_caught_too() -> None:
    path = [100.0] * 200
    path[61:] = [110.0] * 139  # one jump, far from where history is cut by share

    def made(market: Market) -> pd.DataFrame:
        ahead = market.close(SPOT).shift(-1) / market.close(SPOT)
        return pd.DataFrame({SPOT: np.where(ahead > 1.05, 1.0, np.nan)}, index=market.time)

    with pytest.raises(InputError, match="looks ahead"):
        checked_targets(table(made), history_of({SPOT: path}))


@pytest.mark.parametrize("rows", [1, 2, 60, 7919, 2 * 7919, 8760])
def test_the_points_of_a_sweep_are_checked_for_looking_ahead_at_different_rows(rows: int) -> None:
    said = Said(np.arange(2, rows + 2), pd.Index([SPOT]), np.ones((rows, 1)))
    cuts = [cut_of(said, turn, rows + 10)[0] for turn in range(1, 50)]
    assert len(set(cuts)) == min(rows, 49)
    assert min(cuts) <= 3 + 0.1 * rows and max(cuts) > 0.9 * rows


def test_a_universe_chosen_by_how_it_ended_is_caught() -> None:
    rises_then_falls = [100.0 + k for k in range(100)] + [200.0 - 2 * k for k in range(100)]

    def made(market: Market) -> pd.DataFrame:
        chosen = [s for s in market.spot() if market.close(s).iloc[-1] > 100.0]
        return pd.DataFrame(dict.fromkeys(chosen, 1.0), index=market.time)

    with pytest.raises(InputError, match="looks ahead"):
        checked_targets(table(made), history_of({SPOT: rises_then_falls}))


@pytest.mark.parametrize("bars", range(190, 200))
def test_a_table_that_follows_funding_as_soon_as_its_stamp_has_passed_is_honest(bars: int) -> None:
    def made(market: Market) -> pd.DataFrame:
        paid = market.funding(PERP)
        last = paid.reindex(paid.index.union(market.time + market.interval)).ffill().fillna(0.0)
        return pd.DataFrame({PERP: last.loc[market.time + market.interval].to_numpy()}, index=market.time)

    assert checked_targets(table(made), wiggle(bars)) is not None


def test_funding_read_an_hour_before_its_stamp_is_caught() -> None:
    def made(market: Market) -> pd.DataFrame:
        paid = market.funding(PERP)
        soon = market.time + 2 * market.interval
        last = paid.reindex(paid.index.union(soon)).ffill().fillna(0.0)
        return pd.DataFrame({PERP: last.loc[soon].to_numpy()}, index=market.time)

    with pytest.raises(InputError, match="looks ahead"):
        checked_targets(table(made), wiggle())


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda m: pd.DataFrame({"ETH/USDT": 1.0}, index=m.time), "'ETH/USDT' is not in this run"),
        (lambda m: pd.DataFrame({SPOT: [1.0]}), "bar open times in UTC"),
        (lambda m: pd.DataFrame({SPOT: 1.0}, index=m.time + pd.Timedelta("30min")), "not the open of a bar"),
        (lambda m: pd.DataFrame({SPOT: np.inf}, index=m.time), "infinite"),
        (lambda m: pd.DataFrame({SPOT: "all"}, index=m.time), "must be a number"),
        (lambda m: pd.DataFrame({SPOT: "5"}, index=m.time), "number or NaN; BTC/USDT "),
        (lambda m: pd.DataFrame({SPOT: True}, index=m.time), "BTC/USDT is true or false; .* such as signal"),
        (lambda m: pd.DataFrame({SPOT: [1.0, True]}, index=m.time[:2], dtype=object), "BTC/USDT has True"),
        (lambda m: pd.DataFrame({SPOT: 1j}, index=m.time), "BTC/USDT is of kind complex128"),
        (lambda m: pd.DataFrame({SPOT: m.time - m.time[0]}, index=m.time), "BTC/USDT is of kind timedelta64"),
        (
            lambda m: pd.DataFrame({SPOT: 1.0}, index=pd.DatetimeIndex(np.array([10**14], "M8[s]")).tz_localize("UTC")),
            "a time that no bar can have",
        ),
    ],
)
def test_a_table_that_cannot_be_traded_is_refused_with_the_reason(made: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        checked_targets(table(made), small())


@pytest.mark.parametrize("sizes", [[1, 2], [Decimal(1), None], pd.array([1, None], dtype="Int64"), [1, 2.0]])
def test_a_table_of_any_kind_of_numbers_is_taken(sizes: Any) -> None:
    def made(market: Market) -> pd.DataFrame:
        kind = None if isinstance(sizes, pd.api.extensions.ExtensionArray) else object
        return pd.DataFrame({SPOT: pd.Series(sizes, dtype=kind).array}, index=market.time[:2])

    found = checked_targets(table(made), small())
    assert found is not None and found[1].values[0, 0] == 1.0


# Finding a strategy


class Plain(Strategy):
    """A model that would, by pydantic's default, swallow unknown parameters."""

    class Params(BaseModel):
        window: int = 3


def test_a_misspelt_parameter_is_refused_even_where_the_model_forgot_to_forbid_it() -> None:
    with pytest.raises(InputError, match=r"windw: Plain has no such parameter; did you mean 'window'"):
        Plain(windw=4)


def test_a_parameter_out_of_range_is_named_with_its_value() -> None:
    with pytest.raises(InputError, match=r"\[strategy.params\] band = 3"):
        load_strategy("strategies.hedged_long:HedgedLong", {"band": 3})


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("strategies.nowhere:X", "no module 'strategies.nowhere'"),
        ("strategies.basis_trade:BasisTrad", "did you mean 'BasisTrade'"),
        ("strategies.basis_trade:Strategy", "no strategy 'Strategy'"),
        (dict, "is no Strategy"),
    ],
)
def test_a_strategy_that_is_not_there_is_refused_with_the_nearest(named: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_strategy(named, {})


def test_a_strategy_without_symbols_is_told_to_name_them() -> None:
    with pytest.raises(InputError, match="which symbols"):
        Strategy().symbols({})


class ForgetsTheDesk(Strategy):
    def on_bar(self, bar: Bar) -> None:  # type: ignore[override]
        pass


class AsksForMore(Strategy):
    def targets(self, market: Market, when: str) -> None:  # type: ignore[override]
        pass


def decides(self: Any, bar: Bar, desk: Any, often: int) -> None:
    pass


BOUND = (
    partialmethod(decides, often=2),
    lru_cache(lambda self, bar, desk: None),
    classmethod(lambda kind, bar, desk: None),
)


@pytest.mark.parametrize("hook", BOUND)
def test_a_hook_may_be_bound_in_any_way(hook: Any) -> None:
    assert load_strategy(type("Bound", (Strategy,), {"on_bar": hook}), {})


@pytest.mark.parametrize("hook", [None, 5, property(lambda self: None), staticmethod(lambda self, bar, desk: None)])
def test_what_is_no_hook_is_refused_in_words(hook: Any) -> None:
    with pytest.raises(InputError, match=r"Odd.on_bar.* cannot be asked: write on_bar\(self, bar, desk\)"):
        load_strategy(type("Odd", (Strategy,), {"on_bar": hook}), {})


class TakesWhatComes(Strategy):
    def on_bar(self, *given: Any) -> None:
        pass

    @staticmethod
    def start(market: Market, again: bool = False) -> None:  # type: ignore[override]
        pass


def test_a_hook_that_cannot_be_asked_is_refused_with_how_it_is_written() -> None:
    with pytest.raises(InputError, match=r"ForgetsTheDesk.on_bar\(self, bar.*: write on_bar\(self, bar, desk\)"):
        load_strategy(ForgetsTheDesk, {})
    with pytest.raises(InputError, match=r"AsksForMore.targets\(.*: write targets\(self, market\)"):
        load_strategy(AsksForMore, {})
    assert isinstance(load_strategy(TakesWhatComes, {}), TakesWhatComes)


def test_what_goes_wrong_in_a_library_is_told_with_the_strategys_own_line() -> None:
    told = r"LinAlgError: Singular matrix \(test_strategy_face.py, line \d+\)$"
    with pytest.raises(StrategyError, match=told), asking(Strategy(), "on_bar"):
        np.linalg.inv(np.zeros((2, 2)))


def test_a_bar_asked_for_what_it_has_not_is_answered_with_the_nearest_it_has() -> None:
    bar = Bar(Market(history_of({"BTC/USDT": [1.0, 2.0]})), 1)
    for asked, told in (("funding_rate", "did you mean 'funding'"), ("history", "valid: annualised_basis, .*past,")):
        with pytest.raises(StrategyError, match=f"has no attribute '{asked}'; {told}"), asking(Strategy(), "on_bar"):
            getattr(bar, asked)


def test_parameters_do_not_change_during_a_run() -> None:
    class Fixed(Params):
        size: float = 1.0

    with pytest.raises(ValueError, match="frozen"):
        Fixed().size = 2.0


# How much


def test_a_coin_that_moves_twice_as_far_has_a_beta_of_two() -> None:
    steps = np.cumsum(np.tile([0.01, -0.02, 0.03, -0.01], 10))
    assert beta(np.exp(2 * steps), np.exp(steps)) == pytest.approx(2.0)


def test_beta_is_unknown_with_few_returns_or_a_hedge_that_stood_still() -> None:
    assert isnan(beta(np.exp(np.arange(10.0)), np.exp(np.arange(10.0))))
    assert isnan(beta(np.exp(np.arange(50.0)), np.ones(50)))
    with pytest.raises(InputError, match="same bars"):
        beta(np.ones(40), np.ones(41))


def test_rolling_beta_does_not_move_when_the_future_is_taken_away() -> None:
    steps = pd.Series(np.sin(np.arange(200.0)) / 50)
    coin, other = np.exp(2 * steps.cumsum()), np.exp(steps.cumsum())
    whole, part = rolling_beta(coin, other, 40), rolling_beta(coin[:120], other[:120], 40)
    assert whole[:40].isna().all() and whole[40] == pytest.approx(2.0)
    pd.testing.assert_series_equal(whole[:120], part)


def test_lots_are_whole_towards_zero_and_not_eaten_by_float_bits() -> None:
    assert whole_lots(1.2349, 0.001) == pytest.approx(1.234)
    assert whole_lots(-1.2349, 0.001) == pytest.approx(-1.234)
    assert whole_lots(0.3, 0.1) == pytest.approx(0.3)  # 0.3 / 0.1 is 2.9999999999999996
    with pytest.raises(InputError, match="more than 0"):
        whole_lots(1.0, 0.0)
