"""A table of targets in coins, dollars or shares of equity, with or without a band: the engine follows it as a strategy
would that is asked at its rows' closes and reckons the same sizes. It may make no difference, to the bit.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_port import HOUR_US, START_US, history_of
from numba import config as numba_config
from test_blocks import ACCOUNTS, BARS, BTC, COIN, ETH, SPOT, SYMBOLS, market, settings, text

import backtest
from backtest import Order, Strategy, Targets
from backtest.engine import targets as following
from backtest.errors import InputError
from backtest.market.history import History

FRAMES = ("account", "wallets", "ledger", "fills", "orders", "incidents", "positions")
ONE_SIDED = [mode for mode in ACCOUNTS if mode != "hedge"]
SIZES = {"contracts": 30.0, "base": 30.0, "usd": 2000.0, "equity": 0.8}  # the most that a row wishes
Wishes = dict[int, dict[str, float]]


class Wishing(Strategy):
    """Two strategies of the same wishes: `Table` hands them over, `Asked` reckons and places them itself."""

    wishes: Wishes
    names: tuple[str, ...]
    terms: dict[str, Any]

    def symbols(self, instruments: Any) -> list[str]:
        return list(SYMBOLS)


class Table(Wishing):
    def targets(self, market: Any) -> Targets:
        frame = pd.DataFrame(self.wishes.values(), index=market.time[0] + market.interval * pd.Index(self.wishes))
        return Targets(frame[frame.index <= market.time[-1]], **self.terms)


class Asked(Wishing):
    def start(self, market: Any) -> None:
        self.lots = {symbol: market.instrument(symbol).lot for symbol in market.symbols}

    def on_bar(self, bar: Any, desk: Any) -> None:
        for name in self.names if bar.number in self.wishes else ():
            self.follow(desk[name], self.wishes[bar.number])

    def follow(self, desk: Any, row: dict[str, float]) -> None:
        """What the docstring of Targets says, in a strategy's words."""
        unit, band, equity = self.terms["unit"], self.terms["band"], desk.equity
        if unit == "equity" and not equity > 0.0:
            return
        aims = {symbol: self.size(desk, symbol, wish, unit, equity) for symbol, wish in row.items() if wish == wish}
        watched = dict.fromkeys(aims, band) if isinstance(band, float) else band
        if watched is not None and not any(
            self.strays(desk.position(symbol), aims[symbol], share, self.lots[symbol])
            for symbol, share in watched.items() if symbol in aims
        ):  # fmt: skip
            return
        orders = [Order(symbol, target=aims[symbol]) for symbol in SYMBOLS if symbol in aims]
        for each in [orders] if self.terms["together"] else [[order] for order in orders]:
            desk.together(each)

    def size(self, desk: Any, symbol: str, wish: float, unit: str, equity: float) -> float:
        if unit == "contracts":
            return wish
        if unit == "base":
            return float(desk.contracts_of(symbol, base=wish))
        return float(desk.contracts_of(symbol, usd=wish * equity if unit == "equity" else wish))

    def strays(self, held: float, aim: float, share: float, lot: float) -> bool:
        if round(abs(round(aim, 8) - held), 8) < lot:
            return False
        return held != 0.0 if aim == 0.0 else abs(held / aim - 1.0) > share


def drawn(seed: int, unit: str, every: int) -> Wishes:
    """Wishes at some closes: of every symbol something, of some nothing, of some to be out of it."""
    chance = random.Random(f"{seed} {unit}")
    rows: Wishes = {}
    for bar in range(3, BARS - 1, every):
        held = {SPOT: abs(chance.gauss(0.4, 0.3))}
        held |= {symbol: chance.gauss(-0.3, 0.5) for symbol in (BTC, ETH, COIN)}
        rows[bar] = {symbol: SIZES[unit] * wish for symbol, wish in held.items()}
        rows[bar] |= dict.fromkeys(chance.sample(SYMBOLS, 1), chance.choice([0.0, float("nan")]))
    return rows


def kept(seed: int, unit: str) -> Wishes:
    """The same hedge wished at every close: only a band lets it rest."""
    share = SIZES[unit] / 2
    return {bar: {SPOT: share, BTC: -share, ETH: -share / 4} for bar in range(seed, BARS - 1)}


def lived(kind: type[Wishing], mode: str, wishes: Wishes, terms: dict[str, Any], history: History) -> backtest.Result:
    names = tuple(account.get("name", "main") for account in ACCOUNTS[mode])
    made = type(kind.__name__, (kind,), {"wishes": wishes, "names": names, "terms": terms})
    return backtest.run(settings(mode, made), data=history)


def same(one: backtest.Result, other: backtest.Result) -> None:
    for name in FRAMES:
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), check_exact=True, obj=name)


@pytest.mark.jit_off
@pytest.mark.parametrize("mode", ONE_SIDED)
@pytest.mark.parametrize("unit", SIZES)
@pytest.mark.parametrize(("band", "together"), [(None, True), (0.2, False), ({SPOT: 0.1, ETH: 0.5}, True)])
def test_a_table_is_followed_as_a_strategy_would_that_reckons_its_sizes(
    mode: str, unit: str, band: Any, together: bool
) -> None:
    history, wishes = market(5), drawn(5, unit, 4)
    if isinstance(band, dict):  # a row must name one that is looked at
        wishes = {bar: row | ({} if row[SPOT] == row[SPOT] else {SPOT: 1.0}) for bar, row in wishes.items()}
    terms = {"unit": unit, "band": band, "together": together}
    table = lived(Table, mode, wishes, terms, history)
    assert len(table.fills) > 15
    same(table, lived(Asked, mode, wishes, terms, history))


@pytest.mark.jit_off
@pytest.mark.parametrize("mode", ONE_SIDED)
@pytest.mark.parametrize(("unit", "band"), [("equity", 0.05), ("usd", 0.1), ("equity", 0.0), ("base", 0.01)])
def test_a_hedge_that_may_stray_is_brought_back_at_the_same_closes(mode: str, unit: str, band: float) -> None:
    history, wishes = market(7), kept(7, unit)
    terms = {"unit": unit, "band": band, "together": True}
    table = lived(Table, mode, wishes, terms, history)
    assert len(table.fills)
    same(table, lived(Asked, mode, wishes, terms, history))


@pytest.mark.jit_off
@pytest.mark.skipif(
    not numba_config.DISABLE_JIT, reason="compiled code holds the number; the uncompiled suite turns it"
)
@pytest.mark.parametrize("least", [1, 2, 5, 31])
def test_how_many_bars_are_looked_at_in_vain_changes_nothing(least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    history, wishes = market(7), kept(7, "equity")
    terms = {"unit": "equity", "band": 0.05, "together": True}
    usual = lived(Table, "portfolio", wishes, terms, history)
    assert len(usual.fills) > 3
    monkeypatch.setattr(following, "LEAST_PATIENCE", least)
    same(lived(Table, "portfolio", wishes, terms, history), usual)


def flat_then(close: float) -> History:
    """Ten hours at 100, then ten at another price; no funding, and fees as the venue has them."""
    return history_of({SPOT: [100.0] * 10 + [close] * 10})


def half(band: float | None, share: float = 0.5) -> Strategy:
    """Half of equity in coins, wished at every close."""

    class Half(Strategy):
        def symbols(self, instruments: Any) -> list[str]:
            return [SPOT]

        def targets(self, market: Any) -> Targets:
            return Targets(pd.DataFrame({SPOT: share}, index=market.time), unit="equity", band=band)

    return Half  # type: ignore[return-value]


def spot_config(strategy: Any) -> dict[str, Any]:
    found = settings([{"margin": "cross", "deposit": {"USDT": 1000.0}}], strategy, 20)
    return {**found, "execution": {}}


def test_half_of_a_thousand_dollars_at_a_hundred_is_five_coins_and_a_coin_that_doubles_is_sold_down_to_half() -> None:
    """5 coins at 100, of which the fee of 0.1 % is kept: 4.995. At 200 equity is 500 + 999 = 1,499, half of it 749.50,
    3.7475 coins: 1.2475 too many, of which whole lots of 0.001 are sold. A band of a tenth lets the fee be, and not the
    third that the doubling made.
    """
    result = backtest.run(spot_config(half(0.1)), data=flat_then(200.0))
    fills = result.fills
    assert fills["contracts"].tolist() == [5.0, -1.247]
    assert fills["time"].dt.hour.tolist() == [1, 11]  # at the open after the close that said so
    assert result.orders["state"].tolist() == ["filled", "filled"]


def test_a_move_within_the_band_trades_nothing() -> None:
    """At 110 the coins are 549.45 of 1,049.45 dollars; half is 524.725: 4.7 % above, within five."""
    assert len(backtest.run(spot_config(half(0.05)), data=flat_then(110.0)).fills) == 1
    assert len(backtest.run(spot_config(half(0.04)), data=flat_then(110.0)).fills) == 2


def test_five_cents_of_a_coin_that_no_lot_can_sell_leave_the_band_of_the_other_coin_as_it_is() -> None:
    """1,000 dollars, both coins at 100: 5 and 2.5 coins are bought at 100.02, 4.995 and 2.4975 are kept. Out of the
    second 2.497 are sold in lots of 0.001, and 0.0005 stay for ever. In that row the first is 499.50 of 999.10 dollars:
    0.0005 too few, half a lot. At 102 it is one per cent above half, within five: nothing is traded at any close.
    """

    class Left(Strategy):
        def symbols(self, instruments: Any) -> list[str]:
            return [SPOT, "ETH/USDT"]

        def targets(self, market: Any) -> Targets:
            second = np.where(np.arange(len(market.time)) < 5, 0.25, 0.0)
            frame = pd.DataFrame({SPOT: 0.5, "ETH/USDT": second}, index=market.time)
            return Targets(frame, unit="equity", band=0.05)

    history = history_of({SPOT: [100.0] * 10 + [102.0] * 10, "ETH/USDT": [100.0] * 20})
    fills = backtest.run(spot_config(Left), data=history).fills
    traded = sorted(zip(fills["time"].dt.hour, fills["symbol"], fills["contracts"], strict=True))
    assert traded == [(1, SPOT, 5.0), (1, "ETH/USDT", 2.5), (6, "ETH/USDT", -2.497)]


def test_a_size_below_a_lot_is_no_reason_to_follow_a_row() -> None:
    """Of 1,000 dollars 0.00002 in a coin at 100 are 0.0002 coins, a fifth of a lot: nothing is asked at any close."""

    class Small(Strategy):
        def symbols(self, instruments: Any) -> list[str]:
            return [SPOT]

        def targets(self, market: Any) -> Targets:
            return Targets(pd.DataFrame({SPOT: 0.00002}, index=market.time), unit="equity", band=0.05)

    assert len(backtest.run(spot_config(Small), data=flat_then(100.0)).orders) == 0


def test_without_a_band_every_row_is_an_order() -> None:
    assert len(backtest.run(spot_config(half(None)), data=flat_then(100.0)).orders) == 19


def test_a_table_of_which_no_row_is_followed_is_written_down_like_any_other(tmp_path: Path) -> None:
    """A band about nothing, while nothing is held."""
    result = backtest.run(spot_config(half(0.1, share=0.0)), data=flat_then(100.0))
    assert result.orders.empty
    assert result.ledger[["kind", "order"]].to_numpy().tolist() == [["deposit", -1]]
    result.save(tmp_path / "saved")


def test_shares_of_nothing_are_not_traded() -> None:
    """A ruined account asks for nothing more, whatever its table wishes."""
    ruined = history_of({BTC: [100.0] * 5 + [1.0] * 15})

    class Long(Strategy):
        def symbols(self, instruments: Any) -> list[str]:
            return [BTC]

        def targets(self, market: Any) -> Targets:
            return Targets(pd.DataFrame({BTC: 5.0}, index=market.time), unit="equity")

    config = settings([{"margin": "cross", "leverage": 10, "deposit": {"USDT": 1000.0}}], Long, 20)
    orders = backtest.run(config, data=ruined).orders
    assert orders["time"].max() <= pd.Timestamp(text(5))


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"unit": "shares"}, "unit = 'shares'; valid: base, contracts, equity, usd"),
        ({"band": -0.1}, "band = -0.1; write a share of the size from 0 up"),
        ({"band": float("inf")}, "band = inf; write a share"),
        ({"band": True}, "band = True; write a share"),
        ({"band": 5}, "band = 5; no position at all is only 1 away .* write a share below 1"),
        ({"band": {SPOT: 10**400}}, "band of BTC/USDT = 10+; no position at all"),
        ({"unit": np.array(["usd", "base"])}, r"unit = array\(.*; valid: base"),
        ({"band": {"BTC/USD": 0.1}}, "band of 'BTC/USD', which is no column; did you mean 'BTC/USDT'"),
        ({"band": {SPOT: "wide"}}, "band of BTC/USDT = 'wide'"),
        ({"band": {}}, "an empty band would follow no row"),
        ({"together": 1}, "together = 1; write True or False"),
    ],
)
def test_terms_that_mean_nothing_are_refused_in_words(terms: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Targets(pd.DataFrame({SPOT: [1.0]}), **terms)


def test_a_band_of_no_column_is_told_whatever_columns_are() -> None:
    with pytest.raises(InputError, match="band of 'BTC/USDT', which is no column; valid: 0, x"):
        Targets(pd.DataFrame({0: [1.0], "x": [1.0]}), band={SPOT: 0.1})


def test_a_number_that_no_float_can_be_is_no_size() -> None:
    words = refused(lambda market: Targets(pd.DataFrame({SPOT: [10**400] * len(market.time)}, index=market.time)))
    assert "every value must be a number or NaN (int too large to convert to float)" in words


def refused(made: Any) -> str:
    """Why a table is refused."""

    class Made(Strategy):
        def symbols(self, instruments: Any) -> list[str]:
            return [SPOT, BTC]

        def targets(self, market: Any) -> Targets:
            found: Targets = made(market)
            return found

    history = history_of({SPOT: [100.0 + k for k in range(20)], BTC: [100.0] * 20})
    with pytest.raises(InputError) as caught:
        backtest.run(settings([{"margin": "cross", "deposit": {"USDT": 1000.0}}], Made, 20), data=history)
    return str(caught.value)


def test_a_band_that_the_future_has_made_is_a_look_ahead() -> None:
    words = refused(
        lambda market: Targets(
            pd.DataFrame({SPOT: 1.0}, index=market.time), band=float(market.close(SPOT).iloc[-1] / 1000.0)
        )
    )
    assert "looks ahead: band of its targets is 0.119 knowing all of history" in words


def test_a_row_that_names_nothing_the_band_looks_at_is_refused() -> None:
    def made(market: Any) -> Targets:
        frame = pd.DataFrame({SPOT: 1.0, BTC: -1.0}, index=market.time)
        frame.loc[frame.index[7], SPOT] = np.nan
        return Targets(frame, band={SPOT: 0.1})

    assert "the row at 2024-01-01 07:00 names no symbol that the band looks at (BTC/USDT)" in refused(made)


LATE = {"price_begins": (START_US, START_US + 5 * HOUR_US), "index_begins": (START_US, START_US + 5 * HOUR_US)}


@pytest.mark.parametrize("unit", ["base", "usd", "equity"])
def test_a_size_that_no_price_makes_contracts_of_yet_is_refused(unit: str) -> None:
    """The coin's price begins with the sixth hour: what the history holds before it is what it will open at."""
    late = replace(history_of({SPOT: [100.0] * 20, COIN: [100.0] * 20}), **LATE)

    def lived_from(kind: type[Wishing], first: int, before: float) -> backtest.Result:
        wishes = {bar: {COIN: 0.1 if bar >= first else before} for bar in range(19)}
        return lived(kind, "cross", wishes, {"unit": unit, "band": None, "together": True}, late)

    words = rf"0.1 of {COIN} at 2024-01-01 04:00 \(unit = '{unit}'\) cannot be told in contracts: it had no price"
    with pytest.raises(InputError, match=words):
        lived_from(Table, 4, float("nan"))
    with pytest.raises(InputError, match="nan is not a number of contracts"):
        lived_from(Asked, 4, float("nan"))
    for nothing in (0.0, -0.0, float("nan")):
        same(lived_from(Table, 5, nothing), lived_from(Asked, 5, nothing))


@pytest.mark.jit_off
@pytest.mark.parametrize("sizes", [{SPOT: 1e10}, {SPOT: 1.0, BTC: 1e10}, {BTC: 1e10, SPOT: np.nan}])
def test_a_size_that_the_ledger_cannot_hold_is_told_with_its_symbol_and_its_row(sizes: dict[str, float]) -> None:
    words = refused(lambda market: Targets(pd.DataFrame(sizes, index=market.time[3:]), unit="equity"))
    symbol = BTC if BTC in sizes else SPOT
    assert f"targets: 1e+10 of {symbol} at 2024-01-01 03:00: account 'main' would need a size that does not" in words


def test_a_tiny_price_makes_no_size_wrap_around() -> None:
    history = history_of({SPOT: [100.0] * 20})
    tiny = replace(history, **{f"index_{p}": history.index_close * [[1.0], [1e-12]] for p in ("open", "close")})

    class Rich(Strategy):
        def symbols(self, instruments: Any) -> list[str]:
            return [SPOT]

        def targets(self, market: Any) -> Targets:
            return Targets(pd.DataFrame({SPOT: 1e6}, index=market.time), unit="usd")

    with pytest.raises(InputError, match="does not fit the ledger"):
        backtest.run(spot_config(Rich), data=tiny)


def test_a_table_that_asks_for_more_than_the_account_can_pay_says_so_in_the_notes() -> None:
    """Three times equity in coins that nobody lends: every row after the first fills is short of balance."""

    class Greedy(Strategy):
        def symbols(self, instruments: Any) -> list[str]:
            return [SPOT]

        def targets(self, market: Any) -> Targets:
            return Targets(pd.DataFrame({SPOT: 3.0}, index=market.time), unit="equity")

    config = {**spot_config(Greedy), "execution": {"refusal": "refuse"}}
    result = backtest.run(config, data=history_of({SPOT: [100.0] * 20}))
    assert (result.orders["state"] == "refused").all() and len(result.orders) == 19
    said = "account main: 19 of 19 orders were refused and 0 cut, mostly by: balance; the strategy asks for more than"
    assert any(note.startswith(said) for note in result.manifest["notes"])
    modest = backtest.run(spot_config(half(None)), data=flat_then(100.0))
    assert not any("were refused" in note for note in modest.manifest["notes"])
